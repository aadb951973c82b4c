//! A row of a parquet file as a JSON object.

use parquet::record::{Field, Row};
use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};

/// Writes a row and a line end.
///
/// # Errors
/// Names the column whose bytes are no text.
pub(super) fn write(row: &Row, text: &mut Vec<u8>) -> Result<(), String> {
    serde_json::to_writer(&mut *text, &RowObject { row, column: None }).map_err(|error| error.to_string())?;
    text.push(b'\n');
    Ok(())
}

/// A row, or the fields of a nested one.
struct RowObject<'a> {
    row: &'a Row,
    /// The row's column that it is nested in.
    column: Option<&'a str>,
}

/// A value in a column of the row.
struct ColumnValue<'a> {
    field: &'a Field,
    column: &'a str,
}

impl Serialize for RowObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Arrow gives every struct of a column all keys that any of them has: null stands for a key that is absent.
        let is_absent = |field: &Field| self.column.is_some() && matches!(field, Field::Null);
        let mut map = serializer.serialize_map(None)?;
        for (name, field) in self.row.get_column_iter().filter(|(_, field)| !is_absent(field)) {
            map.serialize_entry(name, &ColumnValue { field, column: self.column.unwrap_or(name) })?;
        }
        map.end()
    }
}

impl Serialize for ColumnValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { field, column } = *self;
        match field {
            Field::Null => serializer.serialize_unit(),
            Field::Bool(value) => serializer.serialize_bool(*value),
            Field::Byte(value) => serializer.serialize_i8(*value),
            Field::Short(value) => serializer.serialize_i16(*value),
            Field::Int(value) => serializer.serialize_i32(*value),
            Field::Long(value) => serializer.serialize_i64(*value),
            Field::UByte(value) => serializer.serialize_u8(*value),
            Field::UShort(value) => serializer.serialize_u16(*value),
            Field::UInt(value) => serializer.serialize_u32(*value),
            Field::ULong(value) => serializer.serialize_u64(*value),
            Field::Float16(value) => serializer.serialize_f32(value.to_f32()),
            Field::Float(value) => serializer.serialize_f32(*value),
            Field::Double(value) => serializer.serialize_f64(*value),
            Field::Str(text) => serializer.serialize_str(text),
            Field::Bytes(bytes) => match bytes.as_utf8() {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => Err(S::Error::custom(format!("column {column} holds bytes that are no text"))),
            },
            Field::Decimal(_)
            | Field::Date(_)
            | Field::TimeMillis(_)
            | Field::TimeMicros(_)
            | Field::TimestampMillis(_)
            | Field::TimestampMicros(_) => serializer.collect_str(field),
            Field::Group(row) => RowObject { row, column: Some(column) }.serialize(serializer),
            Field::ListInternal(list) => {
                serializer.collect_seq(list.elements().iter().map(|field| ColumnValue { field, column }))
            }
            Field::MapInternal(map) => serializer.collect_map(map.entries().iter().map(|(key, field)| {
                let key = match key {
                    Field::Str(text) => text.clone(),
                    other => other.to_string(),
                };
                (key, ColumnValue { field, column })
            })),
        }
    }
}
