//! The embedded default: a small bilingual model from nothing, in minutes, without a download.

use std::path::Path;
use std::sync::Arc;

use kindling::data::{DataOptions, Dataset, Memory, Source};
use kindling::device::OpenDevice;
use kindling::error::Error;
use kindling::example::{
    DEFAULT_SEED, Examinee, Grade, Grades, Question, World, WorldSize, card, constant_answer,
};
use kindling::model::{Transformer, preset};
use kindling::tokenizer::{Tokenizer, train};
use kindling::train::{Job, Stage, TrainConfig};
use serde_json::{Map, Value, json};

use super::execute::{Course, execute};
use super::open_device;
use super::train_args::TrainArgs;
use crate::cli::{Everywhere, Invocation};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{self, Output};
use crate::ranks;
use crate::run_dir::RunDir;
use crate::run_kind::RunKind;
use crate::shell_word::path_word;
use crate::tracking::TrackingConfig;

/// Where the run is kept that fine-tuning begins with.
pub(super) const FIRST_RUN: &str = "pretrain";
/// Questions shown at the end.
const SHOWN: usize = 6;

/// Flags that act on the example, with those of tracking; the rest of its settings are its own.
const FLAGS: [&str; 11] = [
    "epochs",
    "out",
    "overwrite",
    "seed",
    "save-minutes",
    "config",
    "device",
    "dtype",
    "json",
    "quiet",
    "verbose",
];

/// How the example pretrains and fine-tunes, each over so many epochs.
fn config(stage: Stage, seed: u64, epochs: f64) -> TrainConfig {
    let base = TrainConfig { seed, epochs, keep_last: 1, batch_size: 4, ..TrainConfig::of(stage) };
    match stage {
        Stage::Pretrain => TrainConfig { max_seq_len: 128, packing: true, learning_rate: 3e-3, ..base },
        // Unpacked: half a conversation would ask for what it no longer holds.
        Stage::Sft | Stage::Dpo | Stage::Distill | Stage::Reason | Stage::Grpo => {
            TrainConfig { max_seq_len: 320, packing: false, learning_rate: 1.5e-3, ..base }
        }
    }
}

/// Runs the example up to `stage`.
pub fn run(
    stage: Stage,
    args: &TrainArgs,
    everywhere: &Everywhere,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let output = everywhere.output();
    ranks::refuse("the generated example")?;
    refuse_other_flags(invocation)?;
    let several = stage != Stage::Pretrain;
    if several {
        let stages = [Stage::Pretrain, stage].map(Stage::name);
        args.tracking.check(&stages, args.standing(), None)?;
    }
    let device = open_device(everywhere)?;
    let files = World::new(DEFAULT_SEED).files(WorldSize::default());
    let directory = make_directory(stage, args, invocation, &files)?;
    let out = directory.path().to_path_buf();
    output.say("1/4 writing the example data: a small bilingual world of our own making");
    files.iter().try_for_each(|(name, bytes)| directory.write(&data_file(name), bytes))?;
    let file = |name: &str| files.iter().find(|(file, _)| file == name).map_or(&[][..], |(_, bytes)| bytes);
    output.say("2/4 training a tokenizer");
    let (texts, settings) = World::new(DEFAULT_SEED).tokenizer_training(WorldSize::default());
    let tokenizer = train(texts.into_iter(), &settings)?;
    let model_config = preset("nano")?.config(Some(tokenizer.vocab_size())).with_token_ids(&tokenizer);
    let (seed, course) = (args.train.seed, args.course(stage));
    let epochs = if said(invocation, "epochs") { args.train.epochs } else { 1.0 };
    let model = Transformer::init(&model_config, seed, &device.device.clone().autodiff())?;
    let model = model.with_dtype(everywhere.dtype.burn());
    let passes = if said(invocation, "epochs") { format!(" --epochs {epochs}") } else { String::new() };
    let again = format!("kindling {}{passes} --overwrite --out {}", stage.name(), path_word(&out));
    let example =
        Example { tokenizer: Arc::new(tokenizer), device, seed, epochs, course, several, again, output };
    output.say("3/4 pretraining on statements, equations and words that are repeated");
    if stage == Stage::Pretrain {
        example.train(stage, model, file("pretrain.jsonl"), &directory)?;
        output.say(&format!(
            "try it: kindling generate --model {} --prompt \"The colour of\"",
            path_word(&out)
        ));
        return Ok(());
    }
    let pretrain = directory.below(FIRST_RUN, 1)?;
    let model =
        example.train(Stage::Pretrain, model.with_card(&card()?), file("pretrain.jsonl"), &pretrain)?;
    let questions = World::new(DEFAULT_SEED).questions(WorldSize::default().questions);
    let before = example.share_of_some(&model, &questions)?;
    output.say(&format!(
        "before fine-tuning {:.1} % of some held-out questions are answered right",
        100.0 * before
    ));
    output.say("4/4 fine-tuning on conversations");
    let model = example.train(Stage::Sft, model, file("sft.jsonl"), &directory)?;
    output.say("asking the held-out questions, greedily and as chats sample");
    let (after, answers) = example.grade(&model, &questions)?;
    report(&out, &directory, &questions, before, &after, &answers, output)
}

