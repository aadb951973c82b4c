//! What a client is told when its request is refused, in OpenAI's shape and in Ollama's.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::error::Error;
use crate::told::{Counted, Value as ToldValue};

/// A request that was wrong.
const INVALID: &str = "invalid_request_error";
/// A server that could not do its part.
const SERVER: &str = "server_error";

/// A refusal, as OpenAI's clients read it: they make an exception of their own of each status
/// (<https://platform.openai.com/docs/guides/error-codes>). Its JSON is `{"error": {message, type, param, code}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The status of HTTP.
    pub status: u16,
    /// The fact, the limit, and the remedy.
    pub message: String,
    /// OpenAI's `type`.
    pub kind: &'static str,
    /// The field that is wrong, as a path: `messages[0].role`.
    pub param: Option<String>,
    /// A word for programs.
    pub code: Option<&'static str>,
}

impl ApiError {
    fn new(status: u16, kind: &'static str, code: &'static str, message: String) -> Self {
        Self { status, message, kind, param: None, code: Some(code) }
    }

    /// A field whose value is wrong (400).
    pub fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::of_field(param, "invalid_value", message.into())
    }

    /// A field of another type than this one (400).
    pub(super) fn wrong_type(param: &str, expected: &str, found: &Value) -> Self {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        let message = format!("Invalid type for '{param}': expected {expected}, but got {found} instead.");
        Self::of_field(param, "invalid_type", message)
    }

    /// A field that nothing here knows (400).
    pub(super) fn unknown(param: &str) -> Self {
        Self::of_field(param, "unknown_parameter", format!("Unknown parameter: '{param}'."))
    }

    /// A field that is known and cannot be honoured (400), and what to do instead.
    pub(super) fn unsupported(param: &str, why: &str) -> Self {
        Self::of_field(
            param,
            "unsupported_parameter",
            format!("Unsupported parameter: '{param}' is not supported here; {why}."),
        )
    }

    /// A field that is not there (400).
    pub(super) fn missing(param: &str) -> Self {
        Self::of_field(param, "missing_required_parameter", format!("Missing required parameter: '{param}'."))
    }

    /// More tokens than the model's context holds (400).
    pub(super) fn context(param: &str, tokens: usize, context: usize) -> Self {
        let message = format!(
            "This model's maximum context length is {context} tokens. However, your {param} resulted in {tokens} tokens. \
             Please reduce the length of the {param}."
        );
        Self::of_field(param, "context_length_exceeded", message)
    }

    fn of_field(param: &str, code: &'static str, message: String) -> Self {
        Self { param: Some(param.to_string()), ..Self::new(400, INVALID, code, message) }
    }

    /// A body that is no JSON object (400).
    pub(super) fn no_json(why: &str) -> Self {
        let message = format!("The body of the request is no JSON object that can be read: {why}.");
        Self::new(400, INVALID, "invalid_json", message)
    }

    /// A model that this server does not have (404).
    pub fn model_not_found(name: &str) -> Self {
        let message = format!("The model '{name}' does not exist here; GET /v1/models lists those that do.");
        Self { param: Some("model".to_string()), ..Self::new(404, INVALID, "model_not_found", message) }
    }

    /// A path or method that nothing answers (404 or 405).
    pub fn no_route(method: &str, path: &str, known_path: bool) -> Self {
        let (status, code) = if known_path { (405, "method_not_allowed") } else { (404, "unknown_url") };
        Self::new(status, INVALID, code, format!("Invalid URL ({method} {path})."))
    }

    /// A key that is missing or wrong (401).
    pub fn invalid_api_key() -> Self {
        let message = "This server asks for an API key: send one of its keys as 'Authorization: Bearer KEY'.";
        Self::new(401, "authentication_error", "invalid_api_key", message.to_string())
    }

    /// A body of more bytes than the server takes (413).
    pub fn too_large(limit: u64) -> Self {
        let message = format!("The request has more than {limit} bytes, which is the most that is taken.");
        Self::new(413, INVALID, "request_too_large", message)
    }

    /// A full queue (429).
    pub fn queue_full(waiting: usize) -> Self {
        let message = format!(
            "{}, which is the most that do; try again after the time in the header Retry-After.",
            Counted::new(waiting as u64, ["request is waiting", "requests are waiting"])
        );
        Self::new(429, "rate_limit_error", "rate_limit_exceeded", message)
    }

    /// A request that took longer than the server lets it (408 for its body, 504 for its answer).
    pub fn timed_out(status: u16, seconds: u64) -> Self {
        Self::new(status, SERVER, "timeout", format!("The request took longer than {seconds} seconds."))
    }

    /// A server that shuts down (503).
    pub fn shutting_down() -> Self {
        Self::new(503, SERVER, "shutting_down", "The server is shutting down.".to_string())
    }

    /// What went wrong on this side (500).
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, SERVER, "internal_error", message.into())
    }

    /// What the library refused: settings, data and templates are the request's (400), all else is this side's (500).
    pub fn of(error: &Error) -> Self {
        let told = error.told();
        match (error, told.code()) {
            (_, "sampling.queue_full") => {
                Self::new(429, "rate_limit_error", "rate_limit_exceeded", told.to_string())
            }
            (_, "sampling.prompt_long" | "sampling.context" | "sampling.cache") => {
                Self::new(400, INVALID, "context_length_exceeded", told.to_string())
            }
            (_, "sampling.form") => {
                let param = told.values().iter().find_map(|(name, value)| match value {
                    ToldValue::Text(text) if *name == "param" => Some(text.clone()),
                    _ => None,
                });
                Self { param, ..Self::new(400, INVALID, "invalid_value", told.to_string()) }
            }
            (Error::Config(_) | Error::Data(_) | Error::BadRows { .. }, _) => {
                Self::new(400, INVALID, "invalid_value", told.to_string())
            }
            (Error::Template(_) | Error::UnknownInTemplate(_), _) => Self {
                param: Some("messages".to_string()),
                ..Self::new(400, INVALID, "invalid_value", told.to_string())
            },
            _ => Self::internal(told.to_string()),
        }
    }

    /// The same in Ollama's shape: `{"error": message}`.
    pub fn ollama(&self) -> Value {
        json!({"error": self.message})
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self::of(&error)
    }
}

