//! The two files of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`; mlx-lm's are read, too.

mod keys;
mod mlx;
mod settings;
mod weights;

use super::{Files, TensorFile, write_tensors};
use crate::adapter::{Adapter, Fingerprint, Reading};
use crate::error::{Error, Result};
use crate::told::told;
use keys::Object;

pub use keys::ADAPTER_CONFIG;
pub use mlx::MLX_WEIGHTS;
pub use weights::ADAPTER_WEIGHTS;

/// Metadata of the weights' file. PEFT refuses unknown keys in its config, but reads past these.
const BASE: &str = "kindling.base";
/// How the model of these weights reads.
const READING: &str = "kindling.reading";
/// The alpha of an adapter that began as PiSSA and is saved as a plain one of twice the rank.
const PISSA: &str = "kindling.pissa_alpha";
/// The weights of a whole model, in one file or divided.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

impl Adapter {
    /// Reads PEFT's files, or mlx-lm's; `read` gives a file's bytes, or `None` where it is absent. What PEFT repeats of the
    /// base waits for [`Adapter::compared`].
    ///
    /// # Errors
    /// Files that are missing or damaged; what is not supported or not whole, by name.
    pub fn open(mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>) -> Result<Self> {
        let mut file = |name: &str| read(name)?.ok_or_else(|| missing(name));
        let json: Object = serde_json::from_slice(&file(ADAPTER_CONFIG)?).map_err(|e| {
            Error::Checkpoint(told!(
                "peft.damaged",
                "{adapter_config} is damaged: {e}",
                adapter_config = ADAPTER_CONFIG,
                e
            ))
        })?;
        let adapter = if mlx::is_mlx(&json) {
            mlx::open(&json, &TensorFile::open(MLX_WEIGHTS, file(MLX_WEIGHTS)?)?)?
        } else {
            let mut config = settings::read(&json)?;
            let tensors = TensorFile::open(ADAPTER_WEIGHTS, file(ADAPTER_WEIGHTS)?)?;
            let reading = tensors.metadata(READING).map(Reading::from_json).transpose()?;
            config.base = tensors.metadata(BASE).map(|base| Fingerprint::from_hex(base).read_as(reading));
            let pissa = tensors.metadata(PISSA).map(str::to_string);
            let tensors = weights::read(&tensors, &config.lora.modules_to_save)?;
            if config.lora.targets.is_empty() && config.lora.scope.pattern.is_none() {
                config.lora.targets = weights::targets(&tensors.weights);
            }
            let adapter = Self::new(config, tensors.weights).with_copies(tensors.copies);
            match pissa {
                Some(alpha) => adapter.parted(alpha.parse().map_err(|_| of_no_start(&alpha))?)?,
                None => adapter,
            }
        };
        adapter.check()?;
        Ok(adapter)
    }

    /// Writes PEFT's files; of an adapter that began as PiSSA those of a plain LoRA of twice the rank, which needs the
    /// unchanged base alone, and is known again when it is opened here.
    ///
    /// # Errors
    /// Weights that cannot be written.
    pub fn files(&self) -> Result<Files> {
        let base = self.config.base.as_ref();
        let mut metadata: Vec<_> = base.map(|base| (BASE, base.hex().to_string())).into_iter().collect();
        metadata.extend(base.and_then(Fingerprint::reading).map(|reading| (READING, reading.to_json())));
        let plain = self.starts_elsewhere().then(|| self.converted());
        if plain.is_some() {
            metadata.push((PISSA, self.config.lora.alpha.to_string()));
        }
        let plain = plain.as_ref().unwrap_or(self);
        let tensors: Vec<_> = plain.weights.iter().map(weights::to_peft).collect();
        let mut files = Files::new();
        files.insert(ADAPTER_CONFIG.into(), settings::write(&plain.config).into_bytes());
        files.insert(ADAPTER_WEIGHTS.into(), write_tensors(&tensors, &metadata)?);
        Ok(files)
    }
}

/// Whether what is there, as `has` tells it, is an adapter and no model.
pub fn is_adapter_alone(has: impl Fn(&str) -> bool) -> bool {
    has(ADAPTER_CONFIG) && !WEIGHTS.into_iter().any(has)
}

/// What is said of an adapter where a model is asked for; `adapter` is where it lies, `base` what it belongs to.
pub fn adapter_as_model(adapter: &str, base: &str) -> Error {
    Error::Checkpoint(told!(
        "peft.no_model",
        "this is a LoRA adapter ({config}, in PEFT's layout) and no model; use it with its base: --model {base} \
         --adapter {adapter}; or make one model of both: kindling merge --model {base} --adapter {adapter} --out MERGED",
        config = ADAPTER_CONFIG,
        base,
        adapter
    ))
}

/// Refuses the files of a LoRA run, which hold no model.
///
/// # Errors
/// An adapter without a model.
pub fn refuse_adapter(files: &Files) -> Result<()> {
    match is_adapter_alone(|name| files.contains_key(name)) {
        true => Err(adapter_as_model("ADAPTER", "BASE")),
        false => Ok(()),
    }
}

