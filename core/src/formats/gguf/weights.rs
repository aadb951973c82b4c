//! The weights of a GGUF file by their Hugging Face names, as f32.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::cursor::damaged;
use super::names::{Rotated, to_hugging_face};
use super::{Architecture, Gguf, TensorInfo, dequantize, rope_freqs};
use crate::error::{Error, Result};
use crate::formats::half_rotate::row_of_neighbours;
use crate::model::NamedTensor;
use crate::told::told;

/// Known models have 512 experts.
const MOST_EXPERTS: u64 = 4096;
/// Known models have 100 000, an expert's matrix a weight. Each takes a kilobyte by name, whatever it holds.
const MOST_WEIGHTS: usize = 1 << 19;

/// The weights of a GGUF file, in the order of Hugging Face's names and rows.
pub struct Weights<'a> {
    gguf: &'a Gguf<'a>,
    parts: BTreeMap<String, Part<'a>>,
}

/// A GGUF tensor, or one expert of a stack.
struct Part<'a> {
    tensor: &'a TensorInfo,
    shape: Vec<usize>,
    /// The first of its rows in the tensor.
    first: u64,
    rows: u64,
    width: usize,
    /// The width of a head, where rows change their places.
    head_dim: Option<u64>,
}

impl<'a> Weights<'a> {
    /// Names the tensors of a file; `heads` are the query heads, and the key and value heads.
    ///
    /// # Errors
    /// A tensor that the family does not have, or that its heads do not divide.
    pub fn new(gguf: &'a Gguf<'a>, architecture: Architecture, heads: [u64; 2]) -> Result<Self> {
        let mut parts = BTreeMap::new();
        // Frequencies are no weights; the config has them.
        let frequencies = |name: &str| architecture == Architecture::Llama && name == rope_freqs::NAME;
        for (name, tensor) in gguf.tensors.iter().filter(|(name, _)| !frequencies(name)) {
            let place = to_hugging_face(architecture, name).ok_or_else(|| unknown(name, architecture))?;
            let (experts, shape) = match tensor.shape.as_slice() {
                [experts @ ..=MOST_EXPERTS, shape @ ..] if place.is_stack() && shape.len() == 2 => {
                    (*experts, shape)
                }
                shape if !place.is_stack() && shape.len() <= 2 => (1, shape),
                shape => return Err(odd_shape(name, shape)),
            };
            let rotated = place.rotated.filter(|_| architecture.turns_neighbours());
            let heads = rotated.map(|rotated| if rotated == Rotated::Query { heads[0] } else { heads[1] });
            if experts as usize + parts.len() > MOST_WEIGHTS {
                return Err(damaged(told!(
                    "gguf.many",
                    "it has more than {most_weights} weights",
                    most_weights = MOST_WEIGHTS
                )));
            }
            for expert in 0..experts {
                let part =
                    Part::new(tensor, shape, heads, expert).ok_or_else(|| odd_shape(name, &tensor.shape))?;
                parts.insert(place.name(expert), part);
            }
        }
        Ok(Self { gguf, parts })
    }

    /// The names of all weights, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.keys().map(String::as_str)
    }

    /// One weight.
    ///
    /// # Errors
    /// A name that the file does not have.
    pub fn read(&self, name: &str) -> Result<NamedTensor> {
        let part = self.parts.get(name).ok_or_else(|| {
            Error::Checkpoint(told!(
                "gguf.weight_missing",
                "the GGUF file has no weight that Hugging Face calls '{name}'",
                name
            ))
        })?;
        let mut values = Vec::new();
        part.rows(self.gguf, |row| values.extend_from_slice(row))?;
        Ok(NamedTensor { name: name.to_string(), shape: part.shape.clone(), values })
    }

    /// All weights as a safetensors file of f32. Rows are decoded one by one into the file's bytes, which are the only
    /// large memory this takes.
    ///
    /// # Errors
    /// More bytes than there is memory.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let mut header = Map::new();
        header.insert("__metadata__".into(), json!({"format": "pt"}));
        let mut end = 0_u64;
        for (name, part) in &self.parts {
            let begin = end;
            end += part.rows * part.width as u64 * 4;
            let entry = json!({"dtype": "F32", "shape": part.shape, "data_offsets": [begin, end]});
            header.insert(name.clone(), entry);
        }
        let mut header = Json::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = Vec::new();
        let total = usize::try_from(end).ok().and_then(|end| end.checked_add(8 + header.len()));
        total.and_then(|total| bytes.try_reserve_exact(total).ok()).ok_or_else(|| {
            Error::Checkpoint(told!(
                "gguf.weights_large",
                "the weights take {end} bytes as f32, more than there is memory for; take a smaller model",
                end
            ))
        })?;
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        for part in self.parts.values() {
            part.rows(self.gguf, |row| bytes.extend(row.iter().flat_map(|x| x.to_le_bytes())))?;
        }
        Ok(bytes)
    }
}

impl<'a> Part<'a> {
    /// `None` where the heads do not divide the rows into even widths, or a number is too large for this machine.
    fn new(tensor: &'a TensorInfo, shape: &[u64], heads: Option<u64>, expert: u64) -> Option<Self> {
        // The rows of a bias are its values.
        let (rows, width) = match *shape {
            [rows, width] => (rows, width),
            [values] if heads.is_some() => (values, 1),
            [values] => (1, values),
            _ => return None,
        };
        let head_dim = match heads {
            None => None,
            Some(heads) => {
                let head_dim = rows.checked_div(heads).filter(|dim| dim * heads == rows)?;
                Some(Some(head_dim).filter(|dim| *dim > 0 && dim.is_multiple_of(2))?)
            }
        };
        tensor.block_type.row_bytes(width)?;
        let shape = shape.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>()?;
        let width = usize::try_from(width).ok()?;
        Some(Self { tensor, shape, first: expert * rows, rows, width, head_dim })
    }

    /// Decodes its rows, in Hugging Face's order.
    fn rows(&self, gguf: &Gguf, mut each: impl FnMut(&[f32])) -> Result<()> {
        let bytes = gguf.bytes(self.tensor)?;
        let mut row = vec![0.0; self.width];
        // The table was checked: a row's bytes are a part of the file's.
        let size = self.tensor.block_type.row_bytes(self.width as u64).unwrap_or(0) as usize;
        for i in 0..self.rows {
            let place = self.first + self.head_dim.map_or(i, |head_dim| row_of_neighbours(i, head_dim));
            let begin = place as usize * size;
            dequantize(self.tensor.block_type, &bytes[begin..begin + size], &mut row)?;
            each(&row);
        }
        Ok(())
    }
}

fn odd_shape(name: &str, shape: &[u64]) -> Error {
    Error::Checkpoint(told!(
        "gguf.tensor_shape",
        "tensor '{name}' of the GGUF file has the shape {shape}, which does not fit its name and the numbers of heads",
        name,
        shape = format!("{shape:?}")
    ))
}

fn unknown(name: &str, architecture: Architecture) -> Error {
    Error::Checkpoint(told!(
        "gguf.variant_tensor",
        "the GGUF file has the tensor '{name}', which a plain {family} model does not have; such variants are not \
        supported",
        name,
        family = architecture.name()
    ))
}
