//! Which files of a repository make a model, a tokenizer or an adapter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use kindling::checkpoint::WEIGHTS_INDEX;
use kindling::error::Result;
use kindling::formats::{ADAPTER_CONFIG, MLX_WEIGHTS};
use kindling::tokenizer::TOKENIZER_FILES;
use serde::Deserialize;

use super::address::Address;
use super::names::first_of;
use super::snapshot::Snapshot;
use crate::model_files::{ADAPTER, MODEL, WEIGHTS, all_files};

const TOKENIZER: &str = "tokenizer.json";

/// What a repository is opened for: no more of it is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A model that computes.
    Checkpoint,
    /// All files of a checkpoint, a run's state included.
    Files,
    /// What turns text into ids.
    Tokenizer,
    /// A LoRA adapter.
    Adapter,
}

impl Want {
    fn files(self) -> Vec<&'static str> {
        match self {
            Self::Checkpoint => MODEL.into_iter().chain(TOKENIZER_FILES).collect(),
            Self::Files => all_files().collect(),
            Self::Tokenizer => TOKENIZER_FILES.into(),
            Self::Adapter => ADAPTER.into_iter().chain([MLX_WEIGHTS]).chain(TOKENIZER_FILES).collect(),
        }
    }

    /// Files of which one makes the folder what is wanted.
    fn marks(self) -> &'static [&'static str] {
        match self {
            Self::Checkpoint => &[WEIGHTS, WEIGHTS_INDEX],
            Self::Files => &[WEIGHTS, WEIGHTS_INDEX, ADAPTER_CONFIG],
            Self::Tokenizer => &[TOKENIZER],
            Self::Adapter => &[ADAPTER_CONFIG],
        }
    }
}

/// What the address means in its repository.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    File(String),
    /// Where the files lie; empty for the top.
    Folder(String),
}

/// Fetches what is wanted, and says where it lies: a folder, or one file with all of it.
///
/// # Errors
/// A repository that holds nothing of the kind; a hub that gives it not.
pub fn fetch(snapshot: &Snapshot, want: Want) -> Result<PathBuf> {
    let (path, mut names): (String, Vec<String>) = match choose(&snapshot.names, &snapshot.address, want)? {
        Choice::File(name) => {
            let beside = name.strip_suffix(TOKENIZER).into_iter().flat_map(|folder| {
                TOKENIZER_FILES.into_iter().skip(1).map(move |beside| format!("{folder}{beside}"))
            });
            let names = [name.clone()].into_iter().chain(beside).collect();
            (name, names)
        }
        Choice::Folder(folder) => {
            let at = |name: &str| below(&folder, name);
            let mut names: Vec<_> = want.files().into_iter().map(at).collect();
            let index = at(WEIGHTS_INDEX);
            let divided = want.marks().contains(&WEIGHTS_INDEX) && !snapshot.names.contains(&at(WEIGHTS));
            if divided && snapshot.names.contains(&index) {
                snapshot.fetch([index.as_str()])?;
                names.extend(parts(snapshot, &index).iter().map(|part| at(part)));
            }
            (folder, names)
        }
    };
    names.retain(|name| snapshot.names.contains(name));
    snapshot.fetch(names.iter().map(String::as_str))?;
    Ok(snapshot.local(&path))
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") }
}

/// The files that an index of weights names. What is wrong with it is told where the checkpoint is opened.
fn parts(snapshot: &Snapshot, index: &str) -> BTreeSet<String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index = std::fs::read(snapshot.local(index)).unwrap_or_default();
    let index = serde_json::from_slice::<Index>(&index);
    index.map_or_else(|_| BTreeSet::new(), |index| index.weight_map.into_values().collect())
}

fn choose(names: &BTreeSet<String>, address: &Address, want: Want) -> Result<Choice> {
    let folder = address.path.as_str();
    if names.contains(folder) {
        return Ok(Choice::File(folder.to_string()));
    }
    let prefix = below(folder, "");
    let here: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(&prefix)).collect();
    if here.is_empty() && !folder.is_empty() {
        let all = first_of(names.iter().map(String::as_str));
        return Err(address.failed(format!("there is no file and no folder of this name; it holds {all}")));
    }
    let has = |name: &str| here.contains(&name);
    if want.marks().iter().copied().any(has) {
        return Ok(Choice::Folder(folder.to_string()));
    }
    match want {
        Want::Adapter => {
            Err(address.failed(format!("this is no adapter: there is no {ADAPTER_CONFIG} in it")))
        }
        _ => one_file(&here, address, want).map(|name| Choice::File(below(folder, name))),
    }
}

