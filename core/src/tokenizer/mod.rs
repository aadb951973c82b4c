//! Text to token ids and back: a Hugging Face tokenizer together with its chat template.
//!
//! `tokenizer.json` holds vocabulary and merges, `tokenizer_config.json` the roles of the special tokens and
//! the template. Nothing here adds a token behind the caller's back: `encode` gives the text's own tokens,
//! and the template writes its special tokens as text.

mod added;
mod blocks;
mod border;
mod compare;
mod config;
mod continuing;
mod cut;
mod files;
mod foreign;
mod generation;
mod landmarks;
mod left_out;
mod markers;
mod mask;
mod mask_token;
mod other_words;
mod part_text;
mod pieces;
mod post_processor;
mod probes;
mod rebuilt;
mod render_warning;
mod report;
mod same_tokens;
mod sample_evenly;
mod stream;
mod strftime;
mod tag_weight;
mod template;
mod template_bounds;
mod template_limits;
mod template_percent;
mod template_python;
mod template_values;
mod train;
mod turn_end;
mod turns;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokenizers::PostProcessorWrapper;

use crate::error::{Error, Result};
use crate::text::Conversation;
use crate::told::{Told, told};
use config::TokenizerConfig;
use continuing::Borders;
use markers::Markers;
use pieces::Pieces;

pub(crate) use post_processor::Around;

pub use cut::cut_text;
pub use files::{TOKENIZER_FILES, TokenizerFiles};
pub use mask::{Rendered, Target};
pub use render_warning::RenderWarning;
pub use report::{Cost, Report, RoundTripFailure, report};
pub use sample_evenly::EvenSampler;
pub use stream::StreamDecoder;
pub use tag_weight::TagWeight;
pub use template::{ChatTemplate, NOW, Specials};
pub use train::{TokenizerTraining, train};

/// The chat template Kindling gives its own tokenizers: ChatML with `{% generation %}` blocks.
pub const CHATML: &str = include_str!("chatml.jinja");

/// The token between documents in the tokenizers that have it (GPT-2's name for it).
const DOCUMENT_END: &str = "<|endoftext|>";

/// The template that is taken where a conversation has tools.
const TOOL_USE: &str = "tool_use";

/// Where each token stands in its text, as byte ranges.
pub type Offsets = Vec<(usize, usize)>;

/// A tokenizer. Cloning is cheap: the vocabulary is shared.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    /// `tokenizer.json` as it was read or trained, so that writing it loses nothing.
    json: Arc<[u8]>,
    config: TokenizerConfig,
    /// The compiled template, or why there is none.
    template: Result<Arc<ChatTemplate>, Told>,
    /// Another one for conversations with tools, where there is one.
    tool_template: Option<Result<Arc<ChatTemplate>, Told>>,
    /// Variables every rendering sees, beside the ones the caller passes.
    variables: Map<String, Value>,
    pieces: Pieces,
    special_ids: Arc<BTreeSet<u32>>,
    /// The texts of all added tokens, special or not.
    added_texts: Arc<[String]>,
    borders: Arc<Borders>,
    markers: Arc<Markers>,
    vocab_size: usize,
    around: Around,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tokenizer {{ vocab_size: {} }}", self.vocab_size)
    }
}

impl Tokenizer {
    /// Reads a tokenizer. A chat template that does not compile is reported when it is first used.
    pub fn from_files(files: &TokenizerFiles) -> Result<Self> {
        let mut inner = foreign::read(&files.tokenizer_json)?;
        let config = match &files.tokenizer_config_json {
            Some(bytes) => TokenizerConfig::parse(bytes)?,
            None => TokenizerConfig::default(),
        };
        let json: Arc<[u8]> = match added::complete(&mut inner, &config)? {
            true => added::written(&files.tokenizer_json, &inner)?.into(),
            false => files.tokenizer_json.as_slice().into(),
        };
        Self::assemble(inner, json, config)
    }

    /// A tokenizer that was just built, which has no file yet.
    fn from_built(inner: tokenizers::Tokenizer, config: TokenizerConfig) -> Result<Self> {
        let json = inner.to_string(true).map_err(Error::tokenizer_failed)?;
        Self::assemble(inner, json.into_bytes().into(), config)
    }

    fn assemble(
        mut inner: tokenizers::Tokenizer,
        json: Arc<[u8]>,
        mut config: TokenizerConfig,
    ) -> Result<Self> {
        let around =
            Around::of(&serde_json::to_value(inner.get_post_processor()).map_err(Error::tokenizer_failed)?);
        let mut ids = around.before.iter().chain(&around.behind);
        if let Some(unknown) = ids.find(|id| inner.id_to_token(**id).is_none()) {
            return Err(Error::Tokenizer(told!(
                "tokenizer.around",
                "tokenizer.json: its post_processor puts the id {unknown} around a text, which is no token; it is damaged",
                unknown
            )));
        }
        // Who reads these keys shall do what is done here.
        config.correct_flag("add_bos_token", !around.before.is_empty());
        config.correct_flag("add_eos_token", !around.behind.is_empty());
        let decoder = serde_json::to_value(inner.get_decoder()).map_err(Error::tokenizer_failed)?;
        // Truncation, padding and special tokens are the caller's; a post-processor would also trim offsets.
        inner.with_truncation(None).map_err(Error::tokenizer_failed)?;
        inner.with_padding(None);
        inner.with_post_processor(None::<PostProcessorWrapper>);

        let added = inner.get_added_tokens_decoder();
        let special_ids = added.iter().filter(|(_, token)| token.special).map(|(&id, _)| id).collect();
        let mut added_texts: Vec<String> = added.values().map(|token| token.content.clone()).collect();
        added_texts.sort_unstable();
        let largest = inner.get_vocab(true).values().copied().max();
        let mut tokenizer = Self {
            pieces: Pieces::of_decoder(&decoder),
            special_ids: Arc::new(special_ids),
            added_texts: added_texts.into(),
            borders: Arc::new(Borders::of(&inner)),
            markers: Arc::new(Markers::new(added.values().filter(|token| token.special))),
            vocab_size: largest.map_or(0, |id| (id as usize).saturating_add(1)),
            inner: Arc::new(inner),
            json,
            template: Err(no_template(&config)),
            config,
            tool_template: None,
            variables: Map::new(),
            around,
        };
        tokenizer.compile_templates();
        Ok(tokenizer)
    }

