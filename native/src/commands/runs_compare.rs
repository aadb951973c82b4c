//! `runs compare`: the settings in which runs differ, side by side, and what came of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::runs::open_named;
use crate::failure::Failure;
use crate::output::Output;
use crate::runs::FoundRun;
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
    let (differing, equal) = split(&runs);
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

/// A line: its name, and each run's value.
type Line = (String, Vec<Option<String>>);

fn shown(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| ABSENT.to_string())
}

fn as_json(name: &str, runs: &[FoundRun], values: &[Option<String>]) -> Value {
    let pairs = runs.iter().zip(values).map(|(run, value)| (run.path.display().to_string(), json!(value)));
    json!({"name": name, "values": pairs.collect::<Map<String, Value>>()})
}

/// The settings in which they differ, and how many are the same.
fn split(runs: &[FoundRun]) -> (Vec<Line>, usize) {
    let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.settings.keys()).collect();
    let count = keys.len();
    let line = |key: &String| {
        let values = runs.iter().map(|run| run.settings.get(key).map(text)).collect();
        (key.clone(), values)
    };
    let differs = |(_, values): &Line| values.windows(2).any(|two| two[0] != two[1]);
    let differing: Vec<Line> = keys.into_iter().map(line).filter(differs).collect();
    let equal = count - differing.len();
    (differing, equal)
}

fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::SETTINGS;

    #[test]
    fn only_what_differs_is_listed() {
        let place = tempfile::tempdir().unwrap();
        let mut runs = Vec::new();
        for (name, settings) in [
            ("a", "stage = \"sft\"\nepochs = 2.0\ndata = [\"x\", \"y\"]\n"),
            ("b", "stage = \"sft\"\nepochs = 3.0\ndata = [\"x\", \"y\"]\nlora-rank = 8\n"),
        ] {
            let run = place.path().join(name);
            std::fs::create_dir_all(run.join("training")).unwrap();
            std::fs::write(run.join(SETTINGS), settings).unwrap();
            runs.push(FoundRun::open(&run));
        }
        let (differing, equal) = split(&runs);
        let some = |text: &str| Some(text.to_string());
        let expected = [
            ("epochs".to_string(), vec![some("2.0"), some("3.0")]),
            ("lora-rank".to_string(), vec![None, some("8")]),
        ];
        assert_eq!((differing.as_slice(), equal), (&expected[..], 2));
    }
}
