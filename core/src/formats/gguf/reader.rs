//! The GGUF format, versions 2 and 3 (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): a header,
//! metadata, a table of tensors, and their data.
//!
//! A file may lie about every count and length: what it claims is compared with the bytes that are left before
//! anything is allocated for it.

use std::collections::BTreeMap;

use super::Metadata;
use super::cursor::{Cursor, damaged};
use super::table::{TensorInfo, check_places, table};
use super::value::read_value;
use crate::error::{Error, Result};
use crate::told::told;

const MAGIC: &[u8] = b"GGUF";
/// Where the metadata does not say.
const ALIGNMENT: u64 = 32;
/// Bytes of the smallest metadata entry (an empty name, a type, one byte), and of the smallest tensor entry.
const LEAST_ENTRY: [u64; 2] = [13, 24];

/// An open GGUF file.
#[derive(Debug)]
pub struct Gguf<'a> {
    /// Names and values.
    pub metadata: Metadata,
    /// The tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
    data: &'a [u8],
}

impl<'a> Gguf<'a> {
    /// Reads metadata and the table of tensors, and checks the table against the bytes.
    ///
    /// # Errors
    /// A file of another format, version or byte order; one that is cut off or damaged; a part of a split file;
    /// a tensor type that is not read.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let [tensors, entries] = header(&mut cursor)?;
        let metadata = metadata(&mut cursor, entries)?;
        refuse_split(&metadata)?;
        let tensors = table(&mut cursor, tensors)?;
        let alignment = metadata.integer("general.alignment")?.unwrap_or(ALIGNMENT);
        if !alignment.is_power_of_two() {
            return Err(damaged(told!(
                "gguf.alignment",
                "its alignment is {alignment}, which is no power of two",
                alignment
            )));
        }
        // A file without tensors may end before its data would begin.
        let begin = cursor.position().checked_next_multiple_of(alignment);
        let begin = begin.and_then(|begin| usize::try_from(begin).ok());
        let data = begin.and_then(|begin| bytes.get(begin..)).unwrap_or_default();
        check_places(&tensors, alignment, data.len() as u64)?;
        Ok(Self { metadata, tensors, data })
    }

    /// A tensor's bytes.
    ///
    /// # Errors
    /// A tensor of another file.
    pub fn bytes(&self, tensor: &TensorInfo) -> Result<&'a [u8]> {
        let [begin, end] = tensor.range();
        let begin = usize::try_from(begin).ok();
        let range = begin.zip(usize::try_from(end).ok()).and_then(|(begin, end)| self.data.get(begin..end));
        range.ok_or_else(|| damaged(told!("gguf.tensor_behind", "a tensor ends behind the end of the file")))
    }
}

/// Checks magic and version; gives the numbers of tensors and of metadata entries.
fn header(cursor: &mut Cursor) -> Result<[u64; 2]> {
    if cursor.take(4, "the header").ok() != Some(MAGIC) {
        return Err(Error::Checkpoint(told!(
            "gguf.not_one",
            "this is no GGUF file: it does not begin with 'GGUF'"
        )));
    }
    let version = cursor.u32("the header")?;
    if (1..=3).contains(&version.swap_bytes()) {
        return Err(Error::Checkpoint(told!(
            "gguf.big_endian",
            "this GGUF file is for big-endian machines; take the usual little-endian one"
        )));
    }
    if !(2..=3).contains(&version) {
        return Err(Error::Checkpoint(told!(
            "gguf.version",
            "this GGUF file is of version {version}; versions 2 and 3 can be read: take a newer file, or a newer Kindling",
            version
        )));
    }
    let counts = [cursor.u64("the header")?, cursor.u64("the header")?];
    let least = counts[0].checked_mul(LEAST_ENTRY[1]).zip(counts[1].checked_mul(LEAST_ENTRY[0]));
    if least.and_then(|(a, b)| a.checked_add(b)).is_none_or(|least| least > cursor.left()) {
        return Err(damaged(told!(
            "gguf.counts",
            "it claims {tensors} tensors and {entries} metadata entries, and {left} bytes follow",
            tensors = counts[0],
            entries = counts[1],
            left = cursor.left()
        )));
    }
    Ok(counts)
}

