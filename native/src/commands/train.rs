//! `pretrain`, `sft`, `lora`, `dpo`, `distill`, `reason` and `grpo`: the same command with another objective or another set of
//! trained weights.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;

use kindling::batch::Content;
use kindling::data::{DataOptions, DataReport, Dataset, HeldOutShare};
use kindling::error::Error;
use kindling::example::rows_known_by;
use kindling::loss::{Objective, ReasonSettings};
use kindling::model::Transformer;
use kindling::prepared::Preparation;
use kindling::tokenizer::Tokenizer;
use kindling::train::{Job, Run, Stage, TrainConfig, questions_problem};
use serde_json::json;

use super::execute::{conclude, execute};
use super::part_of_run::{begun_directory, join_ranks, new_directory, of_this_rank};
use super::positions::with_remedy;
use super::second_model::SecondModel;
use super::start::{Start, newest, resume};
use super::train_args::{DATE, LENGTH, TrainArgs};
use super::{example, masked_start, open_device, shard_dir};
use crate::cli::{Everywhere, Invocation};
use crate::failure::Failure;
use crate::followed::{self, News};
use crate::output::{self, Output};
use crate::piped;
use crate::prepared_files;
use crate::run_dir::{Existing, RunDir, run_of};
use crate::run_kind::RunKind;
use crate::runs::FoundRun;
use crate::shares;
use crate::sources::{self, RowArgs};
use crate::written::DATA_REPORT;

/// Runs a stage: the model itself trains, or with `--lora` an adapter beside it.
pub fn run(
    stage: Stage,
    args: &TrainArgs,
    everywhere: &Everywhere,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let (kind, output) = (args.kind(stage), everywhere.output());
    if let (Some(name), Some(applied)) = (&args.like, &invocation.recipe) {
        applied.tell(name, kind, output);
    }
    args.check(kind, invocation)?;
    args.check_rendering(stage.row_kind(), &invocation.said)?;
    let started = args.model.is_some() || args.beside.preset.is_some() || args.beside.model_config.is_some();
    refuse_no_model(stage, args, started)?;
    masked_start::refuse_new(kind, args)?;
    if args.data.is_empty() && !started && !args.resume && !kind.adapts {
        return example::run(stage, args, everywhere, invocation);
    }
    let first = join_ranks(args)?;
    let resumed = begun_directory(args, first.as_deref())?;
    if args.data.is_empty() {
        return Err(no_data(kind, resumed.as_ref()));
    }
    refuse_typed_rows(args)?;
    let device = open_device(&of_this_rank(everywhere))?;
    let last_save = resumed.as_ref().map(newest).transpose()?;
    let Start { model, mut tokenizer, adapter, told_ends } =
        Start::open(args, last_save.as_deref(), &device, output)?;
    if resumed.is_none() {
        tell_origin(args, output);
    }
    args.set_date(stage.row_kind(), &invocation.typed, &mut tokenizer);
    let model = model.with_dtype(everywhere.dtype.burn());
    let begun = (&model, adapter.as_ref(), last_save.as_deref());
    let second = SecondModel::open(stage, args, begun, &tokenizer, &device)?;
    let objective = match &second {
        Some(second) => second.objective(),
        None => args.objective(stage, model.config(), &invocation.typed)?,
    };
    let context = objective.longest_row().unwrap_or(usize::MAX).min(model.config().context());
    let masked = model.config().diffusion.is_some();
    let (config, mut settings) = fitted(kind, args, invocation, (context, masked), output);
    let keys = tokenizer.template_keys();
    let keep = rows_to_keep(kind, args, &keys, &model)?;
    let dataset = open_data(stage, &config, &args.data, &args.rows, keys, output)
        .map_err(|failure| of_resumed(failure, args))?;
    let content = settle_content(stage, args, &dataset, &invocation.said, &mut settings)?;
    let (dataset, tokenizer) = (Arc::new(dataset), Arc::new(tokenizer));
    let dataset = processed(args, stage, dataset, &tokenizer, (&config, &*objective), output)?;
    let job = Job { stage, objective, dataset: Arc::clone(&dataset), keep, config, tokenizer, adapter };
    let again = second.is_some().then(|| job.clone());
    let (run, directory) = match (resumed, last_save) {
        (Some(directory), Some(save)) => (resume(job, model, &directory, &save, args.stop_after)?, directory),
        _ => (begin(job, model)?, new_directory(kind, args, invocation, &settings, first.as_deref())?),
    };
    if !args.resume {
        keep_report(&directory, &dataset)?;
    }
    let mut run = match second.zip(again) {
        Some((second, job)) => second.join(run, &job, &directory, args, output)?,
        None => run,
    };
    // A page that goes on with the run knows how to read its data.
    run.progress.encoding = args.rows.reading.encoding.map(|encoding| encoding.name().to_string());
    tell_standing(&run, &dataset, told_ends, output);
    let outcome = execute(run, &directory, &args.course(stage), &device, output)?;
    conclude((kind, content), &outcome, &directory, args.model.as_deref(), &args.data, everywhere)
}

