//! An adapter's directory of mlx-lm: `adapters.safetensors`, and settings of its own in `adapter_config.json`.

use std::collections::BTreeSet;

use super::keys::{ADAPTER_CONFIG, Object, needed, shown, value};
use super::weights::refuse_empty;
use crate::adapter::{Adapter, AdapterConfig, LoraConfig, Scope, path};
use crate::error::{Error, Result};
use crate::formats::TensorFile;
use crate::model::NamedTensor;
use crate::told::told;

/// The weights' file of mlx-lm, whose settings' file has the same name.
pub const MLX_WEIGHTS: &str = "adapters.safetensors";

/// Keys that only mlx-lm writes.
const MARKS: [&str; 3] = ["lora_parameters", "fine_tune_type", "lora_layers"];
/// What is read of `lora_parameters`.
const PARAMETERS: [&str; 4] = ["rank", "scale", "dropout", "keys"];
/// Before the names of a block's layers, and its number.
const BLOCKS: &str = "model.layers.";
const FUSE: &str = "join it with its base there, mlx_lm.fuse --model BASE --adapter-path DIR --save-path OUT, and give OUT \
                    as the model";

/// Whether these are settings of mlx-lm.
pub(super) fn is_mlx(json: &Object) -> bool {
    !json.contains_key("peft_type") && MARKS.iter().any(|key| json.contains_key(*key))
}

/// Opens such an adapter. Its other keys are those of the training, which the weights are the outcome of.
///
/// # Errors
/// Kinds that are no plain LoRA; settings and weights that do not fit.
pub(super) fn open(json: &Object, file: &TensorFile) -> Result<Adapter> {
    refuse(json)?;
    let parameters: Object = needed(json, "lora_parameters")?;
    check_parameters(&parameters)?;
    let tensors = file.read_all()?;
    refuse_empty(MLX_WEIGHTS, &tensors)?;
    let weights = tensors.iter().map(from_mlx).collect::<Result<Vec<_>>>()?;
    let (blocks, names) = blocks_and_names(&weights);
    check_blocks(json, &blocks)?;
    let rank: usize = needed(&parameters, "rank")?;
    let scale: f64 = needed(&parameters, "scale")?;
    let lora = LoraConfig {
        rank,
        // Here the scale is alpha / rank.
        alpha: scale * rank as f64,
        dropout: value(&parameters, "dropout")?.unwrap_or_default(),
        targets: value(&parameters, "keys")?.unwrap_or_else(|| names.into_iter().collect()),
        scope: Scope {
            to_last: !blocks.is_empty(),
            blocks: (!blocks.is_empty()).then(|| blocks.into_iter().collect()),
            ..Scope::default()
        },
        ..LoraConfig::default()
    };
    let base_name = json.get("model").and_then(|name| name.as_str()).map(String::from);
    Ok(Adapter::new(AdapterConfig { lora, base: None, base_name }, weights))
}

fn refuse(json: &Object) -> Result<()> {
    let kind = value::<String>(json, "fine_tune_type")?.unwrap_or_else(|| "lora".into());
    let dora = value::<bool>(json, "use_dora")?.unwrap_or_default();
    if kind == "lora" && !dora {
        return Ok(());
    }
    let key = if dora { "use_dora".to_string() } else { format!("fine_tune_type \"{kind}\"") };
    Err(Error::Checkpoint(told!(
        "mlx.kind",
        "{adapter_config} is one of mlx-lm, with {key}, which is not supported; plain LoRA is: {fuse}",
        adapter_config = ADAPTER_CONFIG,
        key,
        fuse = FUSE
    )))
}

fn check_parameters(parameters: &Object) -> Result<()> {
    let other =
        parameters.iter().find(|(key, value)| !PARAMETERS.contains(&key.as_str()) && !value.is_null());
    let Some((key, value)) = other else { return Ok(()) };
    Err(Error::Checkpoint(told!(
        "mlx.parameter",
        "{adapter_config} is one of mlx-lm, whose lora_parameters have {key} = {value}: {why}; {fuse}",
        adapter_config = ADAPTER_CONFIG,
        key,
        value = shown(value),
        why = match key.as_str() {
            "alpha" => "old versions multiplied by scale · alpha / rank, later ones by scale alone",
            _ => "it is not known here, and may change what the adapter computes",
        },
        fuse = FUSE
    )))
}

