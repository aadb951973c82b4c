//! Kindling in a browser tab: one static page, nothing leaves the machine.
//!
//! `bin/app` opens the page; `page` fills `index.html` in the reader's `language` with what `gpu` finds.

pub mod language;

#[cfg(target_family = "wasm")]
pub mod gpu;
#[cfg(target_family = "wasm")]
pub mod page;
