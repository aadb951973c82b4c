//! The formats of data files, told by name and, where the name leaves a choice, by the first bytes.

use crate::told::{Told, told};

/// How a file is divided into rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON value a line.
    JsonLines,
    /// One JSON list whose elements are the rows.
    JsonArray,
    /// JSON values one after the other, each over several lines: a pretty-printed object.
    JsonValues,
    /// Comma-separated values with a header.
    Csv,
    /// The same, separated by tabs.
    Tsv,
    /// Plain text, divided at line ends.
    Text,
}

impl Format {
    /// What stands between the fields of a table's record; `None` for what is no table.
    pub fn separator(self) -> Option<u8> {
        match self {
            Self::Csv => Some(b','),
            Self::Tsv => Some(b'\t'),
            Self::JsonLines | Self::JsonArray | Self::JsonValues | Self::Text => None,
        }
    }
}

/// The endings of the files that are read, for messages.
pub const KNOWN_KINDS: &str =
    ".jsonl, .ndjson, .json, .csv, .tsv, .txt, .text and .md, also with .gz or .zst, and .parquet";

/// That a file's name tells no format.
pub(super) fn unknown_kind() -> Told {
    told!("file.kind", "unknown kind of file by its name; known are {known}", known = KNOWN_KINDS)
}

/// The format that a file's name tells, also of a compressed file's; `None` for a name that tells nothing.
///
/// A `.json` is a list by its name; [`format_of_json`] looks into it. A `.parquet` is read as the lines that
/// [`parquet_rows`](super::parquet_rows) makes of it.
pub fn format_of(name: &str) -> Option<Format> {
    match ending(logical_name(name)).as_str() {
        "jsonl" | "ndjson" | "parquet" => Some(Format::JsonLines),
        "json" => Some(Format::JsonArray),
        "csv" => Some(Format::Csv),
        "tsv" => Some(Format::Tsv),
        "txt" | "text" | "md" => Some(Format::Text),
        _ => None,
    }
}

/// The name of the file inside: `rows.jsonl.gz` holds `rows.jsonl`; other names stay as they are.
pub(super) fn logical_name(name: &str) -> &str {
    match ending(name).as_str() {
        "gz" => &name[..name.len() - ".gz".len()],
        "zst" => &name[..name.len() - ".zst".len()],
        _ => name,
    }
}

/// What stands after the name's last dot, in lower case.
pub(super) fn ending(name: &str) -> String {
    name.rsplit_once('.').map_or(String::new(), |(_, ending)| ending.to_ascii_lowercase())
}

/// Whether a name tells that the file is in the parquet format.
pub fn is_parquet(name: &str) -> bool {
    ending(name) == "parquet"
}

/// The format of a `.json` file that begins with these bytes.
///
/// After `[` it is a list. Otherwise it holds JSON lines, unless its first line cannot be a whole value because it
/// ends where something must follow.
pub fn format_of_json(head: &[u8]) -> Format {
    let head = head.trim_ascii_start();
    if head.first() == Some(&b'[') {
        return Format::JsonArray;
    }
    match head.split(|byte| *byte == b'\n').next().map(|line| line.trim_ascii_end().last()) {
        Some(Some(b'{' | b'[' | b',' | b':')) => Format::JsonValues,
        _ => Format::JsonLines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_format() {
        for (name, format) in [
            ("a.jsonl", Some(Format::JsonLines)),
            ("dir.csv/a.JSON", Some(Format::JsonArray)),
            ("a.csv.gz", Some(Format::Csv)),
            ("a.TSV", Some(Format::Tsv)),
            ("a.txt.zst", Some(Format::Text)),
            ("train-00000.Parquet", Some(Format::JsonLines)),
            ("a.bin", None),
            ("jsonl", None),
        ] {
            assert_eq!(format_of(name), format, "{name}");
        }
        assert_eq!(logical_name("x.jsonl.gz"), "x.jsonl");
        assert_eq!(logical_name("x.TXT.ZST"), "x.TXT");
        assert_eq!(logical_name("x.csv"), "x.csv");
    }

    #[test]
    fn every_known_kind_is_read() {
        let endings: Vec<&str> = KNOWN_KINDS.split(|c: char| !c.is_alphanumeric() && c != '.').collect();
        for ending in endings.into_iter().filter(|word| word.starts_with('.')) {
            let name = if [".gz", ".zst"].contains(&ending) {
                format!("a.csv{ending}")
            } else {
                format!("a{ending}")
            };
            assert!(format_of(&name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_json_file_tells_by_its_first_line() {
        for (head, format) in [
            (" \n[{\"text\": 1}]", Format::JsonArray),
            ("{\"text\": 1}\r\n{\"text\": 2}", Format::JsonLines),
            ("{\"text\": \"cut of", Format::JsonLines),
            ("{\r\n  \"text\": 1\n}", Format::JsonValues),
            ("{\"messages\": [\n", Format::JsonValues),
        ] {
            assert_eq!(format_of_json(head.as_bytes()), format, "{head}");
        }
    }
}