/// mlx-lm adapts the last blocks, `num_layers` of them; 0 and less are all, and so is more than there are.
fn check_blocks(json: &Object, blocks: &BTreeSet<usize>) -> Result<()> {
    let told = match value::<i64>(json, "num_layers")? {
        None => value::<i64>(json, "lora_layers")?,
        told => told,
    };
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
    let count = told.and_then(|told| usize::try_from(told).ok()).filter(|count| *count > 0);
    let fits = |count: &usize| *count == blocks.len() || (*count > blocks.len() && *first == 0);
    if let Some(count) = count.filter(|count| !fits(count)) {
        return Err(Error::Checkpoint(told!(
            "mlx.blocks",
            "{adapter_config} is one of mlx-lm with num_layers = {count}, {mlx_weights} has weights for {blocks} blocks, {first} to \
             {last}; it is not whole, or settings and weights are of two adapters: take both files from one save",
            adapter_config = ADAPTER_CONFIG,
            count,
            mlx_weights = MLX_WEIGHTS,
            blocks = blocks.len(),
            first,
            last
        )));
    }
    let first = if told.is_some_and(|told| told <= 0) { &0 } else { first };
    match (*first..=*last).find(|block| !blocks.contains(block)) {
        None => Ok(()),
        Some(lacking) => Err(Error::Checkpoint(told!(
            "mlx.block_missing",
            "{mlx_weights} of mlx-lm should have weights for the blocks {first} to {last}, and has none for block {lacking}; \
             it is not whole: save it again where it was trained",
            mlx_weights = MLX_WEIGHTS,
            first,
            last,
            lacking
        ))),
    }
}

/// `<layer>.lora_a` of shape `[in, rank]` → `<layer>.lora.0.a` of shape `[rank, in]`, and the other half alike.
fn from_mlx(tensor: &NamedTensor) -> Result<NamedTensor> {
    let halves = [(".lora_a", 'a'), (".lora_b", 'b')];
    let name =
        halves.into_iter().find_map(|(suffix, half)| Some(path(tensor.name.strip_suffix(suffix)?, half)));
    let (Some(name), [rows, columns]) = (name, tensor.shape.as_slice()) else {
        return Err(Error::Checkpoint(told!(
            "mlx.tensor",
            "{mlx_weights} of mlx-lm: tensor '{name}' of shape {shape} is neither lora_a nor lora_b of a dense layer, and nobody \
             would read it; {fuse}",
            mlx_weights = MLX_WEIGHTS,
            name = tensor.name,
            shape = format!("{:?}", tensor.shape),
            fuse = FUSE
        )));
    };
    let (rows, columns) = (*rows, *columns);
    let values = (0..rows * columns).map(|i| tensor.values[i % rows * columns + i / rows]).collect();
    Ok(NamedTensor { name, shape: vec![columns, rows], values })
}

