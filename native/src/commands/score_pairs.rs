//! `score --pairs`: how often a model finds the better of two answers likelier.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use kindling::batch::{Content, EncodedRows, Encoder, ExampleSource, Fit, Loader, LoaderConfig, TooLong};
use kindling::data::{DataOptions, Dataset, RowOrder};
use kindling::error::Error;
use kindling::loss::{Dpo, DpoConfig, Reference};
use kindling::model::Transformer;
use kindling::text::RowKind;
use kindling::tokenizer::Tokenizer;
use kindling::train::{Stage, TrainConfig, evaluate};
use serde_json::{Value, json};

use super::score::ScoreArgs;
use super::train::tell;
use super::{load, masked_pairs, open_device};
use crate::cli::Everywhere;
use crate::date::Date;
use crate::failure::Failure;
use crate::model_files::{at, open_checkpoint};
use crate::output::{self, Output};
use crate::sources;

/// Pairs in one forward pass.
const BATCH: usize = 4;

/// Flags of `score --pairs`.
#[derive(Args, Clone, Debug)]
pub struct PairArgs {
    /// Score the rows of --data as pairs of answers, through the chat template: how often the chosen one is likelier than
    /// the rejected one
    #[arg(long, requires = "data")]
    pub pairs: bool,
    /// The model that the rewards of pairs are reckoned from [default: the one under --adapter]
    #[arg(long, requires = "pairs")]
    pub reference: Option<PathBuf>,
    /// Score only the pairs that a run with this --val-split (and --seed) holds out
    #[arg(long, requires = "pairs", default_value_t = 0.0)]
    pub val_split: f64,
    /// The seed of the run that --val-split speaks of
    #[arg(long, requires = "pairs", default_value_t = TrainConfig::of(Stage::Dpo).seed)]
    pub seed: u64,
}

/// Scores the pairs of the data.
///
/// # Errors
/// Data that cannot be read, rows that are no pairs; a reference of another vocabulary.
pub fn run(
    args: &ScoreArgs,
    (model, tokenizer): (&Transformer, &Tokenizer),
    everywhere: &Everywhere,
) -> Result<(), Failure> {
    let (output, pairs) = (everywhere.output(), &args.pairs);
    if !(0.0..=0.9).contains(&pairs.val_split) {
        return Err(Failure::Usage(format!("--val-split is {}; it must be 0 to 0.9", pairs.val_split)));
    }
    if model.config().diffusion.is_some() {
        return masked_pairs::run(args, (model, tokenizer), everywhere);
    }
    let reference = reference(args, model, everywhere)?;
    let is_compared = reference.is_some();
    // Without one the rewards are no numbers, and are not shown.
    let objective = Dpo::new(DpoConfig::default(), reference.unwrap_or(Reference::Cached));
    let longest = model.config().context();
    let opened = Pairs::open(args, longest, tokenizer, output)?;
    let count = opened.part.end - opened.part.start;
    let mut loader = opened.loader(longest, pairs.seed);
    let held_out = pollster::block_on(evaluate(model, &objective, &mut loader, tokenizer))?;
    let state = loader.state();
    let left_out = state.dropped + state.unusable;
    tell_left_out(state.cut, left_out, model.config().context(), output);
    let result = show(&held_out.metrics, count - left_out, is_compared, output);
    output.json(&result);
    Ok(())
}

/// Says how many pairs were not used as they are.
pub(super) fn tell_left_out(cut: u64, left_out: u64, context: usize, output: Output) {
    if cut + left_out > 0 {
        output.warn(&format!(
            "{} longer than the model's {} positions and cut, {} left out (too long, or without an answer)",
            output::counted(cut, ["pair is", "pairs are"]),
            output::grouped(context as u64),
            output::counted(left_out, ["is", "are"])
        ));
    }
}

/// What rewards are reckoned from, where anything is.
fn reference(
    args: &ScoreArgs,
    model: &Transformer,
    everywhere: &Everywhere,
) -> Result<Option<Reference>, Failure> {
    let Some(path) = &args.pairs.reference else {
        return Ok((!args.model.adapter.is_empty()).then_some(Reference::Base));
    };
    Ok(Some(Reference::frozen(&reference_model(path, model, everywhere)?)))
}

