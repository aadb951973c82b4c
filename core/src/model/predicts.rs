//! Which of the two kinds of models a work needs: one that predicts the next token, or one that predicts masked tokens.

use super::{DiffusionConfig, ModelConfig};
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;
use crate::told::told;

impl ModelConfig {
    /// Refuses a tokenizer in which a text may hold a masked predictor's mask. One that has no token of this id is none of
    /// them: a mask that was made without a tokenizer stands behind all tokens.
    ///
    /// # Errors
    /// What the tokenizer has in the mask's place, or for its mask.
    pub fn check_mask(&self, tokenizer: &Tokenizer) -> Result<()> {
        let Some(DiffusionConfig { mask_token_id: mask, .. }) = self.diffusion else { return Ok(()) };
        if let Some(own) = tokenizer.mask().filter(|own| *own != mask) {
            return Err(Error::Model(told!(
                "model.other_mask",
                "mask_token_id is {mask}, and the tokenizer's mask_token is {name} with the id {own}; use the tokenizer that was \
                 saved with the model",
                mask,
                name = tokenizer.token_text(own),
                own
            )));
        }
        let roles = [tokenizer.bos(), tokenizer.eos(), tokenizer.pad()];
        let hides = tokenizer.is_added(mask) && !roles.contains(&Some(mask));
        match tokenizer.has_id(mask) && !hides {
            false => Ok(()),
            true => Err(Error::Model(told!(
                "model.mask_word",
                "mask_token_id is {mask}, which is '{name}' in the tokenizer; a mask must be a token of its own that no text \
                 holds: use the config.json and the tokenizer that were saved with the model",
                mask,
                name = tokenizer.token_text(mask)
            ))),
        }
    }

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
    use crate::tokenizer::{TokenizerTraining, train};

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

    #[test]
    fn a_mask_that_is_a_word_or_has_another_role_is_refused_by_name() {
        let settings = TokenizerTraining { vocab_size: 280, ..TokenizerTraining::default() };
        let plain = train(["the cat sat on the mat".repeat(3)].into_iter(), &settings).unwrap();
        let (with_mask, mask) = plain.with_mask_token().unwrap();
        let check = |mask_token_id: u32, tokenizer: &Tokenizer| {
            let diffusion = DiffusionConfig { mask_token_id, block_length: None, shift_logits: false };
            let config = ModelConfig { diffusion: Some(diffusion), ..masked() };
            config.check_mask(tokenizer).map_err(|error| error.to_string())
        };
        assert_eq!(check(mask, &with_mask), Ok(()));
        assert_eq!(
            check(mask, &plain),
            Ok(()),
            "behind all tokens, as one that was made without a tokenizer"
        );
        let word = plain.encode("cat").unwrap()[0];
        let name = format!("mask_token_id is {word}, which is '{}' in the tokenizer", plain.token_text(word));
        assert!(check(word, &plain).unwrap_err().contains(&name));
        for role in [plain.bos(), plain.eos(), plain.pad()].into_iter().flatten() {
            assert!(check(role, &plain).unwrap_err().contains("in the tokenizer"), "{role}");
        }
        let told = check(word, &with_mask).unwrap_err();
        assert!(told.contains("the tokenizer's mask_token is <|mask|> with the id"), "{told}");
    }
}
