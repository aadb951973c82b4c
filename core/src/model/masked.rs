//! Logits that predict hidden tokens, whatever the attention of the model that predicts them.
//!
//! In a block model a hidden token sees its own block, with what is hidden there, and the blocks before it as they are: so
//! all blocks of a text are predicted in one pass over `[noised | clean]`, where the positions stand twice (Arriola et al.,
//! 2025, <https://arxiv.org/abs/2503.09573>).

use std::ops::Range;

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{DiffusionConfig, Trace, Transformer};
use crate::kernels::{Angles, AttentionMask};

/// Rows some of whose tokens are hidden, `batch · seq` values each, row by row.
#[derive(Clone, Copy, Debug)]
pub struct MaskedRows<'a> {
    /// Tokens a row.
    pub seq: usize,
    /// What the model reads: a mask token where one is hidden.
    pub noised: &'a [u32],
    /// The same tokens before any was hidden: what a block sees of the blocks before it.
    pub clean: &'a [u32],
    /// Which text of its row a token belongs to: texts do not see each other, and blocks are counted from the beginning of
    /// each. 0 is padding, which no text sees.
    pub segments: &'a [u32],
}

/// What one pass forward reads, and where its logits are taken.
struct Pass {
    tokens: Vec<u32>,
    /// How often a row stands in `tokens`, one copy behind the other.
    copies: usize,
    mask: AttentionMask,
    /// For each place the token among `tokens` whose logits predict it.
    from: Vec<i32>,
}

impl Transformer {
    /// Logits that predict the tokens at `places`, which number the tokens of all rows, one after the other, and of which
    /// there is at least one. Where logits are shifted, those of the token before do; the first token of a text has none
    /// before it and gets its own. Of a model that predicts next tokens they are those of a causal pass over the clean
    /// rows. `trace` has the noised copies of the rows alone in what it has of the routing.
    ///
    /// # Shapes
    /// `n` places → `[n, vocab]` in f32.
    pub fn forward_masked(&self, rows: &MaskedRows<'_>, places: &[u32], trace: &mut Trace) -> Tensor<2> {
        let Pass { tokens, copies, mask, from } = Pass::of(self.config.diffusion.as_ref(), rows, places);
        let length = copies * rows.seq;
        let tokens = of_rows(&tokens, length, &self.device());
        let angles = self.rope.angles(0, rows.seq, rows.seq);
        let angles = match copies {
            1 => angles,
            copies => Angles::new(angles.cos().repeat(copies), angles.sin().repeat(copies)),
        };
        let x = self.hidden_at(tokens, &angles, &mask, trace);
        if copies > 1
            && let Some(layers) = &mut trace.routing
        {
            for layer in layers {
                for values in [&mut layer.logits, &mut layer.probabilities, &mut layer.chosen] {
                    *values = values.clone().narrow(1, 0, rows.seq);
                }
            }
        }
        self.logits_of(x, from)
    }
}

impl Pass {
    fn of(diffusion: Option<&DiffusionConfig>, rows: &MaskedRows<'_>, places: &[u32]) -> Self {
        let texts = texts(rows.segments, rows.seq);
        let before = |place: u32| {
            let (row, at) = (place as usize / rows.seq, place as usize % rows.seq);
            row * rows.seq + at.saturating_sub(1).max(texts[place as usize].start)
        };
        let Some(diffusion) = diffusion else {
            let mask = AttentionMask::segments(rows.segments, rows.seq, true);
            let from = places.iter().map(|&place| before(place) as i32).collect();
            return Self { tokens: rows.clean.to_vec(), copies: 1, mask, from };
        };
        // A block as long as a row holds every text whole.
        if let Some(block) = diffusion.block_length.filter(|&block| block < rows.seq) {
            return Self::over_blocks(rows, &texts, places, block.max(1), diffusion.shift_logits);
        }
        let whole = rows.segments.iter().all(|&segment| segment == 1);
        let mask = match whole {
            true => AttentionMask::bidirectional(),
            false => AttentionMask::segments(rows.segments, rows.seq, false),
        };
        let from = |&place: &u32| if diffusion.shift_logits { before(place) as i32 } else { place as i32 };
        Self { tokens: rows.noised.to_vec(), copies: 1, mask, from: places.iter().map(from).collect() }
    }

