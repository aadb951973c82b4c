//! `--rope-scaling`: what a model's positions become, where it trains, where it is used and where its files are made.

use kindling::error::Error;
use kindling::formats::Files;
use kindling::model::{ModelConfig, RopeSettings};

use crate::failure::Failure;
use crate::output::Output;

/// A model's shape with what is said of its positions, which is told; `longest` is the length of the rows that it trains
/// on, where it trains.
///
/// # Errors
/// Settings that would not act or do not hold.
pub fn stretched(
    rope: &RopeSettings,
    config: ModelConfig,
    longest: Option<usize>,
    output: Output,
) -> Result<ModelConfig, Failure> {
    let (config, remarks) = rope.shape(config, longest)?;
    remarks.iter().for_each(|remark| output.say(remark));
    Ok(config)
}

/// The same of the files of a model.
///
/// # Errors
/// Files of a run, whose state belongs to the model as it is; as [`stretched`].
pub fn stretch_files(rope: &RopeSettings, files: &mut Files, output: Output) -> Result<(), Failure> {
    if rope.is_empty() {
        return Ok(());
    }
    if files.keys().any(|name| name.starts_with("training/")) {
        return Err(Failure::Usage(
            "--rope-scaling would change the model of a run that goes on; add --weights-only to take the model alone"
                .into(),
        ));
    }
    let json = files.get("config.json").map(Vec::as_slice).unwrap_or_default();
    let (json, remarks) = rope.rewrite(json)?;
    remarks.iter().for_each(|remark| output.say(remark));
    files.insert("config.json".into(), json.into_bytes());
    Ok(())
}

/// Refuses to stretch a model under an adapter, which is used with the model as its files have it.
///
/// # Errors
/// Names the way to a stretched model.
pub fn refuse_beside_adapter(rope: &RopeSettings) -> Result<(), Failure> {
    if rope.is_empty() {
        return Ok(());
    }
    Err(Failure::Usage(
        "--rope-scaling would change the model that the adapter belongs to, and an adapter has no place to say so: it is used \
         with the model as its files have it. Stretch that first, with `kindling export --model DIR --to hf --weights-only \
         --rope-scaling yarn --rope-factor 2 --out DIR2`, and adapt DIR2; or train the model itself"
            .into(),
    ))
}

/// What is wrong with a run's settings, with the way to rows that are longer than the model.
pub fn with_remedy(error: Error) -> Error {
    match error {
        Error::Config(mut problems) if problems.iter().any(|told| told.code() == "train.length_over") => {
            problems.push(
                "--rope-scaling yarn stretches a model to rows of that length, and --rope-scaling none takes them as they \
                 are (under an adapter the model is stretched first: `kindling export --to hf --rope-scaling yarn`)"
                    .into(),
            );
            Error::Config(problems)
        }
        other => other,
    }
}
