//! `eval`: how good a model is, by the public sets of questions and by one's own texts.

use std::path::{Path, PathBuf};

use clap::Args;
use kindling::error::Error;
use kindling::evaluate::{
    AskConfig, Asking, EvalConfig, EvalListener, FORMAT_TOKENS, RowsOptions, Task, TaskFiles, TaskResult,
    TaskRows,
};
use kindling::kernels::Activations;
use kindling::model::Transformer;
use kindling::sample::LikelihoodConfig;
use kindling::text::Tags;
use kindling::tokenizer::Tokenizer;

use super::eval_progress::EvalProgress;
use super::eval_report::{ItemsFile, Report};
use super::prompts::cache_bytes;
use super::score_masked::refuse;
use super::{ModelArgs, eval_files, eval_training, use_template};
use crate::cli::Everywhere;
use crate::date::Date;
use crate::failure::Failure;
use crate::interrupt;
use crate::model_files::tokenizer_remedy;
use crate::output::Output;
use crate::sources::{self, TextArgs};

/// The word for all public sets whose rows are there.
const ALL: &str = "all";

/// What stands below the flags.
pub const NOTES: &str = "\
Questions are asked and judged as lm-evaluation-harness 0.4.13 does it: acc is the share of questions whose right choice is
the likeliest, acc_norm by characters; choices and question are tokenised together. Where a set's few-shot split is absent,
examples are drawn among the questions themselves, without the one that is asked. Shares have Wilson's 95 % interval, the
difference of two models Newcombe's for pairs, bits per byte a bootstrap over texts.
heldout reads texts, pairs rows with a chosen and a rejected answer, format conversations whose answers keep the tags of
thinking. Files of a directory are found by name: ceval/val/logic_val.csv, arc_easy_test.jsonl, piqa/validation.parquet.";

/// Flags of `eval`.
#[derive(Args)]
pub struct EvalArgs {
    /// The first model, with what is said of all
    #[command(flatten)]
    pub model: ModelArgs,
    /// ceval, cmmlu, mmlu, arc_easy, arc_challenge, openbookqa, piqa, siqa, hellaswag, winogrande, commonsense_qa, gsm8k,
    /// heldout, pairs, format; several with commas; all = every set of questions whose rows are in --data
    #[arg(long, required = true, value_delimiter = ',')]
    pub task: Vec<String>,
    /// Files, directories, globs, hub:owner/name or ms:owner/name with the rows (repeatable)
    #[arg(long, required = true)]
    pub data: Vec<String>,
    /// Where the examples of --shots come from, if not from the few-shot split in --data (repeatable; one task alone)
    #[arg(long)]
    pub shots_data: Vec<String>,
    /// How questions are asked
    #[command(flatten)]
    pub config: EvalConfig,
    /// Ask at most so many questions, the first: of each subject where a set has subjects
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Leave out rows that cannot be used, and count them
    #[arg(long)]
    pub skip_bad_rows: bool,
    /// How texts are found
    #[command(flatten)]
    pub reading: TextArgs,
    /// A Jinja chat template that replaces the tokenizer's own
    #[arg(long)]
    pub chat_template: Option<PathBuf>,
    /// The day that chat templates with today's date print, as 2025-07-31 [default: today]
    #[arg(long, default_value_t = Date::today(), hide_default_value = true)]
    pub date: Date,
    /// Rows that the model was trained on: questions of which 13 words in a row stand there are counted (repeatable)
    #[arg(long)]
    pub train_data: Vec<String>,
    /// Write a line a question: what each choice's log-likelihood is, which was chosen, which is right
    #[arg(long, value_name = "FILE")]
    pub items: Option<PathBuf>,
    /// The most questions read in one pass, or answers written side by side; fewer where memory is short [default: 16]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: Option<u32>,
    /// Tokens that an answer of format may have
    #[arg(long, default_value_t = FORMAT_TOKENS as u32, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: u32,
    /// What stands around thinking and answer (format)
    #[command(flatten)]
    pub tags: Tags,
    /// How a masked predictor is asked
    #[command(flatten)]
    pub likelihood: LikelihoodConfig,
}

