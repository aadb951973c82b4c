//! Why a request for training is refused: a sentence with its code, which the page says in its own words.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kindling::error::Error;
use kindling::told::Told;
use serde_json::json;

use crate::serve::refusal::{Refusal, json_response};

/// Why a request is refused.
#[derive(Debug)]
pub enum Refused {
    /// What it asks for cannot be.
    Told(Told),
    /// It cannot be now (409).
    Now(Told),
    /// There is no such thing (404).
    Missing(Told),
    /// It is more than is taken at once (413).
    Large(Told),
    /// Whatever any request may be refused for.
    Any(Refusal),
}

impl From<Told> for Refused {
    fn from(told: Told) -> Self {
        Self::Told(told)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Told(error.told())
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Any(refusal)
    }
}

/// OpenAI's error object, and beside it the sentence with its code and values.
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, told) = match self {
            Self::Told(told) => (StatusCode::BAD_REQUEST, told),
            Self::Now(told) => (StatusCode::CONFLICT, told),
            Self::Large(told) => (StatusCode::PAYLOAD_TOO_LARGE, told),
            Self::Missing(told) => (StatusCode::NOT_FOUND, told),
            Self::Any(refusal) => return refusal.into_response(),
        };
        let error = json!({
            "message": told.text(), "type": "invalid_request_error", "param": null, "code": told.code(),
        });
        json_response(status, &json!({"error": error, "told": told}))
    }
}
