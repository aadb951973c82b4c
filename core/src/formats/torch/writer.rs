//! A state dict as `torch.save` writes it, so that `torch.load(FILE, weights_only=True)` opens it.

use std::io::{Cursor, Write};

use half::f16;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, System, ZipWriter};

use crate::error::{Error, Result};
use crate::model::NamedTensor;

/// torch begins each storage at such a place, so that it can be mapped into memory.
const ALIGNMENT: u16 = 64;
/// Longer parts need the larger form of a zip archive.
const SMALL: u64 = 0xffff_ffff;

/// The number type of the tensors in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TorchFloat {
    /// 16 bits, as MiniMind's own files are.
    F16,
    /// 32 bits, which lose nothing.
    F32,
}

/// The bytes of a `.pth` file with an ordered dictionary of tensors. A pair in `same` is a further name and the name
/// of the tensor whose storage it shares. Equal input makes equal bytes.
///
/// # Errors
/// Values beyond 16 bits; tensors whose values do not fill their shape; a shared tensor that is absent.
pub fn write_state_dict(
    tensors: &[NamedTensor],
    same: &[(&str, &str)],
    float: TorchFloat,
) -> Result<Vec<u8>> {
    let pickle = pickle(tensors, same, float)?;
    // torch numbers its files by their contents; only its log reads that.
    let id = pickle.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut archive = Archive(ZipWriter::new(Cursor::new(Vec::new())));
    archive.add("data.pkl", &pickle)?;
    archive.add("byteorder", b"little")?;
    for (i, tensor) in tensors.iter().enumerate() {
        archive.add(&format!("data/{i}"), &bytes(tensor, float)?)?;
    }
    archive.add("version", b"3\n")?;
    archive.add(".data/serialization_id", format!("{id:040}").as_bytes())?;
    Ok(archive.0.finish().map_err(|e| told(&e))?.into_inner())
}

struct Archive(ZipWriter<Cursor<Vec<u8>>>);

impl Archive {
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .system(System::Unix)
            .large_file(bytes.len() as u64 >= SMALL)
            .with_alignment(ALIGNMENT);
        self.0.start_file(format!("archive/{name}"), options).map_err(|e| told(&e))?;
        self.0.write_all(bytes).map_err(|e| told(&e))
    }
}

fn told(error: &dyn std::fmt::Display) -> Error {
    Error::Checkpoint(format!("the PyTorch file cannot be made: {error}").into())
}

fn bytes(tensor: &NamedTensor, float: TorchFloat) -> Result<Vec<u8>> {
    if tensor.shape.iter().product::<usize>() != tensor.values.len() {
        return Err(told(&format!(
            "tensor '{}' has {} values for the shape {:?}",
            tensor.name,
            tensor.values.len(),
            tensor.shape
        )));
    }
    if float == TorchFloat::F32 {
        return Ok(tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect());
    }
    let wide = |value: &&f32| value.is_finite() && f16::from_f32(**value).is_infinite();
    if let Some(wide) = tensor.values.iter().find(wide) {
        return Err(told(&format!(
            "tensor '{}' holds {wide}, and 16 bits go to {}; write 32 bits",
            tensor.name,
            f16::MAX
        )));
    }
    Ok(tensor.values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect())
}

/// `data.pkl`, in protocol 2: `OrderedDict()` and its items.
fn pickle(tensors: &[NamedTensor], same: &[(&str, &str)], float: TorchFloat) -> Result<Vec<u8>> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (i, tensor) in tensors.iter().enumerate() {
        put_tensor(&mut out, &tensor.name, i, tensor, float);
    }
    for (name, original) in same {
        let i = tensors.iter().position(|tensor| tensor.name == *original);
        let i = i.ok_or_else(|| told(&format!("there is no tensor '{original}', which '{name}' shares")))?;
        put_tensor(&mut out, name, i, &tensors[i], float);
    }
    out.extend(b"u.");
    Ok(out)
}

/// `name: _rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
fn put_tensor(out: &mut Vec<u8>, name: &str, storage: usize, tensor: &NamedTensor, float: TorchFloat) {
    put_text(out, name);
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    put_text(out, "storage");
    out.extend_from_slice(match float {
        TorchFloat::F16 => b"ctorch\nHalfStorage\n".as_slice(),
        TorchFloat::F32 => b"ctorch\nFloatStorage\n",
    });
    put_text(out, &storage.to_string());
    put_text(out, "cpu");
    put_number(out, tensor.values.len());
    out.extend(b"tQK\x00(");
    tensor.shape.iter().for_each(|size| put_number(out, *size));
    out.extend(b"t(");
    let strides = (1..=tensor.shape.len()).map(|axis| tensor.shape[axis..].iter().product::<usize>().max(1));
    strides.for_each(|stride| put_number(out, stride));
    out.extend(b"t\x89ccollections\nOrderedDict\n)RtR");
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

/// BININT, and LONG1 of 9 bytes for what exceeds it.
fn put_number(out: &mut Vec<u8>, number: usize) {
    match i32::try_from(number) {
        Ok(number) => {
            out.push(b'J');
            out.extend(number.to_le_bytes());
        }
        Err(_) => {
            out.extend([0x8a, 9]);
            out.extend((number as u64).to_le_bytes());
            out.push(0);
        }
    }
}
