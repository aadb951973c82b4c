//! Who hears of an evaluation in tests.

use std::cell::{Cell, RefCell};

use super::EvalListener;
use crate::data::DataReport;
use crate::told::Told;

/// Keeps what it hears, and wants no more after so many things that were done.
#[derive(Default)]
pub struct Heard {
    /// Things that were done after which no more is wanted; 0 wants all.
    most: usize,
    told: RefCell<Vec<Told>>,
    read: Cell<u64>,
    /// How many were to come, and how many were done.
    pub done: Cell<[usize; 2]>,
}

impl Heard {
    /// Wants no more after so many things that were done.
    pub fn until(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// The codes of what was told, in order.
    pub fn codes(&self) -> Vec<&'static str> {
        self.told.borrow().iter().map(Told::code).collect()
    }

    /// Rows that were read for training's kinds of rows.
    pub fn read(&self) -> u64 {
        self.read.get()
    }
}

impl EvalListener for Heard {
    fn begins(&self, total: usize) {
        let [all, done] = self.done.get();
        self.done.set([all + total, done]);
    }

    fn advances(&self, done: usize, _tokens: usize) {
        let [all, before] = self.done.get();
        self.done.set([all, before + done]);
    }

    fn ends(&self) {}

    fn is_stopped(&self) -> bool {
        self.most > 0 && self.done.get()[1] >= self.most
    }

    fn has_read(&self, report: &DataReport) {
        self.read.set(self.read.get() + report.usable);
    }

    fn tell(&self, remark: Told) {
        self.told.borrow_mut().push(remark);
    }

    fn warn(&self, remark: Told) {
        self.tell(remark);
    }
}
