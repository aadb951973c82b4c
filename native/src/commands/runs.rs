//! `runs`: which runs there are, what each comes from, and how it went.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::runs_compare::{self, CompareArgs};
use super::runs_plot::{self, PlotArgs};
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::output::{Output, counted, grouped, warn};
use crate::run_dir::is_run;
use crate::runs::{FoundRun, Lineage, Origin, State, find};
use crate::table::table;

/// Where runs lie that were given no other place.
const RUNS: &str = "runs";
/// Names of data files that a line of the list has room for.
const NAMED: usize = 2;

/// Flags of `runs`.
#[derive(Args)]
#[command(subcommand_precedence_over_arg = true)]
pub struct RunsArgs {
    /// Directories with runs in them [default: runs]
    pub directories: Vec<PathBuf>,
    #[command(subcommand)]
    verb: Option<RunsVerb>,
}

/// What to do with chosen runs.
#[derive(Subcommand)]
enum RunsVerb {
    /// The settings in which runs differ, side by side
    Compare(CompareArgs),
    /// Loss curves of runs, and of what they log beside it, as one HTML file
    Plot(PlotArgs),
}

/// Runs the verb.
pub fn run(args: RunsArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    if let (Some(_), Some(directory)) = (&args.verb, args.directories.first()) {
        return Err(Failure::Usage(format!(
            "{} stands before the command; name runs behind it, as `kindling runs compare A B`",
            directory.display()
        )));
    }
    match args.verb {
        None => list(&args.directories, output),
        Some(RunsVerb::Compare(args)) => runs_compare::run(&args, output),
        Some(RunsVerb::Plot(args)) => runs_plot::run(&args, output),
    }
}

/// Opens the runs that were named, each of which must be one.
///
/// # Errors
/// The first that is none.
pub fn open_named(paths: &[PathBuf]) -> Result<Vec<FoundRun>, Failure> {
    let none = |path: &&PathBuf| !is_run(path);
    if let Some(path) = paths.iter().find(none) {
        return Err(Failure::Usage(format!(
            "{}: there is no run here; `kindling runs` lists those in ./{RUNS}",
            path.display()
        )));
    }
    let runs: Vec<FoundRun> = paths.iter().map(|path| FoundRun::open(path)).collect();
    runs.iter().for_each(tell_damage);
    Ok(runs)
}

/// Says which lines of a log were not read.
pub fn tell_damage(run: &FoundRun) {
    let (history, path) = (&run.history, run.path.display());
    if let [first, ..] = history.damaged[..] {
        let words = ["line is damaged and not read", "lines are damaged and not read"];
        let count = counted(history.damaged.len() as u64, words);
        warn(&format!("{path}/log.jsonl: {count} (the first: line {first})"));
    }
    if history.not_finite > 0 {
        let count = grouped(history.not_finite as u64);
        warn(&format!("{path}/log.jsonl: {count} losses are no numbers"));
    }
}

fn list(directories: &[PathBuf], output: Output) -> Result<(), Failure> {
    let asked = match directories {
        [] if !Path::new(RUNS).is_dir() => {
            output.say(&format!("there is no ./{RUNS}; name the directories with runs in them"));
            return Ok(());
        }
        [] => vec![PathBuf::from(RUNS)],
        named => named.to_vec(),
    };
    let lineage = Lineage::of(find(&asked)?);
    lineage.runs.iter().for_each(tell_damage);
    let head = ["run", "stage", "from", "data", "steps", "loss", "best", "held-out", "state", "begun"];
    let mut rows = vec![head.map(String::from).to_vec()];
    for (run, drawn) in lineage.tree() {
        output.json(&for_programs(&lineage, run));
        rows.push(for_people(&lineage, run, &drawn));
    }
    match lineage.runs.is_empty() {
        true => output.say("there are no runs here"),
        false => table(&rows).iter().for_each(|line| output.line(line)),
    }
    Ok(())
}

/// A run's line of the list.
fn for_people(lineage: &Lineage, number: usize, drawn: &str) -> Vec<String> {
    let run = &lineage.runs[number];
    let ((last, best), (held_out, _)) = (run.losses(), run.held_out());
    let loss = |loss: Option<f64>| loss.map_or("–".to_string(), |loss| format!("{loss:.4}"));
    let total = run.total_steps.map_or(String::new(), |total| format!("/{total}"));
    vec![
        format!("{drawn}{}", run.path.display()),
        run.verb(),
        lineage.model_name(number),
        named_data(run),
        format!("{}{total}", run.history.step),
        loss(last),
        loss(best),
        loss(held_out),
        run.state.to_string(),
        date(run).unwrap_or_default(),
    ]
}

fn date(run: &FoundRun) -> Option<String> {
    run.begun.map(|begun| begun.format("%Y-%m-%d %H:%M").to_string())
}

/// The names of the first files, and how many there are beside them.
fn named_data(run: &FoundRun) -> String {
    let data = run.data();
    let name = |path: &&str| path.rsplit('/').next().unwrap_or(path).to_string();
    let named: Vec<String> = data.iter().take(NAMED).map(name).collect();
    let more = data.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    if named.is_empty() { "–".to_string() } else { named.join(" ") + &more }
}

/// The same for programs.
fn for_programs(lineage: &Lineage, number: usize) -> Value {
    let run = &lineage.runs[number];
    let ((last, best), (held_out, best_held_out)) = (run.losses(), run.held_out());
    let parent = match lineage.origin(number) {
        Origin::Run(_) => Some(lineage.origin_name(number)),
        Origin::Elsewhere(_) | Origin::New(_) => None,
    };
    json!({
        "run": run.path.display().to_string(), "stage": run.text("stage"), "adapter": run.adapts(), "model": run.text("model"),
        "parent": parent, "lineage": lineage.chain(number), "teacher": run.text("teacher"), "data": run.data(),
        "step": run.history.step, "total_steps": run.total_steps, "loss": last, "best_loss": best,
        "heldout_loss": held_out, "best_heldout_loss": best_held_out, "seconds": run.history.seconds,
        "state": run.state.word(), "damage": damage(run), "damaged_lines": run.history.damaged.len(),
        "begun": run.begun.map(|begun| begun.to_rfc3339()),
    })
}

fn damage(run: &FoundRun) -> Option<String> {
    match &run.state {
        State::Damaged(why) => Some(why.clone()),
        _ => None,
    }
}
