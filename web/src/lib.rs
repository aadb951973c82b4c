//! Kindling in a browser tab: one static page, nothing leaves the machine.
//!
//! `bin/app` opens the page: `ui` fills `index.html` in the reader's `language`. What touches no page compiles on the host
//! too. Nothing here names the library: what needs it runs in the worker, `bin/engine`, and is asked for by `messages`.

pub mod cells;
pub mod csv;

/// Core's own file: what differs is marked in the page as in a report.
#[path = "../../core/src/text/difference.rs"]
pub mod difference;
pub mod evaluation;
pub mod experts;
pub mod format;

/// Core's own file: a hole of a text is the same to the page as to the engine.
#[path = "../../core/src/sample/hole_text.rs"]
pub mod holes;

pub mod language;
pub mod lesson;
pub mod limits;
pub mod messages;
pub mod names;
pub mod sample;
pub mod saves;
pub mod scale;
pub mod served;
pub mod settings;
pub mod students;
pub mod trained;

/// Core's own file: what is thought is folded in the page as in the terminal.
#[path = "../../core/src/text/fold.rs"]
pub mod think;
pub mod typed;
pub mod unmask;

#[cfg(target_family = "wasm")]
pub mod ui;
