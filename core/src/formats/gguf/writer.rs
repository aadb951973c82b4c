//! Writes GGUF, version 3. Equal contents make equal bytes.

use super::{Array, BlockType, Metadata, MetadataValue};
use crate::error::{Error, Result};
use crate::told::told;

/// Tensors begin at multiples of this.
const ALIGNMENT: u64 = 32;
/// ggml keeps names in 64 bytes, with a zero at the end.
const LONGEST_NAME: usize = 63;

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorPlan {
    /// The name in GGUF.
    pub name: String,
    /// The shape, rows first.
    pub shape: Vec<u64>,
    /// How its values will be stored.
    pub block_type: BlockType,
}

impl TensorPlan {
    fn bytes(&self) -> Option<u64> {
        let (width, rows) = self.shape.split_last()?;
        rows.iter().try_fold(self.block_type.row_bytes(*width)?, |bytes, &count| bytes.checked_mul(count))
    }
}

/// A file up to its data, with memory for all of it. The tensors' bytes follow in the order of the plan; after each,
/// [`pad`].
///
/// # Errors
/// Rows that are no whole blocks, names that are too long, more bytes than there is memory.
pub fn begin(metadata: &Metadata, tensors: &[TensorPlan]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"GGUF");
    bytes.extend_from_slice(&3_u32.to_le_bytes());
    bytes.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&(metadata.iter().len() as u64).to_le_bytes());
    for (name, value) in metadata.iter() {
        write_text(&mut bytes, name);
        bytes.extend_from_slice(&kind(value).to_le_bytes());
        write_value(&mut bytes, value);
    }
    let mut offset = 0_u64;
    for tensor in tensors {
        let size = tensor.bytes().filter(|_| tensor.name.len() <= LONGEST_NAME);
        let end = size.and_then(|size| offset.checked_add(size)?.checked_next_multiple_of(ALIGNMENT));
        let end = end.ok_or_else(|| {
            Error::Checkpoint(told!(
                "gguf.tensor_unwritten",
                "tensor '{name}' of the shape {shape} cannot be written to GGUF as {kind}",
                name = tensor.name,
                shape = format!("{:?}", tensor.shape),
                kind = tensor.block_type.name()
            ))
        })?;
        write_text(&mut bytes, &tensor.name);
        bytes.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
        tensor.shape.iter().rev().for_each(|size| bytes.extend_from_slice(&size.to_le_bytes()));
        bytes.extend_from_slice(&tensor.block_type.id().to_le_bytes());
        bytes.extend_from_slice(&offset.to_le_bytes());
        offset = end;
    }
    pad(&mut bytes);
    let room = usize::try_from(offset).ok().and_then(|room| bytes.try_reserve_exact(room).ok());
    room.ok_or_else(|| {
        Error::Checkpoint(told!(
            "gguf.write_large",
            "the weights take {offset} bytes, more than there is memory for",
            offset
        ))
    })?;
    Ok(bytes)
}

/// Zeros up to where the next tensor may begin.
pub fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
}

/// A type's number in the format.
fn kind(value: &MetadataValue) -> u32 {
    match value {
        MetadataValue::U8(_) => 0,
        MetadataValue::I8(_) => 1,
        MetadataValue::U16(_) => 2,
        MetadataValue::I16(_) => 3,
        MetadataValue::U32(_) => 4,
        MetadataValue::I32(_) => 5,
        MetadataValue::F32(_) => 6,
        MetadataValue::Bool(_) => 7,
        MetadataValue::Text(_) => 8,
        MetadataValue::Array(_) => 9,
        MetadataValue::U64(_) => 10,
        MetadataValue::I64(_) => 11,
        MetadataValue::F64(_) => 12,
    }
}

fn write_value(bytes: &mut Vec<u8>, value: &MetadataValue) {
    match value {
        MetadataValue::U8(x) => bytes.push(*x),
        MetadataValue::I8(x) => bytes.push(x.cast_unsigned()),
        MetadataValue::U16(x) => bytes.extend_from_slice(&x.to_le_bytes()),
        MetadataValue::I16(x) => bytes.extend_from_slice(&x.to_le_bytes()),
        MetadataValue::U32(x) => bytes.extend_from_slice(&x.to_le_bytes()),
        MetadataValue::I32(x) => bytes.extend_from_slice(&x.to_le_bytes()),
        MetadataValue::F32(x) => bytes.extend_from_slice(&x.to_le_bytes()),
        MetadataValue::Bool(x) => bytes.push(u8::from(*x)),
        MetadataValue::Text(x) => write_text(bytes, x),
        MetadataValue::Array(x) => write_array(bytes, x),
        MetadataValue::U64(x) => bytes.extend_from_slice(&x.to_le_bytes()),
        MetadataValue::I64(x) => bytes.extend_from_slice(&x.to_le_bytes()),
        MetadataValue::F64(x) => bytes.extend_from_slice(&x.to_le_bytes()),
    }
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn write_array(bytes: &mut Vec<u8>, array: &Array) {
    let (element, count) = match array {
        Array::Texts(texts) => (8, texts.len()),
        Array::F32(floats) => (6, floats.len()),
        Array::I32(integers) => (5, integers.len()),
        Array::U32(integers) => (4, integers.len()),
        Array::Other { element, bytes } => (*element, bytes.len() / array_width(*element)),
        Array::Nested(arrays) => (9, arrays.len()),
    };
    bytes.extend_from_slice(&element.to_le_bytes());
    bytes.extend_from_slice(&(count as u64).to_le_bytes());
    match array {
        Array::Texts(texts) => texts.iter().for_each(|text| write_text(bytes, text)),
        Array::F32(floats) => bytes.extend(floats.iter().flat_map(|x| x.to_le_bytes())),
        Array::I32(integers) => bytes.extend(integers.iter().flat_map(|x| x.to_le_bytes())),
        Array::U32(integers) => bytes.extend(integers.iter().flat_map(|x| x.to_le_bytes())),
        Array::Other { bytes: values, .. } => bytes.extend_from_slice(values),
        Array::Nested(arrays) => arrays.iter().for_each(|array| write_array(bytes, array)),
    }
}

/// Bytes of a number in an array, by its type's number; 1 for types without numbers.
fn array_width(element: u32) -> usize {
    match element {
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => 1,
    }
}
