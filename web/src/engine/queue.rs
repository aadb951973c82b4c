//! Choices of what answers, one after the other: an adapter is read from the disk before it acts.

use std::cell::Cell;

use kindling::platform::turn;

/// Choices in the order in which they were asked for.
#[derive(Default)]
pub struct Queue {
    asked: Cell<u64>,
    done: Cell<u64>,
}

/// A choice that is being made; the next one begins once this is dropped.
pub struct Place<'a>(&'a Queue);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.done.set(self.0.done.get() + 1);
    }
}

impl Queue {
    /// Makes a choice once all that were asked for before it are made.
    pub async fn enter(&self) -> Place<'_> {
        let before = self.asked.get();
        self.asked.set(before + 1);
        self.wait(before).await;
        Place(self)
    }

    /// Waits until all that was chosen by now answers.
    pub async fn settle(&self) {
        self.wait(self.asked.get()).await;
    }

    async fn wait(&self, before: u64) {
        while self.done.get() < before {
            turn().await;
        }
    }
}
