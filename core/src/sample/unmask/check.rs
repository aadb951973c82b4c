//! Whether a masked predictor can do what is asked of it, told before any work.

use super::plan::Plan;
use crate::error::Result;
use crate::model::ModelConfig;
use crate::sample::request::GenerationRequest;

/// Refuses what [`crate::sample::Writer::write`] of a masked predictor would, or where the prompt is an `infill` what
/// [`crate::sample::Writer::infill`] would.
///
/// # Errors
/// A model that predicts the next token; settings that do not hold for this model; a prompt that does not fit.
pub fn check_unmask(model: &ModelConfig, request: &GenerationRequest<'_>, infill: bool) -> Result<()> {
    let diffusion = model.check_masked("filling in masks")?;
    let bounds = [model.context(), model.vocab_size];
    let plan = match infill {
        true => Plan::of_canvas(request, diffusion, bounds),
        false => Plan::of_answer(request, diffusion, bounds),
    };
    plan.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DiffusionConfig, preset};
    use crate::sample::{SamplingConfig, UnmaskConfig};

    #[test]
    fn what_cannot_be_written_is_told_before() {
        let causal = preset("nano").unwrap().config(None);
        let (mask, context) = (causal.vocab_size as u32 - 1, causal.context());
        let with = |block_length: Option<usize>| {
            let diffusion = DiffusionConfig { mask_token_id: mask, block_length, shift_logits: true };
            ModelConfig { diffusion: Some(diffusion), ..causal.clone() }
        };
        let config = SamplingConfig::default();
        let told = |model: &ModelConfig, prompt: &[u32], infill: bool| {
            let request = GenerationRequest {
                prompt,
                reuse: 0,
                end_ids: &[],
                tokenizer: None,
                config: &config,
                unmask: UnmaskConfig::default(),
            };
            check_unmask(model, &request, infill).map_err(|error| error.told().code())
        };
        let both = with(None);
        assert_eq!((told(&both, &[1, 2], false), told(&both, &[1, mask, 2], true)), (Ok(()), Ok(())));
        assert_eq!(told(&both, &vec![1; context], false), Err("unmask.no_room"));
        assert_eq!(told(&both, &[mask, 2], true), Err("infill.first"));
        assert_eq!(told(&with(Some(4)), &[1, mask, 2], true), Err("infill.blocks"));
        assert!(told(&causal, &[1], false).is_err());
    }
}
