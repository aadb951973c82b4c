//! Metadata of a GGUF file: names and typed values.

use std::collections::BTreeMap;

use super::cursor::{Cursor, damaged};
use crate::error::{Error, Result};
use crate::told::told;

/// Arrays in arrays; known files have none.
const DEEPEST: usize = 4;

/// One value, in the type that the file gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataValue {
    /// Type 0.
    U8(u8),
    /// Type 1.
    I8(i8),
    /// Type 2.
    U16(u16),
    /// Type 3.
    I16(i16),
    /// Type 4.
    U32(u32),
    /// Type 5.
    I32(i32),
    /// Type 6.
    F32(f32),
    /// Type 7.
    Bool(bool),
    /// Type 8.
    Text(String),
    /// Type 9.
    Array(Array),
    /// Type 10.
    U64(u64),
    /// Type 11.
    I64(i64),
    /// Type 12.
    F64(f64),
}

/// The values of an array. A vocabulary has a hundred thousand of them, so they are not a [`MetadataValue`] each.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// Texts.
    Texts(Vec<String>),
    /// 32-bit floats.
    F32(Vec<f32>),
    /// Signed 32-bit numbers.
    I32(Vec<i32>),
    /// Unsigned 32-bit numbers.
    U32(Vec<u32>),
    /// Numbers of another type, little-endian as they stand in the file.
    Other {
        /// The type's number in the format.
        element: u32,
        /// The values.
        bytes: Vec<u8>,
    },
    /// Arrays of arrays.
    Nested(Vec<Array>),
}

impl MetadataValue {
    fn kind(&self) -> &'static str {
        match self {
            Self::F32(_) | Self::F64(_) => "a number",
            Self::Bool(_) => "a yes or no",
            Self::Text(_) => "a text",
            Self::Array(_) => "an array",
            _ => "a whole number",
        }
    }

    fn integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(x) => x.into(),
            Self::I8(x) => x.into(),
            Self::U16(x) => x.into(),
            Self::I16(x) => x.into(),
            Self::U32(x) => x.into(),
            Self::I32(x) => x.into(),
            Self::U64(x) => x.into(),
            Self::I64(x) => x.into(),
            _ => return None,
        })
    }
}

/// Reads a value of a type's number; `name` is named where it is damaged.
pub(super) fn read_value(cursor: &mut Cursor, kind: u32, name: &str) -> Result<MetadataValue> {
    Ok(match kind {
        0 => MetadataValue::U8(u8::from_le_bytes(cursor.number(name)?)),
        1 => MetadataValue::I8(i8::from_le_bytes(cursor.number(name)?)),
        2 => MetadataValue::U16(u16::from_le_bytes(cursor.number(name)?)),
        3 => MetadataValue::I16(i16::from_le_bytes(cursor.number(name)?)),
        4 => MetadataValue::U32(cursor.u32(name)?),
        5 => MetadataValue::I32(i32::from_le_bytes(cursor.number(name)?)),
        6 => MetadataValue::F32(f32::from_le_bytes(cursor.number(name)?)),
        7 => match u8::from_le_bytes(cursor.number(name)?) {
            flag @ 0..=1 => MetadataValue::Bool(flag == 1),
            other => {
                return Err(damaged(told!(
                    "gguf.bool",
                    "'{name}' is neither yes nor no but {other}",
                    name,
                    other
                )));
            }
        },
        8 => MetadataValue::Text(cursor.text(name)?),
        9 => MetadataValue::Array(read_array(cursor, name, 1)?),
        10 => MetadataValue::U64(cursor.u64(name)?),
        11 => MetadataValue::I64(i64::from_le_bytes(cursor.number(name)?)),
        12 => MetadataValue::F64(f64::from_le_bytes(cursor.number(name)?)),
        other => {
            return Err(damaged(told!(
                "gguf.value_type",
                "'{name}' has the type {other}, which does not exist",
                name,
                other
            )));
        }
    })
}

