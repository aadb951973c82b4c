//! `/tokenize`, `/detokenize` and `/apply-template`, in llama-server's shapes
//! (<https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md>). A `model` may say whose they are.

use serde_json::{Value, json};

use super::ApiError;
use super::chat::take_thinking;
use super::dialogue::Dialogue;
use super::fields::Fields;
use super::format::AnswerFormat;
use super::messages::openai_messages;
use super::tools::Tools;
use crate::tokenizer::Tokenizer;

/// A request for the tokens of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizeRequest {
    /// Whose tokenizer; the server's first model where it says nothing.
    pub model: Option<String>,
    content: String,
    add_special: bool,
    with_pieces: bool,
}

impl TokenizeRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The first field that is missing, wrong, unknown or cannot be honoured, by its path.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let remedy = "special tokens that are written in a text are always read as such; leave it out";
        fields.neutral("parse_special", &[json!(true)], remedy)?;
        let request = Self {
            model: fields.text("model")?,
            content: fields.required_text("content")?,
            add_special: fields.flag("add_special")?.unwrap_or(false),
            with_pieces: fields.flag("with_pieces")?.unwrap_or(false),
        };
        fields.finish().map(|()| request)
    }

    /// The tokens: `{"tokens": [ids]}`, or with pieces `[{id, piece}]`, a piece being a text, or its bytes where they are
    /// no whole characters.
    ///
    /// # Errors
    /// What the tokenizer refuses.
    pub fn answer(&self, tokenizer: &Tokenizer) -> Result<Value, ApiError> {
        let ids = match self.add_special {
            true => tokenizer.encode_whole(&self.content)?,
            false => tokenizer.encode(&self.content)?,
        };
        if !self.with_pieces {
            return Ok(json!({"tokens": ids}));
        }
        let piece = |id: &u32| match String::from_utf8(tokenizer.token_bytes(*id)) {
            Ok(text) => json!({"id": id, "piece": text}),
            Err(error) => json!({"id": id, "piece": error.as_bytes()}),
        };
        Ok(json!({"tokens": ids.iter().map(piece).collect::<Vec<_>>()}))
    }
}

/// A request for the text of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetokenizeRequest {
    /// Whose tokenizer; the server's first model where it says nothing.
    pub model: Option<String>,
    tokens: Vec<u32>,
}

impl DetokenizeRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The first field that is missing, wrong or unknown, by its path.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let model = fields.text("model")?;
        let list = fields.list("tokens")?.ok_or_else(|| ApiError::missing("tokens"))?;
        let id = |value: &Value| {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            id.ok_or_else(|| ApiError::wrong_type("tokens", "an array of token ids", value))
        };
        let tokens = list.iter().map(id).collect::<Result<_, _>>()?;
        fields.finish().map(|()| Self { model, tokens })
    }

    /// The text: `{"content": …}`.
    ///
    /// # Errors
    /// Ids outside the vocabulary.
    pub fn answer(&self, tokenizer: &Tokenizer) -> Result<Value, ApiError> {
        crate::sample::check_ids(&self.tokens, tokenizer.vocab_size())?;
        Ok(json!({"content": tokenizer.decode(&self.tokens, false)?}))
    }
}

/// A request for a conversation as the chat template writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateRequest {
    /// Whose template; the server's first model where it says nothing.
    pub model: Option<String>,
    dialogue: Dialogue,
}

impl TemplateRequest {
    /// Reads a request's body: `messages`, and what else of a chat's request the template sees.
    ///
    /// # Errors
    /// The first field that is missing, wrong or unknown, by its path.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let model = fields.text("model")?;
        let messages = openai_messages(&mut fields)?;
        let tools = Tools::take(&mut fields)?;
        let (variables, thinking) = take_thinking(&mut fields)?;
        let (format, format_field) = (AnswerFormat::Text, "response_format");
        let dialogue = Dialogue { messages, tools, variables, thinking, format, format_field };
        fields.finish().map(|()| Self { model, dialogue })
    }

    /// The text: `{"prompt": …}`.
    ///
    /// # Errors
    /// What the template refuses.
    pub fn answer(&self, tokenizer: &Tokenizer) -> Result<Value, ApiError> {
        Ok(json!({"prompt": self.dialogue.render(tokenizer)?}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fake::letters;

    #[test]
    fn texts_become_tokens_and_tokens_texts() {
        let tokenizer = letters(None);
        let tokenize = |body: &[u8]| TokenizeRequest::parse(body)?.answer(&tokenizer);
        assert_eq!(tokenize(br#"{"content": "cab"}"#), Ok(json!({"tokens": [2, 0, 1]})));
        let pieces = json!({"tokens": [{"id": 2, "piece": "c"}]});
        assert_eq!(tokenize(br#"{"content": "c", "with_pieces": true, "parse_special": true}"#), Ok(pieces));
        let error = tokenize(br#"{"content": "c", "parse_special": false}"#).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("parse_special"));
        let detokenize = |body: &[u8]| DetokenizeRequest::parse(body)?.answer(&tokenizer);
        assert_eq!(detokenize(br#"{"tokens": [2, 0, 1]}"#), Ok(json!({"content": "cab"})));
        assert_eq!(detokenize(br#"{"tokens": [999]}"#).unwrap_err().status, 400);
        assert_eq!(detokenize(br#"{"tokens": ["a"]}"#).unwrap_err().param.as_deref(), Some("tokens"));
    }

    #[test]
    fn a_conversation_is_rendered() {
        let template = "{% for m in messages %}{{ m.role[:1] }}:{{ m.content }};{% endfor %}a:";
        let tokenizer = letters(Some(template));
        let apply = |body: &[u8]| TemplateRequest::parse(body)?.answer(&tokenizer);
        let body = br#"{"messages": [{"role": "user", "content": "hi"}]}"#;
        assert_eq!(apply(body), Ok(json!({"prompt": "u:hi;a:"})));
        let thinking = br#"{"messages": [{"role": "user", "content": "hi"}], "reasoning_effort": "high"}"#;
        assert_eq!(apply(thinking).unwrap_err().param.as_deref(), Some("reasoning_effort"));
        let switched =
            "{% if not enable_thinking is defined or not enable_thinking %}n{% endif %}:{{ mood }}";
        let tokenizer = letters(Some(switched));
        let apply_switched = |rest: &str| {
            let body = format!(r#"{{"messages": [{{"role": "user", "content": "hi"}}], {rest}}}"#);
            TemplateRequest::parse(body.as_bytes())?.answer(&tokenizer)
        };
        for (rest, prompt) in [
            (r#""tools": []"#, "n:"),
            (r#""reasoning_effort": "high""#, ":"),
            (r#""reasoning_effort": "none""#, "n:"),
            (r#""open_thinking": true"#, ":"),
            (r#""chat_template_kwargs": {"enable_thinking": true, "mood": "glad"}"#, ":glad"),
        ] {
            assert_eq!(apply_switched(rest), Ok(json!({"prompt": prompt})), "{rest}");
        }
        let unknown = apply_switched(r#""chat_template_kwargs": {"moods": "glad"}"#).unwrap_err();
        assert_eq!(unknown.param.as_deref(), Some("chat_template_kwargs.moods"));
        let tools = br#"{"messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "function", "function": {"name": "now"}}]}"#;
        assert_eq!(apply(tools).unwrap_err().param.as_deref(), Some("tools"));
    }
}
