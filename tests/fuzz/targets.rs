//! What is done with foreign bytes: the fuzzers call these functions with bytes that they make, tests/library/corpus.rs
//! with those that are kept. All of a format's readers see the bytes; `Ok` is what opens as a whole.

use kindling::adapter::Adapter;
use kindling::checkpoint::{
    Checkpoint, WEIGHTS_INDEX, from_single_file, open_tokenizer, read_training, whole_weights,
};
use kindling::error::Result;
use kindling::formats::gguf::from_gguf;
use kindling::formats::{
    ADAPTER_CONFIG, Files, MinimindShape, TensorFile, from_llama2c, from_minimind, from_zip,
    llama2c_tokenizer, open_state_dict, to_zip,
};

/// Between parts of which one file is made. It is in no UTF-8 text.
const SEPARATOR: u8 = 0xFF;
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
/// The texts of a directory, in their order.
const TEXTS: [&str; 6] = [
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    WEIGHTS_INDEX,
    ADAPTER_CONFIG,
];

/// A single-file checkpoint. Otherwise a header of JSON, a separator and data, which get the right length before them:
/// changing a header seldom leaves that right.
pub fn safetensors(bytes: &[u8]) -> Result<()> {
    single_file(bytes).or_else(|error| single_file(&with_length(bytes)).map_err(|_| error))
}

fn single_file(bytes: &[u8]) -> Result<()> {
    let file = TensorFile::open("file", bytes.to_vec())?;
    for tensor in file.read_all()? {
        assert_eq!(tensor.values.len(), file.read(&tensor.name, &tensor.shape)?.len());
    }
    let files = from_single_file(bytes)?;
    _ = read_training(|name| Ok(files.get(name).cloned()));
    open(&files)
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    let (header, data) = split(bytes);
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// What stands before the first separator, and behind it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == SEPARATOR).unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn open(files: &Files) -> Result<()> {
    Checkpoint::open(|name| Ok(files.get(name).cloned())).map(drop)
}

/// A directory of [`TEXTS`] with separators between them, and behind the last a header and data for all weights. An
/// empty text is an absent file; with an index there is no `model.safetensors`.
pub fn directory(bytes: &[u8]) -> Result<()> {
    let (mut files, mut rest) = (Files::new(), bytes);
    for name in TEXTS {
        let (text, behind) = split(rest);
        rest = behind;
        if !text.is_empty() {
            files.insert(name.into(), text.to_vec());
        }
    }
    let weights = with_length(rest);
    let read = |name: &str| {
        let file = name.strip_prefix("additional_chat_templates/").unwrap_or(name);
        assert!(!file.contains(['/', '\\', ':']) && file != "..", "{name} leads out of the directory");
        let divided = name == WEIGHTS && files.contains_key(WEIGHTS_INDEX);
        let file = if name.ends_with(".safetensors") && !divided { Some(&weights) } else { files.get(name) };
        Ok(file.cloned())
    };
    let adapter = Adapter::open(read).map(drop);
    let model = whole_weights(read).and(Checkpoint::open(read)).map(drop);
    if files.contains_key(CONFIG) { model } else { adapter }
}

/// A GGUF file.
pub fn gguf(bytes: &[u8]) -> Result<()> {
    Checkpoint::open_gguf(bytes.to_vec())?;
    open(&from_gguf(bytes)?)
}

/// A PyTorch file; otherwise the pickle of one, with some storages beside it: what is changed in an archive seldom has
/// the right checksum.
pub fn pickle(bytes: &[u8]) -> Result<()> {
    torch(bytes).or_else(|error| torch(&archived(bytes)?).map_err(|_| error))
}

fn torch(bytes: &[u8]) -> Result<()> {
    let told = MinimindShape { heads: Some(2), kv_heads: Some(1), ..MinimindShape::default() };
    let models = [MinimindShape::default(), told]
        .map(|told| from_minimind(bytes, &told).and_then(|files| open(&files)));
    // A file may hold tables of angles, which no state dict has and a model does without.
    open_state_dict(bytes)
        .map(drop)
        .or_else(|error| models.into_iter().find(Result::is_ok).unwrap_or(Err(error)))
}

fn archived(pickle: &[u8]) -> Result<Vec<u8>> {
    let mut files: Files = (0..4).map(|key| (format!("x/data/{key}"), vec![0x3C; 64])).collect();
    files.insert("x/data.pkl".into(), pickle.to_vec());
    to_zip(&files)
}

/// An archive.
pub fn zip(bytes: &[u8]) -> Result<()> {
    let files = from_zip(bytes)?;
    for name in files.keys() {
        let mut folders = ["training/", "additional_chat_templates/"].into_iter();
        let file = folders.find_map(|folder| name.strip_prefix(folder)).unwrap_or(name);
        assert!(
            !file.contains(['/', '\\']) && !["", ".", ".."].contains(&file),
            "{name} leads out of the directory"
        );
    }
    _ = open(&files);
    Ok(())
}

/// A model of llama2.c; otherwise its vocabulary, with as many pieces as it has.
pub fn llama2c(bytes: &[u8]) -> Result<()> {
    from_llama2c(bytes).and_then(|files| open(&files)).or_else(|_| {
        let files = llama2c_tokenizer(bytes, pieces(bytes))?;
        open_tokenizer(&mut |name: &str| Ok(files.get(name).cloned())).map(drop)
    })
}

/// Pieces: the length of the longest, then for each its score, its length and its bytes.
fn pieces(bytes: &[u8]) -> usize {
    let (mut rest, mut count) = (bytes.get(4..).unwrap_or_default(), 0);
    while let Some((length, behind)) = rest.get(4..).and_then(|rest| rest.split_first_chunk::<4>()) {
        rest = behind.get(u32::from_le_bytes(*length) as usize..).unwrap_or_default();
        count += 1;
    }
    count
}
