//! Preferences on the loop: what is compared, how a step is divided, and that it is learned.

use std::f64::consts::LN_2;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use kindling::adapter::{Adapter, AdapterConfig, LoraConfig};
use kindling::batch::{
    Batch, Content, EncodedRows, Encoder, ExampleSource, Fit, Found, Loader, LoaderConfig, TooLong,
};
use kindling::chat::Choice;
use kindling::data::{DataOptions, Dataset, Memory, Permutation, Source};
use kindling::loss::{Dpo, DpoConfig, Reference, ReferenceKind};
use kindling::model::{RopeScaling, Transformer};
use kindling::optim::LrSchedule;
use kindling::sample::Decoder;
use kindling::text::{Row, RowKind, parse_preference};
use kindling::train::{Job, ReferenceLogProbs, ReferenceTies, Stage, TrainConfig, replay};
use serde_json::json;

use crate::tiny::{Record, config, job, tokenizer, train_config, train_run};

const ROWS: usize = 8;

fn model() -> Transformer {
    Transformer::init(&config(tokenizer().vocab_size()), 3, &Device::flex().autodiff()).unwrap()
}

/// A run of eight pairs; an adapter learns them where there is one.
fn pairs(settings: TrainConfig, dpo: DpoConfig, reference: Reference, adapter: Option<Adapter>) -> Job {
    let objective = Arc::new(Dpo::new(dpo, reference));
    Job { objective, adapter, ..job(settings, Stage::Dpo, ROWS) }
}

fn adapter(model: &Transformer) -> Adapter {
    let lora = LoraConfig { rank: 2, ..LoraConfig::default() };
    Adapter::init(model, AdapterConfig { lora, base: None, base_name: None }, 5).unwrap()
}

fn losses(job: Job) -> Record {
    let mut record = Record::default();
    train_run(job.start(model()).unwrap(), &mut record).unwrap();
    record
}

/// The same with log-probabilities that are computed before the first step.
fn cached(job: Job) -> Record {
    let model = model();
    let ties = ReferenceTies::of(&job, "model", DType::F32, &RopeScaling::Default).unwrap();
    let mut done = Vec::new();
    let mut told = |rows| {
        done.push(rows);
        true
    };
    let known =
        pollster::block_on(job.reference_log_probs(&model, ReferenceLogProbs::unasked(ties), &mut told))
            .unwrap();
    assert_eq!((done.last(), known.known.len()), (Some(&(ROWS as u64)), 2 * ROWS));
    let run = job.start(model).unwrap().with_reference(Arc::new(known));
    let mut record = Record::default();
    train_run(run, &mut record).unwrap();
    record
}

#[test]
fn answers_of_a_stretched_reference_are_not_those_of_the_plain_one() {
    let job = pairs(train_config(Stage::Dpo), DpoConfig::default(), Reference::Cached, None);
    let ties = |rope| ReferenceTies::of(&job, "model", DType::F32, &rope).unwrap();
    assert_eq!(ties(RopeScaling::Default), ties(RopeScaling::Default));
    let stretched = ties(RopeScaling::Linear { factor: 2.0 });
    assert!(
        stretched != ties(RopeScaling::Default) && stretched != ties(RopeScaling::Linear { factor: 4.0 })
    );
}

#[test]
fn the_first_step_costs_ln_2_and_the_references_agree() {
    let settings = TrainConfig { val_split: 0.25, eval_every: 4, ..train_config(Stage::Dpo) };
    let frozen = losses(pairs(settings.clone(), DpoConfig::default(), Reference::frozen(&model()), None));
    let beside = Some(adapter(&model()));
    let base = losses(pairs(settings.clone(), DpoConfig::default(), Reference::Base, beside.clone()));
    let whole = cached(pairs(settings.clone(), DpoConfig::default(), Reference::Cached, None));
    let under = cached(pairs(settings, DpoConfig::default(), Reference::Cached, beside));
    // ln 2 as f32 holds it.
    let ln_2 = f64::from(LN_2 as f32);
    assert_eq!((frozen.losses()[0], base.losses()[0]), (ln_2, ln_2));
    assert!(frozen.losses()[7] < 0.9 * LN_2, "{:?}", frozen.losses());
    for (cached, asked) in [(whole, frozen), (under, base)] {
        for (cached, asked) in cached.losses().iter().zip(asked.losses()) {
            assert!((cached - asked).abs() < 1e-5, "{cached} {asked}");
        }
        for (cached, asked) in cached.evals.iter().zip(&asked.evals) {
            assert!((cached - asked).abs() < 1e-5, "held out {cached} {asked}");
        }
        assert_eq!(asked.evals.len(), 2);
    }
}

