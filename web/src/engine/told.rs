//! What the library knows, as the page is told of it. Messages are the page's too, which does without the library: so
//! what one of them makes of the library's types stands here.

use kindling::formats::gguf::WeightType;
use kindling::kernels::Quantization;
use kindling::model;
use kindling::sample;

use super::messages::chat::{FinishReason, Generation, MaskedScore, Score};
use super::messages::diffusion::Diffusion;
use super::messages::model::{GgufWeights, ModelCard, WeightsAs};
pub use super::told_run::{eval, failed, notes, step, texts, warning, warnings};

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
