//! From data files to rows, and from rows to batches.
//!
//! A source gives bytes; a scanner finds rows in them; a data file knows what a row's bytes mean; the judge decides
//! which rows are used; the dataset gives them by number, and a permutation gives the order.

mod accepted;
mod blocks;
mod boundary;
mod compressed;
mod dataset;
mod dedup;
mod draws;
// Natively only: its tables of characters are large, and a page reads UTF-8.
#[cfg(not(target_family = "wasm"))]
mod encoding;
mod file;
mod fingerprint;
mod format;
mod index;
mod joined;
mod judge;
#[cfg(test)]
mod judge_tests;
mod kind;
mod language;
mod look;
mod mix;
mod not_utf8;
mod options;
mod order;
mod origin;
mod overlap;
mod pairs;
// Natively only: a panic of the parquet crate, which is an error here, would end a page's worker.
#[cfg(not(target_family = "wasm"))]
mod parquet;
mod paste;
mod prompts;
mod record;
mod report;
mod rows;
mod scan;
mod source;
mod split;
mod token_data;
mod tokens;
mod values;
mod watch;

pub(crate) use kind::not_of_kind;
pub(crate) use mix::percent;

pub use compressed::decompressor;
pub use dataset::{DataKind, Dataset, IndexUse};
pub use dedup::{BANDS, Signature, fnv1a};
pub use draws::Draws;
#[cfg(not(target_family = "wasm"))]
pub use encoding::{TextEncoding, Utf8Reader};
pub use format::{Format, KNOWN_KINDS, format_of, is_parquet};
pub use language::TextLanguage;
pub use mix::{Mix, MixSource, SourceShare};
pub use options::{DataOptions, Dedup, HeldOutShare, Turns};
pub use order::{Permutation, RowOrder};
pub use origin::{LeftOut, RowOrigin, Why};
pub use pairs::{PairColumns, PairCounts, PairTable};
#[cfg(not(target_family = "wasm"))]
pub use parquet::parquet_rows;
pub use paste::{
    PasteFault, PasteForm, PasteProblem, Pasted, PastedRow, paste, spreadsheet_choices, spreadsheet_pairs,
};
pub use prompts::read_prompts;
pub use report::{DataReport, NAMED_KEYS, WarningCount};
pub use rows::RawRow;
pub use source::{Memory, Source};
pub use split::{Split, split};
pub use token_data::TokenData;
pub use tokens::{TokenExample, TokenRow, TokenRows, TokenTies};
pub use values::{Taken, read_values};
pub use watch::{KeptSignature, Unwatched, Watch};
