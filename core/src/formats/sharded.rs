//! Weights that are written tensor by tensor into safetensors files of a bounded size, as `save_pretrained` names them: of
//! a model of any size no more is held than one tensor.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::tensor::Dtype;
use serde_json::{Map, Value, json};

use super::tensors::header;
use crate::error::{Error, Result};
use crate::told::told;

/// The weights of a model that need one file.
const WHOLE: &str = "model.safetensors";
/// Names the file of each tensor, where there are several.
const INDEX: &str = "model.safetensors.index.json";
/// Values that become bytes at a time.
const PIECE: usize = 1 << 16;

/// The type of stored numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredFloat {
    /// 32 bits.
    F32,
    /// 16 bits with the range of f32.
    Bf16,
    /// 16 bits, IEEE.
    F16,
}

impl StoredFloat {
    /// As PyTorch calls it, and a `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
            Self::F16 => "float16",
        }
    }

    /// The narrowest type that holds tensors of all these types exactly; none is f32.
    pub(crate) fn holding(types: &[Dtype]) -> Self {
        let all = |dtype: Dtype| !types.is_empty() && types.iter().all(|own| *own == dtype);
        match (all(Dtype::BF16), all(Dtype::F16)) {
            (true, _) => Self::Bf16,
            (_, true) => Self::F16,
            _ => Self::F32,
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::BF16,
            Self::F16 => Dtype::F16,
        }
    }

    fn width(self) -> u64 {
        if self == Self::F32 { 4 } else { 2 }
    }

    /// Writes values behind `bytes`; `false` where one becomes infinite.
    fn encode(self, values: &[f32], bytes: &mut Vec<u8>) -> bool {
        match self {
            Self::F32 => values.iter().for_each(|value| bytes.extend(value.to_le_bytes())),
            Self::Bf16 => {
                values.iter().for_each(|value| bytes.extend(bf16::from_f32(*value).to_le_bytes()));
                return values.iter().all(|value| bf16::from_f32(*value).is_finite() || !value.is_finite());
            }
            Self::F16 => {
                values.iter().for_each(|value| bytes.extend(f16::from_f32(*value).to_le_bytes()));
                return values.iter().all(|value| f16::from_f32(*value).is_finite() || !value.is_finite());
            }
        }
        true
    }
}

/// What takes the files: a file's name and the next of its bytes. A file is whole once another one begins.
pub type FileSink<'a> = dyn FnMut(&str, &[u8]) -> Result<()> + 'a;
/// What gives a tensor's values in order and in any pieces: its name, its shape, and what takes them.
pub type PieceSource<'a> = dyn FnMut(&str, &[usize], &mut dyn FnMut(&[f32]) -> Result<()>) -> Result<()> + 'a;

/// A tensor's name and shape.
type Named = (String, Vec<usize>);

/// Which tensors stand in which file.
pub struct ShardedWeights {
    float: StoredFloat,
    /// Each file with its tensors, in the order of the names.
    shards: Vec<(String, Vec<Named>)>,
    bytes: u64,
}

