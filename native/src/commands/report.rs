//! `report`: one HTML file about runs, what they come from, and what their models write.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::Local;
use clap::Args;
use kindling::demo::DemoKind;
use serde_json::json;

use super::open_device;
use super::report_parts::{Material, parts};
use super::report_samples::{Writer, sample};
use super::runs::tell_damage;
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::output::Output;
use crate::report::{Evaluated, Html, Language, Page, REPORT, read_evaluation_file};
use crate::run_dir::run_of;
use crate::run_kind::RunKind;
use crate::runs::{FoundRun, Lineage, find};
use crate::sessions::Session;

/// Models that stand side by side, at most.
const MOST_MODELS: usize = 2;

/// Flags of `report`.
#[derive(Args)]
pub struct ReportArgs {
    /// Runs to report on, or directories of chains; those that they come from are reported on with them
    pub runs: Vec<PathBuf>,
    /// A model that writes: a run, which is reported on too, or whatever else `generate` takes. Two write to the same
    /// prompts side by side [default: the model of the run that is named]
    #[arg(long)]
    pub model: Vec<PathBuf>,
    /// What the models' files do not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// The HTML file
    #[arg(long, default_value = "report.html")]
    pub out: PathBuf,
    /// Replace a file that this command wrote before
    #[arg(long)]
    pub overwrite: bool,
    /// A file that `eval --json` wrote, beside those in the runs' directories that are called eval*.json or eval*.jsonl
    /// (repeatable)
    #[arg(long, value_name = "FILE")]
    pub eval: Vec<PathBuf>,
    /// Let no model write
    #[arg(long, conflicts_with_all = ["demo_kind", "max_new_tokens"])]
    pub no_samples: bool,
    /// Which built-in prompts the models are given [default: by what they learned last]
    #[arg(long, value_enum)]
    pub demo_kind: Option<DemoKind>,
    /// The longest answer, in tokens
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: u32,
    /// The language that the page shows first; it has both
    #[arg(long, value_enum, default_value = "en")]
    pub language: Language,
}

/// Runs the verb.
pub fn run(args: &ReportArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    refuse(args)?;
    REPORT.check(&args.out, args.overwrite)?;
    let asked = named_runs(args)?;
    let count = asked.len();
    let lineage = Lineage::of(asked);
    lineage.runs.iter().for_each(tell_damage);
    let samples = match writers(args, &lineage.runs[..count], output) {
        writers if writers.is_empty() => None,
        writers => Some(sample(&writers, args, everywhere)?),
    };
    let here = samples.is_some().then(|| open_device(everywhere)).transpose()?;
    let here = here.map(|device| Session::begin(&device, 0));
    let material = Material {
        lineage: &lineage,
        compared: compared(args, &lineage),
        eval: &args.eval,
        samples: samples.as_ref(),
        here: here.as_ref(),
    };
    let (parts, results) = parts(&material);
    let now = Local::now().format("%Y-%m-%d %H:%M").to_string();
    let version = env!("CARGO_PKG_VERSION");
    let page = Page {
        title: title(args),
        written: Html::both(
            &format!("Written by kindling {version} on {now}; it needs no network."),
            &format!("由 kindling {version} 于 {now} 写成，无需联网即可阅读。"),
        ),
        language: args.language,
        parts,
    };
    REPORT.write(&args.out, &page.html(), args.overwrite)?;
    let shown = |path: &Path| path.display().to_string();
    output.json(&json!({
        "out": shown(&args.out),
        "runs": lineage.runs.iter().map(|run| shown(&run.path)).collect::<Vec<_>>(),
        "models": samples.as_ref().map_or(&[][..], |samples| samples.models.as_slice()),
        "prompts": samples.as_ref().map_or(0, |samples| samples.prompts.len()),
        "evaluations": results,
    }));
    output.line(&shown(&args.out));
    Ok(())
}

