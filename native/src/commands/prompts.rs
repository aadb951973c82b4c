//! `generate --data`: the prompts of a file, several at a time.

use std::collections::BTreeMap;
use std::path::Path;

use kindling::error::Error;
use kindling::model::Transformer;
use kindling::sample::{Flow, Generation, GenerationRequest, SamplingConfig, generate_together};
use kindling::text::{Prompt, parse_json, parse_prompt};
use kindling::tokenizer::Tokenizer;
use serde::Serialize;
use serde_json::Map;

use crate::failure::{Failure, io_error};
use crate::interrupt;
use crate::output::Output;

/// A finished row as programs see it.
#[derive(Serialize)]
struct Shown<'a> {
    line: usize,
    #[serde(flatten)]
    generation: &'a Generation,
}

/// Continues the prompts of a `.jsonl` file, `at_once` side by side; results come in the order of the file.
///
/// # Errors
/// Rows that hold no prompt, by line; prompts that the model cannot hold; an interruption.
pub fn run(
    path: &Path,
    at_once: usize,
    model: &Transformer,
    tokenizer: &Tokenizer,
    sampling: &SamplingConfig,
    output: Output,
) -> Result<(), Failure> {
    interrupt::listen();
    let (lines, prompts): (Vec<usize>, Vec<Vec<u32>>) = read(path, tokenizer)?.into_iter().unzip();
    // Each row draws with a seed of its own, or equal prompts would have equal answers.
    let seeded = |i: usize| SamplingConfig { seed: sampling.seed.wrapping_add(i as u64), ..sampling.clone() };
    let configs: Vec<SamplingConfig> = (0..prompts.len()).map(seeded).collect();
    let ends = tokenizer.end_ids(&model.config().eos_token_ids);
    let request = |(prompt, config)| GenerationRequest {
        prompt,
        reuse: 0,
        end_ids: &ends,
        tokenizer: Some(tokenizer),
        config,
    };
    let requests: Vec<_> =
        prompts.iter().map(Vec::as_slice).zip(&configs).map(|pair: (&[u32], _)| request(pair)).collect();
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    let mut on_done = |number: usize, generation: Generation| {
        waiting.insert(number, generation);
        while let Some(generation) = waiting.remove(&next) {
            show(lines[next], &generation, output);
            next += 1;
        }
        Ok(())
    };
    let mut on_step = || if interrupt::asked() { Flow::Stop } else { Flow::Continue };
    let outcome =
        pollster::block_on(generate_together(model, &requests, at_once, &mut on_step, &mut on_done));
    // What was ready behind a row that is not: its number tells which it is.
    for (number, generation) in waiting {
        show(lines[number], &generation, output);
    }
    if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(outcome?) }
}

fn show(line: usize, generation: &Generation, output: Output) {
    output.json(&Shown { line, generation });
    output.line(&format!("── line {line}\n{}", generation.text));
}

/// The prompts of a file as ids, with the lines they stand in.
fn read(path: &Path, tokenizer: &Tokenizer) -> Result<Vec<(usize, Vec<u32>)>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| io_error(path, e))?;
    let mut prompts = Vec::new();
    for (line, row) in (1..).zip(text.lines()).filter(|(_, row)| !row.trim().is_empty()) {
        let at = |why: String| Error::Data(format!("{}:{line}: {why}", path.display()));
        let prompt = parse_json(row).and_then(|row| parse_prompt(&row)).map_err(at)?;
        let ids = match prompt {
            Prompt::Text(text) => tokenizer.encode_document(&text),
            Prompt::Conversation(conversation) => tokenizer.render_prompt(&conversation, &Map::new()),
        };
        prompts.push((line, ids.map_err(|e| at(e.to_string()))?));
    }
    match prompts.is_empty() {
        true => Err(Error::Data(format!("{}: the file holds no prompts", path.display())).into()),
        false => Ok(prompts),
    }
}