impl ShardedWeights {
    /// Divides tensors, in their order, into files of at most `most` bytes of data; one that is larger has a file alone.
    pub fn new(tensors: Vec<(String, Vec<usize>)>, float: StoredFloat, most: u64) -> Self {
        let mut groups: Vec<Vec<Named>> = vec![Vec::new()];
        let (mut filled, mut bytes) = (0, 0);
        for tensor in tensors {
            let size = size(&tensor.1, float);
            bytes += size;
            if filled > 0 && filled + size > most {
                groups.push(Vec::new());
                filled = 0;
            }
            filled += size;
            if let Some(group) = groups.last_mut() {
                group.push(tensor);
            }
        }
        let count = groups.len();
        let name = |i: usize| match count {
            1 => WHOLE.to_string(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
        };
        let mut shards: Vec<_> = groups.into_iter().enumerate().map(|(i, group)| (name(i), group)).collect();
        shards.iter_mut().for_each(|(_, group)| group.sort());
        Self { float, shards, bytes }
    }

    /// Bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes all files, and the index where there are several. Each tensor is asked for once, and what `source` gives of
    /// it is written before more is.
    ///
    /// # Errors
    /// What `source` and `sink` say; a tensor of another length than its shape, or with a value that the type cannot hold.
    pub fn write(&self, source: &mut PieceSource, sink: &mut FileSink) -> Result<()> {
        let texts = BTreeMap::from([("format".to_string(), "pt".to_string())]);
        for (file, tensors) in &self.shards {
            let listed = tensors.iter().map(|(name, shape)| {
                (name.as_str(), self.float.dtype(), shape.as_slice(), size(shape, self.float))
            });
            sink(file, &header(listed, &texts)?)?;
            for (name, shape) in tensors {
                self.write_tensor(name, shape, source, &mut |bytes| sink(file, bytes))?;
            }
        }
        match self.index() {
            Some(index) => sink(INDEX, &index),
            None => Ok(()),
        }
    }

    fn write_tensor(
        &self,
        name: &str,
        shape: &[usize],
        source: &mut PieceSource,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let (mut buffer, mut written) = (Vec::new(), 0);
        source(name, shape, &mut |values| {
            for piece in values.chunks(PIECE) {
                buffer.clear();
                if !self.float.encode(piece, &mut buffer) {
                    return Err(Error::Checkpoint(told!(
                        "tensor.beyond",
                        "tensor '{name}' holds values beyond the range of {kind}; keep it in bf16 or f32",
                        name,
                        kind = self.float.name()
                    )));
                }
                written += buffer.len() as u64;
                sink(&buffer)?;
            }
            Ok(())
        })?;
        let expected = size(shape, self.float);
        match written == expected {
            true => Ok(()),
            false => Err(Error::Checkpoint(told!(
                "tensor.values",
                "tensor '{name}' has {written} bytes, its shape {shape} takes {expected}",
                name,
                written,
                shape = format!("{shape:?}"),
                expected
            ))),
        }
    }

    fn index(&self) -> Option<Vec<u8>> {
        if self.shards.len() == 1 {
            return None;
        }
        let mut places: Vec<(&str, &str)> = Vec::new();
        for (file, tensors) in &self.shards {
            places.extend(tensors.iter().map(|(name, _)| (name.as_str(), file.as_str())));
        }
        places.sort_unstable();
        let map: Map<String, Value> =
            places.into_iter().map(|(name, file)| (name.to_string(), file.into())).collect();
        let index = json!({"metadata": {"total_size": self.bytes}, "weight_map": map});
        Some(format!("{index:#}\n").into_bytes())
    }
}

/// Bytes of a tensor.
fn size(shape: &[usize], float: StoredFloat) -> u64 {
    shape.iter().map(|&side| side as u64).product::<u64>() * float.width()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::formats::{Files, TensorFile, write_tensors};
    use crate::model::NamedTensor;

    fn tensors() -> Vec<(String, Vec<usize>)> {
        let shape = |name: &str, rows: usize| (name.to_string(), vec![rows, 4]);
        vec![shape("b", 3), shape("a", 2), shape("c", 1), shape("d", 9)]
    }

    /// Values that tell of which tensor they are; all hold exactly in 16 bits.
    fn values(name: &str, shape: &[usize]) -> Vec<f32> {
        let first = f32::from(name.as_bytes()[0]);
        (0..shape.iter().product()).map(|i| first + i as f32).collect()
    }

    fn write(float: StoredFloat, most: u64) -> Files {
        let mut files = Files::new();
        let weights = ShardedWeights::new(tensors(), float, most);
        let mut source = |name: &str, shape: &[usize], take: &mut dyn FnMut(&[f32]) -> Result<()>| {
            let values = values(name, shape);
            let (first, rest) = values.split_at(1);
            take(first)?;
            take(rest)
        };
        let mut sink = |file: &str, bytes: &[u8]| {
            files.entry(file.to_string()).or_default().extend_from_slice(bytes);
            Ok(())
        };
        weights.write(&mut source, &mut sink).unwrap();
        files
    }

    #[test]
    fn one_file_is_what_the_other_writer_makes() {
        let named = tensors().into_iter().map(|(name, shape)| {
            let values = values(&name, &shape);
            NamedTensor { name, shape, values }
        });
        let expected = write_tensors(&named.collect::<Vec<_>>(), &[]).unwrap();
        let files = write(StoredFloat::F32, 1 << 20);
        assert_eq!(files.keys().collect::<Vec<_>>(), [WHOLE]);
        assert!(files[WHOLE] == expected);
    }

    #[test]
    fn files_are_bounded_and_the_index_names_the_file_of_each_tensor() {
        for (float, most) in [(StoredFloat::F32, 80), (StoredFloat::Bf16, 40), (StoredFloat::F16, 40)] {
            let files = write(float, most);
            // b and a take 5 rows of 16 (or 8) bytes; c would be the sixth; d is larger than a file and stands alone.
            let names = ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"];
            let index: Value = serde_json::from_slice(&files[INDEX]).unwrap();
            assert_eq!(index["metadata"]["total_size"], 15 * 4 * float.width());
            let map = index["weight_map"].as_object().unwrap();
            assert_eq!(map.keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
            assert_eq!(
                (&map["b"], &map["a"], &map["c"]),
                (&names[0].into(), &names[0].into(), &names[1].into())
            );
            assert_eq!(files.len(), 4);
            for (name, shape) in tensors() {
                let file = map[&name].as_str().unwrap();
                let open = TensorFile::open(file, files[file].clone()).unwrap();
                assert_eq!(open.read(&name, &shape).unwrap(), values(&name, &shape));
                assert_eq!(StoredFloat::holding(&open.types([name.as_str()])), float);
            }
        }
    }

    #[test]
    fn no_more_is_held_than_a_tensor_and_a_piece_of_its_bytes() {
        let tensors: Vec<_> = (0..6).map(|i| (format!("t{i}"), vec![300, 1000])).collect();
        let weights = ShardedWeights::new(tensors, StoredFloat::F32, 3_000_000);
        // What was read and is not written yet, in values.
        let (open, largest) = (RefCell::new(0_usize), RefCell::new(0_usize));
        let mut source = |_: &str, shape: &[usize], take: &mut dyn FnMut(&[f32]) -> Result<()>| {
            assert_eq!(*open.borrow(), 0, "the tensor before is written");
            let values = vec![0.5; shape.iter().product()];
            *open.borrow_mut() = values.len();
            take(&values)
        };
        let mut sink = |_: &str, bytes: &[u8]| {
            let mut largest = largest.borrow_mut();
            *largest = bytes.len().max(*largest);
            let mut open = open.borrow_mut();
            *open = open.saturating_sub(bytes.len() / 4);
            Ok(())
        };
        weights.write(&mut source, &mut sink).unwrap();
        assert_eq!((*open.borrow(), *largest.borrow()), (0, 4 * PIECE));
        assert_eq!(weights.bytes(), 6 * 300 * 1000 * 4);
    }

    #[test]
    fn values_that_the_type_cannot_hold_and_lengths_that_do_not_fit_are_refused() {
        let told = |float: StoredFloat, value: f32, count: usize| {
            let weights = ShardedWeights::new(vec![("w".to_string(), vec![2])], float, 100);
            let mut source =
                |_: &str, _: &[usize], take: &mut dyn FnMut(&[f32]) -> Result<()>| take(&vec![value; count]);
            let result = weights.write(&mut source, &mut |_, _| Ok(()));
            result.err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(told(StoredFloat::F16, 70_000.0, 2).contains("'w' holds values beyond the range of float16"));
        assert!(told(StoredFloat::Bf16, 3.4e38, 2).contains("bfloat16"));
        assert_eq!(told(StoredFloat::Bf16, 70_000.0, 2), "");
        assert!(told(StoredFloat::F32, 1.0, 3).contains("has 12 bytes, its shape [2] takes 8"));
    }
}
