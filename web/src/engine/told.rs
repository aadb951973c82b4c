//! What the library knows, as the page is told of it. Messages are the page's too, which does without the library: so
//! what one of them makes of the library's types stands here.

use std::collections::BTreeMap;

use kindling::data::{DataReport, WarningCount};
use kindling::formats::gguf::WeightType;
use kindling::kernels::Quantization;
use kindling::model;
use kindling::sample;
use kindling::told::Told;
use kindling::train::{self, HeldOut, StepLog};
use serde::Serialize;
use serde_json::{Map, Value};

use super::messages::chat::{FinishReason, Generation, MaskedScore, Score};
use super::messages::diffusion::Diffusion;
use super::messages::model::{GgufWeights, ModelCard, WeightsAs};
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

impl WeightsAs {
    /// The blocks of few bits; none where matrices are floats.
    pub fn bits(self) -> Option<Quantization> {
        match self {
            Self::F32 => None,
            Self::Q8_0 => Some(Quantization::Q8_0),
            Self::Q4_0 => Some(Quantization::Q4_0),
        }
    }
}

impl From<GgufWeights> for WeightType {
    fn from(weights: GgufWeights) -> Self {
        match weights {
            GgufWeights::F32 => Self::F32,
            GgufWeights::F16 => Self::F16,
            GgufWeights::Bf16 => Self::Bf16,
            GgufWeights::Q8_0 => Self::Q8_0,
            GgufWeights::Q4_0 => Self::Q4_0,
        }
    }
}

impl From<model::ModelCard> for ModelCard {
    fn from(card: model::ModelCard) -> Self {
        let model::ModelCard { about, questions, world, parent } = card;
        Self { about, questions, world, parent }
    }
}

impl From<&model::DiffusionConfig> for Diffusion {
    fn from(config: &model::DiffusionConfig) -> Self {
        Self {
            mask_token_id: config.mask_token_id,
            block_length: config.block_length.map(|length| length as u32),
            shift_logits: config.shift_logits,
        }
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

impl From<sample::FinishReason> for FinishReason {
    fn from(reason: sample::FinishReason) -> Self {
        match reason {
            sample::FinishReason::Stop => Self::Stop,
            sample::FinishReason::Length => Self::Length,
        }
    }
}

impl From<sample::Generation> for Generation {
    fn from(generation: sample::Generation) -> Self {
        Self {
            prompt_tokens: generation.prompt_tokens,
            tokens: generation.tokens,
            text: generation.text,
            finish_reason: generation.finish_reason.into(),
            prefill_tokens_per_second: generation.prefill_tokens_per_second,
            decode_tokens_per_second: generation.decode_tokens_per_second,
        }
    }
}

impl From<sample::Score> for Score {
    fn from(score: sample::Score) -> Self {
        Self {
            tokens: score.tokens,
            logprobs: score.logprobs,
            nll: score.nll,
            tokens_scored: score.tokens_scored as u32,
            bits_per_byte: score.bits_per_byte,
            logits: score.logits,
        }
    }
}

impl From<sample::MaskedScore> for MaskedScore {
    fn from(score: sample::MaskedScore) -> Self {
        Self {
            tokens: score.tokens,
            nll: score.nll,
            nll_is_bound: score.nll_is_bound,
            nll_standard_error: score.nll_standard_error,
            mc: score.mc as u32,
            tokens_scored: score.tokens_scored as u32,
            bits_per_byte: score.bits_per_byte,
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
