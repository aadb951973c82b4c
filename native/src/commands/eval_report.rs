//! Results of `eval`: a line a task for programs, one table for people, and a line a question where it is asked for.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use kindling::evaluate::{Paired, Share, Task, TaskResult};
use serde_json::{Value, json};

use crate::failure::{Failure, io_error};
use crate::output::{Output, grouped};
use crate::table::table;

/// Subjects that a table for people lists; `--json` has all.
const SHOWN_SUBJECTS: usize = 8;

/// Collects what is shown at the end.
pub struct Report {
    models: Vec<String>,
    results: Vec<Vec<TaskResult>>,
    output: Output,
}

impl Report {
    /// Of these models.
    pub fn new(models: Vec<String>, output: Output) -> Self {
        Self { models, results: Vec::new(), output }
    }

    /// Shows a result to programs at once.
    pub fn add(&self, model: usize, result: &TaskResult) {
        let mut line = result.to_json();
        if self.models.len() > 1 {
            line["model"] = json!(self.models[model]);
        }
        self.output.json(&line);
    }

    /// Keeps the results of a model.
    pub fn end(&mut self, results: Vec<TaskResult>) {
        self.results.push(results);
    }

    /// Shows the table, and how two models differ.
    pub fn show(&self) {
        let mut rows = vec![header(self.models.len() > 1)];
        for (model, results) in self.models.iter().zip(&self.results) {
            for result in results {
                rows.extend(lines(result).into_iter().map(|row| match self.models.len() {
                    1 => row,
                    _ => [vec![model.clone()], row].concat(),
                }));
            }
        }
        table(&rows).iter().for_each(|line| self.output.line(line));
        self.show_subjects();
        if let [first, second] = self.results.as_slice() {
            self.show_differences(first, second);
        }
    }

    fn show_subjects(&self) {
        for (model, results) in self.models.iter().zip(&self.results) {
            for result in results {
                let subjects = result.per_subject();
                if subjects.is_empty() {
                    continue;
                }
                self.output.line("");
                self.output.line(&format!("{} by subject, {}", result.task, model));
                let row = |(name, [share, _]): (&&str, &[Share; 2])| {
                    vec![
                        name.to_string(),
                        grouped(share.n),
                        percent(share.value()),
                        interval(share.interval(), 100.0),
                    ]
                };
                let rows: Vec<Vec<String>> = subjects.iter().take(SHOWN_SUBJECTS).map(row).collect();
                table(&rows).iter().for_each(|line| self.output.line(line));
                if subjects.len() > SHOWN_SUBJECTS {
                    let more = subjects.len() - SHOWN_SUBJECTS;
                    self.output.line(&format!("… and {more} more, which --json lists"));
                }
            }
        }
    }

    fn show_differences(&self, first: &[TaskResult], second: &[TaskResult]) {
        let names = &self.models;
        let mut rows = Vec::new();
        for (a, b) in first.iter().zip(second) {
            rows.extend(differences(a, b, names, self.output));
        }
        if !rows.is_empty() {
            self.output.line("");
            self.output.line(&format!("{} less {}, 95 %", names[1], names[0]));
            table(&rows).iter().for_each(|line| self.output.line(line));
        }
    }
}

fn header(with_model: bool) -> Vec<String> {
    let columns = ["task", "metric", "n", "result", "95 %"].map(String::from).to_vec();
    if with_model { [vec!["model".to_string()], columns].concat() } else { columns }
}

/// The rows of a task: one a metric.
fn lines(result: &TaskResult) -> Vec<Vec<String>> {
    let task = result.task.to_string();
    if let Some(texts) = &result.texts {
        let n = grouped(texts.texts() as u64);
        let at_most = if texts.is_bound { "at most " } else { "" };
        let bits = format!("{at_most}{:.4}", texts.bits_per_byte());
        let bits = vec![task.clone(), "bits_per_byte".into(), n.clone(), bits, small(texts.interval())];
        let perplexity = format!("{at_most}{:.4}", texts.perplexity());
        return vec![bits, vec![task, "perplexity".into(), n, perplexity]];
    }
    let (first, second) = result.task.metrics();
    let row = |(metric, share): (&str, Share)| {
        let (value, interval) = (percent(share.value()), interval(share.interval(), 100.0));
        vec![task.clone(), metric.to_string(), grouped(share.n), value, interval]
    };
    let [own, other] = result.shares();
    let mut rows = vec![row((first, own))];
    rows.extend(second.map(|second| row((second, other))));
    if let Some([unseen, _]) = result.shares_of_unseen().filter(|[unseen, _]| unseen.n < own.n) {
        rows.push(row((&format!("{first}, not in the training data"), unseen)));
    }
    rows
}

