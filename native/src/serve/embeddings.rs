//! Texts as vectors, in OpenAI's shape and in Ollama's.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::response::Response;
use kindling::api::{EmbeddingRequest, KeepAlive};
use serde_json::json;

use super::body::Place;
use super::engine::{Aside, Command};
use super::refusal::{Refusal, ok};
use super::{Server, body, reading};

/// `/v1/embeddings`
pub async fn openai(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    let held = body::bytes(request, &server).await?;
    let (asked, place) = (EmbeddingRequest::parse(&held)?, held.into_place());
    let model = asked.model.clone();
    let (asked, Read { vectors, tokens, .. }) = read(&server, asked, place).await?;
    reading(move || Ok(ok(&asked.answer(&model, vectors, tokens)))).await
}

/// `/api/embed`: the same in Ollama's shape (<https://docs.ollama.com/api/embed>).
pub async fn ollama(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    let began = Instant::now();
    let held = body::bytes(request, &server).await?;
    let (asked, place) = (EmbeddingRequest::parse_ollama(&held)?, held.into_place());
    let model = asked.model.clone();
    let (_, Read { vectors, tokens, load }) = read(&server, asked, place).await?;
    let nanoseconds = began.elapsed().as_nanos() as u64;
    Ok(ok(&json!({
        "model": model, "embeddings": vectors, "total_duration": nanoseconds, "load_duration": load,
        "prompt_eval_count": tokens,
    })))
}

/// `/api/embeddings`: of one text, as clients of former years have it.
pub async fn ollama_prompt(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    let held = body::bytes(request, &server).await?;
    let (asked, place) = (EmbeddingRequest::parse_ollama_prompt(&held)?, held.into_place());
    let (_, Read { mut vectors, .. }) = read(&server, asked, place).await?;
    Ok(ok(&json!({"embedding": vectors.pop().unwrap_or_default()})))
}

/// What came of the texts.
#[derive(Default)]
struct Read {
    vectors: Vec<Vec<f32>>,
    tokens: usize,
    /// Nanoseconds that the model took to load.
    load: u64,
}

async fn read(
    server: &Arc<Server>,
    asked: EmbeddingRequest,
    place: Place,
) -> Result<(EmbeddingRequest, Read), Refusal> {
    let (began, ends_by) = (Instant::now(), server.ends_by());
    let wanted = server.names.wanted(&asked.model, &asked.adapters)?;
    let keep = asked.keep_alive;
    if asked.inputs.is_empty() && keep == Some(KeepAlive::NONE) {
        server.engine.ask(|back| Command::Unload(wanted.key, back)).await?;
        return Ok((asked, Read::default()));
    }
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