fn acts(flag: &str) -> bool {
    FLAGS.contains(&flag) || TrackingConfig::flags().iter().any(|own| own == flag)
}

fn said(invocation: &Invocation, flag: &str) -> bool {
    invocation.said.iter().any(|said| said == flag)
}

/// Refuses flags that would not act.
fn refuse_other_flags(invocation: &Invocation) -> Result<(), Failure> {
    let others = invocation.said.iter().filter(|flag| !acts(flag));
    let others: Vec<String> = others.map(|flag| format!("--{flag}")).collect();
    match others.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "without --data and --model the generated example runs, on which {} would not act; leave that out, or name \
             --data to train on",
            others.join(", ")
        ))),
    }
}

/// The example's own directory; its settings hold only what acts.
fn make_directory(
    stage: Stage,
    args: &TrainArgs,
    invocation: &Invocation,
    files: &[(String, Vec<u8>)],
) -> Result<RunDir, Failure> {
    // The stage's own default of epochs is not the example's.
    let acts = |key: &str| match key {
        "epochs" => said(invocation, key),
        _ => key == "stage" || acts(key),
    };
    let settings = invocation.settings.iter().filter(|(key, _)| acts(key));
    let settings: toml::Table = settings.map(|(key, value)| (key.clone(), value.clone())).collect();
    let data = files.iter().map(|(name, _)| data_file(name));
    let beside: Vec<String> = data.chain([FIRST_RUN.to_string()]).collect();
    args.create_directory(RunKind { stage, adapts: false }, invocation, &settings, &beside)
}

fn data_file(name: &str) -> String {
    format!("data/{name}")
}

/// What both stages share.
struct Example<'a> {
    tokenizer: Arc<Tokenizer>,
    device: OpenDevice,
    seed: u64,
    epochs: f64,
    course: Course<'a>,
    /// Whether two stages train, each of which is tracked by itself.
    several: bool,
    /// The command that begins the example again.
    again: String,
    output: Output,
}

impl Example<'_> {
    fn train(
        &self,
        stage: Stage,
        model: Transformer,
        data: &[u8],
        directory: &RunDir,
    ) -> Result<Transformer, Failure> {
        let job = Job {
            stage,
            objective: stage.objective(),
            config: config(stage, self.seed, self.epochs),
            tokenizer: Arc::clone(&self.tokenizer),
            dataset: Arc::new(open(stage.name(), data)?),
            keep: None,
            adapter: None,
        };
        let tracking = match self.several {
            true => self.course.tracking.below(stage.name()),
            false => self.course.tracking.clone(),
        };
        let course = Course { stage, tracking: &tracking, ..self.course };
        let outcome = execute(job.start(model)?, directory, &course, &self.device, self.output)?;
        match outcome.stopped {
            true => Err(self.interrupted()),
            false => Ok(outcome.model),
        }
    }

    fn interrupted(&self) -> Failure {
        self.output.say(&format!(
            "stopped; the example does not go on where it stopped, begin it again with: {}",
            self.again
        ));
        Failure::Interrupted
    }

    /// The share of every eighth question that is answered right, greedily: an untaught model goes on for long.
    fn share_of_some(&self, model: &Transformer, questions: &[Question]) -> Result<f64, Failure> {
        let mut examinee = Examinee::new(model, &self.tokenizer);
        let some: Vec<&Question> = questions.iter().step_by(8).collect();
        let mut right = 0;
        for question in &some {
            if interrupt::asked() {
                return Err(self.interrupted());
            }
            let answer = pollster::block_on(examinee.answer(&question.messages, None))?;
            right += usize::from(answer == question.answer);
        }
        Ok(right as f64 / some.len().max(1) as f64)
    }

    /// Answers every question, greedily and sampled; with the greedy answers in the order of the questions.
    fn grade(&self, model: &Transformer, questions: &[Question]) -> Result<(Grades, Vec<String>), Failure> {
        let mut examinee = Examinee::new(model, &self.tokenizer);
        let (mut grades, mut answers) = (Grades::default(), Vec::new());
        for (seed, question) in questions.iter().enumerate() {
            if interrupt::asked() {
                return Err(self.interrupted());
            }
            let greedy = pollster::block_on(examinee.answer(&question.messages, None))?;
            let sampled = pollster::block_on(examinee.answer(&question.messages, Some(seed as u64)))?;
            grades.add(question, &greedy, &sampled);
            answers.push(greedy);
        }
        Ok((grades, answers))
    }
}