/// Keeps what was found in the data with its run.
fn keep_report(directory: &RunDir, dataset: &Dataset) -> Result<(), Error> {
    let report = dataset.report();
    let odd = report.remarks(output::grouped).into_iter().map(|remark| remark.to_string());
    let warnings: Vec<String> = odd.chain(dataset.idle_turns().map(String::from)).collect();
    let kept = json!({"warnings": warnings, "report": report});
    directory.write(DATA_REPORT, format!("{kept:#}\n").as_bytes())
}

/// A new run; where its rows are longer than the model, the error tells what to do.
fn begin(job: Job, model: Transformer) -> Result<Run, Error> {
    job.start(model).map_err(with_remedy)
}

/// Says what run the model is that a new run takes, and how far that came.
fn tell_origin(args: &TrainArgs, output: Output) {
    if let Some(run) = args.model.as_deref().and_then(run_of) {
        output.say(&format!("begins with {} ({})", run.display(), FoundRun::open(&run).told()));
    }
}

/// The rows as tokens in the directory that `--process-data` names, where it does: made there if they are not yet.
fn processed(
    args: &TrainArgs,
    stage: Stage,
    rows: Arc<Dataset>,
    tokenizer: &Arc<Tokenizer>,
    (config, objective): (&TrainConfig, &dyn Objective),
    output: Output,
) -> Result<Arc<Dataset>, Failure> {
    let Some(out) = &args.process_data else { return Ok(rows) };
    if let Some(problem) = questions_problem(objective, config) {
        return Err(Error::Config(vec![problem]).into());
    }
    let (length, prompt, content) = (config.max_seq_len, objective.longest_prompt(), stage.content_of(&rows));
    let preparation = Preparation::new(rows, Arc::clone(tokenizer), content, length, prompt)?
        .with_tags(objective.reason().map(ReasonSettings::tag_weight));
    shard_dir::write(&preparation, out, Existing::Overwrite, output)?;
    Ok(Arc::new(prepared_files::open_directory(out)?))
}

/// Says which tokens end an answer now, where those of the model's files were others; whoever follows the run hears what it
/// will need.
fn tell_standing(run: &Run, dataset: &Dataset, told_ends: Option<Vec<u32>>, output: Output) {
    let rows = run.progress.rows;
    followed::tell(News::Stands { plan: &run.plan, rows, report: dataset.report() });
    let ends = &run.model.config().eos_token_ids;
    if let Some(remark) = told_ends.and_then(|told| run.tokenizer.gained_ends(&told, ends)) {
        output.say(&remark);
    }
}

/// The settings of a run with a model of this context, which may be a masked predictor: where no length was said, its rows
/// are no longer than that, and an adapter learns as such a model's does.
fn fitted(
    kind: RunKind,
    args: &TrainArgs,
    invocation: &Invocation,
    (context, masked): (usize, bool),
    output: Output,
) -> (TrainConfig, toml::Table) {
    let (mut config, mut settings) = (args.train.clone(), invocation.settings.clone());
    let said = |flag: &str| invocation.said.iter().any(|said| said == flag);
    if masked && kind == (RunKind { stage: Stage::Sft, adapts: true }) {
        config.fit_masked_adapter(said).iter().for_each(|note| output.say(note));
        settings.insert("learning-rate".into(), config.learning_rate.into());
        settings.insert("min-steps".into(), (config.min_steps as i64).into());
        settings.insert("stop-at-loss".into(), config.stop_at_loss.into());
    }
    if !said(LENGTH)
        && let Some(note) = config.fit_default_length(context)
    {
        output.say(&note);
        settings.insert(LENGTH.into(), (config.max_seq_len as i64).into());
    }
    (config, settings)
}