#[test]
fn pairs_are_learned_with_every_loss() {
    let settings = TrainConfig {
        steps: Some(30),
        learning_rate: 3e-3,
        lr_schedule: LrSchedule::Constant,
        ..train_config(Stage::Dpo)
    };
    for dpo in [
        DpoConfig::default(),
        DpoConfig { length_normalise: true, beta: 1.0, ..DpoConfig::default() },
        DpoConfig { sft_weight: 0.1, label_smoothing: 0.1, ..DpoConfig::default() },
    ] {
        let record = losses(pairs(settings.clone(), dpo.clone(), Reference::frozen(&model()), None));
        let log = record.logs.last().unwrap();
        assert!(log.loss < 0.8 * record.logs[0].loss, "{dpo:?}: {:?}", record.losses());
        assert!(
            log.metrics["reward_margin"] > 0.1 && log.metrics["reward_accuracy"] == 1.0,
            "{:?}",
            log.metrics
        );
        assert!(log.metrics["reward_chosen"] > log.metrics["reward_rejected"]);
    }
}

/// The pairs of the data in batches of so many, in rows of their own or packed.
fn batches(batch_size: usize, packing: bool) -> Vec<Batch> {
    let job = job(train_config(Stage::Dpo), Stage::Dpo, ROWS);
    let encoder = Encoder::new(Arc::clone(&job.tokenizer), Content::Preferences);
    let rows = EncodedRows { dataset: Arc::clone(&job.dataset), encoder, skip_bad_rows: false };
    assert_eq!(rows.group(), 2);
    assert!(matches!(rows.examples(3).unwrap(), Found::Examples(pair) if pair.len() == 2));
    let seq_len = if packing { 300 } else { 96 };
    let fit = Fit::new(Content::Preferences, seq_len, TooLong::Cut);
    let config = LoaderConfig { batch_size, fit, packing, seed: 1 };
    let order = Permutation::new(ROWS as u64, 1, 0);
    let mut loader = Loader::new(Arc::new(rows), config, order, 0..ROWS as u64, false);
    std::iter::from_fn(|| loader.next_batch().unwrap()).collect()
}

#[test]
fn a_step_does_not_depend_on_how_its_pairs_are_divided() {
    let reference = Transformer::init(&config(tokenizer().vocab_size()), 4, &Device::flex()).unwrap();
    let dpo = DpoConfig { sft_weight: 0.2, label_smoothing: 0.1, ..DpoConfig::default() };
    let step = |batches: Vec<Batch>, threads: usize| {
        assert!(batches.iter().all(|batch| batch.examples().is_multiple_of(2)));
        assert_eq!(batches.iter().map(Batch::examples).sum::<usize>(), 2 * ROWS);
        let objective = Dpo::new(dpo.clone(), Reference::frozen(&reference));
        let settings = train_config(Stage::Dpo);
        // Positions behind 96 are beyond what this model was made for, and computed all the same.
        let model = model();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let taken =
            pool.install(|| pollster::block_on(replay(model, None, &objective, &settings, &[batches])));
        let taken = taken.unwrap();
        [taken.losses[0], taken.grad_norms[0]]
    };
    let whole = step(batches(ROWS, false), 1);
    assert!((whole[0] - LN_2).abs() > 0.05, "{whole:?}");
    for (batch_size, packing, threads, limit) in [
        (ROWS, false, 2, 1e-6),
        (ROWS, false, 3, 1e-6),
        (3, false, 2, 1e-6),
        (1, false, 1, 1e-6),
        (2, true, 2, 1e-4),
    ] {
        let other = step(batches(batch_size, packing), threads);
        for (one, other) in whole.iter().zip(other) {
            assert!((one - other).abs() < limit * one, "{batch_size} {packing} {threads}: {one} {other}");
        }
    }
}

