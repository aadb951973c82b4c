//! A masked predictor's files as LLaDA's published code opens them: `modeling_llada.py` of GSAI-ML/LLaDA-8B-Base.

use safetensors::tensor::{Dtype, TensorView};

use super::llada_names::of_plain;
use super::tensors::{parse, texts, write_views};
use super::{Files, StoredFloat, plain_files};
use crate::error::{Error, Result};
use crate::model::{DiffusionConfig, ModelConfig};
use crate::told::{Told, told};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// The files of a masked predictor as LLaDA's published code opens them: its config and its names; all others stay.
///
/// # Errors
/// Files that are missing or damaged; a causal model; a model with parts that the code does not have, by name.
pub fn to_llada(files: &Files) -> Result<Files> {
    let plain = plain_files(files)?.files;
    let files = plain.as_ref().unwrap_or(files);
    let file = |name: &str| {
        files.get(name).ok_or_else(|| {
            Error::Checkpoint(told!(
                "llada.file_missing",
                "there is no {name}, which LLaDA's form is made of",
                name
            ))
        })
    };
    let config = ModelConfig::from_hugging_face(file(CONFIG)?)?;
    let bytes = file(WEIGHTS)?;
    let tensors = parse(WEIGHTS, bytes)?;
    let types: Vec<Dtype> = tensors.tensors().iter().map(|(_, view)| view.dtype()).collect();
    let config = config.to_llada(StoredFloat::holding(&types).name())?;
    let named = tensors.tensors().into_iter().map(|(name, view)| match of_plain(&name) {
        Some(own) => Ok((own, view)),
        None => Err(Error::Checkpoint(told!(
            "llada.no_place",
            "{weights}: tensor '{name}' has no place in LLaDA's model",
            weights = WEIGHTS,
            name
        ))),
    });
    let views = named.collect::<Result<Vec<(String, TensorView<'_>)>>>()?;
    let weights = write_views(views, &texts(WEIGHTS, bytes)?)?;
    let mut made = files.clone();
    made.insert(CONFIG.into(), config.into_bytes());
    made.insert(WEIGHTS.into(), weights);
    Ok(made)
}

/// What the published code does otherwise than the model that it opens, so that its answers mean nothing there.
pub fn llada_differences(diffusion: &DiffusionConfig) -> Vec<Told> {
    let mut differences = Vec::new();
    if diffusion.shift_logits {
        differences.push(told!(
            "llada.shifted",
            "this model's logits predict the token behind their position (shift_logits in config.json), and LLaDA's published \
             code takes those of the position itself: move them by one there, or what it writes means nothing"
        ));
    }
    if let Some(length) = diffusion.block_length {
        differences.push(told!(
            "llada.blocks",
            "this model's positions see their block of {length} tokens and those before it (block_length in config.json), and \
             LLaDA's published code lets every position see every position: give it the mask of the blocks there",
            length
        ));
    }
    differences
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::formats::TensorFile;

    /// By tests/golden/llada/make.py.
    const CONFIGS: [&[u8]; 2] = [
        include_bytes!("../../../tests/golden/llada/untied/config.json"),
        include_bytes!("../../../tests/golden/llada/tied-biased/config.json"),
    ];
    const WEIGHTS_OF: [&[u8]; 2] = [
        include_bytes!("../../../tests/golden/llada/untied/model.safetensors"),
        include_bytes!("../../../tests/golden/llada/tied-biased/model.safetensors"),
    ];

    fn files(i: usize) -> Files {
        Files::from([
            (CONFIG.to_string(), CONFIGS[i].to_vec()),
            (WEIGHTS.to_string(), WEIGHTS_OF[i].to_vec()),
            ("tokenizer.json".to_string(), b"{}".to_vec()),
        ])
    }

    #[test]
    fn published_files_become_plain_and_come_back_as_they_were() {
        for i in 0..2 {
            let files = files(i);
            let plain = plain_files(&files).unwrap();
            assert_eq!(plain.warnings, [""; 0]);
            let plain = plain.files.unwrap();
            let config: Value = serde_json::from_slice(&plain[CONFIG]).unwrap();
            assert_eq!(config["model_type"], "kindling_diffusion");
            let back = to_llada(&plain).unwrap();
            let (ours, theirs) = (&back[WEIGHTS], &files[WEIGHTS]);
            let open = |bytes: &[u8]| TensorFile::open("x", bytes.to_vec()).unwrap().read_all().unwrap();
            assert_eq!(open(ours), open(theirs));
            let config: Value = serde_json::from_slice(&back[CONFIG]).unwrap();
            assert_eq!(config["torch_dtype"], "float32");
            let read = |bytes: &[u8]| ModelConfig::from_hugging_face(bytes).unwrap();
            assert_eq!(read(&back[CONFIG]), read(&files[CONFIG]));
            assert!(back["tokenizer.json"] == files["tokenizer.json"]);
        }
        assert!(to_llada(&Files::new()).unwrap_err().to_string().contains("there is no config.json"));
    }

    #[test]
    fn only_what_the_published_code_does_otherwise_is_told() {
        let diffusion = DiffusionConfig { mask_token_id: 1, block_length: None, shift_logits: false };
        assert!(llada_differences(&diffusion).is_empty());
        let both =
            llada_differences(&DiffusionConfig { block_length: Some(8), shift_logits: true, ..diffusion });
        assert_eq!(both.len(), 2);
        assert!(both[0].contains("shift_logits") && both[1].contains("block of 8 tokens"), "{both:?}");
    }
}
