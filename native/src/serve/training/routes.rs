//! Routes of training: what runs there are, and one is begun, steered and listened to.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use kindling::told::told;
use serde::Deserialize;
use serde_json::json;

use super::asked;
use super::asked_run::Wish;
use super::messages::run::ServedRuns;
use super::refused::Refused;
use super::trainer::Trainer;
use crate::serve::gate::is_of_own_page;
use crate::serve::refusal::{Refusal, ok};
use crate::serve::stream::{self, Framing};
use crate::serve::{Server, body, reading};

/// The body of what steers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Steer {
    what: Wish,
}

/// The trainer of a server that has one, for its own page and whoever is no page.
///
/// # Errors
/// A server without `--train`; a page of another origin, also of one that may ask its models.
pub fn trainer(server: &Server, headers: &HeaderMap) -> Result<Trainer, Refused> {
    if !is_of_own_page(headers) {
        let why = "pages of another origin may not train here, also where --cors lets them ask the models";
        return Err(Refusal::forbidden(why.into()).into());
    }
    let none =
        || Refusal::not_found("training_off", "this server does not train; start it with --train".into());
    server.trainer.clone().ok_or_else(|| none().into())
}

/// `GET /v1/training`
pub async fn list(State(server): State<Arc<Server>>, headers: HeaderMap) -> Result<Response, Refused> {
    let trainer = trainer(&server, &headers)?;
    let (running, runs) = reading(move || Ok(trainer.list())).await?;
    let bases =
        server.names.all().into_iter().map(|listed| listed.named).filter(|named| named.base.is_none());
    let models = bases.map(|named| named.name).collect();
    let most_bytes = server.limits.request_bytes() as f64;
    let (running, paused) = running.map_or((None, false), |(id, paused)| (Some(id), paused));
    Ok(ok(&ServedRuns { running, paused, runs, models, most_bytes }))
}

/// `POST /v1/training`
pub async fn start(State(server): State<Arc<Server>>, request: Request) -> Result<Response, Refused> {
    let trainer = trainer(&server, request.headers())?;
    let most = server.limits.max_request_mb;
    let held = body::bytes(request, &server).await.map_err(|refusal| too_large(refusal, most))?;
    let names = server.names.clone();
    let begin = move || {
        let wish = asked::read(&held, &names, &trainer.means)?;
        trainer.begin(&wish)
    };
    let id = reading(move || Ok(begin())).await??;
    Ok(ok(&json!({"id": id})))
}

/// A body that is too large, with the sentence of a page.
fn too_large(refusal: Refusal, most: f64) -> Refused {
    match refusal.error.status {
        413 => Refused::Large(told!(
            "served_run.large",
            "the rows are more than the {most} MB that this server takes in one request; send fewer, or start it with a larger \
             --max-request-mb",
            most
        )),
        _ => refusal.into(),
    }
}

/// `GET /v1/training/{id}/events`
pub async fn events(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let told = trainer(&server, &headers)?.listen(&id)?;
    Ok(stream::response(told, Framing::Events))
}

/// `POST /v1/training/{id}/control`
pub async fn control(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refused> {
    let trainer = trainer(&server, request.headers())?;
    let held = body::bytes(request, &server).await?;
    let steer: Steer = serde_json::from_slice(&held)
        .map_err(|error| Refusal::bad("invalid_json", error.to_string()))
        .map_err(Refused::from)?;
    trainer.steer(&id, steer.what)?;
    Ok(ok(&json!({"id": id})))
}

/// `POST /v1/training/{id}/resume`
pub async fn resume(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let trainer = trainer(&server, &headers)?;
    let id = reading(move || Ok(trainer.resume(&id))).await??;
    Ok(ok(&json!({"id": id})))
}
