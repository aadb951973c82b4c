//! Which of the kept models can teach the open one: those that predict the next token, of the same tokens.

use std::collections::HashMap;

use kindling::checkpoint::open_tokenizer;
use kindling::formats::Files;
use kindling::model::ModelConfig;
use kindling::told::Told;

use super::saves::crc32;
use super::state::{Engine, OpenModel};
use super::store;

/// The files of a kept model that tell its shape and its tokens.
const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";

/// Whether tokenizers, by the checksums of their files, have the tokens of the model of this fingerprint.
#[derive(Default)]
pub struct SameTokens {
    of: String,
    known: HashMap<u32, bool>,
}

impl Engine {
    /// Whether the model whose files lie in a folder can teach the open one; `false` where nothing is open, and where that
    /// cannot be told without the weights, as of GGUF files.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn teaches(&self, folder: &str) -> Result<bool, Told> {
        let Ok(open) = self.opened() else { return Ok(false) };
        let Some(config) = store::read(&format!("{folder}/{CONFIG}")).await? else { return Ok(false) };
        let Ok(config) = ModelConfig::from_hugging_face(&config) else { return Ok(false) };
        let is_causal = config.check_causal("distill").is_ok() && open.base.config().diffusion.is_none();
        if !is_causal || config.check_vocabulary(&open.tokenizer).is_err() {
            return Ok(false);
        }
        let Some(bytes) = store::read(&format!("{folder}/{TOKENIZER}")).await? else { return Ok(false) };
        let mark = crc32(&bytes);
        if let Some(known) = self.known_tokens(&open, mark) {
            return Ok(known);
        }
        let mut files = Files::from([(TOKENIZER.to_string(), bytes)]);
        for name in store::sizes(folder).await?.into_keys() {
            if name.ends_with(".json") && name != TOKENIZER {
                let bytes = store::read(&format!("{folder}/{name}")).await?;
                files.extend(bytes.map(|bytes| (name, bytes)));
            }
        }
        let own = open_tokenizer(&mut |wanted: &str| Ok(files.remove(wanted)));
        let same = own.ok().flatten().is_some_and(|own| open.tokenizer.check_same_tokens(&own, "").is_ok());
        self.same_tokens.borrow_mut().known.insert(mark, same);
        Ok(same)
    }

    /// What is known of a tokenizer beside the open model's; of another model nothing is.
    fn known_tokens(&self, open: &OpenModel, mark: u32) -> Option<bool> {
        let mut same = self.same_tokens.borrow_mut();
        if same.of != open.fingerprint.hex() {
            *same = SameTokens { of: open.fingerprint.hex().to_string(), known: HashMap::new() };
        }
        same.known.get(&mark).copied()
    }
}
