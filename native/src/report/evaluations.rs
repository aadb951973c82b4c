//! Results of evaluations: what `eval --json` wrote into a run's directory, and what a run measured itself at its end.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Html, Part};
use crate::output::grouped;
use crate::runs::History;

/// Larger files hold no results, but items.
const MOST_BYTES: u64 = 16 << 20;
/// Keys of a result that have a column of their own, or are no measurement.
const KNOWN: [&str; 8] = ["task", "n", "correct", "accuracy", "ci95", "per_subject", "seed", "shots"];

/// One result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Where it stands.
    pub source: String,
    /// What was asked.
    pub task: String,
    /// Questions.
    pub n: Option<u64>,
    /// The share that was right.
    pub accuracy: Option<f64>,
    /// The interval that holds the true share with 95 %.
    pub ci95: Option<(f64, f64)>,
    /// Everything else that was measured.
    pub others: Vec<(String, f64)>,
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
    let mut files: Vec<PathBuf> = [run.to_path_buf(), run.join("eval")]
        .iter()
        .enumerate()
        .flat_map(|(place, folder)| {
            files_in(folder).into_iter().filter(move |file| is_result(file, place > 0))
        })
        .collect();
    files.sort();
    files.iter().for_each(|file| read_evaluation_file(file, evaluated));
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect()
}

fn is_result(file: &Path, in_folder: bool) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let ending = [".json", ".jsonl"].iter().any(|ending| name.ends_with(ending));
    ending && (in_folder || name.starts_with("eval"))
}

/// Reads the results of a file: a line each, one value, or a list of them.
pub fn read_evaluation_file(file: &Path, evaluated: &mut Evaluated) {
    let named = file.display().to_string();
    let size = fs::metadata(file).map(|found| found.len());
    let text = match size {
        Ok(size) if size > MOST_BYTES => {
            let most = MOST_BYTES >> 20;
            return evaluated.unread.push(format!("{named}: it is larger than {most} MiB and not read"));
        }
        _ => fs::read(file),
    };
    let text = match text {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return evaluated.unread.push(format!("{named}: {error}")),
    };
    let source = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let values = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Array(values)) => values,
        Ok(value) => vec![value],
        Err(_) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect()
        }
    };
    let count = values.len();
    let found: Vec<Evaluation> =
        values.iter().filter_map(|value| evaluation(value.as_object()?, &source)).collect();
    if found.len() < count {
        let others = grouped((count - found.len()) as u64);
        evaluated
            .unread
            .push(format!("{named}: {others} lines are no results, which have a task and what was measured"));
    }
    evaluated.results.extend(found);
}

/// A result as `eval --json` writes it; `None` for anything else.
fn evaluation(fields: &Map<String, Value>, source: &str) -> Option<Evaluation> {
    let task = fields.get("task")?.as_str()?.to_string();
    let number = |key: &str| fields.get(key).and_then(Value::as_f64);
    let ci95 = fields.get("ci95").and_then(|ends| Some((ends.get(0)?.as_f64()?, ends.get(1)?.as_f64()?)));
    let others = fields.iter().filter(|(key, _)| !KNOWN.contains(&key.as_str()));
    let others: Vec<(String, f64)> =
        others.filter_map(|(key, value)| Some((key.clone(), value.as_f64()?))).collect();
    let accuracy = number("accuracy");
    if accuracy.is_none() && others.is_empty() {
        return None;
    }
    let subjects = fields.get("per_subject").map(shares).unwrap_or_default();
    let n = fields.get("n").and_then(Value::as_u64);
    Some(Evaluation { source: source.to_string(), task, n, accuracy, ci95, others, subjects })
}

/// Shares by name: numbers, or objects with an accuracy.
fn shares(value: &Value) -> Vec<(String, f64)> {
    let share = |value: &Value| value.as_f64().or_else(|| value["accuracy"].as_f64());
    let all = value.as_object().into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), share(value)?))).collect()
}

/// What the generated example measured of its model at its end.
pub fn taught(history: &History) -> Option<Evaluation> {
    let done = history.done.as_ref()?;
    let accuracy = done["heldout_after"].as_f64()?;
    let others = [
        ("before", "heldout_before"),
        ("sampled", "heldout_sampled"),
        ("constant answer", "constant_answer"),
    ];
    let others = others.iter().filter_map(|(name, key)| Some((name.to_string(), done[*key].as_f64()?)));
    let by = ["per_kind", "per_language", "per_turn"].into_iter().flat_map(|key| shares(&done[key]));
    Some(Evaluation {
        source: "log.jsonl".into(),
        task: "held-out questions".into(),
        n: done["questions"].as_u64(),
        accuracy: Some(accuracy),
        ci95: None,
        others: others.collect(),
        subjects: by.collect(),
    })
}

