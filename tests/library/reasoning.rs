//! Answers that think first on the loop: what their tags count, how a step is divided, and a stop while answers are
//! written.

use std::sync::Arc;

use burn::tensor::Device;
use kindling::batch::Batch;
use kindling::data::{DataOptions, Dataset, Memory, Source};
use kindling::error::Result;
use kindling::loss::{NextToken, Objective, Reason, ReasonConfig, ReasonSettings};
use kindling::model::{ActivationCheckpointing, Transformer};
use kindling::text::{Row, Tags, parse_row};
use kindling::tokenizer::{TagWeight, Tokenizer};
use kindling::train::{
    Control, Job, Listener, Outcome, Run, Snapshot, Stage, TrainConfig, TrainEvent, TrainOptions, replay,
    train,
};

use crate::shared_tokenizers::{open, shared};
use crate::tiny::{Record, config, job, tokenizer, train_config, train_run};

const ANSWER: &str = "<think>\nsat\n</think>\n<answer>\nmat\n</answer>";

/// Eight questions, each with the same thought and answer.
fn dataset() -> Arc<Dataset> {
    let answer = ANSWER.replace('\n', "\\n");
    let row = |i: usize| format!("{{\"user\": \"Where is {i}?\", \"assistant\": \"{answer}\"}}\n");
    let source: Arc<dyn Source> = Arc::new(Memory::new("rows.jsonl", (0..8).map(row).collect::<String>()));
    Arc::new(Dataset::open(vec![source], DataOptions::default()).unwrap())
}

fn model() -> Transformer {
    Transformer::init(&config(tokenizer().vocab_size()), 3, &Device::flex().autodiff()).unwrap()
}

fn lesson(settings: TrainConfig, config: ReasonConfig) -> Run {
    let objective = Arc::new(Reason::new(ReasonSettings { config, tags: Tags::default() }));
    let lesson = Job { objective, dataset: dataset(), ..job(settings, Stage::Reason, 1) };
    lesson.start(model()).unwrap()
}

fn settings() -> TrainConfig {
    TrainConfig { val_split: 0.25, ..train_config(Stage::Reason) }
}

/// What the targets of a batch's row weigh, as runs of the same weight with their texts.
fn weighed(batch: &Batch, row: usize, tokenizer: &Tokenizer) -> Vec<(f32, String)> {
    let at = row * batch.seq..(row + 1) * batch.seq;
    let targets: Vec<(f32, u32)> =
        batch.weights[at.clone()].iter().copied().zip(batch.targets[at].to_vec()).collect();
    let trained: Vec<(f32, u32)> = targets.into_iter().filter(|(weight, _)| *weight != 0.0).collect();
    let text = |run: &[(f32, u32)]| {
        let ids: Vec<u32> = run.iter().map(|(_, id)| *id).collect();
        (run[0].0, tokenizer.decode(&ids, false).unwrap())
    };
    trained.chunk_by(|a, b| a.0 == b.0).map(text).collect()
}

#[test]
fn batches_hold_the_tags_weight() {
    let mut run = lesson(settings(), ReasonConfig { tag_weight: 7.0, ..ReasonConfig::default() });
    let batch = pollster::block_on(run.batches.next(&run.model)).unwrap().unwrap();
    let end = "<|im_end|>";
    let expected = [
        (7.0, "<think>"),
        (1.0, "\nsat\n"),
        (7.0, "</think>"),
        (1.0, "\n"),
        (7.0, "<answer>"),
        (1.0, "\nmat\n"),
        (7.0, "</answer>"),
        (1.0, end),
    ]
    .map(|(weight, text)| (weight, text.to_string()));
    for row in 0..batch.batch {
        assert_eq!(weighed(&batch, row, &run.tokenizer), expected);
    }
}

