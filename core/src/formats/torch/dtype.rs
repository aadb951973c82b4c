//! The number types of torch's storages.

use half::{bf16, f16};

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// `FloatStorage`.
    F32,
    /// `HalfStorage`.
    F16,
    /// `BFloat16Storage`.
    BF16,
    /// `DoubleStorage`.
    F64,
    /// `LongStorage`.
    I64,
    /// `IntStorage`.
    I32,
    /// `ShortStorage`.
    I16,
    /// `CharStorage`.
    I8,
    /// `ByteStorage` and `UntypedStorage`.
    U8,
    /// `BoolStorage`.
    Bool,
    /// `ComplexFloatStorage`: tables of rotary angles, which have no f32 form.
    Complex64,
}

impl DType {
    /// The type of a storage class, by its name in `torch`.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        Some(match class {
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::BF16,
            "DoubleStorage" => Self::F64,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" | "UntypedStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            "ComplexFloatStorage" => Self::Complex64,
            _ => return None,
        })
    }

    /// Bytes of one element.
    pub fn width(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::Complex64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// How [`DType::width`] little-endian bytes become an f32; numbers that f32 does not have are rounded.
    pub(super) fn decoder(self) -> Option<fn(&[u8]) -> f32> {
        Some(match self {
            Self::F32 => |b| f32::from_le_bytes(array(b)),
            Self::F16 => |b| f16::from_le_bytes(array(b)).to_f32(),
            Self::BF16 => |b| bf16::from_le_bytes(array(b)).to_f32(),
            Self::F64 => |b| f64::from_le_bytes(array(b)) as f32,
            Self::I64 => |b| i64::from_le_bytes(array(b)) as f32,
            Self::I32 => |b| i32::from_le_bytes(array(b)) as f32,
            Self::I16 => |b| f32::from(i16::from_le_bytes(array(b))),
            Self::I8 => |b| f32::from(i8::from_le_bytes(array(b))),
            Self::U8 => |b| f32::from(u8::from_le_bytes(array(b))),
            Self::Bool => |b| f32::from(u8::from(array::<1>(b) != [0])),
            Self::Complex64 => return None,
        })
    }
}

/// The first bytes of a slice; missing ones are zero, so that no length can panic.
pub(super) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_decodes_to_the_number_it_holds() {
        let cases: [(DType, Vec<u8>, f32); 10] = [
            (DType::F32, (-1.5f32).to_le_bytes().into(), -1.5),
            (DType::F16, f16::from_f32(0.25).to_le_bytes().into(), 0.25),
            (DType::BF16, bf16::from_f32(-3.0).to_le_bytes().into(), -3.0),
            (DType::F64, 0.1f64.to_le_bytes().into(), 0.1),
            (DType::I64, (-7i64).to_le_bytes().into(), -7.0),
            (DType::I32, 70_000i32.to_le_bytes().into(), 70_000.0),
            (DType::I16, (-300i16).to_le_bytes().into(), -300.0),
            (DType::I8, vec![0xff], -1.0),
            (DType::U8, vec![0xff], 255.0),
            (DType::Bool, vec![2], 1.0),
        ];
        for (dtype, bytes, expected) in cases {
            assert_eq!(dtype.width(), bytes.len());
            assert_eq!(dtype.decoder().unwrap()(&bytes), expected, "{dtype:?}");
        }
        assert!(DType::Complex64.decoder().is_none());
    }
}
