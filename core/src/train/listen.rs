//! What the listener wants: between steps, and between the tokens of answers that the model writes.

use std::pin::Pin;
use std::task::Poll;

use super::{Control, Listener, TrainEvent};
use crate::error::Result;
use crate::platform::{breathe, rest};

/// What became of some work.
pub(super) enum Heard<T> {
    Done(T),
    /// The listener wants something else than that it goes on.
    Wanted(Control),
}

/// Wants nothing: what several ranks do together is stopped between steps alone, where all of them hear of it.
pub(super) struct Deaf;

impl Listener for Deaf {
    fn on(&mut self, _event: TrainEvent<'_>) -> Result<()> {
        Ok(())
    }
}

/// Goes on with some work, and asks the listener wherever it waits or gives way.
pub(super) async fn heard<T>(
    work: &mut Pin<Box<dyn Future<Output = T> + '_>>,
    listener: &mut dyn Listener,
) -> Heard<T> {
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Heard::Done(done)),
        Poll::Pending => match listener.control() {
            Control::Continue => Poll::Pending,
            wanted => Poll::Ready(Heard::Wanted(wanted)),
        },
    })
    .await
}

/// Does some work to its end, unless the listener stops the run; what it wants instead of going on comes back, too. In a
/// pause the work rests.
pub(super) async fn unless_stopped<T>(
    mut work: Pin<Box<dyn Future<Output = T> + '_>>,
    listener: &mut dyn Listener,
) -> (Option<T>, Control) {
    let mut wanted = Control::Continue;
    loop {
        let mut asked = match heard(&mut work, listener).await {
            Heard::Done(done) => return (Some(done), wanted),
            Heard::Wanted(asked) => asked,
        };
        if asked == Control::Pause {
            (asked, _) = next_control(listener).await;
        }
        match asked {
            Control::Stop => return (None, Control::Stop),
            Control::Save => wanted = Control::Save,
            Control::Continue | Control::Pause => {}
        }
    }
}

/// What the listener wants, once it wants something else than a pause; also whether there was one.
pub(super) async fn next_control(listener: &mut dyn Listener) -> (Control, bool) {
    breathe().await;
    let mut paused = false;
    loop {
        match listener.control() {
            Control::Pause => paused = true,
            control => return (control, paused),
        }
        rest().await;
    }
}