/// What the rows are. No date is kept of those that no template renders, and none may be said where only the rows tell that.
fn settle_content(
    stage: Stage,
    args: &TrainArgs,
    dataset: &Dataset,
    said: &[String],
    settings: &mut toml::Table,
) -> Result<Content, Failure> {
    let content = stage.content_of(dataset);
    let rows = Some(content.row_kind());
    if !args.rows.turns.renders(rows) {
        settings.remove(DATE);
    }
    if stage.row_kind().is_none() {
        args.check_rendering(rows, said)?;
    }
    Ok(content)
}

/// Rows of what the model knew before: those that `--keep-data` names, or those that its card tells of.
///
/// # Errors
/// Data that cannot be read; flags that would not act.
fn rows_to_keep(
    kind: RunKind,
    args: &TrainArgs,
    keys: &BTreeSet<String>,
    model: &Transformer,
) -> Result<Option<Arc<Dataset>>, Failure> {
    let share = args.train.keep_share;
    if !args.keep_data.is_empty() {
        if share == 0.0 {
            return Err(Failure::Usage("--keep-data would not act; add --keep-share 0.3".into()));
        }
        let sources = sources::open(&args.keep_data, args.rows.reading.encoding)?;
        let (turns, template_keys) = (args.rows.turns.turns(), keys.clone());
        let options =
            DataOptions { kind: kind.stage.row_kind(), template_keys, turns, ..DataOptions::default() };
        return Ok(Some(Arc::new(Dataset::open(sources, options)?)));
    }
    let known = match kind.stage {
        Stage::Sft => rows_known_by(model.config())?,
        Stage::Pretrain | Stage::Dpo | Stage::Distill | Stage::Reason | Stage::Grpo => None,
    };
    if known.is_none() && share > 0.0 && share != kind.defaults().keep_share {
        return Err(Failure::Usage(format!(
            "--keep-share {share} would not act, because the model's card tells of no rows that it knows; name such \
             rows with --keep-data, or leave it out"
        )));
    }
    Ok(known)
}

/// What to do where a run's rows came through a pipe, which is gone.
const PIPED_BEFORE: &str = "the run's rows came through a pipe: pipe the same rows again, or name a file of them with \
                            --data FILE";

/// A run that goes on does not wait for its rows to be typed.
fn refuse_typed_rows(args: &TrainArgs) -> Result<(), Failure> {
    let piped = args.resume && args.data.iter().any(|name| shares::name_of(name) == piped::STDIN);
    match piped && std::io::stdin().is_terminal() {
        true => Err(Failure::Usage(PIPED_BEFORE.into())),
        false => Ok(()),
    }
}

/// What is wrong with the data; of a run that goes on a pipe may be the cause.
fn of_resumed(failure: Failure, args: &TrainArgs) -> Failure {
    match failure {
        Failure::Work(error) if args.resume && args.data.iter().any(|name| piped::passes(name)) => {
            Failure::Work(Error::Data(format!("{error}; {PIPED_BEFORE}").into()))
        }
        other => other,
    }
}

/// Refuses a stage that makes no example of its own without a model; `started` where one is named or new.
fn refuse_no_model(stage: Stage, args: &TrainArgs, started: bool) -> Result<(), Failure> {
    let (lacks, told) = match stage {
        Stage::Pretrain | Stage::Sft => return Ok(()),
        // Preferences are learned by a model that answers already.
        Stage::Dpo => (
            args.model.is_none(),
            "`dpo` goes on from a model that answers; name it with --model DIR (`kindling sft` without flags trains one)",
        ),
        Stage::Distill => (
            !started,
            "`distill` trains a student; name it with --model DIR, or make a new one with --preset and --tokenizer",
        ),
        // Only what a model says now and then can be rewarded.
        Stage::Grpo => (
            args.model.is_none(),
            "`grpo` goes on from a model that answers; name it with --model DIR (`kindling reason` trains one)",
        ),
        Stage::Reason => (
            !started,
            "`reason` goes on from a model that answers; name it with --model DIR (`kindling sft` without flags trains one)",
        ),
    };
    if lacks && !args.resume { Err(Failure::Usage(told.into())) } else { Ok(()) }
}