#[test]
fn a_tag_of_one_token_and_one_of_several_count_as_much() {
    let tokenizer = tokenizer();
    let conversation = |answer: &str| {
        let messages = [("user", "q"), ("assistant", answer)];
        let messages = messages.map(|(role, content)| kindling::text::Message::new(role, content));
        kindling::text::Conversation::new(messages.into())
    };
    // The vocabulary has one token for the end of a turn, and none for the usual tags.
    let tags = Tags { think: "<|im_start|>...</think>".parse().unwrap(), ..Tags::default() };
    let weight = TagWeight { tags, factor: 10.0 };
    let rendered = |weight: Option<&TagWeight>| {
        tokenizer.render_weighed(&conversation("<|im_start|>a</think>"), usize::MAX, weight).unwrap()
    };
    let (plain, weighed) = (rendered(None), rendered(Some(&weight)));
    assert_eq!(plain.ids, weighed.ids);
    let changed: Vec<u32> = (0..plain.ids.len())
        .filter(|&i| weighed.weights[i] != plain.weights[i])
        .map(|i| {
            assert_eq!((plain.weights[i], weighed.weights[i]), (1.0, 10.0));
            plain.ids[i]
        })
        .collect();
    let start = tokenizer.token_id("<|im_start|>").unwrap();
    let close = tokenizer.encode("</think>").unwrap();
    assert!(close.len() > 1);
    assert_eq!(changed, [vec![start], close].concat(), "the template's own <|im_start|> is no target");
}

#[test]
fn tags_of_known_vocabularies_and_templates_count_more() {
    let Some(folder) = shared("data/tokenizers") else { return };
    let row = format!("{{\"user\": \"Where is 3?\", \"assistant\": \"{}\"}}", ANSWER.replace('\n', "\\n"));
    let Row::Conversation(conversation) = parse_row(&row.parse().unwrap()).unwrap().row else {
        panic!("{row}")
    };
    let tags = Tags::default();
    // The template of MiniMind 3 opens the thinking itself: that tag is read, and not said.
    for (name, said, of_first) in
        [("minimind1", 4, 4), ("minimind2", 4, 4), ("minimind3", 3, 1), ("smollm2", 4, 3)]
    {
        let tokenizer = open(&folder.join(name));
        let weight = TagWeight { tags: tags.clone(), factor: 10.0 };
        let rendered = tokenizer.render_weighed(&conversation, usize::MAX, Some(&weight)).unwrap();
        let weighed: Vec<(f32, u32)> = rendered.weights.iter().copied().zip(rendered.ids).collect();
        let runs = weighed.chunk_by(|a, b| a.0 == b.0).filter(|run| run[0].0 == 10.0);
        let runs: Vec<Vec<u32>> = runs.map(|run| run.iter().map(|(_, id)| *id).collect()).collect();
        let texts: Vec<String> = runs.iter().map(|ids| tokenizer.decode(ids, false).unwrap()).collect();
        assert_eq!(texts, tags.all()[4 - said..], "{name}");
        assert_eq!(runs[0].len(), of_first, "{name}: {runs:?}");
    }
}

#[test]
fn rows_of_public_sets_stand_between_the_tags() {
    let Some(folder) = shared("data/reason") else { return };
    let tags = Tags::default();
    for (file, kept) in [
        ("gsm8k_think_en", 7473),
        ("math_cot_think_en", 3257),
        // Among these are a few with a tag too many.
        ("r1_think_en", 18),
        // The others end in the call of a tool.
        ("r1_tool_use_demo_50.raw", 37),
    ] {
        let bytes = std::fs::read(folder.join(format!("{file}.jsonl"))).unwrap();
        let source: Arc<dyn Source> = Arc::new(Memory::new("rows.jsonl", bytes));
        let data = Dataset::open(vec![source], DataOptions::default()).unwrap();
        let keeps = |row: Row| match row {
            Row::Conversation(conversation) => tags.are_kept_by(&tags.put_in(&conversation)),
            other => panic!("{file}: {other:?}"),
        };
        assert_eq!(data.iter().filter(|row| keeps(row.as_ref().unwrap().0.clone())).count(), kept, "{file}");
    }
}

