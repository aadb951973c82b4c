//! Texts as tokens and back, and conversations as the model reads them: llama-server's routes.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use kindling::api::{ApiError, DetokenizeRequest, TemplateRequest, TokenizeRequest};
use kindling::tokenizer::Tokenizer;
use serde_json::Value;

use super::refusal::{Refusal, ok};
use super::{Server, body, reading};

/// A request that a tokenizer answers alone.
trait OfTokenizer: Sized + Send + 'static {
    /// Reads a body; with the model whose tokenizer it is, where it says one.
    fn parse(body: &[u8]) -> Result<(Self, Option<String>), ApiError>;

    /// The answer.
    fn answer(&self, tokenizer: &Tokenizer) -> Result<Value, ApiError>;
}

macro_rules! of_tokenizer {
    ($($request:ty),+) => {
        $(impl OfTokenizer for $request {
            fn parse(body: &[u8]) -> Result<(Self, Option<String>), ApiError> {
                let request = Self::parse(body)?;
                let model = request.model.clone();
                Ok((request, model))
            }

            fn answer(&self, tokenizer: &Tokenizer) -> Result<Value, ApiError> {
                self.answer(tokenizer)
            }
        })+
    };
}

of_tokenizer!(TokenizeRequest, DetokenizeRequest, TemplateRequest);

/// `/tokenize`
pub async fn tokenize(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    answer::<TokenizeRequest>(server, request).await
}

/// `/detokenize`
pub async fn detokenize(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    answer::<DetokenizeRequest>(server, request).await
}

/// `/apply-template`
pub async fn apply_template(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Response, Refusal> {
    answer::<TemplateRequest>(server, request).await
}

async fn answer<R: OfTokenizer>(server: Arc<Server>, request: Request) -> Result<Response, Refusal> {
    let ends_by = server.ends_by();
    let held = body::bytes(request, &server).await?;
    let ((asked, model), place) = (R::parse(&held)?, held.into_place());
    let wanted = server.named(model.as_deref())?;
    let opened = server.open(&wanted, ends_by).await?;
    reading(move || {
        let _place = place;
        Ok(ok(&asked.answer(opened.tokenizer()?)?))
    })
    .await
}