/// The numbers of the blocks that have weights, and the names of all layers without them: mlx-lm names its targets by what
/// they are in a block, and where it names none, adapts whatever it finds.
fn blocks_and_names(weights: &[NamedTensor]) -> (BTreeSet<usize>, BTreeSet<String>) {
    let (mut blocks, mut names) = (BTreeSet::new(), BTreeSet::new());
    let suffix = path("", 'a');
    for layer in weights.iter().filter_map(|tensor| tensor.name.strip_suffix(&suffix)) {
        let inside = layer.strip_prefix(BLOCKS).and_then(|rest| rest.split_once('.'));
        let name = match inside.and_then(|(block, name)| Some((block.parse::<usize>().ok()?, name))) {
            Some((block, name)) => {
                blocks.insert(block);
                name
            }
            None => layer,
        };
        names.insert(name.to_string());
    }
    (blocks, names)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::formats::write_tensors;

    fn opened(config: Value, layers: &[&str]) -> Result<Adapter> {
        let tensor = |layer: &str, half: &str, shape: [usize; 2]| NamedTensor {
            name: format!("{layer}.{half}"),
            shape: shape.to_vec(),
            values: (0..shape[0] * shape[1]).map(|i| i as f32).collect(),
        };
        let pair = |layer: &&str| [tensor(layer, "lora_a", [3, 2]), tensor(layer, "lora_b", [2, 4])];
        let tensors: Vec<_> = layers.iter().flat_map(pair).collect();
        let files =
            [(ADAPTER_CONFIG, config.to_string().into_bytes()), (MLX_WEIGHTS, write_tensors(&tensors, &[])?)];
        Adapter::open(|name| Ok(files.iter().find(|(n, _)| *n == name).map(|(_, bytes)| bytes.clone())))
    }

    fn config(parameters: Value) -> Value {
        json!({"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": parameters, "batch_size": 4, "model": "x"})
    }

    fn usual() -> Value {
        config(json!({"rank": 2, "scale": 20.0, "dropout": 0.1}))
    }

    const LAYERS: [&str; 2] = ["model.layers.4.self_attn.q_proj", "model.layers.5.self_attn.q_proj"];

    #[test]
    fn the_scale_multiplies_and_the_halves_are_turned() {
        let adapter = opened(usual(), &LAYERS).unwrap();
        let AdapterConfig { lora, base_name, .. } = &adapter.config;
        assert_eq!((lora.rank, lora.alpha, lora.dropout), (2, 40.0, 0.1));
        assert_eq!(
            (lora.targets.as_slice(), base_name.as_deref()),
            (&["self_attn.q_proj".to_string()][..], Some("x"))
        );
        assert_eq!(lora.scope.blocks, Some(vec![4, 5]));
        let a = &adapter.weights[0];
        assert_eq!(
            (a.name.as_str(), &a.shape[..]),
            ("model.layers.4.self_attn.q_proj.lora.0.a", &[2, 3][..])
        );
        assert_eq!(a.values, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        // As one of PEFT it is the same, whose blocks have numbers alone.
        let files = adapter.files().unwrap();
        let mut again = Adapter::open(|name| Ok(files.get(name).cloned())).unwrap();
        assert!(adapter.config.lora.scope.to_last && !again.config.lora.scope.to_last);
        again.config.lora.scope.to_last = true;
        assert_eq!(again, adapter);
    }

    #[test]
    fn keys_are_the_targets() {
        let keys = json!({"rank": 2, "scale": 1, "dropout": 0, "keys": ["self_attn.q_proj", "lm_head"]});
        let adapter = opened(config(keys), &[LAYERS[0], LAYERS[1], "lm_head"]).unwrap();
        assert_eq!(adapter.config.lora.targets, ["self_attn.q_proj", "lm_head"]);
        let keys = json!({"rank": 2, "scale": 1, "keys": ["self_attn.v_proj"]});
        let message = opened(config(keys), &LAYERS).unwrap_err().to_string();
        assert!(message.contains("q_proj") && message.contains("do not name"), "{message}");
    }

    #[test]
    fn blocks_go_on_to_the_last_one_of_the_base() {
        let (first, second) = ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj");
        for count in [2, 0, -1, 16] {
            let mut config = usual();
            config["num_layers"] = json!(count);
            let mut weights = vec![
                NamedTensor { name: format!("{first}.weight"), shape: vec![4, 3], values: vec![0.0; 12] },
                NamedTensor { name: format!("{second}.weight"), shape: vec![4, 3], values: vec![0.0; 12] },
            ];
            let adapter = opened(config, &[first, second]).unwrap();
            adapter.merge(&mut weights, 1.0).unwrap();
            weights.push(NamedTensor { name: weights[1].name.replace('1', "2"), ..weights[1].clone() });
            let message = adapter.merge(&mut weights, 1.0).unwrap_err().to_string();
            assert!(message.contains("ends at block 1, the base at block 2"), "{message}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_as_mlx() {
        let with = |key: &str, value: Value| {
            let mut config = usual();
            config[key] = value;
            config
        };
        let old = json!({"rank": 2, "scale": 10.0, "alpha": 16});
        for (config, layers, parts) in [
            (with("fine_tune_type", json!("dora")), &LAYERS[..], &["mlx-lm", "dora", "mlx_lm.fuse"][..]),
            (with("fine_tune_type", json!("full")), &LAYERS, &["mlx-lm", "full"]),
            (config(old), &LAYERS, &["mlx-lm", "alpha = 16", "mlx_lm.fuse"]),
            (with("lora_parameters", Value::Null), &LAYERS, &["no lora_parameters"]),
            (with("num_layers", json!(1)), &LAYERS, &["num_layers = 1", "2 blocks"]),
            (with("num_layers", json!(-1)), &["model.layers.0.x", "model.layers.2.x"], &["none for block 1"]),
            // Blocks that are missing at the front.
            (with("num_layers", json!(-1)), &LAYERS, &["the blocks 0 to 5", "none for block 0"]),
            (with("num_layers", json!(3)), &LAYERS, &["num_layers = 3", "2 blocks, 4 to 5", "not whole"]),
            (config(json!({"rank": 8, "scale": 1})), &LAYERS, &["say rank 8", "of rank 2"]),
        ] {
            let message = opened(config, layers).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }
}
