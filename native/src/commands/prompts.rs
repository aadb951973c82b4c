//! `generate --data`: the prompts of files, several at a time.

use std::collections::BTreeMap;
use std::path::Path;

use kindling::data::RowOrigin;
use kindling::device::is_processor;
use kindling::model::Transformer;
use kindling::sample::{Flow, Generation, SideBySide, generate_together};
use kindling::tokenizer::Tokenizer;
use serde_json::json;

use super::doctor;
use super::generate::{GenerateArgs, idle_hole_tokens, tell_idle_length};
use super::generated_file::{Finished, GeneratedBy, GeneratedFile};
use super::prompt_rows::{Asked, Masks, PromptRows, PromptSource, read};
use super::row_file::{Existing, PromptHash};
use super::writing::{Completion, ToWrite, Writing};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{self, Output};

/// Prompts side by side where nobody says how many.
const ROWS: u32 = 8;

impl PromptRows {
    /// How many prompts may be continued side by side.
    pub(super) fn side_by_side(&self, model: &Transformer) -> SideBySide {
        SideBySide { rows: self.batch_size.unwrap_or(ROWS) as usize, cache_bytes: cache_bytes(model) }
    }
}

/// A model that continues prompts.
pub struct Continuing<'a> {
    pub model: &'a Transformer,
    pub tokenizer: &'a Tokenizer,
    /// What the rows of a file depend on but for the prompts, where `--out` names one.
    pub made: Option<GeneratedBy>,
    pub output: Output,
}

/// Continues the prompts of files, several side by side where the model writes from left to right; results come in the order
/// of the rows. `said` are the flags that were given.
///
/// # Errors
/// Rows that cannot be used, by file and line and before anything is generated; flags that do not act; what cannot go on in
/// `--out`; an interruption.
pub fn run(args: &GenerateArgs, with: &Continuing, said: &[String]) -> Result<(), Failure> {
    let masks = Masks::of(with.model.config(), args.hole_tokens, args.unmask.settings);
    if masks.is_some() && args.rows.batch_size.is_some() {
        return Err(Failure::Usage(
            "--batch-size continues prompts side by side, and a model that predicts masked tokens takes one after the \
             other; leave it out"
                .into(),
        ));
    }
    let source =
        PromptSource { data: &args.data, rows: &args.rows, sampling: &args.sampling, masks, as_chat: false };
    let asked = read(&source, with.model.config().context(), with.tokenizer, with.output)?;
    if masks.is_some() {
        let said = |flag: &str| said.iter().any(|said| said == flag);
        let fills = asked.iter().any(|(_, asked)| asked.canvas.is_some());
        if said("hole-tokens") && !fills {
            return Err(idle_hole_tokens());
        }
        if said("max-new-tokens") && fills {
            tell_idle_length(with.output);
        }
    }
    let mut rows = Rows::open(args, with, &asked)?;
    interrupt::listen();
    let outcome = match masks {
        Some(_) => rows.one_by_one(args, with),
        None => rows.side_by_side(with, args.rows.side_by_side(with.model)),
    };
    rows.conclude(outcome)
}

/// The rows with their prompts, and where what is made of them goes.
struct Rows<'a> {
    asked: &'a [(RowOrigin, Asked)],
    /// The next one.
    next: usize,
    file: Option<(&'a Path, GeneratedFile)>,
    output: Output,
}

impl<'a> Rows<'a> {
    fn open(
        args: &'a GenerateArgs,
        with: &Continuing,
        asked: &'a [(RowOrigin, Asked)],
    ) -> Result<Self, Failure> {
        let mut rows = Self { asked, next: 0, file: None, output: with.output };
        if let (Some(path), Some(made)) = (&args.out, &with.made) {
            let made = GeneratedBy { prompts: hash(asked), ..made.clone() };
            let existing = Existing::of(args.resume, args.overwrite);
            let file = GeneratedFile::open(path, existing, &made, asked.iter().map(|(origin, _)| origin))?;
            rows.next = file.done;
            if file.done > 0 {
                rows.output.say(&format!(
                    "going on behind {} of {}",
                    file.done,
                    output::counted(asked.len() as u64, ["row", "rows"])
                ));
            }
            rows.file = Some((path, file));
        }
        Ok(rows)
    }