fn open(name: &str, bytes: &[u8]) -> Result<Dataset, Error> {
    let source: Arc<dyn Source> = Arc::new(Memory::new(&format!("{name}.jsonl"), bytes));
    Dataset::open(vec![source], DataOptions::default())
}

/// Shows accuracy by kind, language and turn, some answers, and how to go on.
fn report(
    out: &Path,
    directory: &RunDir,
    questions: &[Question],
    before: f64,
    after: &Grades,
    answers: &[String],
    output: Output,
) -> Result<(), Failure> {
    let (constant, share) = constant_answer(questions);
    output.line(&format!(
        "held-out questions answered exactly right, in %: greedy/sampled ({})",
        output::counted(questions.len() as u64, ["question", "questions"])
    ));
    after.table().iter().for_each(|line| output.line(&format!("  {line}")));
    output.line(&format!(
        "  before fine-tuning: {:.1}; always answering {constant:?}: {:.1}",
        100.0 * before,
        100.0 * share
    ));
    show_some(questions, answers, output);
    let done = json!({
        "event": "done", "out": out, "questions": questions.len(),
        "heldout_before": before, "heldout_after": after.all().greedy_share(),
        "heldout_sampled": after.all().sampled_share(), "constant_answer": share,
        "per_kind": shares(after.by_kind()), "per_language": shares(after.by_language()),
        "per_turn": shares(after.by_turn()),
    });
    directory.log(&done)?;
    output.json(&done);
    say_how_to_go_on(out, output);
    Ok(())
}

/// The greedy share of each.
fn shares<K: ToString>(grades: impl IntoIterator<Item = (K, Grade)>) -> Map<String, Value> {
    grades.into_iter().map(|(key, grade)| (key.to_string(), grade.greedy_share().into())).collect()
}

/// Questions from all over with the end of what was said before, the wrongly answered ones first.
fn show_some(questions: &[Question], answers: &[String], output: Output) {
    let is_right = |(question, answer): &(&Question, &String)| question.answer == **answer;
    let (right, wrong): (Vec<_>, Vec<_>) = questions.iter().zip(answers).partition(is_right);
    output.line(&format!("  answered wrongly: {}; some of them, and some right ones:", wrong.len()));
    for some in [wrong, right] {
        let step = some.len().div_ceil(SHOWN).max(1);
        for (question, answer) in some.iter().step_by(step) {
            let said: Vec<_> = question.messages.iter().map(|message| message.content.as_str()).collect();
            let (from, dots) = match said.len().checked_sub(3) {
                Some(from) if from > 0 => (from, "… / "),
                _ => (0, ""),
            };
            output.line(&format!("  {dots}{} → {answer}", said[from..].join(" / ")));
        }
    }
}

fn say_how_to_go_on(out: &Path, output: Output) {
    output.say(&format!("talk with it:   kindling chat --model {} --temperature 0", path_word(out)));
    output.say("use your own:   kindling tokenizer train --data YOUR.jsonl --out tok");
    output.say(
        "                kindling pretrain --preset micro --tokenizer tok --data YOUR.jsonl --out runs/mine",
    );
    output.say("                kindling sft --model runs/mine --data YOUR_CHATS.jsonl");
    let out = out.display();
    output
        .say(&format!("the data is in {out}/data; `cargo run --release -p native --` stands for `kindling`"));
}
