//! The walk of a reader over rows that it makes something of: one file after the other, up to a limit.

use std::sync::Arc;

use super::file::DataFile;
use super::options::DataOptions;
use super::report::{DataReport, RowOrigin};
use super::source::Source;
use crate::error::{Error, Result};
use crate::told::Told;

/// What is made of the rows, each with its place, and their counts.
pub(super) type Accepted<T> = (Vec<(RowOrigin, T)>, DataReport);

/// Reads the rows of all files, in their order, up to the limit of the options. `open` opens a file, `read` makes of a row
/// what its reader needs and counts it as usable, or says why it cannot be used; `empty` says of a file, by its name, that
/// it has no rows.
///
/// # Errors
/// [`Error::BadRows`] with all bad rows counted and the first five named, unless they are skipped; [`Error::Data`] for a
/// file without rows, and if no usable row is left; what `open` says; [`Error::Io`] if reading fails.
pub(super) fn read_accepted<T>(
    sources: Vec<Arc<dyn Source>>,
    options: &Arc<DataOptions>,
    open: impl Fn(Arc<dyn Source>) -> Result<DataFile>,
    mut read: impl FnMut(&DataFile, Result<&[u8], &Told>, &RowOrigin, &mut DataReport) -> Result<T, Told>,
    empty: impl Fn(&str) -> Told,
) -> Result<Accepted<T>> {
    options.check()?;
    let (mut accepted, mut report) = (Vec::new(), DataReport::default());
    let is_full = |report: &DataReport| options.limit.is_some_and(|limit| report.usable >= limit);
    for source in sources {
        if is_full(&report) {
            break;
        }
        let file = open(source)?;
        let before = report.rows;
        let mut scanner = file.scanner();
        while !is_full(&report) && scanner.advance()? {
            report.rows += 1;
            let origin = file.origin(&scanner);
            match read(&file, scanner.bytes(), &origin, &mut report) {
                Ok(made) => accepted.push((origin, made)),
                Err(reason) => report.add_bad(&origin, &reason),
            }
        }
        if report.rows == before {
            return Err(Error::Data(empty(file.name())));
        }
    }
    report.check(options.skip_bad_rows)?;
    Ok((accepted, report))
}