#[test]
fn a_weight_of_1_is_fine_tuning_bit_for_bit() {
    let once = ReasonConfig { tag_weight: 1.0, eval_answers: 0, ..ReasonConfig::default() };
    let mut taught = Record::default();
    train_run(lesson(settings(), once), &mut taught).unwrap();
    let mut plain = Record::default();
    let tuned = Job { dataset: dataset(), ..job(settings(), Stage::Sft, 1) };
    train_run(tuned.start(model()).unwrap(), &mut plain).unwrap();
    assert_eq!((taught.losses(), &taught.evals), (plain.losses(), &plain.evals));
    let mut heavy = Record::default();
    train_run(lesson(settings(), ReasonConfig::default()), &mut heavy).unwrap();
    assert_ne!(heavy.losses(), plain.losses());
}

#[test]
fn a_step_does_not_depend_on_how_it_is_divided() {
    let settings = TrainConfig { batch_size: 4, ..settings() };
    let mut run = lesson(settings.clone(), ReasonConfig::default());
    let all: Vec<Batch> =
        (0..2).map(|_| pollster::block_on(run.batches.next(&run.model)).unwrap().unwrap()).collect();
    let step = |batches: Vec<Batch>, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let objective: &dyn Objective = &Reason::default();
        let taken =
            pool.install(|| pollster::block_on(replay(model(), None, objective, &settings, &[batches])));
        let taken = taken.unwrap();
        [taken.losses[0], taken.grad_norms[0]]
    };
    let whole = step(all.clone(), 1);
    let parts: Vec<Batch> = all.iter().flat_map(|batch| batch.split(4)).collect();
    for (batches, threads) in [(all.clone(), 2), (all.clone(), 3), (parts, 1)] {
        for (one, other) in whole.iter().zip(step(batches, threads)) {
            assert!((one - other).abs() < 1e-6 * one, "{threads}: {one} {other}");
        }
    }
    // The objective is that of next-token prediction: the weights tell all.
    assert_eq!(Reason::default().weight(&all[0]), NextToken.weight(&all[0]));
}

#[test]
fn the_best_weights_of_a_run_that_ends_early_answer_too() {
    let options = TrainOptions { early_stop: 1, ..TrainOptions::default() };
    let settings = TrainConfig { eval_every: 2, learning_rate: 1e-30, options, ..settings() };
    let config = ReasonConfig { eval_max_new_tokens: 12, ..ReasonConfig::default() };
    let mut record = Record::default();
    let outcome = train_run(lesson(settings, config), &mut record).unwrap();
    let progress = &outcome.progress;
    assert_eq!((progress.step, progress.patience.best_step, record.evals.len()), (4, 2, 2));
    let held_out = outcome.held_out.unwrap();
    assert_eq!((held_out.loss, held_out.metrics["answers"]), (record.evals[0], 2.0));
    assert!(!outcome.stopped && held_out.metrics.contains_key("answer_accuracy"), "{held_out:?}");
}

#[test]
fn a_stop_while_the_best_weights_answer_leaves_no_measurement_of_others() {
    let (outcome, whole) = disturbed(1, Control::Continue, 0);
    assert!(outcome.held_out.is_some() && outcome.progress.step == 4, "{}", outcome.progress.step);
    // What is asked behind the second measurement belongs to the best weights.
    let (stopped, _) = disturbed(1, Control::Stop, whole.evals[1].0 + 1);
    assert_eq!((stopped.progress.step, stopped.progress.patience.best_step), (4, 2));
    assert!(!stopped.stopped && stopped.held_out.is_none(), "{:?}", stopped.held_out);
}

