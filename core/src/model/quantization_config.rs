//! Weights in few bits of other programs: told by the method's name, before their shapes are found odd.

use serde_json::Value;

use super::keys::{Keys, is_nothing};
use crate::error::{Error, Result};
use crate::told::told;

/// Refuses weights in few bits by the name of the method.
pub(super) fn refuse_quantized(keys: Keys) -> Result<()> {
    let said = |key: &str| keys.value(key).filter(|value| !is_nothing(value));
    if let Some(settings) = said("quantization") {
        let bits = settings.get("bits").map_or(String::new(), |bits| format!(" ({bits} bits)"));
        return Err(Error::Model(told!(
            "model.mlx_bits",
            "config.json: the weights are quantised by MLX{bits}, which is not read; make plain ones of them with \
            `mlx_lm.convert --hf-path DIR --mlx-path OUT --dequantize`, or take the model that they were made of",
            bits
        )));
    }
    let Some(settings) = said("quantization_config").or(said("compression_config")) else { return Ok(()) };
    let method = method(settings);
    Err(Error::Model(told!(
        "model.bits",
        "config.json: the weights are quantised by {method}, which is not read; take the model that they were made of, or \
        make plain ones of them with transformers where it can: model = AutoModelForCausalLM.from_pretrained(DIR); \
        model.dequantize(); model.save_pretrained(OUT)",
        method
    )))
}

/// The method's own name; bitsandbytes once left it out.
fn method(settings: &Value) -> String {
    let bits = [("load_in_4bit", " (4 bits)"), ("load_in_8bit", " (8 bits)")];
    let bits = bits.into_iter().find(|(key, _)| settings.get(key) == Some(&Value::Bool(true)));
    let own = settings.get("quant_method").and_then(Value::as_str);
    match (own, bits) {
        (None | Some("bitsandbytes"), Some((_, bits))) => format!("bitsandbytes{bits}"),
        (Some(own), _) => {
            let bits = settings.get("bits").and_then(Value::as_u64);
            own.to_string() + &bits.map_or(String::new(), |bits| format!(" ({bits} bits)"))
        }
        (None, None) => "a method without a name (quantization_config)".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(config: Value) -> String {
        refuse_quantized(Keys(config.as_object().unwrap())).unwrap_err().to_string()
    }

    #[test]
    fn quantised_weights_are_named_by_their_method() {
        for (key, value, told) in [
            (
                "quantization_config",
                json!({"quant_method": "bitsandbytes", "load_in_4bit": true}),
                "bitsandbytes (4 bits)",
            ),
            ("quantization_config", json!({"load_in_8bit": true}), "bitsandbytes (8 bits)"),
            ("quantization_config", json!({"quant_method": "awq", "bits": 4}), "awq (4 bits)"),
            ("quantization_config", json!({"quant_method": "fp8"}), "by fp8"),
            ("quantization_config", json!({"bits": 4}), "without a name"),
            ("compression_config", json!({"quant_method": "compressed-tensors"}), "by compressed-tensors"),
        ] {
            let message = refused(json!({key: value}));
            assert!(message.contains(told) && message.contains("save_pretrained"), "{message}");
        }
        let mlx = json!({"quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"bits": 4}});
        let message = refused(mlx);
        assert!(message.contains("MLX (4 bits)") && message.contains("mlx_lm.convert"), "{message}");
    }
}
