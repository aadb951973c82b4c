//! Adapters that come and go while the server runs, as vLLM has it
//! (<https://docs.vllm.ai/en/latest/features/lora.html>).

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::engine::Command;
use super::names::{self, Named};
use super::refusal::Refusal;
use super::{Server, body};

/// The body of `/v1/load_lora_adapter`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Load {
    lora_name: String,
    lora_path: String,
    /// Of which model; the first one where it is not said.
    base_model_name: Option<String>,
}

/// The body of `/v1/unload_lora_adapter`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unload {
    lora_name: String,
    /// vLLM's number of an adapter, which nothing here has.
    #[serde(default, rename = "lora_int_id")]
    _number: Option<u64>,
}

/// `/v1/load_lora_adapter`: opens an adapter, so that requests can name it.
pub async fn load(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    let asked: Load = read(&server, request).await?;
    names::check(&asked.lora_name).map_err(|why| Refusal::bad("invalid_value", why).about("lora_name"))?;
    let base = asked.base_model_name.as_deref();
    let listed = server.names.find(base).filter(|listed| listed.named.base.is_none());
    let none = || Refusal::no_model(base.unwrap_or_default(), &server.names.texts()).about("base_model_name");
    let base = listed.ok_or_else(none)?.named.name;
    let name = asked.lora_name;
    let named = Named { name: name.clone(), place: PathBuf::from(asked.lora_path), base: Some(base) };
    server.engine.ask(|back| Command::Attach(named, back)).await?;
    Ok(format!("Success: LoRA adapter '{name}' added successfully.").into_response())
}

/// `/v1/unload_lora_adapter`: lets one go; what it writes at the moment is written to the end.
pub async fn unload(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refusal> {
    let Unload { lora_name: name, .. } = read(&server, request).await?;
    let asked = name.clone();
    server.engine.ask(|back| Command::Detach(asked, back)).await?;
    Ok(format!("Success: LoRA adapter '{name}' removed successfully.").into_response())
}

async fn read<T: for<'a> Deserialize<'a>>(server: &Server, request: Request) -> Result<T, Refusal> {
    if !server.opens_adapters {
        return Err(Refusal::forbidden(
            "whoever reaches this server may not open files on it: adapters are loaded and unloaded where it listens on a \
             loopback address or asks for keys (--api-key)"
                .into(),
        ));
    }
    let bytes = body::bytes(request, server).await?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::bad("invalid_json", error.to_string()))
}
