//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kindling::api::{self, ApiError};
use serde_json::json;

use super::refusal::{Refusal, json_response, ok};
use super::{Server, answers, embeddings, gate, lora, models, texts, training};

/// Every route with what it does, as a person reads it.
const ROUTES: [(&str, &str, &str); 29] = [
    ("POST", "/v1/chat/completions", "the next message of a conversation"),
    ("POST", "/v1/completions", "a text goes on"),
    ("POST", "/v1/embeddings", "texts as vectors"),
    ("GET", "/v1/models", "models and adapters"),
    ("GET", "/v1/models/{id}", "one of them"),
    ("POST", "/v1/load_lora_adapter", "an adapter from now on"),
    ("POST", "/v1/unload_lora_adapter", "no longer"),
    ("POST", "/api/chat", "Ollama's chat"),
    ("POST", "/api/generate", "Ollama's completion"),
    ("POST", "/api/embed", "Ollama's vectors"),
    ("POST", "/api/embeddings", "one of them, as older clients ask"),
    ("GET", "/api/tags", "models, as Ollama lists them"),
    ("POST", "/api/show", "one of them"),
    ("GET", "/api/ps", "those that are loaded"),
    ("GET", "/api/version", "the version"),
    ("POST", "/tokenize", "a text as tokens"),
    ("POST", "/detokenize", "tokens as text"),
    ("POST", "/apply-template", "a conversation as the model reads it"),
    ("GET", "/health", "whether the server is well"),
    ("GET", "/metrics", "numbers for Prometheus"),
    ("GET", "/v1/training", "runs of --train"),
    ("POST", "/v1/training", "one begins"),
    ("GET", "/v1/training/{id}/events", "what is told of one, as it comes"),
    ("POST", "/v1/training/{id}/control", "one pauses, goes on, is saved or ends"),
    ("POST", "/v1/training/{id}/resume", "one that ended before its last step goes on"),
    ("GET", "/v1/training/{id}/files/{file}", "a file of what it gave"),
    ("GET", "/v1", "this list"),
    ("GET", "/api", "this list"),
    ("GET", "/", "the page, or this list"),
];

/// The router with everything around it.
pub fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(answers::chat))
        .route("/v1/completions", post(answers::completions))
        .route("/v1/embeddings", post(embeddings::openai))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/load_lora_adapter", post(lora::load))
        .route("/v1/unload_lora_adapter", post(lora::unload))
        .route("/v1/training", get(training::list).post(training::start))
        .route("/v1/training/{id}/events", get(training::events))
        .route("/v1/training/{id}/control", post(training::control))
        .route("/v1/training/{id}/resume", post(training::resume))
        .route("/v1/training/{id}/files/{file}", get(training::file))
        .route("/api/chat", post(answers::ollama_chat))
        .route("/api/generate", post(answers::ollama_generate))
        .route("/api/embed", post(embeddings::ollama))
        .route("/api/embeddings", post(embeddings::ollama_prompt))
        .route("/api/tags", get(models::tags))
        .route("/api/show", post(models::show))
        .route("/api/ps", get(models::loaded))
        .route("/api/version", get(version))
        .route("/tokenize", post(texts::tokenize))
        .route("/detokenize", post(texts::detokenize))
        .route("/apply-template", post(texts::apply_template))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1", get(list))
        .route("/api", get(list))
        .fallback(other)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&server), gate::pass))
        .with_state(server)
}

async fn health(State(server): State<Arc<Server>>) -> Response {
    if !server.engine.lives() {
        return json_response(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "failed"}));
    }
    ok(&json!({"status": if server.running.drains() { "ending" } else { "ok" }}))
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], server.metrics.text()).into_response()
}

async fn version() -> Response {
    ok(&api::version(env!("CARGO_PKG_VERSION")))
}

async fn list() -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], routes_page()).into_response()
}

/// What no route is for: a file of the page, or nothing.
async fn other(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let headers = request.headers().clone();
    drop(request);
    let found = server.page.answer(&method, &path, &headers, &routes_page()).await;
    found.ok_or_else(|| ApiError::no_route(method.as_str(), &path, false).into())
}

async fn wrong_method(request: Request) -> Refusal {
    ApiError::no_route(request.method().as_str(), request.uri().path(), true).into()
}

/// The routes as one page without anything from elsewhere.
fn routes_page() -> String {
    let row = |(method, path, what): &(&str, &str, &str)| {
        format!("<tr><td>{method}</td><td><code>{path}</code></td><td>{what}</td></tr>\n")
    };
    let rows: String = ROUTES.iter().map(row).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Kindling</title>\n\
         <style>body{{font:16px sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}}td{{padding:.2rem .8rem .2rem 0}}</style>\n\
         <h1>Kindling</h1>\n<p>A server of language models. OpenAI's clients take this address and <code>/v1</code> as their \
         base URL.</p>\n<table>\n{rows}</table>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_route() {
        let page = routes_page();
        assert!(ROUTES.iter().all(|(_, path, _)| page.contains(&format!("<code>{path}</code>"))));
        assert!(!page.contains("src=") && !page.contains("href="), "nothing is fetched");
    }
}
