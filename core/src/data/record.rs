//! Records of CSV files.

use serde_json::{Map, Value};

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
