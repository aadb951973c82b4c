//! Requests to `/v1/chat/completions` (<https://platform.openai.com/docs/api-reference/chat/create>).

use serde_json::{Map, json};

use super::ApiError;
use super::chat_answer::ChatShape;
use super::choice::Choice;
use super::dialogue::{Dialogue, Thinking};
use super::fields::Fields;
use super::format::AnswerFormat;
use super::messages::openai_messages;
use super::reply::{AnsweredPrompt, Reply, Shape};
use super::served::{Adapters, Head, Served, Work};
use super::settings::Settings;
use super::tools::Tools;

/// Most tokens that are told in the place of each.
const MOST_TOP: i64 = 20;
/// Most answers to one request, as OpenAI has it; a server may give fewer.
const MOST_ANSWERS: i64 = 128;

/// A request for the next message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The model that shall answer.
    pub model: String,
    /// Which adapters act.
    pub adapters: Adapters,
    /// The conversation, and what is asked of the answer.
    pub dialogue: Dialogue,
    /// How tokens are chosen.
    pub settings: Settings,
    /// How many answers.
    pub n: usize,
    /// How many of the likeliest tokens are told for each, where likelihoods are asked for.
    pub top_logprobs: Option<usize>,
    /// Whether the answer comes in parts.
    pub stream: bool,
    /// Whether the last part tells the usage.
    pub include_usage: bool,
}

impl ChatRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The first field that is missing, wrong, unknown or cannot be honoured, by its path.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let model = fields.required_text("model")?;
        let messages = openai_messages(&mut fields)?;
        if messages.is_empty() {
            return Err(ApiError::invalid("messages", "Invalid 'messages': it holds no message."));
        }
        let tools = Tools::take(&mut fields)?;
        let format = AnswerFormat::of_openai(&mut fields)?;
        let (variables, thinking) = take_thinking(&mut fields)?;
        let (stream, include_usage) = take_stream(&mut fields)?;
        let top_logprobs = take_logprobs(&mut fields)?;
        fields.neutral("verbosity", &[json!("medium")], "say in the messages how long an answer shall be")?;
        fields.neutral("modalities", &[json!(["text"])], "the models here write text alone")?;
        let request = Self {
            model,
            adapters: Adapters::take(&mut fields)?,
            dialogue: Dialogue {
                messages,
                tools,
                variables,
                thinking,
                format,
                format_field: "response_format",
            },
            n: fields.whole("n", 1..=MOST_ANSWERS)?.unwrap_or(1) as usize,
            settings: Settings::of_openai(&mut fields, &["max_completion_tokens", "max_tokens"], 1)?,
            top_logprobs,
            stream,
            include_usage,
        };
        fields.finish().map(|()| request)
    }

    /// What the engine shall do, and what makes the answer of it.
    ///
    /// # Errors
    /// What this model cannot do, and a conversation beyond its context.
    pub fn prepare(&self, served: &Served, head: Head) -> Result<(Vec<Work>, Reply), ApiError> {
        served.check_choices(self.n, "n")?;
        served.check_masked(self.top_logprobs.is_some(), "logprobs")?;
        served.check_masked(!self.settings.logit_bias.is_empty(), "logit_bias")?;
        let prompt = self.dialogue.prompt(served)?;
        let work = self.dialogue.work(served, &prompt, &self.settings, head.seed, self.n)?;
        let reading = self.dialogue.reading(&prompt, self.top_logprobs);
        let choices = (0..self.n).map(|_| (0, Choice::new(served.tokenizer, reading))).collect();
        let shape = ChatShape { logprobs: self.top_logprobs.is_some(), usage: self.include_usage };
        let prompt = AnsweredPrompt { tokens: prompt.ids.len(), ..AnsweredPrompt::default() };
        Ok((work, Reply::new(Shape::Chat(shape), head, self.stream, vec![prompt], choices)))
    }
}