impl Serialize for ApiError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let error =
            json!({"message": self.message, "type": self.kind, "param": self.param, "code": self.code});
        let mut body = serializer.serialize_map(Some(1))?;
        body.serialize_entry("error", &error)?;
        body.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::told::told;

    #[test]
    fn an_error_has_the_shapes_of_openai_and_ollama() {
        let error = ApiError::context("messages", 9000, 4096);
        assert_eq!(
            serde_json::to_value(&error).unwrap(),
            json!({"error": {
                "message": "This model's maximum context length is 4096 tokens. However, your messages resulted in 9000 \
                            tokens. Please reduce the length of the messages.",
                "type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded",
            }})
        );
        assert_eq!(ApiError::unknown("a").ollama(), json!({"error": "Unknown parameter: 'a'."}));
        let key = serde_json::to_value(ApiError::invalid_api_key()).unwrap();
        assert_eq!(
            (&key["error"]["param"], &key["error"]["code"]),
            (&Value::Null, &json!("invalid_api_key"))
        );
    }

    #[test]
    fn what_the_library_refuses_has_the_status_of_whose_fault_it_is() {
        let told = || told!("x", "no");
        for (error, status) in [
            (Error::Config(vec![told()]), 400),
            (Error::Data(told()), 400),
            (Error::Template(told()), 400),
            (Error::Model(told()), 500),
            (Error::Device(told()), 500),
            (Error::Data(told!("sampling.queue_full", "full")), 429),
        ] {
            assert_eq!(ApiError::of(&error).status, status, "{error}");
        }
        let long = ApiError::of(&Error::Data(told!("sampling.prompt_long", "long")));
        assert_eq!((long.status, long.code), (400, Some("context_length_exceeded")));
    }
}