/// The model at a path, for one that it is compared with.
///
/// # Errors
/// What is missing or damaged; another vocabulary; a model that predicts other tokens.
pub(super) fn reference_model(
    path: &Path,
    model: &Transformer,
    everywhere: &Everywhere,
) -> Result<Transformer, Failure> {
    let checkpoint = open_checkpoint(path)?;
    let (own, other) = (model.config().vocab_size, checkpoint.config.vocab_size);
    if own != other {
        return Err(Error::Model(
            format!(
                "{}: the reference has {other} tokens and the model {own}; give one of the same vocabulary",
                path.display()
            )
            .into(),
        )
        .into());
    }
    let is_alike = match model.config().diffusion.is_some() {
        true => checkpoint.config.check_masked("--reference").map(|_| ()),
        false => checkpoint.config.check_causal("--reference"),
    };
    is_alike.map_err(|error| at(path, error))?;
    let device = open_device(everywhere)?;
    Ok(load(&checkpoint, None, &device.device, path)?.with_dtype(everywhere.dtype.burn()))
}

/// The pairs, and which of them are scored.
pub(super) struct Pairs {
    pub(super) rows: Arc<dyn ExampleSource>,
    pub(super) order: RowOrder,
    /// All, or those that are held out.
    pub(super) part: Range<u64>,
}

impl Pairs {
    /// Opens them for rows of so many tokens.
    ///
    /// # Errors
    /// Data that cannot be read, rows that are no pairs, none that is held out.
    pub(super) fn open(
        args: &ScoreArgs,
        longest: usize,
        tokenizer: &Tokenizer,
        output: Output,
    ) -> Result<Self, Failure> {
        let mut tokenizer = tokenizer.clone();
        Date::today().set(&mut tokenizer);
        let options = DataOptions {
            limit: args.limit,
            skip_bad_rows: args.skip_bad_rows,
            kind: Some(RowKind::Preference),
            template_keys: tokenizer.template_keys(),
            text_column: args.reading.text_column.clone(),
            ..DataOptions::default()
        };
        let (sources, shares) = sources::open_mix(&args.data, args.reading.encoding)?;
        let data = Dataset::open_mix(sources, &shares, options)?;
        tell(data.report(), output);
        let (share, seed) = (args.pairs.val_split, args.pairs.seed);
        let split = data.split(share, seed);
        let part = if share > 0.0 { split.validation_part() } else { 0..data.len() };
        if part.is_empty() {
            return Err(Failure::Usage(format!(
                "--val-split {share} of {} pairs holds none out; give a larger share, or leave it out",
                data.len()
            )));
        }
        let encoder = Encoder::new(Arc::new(tokenizer), Content::Preferences).for_rows_of(longest);
        let skip_bad_rows = data.skip_bad_rows();
        let rows = Arc::new(EncodedRows { dataset: Arc::new(data), encoder, skip_bad_rows });
        Ok(Self { rows, order: split.order().clone(), part })
    }

    fn loader(self, longest: usize, seed: u64) -> Loader {
        let fit = Fit::new(Content::Preferences, longest, TooLong::Cut);
        let config = LoaderConfig { batch_size: BATCH, fit, packing: false, seed };
        Loader::new(self.rows, config, self.order, self.part, false)
    }
}

/// Shows measures of pairs, and gives them as an object.
pub(super) fn show(
    metrics: &BTreeMap<&'static str, f64>,
    pairs: u64,
    is_compared: bool,
    output: Output,
) -> Value {
    let metric = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
    let mut result = json!({"pairs": pairs, "chosen_likelier": metric("chosen_likelier")});
    let likelier = 100.0 * metric("chosen_likelier");
    output.line(&format!(
        "{}, the chosen answer likelier in {likelier:.1} %",
        output::counted(pairs, ["pair", "pairs"])
    ));
    if is_compared {
        for name in ["reward_margin", "reward_accuracy", "reward_chosen", "reward_rejected"] {
            result[name] = json!(metric(name));
        }
        output.line(&format!(
            "against the reference: reward margin {:.4}, accuracy {:.1} % (beta {})",
            metric("reward_margin"),
            100.0 * metric("reward_accuracy"),
            DpoConfig::default().beta
        ));
    }
    result
}
