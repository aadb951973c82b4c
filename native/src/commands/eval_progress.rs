//! What a person sees of an evaluation on its way, who ends it by Ctrl-C.

use std::cell::RefCell;

use kindling::data::DataReport;
use kindling::evaluate::EvalListener;
use kindling::told::Told;

use super::meter::Meter;
use super::train;
use crate::interrupt;
use crate::output::{Output, grouped};

/// A terminal, or whatever stands in its place.
pub struct EvalProgress {
    output: Output,
    /// While something is asked.
    meter: RefCell<Option<Meter>>,
}

impl EvalProgress {
    /// Which tells what it hears here.
    pub fn new(output: Output) -> Self {
        Self { output, meter: RefCell::default() }
    }
}

impl EvalListener for EvalProgress {
    fn begins(&self, total: usize) {
        self.meter.replace(Some(Meter::new(total as u64, self.output)));
    }

    fn advances(&self, done: usize, tokens: usize) {
        if let Some(meter) = self.meter.borrow_mut().as_mut() {
            meter.advance(done as u64, tokens as u64);
        }
    }

    fn ends(&self) {
        if let Some(meter) = self.meter.take() {
            meter.finish();
        }
    }

    fn is_stopped(&self) -> bool {
        interrupt::asked()
    }

    fn has_read(&self, report: &DataReport) {
        train::tell(report, self.output);
    }

    fn tell(&self, remark: Told) {
        self.output.say(&remark);
    }

    fn warn(&self, remark: Told) {
        self.output.warn(&remark);
    }

    fn count(&self, number: usize) -> String {
        grouped(number as u64)
    }
}
