//! `replay`: shows once more how a model filled its masks, as slowly as one wants to see it.

use std::collections::BTreeSet;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use kindling::error::Error;
use kindling::sample::UnmaskStep;
use kindling::tokenizer::Tokenizer;
use serde::Deserialize;

use crate::cli::Everywhere;
use crate::failure::{Failure, io_error};
use crate::interrupt;
use crate::model_files::open_tokenizer_and_config;
use crate::output::{self, Output};
use crate::unmasking::{Step, Unmasking};

/// No context of a small model is longer: a damaged file shall not take all memory.
const MOST_PLACES: usize = 1 << 20;

/// Flags of `replay`.
#[derive(Args)]
pub struct ReplayArgs {
    /// What `generate` or `chat` wrote with --json --show-steps; `-` reads it from stdin
    pub file: PathBuf,
    /// The checkpoint that wrote it, its tokenizer.json, hub:owner/name or ms:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// Milliseconds that each step stands
    #[arg(long, default_value_t = 120)]
    pub delay: u64,
}

/// An answer with its steps.
#[derive(Deserialize)]
struct Recorded {
    prompt_tokens: Vec<u32>,
    text: String,
    /// Who says it: of a chat the answer alone is shown, as it was.
    role: Option<String>,
    holes: Option<Vec<String>>,
    steps: Vec<Step>,
    /// What the ids mean; earlier versions did not tell it.
    vocabulary: Option<String>,
    /// Its line in the file.
    #[serde(skip)]
    line: usize,
}

/// Runs the verb.
///
/// # Errors
/// A file that cannot be read or holds no steps, a model without a tokenizer, an interruption.
pub fn run(args: &ReplayArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    if output.json {
        return Err(Failure::Usage("replay shows what its file has as JSON; leave out --json".into()));
    }
    let recorded = read(&args.file)?;
    let (tokenizer, _) = open_tokenizer_and_config(&args.model)?;
    check_vocabulary(&recorded, &tokenizer, args)?;
    interrupt::listen();
    for recorded in &recorded {
        recorded.show(&tokenizer, Duration::from_millis(args.delay), output)?;
    }
    Ok(())
}

/// Refuses a tokenizer that reads the ids of an answer otherwise than the one that wrote it.
fn check_vocabulary(all: &[Recorded], tokenizer: &Tokenizer, args: &ReplayArgs) -> Result<(), Failure> {
    let (own, file, model) = (tokenizer.vocabulary_hash(), args.file.display(), args.model.display());
    let other = all.iter().find(|one| one.vocabulary.as_ref().is_some_and(|told| *told != own));
    let other = other.or_else(|| all.iter().find(|one| one.filled().any(|id| !tokenizer.has_id(id))));
    if let Some(Recorded { line, .. }) = other {
        return Err(Error::Data(
            format!(
                "{file}:{line}: {model} has another tokenizer than the one that wrote these steps, and would show other \
                 words; name the checkpoint that wrote them with --model"
            )
            .into(),
        )
        .into());
    }
    if let Some(Recorded { line, .. }) = all.iter().find(|one| one.vocabulary.is_none()) {
        output::warn(&format!(
            "{file}:{line}: it does not say which tokenizer wrote it; that it is that of {model} is taken on trust"
        ));
    }
    Ok(())
}

/// All answers of a file, one a line.
fn read(file: &Path) -> Result<Vec<Recorded>, Failure> {
    let text = match file.as_os_str().to_str() {
        Some("-") => {
            let mut text = String::new();
            stdin().read_to_string(&mut text).map(|_| text)
        }
        _ => std::fs::read_to_string(file),
    };
    let text = text.map_err(|e| io_error(file, e))?;
    let unread = |line: usize, why: &str| {
        let place = format!("{}:{line}", file.display());
        Error::Data(
            format!(
                "{place}: not what `generate` or `chat` writes with --json --show-steps of a model of masked tokens: {why}"
            )
            .into(),
        )
    };
    let mut all = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut recorded: Recorded =
            serde_json::from_str(line).map_err(|error| unread(number + 1, &error.to_string()))?;
        recorded.check().map_err(|why| unread(number + 1, why))?;
        recorded.line = number + 1;
        all.push(recorded);
    }
    if all.is_empty() {
        return Err(unread(1, "it is empty").into());
    }
    Ok(all)
}

