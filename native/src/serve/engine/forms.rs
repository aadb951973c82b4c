//! What holds answers to a form: made when the first request needs it, because a large vocabulary takes a while.

use std::sync::{Arc, OnceLock};

use kindling::api::{ApiError, Constrainer, Grammars, Wanted};
use kindling::sample::Constraint;
use kindling::tokenizer::Tokenizer;

/// The grammars of one tokenizer.
pub struct Forms {
    tokenizer: Arc<Tokenizer>,
    ends: Vec<u32>,
    made: OnceLock<Result<Grammars, String>>,
}

impl Forms {
    /// Those of a tokenizer with these ends of an answer; nothing is made yet.
    pub fn new(tokenizer: Arc<Tokenizer>, ends: &[u32]) -> Self {
        Self { tokenizer, ends: ends.to_vec(), made: OnceLock::new() }
    }
}

impl Constrainer for Forms {
    fn constraint(&self, wanted: &Wanted<'_>, param: &str) -> Result<Box<dyn Constraint>, ApiError> {
        let make = || Grammars::new(&self.tokenizer, &self.ends).map_err(|error| error.to_string());
        match self.made.get_or_init(make) {
            Ok(grammars) => grammars.constraint(wanted, param),
            Err(why) => Err(ApiError::invalid(param, why.as_str())),
        }
    }
}
