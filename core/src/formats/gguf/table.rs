//! The table of a GGUF file's tensors: names, shapes, types and places.

use std::collections::BTreeMap;

use super::BlockType;
use super::cursor::{Cursor, damaged};
use crate::error::Result;
use crate::told::told;

/// More dimensions than ggml has.
const MOST_DIMENSIONS: u32 = 4;

/// Where a tensor stands and how it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Rows first, as Hugging Face has it; the file has the opposite order.
    pub shape: Vec<u64>,
    /// How values are stored.
    pub block_type: BlockType,
    /// The first byte, from the beginning of the data.
    offset: u64,
    bytes: u64,
}

impl TensorInfo {
    /// The first byte, and the first one behind it, from the beginning of the data.
    pub(super) fn range(&self) -> [u64; 2] {
        [self.offset, self.offset.saturating_add(self.bytes)]
    }
}

/// Reads the table.
pub(super) fn table(cursor: &mut Cursor, count: u64) -> Result<BTreeMap<String, TensorInfo>> {
    let mut tensors = BTreeMap::new();
    for _ in 0..count {
        let name = cursor.name("a tensor's name")?;
        let info = tensor(cursor, &name)?;
        if tensors.insert(name.clone(), info).is_some() {
            return Err(damaged(told!("gguf.tensor_twice", "two tensors are named '{name}'", name)));
        }
    }
    Ok(tensors)
}

fn tensor(cursor: &mut Cursor, name: &str) -> Result<TensorInfo> {
    let dimensions = cursor.u32(name)?;
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(damaged(told!(
            "gguf.dimensions",
            "tensor '{name}' has {dimensions} dimensions, 1 to {most_dimensions} exist",
            name,
            dimensions,
            most_dimensions = MOST_DIMENSIONS
        )));
    }
    let mut shape = (0..dimensions).map(|_| cursor.u64(name)).collect::<Result<Vec<_>>>()?;
    shape.reverse();
    let block_type = BlockType::from_id(cursor.u32(name)?, name)?;
    let offset = cursor.u64(name)?;
    if shape.contains(&0) {
        return Err(damaged(told!(
            "gguf.no_values",
            "tensor '{name}' has the shape {shape}, which holds nothing",
            name,
            shape = format!("{shape:?}")
        )));
    }
    let (width, rows) = shape.split_last().map_or((1, &[][..]), |(width, rows)| (*width, rows));
    let Some(row) = block_type.row_bytes(width) else {
        return Err(damaged(told!(
            "gguf.row_blocks",
            "tensor '{name}' has rows of {width} values, which are no whole blocks of {block}",
            name,
            width,
            block = block_type.name()
        )));
    };
    let bytes = rows.iter().try_fold(row, |bytes, &count| bytes.checked_mul(count));
    let bytes = bytes.ok_or_else(|| {
        damaged(told!(
            "gguf.shape_large",
            "tensor '{name}' claims the shape {shape}",
            name,
            shape = format!("{shape:?}")
        ))
    })?;
    Ok(TensorInfo { shape, block_type, offset, bytes })
}

/// Every tensor stands inside the data, at a multiple of the alignment, and on no other: a file cannot grow by
/// naming one place many times.
pub(super) fn check_places(
    tensors: &BTreeMap<String, TensorInfo>,
    alignment: u64,
    length: u64,
) -> Result<()> {
    let mut places: Vec<_> = tensors.iter().collect();
    places.sort_by_key(|(_, tensor)| tensor.offset);
    let mut free = 0;
    for (name, tensor) in places {
        let end = tensor.offset.checked_add(tensor.bytes).filter(|&end| end <= length);
        let Some(end) = end else {
            return Err(damaged(told!(
                "gguf.outside",
                "tensor '{name}' takes {bytes} bytes from {offset} on, and the data has {length}",
                name,
                bytes = tensor.bytes,
                offset = tensor.offset,
                length
            )));
        };
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(damaged(told!(
                "gguf.unaligned",
                "tensor '{name}' begins at {offset}, no multiple of {alignment}",
                name,
                offset = tensor.offset,
                alignment
            )));
        }
        if tensor.offset < free {
            return Err(damaged(told!("gguf.overlap", "tensor '{name}' stands on another one", name)));
        }
        free = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Gguf;
    use super::super::reader::tests::{entry, file, refused};

    fn tensor_entry(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
        let mut bytes = entry(name, dims.len() as u32, &[]);
        dims.iter().for_each(|dim| bytes.extend(dim.to_le_bytes()));
        bytes.extend(kind.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes
    }

    #[test]
    fn tensors_that_do_not_fit_are_refused() {
        let good = || tensor_entry("a", &[32, 2], 8, 0);
        let cases = [
            (vec![good(), good()], "two tensors are named 'a'"),
            (vec![good(), tensor_entry("b", &[8], 0, 64)], "stands on another"),
            (vec![tensor_entry("a", &[32, 4], 8, 0)], "takes 136 bytes"),
            (vec![tensor_entry("a", &[32], 0, u64::MAX)], "takes 128 bytes"),
            (vec![tensor_entry("a", &[8], 0, 4)], "no multiple of 32"),
            (vec![tensor_entry("a", &[33], 8, 0)], "no whole blocks of Q8_0"),
            (vec![tensor_entry("a", &[32, 0], 8, 0)], "holds nothing"),
            (vec![tensor_entry("a", &[1 << 40, 1 << 40], 0, 0)], "claims the shape"),
            (vec![tensor_entry("a", &[1; 5], 0, 0)], "5 dimensions"),
            (vec![tensor_entry("a", &[], 0, 0)], "0 dimensions"),
            (vec![tensor_entry("a", &[256], 10, 0)], "stored as Q2_K"),
        ];
        for (tensors, told) in cases {
            let message = refused(&file(&tensors, &[], 128));
            assert!(message.contains(told), "{message}");
        }
        assert!(Gguf::open(&file(&[good()], &[], 128)).is_ok());
    }
}