    /// Takes what was made of the next row.
    fn take(&mut self, made: &Completion) -> kindling::error::Result<()> {
        const TOLD: usize = 10;
        let (origin, all) = (&self.asked[self.next].0, self.asked.len());
        self.next += 1;
        let row = Finished::new(origin, made);
        let Some((_, file)) = &mut self.file else {
            show(&row, origin, made, self.output);
            return Ok(());
        };
        file.add(&row)?;
        if self.next * TOLD / all > (self.next - 1) * TOLD / all && self.next < all {
            self.output.say(&format!(
                "made {} of {}",
                self.next,
                output::counted(all as u64, ["row", "rows"])
            ));
        }
        Ok(())
    }

    fn one_by_one(&mut self, args: &GenerateArgs, with: &Continuing) -> Result<(), Failure> {
        let (asked, show_steps) = (self.asked, args.unmask.show_steps);
        let tokenizer = Some(with.tokenizer);
        let writing = Writing::new(with.model, tokenizer, show_steps, with.output);
        for (_, Asked { ids, canvas, config, unmask, .. }) in &asked[self.next..] {
            let (canvas, sampling, unmask) = (canvas.as_ref(), config, *unmask);
            let made = writing.write(&ToWrite { text: "", ids, canvas, sampling, unmask, alone: false })?;
            // What there is of a text that was interrupted is shown, and not kept.
            if !interrupt::asked() || self.file.is_none() {
                self.take(&made)?;
            }
            if interrupt::asked() {
                return Err(Failure::Interrupted);
            }
        }
        Ok(())
    }

    fn side_by_side(&mut self, with: &Continuing, limit: SideBySide) -> Result<(), Failure> {
        let ends = with.tokenizer.end_ids(&with.model.config().eos_token_ids);
        let (asked, first) = (self.asked, self.next);
        let requests: Vec<_> =
            asked[first..].iter().map(|(_, asked)| asked.request(with.tokenizer, &ends)).collect();
        let mut waiting = BTreeMap::new();
        let mut on_done = |number: usize, generation: Generation| -> kindling::error::Result<()> {
            if interrupt::asked() && self.file.is_some() {
                return Ok(());
            }
            waiting.insert(first + number, Completion::from(generation));
            while let Some(made) = waiting.remove(&self.next) {
                self.take(&made)?;
            }
            Ok(())
        };
        let mut on_step = || if interrupt::asked() { Flow::Stop } else { Flow::Continue };
        let outcome =
            pollster::block_on(generate_together(with.model, &requests, limit, &mut on_step, &mut on_done));
        if self.file.is_none() {
            // What was ready behind a row that is not: its number tells which it is.
            for (number, made) in waiting {
                let origin = &asked[number].0;
                show(&Finished::new(origin, &made), origin, &made, self.output);
            }
        }
        if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(outcome?) }
    }

    /// Puts what was made on the disk, and says what came of it.
    fn conclude(self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        let Some((path, file)) = &self.file else { return outcome };
        file.finish()?;
        let (done, all) = (self.next as u64, output::counted(self.asked.len() as u64, ["row", "rows"]));
        match &outcome {
            Ok(()) => {
                self.output.json(&json!({"event": "done", "out": path.to_string_lossy(), "rows": self.next}));
                self.output.line(&path.display().to_string());
                self.output.say(&output::counted(done, ["row", "rows"]));
            }
            Err(Failure::Interrupted) => self.output.say(&format!(
                "stopped behind {} of {all}; the same command with --resume goes on",
                output::grouped(done)
            )),
            Err(_) => {}
        }
        outcome
    }
}

fn show(row: &Finished, origin: &RowOrigin, made: &Completion, output: Output) {
    output.json(row);
    output.line(&format!("── {origin}\n{}", made.generation.text));
}

/// A hash of what is asked, and how.
fn hash(asked: &[(RowOrigin, Asked)]) -> String {
    let mut hash = PromptHash::default();
    for (_, Asked { ids, config, unmask, canvas, .. }) in asked {
        hash.add(ids, config);
        hash.add_settings(&json!([unmask, canvas.as_ref().map(|canvas| &canvas.holes)]));
    }
    hash.finish()
}

/// Bytes that the keys and values of all prompts side by side may take.
pub fn cache_bytes(model: &Transformer) -> u64 {
    const LEAST: u64 = 256 << 20;
    // How much of it is free a graphics card does not tell.
    const OF_A_CARD: u64 = 1 << 30;
    match is_processor(&model.device()) {
        true => (doctor::memory().0 / 2).max(LEAST),
        false => OF_A_CARD,
    }
}
