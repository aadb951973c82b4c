//! The weights of a safetensors file as those of a GGUF file.

use std::collections::BTreeMap;

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::config_metadata::Config;
use super::names::{Rotated, to_gguf};
use super::quantize::quantize;
use super::writer::{TensorPlan, begin, pad};
use super::{BlockType, Metadata, WeightType, rope_freqs};
use crate::error::{Error, Result};
use crate::formats::half_rotate::row_of_halves;
use crate::told::told;

/// A GGUF tensor and where its values come from: one tensor, or one for each expert.
struct Export<'a> {
    plan: TensorPlan,
    sources: BTreeMap<u64, TensorView<'a>>,
    rotated: Option<Rotated>,
}

/// A whole GGUF file.
///
/// # Errors
/// A tensor that the family does not have, of a wrong shape or type, or with values that the type cannot hold.
pub(super) fn write(
    weights: &SafeTensors,
    config: &Config,
    metadata: &Metadata,
    kind: WeightType,
) -> Result<Vec<u8>> {
    let divisors = config.rope_divisors()?;
    let divisors: Option<Vec<u8>> =
        divisors.map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect());
    let mut exports = exports(weights, config, kind)?;
    if let Some(bytes) = &divisors {
        let (key, export) = divisors_of_frequencies(bytes)?;
        exports.insert(key, export);
    }
    let plans: Vec<_> = exports.values().map(|export| export.plan.clone()).collect();
    let mut bytes = begin(metadata, &plans)?;
    for export in exports.values() {
        for view in export.sources.values() {
            write_rows(&mut bytes, view, export, config)?;
        }
        pad(&mut bytes);
    }
    Ok(bytes)
}

/// The tensor of the rotary embedding's divisors, which stands before the blocks.
fn divisors_of_frequencies(bytes: &[u8]) -> Result<((u64, String), Export<'_>)> {
    let shape = vec![bytes.len() / size_of::<f32>()];
    let plan = TensorPlan {
        name: rope_freqs::NAME.into(),
        shape: vec![shape[0] as u64],
        block_type: BlockType::F32,
    };
    let view = TensorView::new(Dtype::F32, shape, bytes).map_err(|_| odd_shape(&plan))?;
    Ok(((0, plan.name.clone()), Export { plan, sources: BTreeMap::from([(0, view)]), rotated: None }))
}

/// Checks the rows of the embedding against the config.
///
/// # Errors
/// No embedding, or one of another size.
pub(super) fn check_rows(weights: &SafeTensors, vocab_size: u64) -> Result<()> {
    const NAME: &str = "model.embed_tokens.weight";
    let view = weights.tensor(NAME).ok().filter(|view| !view.data().is_empty());
    let rows = view.and_then(|view| view.shape().first().copied()).unwrap_or(0);
    if rows as u64 == vocab_size {
        return Ok(());
    }
    Err(Error::Checkpoint(told!(
        "gguf.rows_differ",
        "model.safetensors: '{name}' has {rows} rows, and config.json a vocab_size of {vocab_size}; they belong to \
        different models",
        name = NAME,
        rows,
        vocab_size
    )))
}

/// The tensors in the order of the blocks: the embedding, the blocks, what stands behind them.
fn exports<'a>(
    weights: &SafeTensors<'a>,
    config: &Config,
    kind: WeightType,
) -> Result<BTreeMap<(u64, String), Export<'a>>> {
    let mut exports = BTreeMap::new();
    // In order, so that the same one of several odd tensors is told.
    let mut tensors = weights.tensors();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, view) in tensors {
        let found = to_gguf(config.architecture, &name).ok_or_else(|| {
            Error::Checkpoint(told!(
                "gguf.no_counterpart",
                "model.safetensors: tensor '{name}' has no counterpart in GGUF's {family} models",
                name,
                family = config.architecture.name()
            ))
        })?;
        // Some checkpoints store the tied projection a second time.
        if config.tied && found.name == "output.weight" {
            continue;
        }
        let shape: Vec<u64> = view.shape().iter().map(|&size| size as u64).collect();
        let block_type = block_type(&found.name, &shape, config.tied, kind);
        let rotated = found.rotated.filter(|_| config.architecture.turns_neighbours());
        let key = (found.layer, found.name.clone());
        let export = exports.entry(key).or_insert_with(|| Export {
            plan: TensorPlan { name: found.name, shape: shape.clone(), block_type },
            sources: BTreeMap::new(),
            rotated,
        });
        if shape.contains(&0) {
            return Err(odd_shape(&export.plan));
        }
        if shape != export.plan.shape {
            return Err(Error::Checkpoint(told!(
                "gguf.expert_shape",
                "model.safetensors: tensor '{name}' has the shape {shape}, another expert {other}",
                name,
                shape = format!("{shape:?}"),
                other = format!("{:?}", export.plan.shape)
            )));
        }
        export.sources.insert(found.expert.unwrap_or(0), view);
    }
    exports.values_mut().filter(|export| export.plan.name.contains("_exps.")).try_for_each(stack)?;
    Ok(exports)
}