    fn over_blocks(
        rows: &MaskedRows<'_>,
        texts: &[Range<usize>],
        places: &[u32],
        block: usize,
        shifted: bool,
    ) -> Self {
        let seq = rows.seq;
        let halves = rows.noised.chunks_exact(seq).zip(rows.clean.chunks_exact(seq));
        let tokens = halves.flat_map(|(noised, clean)| noised.iter().chain(clean)).copied().collect();
        let from = |&place: &u32| {
            let (place, text) = (place as usize, &texts[place as usize]);
            let (row, at) = (place / seq, place % seq);
            let noised = 2 * row * seq;
            let from = match shifted && at > text.start {
                false => noised + at,
                true if block_of(at, text, block).start < at => noised + at - 1,
                true => noised + seq + at - 1,
            };
            from as i32
        };
        let from = places.iter().map(from).collect();
        Self { tokens, copies: 2, mask: both_copies_mask(texts, seq, block), from }
    }
}

/// A noised block sees itself and the clean blocks before it; a clean one sees the clean ones up to itself.
fn both_copies_mask(texts: &[Range<usize>], seq: usize, block: usize) -> AttentionMask {
    let run = |places: Range<usize>| (places.start as u32, places.end as u32);
    let mut pairs = Vec::with_capacity(2 * texts.len());
    for row in texts.chunks_exact(seq) {
        for (at, text) in row.iter().enumerate() {
            let own = block_of(at, text, block);
            pairs.push([run(own.clone()), run(seq + text.start..seq + own.start)]);
        }
        for (at, text) in row.iter().enumerate() {
            let end = seq + block_of(at, text, block).end;
            pairs.push([run(seq + text.start..end), run(end..end)]);
        }
    }
    AttentionMask::two_runs(pairs)
}

/// The places of a block that holds the place `at` of a text.
fn block_of(at: usize, text: &Range<usize>, block: usize) -> Range<usize> {
    let start = at - (at - text.start) % block;
    start..start.saturating_add(block).min(text.end)
}

/// Where in its row the text of each place stands; padding is a text of one.
fn texts(segments: &[u32], seq: usize) -> Vec<Range<usize>> {
    let mut texts = Vec::with_capacity(segments.len());
    for row in segments.chunks_exact(seq) {
        let mut start = 0;
        for text in row.chunk_by(|a, b| a == b && *a != 0) {
            let end = start + text.len();
            texts.extend(std::iter::repeat_n(start..end, text.len()));
            start = end;
        }
    }
    texts
}

fn of_rows(ids: &[u32], seq: usize, device: &Device) -> Tensor<2, Int> {
    let values: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(values, [ids.len() / seq, seq]), device)
}

#[cfg(test)]
mod tests {
    use super::super::{ModelConfig, tiny};
    use super::*;

    const MASK: u32 = 31;

    fn model(block_length: Option<usize>, shift_logits: bool) -> Transformer {
        let diffusion = Some(DiffusionConfig { mask_token_id: MASK, block_length, shift_logits });
        let config = ModelConfig {
            num_hidden_layers: 2,
            initializer_range: 0.3,
            diffusion,
            ..tiny(MASK as usize + 1)
        };
        Transformer::init(&config, 3, &Device::flex()).unwrap()
    }

    /// Two rows of eight: a text of five and one of three; a text of six and padding.
    const SEGMENTS: [u32; 16] = [1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0];
    const CLEAN: [u32; 16] = [4, 9, 2, 7, 5, 3, 8, 1, 6, 2, 2, 11, 10, 4, 0, 0];
    const HIDDEN: [u32; 6] = [1, 3, 4, 6, 9, 13];

    fn noised() -> Vec<u32> {
        let mut noised = CLEAN.to_vec();
        HIDDEN.iter().for_each(|&place| noised[place as usize] = MASK);
        noised
    }

    fn found(model: &Transformer, noised: &[u32]) -> Vec<f32> {
        let rows = MaskedRows { seq: 8, noised, clean: &CLEAN, segments: &SEGMENTS };
        values(model.forward_masked(&rows, &HIDDEN, &mut Trace::default()))
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = expected.iter().map(|value| value.abs()).fold(1.0, f32::max);
        assert!(apart < 2e-5 * largest, "{apart} of {largest}");
    }

