//! A masked predictor's files in the form of LLaDA's published code, where a directory is exported.

use kindling::error::Error;
use kindling::formats::{Files, to_llada};
use kindling::model::{DiffusionConfig, ModelConfig};

use crate::failure::Failure;
use crate::output::Output;

/// The files with LLaDA's names and config where they are a masked predictor's; those of a run, whose state belongs to the
/// names that it trains under, and those of a model that the published code cannot compute stay as they are, which is told.
///
/// # Errors
/// Files that are damaged, by name.
pub fn as_llada(files: Files, output: Output) -> Result<Files, Failure> {
    let config = files.get("config.json").and_then(|json| ModelConfig::from_hugging_face(json).ok());
    let Some(diffusion) = config.and_then(|config| config.diffusion) else { return Ok(files) };
    if files.keys().any(|name| name.starts_with("training/")) {
        output.warn(
            "the run goes on under Kindling's names of the weights, which stay; --weights-only writes the model with those \
             of LLaDA's published code",
        );
        return Ok(files);
    }
    match to_llada(&files) {
        Ok(made) => {
            differences(&diffusion).iter().for_each(|warning| output.warn(warning));
            Ok(made)
        }
        Err(Error::Model(told)) if told.code() == "model.not_llada" => {
            output.warn(&told);
            Ok(files)
        }
        Err(e) => Err(e.into()),
    }
}

/// What the published code does otherwise than the model that it opens.
fn differences(diffusion: &DiffusionConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if diffusion.shift_logits {
        warnings.push(
            "this model's logits predict the token behind their position (shift_logits in config.json), and LLaDA's published \
             code takes those of the position itself: move them by one there, or what it writes means nothing"
                .to_string(),
        );
    }
    if let Some(length) = diffusion.block_length {
        warnings.push(format!(
            "this model's positions see their block of {length} tokens and those before it (block_length in config.json), and \
             LLaDA's published code lets every position see every position: give it the mask of the blocks there"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_published_code_does_otherwise_is_told() {
        let diffusion = DiffusionConfig { mask_token_id: 1, block_length: None, shift_logits: false };
        assert!(differences(&diffusion).is_empty());
        let both = differences(&DiffusionConfig { block_length: Some(8), shift_logits: true, ..diffusion });
        assert_eq!(both.len(), 2);
        assert!(both[0].contains("shift_logits") && both[1].contains("block of 8 tokens"), "{both:?}");
    }
}
