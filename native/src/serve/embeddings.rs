//! Texts as vectors, in OpenAI's shape and in Ollama's.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::Response;
use kindling::api::{ApiError, EmbeddingRequest, KeepAlive};
use serde_json::{Map, Value, json};

use super::body::Place;
use super::engine::{Aside, Command};
use super::refusal::{Refusal, ok};
use super::{Server, body, reading};

/// `/v1/embeddings`
pub async fn openai(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    let held = body::bytes(request, &server).await?;
    let (asked, place) = (EmbeddingRequest::parse(&held)?, held.into_place());
    let model = asked.model.clone();
    let (asked, Read { vectors, tokens, .. }) = read(&server, asked, (None, place)).await?;
    reading(move || Ok(ok(&asked.answer(&model, vectors, tokens)))).await
}

/// `/api/embed`: the same in Ollama's shape (<https://docs.ollama.com/api/embed>).
pub async fn ollama(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    let began = Instant::now();
    let held = body::bytes(request, &server).await?;
    let ((asked, keep), place) = (of_ollama(&held)?, held.into_place());
    let asked = EmbeddingRequest::parse(&asked)?;
    let model = asked.model.clone();
    let (_, Read { vectors, tokens, load }) = read(&server, asked, (keep, place)).await?;
    let nanoseconds = began.elapsed().as_nanos() as u64;
    Ok(ok(&json!({
        "model": model, "embeddings": vectors, "total_duration": nanoseconds, "load_duration": load,
        "prompt_eval_count": tokens,
    })))
}

/// What came of the texts.
struct Read {
    vectors: Vec<Vec<f32>>,
    tokens: usize,
    /// Nanoseconds that the model took to load.
    load: u64,
}

async fn read(
    server: &Arc<Server>,
    asked: EmbeddingRequest,
    (keep, place): (Option<KeepAlive>, Place),
) -> Result<(EmbeddingRequest, Read), Refusal> {
    let (began, ends_by) = (Instant::now(), server.ends_by());
    let wanted = server.names.wanted(&asked.model, &asked.adapters)?;
    let opened = server.open(&wanted, ends_by).await?;
    let load = began.elapsed().as_nanos() as u64;
    let (sharing, read_by) = (Arc::clone(server), Arc::clone(&opened));
    let (asked, texts) = reading(move || {
        let _place = place;
        let texts = asked.prepare(&sharing.served(&read_by)?, read_by.config.hidden_size)?;
        Ok((asked, texts))
    })
    .await?;
    let (pooling, tokens) = (asked.pooling, texts.iter().map(Vec::len).sum());
    let by = (opened, keep);
    let aside = |back| Command::Read(Box::new(Aside::new(&wanted.key, pooling, texts, ends_by, by, back)));
    let vectors = server.engine.ask(aside).await?;
    server.metrics.tokens(tokens, 0);
    Ok((asked, Read { vectors, tokens, load }))
}

/// Ollama's body as OpenAI's, and how long the model stays.
///
/// # Errors
/// What is no object; texts that shall be cut, which nothing here does.
fn of_ollama(body: &[u8]) -> Result<(Vec<u8>, Option<KeepAlive>), ApiError> {
    let mut asked: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
        ApiError::invalid("input", format!("The body is no JSON object that can be read: {error}."))
    })?;
    let keep = KeepAlive::take(body)?;
    // What else it runs with: a text is read whole, or refused as too long.
    for key in ["keep_alive", "options", "truncate"] {
        asked.shift_remove(key);
    }
    Ok((Value::Object(asked).to_string().into_bytes(), keep))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollamas_body_becomes_openais() {
        let body = br#"{"model": "m", "input": ["a"], "truncate": true, "keep_alive": "5m", "options": {}}"#;
        let (found, keep) = of_ollama(body).unwrap();
        let found: Value = serde_json::from_slice(&found).unwrap();
        assert_eq!(found, json!({"model": "m", "input": ["a"]}));
        assert_eq!(keep, Some(KeepAlive::For(std::time::Duration::from_secs(300))));
        assert!(of_ollama(b"[1]").is_err());
    }
}