impl Recorded {
    /// The ids that the steps fill in.
    fn filled(&self) -> impl Iterator<Item = u32> {
        self.steps.iter().flat_map(|step| step.filled.iter().map(|one| one.id))
    }

    /// The places that the steps fill.
    fn places(&self) -> BTreeSet<usize> {
        self.steps.iter().flat_map(|step| step.filled.iter().map(|one| one.place)).collect()
    }

    /// Whether every place is one of the text.
    fn check(&self) -> Result<(), &'static str> {
        let places = self.places();
        let Some(&last) = places.last() else { return Err("no step fills a token") };
        let most = if self.holes.is_some() { self.prompt_tokens.len() } else { MOST_PLACES };
        if last < most { Ok(()) } else { Err("a step fills a place that the text does not have") }
    }

    fn show(&self, tokenizer: &Tokenizer, delay: Duration, output: Output) -> Result<(), Failure> {
        let prompt = tokenizer.decode(&self.prompt_tokens, true)?;
        let stands_alone = self.holes.is_some() || self.role.is_some();
        let before = if stands_alone { "" } else { prompt.as_str() };
        let places = self.places();
        let view = Unmasking::new(Some(tokenizer), output, false);
        let seen = view.is_seen();
        // Where nothing can be redrawn, every step is a line.
        let view = if seen { view } else { Unmasking::new(Some(tokenizer), output, true) };
        let mut view = match self.holes {
            Some(_) => view.within(&self.prompt_tokens, |place| places.contains(&place)),
            None => view.behind(before),
        };
        // As many places as there are; which ids they have tells each step.
        let canvas = vec![0; places.last().map_or(0, |last| last + 1)];
        let steps = self.steps.last().map_or(0, |last| last.step);
        for Step { step, filled } in &self.steps {
            view.push(&UnmaskStep { step: *step, steps, filled, canvas: &canvas });
            if interrupt::asked() {
                break;
            }
            if seen {
                sleep(delay);
            }
        }
        view.finish();
        output.line(&format!("{before}{}", self.text));
        if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("steps.jsonl");
        std::fs::write(&file, text).unwrap();
        match read(&file) {
            Ok(all) => format!("{} answers", all.len()),
            Err(Failure::Work(error)) => error.to_string(),
            Err(_) => panic!("another failure"),
        }
    }

    #[test]
    fn what_is_no_record_is_named_by_its_line() {
        let whole =
            r#"{"prompt_tokens": [1], "tokens": [5, 6], "text": "ab", "finish_reason": "length", "steps": [
            {"step": 1, "filled": [{"place": 1, "id": 6, "confidence": 0.5}]},
            {"step": 2, "filled": [{"place": 0, "id": 5, "confidence": 0.25}]}]}"#
                .replace('\n', " ");
        assert_eq!(told(&format!("{whole}\n\n{whole}\n")), "2 answers");
        for (text, part) in [
            (format!("{whole}\n{{\"text\": \"a\"}}"), "steps.jsonl:2: not what"),
            (whole.replace("\"steps\"", "\"stops\""), "steps"),
            (whole.replace("\"place\": 1", "\"place\": 10000000000"), "a place that the text does not have"),
            (
                whole.replace("\"text\"", "\"holes\": [\"a\"], \"text\""),
                "a place that the text does not have",
            ),
            (r#"{"prompt_tokens": [], "text": "", "steps": []}"#.to_string(), "no step fills"),
            (String::new(), "it is empty"),
        ] {
            let message = told(&text);
            assert!(message.contains(part), "{message}");
        }
    }
}
