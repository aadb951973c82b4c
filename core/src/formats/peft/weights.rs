//! `adapter_model.safetensors` of PEFT: its tensors by the names of their layers.

use std::collections::BTreeSet;

use crate::adapter::{magnitude_path, module_path, path, whole_module};
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

/// DoRA's lengths, beside a layer.
const MAGNITUDE: &str = ".lora_magnitude_vector";

/// Beside a layer: with what VeLoRA approximates gradients, which no answer needs.
const OF_TRAINING: &str = ".lora_velora_embed";

/// What the file holds.
pub(super) struct AdapterTensors {
    /// Halves of low-rank pairs, magnitudes, and modules that are saved whole.
    pub weights: Vec<NamedTensor>,
    /// Tensors of the base, by the base's names.
    pub copies: Vec<NamedTensor>,
}

/// Reads all tensors; `modules` are those that are saved whole.
///
/// # Errors
/// Tensors that are empty, or neither a part of an adapter of a dense layer nor one of the base's own, by name.
pub(super) fn read(file: &TensorFile, modules: &[String]) -> Result<AdapterTensors> {
    let tensors = file.read_all()?;
    refuse_empty(ADAPTER_WEIGHTS, &tensors)?;
    let mut found = AdapterTensors { weights: Vec::new(), copies: Vec::new() };
    for tensor in tensors {
        let name = layer_name(&tensor.name);
        if let Some(name) = half(name).or_else(|| whole(name, modules)) {
            found.weights.push(NamedTensor { name, ..tensor });
        } else if let Some(name) = of_the_base(name) {
            found.copies.push(NamedTensor { name, ..tensor });
        } else if !name.strip_suffix(".default").unwrap_or(name).ends_with(OF_TRAINING) {
            return Err(Error::Checkpoint(told!(
                "peft.tensor",
                "{adapter_weights}: tensor '{name}' is neither lora_A, lora_B nor lora_magnitude_vector of a dense layer, and \
                 nobody would read it; such adapters are not supported",
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

/// `<layer>.lora_A` → `<layer>.lora.0.a`, and magnitudes alike.
fn half(name: &str) -> Option<String> {
    // PEFT before 0.3 wrote the adapter's own name, too.
    let name = name.strip_suffix(".default").unwrap_or(name);
    let halves = [(".lora_A", 'a'), (".lora_B", 'b')];
    let half = halves.into_iter().find_map(|(suffix, half)| Some(path(name.strip_suffix(suffix)?, half)));
    half.or_else(|| name.strip_suffix(MAGNITUDE).map(magnitude_path))
}

/// `lm_head`, where it is saved whole → its name in an adapter.
fn whole(name: &str, modules: &[String]) -> Option<String> {
    let name = name.strip_suffix(".default").unwrap_or(name);
    let layer = name.strip_suffix(".modules_to_save").unwrap_or(name);
    let end = ENDS.into_iter().find(|end| *end == layer)?;
    let module = end.strip_prefix("model.").unwrap_or(end);
    modules.iter().any(|saved| saved == module).then(|| module_path(module))
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

/// A tensor under the name that PEFT has for it.
pub(super) fn to_peft(tensor: &NamedTensor) -> NamedTensor {
    let own = tensor.name.as_str();
    let named = |suffix: String, peft: &str| Some(format!("{}{peft}", own.strip_suffix(suffix.as_str())?));
    let whole = || {
        let module = whole_module(own)?;
        let end = ENDS.into_iter().find(|end| end.ends_with(module))?;
        Some(format!("{end}.weight"))
    };
    let name = named(path("", 'a'), ".lora_A.weight")
        .or_else(|| named(path("", 'b'), ".lora_B.weight"))
        // Without `.weight`: so PEFT saves it.
        .or_else(|| named(magnitude_path(""), MAGNITUDE))
        .or_else(whole);
    NamedTensor { name: format!("{PREFIX}{}", name.as_deref().unwrap_or(own)), ..tensor.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::write_tensors;

    fn opened(names: &[&str]) -> Result<AdapterTensors> {
        let tensor = |name: &&str| NamedTensor { name: name.to_string(), shape: vec![1], values: vec![1.0] };
        let tensors: Vec<_> = names.iter().map(tensor).collect();
        read(&TensorFile::open(ADAPTER_WEIGHTS, write_tensors(&tensors, &[])?)?, &[])
    }

    #[test]
    fn magnitudes_and_whole_modules_have_the_names_of_peft() {
        let tensor = |name: String| NamedTensor { name, shape: vec![1], values: vec![1.0] };
        let own =
            [magnitude_path("model.layers.0.q_proj"), module_path("embed_tokens"), module_path("lm_head")];
        let there: Vec<_> = own.iter().map(|name| to_peft(&tensor(name.clone()))).collect();
        let names: Vec<&str> = there.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "base_model.model.model.layers.0.q_proj.lora_magnitude_vector",
                "base_model.model.model.embed_tokens.weight",
                "base_model.model.lm_head.weight",
            ]
        );
        let file = TensorFile::open("x", write_tensors(&there, &[]).unwrap()).unwrap();
        let modules = ["lm_head", "embed_tokens"].map(String::from);
        let mut found: Vec<_> = read(&file, &modules).unwrap().weights.into_iter().map(|t| t.name).collect();
        found.sort();
        assert_eq!(found, own);
        // What is not named as a module is what PEFT repeats of the base.
        let found = read(&file, &modules[..1]).unwrap();
        assert_eq!((found.weights.len(), found.copies.len()), (2, 1));
        assert_eq!(found.copies[0].name, "model.embed_tokens.weight");
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
        let message = read(&TensorFile::open("x", file).unwrap(), &[]).err().unwrap().to_string();
        let parts = ["1 of its 2 tensors", "'x.lora_A.weight'", "ZeRO-3", "stage3_gather", "zero_to_fp32"];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
}
