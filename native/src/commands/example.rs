//! The embedded default: a small bilingual model from nothing, in minutes, without a download.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use kindling::data::{DataOptions, Dataset, Memory, Source};
use kindling::device::OpenDevice;
use kindling::error::Error;
use kindling::example::{DEFAULT_SEED, Question, World, WorldSize, card, constant_answer};
use kindling::model::{Transformer, preset};
use kindling::sample::{Decoder, Flow, GenerationRequest, SamplingConfig, generate};
use kindling::text::Conversation;
use kindling::tokenizer::{Tokenizer, TokenizerTraining, train};
use kindling::train::{Job, SaveConfig, Stage, TrainConfig};
use serde_json::{Map, json};

use super::execute::execute;
use super::open_device;
use super::start::with_token_ids;
use super::train_args::TrainArgs;
use crate::cli::{Everywhere, Invocation};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::run_dir::RunDir;
use crate::run_kind::RunKind;

/// Token ids of the example's tokenizer: enough for every word of the world.
const VOCAB_SIZE: usize = 1500;
/// Answers are short; a longer one is wrong anyway.
const LONGEST_ANSWER: usize = 24;
/// Where the run is kept that fine-tuning begins with.
const FIRST_RUN: &str = "pretrain";
/// Questions shown at the end.
const SHOWN: usize = 6;

/// Flags that act on the example; the rest of its settings are its own.
const FLAGS: [&str; 10] =
    ["out", "overwrite", "seed", "save-minutes", "config", "device", "dtype", "json", "quiet", "verbose"];

