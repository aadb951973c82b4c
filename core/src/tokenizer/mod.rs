//! Text to token ids and back: a Hugging Face tokenizer together with its chat template.
//!
//! `tokenizer.json` holds vocabulary and merges, `tokenizer_config.json` the roles of the special tokens and
//! the template. Nothing here adds a token behind the caller's back: `encode` gives the text's own tokens,
//! and the template writes its special tokens as text.

mod config;
mod cut;
mod foreign;
mod generation;
mod mask;
mod pieces;
mod report;
mod sample_evenly;
mod stream;
mod strftime;
mod template;
mod template_limits;
mod template_values;
mod train;
mod turns;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokenizers::PostProcessorWrapper;

use crate::error::{Error, Result};
use config::TokenizerConfig;
use pieces::Pieces;

pub use cut::cut_text;
pub use mask::Rendered;
pub use report::{Cost, Report, RoundTripFailure, report};
pub use sample_evenly::EvenSampler;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, Specials};
pub use train::{TokenizerTraining, train};

/// The chat template Kindling gives its own tokenizers: ChatML with `{% generation %}` blocks.
pub const CHATML: &str = include_str!("chatml.jinja");

/// The token between documents in the tokenizers that have it (GPT-2's name for it).
const DOCUMENT_END: &str = "<|endoftext|>";

const NO_TEMPLATE: &str = "this tokenizer has no chat template: give one with --chat-template FILE, \
                           or use a checkpoint whose tokenizer_config.json holds one";

/// Where each token stands in its text, as byte ranges.
pub type Offsets = Vec<(usize, usize)>;

/// The files of a tokenizer, as bytes.
#[derive(Clone, Debug)]
pub struct TokenizerFiles {
    /// `tokenizer.json`: vocabulary, merges, added tokens.
    pub tokenizer_json: Vec<u8>,
    /// `tokenizer_config.json`: roles of the special tokens and the chat template.
    pub tokenizer_config_json: Option<Vec<u8>>,
}

/// A tokenizer. Cloning is cheap: the vocabulary is shared.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    /// `tokenizer.json` as it was read or trained, so that writing it loses nothing.
    json: Arc<[u8]>,
    config: TokenizerConfig,
    /// The compiled template, or why there is none.
    template: Result<Arc<ChatTemplate>, String>,
    /// Variables every rendering sees, beside the ones the caller passes.
    variables: Map<String, Value>,
    pieces: Pieces,
    special_ids: Arc<BTreeSet<u32>>,
    /// The texts of all added tokens, special or not.
    added_texts: Arc<[String]>,
    vocab_size: usize,
    add_bos: bool,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tokenizer {{ vocab_size: {} }}", self.vocab_size)
    }
}

impl Tokenizer {
    /// Reads a tokenizer. A chat template that does not compile is reported when it is first used.
    pub fn from_files(files: &TokenizerFiles) -> Result<Self> {
        let inner = foreign::read(&files.tokenizer_json)?;
        let config = match &files.tokenizer_config_json {
            Some(bytes) => TokenizerConfig::parse(bytes)?,
            None => TokenizerConfig::default(),
        };
        Self::assemble(inner, files.tokenizer_json.as_slice().into(), config)
    }

    /// A tokenizer that was just built, which has no file yet.
    fn from_built(inner: tokenizers::Tokenizer, config: TokenizerConfig) -> Result<Self> {
        let json = inner.to_string(true).map_err(refused)?;
        Self::assemble(inner, json.into_bytes().into(), config)
    }

    fn assemble(mut inner: tokenizers::Tokenizer, json: Arc<[u8]>, config: TokenizerConfig) -> Result<Self> {
        let post_processor = serde_json::to_value(inner.get_post_processor()).map_err(refused)?;
        let decoder = serde_json::to_value(inner.get_decoder()).map_err(refused)?;
        // Truncation, padding and special tokens are the caller's; a post-processor would also trim offsets.
        inner.with_truncation(None).map_err(refused)?;
        inner.with_padding(None);
        inner.with_post_processor(None::<PostProcessorWrapper>);

        let added = inner.get_added_tokens_decoder();
        let special_ids = added.iter().filter(|(_, token)| token.special).map(|(&id, _)| id).collect();
        let mut added_texts: Vec<String> = added.values().map(|token| token.content.clone()).collect();
        added_texts.sort_unstable();
        let largest = inner.get_vocab(true).values().copied().max();
        let add_bos = config.flag("add_bos_token").unwrap_or_else(|| begins_with_special(&post_processor));
        let template = compile(&config).map_err(|error| error.to_string());
        Ok(Self {
            pieces: Pieces::of_decoder(&decoder),
            special_ids: Arc::new(special_ids),
            added_texts: added_texts.into(),
            vocab_size: largest.map_or(0, |id| (id as usize).saturating_add(1)),
            inner: Arc::new(inner),
            json,
            config,
            template,
            variables: Map::new(),
            add_bos,
        })
    }

