//! The first line of files that hold what a second model said of a run's examples: how many, and what that belongs to.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::told::{Told, told};

/// The only version so far.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<T> {
    version: u32,
    examples: usize,
    ties: T,
}

/// The line for so many examples that belong to `ties`; `damaged` makes an error of what is wrong.
///
/// # Errors
/// Ties that cannot be written.
pub(super) fn write_header<T: Serialize>(
    examples: usize,
    ties: &T,
    damaged: fn(&Told) -> Error,
) -> Result<Vec<u8>> {
    let header = Header { version: VERSION, examples, ties };
    let mut bytes = serde_json::to_vec(&header).map_err(|e| damaged(&e.to_string().into()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// How many examples there are, what they belong to, and the bytes behind the line.
///
/// # Errors
/// No such line, one that is damaged, or of another version.
pub(super) fn read_header<T: DeserializeOwned>(
    bytes: &[u8],
    damaged: fn(&Told) -> Error,
) -> Result<(usize, T, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| damaged(&told!("reference.no_header", "its first line is missing")))?;
    let Header { version, examples, ties } =
        serde_json::from_slice(&bytes[..end]).map_err(|e| damaged(&e.to_string().into()))?;
    match version {
        VERSION => Ok((examples, ties, &bytes[end + 1..])),
        _ => Err(damaged(&told!("reference.version", "its version is {version}, known is 1", version))),
    }
}
