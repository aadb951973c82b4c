//! A run's `log.jsonl` as curves: the loss, what its objective reports beside it, and the same of held-out rows.

use std::collections::BTreeMap;
use std::path::Path;

use kindling::error::Result;
use serde_json::Value;

use crate::model_files::read_optional;
use crate::written::LOG;

/// Keys of a logged step that are no metrics.
const NO_METRICS: [&str; 4] = ["step", "loss", "tokens", "elapsed_s"];
/// Keys of a measurement likewise.
const NO_MEASURES: [&str; 4] = ["event", "step", "loss", "targets"];

/// Values by step, in the order in which they were logged.
pub type Curve = Vec<(f64, f64)>;

/// What a run logged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The loss of training.
    pub loss: Curve,
    /// The loss of held-out rows.
    pub held_out: Curve,
    /// Everything else that is logged with each report, by name.
    pub metrics: BTreeMap<String, Curve>,
    /// The same of held-out rows.
    pub held_out_metrics: BTreeMap<String, Curve>,
    /// The last step that was logged; of a chain, the stages that are done.
    pub step: u64,
    /// Seconds of training, all processes together.
    pub seconds: f64,
    /// The line that tells of its end, where nothing came behind it.
    pub done: Option<Value>,
    /// What the run warned of, each sentence once.
    pub warnings: Vec<String>,
    /// Lines that are no JSON objects, by their numbers.
    pub damaged: Vec<usize>,
    /// Losses that are no numbers.
    pub not_finite: usize,
}

impl History {
    /// Reads a run's log; a run that logged nothing has an empty one.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(run: &Path) -> Result<Self> {
        let bytes = read_optional(&run.join(LOG))?.unwrap_or_default();
        Ok(Self::of(&String::from_utf8_lossy(&bytes)))
    }

    /// The same of the log's text.
    pub fn of(text: &str) -> Self {
        let (mut history, mut since) = (Self::default(), 0.0);
        for (number, line) in text.lines().enumerate() {
            match serde_json::from_str(line) {
                Ok(value @ Value::Object(_)) => history.add(value, &mut since),
                _ => history.damaged.push(number + 1),
            }
        }
        history.seconds += since;
        history
    }

    /// `since` are the seconds of the process that logs.
    fn add(&mut self, line: Value, since: &mut f64) {
        match line["event"].as_str() {
            None => {
                self.done = None;
                *since = line["elapsed_s"].as_f64().unwrap_or(*since);
                self.step(&line);
            }
            Some("resume") => {
                self.done = None;
                self.seconds += std::mem::take(since);
            }
            Some("eval") => self.measure(&line),
            Some("warning") => self.warn(&line),
            Some("done") => {
                self.step = line["step"].as_u64().unwrap_or(self.step);
                self.done = Some(line);
            }
            Some(_) => {}
        }
    }

    fn warn(&mut self, line: &Value) {
        let told = line["message"].as_str().map(String::from);
        self.warnings.extend(told.filter(|told| !self.warnings.contains(told)));
    }

    fn step(&mut self, line: &Value) {
        let Some(step) = line["step"].as_u64() else { return };
        self.step = step;
        match line["loss"].as_f64() {
            Some(loss) => self.loss.push((step as f64, loss)),
            None => self.not_finite += 1,
        }
        push_numbers(line, &NO_METRICS, &mut self.metrics);
    }

    fn measure(&mut self, line: &Value) {
        let Some(step) = line["step"].as_u64() else { return };
        if let Some(loss) = line["loss"].as_f64() {
            self.held_out.push((step as f64, loss));
        }
        push_numbers(line, &NO_MEASURES, &mut self.held_out_metrics);
    }

    /// The first and the last loss of training.
    pub fn ends(&self) -> Option<(f64, f64)> {
        Some((self.loss.first()?.1, self.loss.last()?.1))
    }
}

/// Adds the numbers of a line, all but those under some keys.
fn push_numbers(line: &Value, but: &[&str], curves: &mut BTreeMap<String, Curve>) {
    let (Some(step), Some(fields)) = (line["step"].as_f64(), line.as_object()) else { return };
    for (name, value) in fields.iter().filter(|(name, _)| !but.contains(&name.as_str())) {
        if let Some(value) = value.as_f64() {
            curves.entry(name.clone()).or_default().push((step, value));
        }
    }
}

/// The lowest value of a curve.
pub fn lowest(curve: &Curve) -> Option<f64> {
    curve.iter().map(|(_, value)| *value).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"step":10,"loss":4.5,"lr":0.001,"tokens":100,"elapsed_s":2.5,"reward_margin":0.25,"expert_load":[[1.0]]}
{"event":"eval","step":10,"loss":4.0,"bits_per_byte":null,"targets":9,"reward_margin":0.5}
{"event":"save","step":10,"best":true}
{"event":"warning","message":"it is slow"}
{"event":"resume","step":10}
{"event":"warning","message":"it is slow"}
{"step":20,"loss":null,"elapsed_s":1.0}
not json
{"step":30,"loss":3.5,"elapsed_s":4.0}
[1]
{"event":"done","out":"run","step":30,"total_steps":30}
"#;

    #[test]
    fn a_log_becomes_curves_and_what_is_damaged_is_named() {
        let history = History::of(LOG);
        assert_eq!(history.loss, [(10.0, 4.5), (30.0, 3.5)]);
        assert_eq!(history.held_out, [(10.0, 4.0)]);
        assert_eq!((history.step, history.not_finite), (30, 1));
        assert_eq!(history.damaged, [8, 10]);
        assert_eq!(history.warnings, ["it is slow"]);
        assert_eq!(history.metrics.keys().collect::<Vec<_>>(), ["lr", "reward_margin"]);
        assert_eq!(history.held_out_metrics["reward_margin"], [(10.0, 0.5)]);
        assert!(!history.held_out_metrics.contains_key("bits_per_byte"), "null is no number");
        // 2.5 s before it was resumed, and 4 s since.
        assert_eq!(history.seconds, 6.5);
        assert_eq!(history.done.as_ref().unwrap()["total_steps"], 30);
        assert_eq!((history.ends(), lowest(&history.loss)), (Some((4.5, 3.5)), Some(3.5)));
    }

    #[test]
    fn what_comes_behind_the_end_takes_it_back() {
        let on = format!("{LOG}{{\"event\":\"resume\",\"step\":30}}\n");
        assert!(History::of(&on).done.is_none());
        let empty = History::of("");
        assert_eq!((empty.ends(), lowest(&empty.loss)), (None, None));
    }
}
