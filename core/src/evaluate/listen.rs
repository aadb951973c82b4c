//! Who hears of an evaluation on its way, and may end it.

use crate::data::DataReport;
use crate::told::Told;

/// A terminal, a page, or nobody.
pub trait EvalListener {
    /// So many questions, texts or answers come now.
    fn begins(&self, total: usize);

    /// So many more of them are done, which took so many tokens.
    fn advances(&self, done: usize, tokens: usize);

    /// They are done, or were ended.
    fn ends(&self);

    /// Whether somebody wants no more of it.
    fn is_stopped(&self) -> bool;

    /// What was read, of tasks whose rows training reads, too.
    fn has_read(&self, report: &DataReport);

    /// Something to know.
    fn tell(&self, remark: Told);

    /// Something that a person should know whatever else they hear.
    fn warn(&self, remark: Told);

    /// A count as it is written.
    fn count(&self, number: usize) -> String {
        number.to_string()
    }
}
