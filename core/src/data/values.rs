//! Rows as they stand in their files, for readers that know the keys themselves: questions of an evaluation.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::accepted::read_accepted;
use super::file::DataFile;
use super::options::DataOptions;
use super::report::{DataReport, RowOrigin};
use super::source::Source;
use crate::error::Result;
use crate::told::{Told, told};

/// What a reader makes of a row: what it needs, and the keys that it has no use for.
pub type Taken<T> = (T, Vec<String>);

/// Reads the rows of all files as objects, in their order, up to the limit of the options. The names of a table's columns
/// are in lower case; a table whose first line has as many fields as `columns`, and does not name the first of them, has no
/// header, and these are its columns.
/// `accept` makes of each row what the caller needs and names the keys that it does not read, or says why the row cannot
/// be used.
///
/// # Errors
/// [`BadRows`](crate::error::Error::BadRows) with all bad rows counted and the first five named, unless they are skipped;
/// [`Data`](crate::error::Error::Data) for a file of plain text or without rows, and if no usable row is left;
/// [`Io`](crate::error::Error::Io) if reading fails.
pub fn read_values<T>(
    sources: Vec<Arc<dyn Source>>,
    options: DataOptions,
    columns: &[&str],
    mut accept: impl FnMut(&Map<String, Value>, &RowOrigin) -> Result<Taken<T>, Told>,
) -> Result<(Vec<(RowOrigin, T)>, DataReport)> {
    let options = Arc::new(options);
    let open = |source| DataFile::open_values(source, Arc::clone(&options), columns);
    let empty = |name: &str| told!("file.no_rows", "{name}: the file holds no rows", name);
    let read = |file: &DataFile,
                bytes: Result<&[u8], &Told>,
                origin: &RowOrigin,
                report: &mut DataReport|
     -> Result<T, Told> {
        let Value::Object(row) = file.value(bytes)? else {
            return Err(told!("row.no_keys_at_all", "the row is no object with keys"));
        };
        let (taken, unused) = accept(&row, origin)?;
        report.usable += 1;
        report.add_unused(&unused, origin);
        Ok(taken)
    };
    read_accepted(sources, &options, open, read, empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::Memory;

    const COLUMNS: [&str; 3] = ["question", "a", "answer"];

    /// Each row's origin and its value as text; rows that hold `bad` are refused.
    fn read(name: &str, text: &str, options: DataOptions) -> Result<(Vec<String>, DataReport)> {
        let source: Arc<dyn Source> = Arc::new(Memory::new(name, text));
        let accept = |row: &Map<String, Value>, _: &RowOrigin| {
            let text = Value::Object(row.clone()).to_string();
            if text.contains("bad") { Err("it is bad".into()) } else { Ok((text, vec!["note".to_string()])) }
        };
        let (rows, report) = read_values(vec![source], options, &COLUMNS, accept)?;
        Ok((rows.into_iter().map(|(origin, text)| format!("{origin} {text}")).collect(), report))
    }

    #[test]
    fn a_table_may_have_no_header() {
        let rows = |text: &str| read("a.csv", text, DataOptions::default()).unwrap().0;
        let named = rows("Question,A,Answer\nwhat,x,A\n");
        assert_eq!(named, [r#"a.csv:2 {"question":"what","a":"x","answer":"A"}"#]);
        let bare = rows("what,x,A\n\"who, then\",y,B\n");
        assert_eq!(bare[0], r#"a.csv:1 {"question":"what","a":"x","answer":"A"}"#);
        assert_eq!(bare[1], r#"a.csv:2 {"question":"who, then","a":"y","answer":"B"}"#);
        // An answer may be called as a column is; other tables have headers of their own.
        assert_eq!(rows("x,y,a\n")[0], r#"a.csv:1 {"question":"x","a":"y","answer":"a"}"#);
        assert_eq!(rows("goal,sol1\nx,y\n")[0], r#"a.csv:2 {"goal":"x","sol1":"y"}"#);
    }

    #[test]
    fn rows_stand_as_they_are_and_what_is_unused_is_counted() {
        let text = "{\"Q\": 1}\n[2]\n{\"x\": \"bad\"}\n";
        let refused = read("a.jsonl", text, DataOptions::default()).err().unwrap().to_string();
        assert!(refused.starts_with("2 of the data's rows cannot be used"), "{refused}");
        assert!(refused.contains("a.jsonl:2: the row is no object with keys"), "{refused}");
        let skipping = DataOptions { skip_bad_rows: true, ..DataOptions::default() };
        let (rows, report) = read("a.jsonl", text, skipping).unwrap();
        assert_eq!((rows, report.bad), (vec![r#"a.jsonl:1 {"Q":1}"#.to_string()], 2));
        assert_eq!(report.unused_keys["note"].rows, 1);
        let none = read("a.jsonl", "\n", DataOptions::default()).err().unwrap().to_string();
        assert_eq!(none, "a.jsonl: the file holds no rows");
        let plain = read("a.txt", "once", DataOptions::default()).err().unwrap().to_string();
        assert!(plain.starts_with("a.txt: plain text has no keys"), "{plain}");
    }
}