/// The scale that a PiSSA adapter began with is no number, so that its start cannot be told from what it learned.
fn of_no_start(alpha: &str) -> Error {
    Error::Checkpoint(told!(
        "peft.pissa",
        "{file} says {key} = {value}, which is no number; take the adapter from the run again",
        file = ADAPTER_WEIGHTS,
        key = PISSA,
        value = alpha
    ))
}

fn missing(name: &str) -> Error {
    let old = match name {
        ADAPTER_WEIGHTS => "; an adapter_model.bin becomes one by opening it with PEFT and saving it again",
        _ => "",
    };
    Error::Checkpoint(told!(
        "peft.file_missing",
        "there is no {name}; an adapter is a PEFT directory with {adapter_config} and {adapter_weights}, or one of mlx-lm \
         with {adapter_config} and {mlx_weights}{old}",
        name,
        adapter_config = ADAPTER_CONFIG,
        adapter_weights = ADAPTER_WEIGHTS,
        mlx_weights = MLX_WEIGHTS,
        old
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::adapter::{AdapterConfig, LoraConfig, path};
    use crate::model::NamedTensor;

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
        Adapter::new(config, vec![tensor('a', [2, 3]), tensor('b', [4, 2])])
    }

    /// Opens the files with one key of the settings changed.
    fn opened(files: &Files, key: &str, value: Value) -> Result<Adapter> {
        let mut config: Value = serde_json::from_slice(&files[ADAPTER_CONFIG]).unwrap();
        config[key] = value;
        Adapter::open(|name| match name {
            ADAPTER_CONFIG => Ok(Some(config.to_string().into_bytes())),
            _ => Ok(files.get(name).cloned()),
        })
    }

    #[test]
    fn what_is_written_reads_back_and_is_named_as_peft_does() {
        let files = adapter().files().unwrap();
        let names = TensorFile::open("x", files[ADAPTER_WEIGHTS].clone()).unwrap().names();
        assert!(
            names.contains(&"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight".to_string())
        );
        assert_eq!(Adapter::open(|name| Ok(files.get(name).cloned())).unwrap(), adapter());
        let reading =
            Reading::MaskedDiffusion { mask_token_id: 5, block_length: Some(8), shift_logits: true };
        let mut told = adapter();
        told.config.base = told.config.base.map(|base| base.read_as(Some(reading)));
        let told_files = told.files().unwrap();
        assert_eq!(Adapter::open(|name| Ok(told_files.get(name).cloned())).unwrap(), told);
        assert_eq!(opened(&files, "fan_in_fan_out", Value::Null).unwrap(), adapter());
        // Without targets the tensors name them.
        assert_eq!(opened(&files, "target_modules", Value::Null).unwrap(), adapter());
    }

    #[test]
    fn an_adapter_is_alone_where_no_weights_of_a_model_lie_beside_it() {
        for (names, alone) in [
            (&[ADAPTER_CONFIG, ADAPTER_WEIGHTS][..], true),
            (&[ADAPTER_CONFIG, "config.json"], true),
            (&["config.json"], false),
            (&[ADAPTER_CONFIG, "config.json", "model.safetensors.index.json"], false),
            (&[ADAPTER_CONFIG, "pytorch_model.bin"], false),
        ] {
            assert_eq!(is_adapter_alone(|name| names.contains(&name)), alone, "{names:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let files = adapter().files().unwrap();
        for (key, value, told) in [
            ("peft_type", json!("IA3"), "peft_type IA3"),
            ("use_dora", json!(true), "use_dora"),
            ("modules_to_save", json!(["lm_head"]), "'lm_head' whole"),
            ("r", json!(16), "say rank 16"),
            ("rank_pattern", json!({"q_proj": 4}), "say rank 4"),
            ("target_modules", json!(["v_proj"]), "targets: v_proj"),
            ("exclude_modules", json!(["q_proj"]), "do not name"),
            ("layers_to_transform", json!([1]), "do not name"),
        ] {
            let message = opened(&files, key, value).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
        let open = |name: &'static str, bytes: &'static [u8]| {
            let open = Adapter::open(|wanted| Ok((wanted == name).then(|| bytes.to_vec())));
            open.unwrap_err().to_string()
        };
        let message = open("x", b"");
        assert!(message.contains("there is no adapter_config.json"), "{message}");
        let message = open(ADAPTER_CONFIG, b"{\"r\": 1, \"lora_alpha\": 1}");
        assert!(message.contains("no adapter_model.safetensors") && message.contains(".bin"), "{message}");
        let message = open(ADAPTER_CONFIG, b"{\"lora_parameters\": {\"rank\": 1, \"scale\": 1}}");
        assert!(message.contains("no adapters.safetensors"), "{message}");
        assert!(open(ADAPTER_CONFIG, b"{\"r\"").contains("is damaged"));
        assert!(open(ADAPTER_CONFIG, b"{}").contains("has no r,"));
    }
}
