//! The safetensors format: named tensors behind a JSON header.

use std::collections::BTreeMap;
use std::fmt::Display;

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorInfo, TensorView};
use serde_json::{Map, Value, json};

use super::Bytes;
use crate::error::{Error, Result};
use crate::model::NamedTensor;
use crate::told::told;

/// Readers refuse a longer header.
const LONGEST_HEADER: usize = 100_000_000;
/// Where the header keeps its texts.
const TEXTS: &str = "__metadata__";

/// Bytes of the header's length, before the header.
const LENGTH: usize = 8;

/// An open safetensors file.
pub struct TensorFile {
    name: String,
    bytes: Bytes,
    /// Read once: tensors are asked for one by one, and a header has up to 100 MB.
    header: Metadata,
    /// Where the data begins.
    data: usize,
}

impl TensorFile {
    /// Checks the header against the bytes.
    ///
    /// # Errors
    /// A file that is truncated or damaged, by name.
    pub fn open(name: &str, bytes: impl Into<Bytes>) -> Result<Self> {
        let bytes = bytes.into();
        let (length, header) = SafeTensors::read_metadata(&bytes).map_err(|e| not_whole(name, &bytes, &e))?;
        Ok(Self { name: name.to_string(), bytes, header, data: LENGTH + length })
    }

    /// Names, shapes and bytes of all tensors.
    pub(crate) fn views(&self) -> Result<Vec<(String, TensorView<'_>)>> {
        parse(&self.name, &self.bytes).map(|file| file.tensors())
    }

    /// Names of all tensors, in the order of the data.
    pub fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// A text of the file's metadata.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// The types of all tensors of these names.
    pub(crate) fn types<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<Dtype> {
        names.into_iter().filter_map(|name| Some(self.header.info(name)?.dtype)).collect()
    }

    /// Reads one tensor as f32. The file's own bytes of it need not stay in memory behind that.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape, or a type that weights do not have.
    pub fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let info = self.header.info(name).ok_or_else(|| {
            Error::Checkpoint(told!(
                "tensor.missing_of",
                "{file} has no tensor '{name}', which the config asks for",
                file = self.name,
                name
            ))
        })?;
        if info.shape != shape {
            return Err(Error::Checkpoint(told!(
                "tensor.shape",
                "{file}: tensor '{name}' has shape {found}, the config asks for {shape}",
                file = self.name,
                name,
                found = format!("{:?}", info.shape),
                shape = format!("{shape:?}")
            )));
        }
        let values = self.floats(name, info);
        let (begin, end) = info.data_offsets;
        self.bytes.release(self.data + begin..self.data + end);
        values
    }

    /// Reads every tensor as f32, in the order of the names.
    ///
    /// # Errors
    /// A type that weights do not have.
    pub fn read_all(&self) -> Result<Vec<NamedTensor>> {
        let mut all = Vec::new();
        for (name, info) in self.header.tensors() {
            let values = self.floats(&name, info)?;
            all.push(NamedTensor { name, shape: info.shape.clone(), values });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// One tensor as it stands in the file.
    pub(crate) fn view(&self, name: &str) -> Option<TensorView<'_>> {
        let info = self.header.info(name)?;
        TensorView::new(info.dtype, info.shape.clone(), self.data(info)).ok()
    }

    fn data(&self, info: &TensorInfo) -> &[u8] {
        let (begin, end) = info.data_offsets;
        // The header was checked against the bytes.
        self.bytes.get(self.data + begin..self.data + end).unwrap_or_default()
    }

    fn floats(&self, name: &str, info: &TensorInfo) -> Result<Vec<f32>> {
        floats(info.dtype, self.data(info)).ok_or_else(|| {
            Error::Checkpoint(told!(
                "tensor.type",
                "{file}: tensor '{name}' is {kind}; weights are read as F32, F16 or BF16: save them as one of these",
                file = self.name,
                name,
                kind = format!("{:?}", info.dtype)
            ))
        })
    }
}

