//! What is answered where a request is not: OpenAI's error object, or Ollama's for its routes.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kindling::api::ApiError;
use kindling::error::Error;
use serde::Serialize;

use super::names::LONGEST_NAME;
use crate::failure::Failure;

/// OpenAI's name for what the request did wrong.
const INVALID: &str = "invalid_request_error";

/// Why a request is refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Status, sentence and words for programs.
    pub error: ApiError,
    /// Seconds after which the same request may be answered.
    pub retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: u16, kind: &'static str, code: &'static str, message: String) -> Self {
        let error = ApiError { status, message, kind, param: None, code: Some(code) };
        Self { error, retry_after: None }
    }

    /// A request that cannot be understood (400).
    pub fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, INVALID, code, message.into())
    }

    /// The same about a key of the request.
    pub fn about(mut self, param: &str) -> Self {
        self.error.param = Some(param.into());
        self
    }

    /// No model of this name (404).
    pub fn no_model(name: &str, names: &[String]) -> Self {
        // A name that cannot be one is not sent back whole.
        let name: String = name.chars().take(LONGEST_NAME).collect();
        let message = format!("there is no model '{name}' here; there are: {}", names.join(", "));
        Self::new(404, INVALID, "model_not_found", message).about("model")
    }

    /// Nothing of this name (404).
    pub fn not_found(code: &'static str, message: String) -> Self {
        Self::new(404, INVALID, code, message)
    }

    /// Who may not ask (403).
    pub fn forbidden(message: String) -> Self {
        Self::new(403, "permission_error", "forbidden", message)
    }

    /// A key that is missing or wrong (401).
    pub fn no_key() -> Self {
        ApiError::invalid_api_key().into()
    }

    /// More bytes than a request may have (413).
    pub fn too_large(megabytes: f64) -> Self {
        let message = format!(
            "the request has more than {megabytes} MB; send less, or start the server with a larger --max-request-mb"
        );
        Self::new(413, INVALID, "request_too_large", message)
    }

    /// A body that comes too slowly (408).
    pub fn too_slow(seconds: f64) -> Self {
        let message = format!("the body has not come within the {seconds} seconds of --read-timeout");
        Self::new(408, INVALID, "timeout", message)
    }

    /// A request whose time was over before there was anything of an answer (504).
    pub fn timed_out() -> Self {
        let message =
            "the request took longer than --timeout lets it; ask for fewer tokens, or later".to_string();
        Self::new(504, "server_error", "timeout", message)
    }

    /// A client that takes its answer more slowly than it is written, by more than is kept for it.
    pub fn lags() -> Self {
        let message =
            "the answer was taken more slowly than it was written, and is given up; read it as it comes"
                .to_string();
        Self::new(408, INVALID, "timeout", message)
    }

    /// More requests than may wait (429).
    pub fn busy(waiting: usize) -> Self {
        let error = ApiError::queue_full(waiting);
        Self { error, retry_after: Some(1) }
    }

    /// A server that ends (503).
    pub fn draining() -> Self {
        Self { error: ApiError::shutting_down(), retry_after: Some(5) }
    }

    /// What failed on this side (500).
    pub fn failed(message: impl Into<String>) -> Self {
        ApiError::internal(message).into()
    }

    /// Why a model or an adapter cannot be opened (500); of an adapter that a request names it is the request's (400).
    pub fn of_opening(failure: Failure, named: bool) -> Self {
        let message = match failure {
            Failure::Usage(message) => message,
            Failure::Work(error) => error.to_string(),
            Failure::Clap(error) => error.to_string(),
            Failure::Interrupted => return Self::draining(),
        };
        if named { Self::bad("invalid_value", message) } else { Self::failed(message) }
    }

    /// The whole answer, in the shape that clients of this path read.
    pub fn answer(&self, path: &str) -> Response {
        let status = StatusCode::from_u16(self.error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match path.starts_with("/api/") {
            true => json_response(status, &self.error.ollama()),
            false => json_response(status, &self.error),
        };
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let retry_after = (error.status == 429).then_some(1);
        Self { error, retry_after }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        ApiError::of(&error).into()
    }
}

/// The gate gives it its shape, because it knows the path.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

/// A JSON answer.
pub fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A JSON answer that all is well.
pub fn ok(value: &impl Serialize) -> Response {
    json_response(StatusCode::OK, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_when_to_come_again_and_what_is_asked_for() {
        let refusal = Refusal::no_model("x", &["a".into(), "b".into()]);
        assert_eq!(refusal.error.message, "there is no model 'x' here; there are: a, b");
        assert_eq!(refusal.error.param.as_deref(), Some("model"));
        let answer = Refusal::busy(3).answer("/v1/x");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (429, &HeaderValue::from(1))
        );
        let answer = Refusal::no_key().answer("/v1/x");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    }
}
