//! What a quickstart shows at its end: a row for every stage, and the same questions asked of each model that talks.

use std::path::{Path, PathBuf};

use kindling::chat::{AnswerSettings, ChatSession};
use kindling::checkpoint::PROGRESS;
use kindling::example::{DEFAULT_SEED, Question, World};
use kindling::sample::{Flow, SamplingConfig, UnmaskConfig, Writer, Written};
use serde_json::{Value, json};

use super::ModelArgs;
use super::quickstart::QuickstartArgs;
use crate::chain::Link;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::interrupt;
use crate::model_files::{open_tokenizer, read_optional};
use crate::output::{Output, duration, grouped};
use crate::runs::FoundRun;
use crate::table::table;

/// The longest answer, in tokens.
const LONGEST: usize = 96;
/// Questions of the generated world that are asked.
const QUESTIONS: usize = 4;
/// What stands where nothing was measured.
const NOTHING: &str = "–";

/// How a stage went.
pub struct Summary {
    /// The stage.
    pub name: String,
    out: PathBuf,
    rows: Option<u64>,
    steps: Option<u64>,
    /// Tokens that it trained on, padding included.
    tokens: Option<u64>,
    /// Seconds of its training; of a tokenizer that was made now, of all of it.
    seconds: Option<f64>,
    loss: Option<(f64, f64)>,
    /// What was measured of held-out rows, by name; of a tokenizer its ids.
    measures: Vec<(String, f64)>,
}

impl Summary {
    /// Reads what a stage left, which took so many seconds where it was run now.
    pub fn of(link: &Link, took: Option<f64>) -> Self {
        let (name, out) = (link.name.clone(), link.out.clone());
        if link.is_tokenizer() {
            let ids =
                open_tokenizer(&out).ok().map(|tokenizer| ("ids".to_string(), tokenizer.vocab_size() as f64));
            let measures = ids.into_iter().collect();
            return Self {
                name,
                out,
                rows: None,
                steps: None,
                tokens: None,
                seconds: took,
                loss: None,
                measures,
            };
        }
        let history = FoundRun::open(&out).history;
        let held_out = history.held_out.last().map(|(_, loss)| ("loss".to_string(), *loss));
        let is_share = |name: &str| ["accuracy", "rate"].iter().any(|end| name.ends_with(end));
        let shares = history.held_out_metrics.iter().filter(|(name, _)| is_share(name));
        let shares = shares.filter_map(|(name, curve)| Some((name.clone(), curve.last()?.1)));
        Self {
            rows: counted(&out, "rows"),
            tokens: counted(&out, "tokens"),
            steps: Some(history.step),
            seconds: Some(history.seconds),
            loss: history.ends(),
            measures: held_out.into_iter().chain(shares).collect(),
            name,
            out,
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let measures: serde_json::Map<String, Value> =
            self.measures.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "event": "stage", "stage": self.name, "out": self.out.display().to_string(), "rows": self.rows,
            "steps": self.steps, "tokens": self.tokens, "seconds": self.seconds, "loss_before": self.loss.map(|loss| loss.0),
            "loss_after": self.loss.map(|loss| loss.1), "held_out": measures,
        })
    }

    fn cells(&self) -> Vec<String> {
        let count = |count: Option<u64>| count.map_or_else(|| NOTHING.to_string(), grouped);
        let measures: Vec<String> =
            self.measures.iter().map(|(name, value)| measured(name, *value)).collect();
        vec![
            self.name.clone(),
            count(self.rows),
            count(self.steps),
            self.seconds.map_or_else(|| NOTHING.to_string(), duration),
            self.loss.map_or_else(|| NOTHING.to_string(), |(first, last)| format!("{first:.3} → {last:.3}")),
            if measures.is_empty() { NOTHING.to_string() } else { measures.join(", ") },
            self.out.display().to_string(),
        ]
    }
}

fn measured(name: &str, value: f64) -> String {
    match name {
        "ids" => format!("{} ids", grouped(value as u64)),
        name => format!("{name} {value:.3}"),
    }
}

/// What a run's progress has counted under a key: the rows of its data, the tokens that it trained on.
fn counted(run: &Path, key: &str) -> Option<u64> {
    let progress = read_optional(&run.join(PROGRESS)).ok().flatten()?;
    serde_json::from_slice::<Value>(&progress).ok()?[key].as_u64()
}

/// What all stages took together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens trained on.
    pub tokens: u64,
    /// Seconds.
    pub seconds: f64,
}

impl Sums {
    /// Of these stages.
    pub fn of(summaries: &[Summary]) -> Self {
        summaries.iter().fold(Self::default(), |sums, stage| Self {
            steps: sums.steps + stage.steps.unwrap_or(0),
            tokens: sums.tokens + stage.tokens.unwrap_or(0),
            seconds: sums.seconds + stage.seconds.unwrap_or(0.0),
        })
    }

    fn cells(self) -> Vec<String> {
        vec!["in all".into(), String::new(), grouped(self.steps), duration(self.seconds)]
    }
}

/// Shows the table, and how to know what another size would take.
pub fn show(summaries: &[Summary], output: Output) {
    let head = ["stage", "rows", "steps", "time", "loss", "held out", "where"].map(String::from).to_vec();
    let sums = Sums::of(summaries);
    let stages = summaries.iter().map(Summary::cells);
    let rows: Vec<Vec<String>> = [head].into_iter().chain(stages).chain([sums.cells()]).collect();
    table(&rows).iter().for_each(|line| output.line(line));
    if sums.tokens > 0 {
        output.say(&format!(
            "{} tokens were trained on; what another size would take for as many: kindling plan --preset micro --tokens {}",
            grouped(sums.tokens),
            sums.tokens
        ));
    }
}

