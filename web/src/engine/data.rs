//! Data that a person drops: opened in memory, shown as the model sees it.

use std::io::Read;
use std::sync::Arc;

use kindling::batch::{Encoder, Fit, Fitted, RenderWarnings, count_warnings_of_row, render_remarks};
use kindling::data::{
    DataOptions, Dataset, HeldOutShare, Memory, Source, decompressor, format_of, is_parquet,
};
use kindling::tokenizer::Tokenizer;
use kindling::told::{Told, told};
use kindling::train::{Stage, TrainConfig, turn_warnings};
use serde_json::{Map, Value};
use web_sys::{TextDecoder, TextDecoderOptions};

use super::fresh::{Named, shape_of};
use super::messages::run::{Preview, PreviewRow, PreviewToken};
use super::protocol::File;
pub use super::run_settings::{fitted_config, lora_config, merged, train_config};
use super::state::{Answer, Engine};
use super::told::{notes, texts, warnings};

impl Engine {
    /// The first rows, for a model or an adapter that trains, or for a new model of a preset: tokens, and which of them are
    /// targets.
    pub fn preview(
        &self,
        (stage, adapts, named): (Stage, bool, Named<'_>),
        changed: Map<String, Value>,
        rows: usize,
        encoding: Option<&str>,
        files: Vec<File>,
    ) -> Result<Answer, Told> {
        let model = self.opened()?;
        let shape = shape_of(&model, named, adapts)?;
        let read = (shape.context(), shape.diffusion.is_some());
        let (config, fitted) = fitted_config(stage, adapts, changed, read)?;
        let dataset = dataset(stage, &config, &model.tokenizer, encoding, files)?;
        let tokenizer = model.tokenizer;
        let content = stage.content_of(&dataset);
        let encoder = Encoder::new(Arc::clone(&tokenizer), content).for_rows_of(config.max_seq_len);
        let mut fit = Fit::new(content, config.max_seq_len, config.too_long);
        let objective = stage.objective_for(&config.diffusion, &shape).map_err(Told::from)?;
        if objective.masking().is_some() && !config.packing {
            // Where any token may be hidden the last one is read, too.
            fit.seq_len = fit.seq_len.saturating_sub(1).max(1);
        }
        let longest = fit.seq_len.saturating_add(1);
        let told = |e: kindling::error::Error| e.told();
        let (mut shown, mut odd) = (Vec::new(), RenderWarnings::new());
        for row in dataset.iter().take(rows) {
            let (row, origin) = row.map_err(told)?;
            let examples = encoder.examples(&row, origin).map_err(told)?;
            count_warnings_of_row(&examples, &mut odd);
            for example in examples {
                // A long text goes on in further rows of training, a conversation loses its end.
                let (trained, more) = match fit.fit(example.clone()) {
                    Fitted::TooLong => (false, 0),
                    Fitted::Cut(fitted) if fit.keep_pieces => (true, fit.pieces(fitted).len() - 1),
                    _ => (true, 0),
                };
                let tokens = example.ids.iter().zip(&example.weights).take(longest);
                let token =
                    |(&id, &weight): (&u32, &f32)| preview_token(&tokenizer, id, trained && weight != 0.0);
                let tokens = tokens.map(token).collect();
                let line = example.origin.line as f64;
                let cut = example.ids.len() > longest && more == 0;
                shown.push(PreviewRow { line, tokens, cut, more: more as f64 });
            }
        }
        let report = dataset.report();
        let turns = turn_warnings(stage, &dataset, &tokenizer);
        let remarks = fitted.into_iter().chain(turns).chain(render_remarks(&odd, |count| count.to_string()));
        let remarks: Vec<Told> = remarks.collect();
        let warnings = [warnings(report), texts(&remarks)].concat();
        let total = dataset.len() as f64;
        let notes = notes(&remarks);
        Answer::new(Preview { rows: shown, total, warnings, report: report.into(), notes })
    }
}

fn preview_token(tokenizer: &Tokenizer, id: u32, target: bool) -> PreviewToken {
    PreviewToken { text: tokenizer.token_text(id), id, target }
}

/// The rows of all files, for a run of these settings and this tokenizer; `encoding` is what the files are written in,
/// where that is not UTF-8.
///
/// # Errors
/// Files of an unknown kind, and rows that cannot be used, by file and line.
pub fn dataset(
    stage: Stage,
    config: &TrainConfig,
    tokenizer: &Tokenizer,
    encoding: Option<&str>,
    files: Vec<File>,
) -> Result<Dataset, Told> {
    if files.is_empty() {
        return Err(told!("data.none", "there is no data; paste some text or drop a file"));
    }
    let sources = files.into_iter().map(|file| source(file, encoding)).collect::<Result<Vec<_>, _>>()?;
    let options = DataOptions {
        kind: stage.row_kind(),
        template_keys: tokenizer.template_keys(),
        held_out: Some(HeldOutShare { fraction: config.val_split, seed: config.seed }),
        ..DataOptions::default()
    };
    let dataset = Dataset::open(sources, options).map_err(Told::from)?;
    stage.check_rows(&dataset).map_err(Told::from)?;
    Ok(dataset)
}

/// A file's text, unpacked and in UTF-8.
///
/// # Errors
/// A file of an unknown kind, or a damaged one; bytes that are not of the encoding.
pub fn source(file: File, encoding: Option<&str>) -> Result<Arc<dyn Source>, Told> {
    let File { name, bytes } = file;
    if is_parquet(&name) {
        return Err(told!(
            "file.parquet",
            "{name}: .parquet files are read by the command line only; use it, or convert the file to .jsonl",
            name
        ));
    }
    if format_of(&name).is_none() {
        return Err(told!(
            "file.not_read",
            "{name}: this kind of file is not read; give .jsonl, .json, .csv, .tsv or .txt, or one of these as .gz or .zst",
            name
        ));
    }
    let unpacked = match decompressor(&name, bytes.as_slice()).map_err(Told::from)? {
        None => None,
        Some(mut reader) => {
            let mut unpacked = Vec::new();
            let read = reader.read_to_end(&mut unpacked);
            read.map_err(|e| {
                told!("file.unpack", "{name}: cannot be unpacked ({e}); the file is damaged", name, e)
            })?;
            Some(unpacked)
        }
    };
    let text = in_utf8(&name, unpacked.unwrap_or(bytes), encoding)?;
    Ok(Arc::new(Memory::new(&name, text)))
}

/// A text in UTF-8, decoded by the browser, which knows the encodings; a byte order mark goes before what was chosen.
fn in_utf8(name: &str, bytes: Vec<u8>, encoding: Option<&str>) -> Result<Vec<u8>, Told> {
    let marked = match bytes.as_slice() {
        // UTF-32 is refused by its name where the rows are read.
        [0xEF, 0xBB, 0xBF, ..] | [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => return Ok(bytes),
        [0xFF, 0xFE, ..] => Some("utf-16le"),
        [0xFE, 0xFF, ..] => Some("utf-16be"),
        _ => None,
    };
    let Some(label) = marked.or(encoding) else { return Ok(bytes) };
    let options = TextDecoderOptions::new();
    options.set_fatal(true);
    let decoder = TextDecoder::new_with_label_and_options(label, &options);
    let decoder = decoder
        .map_err(|_| told!("file.encoding", "'{label}' is no encoding that this browser knows", label))?;
    let text = decoder.decode_with_u8_array(&bytes);
    let text = text.map_err(|_| {
        told!("file.encoded", "{name}: it holds bytes that are not {label}; choose its encoding", name, label)
    })?;
    Ok(text.into_bytes())
}