fn read_array(cursor: &mut Cursor, name: &str, depth: usize) -> Result<Array> {
    let element = cursor.u32(name)?;
    let count = cursor.u64(name)?;
    let width: u64 = match element {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        8 => {
            let texts = cursor.fits(count, 8, name)?;
            return (0..texts).map(|_| cursor.text(name)).collect::<Result<_>>().map(Array::Texts);
        }
        9 if depth == DEEPEST => {
            return Err(damaged(told!(
                "gguf.deep",
                "'{name}' has arrays in arrays, more than {deepest} deep",
                name,
                deepest = DEEPEST
            )));
        }
        9 => {
            let arrays = cursor.fits(count, 12, name)?;
            return (0..arrays)
                .map(|_| read_array(cursor, name, depth + 1))
                .collect::<Result<_>>()
                .map(Array::Nested);
        }
        other => {
            return Err(damaged(told!(
                "gguf.array_type",
                "'{name}' is an array of the type {other}, which does not exist",
                name,
                other
            )));
        }
    };
    cursor.fits(count, width, name)?;
    let bytes = cursor.take(count * width, name)?;
    let words = || bytes.as_chunks::<4>().0.iter();
    Ok(match element {
        4 => Array::U32(words().map(|&word| u32::from_le_bytes(word)).collect()),
        5 => Array::I32(words().map(|&word| i32::from_le_bytes(word)).collect()),
        6 => Array::F32(words().map(|&word| f32::from_le_bytes(word)).collect()),
        _ => Array::Other { element, bytes: bytes.to_vec() },
    })
}

/// Names and values, ordered by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, MetadataValue>);

impl Metadata {
    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&String, &MetadataValue)> {
        self.0.iter()
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&MetadataValue> {
        self.0.get(name)
    }

    /// Sets a value; `false` where the name had one.
    pub fn insert(&mut self, name: impl Into<String>, value: MetadataValue) -> bool {
        self.0.insert(name.into(), value).is_none()
    }

    /// A text.
    ///
    /// # Errors
    /// A value of another type.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        self.read(name, "a text", |value| match value {
            MetadataValue::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A whole number that is not negative, of any width.
    ///
    /// # Errors
    /// A value of another type.
    pub fn integer(&self, name: &str) -> Result<Option<u64>> {
        self.read(name, "a whole number", |value| value.integer().and_then(|x| u64::try_from(x).ok()))
    }

    /// A number. A 32-bit float gives the shortest decimal that stands for it: 1e-5, not 9.999999747e-6.
    ///
    /// # Errors
    /// A value of another type.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        self.read(name, "a number", |value| match *value {
            MetadataValue::F32(x) => x.to_string().parse().ok(),
            MetadataValue::F64(x) => Some(x),
            _ => value.integer().map(|x| x as f64),
        })
    }

    /// A yes or no.
    ///
    /// # Errors
    /// A value of another type.
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.read(name, "a yes or no", |value| match *value {
            MetadataValue::Bool(flag) => Some(flag),
            _ => None,
        })
    }

    /// A list of texts.
    ///
    /// # Errors
    /// A value of another type.
    pub fn texts(&self, name: &str) -> Result<Option<&[String]>> {
        self.read(name, "a list of texts", |value| match value {
            MetadataValue::Array(Array::Texts(texts)) => Some(texts.as_slice()),
            _ => None,
        })
    }

    /// A list of 32-bit floats.
    ///
    /// # Errors
    /// A value of another type.
    pub fn floats(&self, name: &str) -> Result<Option<&[f32]>> {
        self.read(name, "a list of floats", |value| match value {
            MetadataValue::Array(Array::F32(floats)) => Some(floats.as_slice()),
            _ => None,
        })
    }

    /// A list of signed 32-bit numbers.
    ///
    /// # Errors
    /// A value of another type.
    pub fn integers(&self, name: &str) -> Result<Option<&[i32]>> {
        self.read(name, "a list of 32-bit numbers", |value| match value {
            MetadataValue::Array(Array::I32(integers)) => Some(integers.as_slice()),
            _ => None,
        })
    }

    fn read<'a, T>(
        &'a self,
        name: &str,
        expected: &str,
        take: impl FnOnce(&'a MetadataValue) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        take(value).map(Some).ok_or_else(|| {
            Error::Checkpoint(told!(
                "gguf.expected",
                "the GGUF file's '{name}' is {found}, {expected} is expected; it was made by a faulty converter",
                name,
                found = value.kind(),
                expected
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_meaning() {
        let mut metadata = Metadata::default();
        assert!(metadata.insert("count", MetadataValue::U16(7)));
        assert!(!metadata.insert("count", MetadataValue::U64(8)));
        metadata.insert("eps", MetadataValue::F32(1e-5));
        metadata.insert("negative", MetadataValue::I32(-1));
        metadata.insert("name", MetadataValue::Text("a".into()));
        assert_eq!(metadata.integer("count").unwrap(), Some(8));
        assert_eq!(metadata.number("count").unwrap(), Some(8.0));
        assert_eq!(metadata.number("eps").unwrap(), Some(1e-5));
        assert_eq!(metadata.text("name").unwrap(), Some("a"));
        assert_eq!(metadata.text("none").unwrap(), None);
        let message = metadata.integer("negative").unwrap_err().to_string();
        assert!(message.contains("'negative' is a whole number"), "{message}");
        assert!(metadata.flag("name").unwrap_err().to_string().contains("a yes or no is expected"));
    }
}
