//! Results of `eval`: a line a task for programs, one table for people, and a line a question where it is asked for.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use kindling::evaluate::{Difference, Measure, Paired, Task, TaskResult, Unit};
use serde_json::json;

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
                let subjects = result.measures_by_subject();
                if subjects.is_empty() {
                    continue;
                }
                self.output.line("");
                self.output.line(&format!("{} by subject, {}", result.task, model));
                let row = |(name, measures): &(&str, Vec<Measure>)| {
                    let first = measures.first()?;
                    Some([vec![name.to_string()], cells(first)].concat())
                };
                let rows: Vec<Vec<String>> = subjects.iter().take(SHOWN_SUBJECTS).filter_map(row).collect();
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
    let row = |metric: String, measure: &Measure| [vec![task.clone(), metric], cells(measure)].concat();
    let measures = result.measures();
    let mut rows: Vec<Vec<String>> =
        measures.iter().map(|measure| row(measure.metric.to_string(), measure)).collect();
    if let (Some(own), Some([unseen, _])) = (measures.first(), result.shares_of_unseen())
        && unseen.n < own.n
    {
        let metric = format!("{}, not in the training data", own.metric);
        rows.push(row(metric, &Measure::of_share(own.metric, unseen)));
    }
    rows
}

/// Of how many, the number, and its interval; perplexity has none.
fn cells(measure: &Measure) -> Vec<String> {
    let at_most = if measure.at_most { "at most " } else { "" };
    let n = grouped(measure.n);
    match measure.unit {
        Unit::Share => vec![n, percent(measure.value), measure.interval.map_or("-".into(), percents)],
        Unit::Bits => vec![n, format!("{at_most}{:.4}", measure.value), small(measure.interval)],
        Unit::Perplexity => vec![n, format!("{at_most}{:.4}", measure.value)],
    }
}

/// The rows of two models' difference; told to programs, too.
fn differences(a: &TaskResult, b: &TaskResult, names: &[String], output: Output) -> Vec<Vec<String>> {
    let task = a.task;
    let Some(found) = a.differences(b) else { return not_the_same(task, output) };
    let row = |found: &Difference| {
        tell_difference(task, found, names, output);
        let (task, metric) = (task.to_string(), found.metric.to_string());
        match found.paired {
            None => vec![task, metric, format!("{:+.4}", found.value), small(found.interval)],
            Some(Paired { first_only, second_only, .. }) => vec![
                task,
                metric,
                format!("{:+.2}", 100.0 * found.value),
                found.interval.map_or("-".into(), percents),
                format!("right alone: {first_only} and {second_only}"),
            ],
        }
    };
    found.iter().map(row).collect()
}

/// A line of `--json`.
fn tell_difference(task: Task, found: &Difference, names: &[String], output: Output) {
    let mut line = json!({
        "task": task.name(), "models": names, "metric": found.metric, "difference": found.value,
        "ci95": found.interval,
    });
    if let Some(Paired { both, first_only, second_only, neither }) = found.paired {
        for (key, count) in
            [("both", both), ("first_only", first_only), ("second_only", second_only), ("neither", neither)]
        {
            line[key] = json!(count);
        }
    }
    output.json(&line);
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

fn percents([low, high]: [f64; 2]) -> String {
    format!("{:.2} to {:.2}", 100.0 * low, 100.0 * high)
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
        assert_eq!(percents([0.1, 0.5]), "10.00 to 50.00");
    }
}
