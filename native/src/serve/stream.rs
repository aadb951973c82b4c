//! An answer as it comes: server-sent events, or a line of JSON each, with a comment where nothing comes for a while.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

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
    let mut response = Response::new(Body::new(Streamed::new(parts, framing, KEEP_ALIVE)));
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
    /// How long nothing may come.
    every: Duration,
    quiet: Pin<Box<Sleep>>,
}

impl Streamed {
    fn new(parts: Receiver<Result<Bytes, Refusal>>, framing: Framing, every: Duration) -> Self {
        Self { parts, framing, every, quiet: Box::pin(sleep(every)) }
    }

    fn heard(&mut self) {
        let next = Instant::now() + self.every;
        self.quiet.as_mut().reset(next);
    }
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
                self.heard();
                let framing = self.framing;
                let part = part.map(|part| part.unwrap_or_else(|refusal| framing.error(&refusal)));
                Poll::Ready(part.map(|part| Ok(Frame::data(part))))
            }
            // Lines of JSON have no comments.
            Poll::Pending
                if self.framing == Framing::Events && self.quiet.as_mut().poll(context).is_ready() =>
            {
                self.heard();
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

    #[test]
    fn a_quiet_stream_gets_comments_and_an_error_is_told_in_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (sender, parts) = tokio::sync::mpsc::channel(4);
            let mut stream = Streamed::new(parts, Framing::Events, Duration::from_millis(20));
            let mut next = async || {
                let frame = std::future::poll_fn(|context| Pin::new(&mut stream).poll_frame(context)).await;
                frame.map(|frame| frame.unwrap().into_data().unwrap())
            };
            assert_eq!(next().await.unwrap(), ": still at work\n\n");
            sender.send(Ok(Framing::Events.frame("{}"))).await.unwrap();
            assert_eq!(next().await.unwrap(), "data: {}\n\n");
            sender.send(Err(Refusal::timed_out())).await.unwrap();
            let told = next().await.unwrap();
            assert!(told.starts_with(b"data: {\"error\":{"), "{told:?}");
            drop(sender);
            assert_eq!(next().await, None);
        });
    }
}