/// Values as f32; `None` for a type that weights do not have.
fn floats(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let pairs = || data.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    Some(match dtype {
        Dtype::F32 => data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => pairs().map(|pair| f16::from_le_bytes(pair).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|pair| bf16::from_le_bytes(pair).to_f32()).collect(),
        _ => return None,
    })
}

/// Whether two tensors hold the same numbers, in whatever types.
pub(crate) fn is_same(a: &TensorView, b: &TensorView) -> bool {
    let numbers = |view: &TensorView| floats(view.dtype(), view.data());
    a.shape() == b.shape()
        && match a.dtype() == b.dtype() {
            true => a.data() == b.data(),
            false => numbers(a).is_some_and(|a| Some(a) == numbers(b)),
        }
}

/// Checks a file's header against its bytes.
///
/// # Errors
/// A file that is truncated or damaged, by name.
pub(crate) fn parse<'a>(name: &str, bytes: &'a [u8]) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(bytes).map_err(|e| not_whole(name, bytes, &e))
}

fn not_whole(name: &str, bytes: &[u8], error: &dyn Display) -> Error {
    Error::Checkpoint(told!(
        "tensor.cut",
        "{name} is not a whole safetensors file ({error}; {bytes} bytes are there); it was cut off or damaged: copy it again",
        name,
        error,
        bytes = bytes.len()
    ))
}

/// All texts of a file's metadata.
///
/// # Errors
/// A damaged header.
pub(crate) fn texts(name: &str, bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let (_, header) = SafeTensors::read_metadata(bytes)
        .map_err(|e| Error::Checkpoint(told!("tensor.damaged", "{name} is damaged: {e}", name, e)))?;
    Ok(header.metadata().clone().unwrap_or_default().into_iter().collect())
}

/// Writes tensors as f32, with text metadata (`format: pt` is what `transformers` looks for).
///
/// # Errors
/// Two tensors of one name.
pub fn write_tensors(tensors: &[NamedTensor], metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|tensor| tensor.values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
        let view = view.map_err(|e| {
            Error::Checkpoint(told!(
                "tensor.unwritten",
                "tensor '{name}' cannot be written: {e}",
                name = tensor.name,
                e
            ))
        })?;
        views.push((tensor.name.clone(), view));
    }
    let mut texts = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    texts.extend(metadata.iter().map(|(key, value)| ((*key).to_string(), value.clone())));
    write_views(views, &texts)
}

