//! Results of evaluations as they are found: what `eval --json` wrote, and what a run measured itself at its end.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::output::counted;
use crate::runs::History;

/// Larger files hold no results, but items.
const MOST_BYTES: u64 = 16 << 20;
/// What is measured beside a share, where it is there: numbers that are no shares.
const NUMBERS: [&str; 3] = ["bits_per_byte", "perplexity", "byte_perplexity"];

/// Something that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name, as programs have it.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The interval that holds the true value with 95 %, where that is known.
    pub ci95: Option<(f64, f64)>,
    /// Whether it is a share, from 0 to 1.
    pub is_share: bool,
}

/// One result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The file in which it stands.
    pub source: String,
    /// What was asked.
    pub task: String,
    /// The model, where it is named, or both of two that are compared.
    pub model: Option<String>,
    /// Questions or texts.
    pub n: Option<u64>,
    /// What was measured; what the task is judged by comes first.
    pub measures: Vec<Measure>,
    /// The shares by subject.
    pub subjects: Vec<(String, f64)>,
}

/// The results of a run, with the lines and files that are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluated {
    /// The run's name.
    pub name: String,
    /// Its results.
    pub results: Vec<Evaluation>,
    /// What was not read, and why.
    pub unread: Vec<String>,
}

/// The results that lie beside a run: in files of its directory called `eval*.json` or `eval*.jsonl`, or in its folder `eval`.
pub fn read_evaluations(run: &Path, evaluated: &mut Evaluated) {
    let named =
        |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("eval"));
    let beside = files_in(run).into_iter().filter(named);
    let mut files: Vec<PathBuf> = beside.chain(files_in(&run.join("eval"))).collect();
    files.sort();
    files.iter().for_each(|file| read_evaluation_file(file, evaluated));
}

/// The JSON files of a folder; none where it is not there.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_json = |path: &PathBuf| path.extension().is_some_and(|end| end == "json" || end == "jsonl");
    paths.filter(|path| is_json(path) && path.is_file()).collect()
}

/// Reads the results of a file: a line each, one value, or a list of them.
pub fn read_evaluation_file(file: &Path, evaluated: &mut Evaluated) {
    let named = file.display();
    let text = match read(file) {
        Ok(text) => text,
        Err(why) => return evaluated.unread.push(format!("{named}: {why}")),
    };
    let values = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Array(values)) => values,
        Ok(value) => vec![value],
        Err(_) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect()
        }
    };
    let source = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let result =
        |value: &Value| Some(Evaluation { source: source.clone(), ..evaluation(value.as_object()?)? });
    let found: Vec<Evaluation> = values.iter().filter_map(result).collect();
    if found.len() < values.len() {
        let words = ["line is no result of `eval --json`", "lines are no results of `eval --json`"];
        let others = counted((values.len() - found.len()) as u64, words);
        evaluated.unread.push(format!("{named}: {others}"));
    }
    evaluated.results.extend(found);
}

fn read(file: &Path) -> Result<String, String> {
    let size = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > MOST_BYTES {
        return Err(format!("it is larger than {} MiB and not read", MOST_BYTES >> 20));
    }
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A result as `eval --json` writes it; `None` for anything else, such as a question of `--items`.
fn evaluation(fields: &Map<String, Value>) -> Option<Evaluation> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(String::from);
    let metric = text("metric").unwrap_or_else(|| "accuracy".into());
    let first = first_measure(fields, &metric)?;
    let mut measures = vec![first];
    let number = |key: &&str| {
        let value = fields.get(*key).and_then(Value::as_f64).filter(|_| *key != metric)?;
        Some(Measure { name: key.to_string(), value, ci95: None, is_share: false })
    };
    measures.extend(NUMBERS.iter().filter_map(number));
    let others = fields.iter().filter(|(key, _)| *key != "per_subject");
    measures.extend(others.filter_map(|(key, value)| share(key, value)));
    let unseen =
        fields.get("in_training").and_then(|found| share("in_training.unseen", found.get("unseen")?));
    measures.extend(unseen);
    let pair = fields.get("models").and_then(Value::as_array);
    let both = pair.map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" / "));
    Some(Evaluation {
        source: String::new(),
        task: text("task")?,
        model: text("model").or(both),
        n: fields.get("n").and_then(Value::as_u64),
        measures,
        subjects: fields.get("per_subject").map(shares).unwrap_or_default(),
    })
}

/// What a task is judged by: a share, bits per byte, or how far two models are apart in one of these.
fn first_measure(fields: &Map<String, Value>, metric: &str) -> Option<Measure> {
    let number = |key: &str| fields.get(key).and_then(Value::as_f64);
    let ci95 = fields.get("ci95").and_then(interval);
    let is_share = metric != "bits_per_byte";
    let measure = |name: String, value: f64| Measure { name, value, ci95, is_share };
    match (number("difference"), number("accuracy"), number("bits_per_byte")) {
        (Some(difference), ..) => Some(measure(format!("{metric}, difference"), difference)),
        (None, Some(accuracy), _) => Some(measure(metric.to_string(), accuracy)),
        (None, None, Some(bits)) => {
            Some(Measure { is_share: false, ..measure("bits_per_byte".into(), bits) })
        }
        (None, None, None) => None,
    }
}