/// What the chat template sees, and what the request says of thinking.
type ForTemplate = (Map<String, serde_json::Value>, Option<(Thinking, &'static str)>);

/// Takes `chat_template_kwargs` (llama-server's and vLLM's), `reasoning_effort` and MiniMind's `open_thinking`.
pub(super) fn take_thinking(fields: &mut Fields) -> Result<ForTemplate, ApiError> {
    let variables = fields.object("chat_template_kwargs")?.map(Fields::rest).unwrap_or_default();
    let effort = fields.text("reasoning_effort")?;
    let effort = effort.map(|word| (Thinking::of_effort(word), "reasoning_effort"));
    let open = fields.flag("open_thinking")?.map(|open| (Thinking::On(open), "open_thinking"));
    Ok((variables, effort.or(open)))
}

/// Takes `stream` and `stream_options`.
pub(super) fn take_stream(fields: &mut Fields) -> Result<(bool, bool), ApiError> {
    let stream = fields.flag("stream")?.unwrap_or(false);
    let Some(mut options) = fields.object("stream_options")? else { return Ok((stream, false)) };
    if !stream {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(ApiError::invalid("stream_options", message));
    }
    let usage = options.flag("include_usage")?.unwrap_or(false);
    // Padding against listeners who guess words by the size of packets.
    options.ignore(&["include_obfuscation"]);
    options.finish().map(|()| (stream, usage))
}

fn take_logprobs(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let asked = fields.flag("logprobs")?.unwrap_or(false);
    match fields.whole("top_logprobs", 0..=MOST_TOP)? {
        Some(top) if top > 0 && !asked => {
            Err(ApiError::invalid("top_logprobs", "Invalid 'top_logprobs': it needs 'logprobs' to be true."))
        }
        top => Ok(asked.then_some(top.unwrap_or(0) as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tools::ToolChoice;
    use super::*;

    #[test]
    fn the_requests_of_openais_documentation_are_read() {
        let body = br#"{
            "model": "fable", "messages": [
                {"role": "developer", "content": "You are a helpful assistant."}, {"role": "user", "content": "Hello!"}],
            "stream": true, "stream_options": {"include_usage": true}, "n": 2, "seed": 7, "max_completion_tokens": 20,
            "logprobs": true, "top_logprobs": 2, "temperature": 0, "user": "u-1", "store": true, "verbosity": "medium",
            "tools": [{"type": "function", "function": {"name": "now"}}], "parallel_tool_calls": false,
            "reasoning_effort": "low"}"#;
        let request = ChatRequest::parse(body).unwrap();
        assert_eq!((request.model.as_str(), request.n, request.top_logprobs), ("fable", 2, Some(2)));
        assert!(request.stream && request.include_usage && !request.dialogue.tools.parallel);
        assert_eq!(request.dialogue.tools.choice, ToolChoice::Auto);
        assert_eq!(request.dialogue.thinking, Some((Thinking::Effort("low".into()), "reasoning_effort")));
        assert_eq!((request.settings.seed, request.settings.max_tokens), (Some(7), Some(20)));
        let least =
            ChatRequest::parse(br#"{"model": "m", "messages": [{"role": "user", "content": "a"}]}"#).unwrap();
        assert_eq!((least.n, least.stream, least.top_logprobs), (1, false, None));
        assert_eq!(least.dialogue.tools.choice, ToolChoice::None);
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_path() {
        for (rest, param) in [
            (r#""messages": []"#, "messages"),
            (r#""n": 0"#, "n"),
            (r#""n": 129"#, "n"),
            (r#""top_logprobs": 3"#, "top_logprobs"),
            (r#""logprobs": 3"#, "logprobs"),
            (r#""stream_options": {"include_usage": true}"#, "stream_options"),
            (r#""stream": true, "stream_options": {"other": 1}"#, "stream_options.other"),
            (r#""modalities": ["text", "audio"]"#, "modalities"),
            (r#""verbosity": "low""#, "verbosity"),
            (r#""web_search_options": {}"#, "web_search_options"),
            (r#""adapters": 5"#, "adapters"),
        ] {
            let messages = if rest.contains("messages") {
                ""
            } else {
                r#""messages": [{"role": "user", "content": "a"}],"#
            };
            let body = format!(r#"{{"model": "m", {messages} {rest}}}"#);
            assert_eq!(
                ChatRequest::parse(body.as_bytes()).unwrap_err().param.as_deref(),
                Some(param),
                "{rest}"
            );
        }
        let error = ChatRequest::parse(br#"{"messages": []}"#).unwrap_err();
        assert_eq!(error.message, "Missing required parameter: 'model'.");
    }
}
