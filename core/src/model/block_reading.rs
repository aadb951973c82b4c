//! A text read block by block: every token of a block sees the block and all that stands before it.

use burn::tensor::{DType, Int, Tensor, TensorData};

use super::{KvCache, Trace, Transformer};
use crate::kernels::{AttentionMask, in_dtype};

impl Transformer {
    /// What the last layer gives for new tokens behind what `cache` holds of its one sequence; they are added to it. The
    /// mask says what they see of the past and of each other.
    ///
    /// # Shapes
    /// `n` tokens → `[1, n, hidden]`.
    pub(crate) fn hidden_behind(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        mask: &AttentionMask,
    ) -> Tensor<3> {
        let new = tokens.len();
        let places = cache.places(0..1, new);
        let angles = self.rope.angles_of_rows(&places.texts(), new);
        let near = self.config.sliding_window.as_ref().map(|sliding| mask.within(sliding.window));
        let mut x = self.embed(self.one_row(tokens));
        for (block, layer) in self.model.layers.iter().zip(&mut cache.layers) {
            let mask = near.as_ref().filter(|_| block.slides).unwrap_or(mask);
            x = block.forward(x, &angles, mask, Some((layer, &places)), &mut Trace::default());
        }
        cache.advance(0..1, new);
        x
    }

    /// The same for a whole text whose tokens all see each other.
    pub(crate) fn hidden_of_text(&self, tokens: &[u32]) -> Tensor<3> {
        let angles = self.rope.angles(0, tokens.len(), tokens.len());
        let mask = AttentionMask::bidirectional();
        self.hidden_at(self.one_row(tokens), &angles, &mask, &mut Trace::default())
    }

    /// What the last layer gave, as the output projection sees it, in f32: `[batch, seq, hidden]` both.
    pub(crate) fn normed(&self, x: Tensor<3>) -> Tensor<3> {
        in_dtype(self.model.norm.forward(x), DType::F32)
    }

    fn one_row(&self, tokens: &[u32]) -> Tensor<2, Int> {
        let ids: Vec<i32> = tokens.iter().map(|&id| id as i32).collect();
        Tensor::from_data(TensorData::new(ids, [1, tokens.len()]), &self.device())
    }
}

/// What `new` tokens behind `past` others see, which both are whole blocks of a length, except for the last: all that stands
/// before their block's end.
pub(crate) fn block_mask(past: usize, new: usize, block: usize) -> AttentionMask {
    let end = |place: usize| ((place / block + 1) * block).min(past + new) as u32;
    if end(past) == end(past + new.saturating_sub(1)) {
        return AttentionMask::bidirectional();
    }
    let run = |place: usize| [(0, end(place)), (end(place), end(place))];
    AttentionMask::two_runs((past..past + new).map(run).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{DiffusionConfig, MaskedRows, ModelConfig, tiny};
    use super::*;
    use burn::tensor::Device;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = expected.iter().map(|value| value.abs()).fold(1.0, f32::max);
        assert!(apart < 1e-5 * largest, "{apart} of {largest}");
    }

    #[test]
    fn blocks_behind_a_cache_have_the_logits_of_one_pass_over_all() {
        let diffusion = DiffusionConfig { mask_token_id: 31, block_length: Some(3), shift_logits: false };
        let config = ModelConfig {
            num_hidden_layers: 2,
            initializer_range: 0.3,
            diffusion: Some(diffusion),
            ..tiny(32)
        };
        let model = Transformer::init(&config, 3, &Device::flex()).unwrap();
        let clean: Vec<u32> = (0..11).map(|i| i * 7 % 31).collect();
        let mut noised = clean.clone();
        (noised[9], noised[10]) = (31, 31);
        let rows = MaskedRows { seq: 11, noised: &noised, clean: &clean, segments: &[1; 11] };
        let expected = values(model.forward_masked(&rows, &[9, 10], &mut Trace::default()));
        // Pieces of whole blocks, whatever their number, and the last block, which is shorter.
        for pieces in [&[9][..], &[3, 6], &[6, 3], &[3, 3, 3]] {
            let mut cache = KvCache::new(&config, 1, 16);
            let mut start = 0;
            for piece in pieces {
                model.hidden_behind(&clean[start..start + piece], &mut cache, &block_mask(start, *piece, 3));
                start += piece;
            }
            let hidden = model.hidden_behind(&noised[9..], &mut cache, &block_mask(9, 2, 3));
            let found = values(model.logits_of(hidden, vec![0, 1]));
            close(&found, &expected);
            // What was read is forgotten, and read again.
            cache.truncate(0, 9);
            let hidden = model.hidden_behind(&noised[9..], &mut cache, &AttentionMask::bidirectional());
            assert_eq!(values(model.logits_of(hidden, vec![0, 1])), found);
        }
    }

    #[test]
    fn a_text_whose_tokens_all_see_each_other_is_one_block() {
        let config = ModelConfig { initializer_range: 0.3, ..tiny(32) };
        let model = Transformer::init(&config, 3, &Device::flex()).unwrap();
        let ids: Vec<u32> = (0..9).map(|i| i * 5 % 31).collect();
        let whole = values(model.hidden_of_text(&ids));
        let mut cache = KvCache::new(&config, 1, 16);
        close(&values(model.hidden_behind(&ids, &mut cache, &block_mask(0, 9, 9))), &whole);
        // A later token is seen by the first one.
        let mut other = ids.clone();
        other[8] = 30;
        assert!(values(model.hidden_of_text(&other))[0] != whole[0]);
    }
}