/// Only the example's runs keep no `--data` among their settings.
fn no_data(kind: RunKind, resumed: Option<&RunDir>) -> Failure {
    Failure::Usage(match resumed {
        Some(directory) => format!(
            "{} holds the generated example, which does not go on where it stopped; begin it again with --overwrite",
            directory.path().display()
        ),
        None if kind.adapts || !matches!(kind.stage, Stage::Pretrain | Stage::Sft) => {
            let rows = match kind.stage {
                Stage::Pretrain => "pretrain.jsonl",
                Stage::Sft => "lora.jsonl",
                Stage::Distill => "sft.jsonl",
                Stage::Dpo => "dpo.jsonl",
                Stage::Reason | Stage::Grpo => "reason.jsonl",
            };
            format!("there is no --data to train on; `kindling sample-data DIR` writes a {rows} to try")
        }
        None => "there is no --data to train on; without any flags the generated example runs".into(),
    })
}

/// Opens what a run of these settings trains on, under templates that look for these keys of messages, and says what
/// was read.
///
/// # Errors
/// Data that cannot be read, or rows that the stage cannot use.
pub fn open_data(
    stage: Stage,
    config: &TrainConfig,
    data: &[String],
    rows: &RowArgs,
    template_keys: BTreeSet<String>,
    output: Output,
) -> Result<Dataset, Failure> {
    let options = DataOptions {
        kind: stage.row_kind(),
        template_keys,
        held_out: Some(HeldOutShare { fraction: config.val_split, seed: config.seed }),
        ..rows.options()
    };
    if let Some(dataset) = prepared_files::open(data, rows, config.max_seq_len)? {
        output.say(&output::counted(dataset.len(), ["row of tokens", "rows of tokens"]));
        return Ok(dataset);
    }
    let (sources, shares) = sources::open_mix(data, rows.reading.encoding)?;
    let dataset = Dataset::open_mix(sources, &shares, options)?;
    stage.check_rows(&dataset)?;
    tell(dataset.report(), output);
    dataset.idle_turns().iter().for_each(|told| output.warn(told));
    Ok(dataset)
}

/// Says what was read and what is odd about it.
pub fn tell(report: &DataReport, output: Output) {
    output.say(&format!(
        "{}, {} of text",
        output::counted(report.usable, ["row", "rows"]),
        output::bytes(report.bytes_of_text)
    ));
    for remark in report.remarks(output::grouped) {
        output.warn(&remark);
    }
    let equal = report.duplicates - report.near_duplicates.min(report.duplicates);
    for (words, count) in [
        (["row cannot be used and is left out", "rows cannot be used and are left out"], report.bad),
        (
            [
                "row is equal to an earlier one and is left out",
                "rows are equal to an earlier one and are left out",
            ],
            equal,
        ),
        (
            [
                "row is a near-duplicate of an earlier one and is left out",
                "rows are near-duplicates of an earlier one and are left out",
            ],
            report.near_duplicates,
        ),
    ] {
        if count > 0 {
            output.warn(&output::counted(count, words));
        }
    }
    if report.filtered > 0 {
        let short = output::grouped(report.too_short);
        let long = output::grouped(report.filtered - report.too_short.min(report.filtered));
        output.say(&format!(
            "{} outside --min-chars and --max-chars: {short} too short, {long} too long",
            output::counted(report.filtered, ["row is", "rows are"])
        ));
    }
    if report.other_languages > 0 {
        let named = |(name, rows): (&String, &u64)| format!("{} {name}", output::grouped(*rows));
        let named = report.languages_left.iter().map(named).collect::<Vec<_>>().join(", ");
        let count = output::counted(report.other_languages, ["row is", "rows are"]);
        output.say(&format!("{count} in no language of --language: {named}"));
    }
}
