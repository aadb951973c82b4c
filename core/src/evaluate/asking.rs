//! A model that is asked: what it finds likely, and what it answers.

use super::{ContinuationScorer, EvalConfig, EvalListener, Judged, Sequence, Task};
use crate::error::Result;
use crate::model::Transformer;
use crate::sample::{
    Flow, Generation, GenerationRequest, LikelihoodConfig, SamplingConfig, SideBySide, UnmaskConfig,
    generate_together,
};
use crate::text::Tags;
use crate::tokenizer::Tokenizer;
use crate::told::{Counted, told};

/// Tokens that an answer of `format` may have where nobody says how many.
pub const FORMAT_TOKENS: usize = 512;
/// Answers side by side where nobody says how many.
const SIDE_BY_SIDE: usize = 16;

/// How a model is asked, beside how questions are.
#[derive(Clone, Debug)]
pub struct AskConfig {
    /// How questions are asked.
    pub questions: EvalConfig,
    /// How a masked predictor is asked.
    pub likelihood: LikelihoodConfig,
    /// What stands around thinking and answer.
    pub tags: Tags,
    /// Tokens that an answer of `format` may have.
    pub max_new_tokens: usize,
    /// The most questions of a pass, or answers side by side, where somebody says so.
    pub batch_size: Option<usize>,
    /// Bytes that the keys and values of answers side by side may take.
    pub cache_bytes: u64,
}

/// A model that is asked.
pub struct Asking<'a> {
    pub(super) config: &'a AskConfig,
    pub(super) model: &'a Transformer,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) listener: &'a dyn EvalListener,
    scorer: ContinuationScorer,
}

impl<'a> Asking<'a> {
    /// Of a model.
    ///
    /// # Errors
    /// Settings of a masked predictor for one that is none, or that do not hold.
    pub fn new(
        config: &'a AskConfig,
        model: &'a Transformer,
        tokenizer: &'a Tokenizer,
        listener: &'a dyn EvalListener,
    ) -> Result<Self> {
        let given = config.likelihood.given();
        if !given.is_empty() {
            model.config().check_masked(&given.join(", "))?;
        }
        let scorer = ContinuationScorer::new(model, config.likelihood)?;
        let scorer = match config.batch_size {
            Some(rows) => scorer.with_rows(rows),
            None => scorer,
        };
        Ok(Self { config, model, tokenizer, listener, scorer })
    }

    /// Positions of the model.
    pub(super) fn longest(&self) -> usize {
        self.model.config().context()
    }

    /// How likely each sequence is, group by group; nothing where the listener wants no more.
    pub(super) async fn log_likelihoods(&self, groups: &[Vec<Sequence>]) -> Result<Option<Vec<Vec<f64>>>> {
        self.listener.begins(groups.len());
        let mut on = |judged: Judged| {
            self.listener.advances(judged.groups, judged.tokens);
            self.flow()
        };
        let found = self.scorer.score(groups, &mut on).await;
        self.listener.ends();
        found
    }

    /// What the model writes behind each prompt, greedily; prompts that leave no room get none. Nothing where the listener
    /// wants no more.
    pub(super) async fn answers(
        &self,
        task: Task,
        prompts: &[&[u32]],
        config: &SamplingConfig,
    ) -> Result<Option<Vec<Option<Generation>>>> {
        self.model.config().check_causal(&format!("writing the answers of {task}"))?;
        let ends = self.tokenizer.end_ids(&self.model.config().eos_token_ids);
        let fits: Vec<usize> = (0..prompts.len()).filter(|&at| prompts[at].len() < self.longest()).collect();
        let request = |&at: &usize| GenerationRequest {
            prompt: prompts[at],
            reuse: 0,
            end_ids: &ends,
            tokenizer: Some(self.tokenizer),
            config,
            unmask: UnmaskConfig::default(),
        };
        let requests: Vec<GenerationRequest> = fits.iter().map(request).collect();
        let mut answers: Vec<Option<Generation>> = vec![None; prompts.len()];
        let mut on_done = |number: usize, generation: Generation| {
            self.listener.advances(1, generation.tokens.len());
            answers[fits[number]] = Some(generation);
            Ok(())
        };
        let mut on_step = || self.flow();
        let rows = self.config.batch_size.unwrap_or(SIDE_BY_SIDE);
        let limit = SideBySide { rows, cache_bytes: self.config.cache_bytes };
        self.listener.begins(requests.len());
        let done = generate_together(self.model, &requests, limit, &mut on_step, &mut on_done).await;
        self.listener.ends();
        done?;
        Ok((!self.is_stopped()).then_some(answers))
    }

    /// Whether the listener wants no more.
    pub(super) fn is_stopped(&self) -> bool {
        self.listener.is_stopped()
    }

    fn flow(&self) -> Flow {
        if self.is_stopped() { Flow::Stop } else { Flow::Continue }
    }

    /// Says how many questions lost their beginning.
    pub(super) fn tell_cut(&self, task: Task, cut: usize) {
        if cut > 0 {
            self.listener.warn(told!(
                "eval.cut",
                "{task}: {count} longer than the model's {positions} positions, and cut at the beginning",
                task,
                count = Counted::written(self.listener.count(cut), ["question is", "questions are"]),
                positions = self.listener.count(self.longest())
            ));
        }
    }
}