/// Runs the verb with the models that were named; `said` are the flags that were given.
///
/// # Errors
/// Flags that do not fit together, rows that cannot be used, a model that cannot be opened, an interruption.
pub fn run(
    args: &EvalArgs,
    models: &[PathBuf],
    everywhere: &Everywhere,
    said: &[String],
) -> Result<(), Failure> {
    let output = everywhere.output();
    let (asked, progress) = (Asked::of(args)?, EvalProgress::new(output));
    check(args, models.len(), &asked.tasks, said)?;
    let rows = asked.rows(args, output, &progress)?;
    let looked = eval_training::look(args, &rows, output)?;
    let names = names(models, &args.model.adapter);
    let mut items = None;
    let mut report = Report::new(names.clone(), output);
    interrupt::listen();
    for (number, path) in models.iter().enumerate() {
        let is_last = number + 1 == models.len();
        let (model, tokenizer) = open(args, path, is_last, everywhere)?;
        if number == 0 {
            tell_idle(args, &tokenizer, said, output);
            items = args.items.as_deref().map(ItemsFile::create).transpose()?;
        }
        if model.config().diffusion.is_none() {
            refuse(args.likelihood)?;
        }
        let config = ask_config(args, &model);
        let asking = Asking::new(&config, &model, &tokenizer, &progress)?;
        let mut results: Vec<TaskResult> = Vec::new();
        for (rows, seen) in rows.iter().zip(&looked) {
            let mut result = pollster::block_on(asking.ask(rows))?.ok_or(Failure::Interrupted)?;
            seen.mark(&mut result);
            if let Some(items) = &mut items {
                items.add(Some(&names[number]).filter(|_| names.len() > 1), &result)?;
            }
            report.add(number, &result);
            results.push(result);
        }
        report.end(results);
    }
    report.show();
    Ok(())
}

/// How a model is asked.
fn ask_config(args: &EvalArgs, model: &Transformer) -> AskConfig {
    AskConfig {
        questions: args.config,
        likelihood: args.likelihood,
        tags: args.tags.clone(),
        max_new_tokens: args.max_new_tokens as usize,
        batch_size: args.batch_size.map(|rows| rows as usize),
        cache_bytes: cache_bytes(model),
    }
}

/// What the models are called: with their adapters, so that the same model before and after has two names.
fn names(models: &[PathBuf], adapters: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = models.iter().map(|model| model.display().to_string()).collect();
    if let Some(last) = names.last_mut() {
        adapters.iter().for_each(|adapter| *last += &format!(" + {}", adapter.display()));
    }
    names
}

/// What was asked for.
struct Asked {
    tasks: Vec<Task>,
    /// Whether tasks without rows are passed over.
    all: bool,
}

impl Asked {
    fn of(args: &EvalArgs) -> Result<Self, Failure> {
        let (mut tasks, mut all) = (Vec::new(), false);
        for name in args.task.iter().map(|name| name.trim()) {
            let named: Vec<Task> = match name == ALL {
                true => Task::ALL.into_iter().filter(|task| task.is_public()).collect(),
                false => vec![name.parse().map_err(Failure::Usage)?],
            };
            all |= name == ALL;
            tasks.extend(named);
        }
        let mut known = std::collections::BTreeSet::new();
        tasks.retain(|task| known.insert(*task));
        Ok(Self { tasks, all })
    }

    /// The rows of every task, or of those that have any.
    fn rows(
        &self,
        args: &EvalArgs,
        output: Output,
        listener: &dyn EvalListener,
    ) -> Result<Vec<TaskRows>, Failure> {
        let found = eval_files::find(&self.tasks, &args.data, &args.shots_data)?;
        let (there, absent): (Vec<_>, Vec<_>) = found.into_iter().partition(|files| !files.is_empty());
        if !absent.is_empty() {
            let names: Vec<&str> = absent.iter().map(|files| files.task.name()).collect();
            let names = names.join(", ");
            if there.is_empty() || !self.all {
                return Err(Failure::Usage(format!(
                    "--data holds no file of {names}; name the files alone with one --task, or call them by the task, as \
                     arc_easy_test.jsonl or ceval/val/logic_val.csv"
                )));
            }
            output.say(&format!("no rows in --data for {names}"));
        }
        there.into_iter().map(|files| read(files, args, listener)).collect()
    }
}

