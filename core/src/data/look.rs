//! Looking at rows on all threads: what each means and is known by, before it is decided in their order which are used.

use super::dedup::{Marks, signature};
use super::file::DataFile;
use super::fingerprint::meaning;
use super::language::{Found, language};
use super::options::{DataOptions, Dedup};
use super::origin::Why;
use super::scan::{RowStart, Scanner};
use super::watch::{KeptSignature, Watch};
use crate::error::Result;
use crate::platform::{map_in_threads, threads};
use crate::text::{Parsed, Row};
use crate::told::Told;

/// Rows that are looked at together, at most, and about as many bytes of them.
const MOST_ROWS: u64 = 4096;
const MOST_BYTES: usize = 4 << 20;
/// Below so many bytes, threads cost more than they bring.
const WORTH_THREADS: usize = 64 << 10;

/// A row as its file has it.
pub(super) struct FoundRow {
    place: RowStart,
    bytes: Result<Vec<u8>, Told>,
    kept: Option<KeptSignature>,
}

/// A row that was looked at.
pub(super) struct SeenRow {
    pub(super) place: RowStart,
    /// Its bytes; none where they cannot be had.
    pub(super) bytes: Vec<u8>,
    /// What it means, or why it cannot be used.
    pub(super) parsed: Result<Parsed, Told>,
    /// Why it is left out whatever the other rows are.
    pub(super) left: Option<Why>,
    /// What it is known by, where rows are compared.
    pub(super) marks: Option<Marks>,
    /// Whether its signature was kept before.
    pub(super) was_kept: bool,
}

/// The next rows of a scanner, at most `most`, of which the first has the number `first` among all; and whether more follow.
pub(super) fn found(
    scanner: &mut Scanner,
    most: u64,
    first: u64,
    watch: &mut dyn Watch,
) -> (Vec<FoundRow>, Result<bool>) {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for number in first..first.saturating_add(most.min(MOST_ROWS)) {
        if bytes >= MOST_BYTES {
            break;
        }
        match scanner.advance() {
            Ok(true) => {}
            end => return (rows, end),
        }
        let own = scanner.bytes().map(<[u8]>::to_vec).map_err(Told::clone);
        bytes += own.as_ref().map_or(0, Vec::len);
        rows.push(FoundRow { place: scanner.place(), bytes: own, kept: watch.kept(number) });
    }
    (rows, Ok(true))
}

/// What the rows of a file are, in their order.
pub(super) fn look(file: &DataFile, options: &DataOptions, rows: Vec<FoundRow>) -> Vec<SeenRow> {
    let bytes: usize = rows.iter().map(|row| row.bytes.as_ref().map_or(0, Vec::len)).sum();
    let parts = if bytes < WORTH_THREADS { 1 } else { threads().clamp(1, rows.len().max(1)) };
    let length = rows.len().div_ceil(parts);
    let mut rows = rows.into_iter();
    let parts = (0..parts).map(|_| rows.by_ref().take(length).collect::<Vec<_>>()).collect();
    let look = |part: Vec<FoundRow>| part.into_iter().map(|row| seen(file, options, row)).collect::<Vec<_>>();
    map_in_threads(parts, look).into_iter().flatten().collect()
}

fn seen(file: &DataFile, options: &DataOptions, row: FoundRow) -> SeenRow {
    let FoundRow { place, bytes, kept } = row;
    let parsed = file.parse(bytes.as_deref());
    let (mut left, mut marks, mut was_kept) = (None, None, false);
    if let Ok(Parsed { row, .. }) = &parsed {
        left = filtered(row, options);
        let compared =
            options.dedup != Dedup::None || options.held_out.is_some_and(|share| share.fraction > 0.0);
        if left.is_none() && compared {
            let meaning = meaning(row);
            let known = kept.filter(|kept| kept.meaning == meaning as u64);
            was_kept = known.is_some();
            let signature = (options.dedup == Dedup::Minhash)
                .then(|| known.map_or_else(|| signature(row), |known| known.bands));
            marks = Some(Marks { meaning, signature });
        }
    }
    SeenRow { place, bytes: bytes.unwrap_or_default(), parsed, left, marks, was_kept }
}

/// Why a good row is left out by its text alone.
fn filtered(row: &Row, options: &DataOptions) -> Option<Why> {
    let (min, max) = (options.min_chars, options.max_chars);
    if min.is_some() || max.is_some() {
        let chars = row.chars();
        if min.is_some_and(|min| chars < min) {
            return Some(Why::TooShort);
        }
        if max.is_some_and(|max| chars > max) {
            return Some(Why::TooLong);
        }
    }
    if options.languages.is_empty() {
        return None;
    }
    match language(row) {
        Found::Language(language) if options.languages.contains(&language) => None,
        found => Some(Why::Language(found.name())),
    }
}
