//! The archive that `torch.save` writes since torch 1.6: a zip of one folder, in it `data.pkl` with the names and
//! shapes, and `data/0`, `data/1`, … with the numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::dtype::DType;
use super::pickle;
use super::value::{Pickled, Tables};
use crate::error::{Error, Result};
use crate::model::NamedTensor;

/// Where training files keep the weights beside the optimizer.
const INSIDE: [&str; 3] = ["model", "state_dict", "model_state_dict"];
/// The names and shapes.
const PICKLE: &str = "data.pkl";
/// Values that a byte of the file may stand for: tensors share storages, as a tied head does.
const MOST_SHARING: u64 = 2;
/// Values of a small file, whose masks may repeat one element.
const ALWAYS_FINE: u64 = 1 << 20;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct TorchTensor {
    /// The name in the state dict.
    pub name: String,
    /// Elements along each axis.
    pub shape: Vec<usize>,
    /// Elements of the storage from one index of an axis to the next, as the file has them.
    pub strides: Vec<usize>,
    /// The number type in the file.
    pub dtype: DType,
    /// The values as f32, row by row whatever the strides were.
    pub values: Vec<f32>,
}

impl From<TorchTensor> for NamedTensor {
    fn from(tensor: TorchTensor) -> Self {
        Self { name: tensor.name, shape: tensor.shape, values: tensor.values }
    }
}

/// All tensors of a state dict, in the order of the file. A training file's optimizer and counters are left out.
///
/// # Errors
/// A file that is damaged, of the time before torch 1.6, or without named tensors; one that holds code, by name.
pub fn open_state_dict(bytes: &[u8]) -> Result<Vec<TorchTensor>> {
    read_state_dict(bytes, |_| true)
}