#[test]
fn what_is_computed_again_learns_the_same() {
    let step = |activation_checkpointing| {
        let options =
            TrainOptions { activation_checkpointing, dropout: Some(0.1), ..TrainOptions::default() };
        let mut record = Record::default();
        let settings = TrainConfig { options, steps: Some(3), ..settings() };
        train_run(lesson(settings, ReasonConfig { eval_answers: 0, ..ReasonConfig::default() }), &mut record)
            .unwrap();
        record.losses()
    };
    let kept = step(ActivationCheckpointing::None);
    for strategy in [ActivationCheckpointing::OneInTwo, ActivationCheckpointing::FineGrained] {
        for (one, other) in kept.iter().zip(step(strategy)) {
            assert!((one - other).abs() < 1e-4 * one, "{strategy:?}: {one} {other}");
        }
    }
}

/// Wants something at one of the loop's questions, and keeps what is told, and after which question.
struct Wants {
    control: Control,
    at: usize,
    asked: usize,
    evals: Vec<(usize, Option<f64>)>,
    saved: Vec<u64>,
    warnings: Vec<&'static str>,
    last: Option<Snapshot>,
}

impl Listener for Wants {
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()> {
        match event {
            TrainEvent::Eval { held_out, .. } => {
                self.evals.push((self.asked, held_out.metrics.get("format_rate").copied()));
            }
            TrainEvent::Save { snapshot, .. } => {
                self.saved.push(snapshot.progress.step);
                self.last = Some(snapshot.clone());
            }
            TrainEvent::Warning(told) => self.warnings.push(told.code()),
            TrainEvent::Step { .. } => {}
        }
        Ok(())
    }

    fn control(&mut self) -> Control {
        self.asked += 1;
        if self.asked == self.at { self.control } else { Control::Continue }
    }
}

/// A run that measures every other step, and whose first measurement stays its best; it ends early after so many more.
fn disturbed(early_stop: u64, control: Control, at: usize) -> (Outcome, Wants) {
    let options = TrainOptions { early_stop, ..TrainOptions::default() };
    let settings = TrainConfig { eval_every: 2, learning_rate: 1e-30, options, ..settings() };
    let config = ReasonConfig { eval_max_new_tokens: 12, ..ReasonConfig::default() };
    let (evals, saved, warnings) = (Vec::new(), Vec::new(), Vec::new());
    let mut wants = Wants { control, at, asked: 0, evals, saved, warnings, last: None };
    let outcome = pollster::block_on(train(lesson(settings, config), &mut wants)).unwrap();
    (outcome, wants)
}

#[test]
fn a_stop_or_a_save_while_answers_are_written_is_heard() {
    let (outcome, undisturbed) = disturbed(0, Control::Continue, 0);
    assert!(!outcome.stopped);
    assert_eq!((undisturbed.evals.len(), undisturbed.saved), (4, vec![2, 8]));
    assert!(undisturbed.evals.iter().all(|(_, rate)| rate.is_some()), "{:?}", undisturbed.evals);
    // Each step asks once; the questions behind two more belong to the second measurement.
    let second = undisturbed.evals[0].0 + 3;
    assert!(second <= undisturbed.evals[1].0, "{:?}", undisturbed.evals);
    let (outcome, stopped) = disturbed(0, Control::Stop, second);
    assert!(outcome.stopped && outcome.progress.step == 4, "{}", outcome.progress.step);
    let rates: Vec<bool> = stopped.evals.iter().map(|(_, rate)| rate.is_some()).collect();
    // What is measured without the answers is no whole measurement: it is left out, told, and comes first on resume.
    assert_eq!((rates, stopped.saved), (vec![true], vec![2, 4]));
    assert_eq!(stopped.warnings.last(), Some(&"train.unjudged"));
    assert!(!undisturbed.warnings.contains(&"train.unjudged"));
    assert!(stopped.last.unwrap().progress.unjudged);
    let (outcome, saved) = disturbed(0, Control::Save, second);
    assert!(!outcome.stopped);
    assert_eq!((saved.evals, saved.saved), (undisturbed.evals, vec![2, 4, 8]));
}