/// Writes tensors of any type. The format's own writer keeps texts in no order; here equal contents make equal bytes.
///
/// # Errors
/// Two tensors of one name; a header that is too long for readers.
pub(crate) fn write_views(
    mut tensors: Vec<(String, TensorView<'_>)>,
    texts: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    // Wider types first: every tensor then begins at a multiple of its width.
    tensors.sort_by(|(a, x), (b, y)| y.dtype().cmp(&x.dtype()).then_with(|| a.cmp(b)));
    let listed = tensors
        .iter()
        .map(|(name, view)| (name.as_str(), view.dtype(), view.shape(), view.data().len() as u64));
    let mut bytes = header(listed, texts)?;
    bytes.reserve_exact(tensors.iter().map(|(_, view)| view.data().len()).sum());
    tensors.iter().for_each(|(_, view)| bytes.extend_from_slice(view.data()));
    Ok(bytes)
}

/// What stands before the data of a file: the header with its length, for tensors in the order of their data, each with
/// its name, type, shape and bytes.
///
/// # Errors
/// Two tensors of one name; a header that is too long for readers.
pub(crate) fn header<'a>(
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], u64)>,
    texts: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut header = Map::new();
    header.insert(TEXTS.to_string(), json!(texts));
    let mut end = 0;
    for (name, dtype, shape, size) in tensors {
        let begin = end;
        end += size;
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]});
        if header.insert(name.to_string(), entry).is_some() {
            return Err(Error::Checkpoint(told!("tensor.twice", "two tensors are named '{name}'", name)));
        }
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    if header.len() > LONGEST_HEADER {
        return Err(Error::Checkpoint(told!(
            "tensor.header",
            "the names and texts of a safetensors file take {bytes} bytes, {longest_header} are the most; a tokenizer that \
            large must stay in a file of its own",
            bytes = header.len(),
            longest_header = LONGEST_HEADER
        )));
    }
    let mut bytes = Vec::with_capacity(LENGTH + header.len());
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&header);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use safetensors::serialize;

    use super::*;

    fn file() -> Vec<u8> {
        let tensor = NamedTensor { name: "a".into(), shape: vec![2, 1], values: vec![1.5, -2.0] };
        write_tensors(&[tensor], &[]).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let open = TensorFile::open("x.safetensors", file()).unwrap();
        assert_eq!(open.read("a", &[2, 1]).unwrap(), [1.5, -2.0]);
        assert_eq!(open.names(), ["a"]);
    }

    #[test]
    fn the_bytes_are_those_of_the_formats_own_writer() {
        let values: Vec<u8> = (0..16).collect();
        let view = |dtype, shape| TensorView::new(dtype, shape, &values).unwrap();
        let views = || {
            let narrow = ("a".to_string(), view(Dtype::BF16, vec![2, 4]));
            [
                narrow,
                ("c".to_string(), view(Dtype::F32, vec![4])),
                ("b".to_string(), view(Dtype::F32, vec![4])),
            ]
        };
        // One text: with more, that writer's order is random.
        let texts = [("format".to_string(), "pt \"quoted\"\n".to_string())];
        let theirs = serialize(views(), Some(texts.clone().into())).unwrap();
        assert!(write_views(views().to_vec(), &texts.into()).unwrap() == theirs);
        let twice = [views(), views()].concat();
        let message = write_views(twice, &BTreeMap::new()).unwrap_err().to_string();
        assert!(message.contains("two tensors are named"), "{message}");
    }

    #[test]
    fn truncated_missing_and_misshapen_are_told_apart() {
        let mut short = file();
        short.pop();
        let message = TensorFile::open("x.safetensors", short).err().unwrap().to_string();
        assert!(message.contains("x.safetensors is not a whole safetensors file"), "{message}");
        let open = TensorFile::open("x.safetensors", file()).unwrap();
        assert!(open.read("b", &[2]).unwrap_err().to_string().contains("no tensor 'b'"));
        assert!(open.read("a", &[1, 2]).unwrap_err().to_string().contains("has shape [2, 1]"));
    }

    #[test]
    fn equal_numbers_are_the_same_in_any_type() {
        let (wide, other) =
            ([0.5f32, -3.0].map(f32::to_le_bytes).concat(), [0.5f32, 3.0].map(f32::to_le_bytes).concat());
        let narrow = [f16::from_f32(0.5), f16::from_f32(-3.0)].map(f16::to_le_bytes).concat();
        let view = |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).unwrap();
        let first = view(Dtype::F32, vec![2], &wide);
        assert!(is_same(&first, &view(Dtype::F32, vec![2], &wide)));
        assert!(is_same(&first, &view(Dtype::F16, vec![2], &narrow)));
        assert!(!is_same(&first, &view(Dtype::F32, vec![2], &other)));
        assert!(!is_same(&first, &view(Dtype::F32, vec![2, 1], &wide)));
    }

    #[test]
    fn half_types_read_as_f32() {
        let values: Vec<u8> =
            [f16::from_f32(0.5), f16::from_f32(-3.0)].iter().flat_map(|x| x.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F16, vec![2], &values).unwrap();
        let bytes = serialize([("h", view)], None).unwrap();
        assert_eq!(TensorFile::open("h", bytes).unwrap().read("h", &[2]).unwrap(), [0.5, -3.0]);
    }
}