fn refuse(args: &ReportArgs) -> Result<(), Failure> {
    if args.runs.is_empty() && args.model.is_empty() {
        return Err(Failure::Usage(
            "there is nothing to report on; name a run's directory, or a model with --model".into(),
        ));
    }
    if args.model.len() > MOST_MODELS {
        return Err(Failure::Usage(format!(
            "--model is said {} times; at most {MOST_MODELS} models stand side by side",
            args.model.len()
        )));
    }
    args.eval.iter().try_for_each(|file| {
        let why = match file.is_file() {
            false => "there is no such file",
            true if !holds_results(file) => {
                "it holds no result; name a file that `kindling eval --json` wrote"
            }
            true => return Ok(()),
        };
        Err(Failure::Usage(format!("--eval {}: {why}", file.display())))
    })
}

/// Whether a file holds anything that a report can show of an evaluation.
fn holds_results(file: &Path) -> bool {
    let mut found = Evaluated::default();
    read_evaluation_file(file, &mut found);
    !found.results.is_empty()
}

/// The runs that are reported on: those that are named, the stages of chains among them, and those of the models; each once.
fn named_runs(args: &ReportArgs) -> Result<Vec<FoundRun>, Failure> {
    let mut all: Vec<FoundRun> = Vec::new();
    for path in &args.runs {
        let run = run_of(path).ok_or_else(|| {
            Failure::Usage(format!(
                "{}: there is no run here; a model that is no run is named with --model",
                path.display()
            ))
        })?;
        for found in stages(FoundRun::open(&run))? {
            add(&mut all, found);
        }
    }
    for run in args.model.iter().filter_map(|path| run_of(path)) {
        add(&mut all, FoundRun::open(&run));
    }
    Ok(all)
}

/// A run itself, or of a chain its stages.
fn stages(run: FoundRun) -> Result<Vec<FoundRun>, Failure> {
    let chain = run.text("stage").is_some_and(|stage| ["quickstart", "run"].contains(&stage));
    if !chain || RunKind::of_settings(&run.settings, "").is_some() {
        return Ok(vec![run]);
    }
    let own = real(&run.path);
    let below = find(std::slice::from_ref(&run.path))?;
    let stages: Vec<FoundRun> = below.into_iter().filter(|found| real(&found.path) != own).collect();
    Ok(if stages.is_empty() { vec![run] } else { stages })
}

fn add(all: &mut Vec<FoundRun>, run: FoundRun) {
    let own = real(&run.path);
    if !all.iter().any(|other| real(&other.path) == own) {
        all.push(run);
    }
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The models that write: those that are named as such, else those of the runs that are `asked` for, which need not be
/// there any more; of a chain that of the stage that began last.
fn writers(args: &ReportArgs, asked: &[FoundRun], output: Output) -> Vec<Writer> {
    if args.no_samples {
        return Vec::new();
    }
    if !args.model.is_empty() {
        return args.model.iter().map(|path| Writer { path: path.clone(), needed: true }).collect();
    }
    let chosen: Vec<&FoundRun> = match args.runs.len() {
        1 => asked.iter().max_by_key(|run| run.begun).into_iter().collect(),
        _ if asked.len() <= MOST_MODELS => asked.iter().collect(),
        _ => Vec::new(),
    };
    if chosen.is_empty() {
        output.say(
            "no model writes, because more than two runs are named; say which one or two do with --model",
        );
    }
    chosen.into_iter().map(|run| Writer { path: run.path.clone(), needed: false }).collect()
}

/// The two runs whose settings are compared: those of two models, or two that are named.
fn compared<'a>(args: &ReportArgs, lineage: &'a Lineage) -> Option<[&'a FoundRun; 2]> {
    let named = if args.model.is_empty() { &args.runs } else { &args.model };
    let [one, two] = named.as_slice() else { return None };
    let found = |path: &Path| {
        let named = real(&run_of(path)?);
        lineage.runs.iter().find(|run| real(&run.path) == named)
    };
    let both = [found(one)?, found(two)?];
    (both[0].path != both[1].path).then_some(both)
}

/// The names of what the report is about.
fn title(args: &ReportArgs) -> String {
    let mut names: Vec<String> = Vec::new();
    for path in args.runs.iter().chain(&args.model) {
        let name = path.display().to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}
