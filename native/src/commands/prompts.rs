//! `generate --data`: the prompts of files, several at a time.

use std::collections::BTreeMap;

use kindling::data::RowOrigin;
use kindling::device::is_processor;
use kindling::model::Transformer;
use kindling::sample::{Flow, Generation, SideBySide, generate_together};
use kindling::tokenizer::Tokenizer;
use serde::Serialize;

use super::doctor;
use super::generate::{GenerateArgs, idle_hole_tokens};
use super::prompt_rows::{Asked, Masks, PromptRows, PromptSource, read};
use super::writing::{Completion, ToWrite, Writing};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;

/// Prompts side by side where nobody says how many.
const ROWS: u32 = 8;

impl PromptRows {
    /// How many prompts may be continued side by side.
    pub(super) fn side_by_side(&self, model: &Transformer) -> SideBySide {
        SideBySide { rows: self.batch_size.unwrap_or(ROWS) as usize, cache_bytes: cache_bytes(model) }
    }
}

/// A finished row as programs see it.
#[derive(Serialize)]
struct Shown<'a> {
    source: &'a str,
    line: u64,
    #[serde(flatten)]
    made: &'a Completion,
}

/// Continues the prompts of files, several side by side where the model writes from left to right; results come in the order
/// of the rows. `said` are the flags that were given.
///
/// # Errors
/// Rows that cannot be used, by file and line and before anything is generated; flags that do not act; an interruption.
pub fn run(
    args: &GenerateArgs,
    model: &Transformer,
    tokenizer: &Tokenizer,
    said: &[String],
    output: Output,
) -> Result<(), Failure> {
    let masks = Masks::of(model.config(), args.hole_tokens, args.unmask.settings);
    if masks.is_some() && args.rows.batch_size.is_some() {
        return Err(Failure::Usage(
            "--batch-size continues prompts side by side, and a model that predicts masked tokens takes one after the \
             other; leave it out"
                .into(),
        ));
    }
    let source =
        PromptSource { data: &args.data, rows: &args.rows, sampling: &args.sampling, masks, as_chat: false };
    let asked = read(&source, model.config().context(), tokenizer, output)?;
    interrupt::listen();
    if masks.is_none() {
        return side_by_side(&asked, model, tokenizer, args.rows.side_by_side(model), output);
    }
    if said.iter().any(|said| said == "hole-tokens") && asked.iter().all(|(_, asked)| asked.canvas.is_none())
    {
        return Err(idle_hole_tokens());
    }
    let writing = Writing { model, tokenizer: Some(tokenizer), show_steps: args.unmask.show_steps, output };
    for (origin, Asked { ids, canvas, config, unmask, .. }) in &asked {
        let (canvas, sampling, unmask) = (canvas.as_ref(), config, *unmask);
        let made = writing.write(&ToWrite { text: "", ids, canvas, sampling, unmask, alone: false })?;
        show(origin, &made, output);
        if interrupt::asked() {
            return Err(Failure::Interrupted);
        }
    }
    Ok(())
}

fn side_by_side(
    asked: &[(RowOrigin, Asked)],
    model: &Transformer,
    tokenizer: &Tokenizer,
    limit: SideBySide,
    output: Output,
) -> Result<(), Failure> {
    let ends = tokenizer.end_ids(&model.config().eos_token_ids);
    let requests: Vec<_> = asked.iter().map(|(_, asked)| asked.request(tokenizer, &ends)).collect();
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    let mut on_done = |number: usize, generation: Generation| {
        waiting.insert(number, Completion::from(generation));
        while let Some(made) = waiting.remove(&next) {
            show(&asked[next].0, &made, output);
            next += 1;
        }
        Ok(())
    };
    let mut on_step = || if interrupt::asked() { Flow::Stop } else { Flow::Continue };
    let outcome = pollster::block_on(generate_together(model, &requests, limit, &mut on_step, &mut on_done));
    // What was ready behind a row that is not: its number tells which it is.
    for (number, made) in waiting {
        show(&asked[number].0, &made, output);
    }
    if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(outcome?) }
}

fn show(origin: &RowOrigin, made: &Completion, output: Output) {
    output.json(&Shown { source: &origin.source, line: origin.line, made });
    output.line(&format!("── {origin}\n{}", made.generation.text));
}

/// Bytes that the keys and values of all prompts side by side may take.
pub(super) fn cache_bytes(model: &Transformer) -> u64 {
    const LEAST: u64 = 256 << 20;
    // How much of it is free a graphics card does not tell.
    const OF_A_CARD: u64 = 1 << 30;
    match is_processor(&model.device()) {
        true => (doctor::memory().0 / 2).max(LEAST),
        false => OF_A_CARD,
    }
}
