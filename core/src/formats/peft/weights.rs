//! `adapter_model.safetensors` of PEFT: its tensors by the names of their layers.

use std::collections::BTreeSet;

use crate::adapter::path;
use crate::error::{Error, Result};
use crate::formats::TensorFile;
use crate::model::NamedTensor;
use crate::told::told;

/// The weights' file.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// Before every name: PEFT's wrapper and the model inside it.
const PREFIX: &str = "base_model.model.";
/// What else wraps a model while it is trained.
const WRAPPERS: [&str; 4] = [PREFIX, "_orig_mod.", "module.", "_fsdp_wrapped_module."];
/// Both ends of a model, which PEFT may repeat beside an adapter.
const ENDS: [&str; 2] = ["lm_head", "model.embed_tokens"];

/// Beside a layer: with what VeLoRA approximates gradients, which no answer needs.
const OF_TRAINING: &str = ".lora_velora_embed";

/// What the file holds.
pub(super) struct AdapterTensors {
    /// Halves of low-rank pairs.
    pub weights: Vec<NamedTensor>,
    /// Tensors of the base, by the base's names.
    pub copies: Vec<NamedTensor>,
}

/// Reads all tensors.
///
/// # Errors
/// Tensors that are empty, or neither a half of a dense layer nor one of the base's own, by name.
pub(super) fn read(file: &TensorFile) -> Result<AdapterTensors> {
    let tensors = file.read_all()?;
    refuse_empty(ADAPTER_WEIGHTS, &tensors)?;
    let mut found = AdapterTensors { weights: Vec::new(), copies: Vec::new() };
    for tensor in tensors {
        let name = layer_name(&tensor.name);
        if let Some(name) = half(name) {
            found.weights.push(NamedTensor { name, ..tensor });
        } else if let Some(name) = of_the_base(name) {
            found.copies.push(NamedTensor { name, ..tensor });
        } else if !name.strip_suffix(".default").unwrap_or(name).ends_with(OF_TRAINING) {
            return Err(Error::Checkpoint(told!(
                "peft.tensor",
                "{adapter_weights}: tensor '{name}' is neither lora_A nor lora_B of a dense layer, and nobody would read it; such \
                 adapters are not supported",
                adapter_weights = ADAPTER_WEIGHTS,
                name = tensor.name
            )));
        }
    }
    Ok(found)
}

/// Refuses what a training that was divided over several devices left of its tensors.
///
/// # Errors
/// Tensors without values, with the way to save them whole.
pub(super) fn refuse_empty(file: &str, tensors: &[NamedTensor]) -> Result<()> {
    let empty: Vec<&str> = tensors.iter().filter(|t| t.values.is_empty()).map(|t| t.name.as_str()).collect();
    let Some(first) = empty.first() else { return Ok(()) };
    Err(Error::Checkpoint(told!(
        "peft.tensors_empty",
        "{file}: {empty} of its {tensors} tensors are empty, '{first}' for one: DeepSpeed ZeRO-3 or FSDP had divided them when they \
         were saved. Save the adapter again with gathered parameters (stage3_gather_16bit_weights_on_model_save in \
         DeepSpeed's settings, summon_full_params in FSDP), or make whole weights of the run's checkpoint with \
         zero_to_fp32.py",
        file,
        empty = empty.len(),
        tensors = tensors.len(),
        first
    )))
}

/// `base_model.model.<layer>.lora_A.weight` → `<layer>.lora_A`.
fn layer_name(name: &str) -> &str {
    let mut name = name;
    while let Some(inner) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = inner;
    }
    name.strip_suffix(".weight").unwrap_or(name)
}

/// `<layer>.lora_A` → `<layer>.lora.0.a`.
fn half(name: &str) -> Option<String> {
    // PEFT before 0.3 wrote the adapter's own name, too.
    let name = name.strip_suffix(".default").unwrap_or(name);
    let halves = [(".lora_A", 'a'), (".lora_B", 'b')];
    halves.into_iter().find_map(|(suffix, half)| Some(path(name.strip_suffix(suffix)?, half)))
}