/// The results of all runs, and what was not read.
pub fn evaluations(runs: &[Evaluated]) -> Part {
    let head = Html::names([
        ("run", "训练"),
        ("task", "任务"),
        ("questions", "题数"),
        ("right", "正确率"),
        ("95 % interval", "95% 区间"),
        ("also measured", "其他测量"),
        ("from", "来源"),
    ]);
    let rows = runs.iter().flat_map(|run| run.results.iter().map(|result| row(&run.name, result)));
    let mut body = match runs.iter().all(|run| run.results.is_empty()) {
        true => Html::paragraph(
            "None lies beside the runs. `kindling eval --json` writes some; files called eval*.jsonl in a run's directory \
             are read.",
            "训练目录中没有评测结果。`kindling eval --json` 可写出结果；训练目录中名为 eval*.jsonl 的文件会被读取。",
        ),
        false => Html::table(head, rows),
    };
    let results = runs.iter().flat_map(|run| &run.results).filter(|result| !result.subjects.is_empty());
    body.push(results.map(by_subject).collect());
    let unread = runs.iter().flat_map(|run| &run.unread);
    body.push(unread.map(|told| Html::element("p", "quiet", Html::text(told))).collect());
    Part { id: "evaluations", title: Html::both("Evaluations", "评测"), body }
}

fn row(run: &str, result: &Evaluation) -> Vec<Html> {
    let known = |text: Option<String>| Html::text(text.as_deref().unwrap_or("–"));
    let others: Vec<String> =
        result.others.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
    vec![
        Html::text(run),
        Html::text(&result.task),
        known(result.n.map(grouped)),
        known(result.accuracy.map(percent)),
        known(result.ci95.map(|(low, high)| format!("{} – {}", percent(low), percent(high)))),
        Html::text(&others.join(", ")),
        Html::text(&result.source),
    ]
}

fn by_subject(result: &Evaluation) -> Html {
    let row = |(name, share): &(String, f64)| vec![Html::text(name), Html::text(&percent(*share))];
    let table =
        Html::table(Html::names([("subject", "科目"), ("right", "正确率")]), result.subjects.iter().map(row));
    Html::folded(Html::text(&format!("{} · {}", result.task, result.source)), table)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
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
        write(
            "eval.jsonl",
            "{\"task\":\"ceval\",\"n\":1346,\"correct\":337,\"accuracy\":0.25,\"ci95\":[0.2276,0.2742],\"acc_norm\":0.26,\
             \"per_subject\":{\"law\":{\"n\":2,\"accuracy\":0.5},\"<b>\":0.125}}\n{\"id\":1,\"right\":true}\n",
        );
        write("eval/arc.json", "[{\"task\":\"arc_easy\",\"accuracy\":0.3}]");
        write("evaluation-notes.txt", "mine");
        write("config.json", "{\"task\":\"none\",\"accuracy\":1.0}");
        write("eval-broken.json", "{");
        let mut found = Evaluated { name: "run".into(), ..Evaluated::default() };
        read_evaluations(place.path(), &mut found);
        let mut tasks: Vec<&str> = found.results.iter().map(|result| result.task.as_str()).collect();
        tasks.sort_unstable();
        assert_eq!(tasks, ["arc_easy", "ceval"]);
        let ceval = found.results.iter().find(|result| result.task == "ceval").unwrap();
        assert_eq!((ceval.n, ceval.accuracy, ceval.ci95), (Some(1346), Some(0.25), Some((0.2276, 0.2742))));
        assert_eq!(ceval.others, [("acc_norm".to_string(), 0.26)]);
        assert_eq!(ceval.subjects.len(), 2);
        assert_eq!(found.unread.len(), 2, "{found:?}");
        assert!(found.unread.iter().all(|told| told.contains("1 lines are no results")), "{found:?}");
        let part = evaluations(&[found]);
        let markup = part.body.markup();
        assert!(
            markup.contains("25.0 %") && markup.contains("22.8 % – 27.4 %") && markup.contains("&lt;b&gt;"),
            "{markup}"
        );
        assert!(!markup.contains("<b>"));
    }

    #[test]
    fn the_examples_own_questions_are_a_result_and_none_is_said() {
        let log = "{\"event\":\"done\",\"questions\":200,\"heldout_before\":0.0,\"heldout_after\":0.9,\
                   \"constant_answer\":0.04,\"per_kind\":{\"colour\":0.95}}\n";
        let result = taught(&History::of(log)).unwrap();
        assert_eq!((result.n, result.accuracy), (Some(200), Some(0.9)));
        assert_eq!(result.others, [("before".to_string(), 0.0), ("constant answer".to_string(), 0.04)]);
        assert_eq!(result.subjects, [("colour".to_string(), 0.95)]);
        assert_eq!(taught(&History::default()), None);
        assert!(evaluations(&[]).body.markup().contains("没有评测结果"));
    }
}