/// Asks every model that talks the same questions, each model in one conversation; what was said comes back.
///
/// # Errors
/// A model that cannot be opened or asked; an interruption.
pub fn ask(args: &QuickstartArgs, links: &[Link], everywhere: &Everywhere) -> Result<Vec<Value>, Failure> {
    let output = everywhere.output();
    interrupt::listen();
    let questions = questions(args);
    let mut said = Vec::new();
    for link in links.iter().filter(|link| talks(link)) {
        output.line(&format!("{} is asked:", link.name));
        let answers = converse(link, &questions, everywhere)?;
        for ((question, right), answer) in questions.iter().zip(answers) {
            let hint = right.as_ref().filter(|right| **right != answer);
            let hint = hint.map_or(String::new(), |right| format!("   (right: {right})"));
            output.line(&format!("  {question} → {}{hint}", answer.replace('\n', " ")));
            said.push(json!({"stage": link.name, "question": question, "answer": answer, "right": right}));
        }
    }
    Ok(said)
}

/// Whether what a stage makes answers.
fn talks(link: &Link) -> bool {
    !link.is_tokenizer() && link.name != "pretrain"
}

/// What is asked, with the right answer where there is one.
fn questions(args: &QuickstartArgs) -> Vec<(String, Option<String>)> {
    let plain = |text: &str| (text.to_string(), None);
    if !args.ask.is_empty() {
        return args.ask.iter().map(|text| plain(text)).collect();
    }
    if args.data.is_some() {
        return ["Hello!", "Who are you?", "What can you do?"].map(plain).to_vec();
    }
    let all = World::new(DEFAULT_SEED).questions(1);
    let firsts: Vec<Question> = all.into_iter().filter(|question| question.messages.len() == 1).collect();
    let step = firsts.len().div_ceil(QUESTIONS).max(1);
    let some = firsts.into_iter().step_by(step).filter_map(|question| {
        let text = question.messages.first()?.content.clone();
        Some((text, Some(question.answer)))
    });
    // What the adapter changes.
    [plain("Who are you?")].into_iter().chain(some).collect()
}

/// The answers of a stage's model, one after another, greedily.
fn converse(
    link: &Link,
    questions: &[(String, Option<String>)],
    everywhere: &Everywhere,
) -> Result<Vec<String>, Failure> {
    let run = FoundRun::open(&link.out);
    let base = run.text("model").map(PathBuf::from).filter(|_| run.adapts());
    let (model, adapter) = match base {
        Some(base) => (base, vec![link.out.clone()]),
        None => (link.out.clone(), Vec::new()),
    };
    let model = ModelArgs { model, adapter, ..ModelArgs::default() };
    let (model, tokenizer) = model.open(everywhere)?;
    let Some(tokenizer) = tokenizer else { return Ok(Vec::new()) };
    let end_ids = tokenizer.end_ids(&model.config().eos_token_ids);
    let mut writer = Writer::new(&model, model.config().context());
    let mut session = ChatSession::new(None, None)?;
    let sampling = SamplingConfig { temperature: 0.0, max_new_tokens: LONGEST, ..SamplingConfig::default() };
    let mut answers = Vec::new();
    for (question, _) in questions {
        let mut on = |_: Written| if interrupt::asked() { Flow::Stop } else { Flow::Continue };
        let settings = AnswerSettings {
            tokenizer: &tokenizer,
            end_ids: &end_ids,
            sampling: &sampling,
            unmask: UnmaskConfig::default(),
        };
        let answer = session.answer(&mut writer, settings, question, &mut on);
        answers.push(pollster::block_on(answer)?.generation.text.trim().to_string());
        if interrupt::asked() {
            return Err(Failure::Interrupted);
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_was_measured() {
        let summary = Summary {
            name: "dpo".into(),
            out: "q/dpo".into(),
            rows: Some(1000),
            steps: Some(225),
            tokens: Some(90_000),
            seconds: Some(61.0),
            loss: Some((0.75, 0.25)),
            measures: vec![("loss".into(), 0.3), ("reward_accuracy".into(), 0.95)],
        };
        let cells =
            ["dpo", "1,000", "225", "1m 01s", "0.750 → 0.250", "loss 0.300, reward_accuracy 0.950", "q/dpo"];
        assert_eq!(summary.cells(), cells);
        let json = summary.json();
        assert_eq!(
            (json["loss_after"].as_f64(), json["held_out"]["reward_accuracy"].as_f64()),
            (Some(0.25), Some(0.95))
        );
        assert_eq!((json["seconds"].as_f64(), json["tokens"].as_u64()), (Some(61.0), Some(90_000)));
        assert_eq!(measured("ids", 2048.0), "2,048 ids");
    }

    #[test]
    fn what_stages_took_is_added_up() {
        let stage = |steps, tokens, seconds| Summary {
            name: "sft".into(),
            out: "q/sft".into(),
            rows: None,
            steps,
            tokens,
            seconds,
            loss: None,
            measures: Vec::new(),
        };
        // A tokenizer that was there before has no time of its own.
        let all = [
            stage(None, None, None),
            stage(Some(900), Some(5000), Some(60.5)),
            stage(Some(200), None, Some(2.5)),
        ];
        let sums = Sums::of(&all);
        assert_eq!(sums, Sums { steps: 1100, tokens: 5000, seconds: 63.0 });
        assert_eq!(sums.cells(), ["in all", "", "1,100", "1m 03s"]);
    }
}
