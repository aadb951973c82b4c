//! `runs compare`: the settings in which runs differ, side by side, and what came of them.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::runs::open_named;
use crate::failure::Failure;
use crate::output::Output;
use crate::runs::{FoundRun, Line, differing};
use crate::table::table;

/// Where the setting is absent.
const ABSENT: &str = "–";

/// Flags of `runs compare`.
#[derive(Args)]
pub struct CompareArgs {
    /// The runs' directories
    #[arg(required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &CompareArgs, output: Output) -> Result<(), Failure> {
    let runs = open_named(&args.runs)?;
    let (differing, equal) = differing(&runs.iter().collect::<Vec<_>>());
    let results = results(&runs);
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(runs.iter().map(|run| run.path.display().to_string()));
    for (name, values) in differing.iter().chain(&results) {
        output.json(&as_json(name, &runs, values));
        rows.push([name.clone()].into_iter().chain(values.iter().map(shown)).collect());
    }
    table(&rows).iter().for_each(|line| output.line(line));
    output.say(&format!("{equal} settings are the same"));
    Ok(())
}

fn shown(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| ABSENT.to_string())
}

fn as_json(name: &str, runs: &[FoundRun], values: &[Option<String>]) -> Value {
    let pairs = runs.iter().zip(values).map(|(run, value)| (run.path.display().to_string(), json!(value)));
    json!({"name": name, "values": pairs.collect::<Map<String, Value>>()})
}

/// What came of them.
fn results(runs: &[FoundRun]) -> Vec<Line> {
    let number = |value: Option<f64>| value.map(|value| format!("{value:.4}"));
    let of = |name: &str, value: &dyn Fn(&FoundRun) -> Option<String>| {
        (name.to_string(), runs.iter().map(value).collect::<Vec<_>>())
    };
    vec![
        of("state", &|run| Some(run.state.to_string())),
        of("steps taken", &|run| Some(run.history.step.to_string())),
        of("last loss", &|run| number(run.losses().0)),
        of("best loss", &|run| number(run.losses().1)),
        of("held-out loss", &|run| number(run.held_out().0)),
        of("seconds", &|run| Some(format!("{:.1}", run.history.seconds))),
    ]
}
