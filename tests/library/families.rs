//! Tiny models of every family, made by `transformers` (tests/golden/families/make.py): the same logits, the same text.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kindling::checkpoint::Checkpoint;
use kindling::formats::{Files, directory_files};
use kindling::model::{KvCache, Transformer};
use serde::Deserialize;

use crate::tiny::{ids, largest_difference, logits, values};

#[derive(Deserialize)]
struct Expected {
    tokens: Vec<i32>,
    logits: Vec<Vec<f32>>,
    greedy: Vec<i32>,
}

/// Everything that `transformers` made, by name. Where the program was carried to another machine, `KINDLING_GOLDEN` is
/// the folder `tests/golden`.
fn models() -> Vec<PathBuf> {
    let golden = std::env::var("KINDLING_GOLDEN");
    let golden = golden.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden").into());
    let folder = Path::new(&golden).join("families");
    let mut models: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    models.retain(|path| path.is_dir());
    models.sort();
    assert_eq!(models.len(), 11);
    models
}

fn open(folder: &Path, device: &Device) -> Transformer {
    let read = |name: &str| Ok(std::fs::read(folder.join(name)).ok());
    Checkpoint::open(read).unwrap().model(device).unwrap()
}

fn expected(folder: &Path) -> Expected {
    serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap()
}

/// Greedy decoding with a cache, as chat does it.
fn greedy(model: &Transformer, prompt: &[i32], count: usize) -> Vec<i32> {
    let device = Device::flex();
    let mut cache = KvCache::new(model.config(), 1, prompt.len() + count);
    let mut next = prompt.to_vec();
    let mut said = Vec::new();
    for _ in 0..count {
        let logits = values(model.forward_cached(ids(&[&next], &device), &mut cache, 0..1, true));
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        said.push(best as i32);
        next = vec![best as i32];
    }
    said
}

/// Every family's name, its logits on a device, and those of `transformers`.
pub fn answers(device: &Device) -> impl Iterator<Item = (String, Vec<f32>, Vec<f32>)> {
    models().into_iter().map(|folder| {
        let expected = expected(&folder);
        let logits = logits(&open(&folder, device), &expected.tokens);
        (folder.display().to_string(), logits, expected.logits.concat())
    })
}

#[test]
fn logits_and_greedy_text_equal_those_of_transformers() {
    for (name, found, expected) in answers(&Device::flex()) {
        let off = largest_difference(&found, &expected);
        assert!(off < 1e-4, "{name}: {off}");
    }
    for folder in models() {
        let (model, expected) = (open(&folder, &Device::flex()), expected(&folder));
        let said = greedy(&model, &expected.tokens[..8], expected.greedy.len());
        assert_eq!(said, expected.greedy, "{}", folder.display());
    }
}

#[test]
fn what_is_written_opens_as_the_same_model() {
    for folder in models() {
        let model = open(&folder, &Device::flex());
        let weights = pollster::block_on(model.weights()).unwrap();
        let files: Files = directory_files(model.config(), &weights, None).unwrap();
        let again = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
        assert_eq!(&again.config, model.config(), "{}", folder.display());
        let again = again.model(&Device::flex()).unwrap();
        let tokens = expected(&folder).tokens;
        assert!(logits(&again, &tokens) == logits(&model, &tokens), "{}", folder.display());
    }
}
