//! What a run teaches.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::loss::{
    Diffusion, DiffusionSettings, Distill, DistillConfig, Dpo, DpoConfig, Grpo, GrpoConfig, Masking,
    NextToken, Objective, Reason, Reference,
};
use crate::model::ModelConfig;

/// What a run teaches: which rows it reads and what it minimises. Which weights learn it, the model's or an adapter's,
/// is another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Next-token prediction on texts.
    Pretrain,
    /// The assistant's answers in conversations.
    #[cfg_attr(feature = "cli", value(alias = "lora"))]
    Sft,
    /// Which of two answers is better.
    Dpo,
    /// What a teacher would say in the assistant's place, or next in texts.
    Distill,
    /// Answers that think first, between tags.
    Reason,
    /// Answers of its own that rules reward.
    Grpo,
}

impl Stage {
    /// The name on the command line and in run directories.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Sft => "sft",
            Self::Dpo => "dpo",
            Self::Distill => "distill",
            Self::Reason => "reason",
            Self::Grpo => "grpo",
        }
    }

    /// What it minimises, with the defaults of its own settings; preferences and rewards are learned by an adapter then,
    /// beside what it is compared with ([`Dpo::new`] and [`Grpo::new`] take all else), and distillation still lacks its
    /// teacher ([`Distill::with_teacher`]).
    pub fn objective(self) -> Arc<dyn Objective> {
        match self {
            Self::Pretrain | Self::Sft => Arc::new(NextToken),
            Self::Dpo => Arc::new(Dpo::new(DpoConfig::default(), Reference::Base)),
            Self::Distill => Arc::new(Distill::new(DistillConfig::default())),
            Self::Reason => Arc::new(Reason::default()),
            Self::Grpo => Arc::new(Grpo::new(GrpoConfig::default(), Some(Reference::Base))),
        }
    }

    /// What it minimises with these settings for such a model, as [`Self::objective`] gives the rest: of texts and
    /// conversations hidden tokens, where the model predicts those.
    ///
    /// # Errors
    /// A model of the other kind than the settings or the stage need.
    pub fn objective_for(
        self,
        settings: &DiffusionSettings,
        model: &ModelConfig,
    ) -> Result<Arc<dyn Objective>> {
        match self {
            Self::Pretrain | Self::Sft if settings.applies_to(model)? => {
                let masking = Masking { settings: *settings, answers: self == Self::Sft };
                Ok(Arc::new(Diffusion::new(masking)))
            }
            Self::Pretrain | Self::Sft => Ok(self.objective()),
            Self::Dpo | Self::Distill | Self::Reason | Self::Grpo => {
                model.check_causal(self.name()).map(|()| self.objective())
            }
        }
    }
}
