//! Settings of runs as texts: those in which runs differ, and those that are not what is set where nobody says anything.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::FoundRun;

/// Settings that say what a run is called, and not how it trains.
const NAMES: [&str; 3] = ["stage", "out", "date"];

/// A setting by its name, and each run's value of it.
pub type Line = (String, Vec<Option<String>>);

/// A run's setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, as a flag has it.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What it is where nobody sets it, if it is anything then.
    pub default: Option<String>,
    /// Whether that is something else.
    pub changed: bool,
}

/// The settings in which runs differ, and how many are the same.
pub fn differing(runs: &[&FoundRun]) -> (Vec<Line>, usize) {
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

/// All settings of a run beside the defaults of its stage, by name.
pub fn beside_defaults(settings: &Table, defaults: &Table) -> Vec<Setting> {
    let setting = |(name, value): (&String, &Value)| {
        let default = defaults.get(name);
        let changed = !NAMES.contains(&name.as_str()) && !default.is_some_and(|default| same(default, value));
        Setting { name: name.clone(), value: text(value), default: default.map(text), changed }
    };
    let mut all: Vec<Setting> = settings.iter().map(setting).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// A value as people read it.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Equal as numbers where both are.
fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| text(value).parse::<f64>().ok();
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => text(a) == text(b),
    }
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
        let (differing, equal) = differing(&runs.iter().collect::<Vec<_>>());
        let some = |text: &str| Some(text.to_string());
        let expected = [
            ("epochs".to_string(), vec![some("2.0"), some("3.0")]),
            ("lora-rank".to_string(), vec![None, some("8")]),
        ];
        assert_eq!((differing.as_slice(), equal), (&expected[..], 2));
    }

    #[test]
    fn what_is_not_the_default_is_changed() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let settings = table(
            "stage = \"sft\"\nout = \"runs/a\"\nepochs = 2.0\nlearning-rate = 0.001\nbatch-size = 8\nmodel = \"base\"\n",
        );
        let defaults = table("epochs = 2\nlearning-rate = 0.0005\nbatch-size = 8\nsteps = 3\n");
        let all = beside_defaults(&settings, &defaults);
        let changed: Vec<(&str, Option<&str>)> = all
            .iter()
            .filter(|setting| setting.changed)
            .map(|setting| (setting.name.as_str(), setting.default.as_deref()))
            .collect();
        assert_eq!(changed, [("learning-rate", Some("0.0005")), ("model", None)]);
        assert_eq!(all.len(), 6, "2 and 2.0 are the same, and names are no settings of the training");
    }
}