/// The rows of a task.
fn read(
    files: TaskFiles<PathBuf>,
    args: &EvalArgs,
    listener: &dyn EvalListener,
) -> Result<TaskRows, Failure> {
    let needs_shots = args.config.shots_of(files.task) > 0;
    let open = |paths: &[PathBuf]| {
        let names: Vec<String> = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        sources::open(&names, args.reading.encoding)
    };
    let files = files.opened(needs_shots, open)?;
    let options = RowsOptions {
        limit: args.limit,
        skip_bad_rows: args.skip_bad_rows,
        text_column: args.reading.text_column.clone(),
    };
    Ok(TaskRows::read(&files, &args.config, &options, listener)?)
}

/// What does not fit together, before anything is read.
fn check(args: &EvalArgs, models: usize, tasks: &[Task], said: &[String]) -> Result<(), Failure> {
    let said = |flag: &str| said.iter().any(|said| said == flag);
    let mut problems = args.config.validate(tasks);
    problems.extend(args.likelihood.validate());
    problems.extend(args.tags.problems());
    if let Some(items) = args.items.as_deref().filter(|items| items.exists()) {
        problems.push(format!("--items {} is taken; choose a file that is absent", items.display()).into());
    }
    if models > 2 {
        problems.push("more than two --model are given; two are compared at most".into());
    }
    if !args.shots_data.is_empty() && (tasks.len() > 1 || args.config.shots_of(tasks[0]) == 0) {
        problems.push("--shots-data acts on one --task with --shots; leave it out".into());
    }
    if !tasks.contains(&Task::Format) {
        for flag in ["max-new-tokens", "think-tags", "answer-tags"].into_iter().filter(|flag| said(flag)) {
            problems.push(format!("--{flag} acts on --task format alone; leave it out").into());
        }
    }
    if args.reading.text_column.is_some() && !tasks.contains(&Task::HeldOut) {
        problems.push("--text-column acts on --task heldout alone; leave it out".into());
    }
    if !args.train_data.is_empty() && !tasks.iter().any(|task| task.is_public()) {
        problems.push(
            "--train-data is searched for questions, and no set of questions is among the tasks".into(),
        );
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems).into()) }
}

/// A model with its tokenizer; adapters are the last one's.
fn open(
    args: &EvalArgs,
    path: &Path,
    is_last: bool,
    everywhere: &Everywhere,
) -> Result<(Transformer, Tokenizer), Failure> {
    let adapters = if is_last { args.model.adapter.as_slice() } else { &[] };
    // What is measured is the model, where nothing else is said.
    let activations = args.model.activations.or(Some(Activations::Exact));
    let own = ModelArgs { activations, ..args.model.of_another(path, adapters) };
    let (opened, tokenizer) = own.open(everywhere)?;
    let mut tokenizer = tokenizer.ok_or_else(|| {
        let (place, remedy) = (path.display(), tokenizer_remedy(path));
        Error::Checkpoint(
            format!("{place}: there is no tokenizer.json to read questions with; {remedy}").into(),
        )
    })?;
    use_template(&mut tokenizer, args.chat_template.as_deref())?;
    args.date.set(&mut tokenizer);
    if args.config.apply_chat_template {
        tokenizer.check_chat_template()?;
    }
    Ok((opened, tokenizer))
}

/// Says of flags for the chat template where nothing goes through it.
fn tell_idle(args: &EvalArgs, tokenizer: &Tokenizer, said: &[String], output: Output) {
    let through_template = args.config.apply_chat_template
        || args.task.iter().any(|task| ["pairs", "format"].contains(&task.as_str()));
    if args.chat_template.is_some() && !through_template {
        output.warn("--chat-template does nothing without --apply-chat-template");
    }
    if said.iter().any(|said| said == "date") && !(through_template && tokenizer.prints_date()) {
        output.warn("--date does nothing: no chat template that prints a date is applied");
    }
}
