//! MiniMind's LoRA files (`<layer>.lora.A.weight`, `<layer>.lora.B.weight`, no scale) as PEFT adapters.

use std::collections::{BTreeMap, BTreeSet};

use super::TorchTensor;
use super::minimind::MinimindShape;
use super::names::{hugging_face_name, is_interleaved, is_known};
use crate::adapter::{Adapter, AdapterConfig, LoraConfig, path};
use crate::error::{Error, Result};
use crate::formats::Files;
use crate::formats::half_rotate::to_half_rotate;
use crate::model::NamedTensor;

/// Whether a tensor is a half of a low-rank pair.
pub(super) fn is_lora(name: &str) -> bool {
    name.contains(".lora.")
}

/// The files of the adapter. MiniMind adds `B·A·x` as it is, so alpha is the rank.
///
/// # Errors
/// Tensors that are no pairs, of several ranks or of unknown layers; rotary rows to reorder without the heads.
pub(super) fn adapter_files(tensors: Vec<TorchTensor>, told: &MinimindShape) -> Result<Files> {
    let mut pairs: BTreeMap<String, [Option<NamedTensor>; 2]> = BTreeMap::new();
    for tensor in tensors {
        let interleaved = is_interleaved(&tensor.name);
        let half = [".lora.A.weight", ".lora.B.weight"].iter().position(|half| tensor.name.ends_with(half));
        let layer = tensor.name.split(".lora.").next().unwrap_or_default();
        let weight = hugging_face_name(&format!("{layer}.weight"));
        let (Some(half), Some(layer), true) = (half, weight.strip_suffix(".weight"), is_known(&weight))
        else {
            return Err(Error::Checkpoint(format!(
                "tensor '{}' is no half of a low-rank pair of a MiniMind layer; LoRA files hold nothing else",
                tensor.name
            ).into()));
        };
        let (layer, mut tensor) = (layer.to_string(), NamedTensor::from(tensor));
        if interleaved && half == 1 {
            turn_rows(&mut tensor, &layer, told)?;
        }
        tensor.name = path(&layer, if half == 0 { 'a' } else { 'b' });
        pairs.entry(layer).or_default()[half] = Some(tensor);
    }
    let rank = rank(&pairs)?;
    let targets: BTreeSet<&str> = pairs.keys().filter_map(|layer| layer.rsplit('.').next()).collect();
    let lora = LoraConfig {
        rank,
        alpha: rank as f64,
        dropout: 0.0,
        targets: targets.into_iter().map(String::from).collect(),
        ..LoraConfig::default()
    };
    let weights = pairs.into_values().flatten().flatten().collect();
    Adapter::new(AdapterConfig { lora, base: None, base_name: None }, weights).files()
}

/// Queries and keys of the first two generations turn neighbouring pairs.
fn turn_rows(tensor: &mut NamedTensor, layer: &str, told: &MinimindShape) -> Result<()> {
    let heads = match layer.rsplit('.').next() {
        Some("q_proj") => told.heads,
        Some("k_proj") => told.kv_heads,
        _ => return Ok(()),
    };
    let heads = heads.filter(|heads| *heads > 0).ok_or_else(|| {
        Error::Checkpoint(
            "a LoRA file of MiniMind's first two generations does not tell the number of heads, by which its rotary rows \
            are reordered; name the preset of its base, such as --preset minimind2-small"
                .into(),
        )
    })?;
    let rows = tensor.shape.first().copied().unwrap_or_default();
    tensor.values = to_half_rotate(&tensor.name, &tensor.values, heads, rows / heads)?;
    Ok(())
}

/// The rank that all pairs have.
fn rank(pairs: &BTreeMap<String, [Option<NamedTensor>; 2]>) -> Result<usize> {
    let mut ranks = BTreeSet::new();
    for (layer, halves) in pairs {
        let [Some(a), Some(b)] = halves else {
            return Err(Error::Checkpoint(
                format!("the LoRA file has one half of layer '{layer}' only; it is damaged: save it again")
                    .into(),
            ));
        };
        match (a.shape.as_slice(), b.shape.as_slice()) {
            ([rank, _], [_, columns]) if rank == columns && *rank > 0 => ranks.insert(*rank),
            (a, b) => {
                return Err(Error::Checkpoint(format!(
                    "the halves of layer '{layer}' in the LoRA file are of shapes {a:?} and {b:?}, which do not multiply"
                ).into()));
            }
        };
    }
    match ranks.iter().copied().collect::<Vec<_>>().as_slice() {
        [rank] => Ok(*rank),
        ranks => Err(Error::Checkpoint(
            format!("the LoRA file has the ranks {ranks:?}; one rank can be read").into(),
        )),
    }
}
