//! What the functions and classes make that a file of tensors names. None is run; any other name is refused.

use super::dtype::DType;
use super::reader::damaged;
use super::value::{Global, Pickled, Storage, Tables, View};
use crate::error::{Error, Result};
use crate::told::told;

/// Axes of a tensor.
const MOST_AXES: usize = 16;
/// Arguments that are looked at.
const MOST_ARGUMENTS: usize = 8;
/// Number types that optimizers and settings name, as in `torch.float32`.
const DTYPES: [&str; 11] = [
    "float32",
    "float16",
    "bfloat16",
    "float64",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "complex64",
];

impl Global {
    /// The known meaning of a name.
    ///
    /// # Errors
    /// Any other name: Python would run it as code.
    pub(super) fn named(module: &str, name: &str) -> Result<Self> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::Dict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::Parameter,
            ("torch", "Size") => Self::Size,
            ("torch", "device" | "Tensor") | ("torch.serialization", "_get_layout") => Self::Other,
            ("torch", name) if DTYPES.contains(&name) => Self::Other,
            ("collections", "Counter") | ("_codecs", "encode") => Self::Other,
            ("builtins" | "__builtin__", "set" | "bytearray" | "complex") => Self::Other,
            ("torch" | "torch.cuda" | "torch.storage", name) => {
                Self::Storage(DType::of_storage(name).ok_or_else(|| unknown(module, name))?)
            }
            _ => return Err(unknown(module, name)),
        })
    }

    /// What it makes of its arguments.
    ///
    /// # Errors
    /// Arguments that torch does not give it.
    pub(super) fn call<'a>(self, tables: &mut Tables<'a>, arguments: Pickled<'a>) -> Result<Pickled<'a>> {
        let arguments = tables.items(arguments).ok_or_else(|| damaged("calls a function with no tuple"))?;
        let first: Vec<_> = arguments.iter().take(MOST_ARGUMENTS).copied().collect();
        match (self, first.as_slice()) {
            (Self::Other, _) => Ok(Pickled::Other),
            (Self::Dict, []) => Ok(tables.add_dict(Vec::new())),
            (Self::Parameter, [tensor @ Pickled::Tensor(_), ..]) => Ok(*tensor),
            (Self::Size, [sizes @ Pickled::Tuple(..)]) => Ok(*sizes),
            (Self::Tensor, [Pickled::Storage(storage), Pickled::Int(offset), shape, strides, ..]) => {
                let (shape, strides) = (sizes(tables, *shape)?, sizes(tables, *strides)?);
                if shape.len() != strides.len() {
                    return Err(damaged("has a tensor with another number of strides than of axes"));
                }
                Ok(tables.add_tensor(View { storage: *storage, offset: size(*offset)?, shape, strides }))
            }
            _ => Err(damaged("calls a function with other arguments than torch does")),
        }
    }
}

/// A storage, by what torch writes of it: `("storage", class, key, device, count)`.
///
/// # Errors
/// Anything else.
pub(super) fn storage<'a>(tables: &mut Tables<'a>, id: Pickled<'a>) -> Result<Pickled<'a>> {
    match tables.items(id) {
        Some(
            [
                Pickled::Text("storage"),
                Pickled::Global(Global::Storage(dtype)),
                Pickled::Text(key),
                _,
                Pickled::Int(count),
            ],
        ) => {
            let storage = Storage { key, dtype: *dtype, count: size(*count)? };
            Ok(tables.add_storage(storage))
        }
        _ => Err(damaged("refers to something that is no storage of numbers")),
    }
}

fn sizes<'a>(tables: &Tables<'a>, value: Pickled<'a>) -> Result<Vec<u64>> {
    let items = tables.items(value).filter(|items| items.len() <= MOST_AXES);
    let items =
        items.ok_or_else(|| damaged(&format!("has a tensor without a shape of {MOST_AXES} axes or less")))?;
    let number = |item: &Pickled| match item {
        Pickled::Int(number) => size(*number),
        _ => Err(damaged("has a tensor whose shape is not made of numbers")),
    };
    items.iter().map(number).collect()
}

fn size(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| damaged(&format!("has a tensor of the size {number}")))
}

fn unknown(module: &str, name: &str) -> Error {
    Error::Checkpoint(if module.starts_with("torch") {
        told!(
            "torch.type",
            "the file holds {module}.{name}, which is not read; dense tensors of floats or whole numbers are. Save \
            only the weights: torch.save(model.state_dict(), FILE)",
            module,
            name
        )
    } else {
        told!(
            "torch.code",
            "the file holds code: {module}.{name}; only tensors are read, and nothing was run. Save only the weights: \
            torch.save(model.state_dict(), FILE)",
            module,
            name
        )
    })
}
