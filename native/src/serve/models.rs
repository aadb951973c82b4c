//! Which models there are, in OpenAI's shape and in Ollama's.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Path as UrlPath, Request, State};
use axum::response::Response;
use kindling::api::{self, ModelEntry};
use kindling::model::ModelConfig;
use kindling::tokenizer::Tokenizer;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::engine::Command;
use super::names::{Listed, Named};
use super::refusal::{Refusal, ok};
use super::{Server, body};

/// What stays until the server ends: for clients that want a time, a hundred years from now.
const STAYS: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// `/v1/models`
pub async fn list(State(server): State<Arc<Server>>) -> Response {
    let listed = server.names.all();
    ok(&serde_json::json!({"object": "list", "data": listed.iter().map(model).collect::<Vec<_>>()}))
}

/// `/v1/models/{id}`
pub async fn one(
    State(server): State<Arc<Server>>,
    UrlPath(id): UrlPath<String>,
) -> Result<Response, Refusal> {
    let found = server.names.find(Some(&id)).filter(|_| !id.is_empty());
    Ok(ok(&model(&found.ok_or_else(|| Refusal::no_model(&id, &server.names.texts()))?)))
}

/// In OpenAI's shape; with vLLM's key for the model that an adapter belongs to.
fn model(listed: &Listed) -> Value {
    let model = serde_json::to_value(listed.entry.openai()).unwrap_or_default();
    let mut model: Map<String, Value> = model.as_object().cloned().unwrap_or_default();
    model.insert("parent".into(), listed.named.base.clone().into());
    model.into()
}

/// `/api/tags`
pub async fn tags(State(server): State<Arc<Server>>) -> Response {
    let listed = server.names.all();
    ok(&api::tags(listed.iter().map(|listed| &listed.entry)))
}

/// `/api/ps`
pub async fn loaded(State(server): State<Arc<Server>>) -> Result<Response, Refusal> {
    let loaded = server.engine.ask(Command::Loaded).await?;
    let (listed, now) = (server.names.all(), server.time());
    let loaded = listed.iter().filter_map(|listed| {
        let (_, stays) = loaded.iter().find(|(name, _)| *name == listed.named.name)?;
        // Weights are f32 unless they are held in few bits.
        let bytes = listed.entry.parameters.saturating_mul(4);
        Some((&listed.entry, bytes, now + stays.unwrap_or(STAYS).as_secs()))
    });
    Ok(ok(&api::loaded(loaded)))
}

/// `/api/show`: what a model is; it is loaded for that.
pub async fn show(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    let ends_by = server.ends_by();
    let bytes = body::bytes(request, &server).await?;
    let wanted = server.named(Some(&api::shown_model(&bytes)?))?;
    server.open(&wanted, ends_by).await?;
    Ok(ok(&server.names.find(Some(&wanted.key)).unwrap_or_default().entry.show()))
}

/// What is known of a model before it is loaded: its files.
pub fn entry_of_files(named: &Named) -> ModelEntry {
    let files = files(&named.place);
    let config = std::fs::read(named.place.join("config.json")).ok();
    let config = config.and_then(|json| ModelConfig::from_hugging_face(&json).ok());
    let mut hash = Sha256::new();
    files.iter().for_each(|(name, size, modified)| hash.update(format!("{name} {size} {modified}\n")));
    ModelEntry {
        name: named.name.clone(),
        modified: files.iter().map(|(_, _, modified)| *modified).max().unwrap_or(0),
        size: files.iter().map(|(_, size, _)| size).sum(),
        // Of names, sizes and times: the files themselves may be long to read.
        digest: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        family: config.as_ref().map_or("llama", family).into(),
        ..ModelEntry::default()
    }
}

/// The same once it is loaded.
pub fn entry_of_model(
    entry: ModelEntry,
    config: &ModelConfig,
    tokenizer: Option<&Tokenizer>,
    quantization: &str,
) -> ModelEntry {
    let template = tokenizer.and_then(Tokenizer::chat_template).map(str::to_string);
    let has = |word: &str| template.as_ref().is_some_and(|template| template.contains(word));
    ModelEntry {
        family: family(config).into(),
        parameters: config.parameters(),
        quantization: quantization.into(),
        context: config.context(),
        width: config.hidden_size,
        tools: has("tools"),
        thinking: has("enable_thinking") || has("open_thinking") || has("reasoning_effort"),
        template,
        ..entry
    }
}

/// What Ollama's clients call models of this kind.
fn family(config: &ModelConfig) -> &'static str {
    if config.diffusion.is_some() { "llada" } else { config.model_type() }
}

/// The files at a place: names, bytes, and seconds since 1970.
fn files(place: &Path) -> Vec<(String, u64, u64)> {
    let of = |path: &Path| {
        let found = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let time = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((name, found.len(), time.map_or(0, |time| time.as_secs())))
    };
    let mut files: Vec<_> = match std::fs::read_dir(place) {
        Ok(entries) => entries.flatten().filter_map(|entry| of(&entry.path())).collect(),
        Err(_) => of(place).into_iter().collect(),
    };
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use kindling::model::preset;

    use super::*;

    #[test]
    fn a_model_is_known_by_its_files_before_it_is_loaded() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("a"), "12345").unwrap();
        std::fs::write(place.path().join("b"), "123").unwrap();
        let named = Named { name: "m".into(), place: place.path().into(), base: None };
        let entry = entry_of_files(&named);
        assert_eq!((entry.name.as_str(), entry.size, entry.digest.len()), ("m", 8, 64));
        assert!(entry.modified > 1_700_000_000);
        std::fs::write(place.path().join("b"), "1234").unwrap();
        assert_ne!(entry_of_files(&named).digest, entry.digest);
        assert_eq!(
            (
                entry_of_files(&named).family.as_str(),
                entry_of_files(&Named { place: "none".into(), ..named.clone() }).size
            ),
            ("llama", 0)
        );
        let qwen = preset("nano").unwrap().config(Some(8)).to_hugging_face();
        std::fs::write(place.path().join("config.json"), qwen).unwrap();
        assert_eq!(entry_of_files(&named).family, "qwen3");
    }
}