/// How the example pretrains and fine-tunes; found by trial on two cores.
fn config(stage: Stage, seed: u64) -> TrainConfig {
    let base = TrainConfig { seed, ..TrainConfig::of(stage) };
    let small = TrainConfig { batch_size: 4, max_seq_len: 128, packing: true, keep_last: 1, ..base };
    match stage {
        Stage::Pretrain => TrainConfig { epochs: 3.0, learning_rate: 3e-3, ..small },
        // A higher rate forgets the entities that fine-tuning never asks about; a lower one leaves sums unlearned.
        Stage::Sft => TrainConfig { epochs: 2.0, learning_rate: 1.2e-3, ..small },
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
    refuse_other_flags(invocation)?;
    let device = open_device(everywhere)?;
    let files = World::new(DEFAULT_SEED).files(WorldSize::default());
    let directory = make_directory(stage, args, invocation, &files)?;
    let out = directory.path().to_path_buf();
    output.say("1/4 writing the example data: a small bilingual world of our own making");
    files.iter().try_for_each(|(name, bytes)| directory.write(&data_file(name), bytes))?;
    let file = |name: &str| files.iter().find(|(file, _)| file == name).map_or(&[][..], |(_, bytes)| bytes);
    output.say("2/4 training a tokenizer");
    let tokenizer = train_tokenizer(file("pretrain.jsonl"))?;
    let model_config = with_token_ids(preset("nano")?.config(Some(tokenizer.vocab_size())), &tokenizer);
    let (seed, saving) = (args.train.seed, args.saving);
    let model = Transformer::init(&model_config, seed, &device.device.clone().autodiff())?;
    let model = model.with_dtype(everywhere.dtype.burn());
    let again = format!("kindling {} --overwrite --out {}", stage.name(), out.display());
    let example = Example { tokenizer: Arc::new(tokenizer), device, seed, saving, again, output };
    output.say("3/4 pretraining on statements, equations and little stories");
    if stage == Stage::Pretrain {
        example.train(stage, model, file("pretrain.jsonl"), &directory)?;
        output
            .say(&format!("try it: kindling generate --model {} --prompt \"The colour of\"", out.display()));
        return Ok(());
    }
    let pretrain = directory.below(FIRST_RUN, 1)?;
    let model =
        example.train(Stage::Pretrain, model.with_card(&card()?), file("pretrain.jsonl"), &pretrain)?;
    let questions = World::new(DEFAULT_SEED).questions(WorldSize::default().questions);
    let before = example.grade(&model, &questions)?;
    output.say(&format!(
        "before fine-tuning {:.1} % of the held-out questions are answered right",
        before.percent()
    ));
    output.say("4/4 fine-tuning on conversations");
    let model = example.train(Stage::Sft, model, file("sft.jsonl"), &directory)?;
    let after = example.grade(&model, &questions)?;
    report(&out, &directory, &questions, &before, &after, output)
}

/// Refuses flags that would not act.
fn refuse_other_flags(invocation: &Invocation) -> Result<(), Failure> {
    let others = invocation.said.iter().filter(|flag| !FLAGS.contains(&flag.as_str()));
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
    let acts = |key: &str| key == "stage" || FLAGS.contains(&key);
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
struct Example {
    tokenizer: Arc<Tokenizer>,
    device: OpenDevice,
    seed: u64,
    saving: SaveConfig,
    /// The command that begins the example again.
    again: String,
    output: Output,
}

impl Example {
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
            config: config(stage, self.seed),
            tokenizer: Arc::clone(&self.tokenizer),
            dataset: Arc::new(open(stage.name(), data)?),
            keep: None,
            adapter: None,
        };
        let outcome = execute(job.start(model)?, directory, None, self.saving, &self.device, self.output)?;
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

    /// Answers every question greedily.
    fn grade(&self, model: &Transformer, questions: &[Question]) -> Result<Grades, Failure> {
        let mut decoder = Decoder::new(model, 256);
        let mut grades = Grades::default();
        for question in questions {
            if interrupt::asked() {
                return Err(self.interrupted());
            }
            let answer = self.answer(model, &mut decoder, question)?;
            let (right, asked) = grades.groups.entry(question.group()).or_default();
            *asked += 1;
            *right += usize::from(answer.trim() == question.answer);
            grades.answers.push(answer);
        }
        Ok(grades)
    }

    fn answer(
        &self,
        model: &Transformer,
        decoder: &mut Decoder,
        question: &Question,
    ) -> Result<String, Failure> {
        let conversation = Conversation::new(question.messages.clone());
        let prompt = self.tokenizer.render_prompt(&conversation, &Map::new())?;
        let config =
            SamplingConfig { temperature: 0.0, max_new_tokens: LONGEST_ANSWER, ..SamplingConfig::default() };
        let request = GenerationRequest {
            prompt: &prompt,
            reuse: 0,
            end_ids: &model.config().eos_token_ids,
            tokenizer: Some(&self.tokenizer),
            config: &config,
        };
        let generation = pollster::block_on(generate(decoder, &request, &mut |_| Flow::Continue))?;
        Ok(generation.text)
    }
}

/// Right and asked by kind, and every answer in the order of the questions.
#[derive(Default)]
struct Grades {
    groups: BTreeMap<String, (usize, usize)>,
    answers: Vec<String>,
}

impl Grades {
    fn share(&self) -> f64 {
        let (right, asked) =
            self.groups.values().fold((0, 0), |(a, b), (right, asked)| (a + right, b + asked));
        right as f64 / asked.max(1) as f64
    }

    fn percent(&self) -> f64 {
        self.share() * 100.0
    }
}

fn open(name: &str, bytes: &[u8]) -> Result<Dataset, Error> {
    let source: Arc<dyn Source> = Arc::new(Memory::new(&format!("{name}.jsonl"), bytes));
    Dataset::open(vec![source], DataOptions::default())
}

fn train_tokenizer(data: &[u8]) -> Result<Tokenizer, Failure> {
    let dataset = open("pretrain", data)?;
    let rows = dataset.iter().collect::<Result<Vec<_>, _>>()?;
    let texts = rows.iter().flat_map(|(row, _)| row.texts().map(str::to_string)).collect::<Vec<_>>();
    let settings =
        TokenizerTraining { vocab_size: VOCAB_SIZE, digits_single: true, ..TokenizerTraining::default() };
    Ok(train(texts.into_iter(), &settings)?)
}

/// Shows accuracy by kind, some answers, and how to go on.
fn report(
    out: &Path,
    directory: &RunDir,
    questions: &[Question],
    before: &Grades,
    after: &Grades,
    output: Output,
) -> Result<(), Failure> {
    let (constant, share) = constant_answer(questions);
    output.line(&format!("held-out questions answered exactly right ({} questions):", questions.len()));
    output.line("  kind             before   after");
    for (group, &(right, asked)) in &after.groups {
        let was = before.groups.get(group).map_or(0, |(right, _)| *right);
        let percent = |right: usize| 100.0 * right as f64 / asked as f64;
        output.line(&format!("  {group:16} {:5.1} %  {:5.1} %  of {asked}", percent(was), percent(right)));
    }
    output.line(&format!("  all              {:5.1} %  {:5.1} %", before.percent(), after.percent()));
    output.line(&format!("  always answering {constant:?} would score {:.1} %", share * 100.0));
    let step = (questions.len() / SHOWN).max(1);
    for (question, answer) in questions.iter().zip(&after.answers).step_by(step) {
        let asked: Vec<_> = question.messages.iter().map(|message| message.content.as_str()).collect();
        output.line(&format!("  {} → {answer}", asked.join(" / ")));
    }
    let per_kind: BTreeMap<_, _> =
        after.groups.iter().map(|(group, &(right, asked))| (group, right as f64 / asked as f64)).collect();
    let done = json!({
        "event": "done", "out": out, "questions": questions.len(), "heldout_before": before.share(),
        "heldout_after": after.share(), "constant_answer": share, "per_kind": per_kind,
    });
    directory.log(&done)?;
    output.json(&done);
    let out = out.display();
    output.say(&format!("talk with it:   kindling chat --model {out} --temperature 0"));
    output.say("use your own:   kindling tokenizer train --data YOUR.jsonl --out tok");
    output.say(
        "                kindling pretrain --preset micro --tokenizer tok --data YOUR.jsonl --out runs/mine",
    );
    output.say("                kindling sft --model runs/mine --data YOUR_CHATS.jsonl");
    output
        .say(&format!("the data is in {out}/data; `cargo run --release -p native --` stands for `kindling`"));
    Ok(())
}
