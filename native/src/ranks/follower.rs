//! A rank beside the first: it trains, and tells and stores nothing.

use std::sync::Arc;

use kindling::error::Result;
use kindling::ranks::Ranks;
use kindling::train::{Control, Listener, Outcome, Run, TrainEvent, train};

use crate::failure::Failure;
use crate::interrupt;

/// Wants to stop where its process is asked to.
struct Follower;

impl Listener for Follower {
    fn on(&mut self, _event: TrainEvent<'_>) -> Result<()> {
        Ok(())
    }

    fn control(&mut self) -> Control {
        if interrupt::asked() { Control::Stop } else { Control::Continue }
    }
}

/// Trains with the other ranks.
///
/// # Errors
/// Whatever ends the training.
pub fn follow(mut run: Run, ranks: &Arc<dyn Ranks>, stop_after: Option<u64>) -> Result<Outcome, Failure> {
    interrupt::listen();
    (run.ranks, run.stop_after) = (Some(Arc::clone(ranks)), stop_after);
    Ok(pollster::block_on(train(run, &mut Follower))?)
}
