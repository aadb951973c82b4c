//! Answers that a model writes: chats and completions, of OpenAI's shape and of Ollama's.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use kindling::api::{
    Adapters, ApiError, ChatRequest, CompletionRequest, Head, KeepAlive, OllamaRequest, Reply, Served, Work,
};
use tokio::sync::mpsc;

use super::engine::{Command, Job};
use super::limits::WAITING_PIECES;
use super::refusal::{Refusal, ok};
use super::stream::{self, Framing};
use super::{Server, body, reading};

/// A request that a model answers in writing.
trait Asking: Sized + Send + 'static {
    /// How the parts of its answer are framed.
    const FRAMING: Framing;

    /// The model that is asked, and which adapters act.
    fn model(&self) -> (&str, &Adapters);

    /// How long the model stays behind it, where it says so.
    fn keep(&self) -> Option<KeepAlive>;

    /// The answer to a request for nothing but that its model goes.
    fn unloaded(&self, head: Head) -> Option<Reply>;

    /// What the engine shall do, and what makes the answer of it.
    fn prepare(&self, served: &Served<'_>, head: Head) -> Result<(Vec<Work>, Reply), ApiError>;
}

macro_rules! asking {
    ($request:ty, $framing:expr, $unloaded:expr) => {
        impl Asking for $request {
            const FRAMING: Framing = $framing;

            fn model(&self) -> (&str, &Adapters) {
                (&self.model, &self.adapters)
            }

            fn keep(&self) -> Option<KeepAlive> {
                self.settings.keep_alive
            }

            fn unloaded(&self, head: Head) -> Option<Reply> {
                let unloaded: fn(&Self, Head) -> Option<Reply> = $unloaded;
                unloaded(self, head)
            }

            fn prepare(&self, served: &Served<'_>, head: Head) -> Result<(Vec<Work>, Reply), ApiError> {
                self.prepare(served, head)
            }
        }
    };
}

asking!(ChatRequest, Framing::Events, |_, _| None);
asking!(CompletionRequest, Framing::Events, |_, _| None);
asking!(OllamaRequest, Framing::Lines, OllamaRequest::unloaded);

/// `/v1/chat/completions`
pub async fn chat(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    write(server, request, ChatRequest::parse).await
}

/// `/v1/completions`
pub async fn completions(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    write(server, request, CompletionRequest::parse).await
}

/// `/api/chat`
pub async fn ollama_chat(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    write(server, request, OllamaRequest::parse_chat).await
}

/// `/api/generate`
pub async fn ollama_generate(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Response, Refusal> {
    write(server, request, OllamaRequest::parse_generate).await
}

async fn write<A: Asking>(
    server: Arc<Server>,
    request: Request,
    parse: impl FnOnce(&[u8]) -> Result<A, ApiError>,
) -> Result<Response, Refusal> {
    let asked = Instant::now();
    let ends_by = asked + server.limits.request_time();
    let held = body::bytes(request, &server).await?;
    let (asking, place) = (parse(&held)?, held.into_place());
    let (model, wanted) = {
        let (model, adapters) = asking.model();
        let wanted = server.names.wanted(model, adapters)?;
        (if model.is_empty() { wanted.base.clone() } else { model.to_string() }, wanted)
    };
    let (id, seed) = server.fresh();
    let head = Head { id, created: server.time(), model, seed, load_seconds: 0.0 };
    let unloaded = asking.unloaded(head.clone());
    if let Some(reply) = unloaded {
        server.engine.ask(|back| Command::Unload(wanted.key, back)).await?;
        return at_once::<A>(reply).await;
    }
    let opened = server.open(&wanted, ends_by).await?;
    let head = Head { load_seconds: asked.elapsed().as_secs_f64(), ..head };
    // Texts become tokens elsewhere, so that other connections go on.
    let (sharing, read_by, keep) = (Arc::clone(&server), Arc::clone(&opened), asking.keep());
    let (choices, reply) = reading(move || {
        let _place = place;
        Ok(asking.prepare(&sharing.served(&read_by)?, head)?)
    })
    .await?;
    let (parts, mut told) = mpsc::channel(WAITING_PIECES);
    let is_stream = reply.is_stream();
    let (model, framing) = (wanted.key, A::FRAMING);
    let job = Job { model, _opened: opened, keep, choices, reply, framing, parts, asked, ends_by };
    server.engine.ask(|back| Command::Answer(Box::new(job), back)).await?;
    if is_stream {
        return Ok(stream::response(told, A::FRAMING));
    }
    match told.recv().await {
        Some(whole) => Ok(json_bytes(whole?)),
        None => Err(Refusal::failed("the engine gave this answer up")),
    }
}

/// An answer for which the engine has nothing to do.
async fn at_once<A: Asking>(mut reply: Reply) -> Result<Response, Refusal> {
    if !reply.is_stream() {
        return Ok(ok(&reply.whole()));
    }
    let (parts, told) = mpsc::channel(WAITING_PIECES);
    for chunk in reply.finish() {
        let _ = parts.send(Ok(A::FRAMING.frame_json(&chunk))).await;
    }
    Ok(stream::response(told, A::FRAMING))
}

fn json_bytes(bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
