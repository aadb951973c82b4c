//! The two files of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Files, TensorFile, write_tensors};
use crate::adapter::{Adapter, AdapterConfig, Fingerprint, LoraConfig, path};
use crate::error::{Error, Result};
use crate::model::NamedTensor;

/// The settings' file.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// The weights' file.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
/// Before every name: PEFT's wrapper and the model inside it.
const PREFIX: &str = "base_model.model.";
/// Metadata of the weights' file. PEFT refuses unknown keys in its config, but reads past these.
const BASE: &str = "kindling.base";

/// What we read of `adapter_config.json`.
#[derive(Deserialize)]
struct PeftConfig {
    #[serde(default)]
    peft_type: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    target_modules: Value,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    bias: Option<String>,
    #[serde(default)]
    modules_to_save: Value,
    #[serde(default)]
    rank_pattern: Value,
    #[serde(default)]
    alpha_pattern: Value,
}

impl Adapter {
    /// Reads PEFT's files; `read` gives a file's bytes, or `None` where it is absent.
    ///
    /// # Errors
    /// Files that are missing or damaged; kinds of adapters that are not supported, by name.
    pub fn open(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Self> {
        let mut file = |name: &str| {
            read(name)?.ok_or_else(|| {
                Error::Checkpoint(format!(
                    "there is no {name}; an adapter is a PEFT directory with {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}"
                ))
            })
        };
        let config: PeftConfig = serde_json::from_slice(&file(ADAPTER_CONFIG)?)
            .map_err(|e| Error::Checkpoint(format!("{ADAPTER_CONFIG} is damaged: {e}")))?;
        config.refuse_unsupported()?;
        let tensors = TensorFile::open(ADAPTER_WEIGHTS, file(ADAPTER_WEIGHTS)?)?;
        let base = tensors.metadata(BASE).map(Fingerprint::from_hex);
        let weights = tensors.read_all()?.into_iter().map(from_peft).collect::<Result<_>>()?;
        let lora = LoraConfig {
            rank: config.r,
            alpha: config.lora_alpha,
            dropout: config.lora_dropout,
            targets: names(&config.target_modules),
            rslora: config.use_rslora,
        };
        let base_name = config.base_model_name_or_path.filter(|name| !name.is_empty());
        Ok(Self { config: AdapterConfig { lora, base, base_name }, weights })
    }

    /// Writes PEFT's files.
    ///
    /// # Errors
    /// Weights that cannot be written.
    pub fn files(&self) -> Result<Files> {
        let tensors: Vec<_> = self.weights.iter().map(to_peft).collect();
        let base = self.config.base.iter().map(|base| (BASE, base.hex().to_string()));
        let mut files = Files::new();
        files.insert(ADAPTER_CONFIG.into(), config_json(&self.config).into_bytes());
        files.insert(ADAPTER_WEIGHTS.into(), write_tensors(&tensors, &base.collect::<Vec<_>>())?);
        Ok(files)
    }
}

impl PeftConfig {
    fn refuse_unsupported(&self) -> Result<()> {
        let kind = self.peft_type.as_deref().unwrap_or("LORA");
        let empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(items) => items.is_empty(),
            _ => false,
        };
        let found = match self {
            _ if kind != "LORA" => Some(format!("peft_type {kind}")),
            _ if self.use_dora => Some("use_dora".into()),
            _ if self.fan_in_fan_out => Some("fan_in_fan_out".into()),
            _ if self.bias.as_deref().is_some_and(|bias| bias != "none") => Some("trained biases".into()),
            _ if !empty(&self.modules_to_save) => Some("modules_to_save".into()),
            _ if !empty(&self.rank_pattern) => Some("rank_pattern".into()),
            _ if !empty(&self.alpha_pattern) => Some("alpha_pattern".into()),
            _ => None,
        };
        match found {
            Some(what) => Err(Error::Checkpoint(format!(
                "{ADAPTER_CONFIG}: {what} is not supported; plain LoRA and rsLoRA are"
            ))),
            None => Ok(()),
        }
    }
}

