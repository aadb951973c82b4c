//! Constrained decoding: what may come next at all.

use crate::error::Result;

/// Rules out tokens before one is drawn.
pub trait Constraint: Send {
    /// Sets the logits of tokens that may not come next to `-inf`; `logits` is `[vocab]`.
    ///
    /// # Errors
    /// A constraint that cannot go on; its request fails, and no other.
    fn rule_out(&mut self, logits: &mut [f32]) -> Result<()>;

    /// A token was drawn, and it is not one that ends the text. Returns whether the text is complete with it.
    ///
    /// # Errors
    /// As [`Constraint::rule_out`].
    fn take(&mut self, id: u32) -> Result<bool>;
}
