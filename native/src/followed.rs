//! Who follows the runs of a thread beside its terminal and its log: the page that `serve --train` trains for.

use std::cell::RefCell;
use std::rc::Rc;

use kindling::data::DataReport;
use kindling::told::Told;
use kindling::train::{Control, HeldOut, Outcome, Plan, StepLog};

use crate::tracking::Sample;

/// What happens to a run.
pub enum News<'a> {
    /// It stands, and begins.
    Stands {
        /// What it will need.
        plan: &'a Plan,
        /// Rows that it trains on.
        rows: u64,
        /// What is odd about its data.
        report: &'a DataReport,
    },
    /// Steps were taken.
    Step(&'a StepLog),
    /// The held-out loss was measured.
    Eval {
        /// After this step.
        step: u64,
        /// The measurement.
        held_out: &'a HeldOut,
        /// Whether it is the best so far.
        best: bool,
    },
    /// The model wrote something on the way.
    Samples(u64, &'a [Sample]),
    /// What it is after this step is on the disk.
    Saved(u64),
    /// Something to know.
    Warning(&'a Told),
    /// It is over.
    Ended(&'a Outcome),
}

/// Hears of runs, and may want something of them.
pub trait Follower {
    /// Takes news.
    fn hear(&self, news: News<'_>);

    /// Asked after every step, and again and again during a pause.
    fn wants(&self) -> Control;
}

thread_local! {
    static FOLLOWER: RefCell<Option<Rc<dyn Follower>>> = const { RefCell::new(None) };
}

/// Takes the follower away, also behind a panic.
struct Followed;

impl Drop for Followed {
    fn drop(&mut self) {
        FOLLOWER.take();
    }
}

/// Does some work whose runs are followed.
pub fn by<T>(follower: Rc<dyn Follower>, work: impl FnOnce() -> T) -> T {
    FOLLOWER.replace(Some(follower));
    let _followed = Followed;
    work()
}

/// Tells whoever follows this thread.
pub fn tell(news: News<'_>) {
    if let Some(follower) = FOLLOWER.with_borrow(Clone::clone) {
        follower.hear(news);
    }
}

/// What whoever follows this thread wants of its run.
pub fn wants() -> Control {
    FOLLOWER.with_borrow(Clone::clone).map_or(Control::Continue, |follower| follower.wants())
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[derive(Default)]
    struct Counts(RefCell<Vec<u64>>);

    impl Follower for Counts {
        fn hear(&self, news: News<'_>) {
            if let News::Saved(step) = news {
                self.0.borrow_mut().push(step);
            }
        }

        fn wants(&self) -> Control {
            Control::Pause
        }
    }

    #[test]
    fn a_follower_hears_its_own_thread_until_the_work_ends() {
        let counts = Rc::<Counts>::default();
        tell(News::Saved(1));
        let wanted = by(Rc::<Counts>::clone(&counts), || {
            tell(News::Saved(2));
            std::thread::spawn(|| tell(News::Saved(3))).join().unwrap();
            wants()
        });
        let broken =
            catch_unwind(AssertUnwindSafe(|| by::<()>(Rc::<Counts>::clone(&counts), || panic!("x"))));
        tell(News::Saved(4));
        assert_eq!((wanted, wants(), broken.is_err()), (Control::Pause, Control::Continue, true));
        assert_eq!(*counts.0.borrow(), [2]);
    }
}
