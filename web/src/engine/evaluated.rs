//! What the page hears of an evaluation: on its way, and of its end.

use std::cell::{Cell, RefCell};

use kindling::data::DataReport;
use kindling::evaluate::{self, EvalListener, Task, TaskResult};
use kindling::told::{Told, told};

use super::messages::evaluate::{
    Evaluated, Evaluation, Examined, Measure, MeasureDifference, SubjectMeasures, Unit,
};
use super::messages::run::EngineEvent as Event;
use super::port::Port;
use super::state::Engine;
use super::told::notes;

/// Tells the page how far an evaluation is, and hears when it wants no more.
pub struct Listening<'a> {
    engine: &'a Engine,
    port: &'a Port,
    /// Of so many models, which one is asked, from 1.
    models: u32,
    model: Cell<u32>,
    done: Cell<usize>,
    total: Cell<usize>,
    notes: RefCell<Vec<Told>>,
}

impl<'a> Listening<'a> {
    /// For so many models.
    pub fn new(engine: &'a Engine, port: &'a Port, models: usize) -> Self {
        let (done, total, notes) = (Cell::default(), Cell::default(), RefCell::default());
        Self { engine, port, models: models as u32, model: Cell::new(1), done, total, notes }
    }

    /// The next model is asked.
    pub fn next(&self) {
        self.model.set(self.model.get() + 1);
        self.done.set(0);
        self.total.set(0);
    }

    /// What was told, each once: the second model is asked the same as the first.
    pub fn notes(&self) -> Vec<Told> {
        self.notes.take()
    }

    /// Tells of files that hold nothing which is asked.
    pub fn unread(&self, task: Task, names: &[String]) {
        if !names.is_empty() {
            let files = names.join(", ");
            self.tell(told!("eval.unread_files", "{files}: nothing of it is asked for {task}", files, task));
        }
    }
}

impl EvalListener for Listening<'_> {
    fn begins(&self, total: usize) {
        self.total.set(self.total.get() + total);
        self.advances(0, 0);
    }

    fn advances(&self, done: usize, _tokens: usize) {
        self.done.set(self.done.get() + done);
        self.port.tell(&Event::Evaluating {
            done: self.done.get() as f64,
            total: self.total.get() as f64,
            model: self.model.get(),
            models: self.models,
        });
    }

    fn ends(&self) {}

    fn is_stopped(&self) -> bool {
        self.engine.cancelled.borrow().contains(&self.port.run)
    }

    fn has_read(&self, report: &DataReport) {
        report.remarks(|count| count.to_string()).into_iter().for_each(|remark| self.tell(remark));
    }

    fn tell(&self, remark: Told) {
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&remark) {
            notes.push(remark);
        }
    }

    fn warn(&self, remark: Told) {
        self.tell(remark);
    }
}

impl From<evaluate::Unit> for Unit {
    fn from(unit: evaluate::Unit) -> Self {
        match unit {
            evaluate::Unit::Share => Self::Share,
            evaluate::Unit::Bits => Self::Bits,
            evaluate::Unit::Perplexity => Self::Perplexity,
        }
    }
}

impl From<&evaluate::Measure> for Measure {
    fn from(measure: &evaluate::Measure) -> Self {
        Self {
            metric: measure.metric.into(),
            unit: measure.unit.into(),
            n: measure.n as f64,
            value: finite(measure.value),
            ci95: measure.interval,
            at_most: measure.at_most,
        }
    }
}

impl From<&evaluate::Difference> for MeasureDifference {
    fn from(found: &evaluate::Difference) -> Self {
        Self {
            metric: found.metric.into(),
            unit: found.unit.into(),
            value: finite(found.value),
            ci95: found.interval,
            alone: found.paired.map(|paired| [paired.first_only as f64, paired.second_only as f64]),
        }
    }
}

/// JSON knows no other numbers.
fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|value| value.is_finite())
}

/// The numbers of each model.
fn evaluated(results: &[(Examined, TaskResult)]) -> Vec<Evaluated> {
    let measures = |list: &[evaluate::Measure]| list.iter().map(Measure::from).collect::<Vec<_>>();
    let of = |(who, result): &(Examined, TaskResult)| {
        let subjects = result
            .measures_by_subject()
            .into_iter()
            .map(|(subject, list)| SubjectMeasures { subject: subject.into(), measures: measures(&list) });
        Evaluated { who: *who, measures: measures(&result.measures()), subjects: subjects.collect() }
    };
    results.iter().map(of).collect()
}

/// All of an evaluation.
pub fn evaluation(results: &[(Examined, TaskResult)], mut remarks: Vec<Told>) -> Evaluation {
    let (task, shots) = results
        .first()
        .map_or((String::new(), 0), |(_, result)| (result.task.name().to_string(), result.shots as u32));
    let mut differences = Vec::new();
    if let [(_, first), (_, second)] = results {
        match first.differences(second) {
            Some(found) => differences = found.iter().map(MeasureDifference::from).collect(),
            None => remarks.push(told!(
                "eval.not_same",
                "{task}: the models were not asked the same, so there is no difference to tell",
                task
            )),
        }
    }
    Evaluation { task, shots, models: evaluated(results), differences, notes: notes(&remarks) }
}
