//! A tokenizer that goes on in the middle of a text, and the tokens behind which nothing depends on what stands before.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// What a tokenizer's parts say about borders.
pub(super) struct Borders {
    /// The added tokens that part a text: what follows one is tokenised as if nothing stood before it.
    separators: BTreeSet<u32>,
    /// The tokenizer without a first space, made where it is first needed; `None` where it would be the same.
    continuing: OnceLock<Result<Option<tokenizers::Tokenizer>, String>>,
}

impl Borders {
    pub(super) fn of(inner: &tokenizers::Tokenizer) -> Self {
        // A normalizer may put something before a text, and a normalised token is found behind that.
        let normalizes = inner.get_normalizer().is_some();
        let added = inner.get_added_tokens_decoder();
        let separates =
            |token: &tokenizers::AddedToken| !(token.single_word || token.normalized && normalizes);
        let separators = added.iter().filter(|(_, token)| separates(token)).map(|(&id, _)| id).collect();
        Self { separators, continuing: OnceLock::new() }
    }

    /// Whether a text is tokenised behind this token as if nothing stood before it.
    pub(super) fn separates(&self, id: u32) -> bool {
        self.separators.contains(&id)
    }

    /// The tokenizer `inner`, which these are the borders of, as it goes on in the middle of a text.
    ///
    /// # Errors
    /// Parts that the tokenizers crate does not take.
    pub(super) fn continuing<'a>(
        &'a self,
        inner: &'a tokenizers::Tokenizer,
    ) -> Result<&'a tokenizers::Tokenizer> {
        match self.continuing.get_or_init(|| without_first_space(inner)) {
            Ok(Some(own)) => Ok(own),
            Ok(None) => Ok(inner),
            Err(why) => Err(Error::tokenizer_failed(why)),
        }
    }
}

/// The tokenizer without what puts a space before a text or takes it away there; `None` where nothing does.
fn without_first_space(inner: &tokenizers::Tokenizer) -> Result<Option<tokenizers::Tokenizer>, String> {
    let told = |error: serde_json::Error| error.to_string();
    let mut normalizer = serde_json::to_value(inner.get_normalizer()).map_err(told)?;
    let mut pre_tokenizer = serde_json::to_value(inner.get_pre_tokenizer()).map_err(told)?;
    if [goes_on(&mut normalizer), goes_on(&mut pre_tokenizer)] == [false; 2] {
        return Ok(None);
    }
    let mut own = inner.clone();
    own.with_normalizer(read::<tokenizers::NormalizerWrapper>(normalizer)?)
        .map_err(|error| error.to_string())?;
    own.with_pre_tokenizer(read::<tokenizers::PreTokenizerWrapper>(pre_tokenizer)?);
    Ok(Some(own))
}

fn read<T: DeserializeOwned>(part: Value) -> Result<Option<T>, String> {
    serde_json::from_value(part).map_err(|error| error.to_string())
}

/// Makes a part of a tokenizer treat a text as the continuation of another; whether that changed it.
fn goes_on(part: &mut Value) -> bool {
    let mut changed = false;
    if is_prepend(part) {
        *part = Value::Null;
        return true;
    }
    for key in ["normalizers", "pretokenizers"] {
        if let Some(Value::Array(steps)) = part.get_mut(key) {
            let before = steps.len();
            steps.retain(|step| !is_prepend(step));
            changed |= steps.len() < before;
            for step in steps {
                changed |= goes_on(step);
            }
        }
    }
    for (key, plain) in [
        ("prepend_scheme", Value::from("never")),
        ("add_prefix_space", false.into()),
        ("strip_left", false.into()),
    ] {
        if let Some(value) = part.get_mut(key).filter(|value| **value != plain) {
            *value = plain;
            changed = true;
        }
    }
    changed
}

fn is_prepend(step: &Value) -> bool {
    step["type"] == "Prepend"
}
