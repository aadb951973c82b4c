//! `generate --demo` with two models: the same beginnings, and what each writes on from them, side by side.

use std::path::{Path, PathBuf};

use kindling::sample::{SamplingConfig, UnmaskConfig};
use serde_json::{Value, json};

use super::demo::{Opened, sees_both_sides};
use super::generate::{Asked, GenerateArgs};
use super::writing::{self, Completion, Writing};
use super::{ModelArgs, sampling_of};
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::table::{table, wrapped};

/// Places between two columns.
const BETWEEN: usize = 2;
/// Columns are as wide as a terminal has room for, within these bounds.
const NARROWEST: usize = 20;
const WIDEST: usize = 72;
/// The places of a line where nobody tells how many there are.
const LINE: usize = 100;

/// Runs the verb with these two models; `said` are the flags that were given.
///
/// # Errors
/// Flags that do not fit two models; a model that cannot be opened or asked; an interruption.
pub fn run(
    args: &GenerateArgs,
    models: &[PathBuf],
    everywhere: &Everywhere,
    said: &[String],
) -> Result<(), Failure> {
    let [first, second] = models else {
        return Err(Failure::Usage(format!(
            "--model is said {} times; two models stand side by side",
            models.len()
        )));
    };
    refuse(args)?;
    let open = |path: &PathBuf| Opened::open(&of_model(&args.model, path), everywhere);
    let both = [open(first)?, open(second)?];
    if both.iter().all(|opened| !opened.is_masked()) {
        writing::refuse_idle(&both[0].model, said)?;
    }
    let output = everywhere.output();
    let sampling = both.each_ref().map(|opened| sampling_of(&args.sampling, &opened.model, said, output));
    let kind = args.demo.demo_kind.unwrap_or_else(|| both[0].kind.shared(both[1].kind));
    let holes = both.iter().all(|opened| sees_both_sides(opened.model.config()));
    let columns = column_width();
    output.line(&in_columns(&both.each_ref().map(|opened| opened.name.clone()), columns).join("\n"));
    for text in kind.openings(holes) {
        output.line(&format!("\n{text}"));
        let mut texts = [String::new(), String::new()];
        for ((opened, sampling), shown) in both.iter().zip(&sampling).zip(&mut texts) {
            let made = write(opened, text, sampling, args, output)?;
            output.json(&for_programs(opened, text, &made));
            *shown = made.generation.text;
            if interrupt::asked() {
                return Err(Failure::Interrupted);
            }
        }
        output.line(&in_columns(&texts, columns).join("\n"));
    }
    Ok(())
}

/// Refuses what does not say which of the two models it is for.
fn refuse(args: &GenerateArgs) -> Result<(), Failure> {
    if !args.demo.demo {
        return Err(Failure::Usage(
            "two models stand side by side with --demo; without it, name one --model".into(),
        ));
    }
    if !args.model.adapter.is_empty() {
        return Err(Failure::Usage(
            "--adapter does not say which of the two models it is for; name the directory of the adapter's run as a --model, \
             or `kindling merge` it first"
                .into(),
        ));
    }
    Ok(())
}

/// The flags with another model.
fn of_model(flags: &ModelArgs, model: &Path) -> ModelArgs {
    ModelArgs {
        model: model.to_path_buf(),
        beside: flags.beside.clone(),
        rope: flags.rope.clone(),
        adapter: Vec::new(),
        weights: flags.weights,
        activations: flags.activations,
    }
}

fn write(
    opened: &Opened,
    text: &str,
    sampling: &SamplingConfig,
    args: &GenerateArgs,
    output: Output,
) -> Result<Completion, Failure> {
    let Opened { model, tokenizer, .. } = opened;
    let asked = Asked::of(text.to_string(), model, tokenizer, args.hole_tokens as usize)?;
    // How masks are filled says nothing of a model that has none.
    let unmask = if opened.is_masked() { args.unmask.settings } else { UnmaskConfig::default() };
    let show_steps = args.unmask.show_steps && opened.is_masked();
    let writing = Writing::new(model, Some(tokenizer), show_steps, output);
    writing.write(&asked.with(sampling, unmask, false))
}

/// As `generate` tells it, with the model and the prompt.
fn for_programs(opened: &Opened, prompt: &str, made: &Completion) -> Value {
    let mut told = json!({"model": opened.name, "prompt": prompt});
    if let (Some(told), Ok(Value::Object(made))) = (told.as_object_mut(), serde_json::to_value(made)) {
        told.extend(made);
    }
    told
}

/// The places of each of two columns.
fn column_width() -> usize {
    let line = console::Term::stdout().size_checked().map_or(LINE, |(_, columns)| usize::from(columns));
    (line.saturating_sub(BETWEEN) / 2).clamp(NARROWEST, WIDEST)
}

/// Two texts beside each other, the first as wide as its column.
fn in_columns(texts: &[String; 2], width: usize) -> Vec<String> {
    let [left, right] = texts.each_ref().map(|text| wrapped(text.trim(), width));
    // A row as wide as the columns, so that all texts stand below each other.
    let ruler = vec![" ".repeat(width), String::new()];
    let cell = |lines: &[String], line: usize| lines.get(line).cloned().unwrap_or_default();
    let rows = (0..left.len().max(right.len())).map(|line| vec![cell(&left, line), cell(&right, line)]);
    let mut lines = table(&rows.chain([ruler]).collect::<Vec<_>>());
    lines.pop();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_side_by_side_in_columns_of_one_width() {
        let lines = in_columns(&["a long way to go".to_string(), "是的".to_string()], 8);
        assert_eq!(lines, ["a long    是的", "way to", "go"]);
        let lines = in_columns(&["x".to_string(), "one two three".to_string()], 8);
        assert_eq!(lines, ["x         one two", "          three"]);
        assert!((NARROWEST..=WIDEST).contains(&column_width()));
    }
}
