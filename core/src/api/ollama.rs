//! Requests to Ollama's `/api/chat` and `/api/generate` (<https://docs.ollama.com/api>).

use serde_json::{Map, Value, json};

use super::ApiError;
use super::choice::{Choice, Reading};
use super::dialogue::{Dialogue, Thinking};
use super::fields::Fields;
use super::format::AnswerFormat;
use super::keep_alive::KeepAlive;
use super::messages::ollama_messages;
use super::ollama_answer::OllamaShape;
use super::reply::{AnsweredPrompt, Reply, Shape};
use super::served::{Adapters, Head, Served, Wanted, Work};
use super::settings::Settings;
use super::tools::Tools;
use crate::sample::BatchRequest;
use crate::text::Message;

/// Why pictures are refused.
const TEXT_ALONE: &str = "the models here read text alone";

/// What goes on: a conversation, or a text that no template frames.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Dialogue(Box<Dialogue>),
    Raw(String),
    /// Nothing: the model is loaded.
    Load,
}

/// A request to `/api/chat` or `/api/generate`.
#[derive(Clone, Debug, PartialEq)]
pub struct OllamaRequest {
    /// The model that shall answer.
    pub model: String,
    /// Which adapters act.
    pub adapters: Adapters,
    /// Whether the answer comes in lines; it does unless the request says no.
    pub stream: bool,
    /// How tokens are chosen, and how long the model stays.
    pub settings: Settings,
    asked: Asked,
    format: AnswerFormat,
    chat: bool,
}

impl OllamaRequest {
    /// Reads the body of a request to `/api/chat`.
    ///
    /// # Errors
    /// The first field that is missing, wrong, unknown or cannot be honoured, by its path.
    pub fn parse_chat(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let messages = if fields.has("messages") { ollama_messages(&mut fields)? } else { Vec::new() };
        let tools = Tools::take(&mut fields)?;
        Self::parse(fields, true, |thinking, format| match messages {
            messages if messages.is_empty() => Asked::Load,
            messages => Asked::Dialogue(Box::new(dialogue(messages, tools, thinking, format))),
        })
    }

    /// Reads the body of a request to `/api/generate`: its prompt is a user's message, unless it is `raw`.
    ///
    /// # Errors
    /// As [`OllamaRequest::parse_chat`].
    pub fn parse_generate(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let prompt = fields.text("prompt")?.unwrap_or_default();
        let system = fields.text("system")?.filter(|system| !system.is_empty());
        let raw = fields.flag("raw")?.unwrap_or(false);
        for (key, neutral, why) in [
            ("suffix", json!(""), "the models here write from left to right"),
            (
                "template",
                json!(""),
                "the model's own chat template frames the prompt; leave it out, or set raw",
            ),
            ("context", json!([]), "send the conversation to /api/chat instead"),
            ("images", json!([]), TEXT_ALONE),
        ] {
            fields.neutral(key, &[neutral], why)?;
        }
        if raw && system.is_some() {
            return Err(ApiError::unsupported(
                "system",
                "a raw prompt has no place for it; write it into the prompt",
            ));
        }
        let tools = Tools::take(&mut Fields::empty())?;
        Self::parse(fields, false, |thinking, format| {
            if prompt.is_empty() {
                return Asked::Load;
            }
            if raw {
                return Asked::Raw(prompt);
            }
            let system = system.map(|system| Message::new("system", &system));
            let messages = system.into_iter().chain([Message::new("user", &prompt)]).collect();
            Asked::Dialogue(Box::new(dialogue(messages, tools, thinking, format)))
        })
    }

