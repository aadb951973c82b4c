//! Records of tables: `.csv` and `.tsv` files.

use serde_json::{Map, Value};

use crate::text::RowShape;
use crate::told::{Told, told};

/// Whether rows can be read by the names of these columns.
///
/// # Errors
/// The names say nothing.
pub(super) fn check_header(names: &[String]) -> Result<(), Told> {
    RowShape::find(|key| names.iter().any(|name| name == key), || listed(names)).map(drop)
}

/// The names of columns for a message.
pub(super) fn listed(names: &[String]) -> Told {
    told!("row.columns", "columns {names}", names = names.join(", "))
}

/// A record as the object that a JSON row would be.
///
/// # Errors
/// Fields that are more or fewer than the header names.
pub(super) fn object(text: &str, header: &[String], separator: u8) -> Result<Value, Told> {
    let fields = fields(text, separator)?;
    if fields.len() != header.len() {
        let (found, named) = (fields.len(), header.len());
        return Err(told!(
            "row.cells",
            "the header names {named} fields, and the row has {found}",
            named,
            found
        ));
    }
    let named = header.iter().cloned().zip(fields.into_iter().map(Value::String));
    Ok(Value::Object(named.collect::<Map<_, _>>()))
}

/// The names of the columns out of a table's first record, in lower case.
///
/// # Errors
/// What the record lacks, and a name that two columns have; those without one are read by nobody.
pub(super) fn header_names(header: &str, separator: u8) -> Result<Vec<String>, Told> {
    let names: Vec<String> =
        fields(header, separator)?.iter().map(|name| name.trim().to_lowercase()).collect();
    match name_of_two(&names) {
        Some(key) => Err(told!(
            "row.column_twice",
            "two columns are called {key}; keep one of them; found {found}",
            key,
            found = listed(&names)
        )),
        None => Ok(names),
    }
}

/// Whether a table's first record is a row of these columns, and does not name them: it has as many fields, and none of them
/// is the first column's name.
pub(super) fn is_row_of(record: &str, separator: u8, columns: &[&str]) -> bool {
    let Some(first) = columns.first() else { return false };
    let names_it = |fields: &[String]| fields.iter().any(|name| name.trim().to_lowercase() == *first);
    fields(record, separator).is_ok_and(|fields| fields.len() == columns.len() && !names_it(&fields))
}

/// Whether a column that was asked for is there.
///
/// # Errors
/// It is not, with those that are.
pub(super) fn check_column(names: &[String], column: &String) -> Result<(), Told> {
    match names.contains(column) {
        true => Ok(()),
        false => {
            Err(told!("row.missing", "{column} is missing; found {found}", column, found = listed(names)))
        }
    }
}

/// The name that two columns have; those without one are read by nobody.
pub(super) fn name_of_two(names: &[String]) -> Option<&String> {
    let is_twice = |&(at, name): &(usize, &String)| !name.is_empty() && names[..at].contains(name);
    names.iter().enumerate().find(is_twice).map(|(_, name)| name)
}

/// The fields of one record.
///
/// # Errors
/// What the record lacks.
pub(super) fn fields(record: &str, separator: u8) -> Result<Vec<String>, Told> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(record.as_bytes());
    match reader.records().next() {
        Some(Ok(record)) => Ok(record.iter().map(String::from).collect()),
        Some(Err(error)) => Err(told!("row.csv", "broken CSV: {error}", error)),
        None => Err(told!("row.empty", "the row is empty")),
    }
}

/// Whether a cell holds nothing but a number.
pub(super) fn is_number(cell: &Value) -> bool {
    cell.as_str().is_some_and(|text| text.trim().parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::file::DataFile;
    use crate::data::options::DataOptions;
    use crate::data::source::Memory;
    use crate::text::Row;

    fn open(name: &str, bytes: &str) -> crate::error::Result<DataFile> {
        DataFile::open(Arc::new(Memory::new(name, bytes)), Arc::new(DataOptions::default()))
    }

    #[test]
    fn columns_have_names_of_their_own() {
        let names = |header: &str| header_names(header, b',').map(|names| names.join("|"));
        assert_eq!(names("Text, ID ,\"a, b\""), Ok("text|id|a, b".to_string()));
        assert_eq!(names("text,,"), Ok("text||".to_string()), "columns without a name");
        assert_eq!(
            names("q,a,Q"),
            Err("two columns are called q; keep one of them; found columns q, a, q".into())
        );
        assert_eq!(header_names("a,b\tc", b'\t'), Ok(vec!["a,b".to_string(), "c".to_string()]));
    }

    #[test]
    fn numbers_in_columns_that_nothing_reads_are_named_as_in_json() {
        let unused = |name: &str, bytes: &str| {
            let file = open(name, bytes).unwrap();
            let mut scanner = file.scanner();
            assert!(scanner.advance().unwrap());
            file.parse(scanner.bytes()).unwrap().unused
        };
        let expected = ["weight", "keep"];
        assert_eq!(unused("a.csv", "id,q,a,weight,keep,n_tokens\n7,x,y,0,true,12\n"), expected);
        let row = "{\"id\": 7, \"q\": \"x\", \"a\": \"y\", \"weight\": 0, \"keep\": true, \"n_tokens\": 12}";
        assert_eq!(unused("a.jsonl", row), expected);
    }

    #[test]
    fn the_column_of_the_texts_may_have_another_name() {
        let open = |name: &str, bytes: &str, column: &str| {
            let options = DataOptions { text_column: Some(column.to_string()), ..DataOptions::default() };
            DataFile::open(Arc::new(Memory::new(name, bytes)), Arc::new(options))
        };
        for (name, bytes) in [
            ("a.csv", "ID,Body,Note\n7,once,\"upon\"\n"),
            ("a.jsonl", "{\"id\": 7, \"Body\": \"once\", \"text\": \"a time\"}"),
        ] {
            let file = open(name, bytes, "Body").unwrap();
            let mut scanner = file.scanner();
            assert!(scanner.advance().unwrap());
            let parsed = file.parse(scanner.bytes()).unwrap();
            assert_eq!(parsed.row, Row::Document("once".to_string()), "{name}");
            assert_eq!(parsed.unused, [if name == "a.csv" { "note" } else { "text" }]);
        }
        let missing = open("a.csv", "id,text\n1,b\n", "Body").err().unwrap().to_string();
        assert_eq!(
            missing,
            "a.csv:1: the first line must name the columns: body is missing; found columns id, text"
        );
    }
}