#[test]
fn a_choice_is_weighed_token_by_token() {
    let (model, tokenizer) = (model(), tokenizer());
    let row = json!({"prompt": "Where is Lumo?", "chosen": "On log 3.", "rejected": "I sat on the mat."});
    let Row::Preference(pair) = parse_preference(&row).unwrap().row else { panic!("{row}") };
    let choice = Choice::of(&Row::Preference(pair.clone())).unwrap();
    let weighed = pollster::block_on(choice.weigh(&model, &tokenizer)).unwrap();
    for (side, found) in pair.conversations().iter().zip(weighed) {
        let rendered = tokenizer.render_training(side).unwrap();
        let mut decoder = Decoder::new(&model, rendered.ids.len());
        let score = pollster::block_on(decoder.score(&rendered.ids, None, false)).unwrap();
        let of_targets = score.logprobs.iter().zip(&rendered.weights).filter(|(_, weight)| **weight > 0.0);
        let expected: f64 = of_targets.filter_map(|(log_prob, _)| *log_prob).sum();
        assert!((found - expected).abs() < 1e-3 && expected < -1.0, "{found} {expected}");
    }
}

#[test]
fn what_does_not_stand_together_is_refused_before_any_work() {
    let refused =
        |job: Job| job.start(model()).err().map_or("it starts".to_string(), |error| error.to_string());
    let settings = || train_config(Stage::Dpo);
    let of = |dpo: DpoConfig| pairs(settings(), dpo, Reference::frozen(&model()), None);
    let message = refused(of(DpoConfig { beta: -1.0, max_prompt_len: 96, ..DpoConfig::default() }));
    assert!(message.contains("--beta is -1") && message.contains("--max-prompt-len is 96"), "{message}");
    let message = refused(job(settings(), Stage::Dpo, ROWS));
    assert!(message.contains("--reference base is the model under an adapter"), "{message}");
    let keeps = TrainConfig { keep_share: 0.2, ..settings() };
    let message = refused(pairs(keeps, DpoConfig::default(), Reference::frozen(&model()), None));
    assert!(message.contains("--keep-share does not act on pairs"), "{message}");
    let chats = job(train_config(Stage::Sft), Stage::Sft, ROWS).dataset;
    let message = refused(Job { dataset: chats, ..of(DpoConfig::default()) });
    assert!(message.contains("no pair of answers"), "{message}");
    assert_eq!(DpoConfig::default().reference_of(true), ReferenceKind::Base);
}

#[test]
fn real_pairs_are_read() {
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("KINDLING_SHARED").map_or(beside, std::path::PathBuf::from);
    if !shared.exists() {
        eprintln!("SKIPPED: {} is absent", shared.display());
        return;
    }
    for (name, usable, equal) in [
        ("dpo_en_demo", 300, 0),
        ("dpo_zh_demo", 300, 0),
        ("oasst1_rank_zh", 772, 3),
        ("preference_en_short", 894, 6),
    ] {
        let bytes = std::fs::read(shared.join(format!("data/dpo/{name}.jsonl"))).unwrap();
        let source: Arc<dyn Source> = Arc::new(Memory::new(&format!("{name}.jsonl"), bytes));
        let options = DataOptions { kind: Some(RowKind::Preference), ..DataOptions::default() };
        let data = Dataset::open(vec![source], options).unwrap();
        let report = data.report();
        let left_out = report.equal_pairs.as_ref().map_or(0, |count| count.rows);
        assert_eq!((report.preferences, left_out), (usable, equal), "{name}");
        assert!(report.unused_keys.is_empty(), "{name}: {:?}", report.unused_keys);
    }
}
