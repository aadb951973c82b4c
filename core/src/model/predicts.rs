//! Which of the two kinds of models a work needs: one that predicts the next token, or one that predicts masked tokens.

use super::{DiffusionConfig, ModelConfig};
use crate::error::{Error, Result};
use crate::told::told;

impl ModelConfig {
    /// Refuses a masked predictor for `what`, which works with a model that predicts the next token alone.
    ///
    /// # Errors
    /// A masked predictor, with what to take instead.
    pub fn check_causal(&self, what: &str) -> Result<()> {
        if self.diffusion.is_none() {
            return Ok(());
        }
        Err(Error::Model(told!(
            "model.diffusion",
            "{what} needs a model that predicts the next token, and this one predicts masked tokens (diffusion); take the \
             model that it was converted from",
            what
        )))
    }

    /// Refuses a model that predicts the next token for `what`, which works with a masked predictor alone.
    ///
    /// # Errors
    /// A causal model, with the way to convert it.
    pub fn check_masked(&self, what: &str) -> Result<&DiffusionConfig> {
        self.diffusion.as_ref().ok_or_else(|| {
            Error::Model(told!(
                "model.causal",
                "{what} needs a model that predicts masked tokens, and this one predicts the next token; make one of it with \
                 `kindling convert --to diffusion --model DIR --out NEW`",
                what
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::preset;
    use super::*;

    fn masked() -> ModelConfig {
        let diffusion = DiffusionConfig { mask_token_id: 6399, block_length: None, shift_logits: false };
        ModelConfig { diffusion: Some(diffusion), ..preset("minimind2").unwrap().config(None) }
    }

    #[test]
    fn each_kind_of_model_is_refused_where_the_other_is_needed() {
        let masked = masked();
        let causal = ModelConfig { diffusion: None, ..masked.clone() };
        assert!(causal.check_causal("dpo").is_ok() && masked.check_masked("infill").is_ok());
        let told = masked.check_causal("dpo").unwrap_err().to_string();
        assert!(told.starts_with("dpo needs a model that predicts the next token"), "{told}");
        assert!(told.contains("take the model that it was converted from"), "{told}");
        let told = causal.check_masked("infill").unwrap_err().to_string();
        assert!(told.contains("kindling convert --to diffusion"), "{told}");
    }
}