    /// The files to write beside a model, by name: `tokenizer.json`, `tokenizer_config.json`, the chat template both
    /// in the latter and as `chat_template.jinja` (programs look for it in either) and, for byte-pair encoding,
    /// `vocab.json` and `merges.txt`.
    pub fn to_files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let json: Value = serde_json::from_slice(&self.json).map_err(Error::tokenizer_failed)?;
        let mut files = vec![
            ("tokenizer.json".to_string(), self.json.to_vec()),
            ("tokenizer_config.json".to_string(), self.config_to_write(&json).to_bytes()?),
        ];
        files.extend(files::template_files(&self.config));
        if let (Some(vocab), Some(merges)) =
            (json["model"]["vocab"].as_object(), json["model"]["merges"].as_array())
        {
            files.push((
                "vocab.json".to_string(),
                serde_json::to_vec(vocab).map_err(Error::tokenizer_failed)?,
            ));
            files.push(("merges.txt".to_string(), files::merges_text(merges).into_bytes()));
        }
        Ok(files)
    }

    /// The number of ids a model needs: the largest id plus one, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The ids of a text. Special tokens written in the text are recognised; no BOS or EOS is added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(Error::tokenizer_failed)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The ids of a text and, for each, the bytes of `text` it stands for (start, end). A token that holds
    /// only a part of a character has the whole character's bytes.
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Offsets)> {
        let encoding = self.inner.encode(text, false).map_err(Error::tokenizer_failed)?;
        Ok((encoding.get_ids().to_vec(), encoding.get_offsets().to_vec()))
    }

    /// The ids of a document: BOS first where the post-processor puts it and the text does not bring it; no
    /// EOS, because it goes on or gets its own end.
    pub fn encode_document(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.encode(text)?;
        Ok(match ids.starts_with(&self.around.before) {
            true => ids,
            false => [self.around.before.as_slice(), &ids].concat(),
        })
    }

    /// The ids of a whole text with all that the post-processor puts around it, as `transformers` gives it to a
    /// model: a document that ends.
    pub fn encode_whole(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode_document(text)?;
        if !ids.ends_with(&self.around.behind) {
            ids.extend(&self.around.behind);
        }
        Ok(ids)
    }

    /// The text of ids. Ids outside the vocabulary stand for nothing; broken UTF-8 becomes U+FFFD.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        self.inner.decode(ids, skip_special).map_err(Error::tokenizer_failed)
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

    /// Whether documents begin with BOS, which the post-processor of `tokenizer.json` decides.
    pub fn add_bos(&self) -> bool {
        !self.around.before.is_empty()
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

    /// Replaces the chat templates; one that does not compile is refused and the old ones stay.
    pub fn set_chat_template(&mut self, text: &str) -> Result<()> {
        ChatTemplate::new(text, &self.config.specials())?;
        self.config.set_chat_template(text);
        self.compile_templates();
        Ok(())
    }

    /// Says why there is no chat template, where there is none.
    ///
    /// # Errors
    /// No template, several without a default one, or one that does not compile.
    pub fn check_chat_template(&self) -> Result<()> {
        self.template().map(|_| ())
    }

    /// Sets a variable that every rendering sees: `enable_thinking`, or `now` (`2025-07-31`) for templates
    /// that print the date.
    pub fn set_template_variable(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_string(), value);
    }

    /// A variable that every rendering sees.
    pub fn template_variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    fn role(&self, key: &str) -> Option<u32> {
        self.config.token(key).and_then(|token| self.token_id(token))
    }

    fn template(&self) -> Result<&ChatTemplate> {
        compiled(&self.template)
    }

    /// The template of a conversation: that of conversations with tools, where it has some.
    fn template_for(&self, conversation: &Conversation) -> Result<&ChatTemplate> {
        match &self.tool_template {
            Some(template) if conversation.tools.is_some() => compiled(template),
            _ => self.template(),
        }
    }

    fn compile_templates(&mut self) {
        let specials = self.config.specials();
        let compile =
            |text: &str| ChatTemplate::new(text, &specials).map(Arc::new).map_err(|error| error.told());
        self.template = match self.config.chat_template() {
            Some(text) => compile(text),
            None => Err(no_template(&self.config)),
        };
        self.tool_template = self.config.template(TOOL_USE).map(compile);
    }
}

fn compiled(template: &Result<Arc<ChatTemplate>, Told>) -> Result<&ChatTemplate> {
    match template {
        Ok(template) => Ok(template),
        // No row mends that.
        Err(why) => Err(Error::UnknownInTemplate(why.clone())),
    }
}

fn no_template(config: &TokenizerConfig) -> Told {
    let names: Vec<&str> = config.templates().into_iter().map(|(name, _)| name).collect();
    match names.as_slice() {
        [] => told!(
            "template.none",
            "this tokenizer has no chat template: give one with --chat-template FILE, or use a checkpoint with a \
             chat_template.jinja, or with one in its tokenizer_config.json"
        ),
        names => told!(
            "template.named",
            "this tokenizer has chat templates by name ({names}) and none is called default: write one of them into a file \
             and give it with --chat-template FILE",
            names = names.join(", ")
        ),
    }
}
