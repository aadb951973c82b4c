//! What a run gave, to be taken into the page: its files, piece by piece.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::Builder;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use kindling::error::Error;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::refused::Refused;
use super::routes::trainer;
use super::shelf::Shelf;
use super::trainer::none;
use crate::serve::refusal::Refusal;
use crate::serve::{Server, reading};

/// The files of an adapter and of a checkpoint.
const FILES: [&str; 8] = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
];
/// Bytes of a piece.
const PIECE: usize = 1 << 18;
/// Pieces that wait for a client.
const WAITING: usize = 4;

/// `GET /v1/training/{id}/files/{file}`
pub async fn file(
    State(server): State<Arc<Server>>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let shelf = trainer(&server, &headers)?.shelf;
    let (length, pieces) = reading(move || Ok(open(&shelf, &id, &name))).await??;
    let mut response = Body::new(Pieces(pieces)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// Opens a file of a run: its bytes, and the pieces that come of it.
fn open(shelf: &Shelf, id: &str, name: &str) -> Result<(u64, Receiver<io::Result<Bytes>>), Refused> {
    let path = shelf.place(id).ok_or_else(|| none(id))?.join(name);
    if !FILES.contains(&name) || !path.is_file() {
        let why = format!("the run {id} has no such file to take; these may be there: {}", FILES.join(", "));
        return Err(Refusal::not_found("no_file", why).into());
    }
    let io = |source| Error::Io { path: path.display().to_string(), source };
    let file = File::open(&path).map_err(io)?;
    // A save that comes meanwhile puts another file in its place, and leaves this one as it is.
    let length = file.metadata().map_err(io)?.len();
    let (sender, pieces) = channel(WAITING);
    // A slow client must not hold one of the few threads that read requests.
    Builder::new().name("file".into()).spawn(move || send(file, &sender)).map_err(io)?;
    Ok((length, pieces))
}

/// Reads a file to its end, or until nobody takes more of it.
fn send(mut file: File, sender: &Sender<io::Result<Bytes>>) {
    loop {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece);
        let part = match read {
            Ok(0) => return,
            Ok(bytes) => {
                piece.truncate(bytes);
                Ok(Bytes::from(piece))
            }
            Err(error) => Err(error),
        };
        let failed = part.is_err();
        if sender.blocking_send(part).is_err() || failed {
            return;
        }
    }
}

/// The pieces as a body.
struct Pieces(Receiver<io::Result<Bytes>>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
