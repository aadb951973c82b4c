//! An answer as it comes: server-sent events, or a line of JSON each, with a comment where nothing comes for a while.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, Sleep, sleep};

use super::limits::KEEP_ALIVE;
use super::refusal::Refusal;

/// How the parts of an answer are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `data: …` and an empty line, <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
    Events,
    /// One line each, as Ollama has it.
    Lines,
}

impl Framing {
    /// One part as it goes over the wire; JSON has no line breaks of its own.
    pub fn frame(self, part: &str) -> Bytes {
        match self {
            Self::Events => format!("data: {part}\n\n").into(),
            Self::Lines => format!("{part}\n").into(),
        }
    }

    /// The same of what becomes JSON.
    pub fn frame_json(self, part: &impl Serialize) -> Bytes {
        self.frame(&serde_json::to_string(part).unwrap_or_default())
    }

    /// What ends a stream, where the protocol has a word for it.
    pub fn end(self) -> Option<Bytes> {
        (self == Self::Events).then(|| self.frame("[DONE]"))
    }

    /// How an error is told in the middle of a stream.
    fn error(self, refusal: &Refusal) -> Bytes {
        match self {
            Self::Events => self.frame_json(&refusal.error),
            Self::Lines => self.frame_json(&refusal.error.ollama()),
        }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Events => "text/event-stream; charset=utf-8",
            Self::Lines => "application/x-ndjson",
        })
    }
}

/// The answer that sends what comes through `parts`, framed already, until the sender is gone.
pub fn response(parts: Receiver<Result<Bytes, Refusal>>, framing: Framing) -> Response {
    let quiet = Box::pin(sleep(KEEP_ALIVE));
    let mut response = Response::new(Body::new(Streamed { parts, framing, quiet }));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, framing.content_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx holds an answer back else.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Dropped when the client is gone, and with it the receiver, by which the engine knows.
struct Streamed {
    parts: Receiver<Result<Bytes, Refusal>>,
    framing: Framing,
    quiet: Pin<Box<Sleep>>,
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.parts.poll_recv(context) {
            Poll::Ready(part) => {
                self.quiet.as_mut().reset(Instant::now() + KEEP_ALIVE);
                let framing = self.framing;
                let part = part.map(|part| part.unwrap_or_else(|refusal| framing.error(&refusal)));
                Poll::Ready(part.map(|part| Ok(Frame::data(part))))
            }
            // Lines of JSON have no comments.
            Poll::Pending
                if self.framing == Framing::Events && self.quiet.as_mut().poll(context).is_ready() =>
            {
                self.quiet.as_mut().reset(Instant::now() + KEEP_ALIVE);
                let comment = Bytes::from_static(b": still at work\n\n");
                Poll::Ready(Some(Ok(Frame::data(comment))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_framed_as_each_protocol_has_it() {
        assert_eq!(Framing::Events.frame("{}"), "data: {}\n\n");
        assert_eq!(Framing::Lines.frame("{}"), "{}\n");
        assert_eq!((Framing::Events.end(), Framing::Lines.end()), (Some("data: [DONE]\n\n".into()), None));
    }
}
