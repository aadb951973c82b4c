//! Rows as they stand in their files, for readers that know the keys themselves: questions of an evaluation.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::file::DataFile;
use super::options::DataOptions;
use super::report::{DataReport, NAMED_KEYS, RowOrigin, WarningCount};
use super::source::Source;
use crate::error::{Error, Result};
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
/// [`Error::BadRows`] with all bad rows counted and the first five named, unless they are skipped; [`Error::Data`] for
/// a file of plain text or without rows, and if no usable row is left; [`Error::Io`] if reading fails.
pub fn read_values<T>(
    sources: Vec<Arc<dyn Source>>,
    options: DataOptions,
    columns: &[&str],
    mut accept: impl FnMut(&Map<String, Value>, &RowOrigin) -> Result<Taken<T>, Told>,
) -> Result<(Vec<(RowOrigin, T)>, DataReport)> {
    options.check()?;
    let options = Arc::new(options);
    let (mut accepted, mut report) = (Vec::new(), DataReport::default());
    let is_full = |report: &DataReport| options.limit.is_some_and(|limit| report.usable >= limit);
    for source in sources {
        if is_full(&report) {
            break;
        }
        let file = DataFile::open_values(source, Arc::clone(&options), columns)?;
        let before = report.rows;
        let mut scanner = file.scanner();
        while !is_full(&report) && scanner.advance()? {
            report.rows += 1;
            let origin = file.origin(&scanner);
            let read = match file.value(scanner.bytes()) {
                Ok(Value::Object(row)) => accept(&row, &origin),
                Ok(_) => Err(told!("row.no_keys_at_all", "the row is no object with keys")),
                Err(reason) => Err(reason),
            };
            match read {
                Ok((taken, unused)) => {
                    report.usable += 1;
                    count_unused(&mut report, unused, &origin);
                    accepted.push((origin, taken));
                }
                Err(reason) => report.add_bad(&origin, &reason),
            }
        }
        if report.rows == before {
            return Err(Error::Data(told!(
                "file.no_rows",
                "{name}: the file holds no rows",
                name = file.name()
            )));
        }
    }
    report.check(options.skip_bad_rows)?;
    Ok((accepted, report))
}

fn count_unused(report: &mut DataReport, unused: Vec<String>, origin: &RowOrigin) {
    let mut more = false;
    for key in unused {
        let room = report.unused_keys.len() < NAMED_KEYS;
        match report.unused_keys.get_mut(&key) {
            Some(count) => count.rows += 1,
            None if room => {
                report.unused_keys.insert(key, WarningCount { rows: 1, first: origin.to_string() });
            }
            None => more = true,
        }
    }
    report.more_unused += u64::from(more);
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
