//! A masked predictor's files in the form of LLaDA's published code, where a directory is exported.

use kindling::error::Error;
use kindling::formats::{Files, llada_differences, to_llada};
use kindling::model::ModelConfig;

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
            llada_differences(&diffusion).iter().for_each(|warning| output.warn(warning));
            Ok(made)
        }
        Err(Error::Model(told)) if told.code() == "model.not_llada" => {
            output.warn(&told);
            Ok(files)
        }
        Err(e) => Err(e.into()),
    }
}