/// Gives a stack its third dimension.
fn stack(export: &mut Export) -> Result<()> {
    let experts = export.sources.len() as u64;
    if export.sources.keys().next_back() != Some(&(experts - 1)) {
        return Err(Error::Checkpoint(told!(
            "gguf.experts_missing",
            "model.safetensors: {experts} experts for '{name}', and some numbers are missing",
            experts,
            name = export.plan.name
        )));
    }
    export.plan.shape.insert(0, experts);
    Ok(())
}

/// As llama.cpp: vectors, norms and routers stay F32, rows that are no whole blocks F16, and the output projection has
/// 8 bits at least, because errors there cost most.
fn block_type(name: &str, shape: &[u64], tied: bool, kind: WeightType) -> BlockType {
    if shape.len() < 2 || name.ends_with("_norm.weight") || name.ends_with("ffn_gate_inp.weight") {
        return BlockType::F32;
    }
    let output = name == if tied { "token_embd.weight" } else { "output.weight" };
    let wanted = match kind.block_type() {
        BlockType::Q4_0 if output => BlockType::Q8_0,
        wanted => wanted,
    };
    let width = shape.last().copied().unwrap_or(0);
    if wanted.row_bytes(width).is_some() { wanted } else { BlockType::F16 }
}

/// Appends a source's rows, in GGUF's order.
fn write_rows(bytes: &mut Vec<u8>, view: &TensorView, export: &Export, config: &Config) -> Result<()> {
    let heads = export.rotated.map(|rotated| match rotated {
        Rotated::Query => config.heads,
        Rotated::Key => config.key_value_heads,
    });
    // The rows of a bias are its values.
    let (rows, width) = match *view.shape() {
        [rows, width] => (rows as u64, width),
        [values] if heads.is_some() => (values as u64, 1),
        [values] => (1, values),
        _ => return Err(odd_shape(&export.plan)),
    };
    let head_dim = match heads {
        None => None,
        Some(heads) => {
            let head_dim = rows.checked_div(heads).filter(|dim| dim * heads == rows);
            let even = head_dim.filter(|dim| *dim == config.head_dim && dim.is_multiple_of(2) && *dim > 0);
            Some(even.ok_or_else(|| odd_shape(&export.plan))?)
        }
    };
    let mut row = vec![0.0; width];
    for i in 0..rows {
        let source = head_dim.map_or(i, |head_dim| row_of_halves(i, head_dim));
        read_row(view, source as usize, &mut row, &export.plan.name)?;
        quantize(export.plan.block_type, &row, bytes, &export.plan.name)?;
    }
    Ok(())
}

/// One row of a tensor.
fn read_row(view: &TensorView, row: usize, values: &mut [f32], name: &str) -> Result<()> {
    let data = |width: usize| &view.data()[row * values.len() * width..][..values.len() * width];
    match view.dtype() {
        Dtype::F32 => {
            let data = data(4).as_chunks().0;
            values.iter_mut().zip(data).for_each(|(value, &b)| *value = f32::from_le_bytes(b));
        }
        Dtype::F16 => {
            let data = data(2).as_chunks().0;
            values.iter_mut().zip(data).for_each(|(value, &b)| *value = f16::from_le_bytes(b).to_f32());
        }
        Dtype::BF16 => {
            let data = data(2).as_chunks().0;
            values.iter_mut().zip(data).for_each(|(value, &b)| *value = bf16::from_le_bytes(b).to_f32());
        }
        other => {
            return Err(Error::Checkpoint(told!(
                "gguf.weight_type",
                "model.safetensors: '{name}' is {other}; weights are read as F32, F16 or BF16",
                name,
                other = format!("{other:?}")
            )));
        }
    }
    Ok(())
}

