//! Which positions may look at which.

use burn::tensor::{Bool, Device, Tensor, TensorData};

/// A mask over attention scores; `true` hides.
#[derive(Clone, Debug)]
pub struct AttentionMask {
    /// `[batch or 1, 1, query, key]`; none hides nothing.
    hidden: Option<Tensor<4, Bool>>,
}

impl AttentionMask {
    /// Every position sees every position.
    pub fn bidirectional() -> Self {
        Self { hidden: None }
    }

    /// A position sees itself and what stands before it; `past` keys stand before the first query.
    pub fn causal(queries: usize, past: usize, device: &Device) -> Self {
        if queries == 1 {
            return Self::bidirectional();
        }
        let keys = past + queries;
        let hidden = (0..queries)
            .flat_map(|q| (0..keys).map(move |k| k > past + q))
            .collect();
        Self::from_bools(hidden, [1, 1, queries, keys], device)
    }

    /// Positions see only their own segment (a document of a packed row); segment 0 is padding, which
    /// nothing sees but itself, so that its rows stay finite.
    ///
    /// # Shapes
    /// `segments [batch · seq]`, row by row.
    pub fn segments(segments: &[u32], [batch, seq]: [usize; 2], causal: bool, device: &Device) -> Self {
        let mut hidden = Vec::with_capacity(batch * seq * seq);
        for row in segments.chunks_exact(seq) {
            for q in 0..seq {
                let visible = |k: usize| {
                    let same = row[q] == row[k] && (row[k] != 0 || q == k);
                    same && (!causal || k <= q)
                };
                hidden.extend((0..seq).map(|k| !visible(k)));
            }
        }
        Self::from_bools(hidden, [batch, 1, seq, seq], device)
    }

    fn from_bools(hidden: Vec<bool>, shape: [usize; 4], device: &Device) -> Self {
        Self {
            hidden: Some(Tensor::from_data(TensorData::new(hidden, shape), device)),
        }
    }

    /// Puts minus infinity (a number low enough in every float type) on the hidden scores.
    ///
    /// # Shapes
    /// `scores [batch, heads, query, key]` → the same.
    pub fn apply(&self, scores: Tensor<4>) -> Tensor<4> {
        match &self.hidden {
            Some(hidden) => {
                let [batch, heads, query, key] = scores.dims();
                scores.mask_fill(hidden.clone().expand([batch, heads, query, key]), -1e4)
            }
            None => scores,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(mask: &AttentionMask) -> Vec<Vec<bool>> {
        let hidden = mask.hidden.clone().unwrap();
        let keys = hidden.dims()[3];
        let bits: Vec<bool> = hidden.into_data().iter::<bool>().collect();
        bits.chunks(keys).map(<[bool]>::to_vec).collect()
    }

    #[test]
    fn causal_with_a_past() {
        let mask = AttentionMask::causal(2, 1, &Device::flex());
        assert_eq!(rows(&mask), [[false, false, true], [false, false, false]]);
    }

    #[test]
    fn segments_see_only_themselves_and_padding_sees_itself() {
        let mask = AttentionMask::segments(&[1, 1, 2, 0], [1, 4], true, &Device::flex());
        let (x, o) = (true, false);
        assert_eq!(
            rows(&mask),
            [[o, x, x, x], [o, o, x, x], [x, x, o, x], [x, x, x, o]]
        );
        let mask = AttentionMask::segments(&[1, 1, 2, 0], [1, 4], false, &Device::flex());
        assert_eq!(
            rows(&mask),
            [[o, o, x, x], [o, o, x, x], [x, x, o, x], [x, x, x, o]]
        );
    }
}