/// `target_modules` is a list, or one word or pattern, which the tensors' own names then stand in for.
fn names(targets: &Value) -> Vec<String> {
    let list = targets.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(String::from).collect()
}

fn config_json(config: &AdapterConfig) -> String {
    let lora = &config.lora;
    let json = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": config.base_name,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": lora.target_names(),
        "use_rslora": lora.rslora,
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "inference_mode": true,
    });
    format!("{json:#}\n")
}

/// `base_model.model.<layer>.lora_A.weight` → `<layer>.lora.0.a`.
fn from_peft(tensor: NamedTensor) -> Result<NamedTensor> {
    let name = tensor.name.strip_prefix(PREFIX).unwrap_or(&tensor.name);
    let name = name.strip_suffix(".weight").unwrap_or(name);
    // PEFT before 0.3 wrote the adapter's own name, too.
    let name = name.strip_suffix(".default").unwrap_or(name);
    let renamed = [(".lora_A", 'a'), (".lora_B", 'b')]
        .into_iter()
        .find_map(|(suffix, half)| Some(path(name.strip_suffix(suffix)?, half)));
    match renamed {
        Some(name) => Ok(NamedTensor { name, ..tensor }),
        None => Err(Error::Checkpoint(format!(
            "{ADAPTER_WEIGHTS}: tensor '{}' is neither lora_A nor lora_B of a dense layer; such adapters are not supported",
            tensor.name
        ))),
    }
}

fn to_peft(tensor: &NamedTensor) -> NamedTensor {
    let name = [('a', "lora_A"), ('b', "lora_B")]
        .into_iter()
        .find_map(|(half, peft)| Some(format!("{}.{peft}", tensor.name.strip_suffix(&path("", half))?)));
    let name = format!("{PREFIX}{}.weight", name.as_deref().unwrap_or(&tensor.name));
    NamedTensor { name, ..tensor.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter() -> Adapter {
        let tensor = |half, shape: [usize; 2]| NamedTensor {
            name: path("model.layers.0.self_attn.q_proj", half),
            shape: shape.to_vec(),
            values: (0..shape[0] * shape[1]).map(|i| i as f32).collect(),
        };
        let lora =
            LoraConfig { rank: 2, alpha: 4.0, targets: vec!["q_proj".into()], ..LoraConfig::default() };
        let base = Some(Fingerprint::from_hex("ab".repeat(32).as_str()));
        let config = AdapterConfig { lora, base, base_name: Some("tiny".into()) };
        Adapter { config, weights: vec![tensor('a', [2, 3]), tensor('b', [4, 2])] }
    }

    #[test]
    fn what_is_written_reads_back_and_is_named_as_peft_does() {
        let files = adapter().files().unwrap();
        let names = TensorFile::open("x", files[ADAPTER_WEIGHTS].clone()).unwrap().names();
        assert!(
            names.contains(&"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight".to_string())
        );
        assert_eq!(Adapter::open(|name| Ok(files.get(name).cloned())).unwrap(), adapter());
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        let files = adapter().files().unwrap();
        for (key, value, told) in [
            ("peft_type", json!("IA3"), "peft_type IA3"),
            ("use_dora", json!(true), "use_dora"),
            ("modules_to_save", json!(["lm_head"]), "modules_to_save"),
            ("bias", json!("all"), "trained biases"),
        ] {
            let mut config: Value = serde_json::from_slice(&files[ADAPTER_CONFIG]).unwrap();
            config[key] = value;
            let opened = Adapter::open(|name| match name {
                ADAPTER_CONFIG => Ok(Some(config.to_string().into_bytes())),
                _ => Ok(files.get(name).cloned()),
            });
            let message = opened.unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
        let message = Adapter::open(|_| Ok(None)).unwrap_err().to_string();
        assert!(message.contains("there is no adapter_config.json"), "{message}");
    }
}
