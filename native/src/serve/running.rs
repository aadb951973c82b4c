//! Requests that are being answered: how many, and whether more may come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// Shared by the gate, which counts, and the listener, which waits for the last one.
#[derive(Clone, Default)]
pub struct Running {
    count: Arc<AtomicUsize>,
    drains: Arc<AtomicBool>,
}

impl Running {
    /// From here on new requests are refused.
    pub fn drain(&self) {
        self.drains.store(true, Ordering::SeqCst);
    }

    /// Whether new requests are refused.
    pub fn drains(&self) -> bool {
        self.drains.load(Ordering::SeqCst)
    }

    /// Requests whose answer is not sent yet.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Counts one until the ticket is dropped.
    pub fn enter(&self) -> Entered {
        self.count.fetch_add(1, Ordering::SeqCst);
        Entered(Arc::clone(&self.count))
    }
}

/// A request that is being answered.
pub struct Entered(Arc<AtomicUsize>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Entered {
    /// A body whose request counts until the last of it is sent.
    pub fn over(self, body: Body) -> Body {
        Body::new(Counted { body, _entered: self })
    }
}

struct Counted {
    body: Body,
    _entered: Entered,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_until_its_body_is_gone() {
        let running = Running::default();
        let (first, second) = (running.enter(), running.enter());
        assert_eq!(running.count(), 2);
        let body = first.over(Body::from("x"));
        drop(second);
        assert_eq!((running.count(), running.drains()), (1, false));
        running.drain();
        drop(body);
        assert_eq!((running.count(), running.drains()), (0, true));
    }
}
