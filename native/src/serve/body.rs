//! The body of a request: bounded in bytes and in time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header;
use tokio::time::{Instant, timeout_at};

use super::limits::Limits;
use super::refusal::Refusal;

/// What of a body that is too large is read and thrown away, so that its client hears why: many read no answer while they
/// still write.
const THROWN_AWAY: usize = 64 << 20;
/// For so long.
const THROWN_AWAY_TIME: Duration = Duration::from_secs(2);

/// All bytes of a request's body.
///
/// # Errors
/// 413 for too many of them, 408 for those that come too slowly, 400 for a body that ends too early.
pub async fn bytes(request: Request, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    let most = limits.request_bytes();
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
    let (mut bytes, deadline) = (Vec::new(), Instant::now() + limits.read_time());
    loop {
        match timeout_at(deadline, next(&mut body)).await {
            Err(_) => return Err(Refusal::too_slow(limits.read_timeout)),
            Ok(None) => return Ok(bytes),
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
