//! A request as the engine holds it: what it is answered with, and whether anybody still waits.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use kindling::api::{ApiError, Chunk, KeepAlive, Reply, Work};
use kindling::sample::{BatchEvent, Generation, Piece};
use tokio::sync::{mpsc, oneshot};

use super::opened::Opened;
use crate::serve::metrics::Metrics;
use crate::serve::refusal::Refusal;
use crate::serve::stream::Framing;

/// Where the one answer to a question goes.
pub type Back<T> = oneshot::Sender<Result<T, Refusal>>;

/// What a client asks of a model.
pub struct Job {
    /// Which.
    pub model: String,
    /// What it was read by, which keeps the model here until it is taken on.
    pub _opened: Arc<Opened>,
    /// How long the model stays behind it, where it says so.
    pub keep: Option<KeepAlive>,
    /// What its choices need.
    pub choices: Vec<Work>,
    /// Makes of events what goes over the wire.
    pub reply: Reply,
    /// How the parts of a stream are framed.
    pub framing: Framing,
    /// Where it is told; closed when the client is gone.
    pub parts: mpsc::Sender<Result<Bytes, Refusal>>,
    /// When it came.
    pub asked: Instant,
    /// When its time is over.
    pub ends_by: Instant,
}

/// A job that a model has taken on.
pub struct Task {
    /// None once it is told to the end.
    reply: Option<Reply>,
    framing: Framing,
    parts: mpsc::Sender<Result<Bytes, Refusal>>,
    asked: Instant,
    ends_by: Instant,
    /// Choices that are not done.
    left: usize,
    /// Whether a first piece came.
    began: bool,
}

impl Task {
    /// That of a job, and what its choices need.
    pub fn new(job: Job) -> (Self, Vec<Work>) {
        let Job { choices, reply, framing, parts, asked, ends_by, .. } = job;
        let left = choices.len();
        (Self { reply: Some(reply), framing, parts, asked, ends_by, left, began: false }, choices)
    }

    /// Tells what comes before anything else.
    pub fn begin(&mut self) {
        self.tell(Reply::begin);
        self.close();
    }

    /// Takes the logits behind a token of a choice's prompt.
    pub fn prompt_logits(&mut self, choice: usize, position: usize, logits: &[f32]) {
        if let Some(reply) = &mut self.reply {
            reply.prompt_logits(choice, position, logits);
        }
    }

    /// Tells a choice's prompt, where it is told, before its events.
    pub fn prompt_end(&mut self, choice: usize) {
        self.tell(|reply| reply.prompt_end(choice));
    }

    /// Tells what became of a choice.
    pub fn event(&mut self, choice: usize, event: &BatchEvent<'_>, metrics: &Metrics) {
        match event {
            BatchEvent::Piece { piece, .. } => self.piece(choice, piece, metrics),
            BatchEvent::Done { generation, .. } => self.done(choice, generation, metrics),
            BatchEvent::Failed { error, .. } => self.fail(ApiError::of(error).into()),
        }
    }

    /// Tells more of a choice.
    pub fn piece(&mut self, choice: usize, piece: &Piece<'_>, metrics: &Metrics) {
        if !std::mem::replace(&mut self.began, true) {
            metrics.first_token(self.asked.elapsed().as_secs_f64());
        }
        self.tell(|reply| reply.piece(choice, piece));
    }

    /// Tells the end of a choice.
    pub fn done(&mut self, choice: usize, generation: &Generation, metrics: &Metrics) {
        self.left = self.left.saturating_sub(1);
        metrics.tokens(generation.prompt_tokens.len(), generation.tokens.len());
        self.tell(|reply| reply.done(choice, generation));
        self.close();
    }

    /// Ends a choice for which nothing is written, behind a prompt of so many tokens.
    pub fn skip(&mut self, choice: usize, prompt: usize, metrics: &Metrics) {
        self.left = self.left.saturating_sub(1);
        metrics.tokens(prompt, 0);
        self.tell(|reply| reply.skip(choice));
        self.close();
    }

    fn tell(&mut self, make: impl FnOnce(&mut Reply) -> Vec<Chunk>) {
        let Some(reply) = &mut self.reply else { return };
        make(reply).iter().for_each(|chunk| self.send(chunk));
    }

    /// Tells the end, once all choices are done.
    fn close(&mut self) {
        if self.left > 0 {
            return;
        }
        let Some(mut reply) = self.reply.take() else { return };
        if !reply.is_stream() {
            let whole = serde_json::to_vec(&reply.whole()).map(Bytes::from);
            let _ = self.parts.try_send(whole.map_err(|error| Refusal::failed(error.to_string())));
            return;
        }
        for chunk in reply.finish() {
            self.send_framed(self.framing.frame_json(&chunk));
        }
        if let Some(end) = self.framing.end() {
            self.send_framed(end);
        }
    }

    fn send(&mut self, chunk: &Chunk) {
        if self.reply.is_some() {
            self.send_framed(self.framing.frame_json(chunk));
        }
    }

    /// A client that is gone, or lags too far behind, is told nothing more.
    fn send_framed(&mut self, part: Bytes) {
        if !pass_on(&self.parts, part) {
            self.reply = None;
        }
    }

    /// Ends it with an error.
    pub fn fail(&mut self, refusal: Refusal) {
        if self.reply.take().is_some() {
            let _ = self.parts.try_send(Err(refusal));
        }
    }

    /// Whether it is to be given up: told, unheard, or out of time.
    pub fn is_over(&mut self, now: Instant, metrics: &Metrics) -> bool {
        if self.parts.is_closed() {
            self.reply = None;
        } else if now >= self.ends_by {
            self.fail(Refusal::timed_out());
        }
        let over = self.reply.is_none();
        if over && self.left > 0 {
            metrics.cancelled();
        }
        over
    }
}

/// Passes a part on; false where the client is gone or lags, which it is told in the last place that is left.
fn pass_on(parts: &mpsc::Sender<Result<Bytes, Refusal>>, part: Bytes) -> bool {
    let lags = parts.capacity() <= 1;
    let told = if lags { Err(Refusal::lags()) } else { Ok(part) };
    parts.try_send(told).is_ok() && !lags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_does_not_read_hears_why_it_hears_no_more() {
        let (parts, mut told) = mpsc::channel(3);
        let part = || Bytes::from_static(b"a");
        assert!(pass_on(&parts, part()) && pass_on(&parts, part()));
        assert!(!pass_on(&parts, part()) && !pass_on(&parts, part()));
        let heard: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
        assert_eq!(heard.len(), 3);
        assert!(heard[..2].iter().all(Result::is_ok));
        assert!(heard[2].as_ref().is_err_and(|refusal| refusal.error.message.contains("more slowly")));
        drop(told);
        assert!(!pass_on(&parts, part()), "a client that is gone");
    }
}
