//! The body of a request: bounded in bytes and in time.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Server;
use super::refusal::Refusal;

/// What of a body that is too large is read and thrown away, so that its client hears why: many read no answer while they
/// still write.
const THROWN_AWAY: usize = 64 << 20;
/// For so long.
const THROWN_AWAY_TIME: Duration = Duration::from_secs(2);

/// A body beyond so many bytes is large, and only so many of those are held at the same time: what strangers send takes a
/// bounded memory, however many they are.
const LARGE: usize = 64 << 10;
const LARGE_AT_ONCE: usize = 16;

/// The places of large bodies.
#[derive(Clone)]
pub struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_AT_ONCE)))
    }
}

/// The bytes of a body, and the place that it takes.
pub struct Held {
    bytes: Vec<u8>,
    place: Place,
}

/// Given back when it is dropped: to be kept as long as there is what was made of a large body.
pub struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// The place alone, once the bytes are read.
    pub fn into_place(self) -> Place {
        self.place
    }
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// All bytes of a request's body.
///
/// # Errors
/// 413 for too many of them, 408 for those that come too slowly, 400 for a body that ends too early.
pub async fn bytes(request: Request, server: &Server) -> Result<Held, Refusal> {
    let (limits, most) = (&server.limits, server.limits.request_bytes());
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Whoever waits for leave to send hears the answer without having sent.
    let waits = request.headers().contains_key(header::EXPECT);
    let mut body = request.into_body();
    if length.is_some_and(|length| length > most as u64) {
        if !waits {
            throw_away(&mut body).await;
        }
        return Err(Refusal::too_large(limits.max_request_mb));
    }
    let (mut bytes, mut place, deadline) = (Vec::new(), None, Instant::now() + limits.read_time());
    loop {
        if bytes.len() > LARGE && place.is_none() {
            let asked = timeout_at(deadline, Arc::clone(&server.places.0).acquire_owned()).await;
            place = Some(asked.ok().and_then(Result::ok).ok_or_else(|| Refusal::busy(LARGE_AT_ONCE))?);
        }
        match timeout_at(deadline, next(&mut body)).await {
            Err(_) => return Err(Refusal::too_slow(limits.read_timeout)),
            Ok(None) => return Ok(Held { bytes, place: Place { _permit: place } }),
            Ok(Some(Err(error))) => {
                return Err(Refusal::bad("invalid_body", format!("the body ends in the middle: {error}")));
            }
            Ok(Some(Ok(part))) if bytes.len() + part.len() > most => {
                throw_away(&mut body).await;
                return Err(Refusal::too_large(limits.max_request_mb));
            }
            Ok(Some(Ok(part))) => bytes.extend_from_slice(&part),
        }
    }
}

/// The next bytes of a body; what else may come in it has none.
async fn next(body: &mut Body) -> Option<Result<axum::body::Bytes, axum::Error>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

async fn throw_away(body: &mut Body) {
    let (mut left, deadline) = (THROWN_AWAY, Instant::now() + THROWN_AWAY_TIME);
    while let Ok(Some(Ok(part))) = timeout_at(deadline, next(body)).await {
        match left.checked_sub(part.len()) {
            Some(less) => left = less,
            None => return,
        }
    }
}
