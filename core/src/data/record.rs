//! Records of CSV files.

use serde_json::{Map, Value};

use crate::text::RowShape;

/// Whether rows can be read by the names of these columns.
///
/// # Errors
/// The names say nothing, or two columns have one that counts.
pub(super) fn check_header(names: &[String]) -> Result<(), String> {
    let shape = RowShape::find(|key| names.iter().any(|name| name == key), || columns(names))?;
    let is_twice = |key: &&str| names.iter().filter(|name| name == key).count() > 1;
    match shape.keys().into_iter().find(is_twice) {
        Some(key) => Err(format!("two columns are called {key}; keep one of them; found {}", columns(names))),
        None => Ok(()),
    }
}

/// The names of columns for a message.
pub(super) fn columns(names: &[String]) -> String {
    format!("columns {}", names.join(", "))
}

/// A record as the object that a JSON row would be.
///
/// # Errors
/// Fields that are more or fewer than the header names.
pub(super) fn object(text: &str, header: &[String]) -> Result<Value, String> {
    let fields = fields(text)?;
    if fields.len() != header.len() {
        let (found, named) = (fields.len(), header.len());
        return Err(format!("the header names {named} fields, and the row has {found}"));
    }
    let named = header.iter().cloned().zip(fields.into_iter().map(Value::String));
    Ok(Value::Object(named.collect::<Map<_, _>>()))
}

/// The fields of one record.
///
/// # Errors
/// What the record lacks.
pub(super) fn fields(record: &str) -> Result<Vec<String>, String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(record.as_bytes());
    match reader.records().next() {
        Some(Ok(record)) => Ok(record.iter().map(String::from).collect()),
        Some(Err(error)) => Err(format!("broken CSV: {error}")),
        None => Err("the row is empty".to_string()),
    }
}

/// Whether a cell holds nothing but a number.
pub(super) fn is_number(cell: &Value) -> bool {
    cell.as_str().is_some_and(|text| text.trim().parse::<f64>().is_ok())
}