fn metadata(cursor: &mut Cursor, entries: u64) -> Result<Metadata> {
    let mut metadata = Metadata::default();
    for _ in 0..entries {
        let name = cursor.name("a metadata name")?;
        let kind = cursor.u32(&name)?;
        let value = read_value(cursor, kind, &name)?;
        if !metadata.insert(&name, value) {
            return Err(damaged(told!("gguf.entry_twice", "two metadata entries are named '{name}'", name)));
        }
    }
    Ok(metadata)
}

fn refuse_split(metadata: &Metadata) -> Result<()> {
    match metadata.integer("split.count")? {
        None | Some(0 | 1) => Ok(()),
        Some(parts) => Err(Error::Checkpoint(told!(
            "gguf.parts",
            "this GGUF file is one of {parts} parts of a model; join them first with `llama-gguf-split --merge`",
            parts
        ))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::writer::{TensorPlan, begin};
    use super::super::{Array, BlockType, MetadataValue};
    use super::*;

    /// A Llama of one block, as the PyPI package `gguf` writes it (tests/golden/gguf/make.py).
    const TINY: &[u8] = include_bytes!("../../../../tests/golden/gguf/tiny.gguf");

    pub(in super::super) fn refused(bytes: &[u8]) -> String {
        Gguf::open(bytes).unwrap_err().to_string()
    }

    /// A header, and metadata entries and tensors as they are given.
    pub(in super::super) fn file(tensors: &[Vec<u8>], entries: &[Vec<u8>], data: usize) -> Vec<u8> {
        let mut bytes = [b"GGUF".as_slice(), &3_u32.to_le_bytes()].concat();
        bytes.extend((tensors.len() as u64).to_le_bytes());
        bytes.extend((entries.len() as u64).to_le_bytes());
        bytes.extend(entries.concat());
        bytes.extend(tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
        bytes
    }

    pub(in super::super) fn entry(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [&(name.len() as u64).to_le_bytes(), name.as_bytes(), &kind.to_le_bytes(), value].concat()
    }

    fn numbers(numbers: &[u64]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    #[test]
    fn a_file_of_another_writer_is_read() {
        let gguf = Gguf::open(TINY).unwrap();
        assert_eq!(gguf.metadata.text("general.name").unwrap(), Some("tiny"));
        assert_eq!(gguf.metadata.integer("llama.attention.head_count_kv").unwrap(), Some(2));
        assert_eq!(gguf.metadata.number("llama.attention.layer_norm_rms_epsilon").unwrap(), Some(1e-5));
        assert_eq!(gguf.metadata.texts("tokenizer.ggml.merges").unwrap().unwrap()[1], "he l");
        let info = &gguf.tensors["blk.0.attn_k.weight"];
        assert_eq!((info.shape.as_slice(), info.block_type), (&[16, 32][..], BlockType::BF16));
        assert_eq!(gguf.tensors.len(), 11);
        assert_eq!(gguf.bytes(info).unwrap().len(), 16 * 32 * 2);
    }

    #[test]
    fn every_cut_is_refused_and_no_changed_byte_panics() {
        for cut in 0..TINY.len() {
            assert!(Gguf::open(&TINY[..cut]).is_err(), "cut at {cut}");
        }
        let (mut bytes, mut state) = (TINY.to_vec(), 1_u64);
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (state >> 33) as usize % 8000;
            let old = std::mem::replace(&mut bytes[place], (state >> 20) as u8);
            drop(Gguf::open(&bytes));
            bytes[place] = old;
        }
    }

    #[test]
    fn another_format_version_or_byte_order_is_told() {
        assert!(refused(b"{\"a\"").contains("no GGUF file"));
        assert!(refused(b"").contains("no GGUF file"));
        let version = |version: u32| [b"GGUF".as_slice(), &version.to_le_bytes(), &[0; 16]].concat();
        assert!(refused(&version(1)).contains("version 1;"));
        assert!(refused(&version(4)).contains("version 4;"));
        assert!(refused(&version(3_u32.swap_bytes())).contains("big-endian"));
        assert!(Gguf::open(&version(2)).unwrap().tensors.is_empty());
    }

    #[test]
    fn lies_are_refused_before_they_take_memory() {
        let huge = u64::MAX / 8;
        let mut counts = file(&[], &[], 64);
        counts[8..16].copy_from_slice(&huge.to_le_bytes());
        assert!(refused(&counts).contains("it claims"));
        let array = |element: u32, count: u64| [&element.to_le_bytes()[..], &count.to_le_bytes()].concat();
        let nested = (0..9).map(|_| array(9, 1)).collect::<Vec<_>>().concat();
        let cases = [
            (entry("k", 8, &numbers(&[huge])), "takes 2305843009213693951 bytes"),
            (entry("k", 8, &[&numbers(&[1]), &[0xFF][..]].concat()), "no UTF-8"),
            (entry("k", 9, &array(8, huge)), "claims more items"),
            (entry("k", 9, &array(12, huge)), "claims more items"),
            (entry("k", 9, &array(9, huge)), "claims more items"),
            (entry("k", 9, &nested), "more than 4 deep"),
            (entry("k", 9, &array(13, 1)), "type 13"),
            (entry("k", 13, &[]), "type 13"),
            (entry("k", 7, &[2]), "neither yes nor no"),
            (entry(&"k".repeat(70_000), 7, &[1]), "70000 bytes"),
            (entry("general.alignment", 4, &[0; 4]), "alignment is 0"),
            (entry("general.alignment", 4, &[24, 0, 0, 0]), "alignment is 24"),
            (entry("split.count", 2, &[3, 0]), "one of 3 parts"),
        ];
        for (entry, told) in cases {
            let message = refused(&file(&[], &[entry], 64));
            assert!(message.contains(told), "{message}");
        }
        let twice = entry("k", 7, &[1]);
        assert!(refused(&file(&[], &[twice.clone(), twice], 64)).contains("two metadata entries"));
    }

    #[test]
    fn every_kind_of_value_leads_there_and_back() {
        let texts = Array::Texts(vec![String::new(), "é".into()]);
        let values = [
            MetadataValue::U8(1),
            MetadataValue::I8(-1),
            MetadataValue::U16(2),
            MetadataValue::I16(-2),
            MetadataValue::U32(3),
            MetadataValue::I32(-3),
            MetadataValue::F32(0.5),
            MetadataValue::Bool(true),
            MetadataValue::Text("t".into()),
            MetadataValue::U64(4),
            MetadataValue::I64(-4),
            MetadataValue::F64(0.25),
            MetadataValue::Array(Array::F32(vec![1.0])),
            MetadataValue::Array(Array::I32(vec![-1, 1])),
            MetadataValue::Array(Array::U32(vec![7])),
            MetadataValue::Array(Array::Other { element: 11, bytes: vec![1; 16] }),
            MetadataValue::Array(Array::Nested(vec![texts.clone(), Array::Texts(Vec::new())])),
            MetadataValue::Array(texts),
        ];
        let mut metadata = Metadata::default();
        for (i, value) in values.into_iter().enumerate() {
            metadata.insert(format!("key {i}"), value);
        }
        let plan = TensorPlan { name: "a".into(), shape: vec![2, 3], block_type: BlockType::F32 };
        let mut bytes = begin(&metadata, &[plan]).unwrap();
        bytes.resize(bytes.len() + 24, 7);
        let gguf = Gguf::open(&bytes).unwrap();
        assert_eq!(gguf.metadata, metadata);
        assert_eq!(gguf.tensors["a"].shape, [2, 3]);
        assert_eq!(gguf.bytes(&gguf.tensors["a"]).unwrap(), [7; 24]);
    }
}
