//! What the requests to a model are read by.

use std::sync::Arc;

use kindling::model::ModelConfig;
use kindling::sample::SamplingConfig;
use kindling::tokenizer::Tokenizer;

use super::forms::Forms;
use crate::date::Date;
use crate::serve::refusal::Refusal;

/// What requests are read by.
pub struct Opened {
    /// What requests call it.
    pub name: String,
    /// Its tokenizer, talking as an adapter was taught to.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// Its shape.
    pub config: ModelConfig,
    /// Most positions of an answer with its prompt: those of the model, or of the memory where that is less.
    pub context: usize,
    /// The tokens that end an answer.
    pub ends: Vec<u32>,
    /// How it is sampled where a request does not say.
    pub sampling: SamplingConfig,
    /// What holds its answers to a form.
    pub forms: Option<Forms>,
    /// The day that its chat template prints.
    pub day: Date,
}

impl Opened {
    /// The same with the day that it is now, where the chat template prints that; none where it is the same still.
    pub fn of_today(&self) -> Option<Self> {
        let today = Date::today();
        let own = self.tokenizer.as_ref().filter(|own| self.day != today && own.prints_date())?;
        let mut tokenizer = Tokenizer::clone(own);
        today.set(&mut tokenizer);
        let tokenizer = Arc::new(tokenizer);
        Some(Self {
            name: self.name.clone(),
            forms: Some(Forms::new(Arc::clone(&tokenizer), &self.ends)),
            tokenizer: Some(tokenizer),
            config: self.config.clone(),
            context: self.context,
            ends: self.ends.clone(),
            sampling: self.sampling.clone(),
            day: today,
        })
    }

    /// The tokenizer, which nearly all requests need.
    ///
    /// # Errors
    /// A model without one.
    pub fn tokenizer(&self) -> std::result::Result<&Arc<Tokenizer>, Refusal> {
        self.tokenizer.as_ref().ok_or_else(|| {
            Refusal::failed(format!(
                "the model '{}' has no tokenizer.json; start the server with --tokenizer DIR, or put one beside it",
                self.name
            ))
        })
    }
}