    /// Takes what both endpoints have.
    fn parse(
        mut fields: Fields,
        chat: bool,
        asked: impl FnOnce(Option<(Thinking, &'static str)>, AnswerFormat) -> Asked,
    ) -> Result<Self, ApiError> {
        let thinking = match fields.take("think") {
            None => None,
            Some(Value::Bool(think)) => Some(Thinking::On(think)),
            Some(Value::String(word)) => Some(Thinking::of_effort(word)),
            Some(other) => {
                return Err(ApiError::wrong_type("think", "a boolean or a word of effort", &other));
            }
        };
        let format = AnswerFormat::of_ollama(&mut fields)?;
        // A prompt beyond the context is refused and an answer ends there, whatever is asked for.
        for key in ["truncate", "shift"] {
            fields.flag(key)?;
        }
        let mut settings = match fields.object("options")? {
            Some(options) => Settings::of_ollama(options)?,
            None => Settings::default(),
        };
        settings.keep_alive = KeepAlive::of(&mut fields)?;
        let request = Self {
            model: fields.required_text("model")?,
            adapters: Adapters::take(&mut fields)?,
            stream: fields.flag("stream")?.unwrap_or(true),
            settings,
            asked: asked(thinking.map(|thinking| (thinking, "think")), format.clone()),
            format,
            chat,
        };
        fields.finish().map(|()| request)
    }

    /// What the engine shall do, and what makes the answer of it; no work where only the model is asked for.
    ///
    /// # Errors
    /// What this model cannot do, and a prompt beyond its context.
    pub fn prepare(&self, served: &Served, head: Head) -> Result<(Vec<Work>, Reply), ApiError> {
        let (work, tokens, reading) = match &self.asked {
            Asked::Load => return Ok((Vec::new(), self.of_model(head))),
            Asked::Raw(text) => {
                let ids = served.tokenizer.encode_document(text)?;
                let tokens = ids.len();
                (vec![self.raw(served, ids, head.seed)?], tokens, Reading::default())
            }
            Asked::Dialogue(dialogue) => {
                let prompt = dialogue.prompt(served)?;
                let work = dialogue.work(served, &prompt, &self.settings, head.seed, 1)?;
                (work, prompt.ids.len(), dialogue.reading(&prompt, None))
            }
        };
        let prompts = vec![AnsweredPrompt { tokens, ..AnsweredPrompt::default() }];
        let choices = vec![(0, Choice::new(served.tokenizer, reading))];
        Ok((work, Reply::new(Shape::Ollama(self.shape()), head, self.stream, prompts, choices)))
    }

    /// The answer to a request for nothing but that the model goes, which needs no model; none to any other.
    pub fn unloaded(&self, head: Head) -> Option<Reply> {
        (self.asked == Asked::Load && self.shape().unload).then(|| self.of_model(head))
    }

    fn shape(&self) -> OllamaShape {
        OllamaShape { chat: self.chat, unload: self.settings.keep_alive == Some(KeepAlive::NONE) }
    }

    /// The answer to a request for the model alone.
    fn of_model(&self, head: Head) -> Reply {
        Reply::new(Shape::Ollama(self.shape()), head, self.stream, Vec::new(), Vec::new())
    }

    fn raw(&self, served: &Served, prompt: Vec<u32>, seed: u64) -> Result<Work, ApiError> {
        let room = served.room(&prompt, "prompt")?;
        let constraint = match &self.format {
            AnswerFormat::Text => None,
            AnswerFormat::Json => Some(served.constraint(&Wanted::Json, "format")?),
            AnswerFormat::Schema(schema) => Some(served.constraint(&Wanted::Schema(schema), "format")?),
        };
        let request = BatchRequest {
            prompt,
            end_ids: served.end_ids.to_vec(),
            tokenizer: Some(served.tokenizer.clone()),
            config: self.settings.over(served.sampling, room, seed, 0)?,
            constraint,
            unmask: self.settings.filling.of(served)?,
        };
        Ok(Work { request: Some(request), scored: None })
    }
}

/// A conversation as Ollama's requests have it.
fn dialogue(
    messages: Vec<Message>,
    tools: Tools,
    thinking: Option<(Thinking, &'static str)>,
    format: AnswerFormat,
) -> Dialogue {
    Dialogue { messages, tools, variables: Map::new(), thinking, format, format_field: "format" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn dialogue(request: &OllamaRequest) -> &Dialogue {
        match &request.asked {
            Asked::Dialogue(dialogue) => dialogue,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_requests_of_ollamas_documentation_are_read() {
        let body = br#"{"model": "fable", "messages": [{"role": "user", "content": "why is the sky blue?"}],
            "format": "json", "options": {"seed": 101, "temperature": 0}, "keep_alive": "5m", "think": false,
            "tools": [{"type": "function", "function": {"name": "now", "description": "d", "parameters": {"type": "object"}}}]}"#;
        let request = OllamaRequest::parse_chat(body).unwrap();
        assert_eq!((request.model.as_str(), request.stream, request.chat), ("fable", true, true));
        assert_eq!((request.settings.seed, request.settings.temperature), (Some(101), Some(0.0)));
        let asked = dialogue(&request);
        assert_eq!(
            (&asked.format, &asked.thinking),
            (&AnswerFormat::Json, &Some((Thinking::On(false), "think")))
        );
        assert!(asked.tools.act());
        assert_eq!(request.settings.keep_alive, Some(KeepAlive::For(Duration::from_secs(300))));
        for body in [&br#"{"model": "m"}"#[..], br#"{"model": "m", "messages": []}"#] {
            assert_eq!(OllamaRequest::parse_chat(body).unwrap().asked, Asked::Load);
        }
        let body =
            br#"{"model": "m", "prompt": "Why?", "system": "Be brief.", "stream": false, "truncate": true,
            "shift": false}"#;
        let request = OllamaRequest::parse_generate(body).unwrap();
        let roles: Vec<_> = dialogue(&request).messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!((roles, request.stream), (vec!["system", "user"], false));
        let raw = OllamaRequest::parse_generate(br#"{"model": "m", "prompt": "Why?", "raw": true}"#).unwrap();
        assert_eq!(raw.asked, Asked::Raw("Why?".into()));
        assert_eq!(OllamaRequest::parse_generate(br#"{"model": "m"}"#).unwrap().asked, Asked::Load);
    }

    #[test]
    fn only_a_request_for_nothing_else_unloads() {
        let head = || Head { id: "1".into(), created: 0, model: "m".into(), seed: 0, load_seconds: 0.0 };
        for (body, unloads) in [
            (r#"{"model": "m", "keep_alive": 0}"#, true),
            (r#"{"model": "m", "keep_alive": "0s", "prompt": ""}"#, true),
            (r#"{"model": "m", "keep_alive": 0, "prompt": "a"}"#, false),
            (r#"{"model": "m", "keep_alive": 1}"#, false),
            (r#"{"model": "m"}"#, false),
        ] {
            let reply = OllamaRequest::parse_generate(body.as_bytes()).unwrap().unloaded(head());
            assert_eq!(reply.is_some(), unloads, "{body}");
            if let Some(reply) = reply {
                let told = serde_json::to_value(reply.whole()).unwrap();
                assert_eq!((&told["done_reason"], &told["done"]), (&json!("unload"), &json!(true)));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_path() {
        for (rest, param) in [
            (r#""images": ["aGk="]"#, "images"),
            (r#""suffix": "x""#, "suffix"),
            (r#""template": "{{ .Prompt }}""#, "template"),
            (r#""context": [1, 2]"#, "context"),
            (r#""raw": true, "system": "a""#, "system"),
            (r#""think": 1"#, "think"),
            (r#""keep_alive": "long""#, "keep_alive"),
            (r#""options": {"foo": 1}"#, "options.foo"),
            (r#""format": "yaml""#, "format"),
            (r#""truncate": "no""#, "truncate"),
            (r#""foo": 1"#, "foo"),
        ] {
            let body = format!(r#"{{"model": "m", "prompt": "a", {rest}}}"#);
            let error = OllamaRequest::parse_generate(body.as_bytes()).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(param), "{rest}");
        }
    }
}