    /// Logits of each hidden token from passes over its text alone: `read` gives what stands before the token's block as it
    /// is, and the block itself, which sees all of that; `behind` says from which place logits are taken.
    fn one_by_one(model: &Transformer, block: usize, shifted: bool) -> Vec<f32> {
        let noised = noised();
        let mut logits = Vec::new();
        for &place in &HIDDEN {
            let (row, at) = (place as usize / 8, place as usize % 8);
            let segments = &SEGMENTS[row * 8..][..8];
            let start = (0..8).find(|&i| segments[i] == segments[at]).unwrap();
            let end = (start..8).find(|&i| segments[i] != segments[at]).unwrap_or(8);
            let block_start = start + (at - start) / block * block;
            let from = if shifted { at - 1 } else { at };
            // The block of the token whose logits are taken, which with shifting may be the one before, finished.
            let own = if from < block_start { &CLEAN[..] } else { &noised[..] };
            let last_start = start + (from - start) / block * block;
            let last_end = (last_start + block).min(end);
            let mut ids = CLEAN[row * 8 + start..row * 8 + last_start].to_vec();
            ids.extend(&own[row * 8 + last_start..row * 8 + last_end]);
            let ends = (0..ids.len()).map(|i| ((i / block + 1) * block).min(ids.len()) as u32);
            let pairs = ends.map(|end| [(0, end), (end, end)]).collect();
            let seq = ids.len();
            let out =
                values(model.forward(of_rows(&ids, seq, &Device::flex()), &AttentionMask::two_runs(pairs)));
            logits.extend(&out[(from - start) * 32..][..32]);
        }
        logits
    }

    #[test]
    fn each_block_sees_itself_and_the_clean_blocks_before_it() {
        for shifted in [false, true] {
            for block in [1, 2, 3, 5, 7] {
                let model = model(Some(block), shifted);
                close(&found(&model, &noised()), &one_by_one(&model, block, shifted));
            }
        }
    }

    #[test]
    fn a_block_as_long_as_the_text_is_plain_masking() {
        for shifted in [false, true] {
            let plain = found(&model(None, shifted), &noised());
            assert_eq!(found(&model(Some(8), shifted), &noised()), plain, "as long as the row: exactly");
            close(&found(&model(Some(6), shifted), &noised()), &plain);
            close(&one_by_one(&model(None, shifted), 8, shifted), &plain);
        }
    }

    #[test]
    fn blocks_of_one_with_shifted_logits_are_the_causal_model() {
        let causal = model(Some(1), true);
        let config = ModelConfig { diffusion: None, ..causal.config().clone() };
        let parent = Transformer::init(&config, 3, &Device::flex()).unwrap();
        let all = values(
            parent.forward(of_rows(&CLEAN, 8, &Device::flex()), &AttentionMask::segments(&SEGMENTS, 8, true)),
        );
        let expected: Vec<f32> =
            HIDDEN.iter().flat_map(|&place| all[(place as usize - 1) * 32..][..32].to_vec()).collect();
        close(&found(&causal, &noised()), &expected);
        // Which gives the same by itself.
        close(&found(&parent, &noised()), &expected);
    }

    #[test]
    fn padding_and_other_texts_are_not_seen() {
        for block_length in [None, Some(2)] {
            let model = model(block_length, true);
            let before = found(&model, &noised());
            let mut other = noised();
            (other[14], other[15]) = (20, 21);
            assert_eq!(found(&model, &other), before, "padding");
            (other[5], other[7]) = (22, 23);
            let after = found(&model, &other);
            assert_eq!((&after[..3 * 32], &after[4 * 32..]), (&before[..3 * 32], &before[4 * 32..]));
            assert!(after[3 * 32..4 * 32] != before[3 * 32..4 * 32], "but the text itself is");
        }
    }

    #[test]
    fn the_first_token_of_a_text_has_logits_of_its_own() {
        let rows = MaskedRows { seq: 8, noised: &noised(), clean: &CLEAN, segments: &SEGMENTS };
        for block_length in [None, Some(3)] {
            let [own, shifted] = [false, true].map(|shifted| {
                let model = model(block_length, shifted);
                values(model.forward_masked(&rows, &[0, 5, 8, 14], &mut Trace::default()))
            });
            assert_eq!(own, shifted);
        }
    }

    #[test]
    fn attention_in_blocks_of_queries_gives_the_same() {
        use crate::kernels::AttentionBlocks;
        for block_length in [None, Some(2)] {
            let whole = model(block_length, true).with_attention_blocks(AttentionBlocks::Whole);
            let parts = whole.clone().with_attention_blocks(AttentionBlocks::Of(3));
            close(&found(&parts, &noised()), &found(&whole, &noised()));
        }
    }
}