fn odd_shape(plan: &TensorPlan) -> Error {
    Error::Checkpoint(told!(
        "gguf.weight_shape",
        "model.safetensors: '{name}' has the shape {shape}, which does not fit its name and the numbers of heads",
        name = plan.name,
        shape = format!("{:?}", plan.shape)
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::{Architecture, Gguf, Weights};
    use super::*;

    fn config() -> Json {
        json!({
            "model_type": "qwen3_moe", "vocab_size": 4, "hidden_size": 32, "num_attention_heads": 1,
            "tie_word_embeddings": true,
        })
    }

    /// Each tensor is filled with a number.
    fn exported(tensors: &[(&str, [usize; 2], f32)]) -> Result<Vec<u8>> {
        let filled: Vec<Vec<u8>> =
            tensors.iter().map(|(_, shape, x)| x.to_le_bytes().repeat(shape[0] * shape[1])).collect();
        let views = tensors.iter().zip(&filled).map(|((name, shape, _), bytes)| {
            (name.to_string(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        let json = config();
        let config = Config::new(&json).unwrap();
        write(&SafeTensors::deserialize(&bytes).unwrap(), &config, &Metadata::default(), WeightType::Q8_0)
    }

    #[test]
    fn experts_are_stacked_and_the_rest_keeps_its_type() {
        let expert = |e: usize| format!("model.layers.0.mlp.experts.{e}.down_proj.weight");
        let (first, second) = (expert(0), expert(1));
        let tensors = [
            (second.as_str(), [32, 64], 2.0),
            (first.as_str(), [32, 64], 1.0),
            ("model.layers.0.mlp.gate.weight", [2, 32], 3.0),
            ("model.layers.0.self_attn.q_proj.weight", [8, 24], 4.0),
            ("lm_head.weight", [4, 32], 5.0),
            ("model.embed_tokens.weight", [4, 32], 6.0),
        ];
        let bytes = exported(&tensors).unwrap();
        let gguf = Gguf::open(&bytes).unwrap();
        let kinds: Vec<_> = gguf
            .tensors
            .iter()
            .map(|(name, info)| (name.as_str(), info.block_type, info.shape.len()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("blk.0.attn_q.weight", BlockType::F16, 2),
                ("blk.0.ffn_down_exps.weight", BlockType::Q8_0, 3),
                ("blk.0.ffn_gate_inp.weight", BlockType::F32, 2),
                ("token_embd.weight", BlockType::Q8_0, 2),
            ]
        );
        let weights = Weights::new(&gguf, Architecture::Qwen3Moe, [1, 1]).unwrap();
        for (name, shape, value) in tensors.iter().filter(|tensor| tensor.0 != "lm_head.weight") {
            let tensor = weights.read(name).unwrap();
            assert_eq!((tensor.shape.as_slice(), tensor.values[31].round()), (&shape[..], *value), "{name}");
        }
        let message = exported(&tensors[..1]).unwrap_err().to_string();
        assert!(message.contains("some numbers are missing"), "{message}");
    }

    #[test]
    fn strangers_and_empty_tensors_are_refused() {
        let message =
            exported(&[("model.layers.0.mlp.experts.gate_up_proj", [2, 2], 1.0)]).unwrap_err().to_string();
        assert!(
            message.contains("'model.layers.0.mlp.experts.gate_up_proj' has no counterpart"),
            "{message}"
        );
        let message = exported(&[("model.norm.weight", [1 << 40, 0], 1.0)]).unwrap_err().to_string();
        assert!(message.contains("'output_norm.weight' has the shape"), "{message}");
    }
}
