//! Data that a person drops: opened in memory, shown as the model sees it.

use std::io::Read;
use std::sync::Arc;

use kindling::adapter::LoraConfig;
use kindling::batch::{Encoder, Fit, Fitted, RenderWarnings, count_warnings, render_remarks};
use kindling::data::{
    DataOptions, Dataset, HeldOutShare, Memory, Source, decompressor, format_of, is_parquet,
};
use kindling::tokenizer::Tokenizer;
use kindling::train::{Stage, TrainConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::protocol::{File, PreviewRow, PreviewToken, warnings};
use super::state::{Answer, Engine};

impl Engine {
    /// The first rows: tokens, and which of them are targets.
    pub fn preview(
        &self,
        stage: Stage,
        config: TrainConfig,
        rows: usize,
        files: Vec<File>,
    ) -> Result<Answer, String> {
        let tokenizer = self.opened()?.tokenizer;
        let dataset = dataset(stage, &config, files)?;
        let encoder = Encoder::new(Arc::clone(&tokenizer), stage.content()).for_rows_of(config.max_seq_len);
        let fit = Fit::new(stage.content(), config.max_seq_len, config.too_long);
        let longest = config.max_seq_len.saturating_add(1);
        let told = |e: kindling::error::Error| e.to_string();
        let (mut shown, mut odd) = (Vec::new(), RenderWarnings::new());
        for row in dataset.iter().take(rows) {
            let (row, origin) = row.map_err(told)?;
            let example = encoder.encode(&row, origin).map_err(told)?;
            count_warnings(&example, &mut odd);
            let trained = fit.fit(example.clone()) != Fitted::TooLong;
            let tokens = example.ids.iter().zip(&example.weights).take(longest);
            let token =
                |(&id, &weight): (&u32, &f32)| preview_token(&tokenizer, id, trained && weight != 0.0);
            let tokens = tokens.map(token).collect();
            shown.push(PreviewRow { line: example.origin.line, tokens, cut: example.ids.len() > longest });
        }
        let report = dataset.report();
        let notes = render_remarks(&odd, |count| count.to_string());
        let warnings = [warnings(report), notes.clone()].concat();
        Answer::new(json!({
            "rows": shown, "total": dataset.len(), "warnings": warnings, "report": report, "notes": notes,
        }))
    }
}

fn preview_token(tokenizer: &Tokenizer, id: u32, target: bool) -> PreviewToken {
    PreviewToken { text: tokenizer.token_text(id), id, target }
}

/// The rows of all files, for a run of these settings.
///
/// # Errors
/// Files of an unknown kind, and rows that cannot be used, by file and line.
pub fn dataset(stage: Stage, config: &TrainConfig, files: Vec<File>) -> Result<Dataset, String> {
    if files.is_empty() {
        return Err("there is no data; paste some text or drop a file".into());
    }
    let sources = files.into_iter().map(source).collect::<Result<Vec<_>, _>>()?;
    let options = DataOptions {
        kind: Some(stage.row_kind()),
        held_out: Some(HeldOutShare { fraction: config.val_split, seed: config.seed }),
        ..DataOptions::default()
    };
    Dataset::open(sources, options).map_err(|e| e.to_string())
}

fn source(file: File) -> Result<Arc<dyn Source>, String> {
    let File { name, bytes } = file;
    if is_parquet(&name) {
        return Err(format!(
            "{name}: .parquet files are read by the command line only; use it, or convert the file to .jsonl"
        ));
    }
    if format_of(&name).is_none() {
        return Err(format!(
            "{name}: this kind of file is not read; give .jsonl, .json, .csv or .txt, or one of these as .gz or .zst"
        ));
    }
    let unpacked = match decompressor(&name, bytes.as_slice()).map_err(|e| e.to_string())? {
        None => None,
        Some(mut reader) => {
            let mut unpacked = Vec::new();
            let read = reader.read_to_end(&mut unpacked);
            read.map_err(|e| format!("{name}: cannot be unpacked ({e}); the file is damaged"))?;
            Some(unpacked)
        }
    };
    Ok(Arc::new(Memory::new(&name, unpacked.unwrap_or(bytes))))
}

/// The settings of a stage that trains the model, or an adapter beside it, with those that the page changed. Every step is
/// reported: a page watches.
pub fn train_config(stage: Stage, adapts: bool, changed: Map<String, Value>) -> Result<TrainConfig, String> {
    let defaults = if adapts { TrainConfig::of_adapter(stage) } else { TrainConfig::of(stage) };
    merged(TrainConfig { log_every: 1, ..defaults }, changed)
}

/// An adapter's settings, likewise.
pub fn lora_config(changed: Map<String, Value>) -> Result<LoraConfig, String> {
    merged(LoraConfig::default(), changed)
}

fn merged<T: Serialize + DeserializeOwned>(defaults: T, changed: Map<String, Value>) -> Result<T, String> {
    let mut settings = serde_json::to_value(defaults).map_err(|e| e.to_string())?;
    if let Value::Object(settings) = &mut settings {
        settings.extend(changed);
    }
    serde_json::from_value(settings).map_err(|e| format!("a setting cannot be used: {e}"))
}