    /// The files to write beside a model, by name: `tokenizer.json`, `tokenizer_config.json` and, for
    /// byte-pair encoding, `vocab.json` and `merges.txt`.
    pub fn to_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = vec![
            ("tokenizer.json".to_string(), self.json.to_vec()),
            ("tokenizer_config.json".to_string(), self.config.to_bytes()?),
        ];
        let json: Value = serde_json::from_slice(&self.json).map_err(refused)?;
        if let (Some(vocab), Some(merges)) =
            (json["model"]["vocab"].as_object(), json["model"]["merges"].as_array())
        {
            files.push(("vocab.json".to_string(), serde_json::to_vec(vocab).map_err(refused)?));
            files.push(("merges.txt".to_string(), merges_text(merges).into_bytes()));
        }
        Ok(files)
    }

    /// The number of ids a model needs: the largest id plus one, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The ids of a text. Special tokens written in the text are recognised; no BOS or EOS is added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(refused)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The ids of a text and, for each, the bytes of `text` it stands for (start, end). A token that holds
    /// only a part of a character has the whole character's bytes.
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Offsets)> {
        let encoding = self.inner.encode(text, false).map_err(refused)?;
        Ok((encoding.get_ids().to_vec(), encoding.get_offsets().to_vec()))
    }

    /// The ids of a document: BOS first where the tokenizer asks for it and the text does not bring it; no
    /// EOS.
    pub fn encode_document(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(text)?;
        if self.add_bos
            && let Some(bos) = self.bos()
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// The text of ids. Ids outside the vocabulary stand for nothing; broken UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner.decode(ids, skip_special).map_err(refused)
    }

    /// One token for display: its text, or its bytes as `<E4><BD>` where they are not whole characters.
    pub fn token_text(&self, id: u32) -> String {
        let bytes = self.token_bytes(id);
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => error.as_bytes().iter().map(|byte| format!("<{byte:02X}>")).collect(),
        }
    }

    /// The raw bytes of one token: byte-level alphabet undone, `<0xNN>` as a byte, `▁` as a space.
    /// SentencePiece tokenizers drop the space that begins a text; this keeps it.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        match self.inner.id_to_token(id) {
            Some(token) => self.pieces.bytes(&token),
            None => Vec::new(),
        }
    }

    /// The id of a token by its exact text (special tokens, mostly).
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether the id is a special token, which `decode` can skip.
    pub fn is_special(&self, id: u32) -> bool {
        self.special_ids.contains(&id)
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.role("bos_token")
    }

    /// The token that ends an answer.
    pub fn eos(&self) -> Option<u32> {
        self.role("eos_token")
    }

    /// The token that fills a row up.
    pub fn pad(&self) -> Option<u32> {
        self.role("pad_token")
    }

    /// The token for what the vocabulary cannot spell.
    pub fn unk(&self) -> Option<u32> {
        self.role("unk_token")
    }

    /// Whether documents begin with BOS: `add_bos_token`, or what `tokenizer.json`'s post-processor does.
    pub fn add_bos(&self) -> bool {
        self.add_bos
    }

    /// The token between documents in pretraining: `<|endoftext|>` where the vocabulary has it, else EOS.
    pub fn document_end(&self) -> Option<u32> {
        self.token_id(DOCUMENT_END).or_else(|| self.eos())
    }

    /// The tokens after which a text is complete: the end of an answer and the end of a document.
    pub fn stop_ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.eos().into_iter().chain(self.document_end()).collect();
        ids.dedup();
        ids
    }

    /// The chat template's Jinja text.
    pub fn chat_template(&self) -> Option<&str> {
        self.config.chat_template()
    }

    /// Replaces the chat template; one that does not compile is refused and the old one stays.
    pub fn set_chat_template(&mut self, text: &str) -> Result<()> {
        let compiled = ChatTemplate::new(text, &self.config.specials())?;
        self.template = Ok(Arc::new(compiled));
        self.config.set_chat_template(text);
        Ok(())
    }

    /// Sets a variable that every rendering sees: `enable_thinking`, or `now` (`2025-07-31`) for templates
    /// that print the date.
    pub fn set_template_variable(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_string(), value);
    }

    fn role(&self, key: &str) -> Option<u32> {
        self.config.token(key).and_then(|token| self.token_id(token))
    }

    fn template(&self) -> Result<&ChatTemplate> {
        match &self.template {
            Ok(template) => Ok(template),
            Err(why) => Err(Error::Template(why.clone())),
        }
    }
}

fn compile(config: &TokenizerConfig) -> Result<Arc<ChatTemplate>> {
    match config.chat_template() {
        Some(text) => Ok(Arc::new(ChatTemplate::new(text, &config.specials())?)),
        None => Err(Error::Template(NO_TEMPLATE.to_string())),
    }
}

/// Whether a `TemplateProcessing` post-processor puts a special token first.
fn begins_with_special(post_processor: &Value) -> bool {
    !post_processor["single"][0]["SpecialToken"].is_null()
}

/// `merges.txt` as `transformers` reads it; older files hold each pair as one string.
fn merges_text(merges: &[Value]) -> String {
    let mut text = "#version: 0.2\n".to_string();
    for merge in merges {
        match merge {
            Value::String(pair) => text.push_str(pair),
            pair => {
                text.push_str(pair[0].as_str().unwrap_or_default());
                text.push(' ');
                text.push_str(pair[1].as_str().unwrap_or_default());
            }
        }
        text.push('\n');
    }
    text
}

fn refused(error: impl fmt::Display) -> Error {
    Error::Tokenizer(format!("the tokenizer failed: {error}"))
}
