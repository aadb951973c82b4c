//! What tests use in place of a masked predictor.

use std::ops::Range;

use super::decoder::MaskedDecoder;
use super::predictor::{Predictor, Side};
use crate::error::Result;
use crate::model::DiffusionConfig;
use crate::sample::fake::LETTERS;

/// The mask token, behind the letters.
pub const MASK: u32 = LETTERS.len() as u32;

/// A model that wants a token at each place, so much more than all others.
pub struct Wanting {
    pub diffusion: DiffusionConfig,
    pub context: usize,
    /// Token and its logit by place; the others have 0.
    pub wants: Vec<(u32, f32)>,
    /// The side, canvas and places of each call.
    pub calls: Vec<(Side, Vec<u32>, Vec<usize>)>,
}

impl Wanting {
    /// A decoder whose model wants the letters of `text` from the first place on, each with its logit.
    pub fn decoder(block_length: Option<usize>, text: &str, logits: &[f32]) -> MaskedDecoder<Self> {
        let id = |letter: char| LETTERS.find(letter).unwrap() as u32;
        let wants = text.chars().map(id).zip(logits.iter().copied()).collect();
        let diffusion = DiffusionConfig { mask_token_id: MASK, block_length, shift_logits: true };
        let predictor = Self { diffusion, context: text.len(), wants, calls: Vec::new() };
        MaskedDecoder { predictor }
    }
}

impl Predictor for Wanting {
    fn diffusion(&self) -> &DiffusionConfig {
        &self.diffusion
    }

    fn vocab(&self) -> usize {
        LETTERS.len() + 1
    }

    fn context(&self) -> usize {
        self.context
    }

    fn held(&self) -> usize {
        0
    }

    fn begin(&mut self, _: usize, _: usize, _: usize, _: bool) {}

    async fn read(&mut self, _: Side, _: &[u32], _: usize) -> Result<usize> {
        Ok(0)
    }

    async fn predict(
        &mut self,
        side: Side,
        canvas: &[u32],
        block: &Range<usize>,
        places: &[usize],
    ) -> Result<Vec<f32>> {
        assert!(places.iter().all(|place| block.contains(place) && canvas[*place] == MASK));
        self.calls.push((side, canvas.to_vec(), places.to_vec()));
        let row = |&place: &usize| {
            let (id, logit) = self.wants[place];
            let mut row = vec![0.0; LETTERS.len() + 1];
            // The mask token is the likeliest, and never chosen.
            row[MASK as usize] = 50.0;
            row[id as usize] = if side == Side::Prompted { logit } else { -logit };
            row
        };
        Ok(places.iter().flat_map(row).collect())
    }
}