/// `lm_head.base_layer`, or `lm_head` itself → `lm_head.weight`.
fn of_the_base(name: &str) -> Option<String> {
    let layer = name.strip_suffix(".base_layer").unwrap_or(name);
    ENDS.contains(&layer).then(|| format!("{layer}.weight"))
}

/// The names' last parts, where the settings name no targets.
pub(super) fn targets(weights: &[NamedTensor]) -> Vec<String> {
    let suffix = path("", 'a');
    let layers = weights.iter().filter_map(|tensor| tensor.name.strip_suffix(&suffix));
    let targets: BTreeSet<&str> = layers.filter_map(|layer| layer.rsplit('.').next()).collect();
    targets.into_iter().map(String::from).collect()
}

/// A half under the name that PEFT has for it.
pub(super) fn to_peft(tensor: &NamedTensor) -> NamedTensor {
    let name = [('a', "lora_A"), ('b', "lora_B")]
        .into_iter()
        .find_map(|(half, peft)| Some(format!("{}.{peft}", tensor.name.strip_suffix(&path("", half))?)));
    let name = format!("{PREFIX}{}.weight", name.as_deref().unwrap_or(&tensor.name));
    NamedTensor { name, ..tensor.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::write_tensors;

    fn opened(names: &[&str]) -> Result<AdapterTensors> {
        let tensor = |name: &&str| NamedTensor { name: name.to_string(), shape: vec![1], values: vec![1.0] };
        let tensors: Vec<_> = names.iter().map(tensor).collect();
        read(&TensorFile::open(ADAPTER_WEIGHTS, write_tensors(&tensors, &[])?)?)
    }

    #[test]
    fn wrappers_are_taken_off_and_what_is_the_bases_is_kept_apart() {
        let found = opened(&[
            "base_model.model.lm_head.lora_A.weight",
            "base_model.model.lm_head.base_layer.weight",
            "base_model.model._orig_mod.model.layers.0.q_proj.lora_B.default.weight",
            "module.base_model.model.model.embed_tokens.weight",
            "base_model.model.model.layers.0.q_proj.lora_velora_embed",
        ])
        .unwrap();
        let names = |tensors: &[NamedTensor]| tensors.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found.weights), ["model.layers.0.q_proj.lora.0.b", "lm_head.lora.0.a"]);
        assert_eq!(names(&found.copies), ["lm_head.weight", "model.embed_tokens.weight"]);
        assert_eq!(targets(&found.weights), ["lm_head"]);
    }

    #[test]
    fn tensors_that_nobody_reads_are_refused_by_name() {
        for name in [
            "base_model.model.model.layers.0.q_proj.lora_magnitude_vector",
            "base_model.model.model.embed_tokens.lora_embedding_A",
            "base_model.model.model.layers.0.q_proj.lora_B.bias",
            "base_model.model.model.layers.0.q_proj.base_layer.weight",
            "base_model.model.model.norm.weight",
        ] {
            let message = opened(&[name]).err().unwrap().to_string();
            assert!(message.contains(name) && message.contains("nobody would read"), "{message}");
        }
    }

    #[test]
    fn what_zero_3_leaves_is_told_with_the_way_to_save_it_whole() {
        let half = NamedTensor { name: "x.lora_A.weight".into(), shape: vec![0], values: vec![] };
        let whole = NamedTensor { name: "x.lora_B.weight".into(), shape: vec![1, 1], values: vec![1.0] };
        let file = write_tensors(&[half, whole], &[]).unwrap();
        let message = read(&TensorFile::open("x", file).unwrap()).err().unwrap().to_string();
        let parts = ["1 of its 2 tensors", "'x.lora_A.weight'", "ZeRO-3", "stage3_gather", "zero_to_fp32"];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}