/// A share as `eval` writes it: an object with its accuracy.
fn share(name: &str, value: &Value) -> Option<Measure> {
    let accuracy = value.get("accuracy")?.as_f64()?;
    let ci95 = value.get("ci95").and_then(interval);
    Some(Measure { name: name.to_string(), value: accuracy, ci95, is_share: true })
}

fn interval(ends: &Value) -> Option<(f64, f64)> {
    Some((ends.get(0)?.as_f64()?, ends.get(1)?.as_f64()?))
}

/// Shares by name: numbers, or objects with an accuracy.
fn shares(value: &Value) -> Vec<(String, f64)> {
    let share = |value: &Value| value.as_f64().or_else(|| value.get("accuracy")?.as_f64());
    let all = value.as_object().into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), share(value)?))).collect()
}

/// What the generated example measured of its model at its end.
pub fn taught(history: &History) -> Option<Evaluation> {
    let done = history.done.as_ref()?;
    let measure = |(name, key): (&str, &str)| {
        Some(Measure { name: name.to_string(), value: done[key].as_f64()?, ci95: None, is_share: true })
    };
    let after = measure(("right", "heldout_after"))?;
    let others = [
        ("right, sampled", "heldout_sampled"),
        ("right before fine-tuning", "heldout_before"),
        ("always the commonest answer", "constant_answer"),
    ];
    let by = ["per_kind", "per_language", "per_turn"].into_iter().flat_map(|key| shares(&done[key]));
    Some(Evaluation {
        source: "log.jsonl".into(),
        task: "held-out questions".into(),
        model: None,
        n: done["questions"].as_u64(),
        measures: [after].into_iter().chain(others.into_iter().filter_map(measure)).collect(),
        subjects: by.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_beside_a_run_are_read_and_everything_else_is_named() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let line =
            r#"{"task":"ceval","metric":"acc","n":1346,"correct":337,"accuracy":0.25,"ci95":[0.2276,0.2742],
            "acc_norm":{"n":1346,"correct":350,"accuracy":0.26,"ci95":[0.24,0.28]},
            "per_subject":{"law":{"n":2,"accuracy":0.5},"art":0.125},
            "in_training":{"seen":3,"too_short":0,"unseen":{"accuracy":0.24}}}"#
                .replace('\n', " ");
        let item = r#"{"task":"ceval","subject":"law","id":1,"line":2,"chosen":0,"gold":1,"right":false}"#;
        write("eval.jsonl", &format!("{line}\n\n{item}\n"));
        write(
            "eval/texts.json",
            r#"[{"task":"heldout","metric":"bits_per_byte","bits_per_byte":1.5,"perplexity":9.0}]"#,
        );
        write("evaluation-notes.txt", "mine");
        write("config.json", r#"{"task":"none","accuracy":1.0}"#);
        write("eval-broken.json", "{");
        let mut found = Evaluated::default();
        read_evaluations(place.path(), &mut found);
        let names = |result: &Evaluation| {
            result.measures.iter().map(|measure| (measure.name.clone(), measure.value)).collect::<Vec<_>>()
        };
        let result = |task: &str| found.results.iter().find(|result| result.task == task).unwrap();
        let ceval = result("ceval");
        let shares = [("acc", 0.25), ("acc_norm", 0.26), ("in_training.unseen", 0.24)];
        assert_eq!(names(ceval), shares.map(|(name, value)| (name.to_string(), value)));
        assert_eq!((ceval.n, ceval.measures[0].ci95), (Some(1346), Some((0.2276, 0.2742))));
        assert_eq!(ceval.subjects, [("law".to_string(), 0.5), ("art".to_string(), 0.125)]);
        let texts = result("heldout");
        let numbers = [("bits_per_byte", 1.5), ("perplexity", 9.0)];
        assert_eq!(names(texts), numbers.map(|(name, value)| (name.to_string(), value)));
        assert!(texts.measures.iter().all(|measure| !measure.is_share));
        assert_eq!((found.results.len(), found.unread.len()), (2, 2), "{found:?}");
        assert!(found.unread.iter().all(|told| told.contains("1 line is no result")), "{found:?}");
    }

    #[test]
    fn two_models_are_told_apart_and_the_example_has_its_own_questions() {
        let line =
            r#"{"task":"arc","models":["a","b"],"metric":"acc","difference":-0.02,"ci95":[-0.05,0.01]}"#;
        let fields: Map<String, Value> = serde_json::from_str(line).unwrap();
        let result = evaluation(&fields).unwrap();
        assert_eq!((result.model.as_deref(), result.measures.len()), (Some("a / b"), 1));
        assert_eq!((result.measures[0].name.as_str(), result.measures[0].value), ("acc, difference", -0.02));
        let log = "{\"event\":\"done\",\"questions\":200,\"heldout_before\":0.0,\"heldout_after\":0.9,\
                   \"constant_answer\":0.04,\"per_kind\":{\"colour\":0.95}}\n";
        let result = taught(&History::of(log)).unwrap();
        assert_eq!((result.n, result.measures[0].value, result.measures.len()), (Some(200), 0.9, 3));
        assert_eq!(result.subjects, [("colour".to_string(), 0.95)]);
        assert_eq!(taught(&History::default()), None);
    }
}