/// As [`open_state_dict`], of the tensors whose name is `wanted`.
///
/// # Errors
/// As [`open_state_dict`].
pub(super) fn read_state_dict(bytes: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Vec<TorchTensor>> {
    let mut archive = Archive::open(bytes)?;
    let pickle = archive.read(PICKLE)?.unwrap_or_default();
    let (root, tables) = pickle::read(&pickle)?;
    let mut checked = checked(&tables, root)?;
    checked.retain(|tensor| wanted(tensor.name));
    let values = checked.iter().try_fold(0u64, |sum, tensor| sum.checked_add(tensor.count));
    let most = (MOST_SHARING * bytes.len() as u64).max(ALWAYS_FINE);
    if values.is_none_or(|values| values > most) {
        return Err(Error::Checkpoint(format!(
            "the tensors of this PyTorch file have more than {most} values, the most for {} bytes; it is damaged, or \
            made to fill the memory",
            bytes.len()
        ).into()));
    }
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    checked.iter().enumerate().for_each(|(i, tensor)| places.entry(tensor.key).or_default().push(i));
    let mut values: Vec<Vec<f32>> = checked.iter().map(|_| Vec::new()).collect();
    // A storage is read once, and gone before the next.
    for (key, places) in places {
        let storage = archive.read(&format!("data/{key}"))?;
        for place in places {
            values[place] = checked[place].values(storage.as_deref())?;
        }
    }
    Ok(checked.into_iter().zip(values).map(|(tensor, values)| tensor.with(values)).collect())
}

/// The tensors of the state dict: those of the weights beside an optimizer, or the file's own. The first come first, as
/// a training file may hold its best loss as a tensor.
fn checked<'a>(tables: &Tables<'a>, root: Pickled<'a>) -> Result<Vec<CheckedTensor<'a>>> {
    let entries = tables.entries(root).unwrap_or_default();
    let inside = |name| entries.iter().find(|(key, _)| *key == Pickled::Text(name)).map(|(_, value)| *value);
    for dict in INSIDE.into_iter().filter_map(inside).chain([root]) {
        let found = tensors(tables, dict)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(Error::Checkpoint(
        "the PyTorch file holds no tensors by name; save the weights: torch.save(model.state_dict(), FILE)"
            .into(),
    ))
}

fn tensors<'a>(tables: &Tables<'a>, dict: Pickled<'a>) -> Result<Vec<CheckedTensor<'a>>> {
    let (mut checked, mut names) = (Vec::new(), BTreeSet::new());
    for (key, value) in tables.entries(dict).unwrap_or_default() {
        if let (Pickled::Text(name), Some(_)) = (key, tables.tensor(*value)) {
            if !names.insert(*name) {
                return Err(Error::Checkpoint(
                    format!("two tensors of the PyTorch file are named '{name}'").into(),
                ));
            }
            checked.push(CheckedTensor::new(name, tables, *value)?);
        }
    }
    Ok(checked)
}

/// A tensor whose view is known to lie within what the file says of its storage.
struct CheckedTensor<'a> {
    name: &'a str,
    key: &'a str,
    dtype: DType,
    /// Elements of the storage.
    length: u64,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Elements of the tensor.
    count: u64,
}

impl<'a> CheckedTensor<'a> {
    fn new(name: &'a str, tables: &Tables<'a>, value: Pickled<'a>) -> Result<Self> {
        let outside = || {
            Error::Checkpoint(format!(
                "tensor '{name}' lies outside of its storage in the PyTorch file; the file is damaged: copy it again"
            ).into())
        };
        let (view, storage) = tables.tensor(value).ok_or_else(outside)?;
        let count = if view.shape.contains(&0) {
            Some(0)
        } else {
            view.shape.iter().try_fold(1u64, |count, size| count.checked_mul(*size))
        };
        // The last element that is read, where any is.
        let last = view.shape.iter().zip(&view.strides).try_fold(view.offset, |last, (size, stride)| {
            last.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
        });
        let fits = count == Some(0) || last.is_some_and(|last| last < storage.count);
        let narrow =
            |sizes: &[u64]| sizes.iter().map(|size| usize::try_from(*size).ok()).collect::<Option<Vec<_>>>();
        let narrowed = (narrow(&view.shape), narrow(&view.strides), usize::try_from(view.offset).ok());
        let (Some(count), (Some(shape), Some(strides), Some(offset)), true) = (count, narrowed, fits) else {
            return Err(outside());
        };
        let (key, dtype, length) = (storage.key, storage.dtype, storage.count);
        Ok(Self { name, key, dtype, length, offset, shape, strides, count })
    }

    /// The elements in row-major order.
    fn values(&self, storage: Option<&[u8]>) -> Result<Vec<f32>> {
        let decode = self.dtype.decoder().ok_or_else(|| {
            Error::Checkpoint(
                format!(
                    "tensor '{}' is of type {:?}; weights are read as floats or whole numbers",
                    self.name, self.dtype
                )
                .into(),
            )
        })?;
        if self.count == 0 {
            return Ok(Vec::new());
        }
        let width = self.dtype.width();
        let there = storage.map_or(0, <[u8]>::len);
        let needed = self.length.checked_mul(width as u64);
        let storage = storage.filter(|bytes| needed.is_some_and(|needed| bytes.len() as u64 >= needed));
        let storage = storage.ok_or_else(|| {
            Error::Checkpoint(format!(
                "tensor '{}' needs {} elements of {width} bytes, of which the PyTorch file has {there} bytes; it was cut \
                off or damaged: copy it again",
                self.name, self.length
            ).into())
        })?;
        let (outer, inner) = self.shape.split_at(self.shape.len().saturating_sub(1));
        let (size, stride) = (inner.first().copied().unwrap_or(1), self.strides.last().copied().unwrap_or(1));
        let mut values = Vec::with_capacity(usize::try_from(self.count).unwrap_or_default());
        let mut index = vec![0; outer.len()];
        loop {
            let start =
                self.offset + index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum::<usize>();
            values.extend((0..size).map(|i| decode(&storage[(start + i * stride) * width..])));
            if !advance(&mut index, outer) {
                return Ok(values);
            }
        }
    }

    fn with(self, values: Vec<f32>) -> TorchTensor {
        let Self { name, shape, strides, dtype, .. } = self;
        TorchTensor { name: name.to_string(), shape, strides, dtype, values }
    }
}

/// The next index in row-major order; `false` behind the last.
fn advance(index: &mut [usize], shape: &[usize]) -> bool {
    for (i, size) in index.iter_mut().zip(shape).rev() {
        *i += 1;
        if *i < *size {
            return true;
        }
        *i = 0;
    }
    false
}

/// The zip file, of which each part is read once at most.
struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The one folder, with its slash.
    folder: Vec<u8>,
    /// Bytes that have not been read yet.
    left: u64,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        if bytes.first() == Some(&0x80) {
            return Err(Error::Checkpoint(
                "this PyTorch file is of the kind from before torch 1.6, which is not read; write it anew with a later \
                torch: torch.save(torch.load(FILE, map_location='cpu', weights_only=True), FILE)"
                    .into(),
            ));
        }
        if !bytes.starts_with(b"PK") {
            return Err(Error::Checkpoint(
                "this is no PyTorch file: torch.save writes a zip archive, and this is none".into(),
            ));
        }
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(&e))?;
        let folder = zip.file_names_raw().find_map(|name| {
            let folder = name.strip_suffix(PICKLE.as_bytes())?;
            let first =
                folder.iter().position(|byte| *byte == b'/').is_none_or(|slash| slash + 1 == folder.len());
            first.then(|| folder.to_vec())
        });
        let folder = folder.ok_or_else(|| {
            Error::Checkpoint(
                "this zip archive is no PyTorch file: it has no folder with data.pkl in it".into(),
            )
        })?;
        let mut archive = Self { zip, folder, left: bytes.len() as u64 };
        if archive.read("byteorder")?.is_some_and(|order| order.starts_with(b"big")) {
            return Err(Error::Checkpoint(
                "this PyTorch file was written by a big-endian machine, which is not read; write it on another".into(),
            ));
        }
        Ok(archive)
    }

    /// The bytes of a file in the folder, or `None` where there is none of this name.
    fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        // By its bytes: for a name that is absent, the other way would go through all of them.
        let path = [self.folder.as_slice(), name.as_bytes()].concat();
        let Some(place) = self.zip.index_for_name_raw(&path) else {
            return Ok(None);
        };
        let file = self.zip.by_index(place).map_err(|e| broken(&e))?;
        if file.compression() != CompressionMethod::Stored {
            return Err(Error::Checkpoint(format!(
                "{name} is compressed in this zip archive; torch.save compresses nothing, and torch.load reads no such file"
            ).into()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(file.size().min(self.left)).unwrap_or_default());
        file.take(self.left + 1).read_to_end(&mut bytes).map_err(|e| broken(&e))?;
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            Error::Checkpoint("the parts of this PyTorch file overlap; it is made to fill the memory".into())
        })?;
        Ok(Some(bytes))
    }
}

fn broken(error: &dyn std::fmt::Display) -> Error {
    Error::Checkpoint(
        format!("this PyTorch file is not whole ({error}); it was cut off or damaged: copy it again").into(),
    )
}