/// The only file that holds a model by itself, where there is no folder of one.
fn one_file<'a>(here: &[&'a str], address: &Address, want: Want) -> Result<&'a str> {
    let ending = |endings: &[&str]| -> Vec<&'a str> {
        here.iter().copied().filter(|name| endings.iter().any(|end| name.ends_with(end))).collect()
    };
    let single = ending(&[".gguf"]);
    if let [one] = single.as_slice() {
        return Ok(one);
    }
    let whole = match single.is_empty() {
        true => ending(&[".zip", ".safetensors"]),
        false => single,
    };
    let torch = ending(&[".bin", ".pth", ".pt"]);
    Err(address.failed(if here.contains(&ADAPTER_CONFIG) {
        "this is a LoRA adapter; give it with --adapter, beside the --model that it belongs to".to_string()
    } else if want == Want::Tokenizer && whole.is_empty() {
        format!("there is no {TOKENIZER} in it")
    } else if let [first, ..] = whole.as_slice() {
        let first = address.beside(&below(&address.path, first));
        format!("there is no {WEIGHTS} in it, but {}; name one, as in {first}", first_of(whole))
    } else if let [first, ..] = torch.as_slice() {
        let first = address.beside(&below(&address.path, first));
        format!(
            "its weights are PyTorch's ({}), which do not say what they are; take a repository with {WEIGHTS}, save it \
            as one with transformers, or, for one of MiniMind's or llama2.c's, `kindling import --model {first}`",
            first_of(torch)
        )
    } else {
        format!("there is no model in it: no {WEIGHTS}, no {WEIGHTS_INDEX} and no .gguf")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(address: &str, want: Want, names: &[&str]) -> Result<Choice> {
        let names = names.iter().map(|name| name.to_string()).collect();
        choose(&names, &Address::parse(address).unwrap(), want)
    }

    #[test]
    fn a_folder_is_taken_before_a_file_and_one_file_before_none() {
        let all =
            ["config.json", "model.safetensors", "x.gguf", "f16/a.gguf", "sub/model.safetensors.index.json"];
        for (address, want, names, expected) in [
            ("hub:o/n", Want::Checkpoint, &all[..], Choice::Folder(String::new())),
            ("hub:o/n/sub", Want::Checkpoint, &all, Choice::Folder("sub".into())),
            ("hub:o/n/x.gguf", Want::Checkpoint, &all, Choice::File("x.gguf".into())),
            ("hub:o/n/f16", Want::Checkpoint, &all, Choice::File("f16/a.gguf".into())),
            ("hub:o/n", Want::Checkpoint, &["README.md", "x.gguf"], Choice::File("x.gguf".into())),
            ("hub:o/n", Want::Tokenizer, &["tokenizer.json"], Choice::Folder(String::new())),
            ("hub:o/n", Want::Tokenizer, &["x.gguf"], Choice::File("x.gguf".into())),
            ("hub:o/n", Want::Adapter, &["adapter_config.json"], Choice::Folder(String::new())),
            ("hub:o/n", Want::Files, &["adapter_config.json"], Choice::Folder(String::new())),
            ("hub:o/n/m.pth", Want::Files, &["m.pth"], Choice::File("m.pth".into())),
        ] {
            assert_eq!(chosen(address, want, names).unwrap(), expected, "{address} {want:?}");
        }
    }

    #[test]
    fn what_holds_no_model_is_told() {
        for (address, want, names, told) in [
            (
                "hub:o/n",
                Want::Checkpoint,
                &["a.gguf", "b.gguf"][..],
                "a.gguf, b.gguf; name one, as in hub:o/n/a.gguf",
            ),
            ("hub:o/n@v1/q", Want::Checkpoint, &["q/a.gguf", "q/b.gguf"], "as in hub:o/n@v1/q/a.gguf"),
            ("hub:o/n", Want::Checkpoint, &["pytorch_model.bin"], "PyTorch's (pytorch_model.bin)"),
            ("hub:o/n", Want::Checkpoint, &["adapter_config.json"], "give it with --adapter"),
            ("hub:o/n", Want::Checkpoint, &["run.safetensors"], "name one, as in hub:o/n/run.safetensors"),
            ("hub:o/n", Want::Checkpoint, &["README.md"], "there is no model in it"),
            ("hub:o/n", Want::Tokenizer, &["config.json", "vocab.json"], "there is no tokenizer.json in it"),
            ("hub:o/n", Want::Adapter, &["model.safetensors"], "no adapter: there is no adapter_config.json"),
            (
                "hub:o/n/x",
                Want::Checkpoint,
                &["a.gguf"],
                "no file and no folder of this name; it holds a.gguf",
            ),
        ] {
            let error = chosen(address, want, names).unwrap_err().to_string();
            assert!(error.starts_with(address) && error.contains(told), "{error}");
        }
    }
}
