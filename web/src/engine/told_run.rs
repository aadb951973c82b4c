//! What the library knows of runs, as the page is told of it. `kindling serve --train` includes this file: a run there speaks
//! as one here.

use std::collections::BTreeMap;

use kindling::data::{DataReport, WarningCount};
use kindling::told::Told;
use kindling::train::{self, HeldOut, StepLog};
use serde::Serialize;
use serde_json::{Map, Value};

use super::messages::run::{self, EngineEvent, Plan, RowCount};
use super::messages::told;

impl From<&Told> for told::Told {
    fn from(told: &Told) -> Self {
        let values = match serde_json::to_value(told) {
            Ok(Value::Object(mut told)) => told.remove("values"),
            _ => None,
        };
        let values = match values {
            Some(Value::Object(values)) => values,
            _ => Map::new(),
        };
        Self { code: told.code().into(), values, message: told.to_string() }
    }
}

impl From<train::Stage> for run::Stage {
    fn from(stage: train::Stage) -> Self {
        match stage {
            train::Stage::Pretrain => Self::Pretrain,
            train::Stage::Sft => Self::Sft,
            train::Stage::Dpo => Self::Dpo,
            train::Stage::Distill => Self::Distill,
            train::Stage::Reason => Self::Reason,
            train::Stage::Grpo => Self::Grpo,
        }
    }
}

impl From<&WarningCount> for RowCount {
    fn from(count: &WarningCount) -> Self {
        Self { rows: count.rows as f64, first: count.first.clone() }
    }
}

impl From<&DataReport> for run::DataReport {
    fn from(report: &DataReport) -> Self {
        Self {
            rows: report.rows as f64,
            usable: report.usable as f64,
            documents: report.documents as f64,
            conversations: report.conversations as f64,
            bad: report.bad as f64,
            bad_rows: texts(&report.bad_rows),
            filtered: report.filtered as f64,
            duplicates: report.duplicates as f64,
            warnings: report.warnings.iter().map(|(kind, of)| (word(kind), of.into())).collect(),
            unused_keys: report.unused_keys.iter().map(|(key, of)| (key.clone(), of.into())).collect(),
            more_unused: report.more_unused as f64,
            on_both_sides: report.on_both_sides.as_ref().map(RowCount::from),
            bytes_of_text: report.bytes_of_text as f64,
        }
    }
}

/// What serde calls a kind.
fn word(kind: impl Serialize) -> String {
    serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(String::from)).unwrap_or_default()
}

/// The odd things about the data, a sentence each.
pub fn warnings(report: &DataReport) -> Vec<String> {
    texts(&report.remarks(|count| count.to_string()))
}

/// Sentences without their codes.
pub fn texts(list: &[Told]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Sentences as the page reads them.
pub fn notes(list: &[Told]) -> Vec<told::Told> {
    list.iter().map(told::Told::from).collect()
}

/// Something that a person should know.
pub fn warning(why: &Told) -> EngineEvent {
    let told::Told { code, values, message } = why.into();
    EngineEvent::Warning { code, values, message }
}

/// The end of a call, with what went wrong.
pub fn failed(why: &Told) -> EngineEvent {
    let told::Told { code, values, message } = why.into();
    EngineEvent::Failed { code, values, message }
}

/// What an objective reports beside its loss.
fn metrics(reported: &BTreeMap<&'static str, f64>) -> BTreeMap<String, Option<f64>> {
    reported.iter().map(|(name, value)| ((*name).to_string(), Some(*value))).collect()
}

/// A measurement on held-out rows.
pub fn eval(step: u64, held_out: &HeldOut, best: bool) -> EngineEvent {
    let (loss, bits_per_byte) = (Some(held_out.loss), held_out.bits_per_byte);
    EngineEvent::Eval { step: step as f64, loss, bits_per_byte, best, metrics: metrics(&held_out.metrics) }
}

/// Steps that were taken.
pub fn step(log: &StepLog) -> EngineEvent {
    let mut metrics = metrics(&log.metrics);
    // Only half precision has one.
    if let Some(scale) = &log.loss_scale {
        metrics.insert("loss_scale".into(), Some(scale.factor));
        metrics.insert("skipped_steps".into(), Some(scale.skipped as f64));
    }
    EngineEvent::Step {
        step: log.step as f64,
        loss: Some(log.loss),
        lr: log.lr,
        grad_norm: Some(log.grad_norm),
        tokens: log.tokens as f64,
        tokens_per_second: Some(log.tokens_per_second),
        elapsed_s: Some(log.elapsed_s),
        metrics,
        expert_load: log.expert_load.clone(),
    }
}

impl Plan {
    /// A plan for these rows; without `seconds` only the run's own speed can tell.
    pub fn of(plan: &train::Plan, seconds: Option<f64>, rows: u64, report: &DataReport) -> Self {
        Self {
            parameters: plan.parameters as f64,
            trained: plan.trained as f64,
            bytes: plan.bytes() as f64,
            steps: plan.steps as f64,
            tokens: plan.tokens as f64,
            seconds,
            rows: rows as f64,
            warnings: warnings(report),
            report: report.into(),
            notes: Vec::new(),
        }
    }

    /// Adds what else a person should know.
    pub fn note(&mut self, notes: Vec<Told>) {
        self.warnings.extend(texts(&notes));
        self.notes.extend(self::notes(&notes));
    }
}