/// The rows of two models' difference; told to programs, too.
fn differences(a: &TaskResult, b: &TaskResult, names: &[String], output: Output) -> Vec<Vec<String>> {
    let task = a.task;
    let tell = |metric: &str, difference: f64, interval: Option<[f64; 2]>, more: Value| {
        let mut line = json!({
            "task": task.name(), "models": names, "metric": metric, "difference": difference, "ci95": interval,
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
        }
        output.json(&line);
    };
    if let Some((difference, interval)) =
        a.texts.as_ref().zip(b.texts.as_ref()).and_then(|(a, b)| a.paired(b))
    {
        tell("bits_per_byte", difference, interval, json!({}));
        return vec![vec![
            task.to_string(),
            "bits_per_byte".into(),
            format!("{difference:+.4}"),
            small(interval),
        ]];
    }
    let Some(paired) = a.paired(b) else { return not_the_same(task, output) };
    let (first, second) = task.metrics();
    let mut rows = Vec::new();
    for (metric, paired) in [Some(first), second].into_iter().zip(paired) {
        let Some(metric) = metric else { continue };
        let Paired { both, first_only, second_only, neither } = paired;
        let more =
            json!({"both": both, "first_only": first_only, "second_only": second_only, "neither": neither});
        tell(metric, paired.difference(), Some(paired.interval()), more);
        rows.push(vec![
            task.to_string(),
            metric.to_string(),
            format!("{:+.2}", 100.0 * paired.difference()),
            interval(paired.interval(), 100.0),
            format!("right alone: {first_only} and {second_only}"),
        ]);
    }
    rows
}

/// Rows that one model's template or tokenizer leaves out cannot be paired.
fn not_the_same(task: Task, output: Output) -> Vec<Vec<String>> {
    output.warn(&format!("{task}: the models were not asked the same, so there is no difference to tell"));
    Vec::new()
}

fn percent(share: f64) -> String {
    // Of no questions.
    if share.is_nan() { "-".to_string() } else { format!("{:.2} %", 100.0 * share) }
}

fn interval([low, high]: [f64; 2], scale: f64) -> String {
    format!("{:.2} to {:.2}", scale * low, scale * high)
}

fn small(interval: Option<[f64; 2]>) -> String {
    interval.map_or("-".to_string(), |[low, high]| format!("{low:.4} to {high:.4}"))
}

/// The file of `--items`.
pub struct ItemsFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl ItemsFile {
    /// A new file.
    ///
    /// # Errors
    /// A name that is taken meanwhile, or a place where nothing can be written.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.map_or(Ok(()), fs::create_dir_all).map_err(|e| io_error(path, e))?;
        let file = File::create_new(path).map_err(|e| io_error(path, e))?;
        Ok(Self { path: path.to_path_buf(), file: BufWriter::new(file) })
    }

    /// Writes the questions of a task, with the model's name where there is another one.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn add(&mut self, model: Option<&String>, result: &TaskResult) -> Result<(), Failure> {
        for item in &result.items {
            let mut line = item.to_json(result.task);
            if let Some(model) = model {
                line["model"] = json!(model);
            }
            writeln!(self.file, "{line}").map_err(|e| io_error(&self.path, e))?;
        }
        Ok(self.file.flush().map_err(|e| io_error(&self.path, e))?)
    }
}

#[cfg(test)]
mod tests {
    use kindling::evaluate::TextResult;

    use super::*;

    #[test]
    fn a_task_has_a_row_a_metric() {
        let mut texts = TextResult::default();
        texts.add(8.0 * std::f64::consts::LN_2, 4, 4);
        let result =
            TaskResult { task: Task::HeldOut, shots: 0, items: Vec::new(), texts: Some(texts), short: None };
        let rows = lines(&result);
        assert_eq!(rows[0], ["heldout", "bits_per_byte", "1", "2.0000", "-"]);
        assert_eq!(rows[1], ["heldout", "perplexity", "1", "4.0000"]);
        assert_eq!(percent(0.25), "25.00 %");
        assert_eq!(interval([0.1, 0.5], 100.0), "10.00 to 50.00");
    }
}
