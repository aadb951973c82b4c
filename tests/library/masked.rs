//! Masked predictors in training: beside PyTorch (tests/golden/diffusion/training.py), and in runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use kindling::batch::{Batch, TooLong};
use kindling::checkpoint::{Checkpoint, read_training, run_files};
use kindling::error::Error;
use kindling::loss::{
    Diffusion, DiffusionSettings, LossWeight, Masking, NextToken, Objective, Predicts, RowShape, TimeRange,
};
use kindling::model::{
    ActivationCheckpointing, Balance, DiffusionConfig, Experts, ModelConfig, NamedTensor, Part, Transformer,
};
use kindling::optim::LrSchedule;
use kindling::random::Random;
use kindling::train::{Job, Replay, Stage, TrainConfig, TrainOptions, replay};
use serde::Deserialize;

use crate::gradients::check;
use crate::pytorch::read;
use crate::tiny::{Record, config, job, tokenizer, train_config, train_run};

#[derive(Deserialize)]
struct Golden {
    mask: u32,
    stages: BTreeMap<String, Lessons>,
}

#[derive(Deserialize)]
struct Lessons {
    model: String,
    shift: bool,
    block: Option<usize>,
    weight: LossWeight,
    answers: bool,
    settings: Settings,
    steps: Vec<Vec<Vec<Row>>>,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
}

#[derive(Deserialize)]
struct Settings {
    learning_rate: f64,
    weight_decay: f64,
    grad_clip: f64,
    warmup_ratio: f64,
    min_lr_ratio: f64,
}

#[derive(Deserialize)]
struct Row {
    ids: Vec<u32>,
    prompt: usize,
    hidden: String,
    p: f32,
}

impl Lessons {
    fn masking(&self) -> Masking {
        let settings = DiffusionSettings { loss_weight: self.weight, ..DiffusionSettings::default() };
        Masking { settings, answers: self.answers }
    }

    fn batch(&self, rows: &[Row], mask: u32) -> Batch {
        let mut batch = Batch { batch: rows.len(), ..Batch::new(rows[0].ids.len()) };
        let (mut hidden, mut probabilities) = (Vec::new(), Vec::new());
        for row in rows {
            batch.inputs.extend(&row.ids);
            batch.segments.extend(vec![1; row.ids.len()]);
            let may = |at: usize| at >= row.prompt;
            batch.weights.extend((0..row.ids.len()).map(|at| f32::from(u8::from(may(at)))));
            probabilities.extend((0..row.ids.len()).map(|at| if may(at) { row.p } else { 0.0 }));
            hidden.extend(row.hidden.bytes().map(|mark| mark == b'1'));
        }
        self.masking().hide_these(batch, &hidden, probabilities, mask)
    }
}

fn largest(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max)
}

#[test]
fn hidden_tokens_are_learned_in_the_steps_of_pytorch() {
    let text = read("diffusion/training.json").unwrap().unwrap();
    let Golden { mask, stages } = serde_json::from_slice(&text).unwrap();
    assert_eq!(stages.len(), 5);
    for (stage, lessons) in &stages {
        let files = |name: &str| read(&format!("training/{}/{name}", lessons.model));
        let mut checkpoint = Checkpoint::open(files).unwrap();
        checkpoint.config.diffusion = Some(DiffusionConfig {
            mask_token_id: mask,
            block_length: lessons.block,
            shift_logits: lessons.shift,
        });
        let model = checkpoint.model(&Device::flex().autodiff()).unwrap();
        let Settings { learning_rate, weight_decay, grad_clip, warmup_ratio, min_lr_ratio } =
            lessons.settings;
        let config = TrainConfig {
            learning_rate,
            weight_decay,
            grad_clip,
            warmup_ratio,
            min_lr_ratio,
            lr_schedule: LrSchedule::Cosine,
            ..TrainConfig::of(Stage::Pretrain)
        };
        let steps: Vec<Vec<Batch>> = lessons
            .steps
            .iter()
            .map(|step| step.iter().map(|rows| lessons.batch(rows, mask)).collect())
            .collect();
        let objective = Diffusion::new(lessons.masking());
        let taken = pollster::block_on(replay(model, None, &objective, &config, &steps)).unwrap();
        let off = largest(&taken.losses, &lessons.losses);
        assert!(off < 1e-5, "{stage}: losses {off:.1e} apart\n{:?}\n{:?}", taken.losses, lessons.losses);
        let off = largest(&taken.grad_norms, &lessons.grad_norms);
        assert!(off < 1e-4, "{stage}: gradient norms {off:.1e} apart");
    }
}

/// A masked predictor of the tiny model's shape.
fn masked(block_length: Option<usize>, vocab: usize) -> ModelConfig {
    let mask_token_id = vocab as u32 - 1;
    let diffusion = Some(DiffusionConfig { mask_token_id, block_length, shift_logits: true });
    ModelConfig { diffusion, eos_token_ids: vec![0], ..config(vocab) }
}

fn routed(config: ModelConfig) -> ModelConfig {
    let balance =
        Balance { aux_loss_alpha: 0.5, seq_aux: false, router_aux_loss_coef: 0.0, router_z_loss_coef: 0.05 };
    let experts = Experts {
        count: 4,
        per_token: 2,
        shared: 1,
        intermediate_size: 8,
        normalize: true,
        layers: vec![true; 2],
        balance,
    };
    ModelConfig { experts: Some(experts), ..config }
}

fn objective(loss_weight: LossWeight) -> (Masking, Diffusion) {
    let t_range = TimeRange { from: 0.2, to: 0.9 };
    let settings = DiffusionSettings { loss_weight, t_range, ..DiffusionSettings::default() };
    let masking = Masking { settings, answers: false };
    (masking, Diffusion::new(masking))
}

/// Four rows of several texts and padding, some of whose tokens are hidden.
fn hidden(masking: &Masking, model: &ModelConfig) -> Batch {
    let mut batch = Batch::new(12);
    for row in 0..4u32 {
        let length = [12, 9, 11, 7][row as usize];
        let ids: Vec<u32> = (0..length).map(|at| (at * 7 + row * 11 + at * at) % 31).collect();
        let segments: Vec<u32> = (0..length).map(|at| 1 + u32::from(at >= 5)).collect();
        batch.push(&ids, &vec![1.0; ids.len()], &segments);
    }
    masking.hide(&batch, RowShape { packed: true, seq_len: 12 }, model, &mut Random::new(3, 0), false)
}

#[test]
fn the_directional_derivative_of_every_weight_is_right_where_tokens_are_hidden() {
    for (block_length, loss_weight) in
        [(None, LossWeight::InverseT), (Some(3), LossWeight::Uniform), (Some(3), LossWeight::InverseT)]
    {
        let config = masked(block_length, 32);
        let model = Transformer::init(&config, 7, &Device::flex().autodiff()).unwrap();
        let (masking, objective) = objective(loss_weight);
        // Of two rows: the sum of more is told less exactly in 32 bits.
        check(&model, &objective, &hidden(&masking, &config).split(2)[0]);
    }
}

/// Two steps on the same rows, divided into micro-batches and over threads.
fn steps(config: &ModelConfig, options: &TrainOptions, parts: usize, threads: usize) -> Replay {
    let (masking, objective) = objective(LossWeight::Uniform);
    let model = Transformer::init(config, 7, &Device::flex().autodiff()).unwrap();
    let batches = hidden(&masking, config).split(parts);
    let settings = TrainConfig {
        learning_rate: 1e-3,
        lr_schedule: LrSchedule::Constant,
        grad_clip: 0.0,
        options: options.clone(),
        ..train_config(Stage::Pretrain)
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(move || {
        pollster::block_on(replay(model, None, &objective, &settings, &[batches.clone(), batches])).unwrap()
    })
}

fn assert_same(found: &Replay, expected: &Replay, what: &str) {
    for (found, expected) in [(&found.losses, &expected.losses), (&found.grad_norms, &expected.grad_norms)] {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-6 * expected.abs().max(1.0), "{what}: {found} {expected}");
        }
    }
}

#[test]
fn neither_threads_nor_micro_batches_nor_checkpointing_change_a_step() {
    let noisy = TrainOptions { neftune: 5.0, dropout: Some(0.2), ..TrainOptions::default() };
    for block_length in [None, Some(4)] {
        for config in [masked(block_length, 32), routed(masked(block_length, 32))] {
            for options in [TrainOptions::default(), noisy.clone()] {
                let what = format!("{block_length:?} {} {options:?}", config.experts.is_some());
                let whole = steps(&config, &options, 1, 1);
                assert!(whole.metrics.iter().all(|metrics| metrics.contains_key("masked_accuracy")));
                for (parts, threads) in [(1, 2), (2, 1), (4, 2)] {
                    assert_same(&steps(&config, &options, parts, threads), &whole, &what);
                }
                for activation_checkpointing in
                    [ActivationCheckpointing::WholeLayer, ActivationCheckpointing::FineGrained]
                {
                    let options = TrainOptions { activation_checkpointing, ..options.clone() };
                    assert_same(&steps(&config, &options, 1, 2), &whole, &what);
                }
            }
        }
    }
}

#[test]
fn a_step_in_half_precision_is_near_that_in_single() {
    let (masking, objective) = objective(LossWeight::Uniform);
    let config = masked(Some(4), 32);
    let batch = hidden(&masking, &config);
    let loss = |dtype: DType| {
        let model = Transformer::init(&config, 7, &Device::flex()).unwrap().with_dtype(dtype);
        f64::from(crate::tiny::values(objective.loss(&model, &batch).sum)[0])
    };
    assert!((loss(DType::BF16) / loss(DType::F32) - 1.0).abs() < 0.02);
}

fn settings(stage: Stage) -> TrainConfig {
    TrainConfig { steps: Some(6), batch_size: 3, val_split: 0.2, eval_every: 2, ..train_config(stage) }
}

/// A job whose model predicts hidden tokens.
fn masked_job(stage: Stage, settings: TrainConfig) -> (Job, ModelConfig) {
    let mut job = job(settings, stage, 23);
    let config = masked(Some(8), job.tokenizer.vocab_size() + 1);
    job.objective = stage.objective_for(&job.config.diffusion, &config).unwrap();
    (job, config)
}

fn weights(model: &Transformer) -> Vec<NamedTensor> {
    pollster::block_on(model.weights()).unwrap()
}

#[test]
fn a_run_that_hides_tokens_resumes_bit_for_bit() {
    for stage in [Stage::Pretrain, Stage::Sft] {
        let run = |stop: Option<u64>, record: &mut Record| {
            let (job, config) = masked_job(stage, settings(stage));
            let model = Transformer::init(&config, 3, &Device::flex().autodiff()).unwrap();
            let mut run = job.start(model).unwrap();
            run.stop_after = stop;
            train_run(run, record).unwrap().model
        };
        let (mut whole, mut first, mut second) = (Record::default(), Record::default(), Record::default());
        let trained = run(None, &mut whole);
        let shape = run(Some(2), &mut first).config().clone();
        let files = run_files(first.snapshots.last().unwrap(), &shape, &tokenizer()).unwrap();
        let read = |name: &str| Ok(files.get(name).cloned());
        let saved = Checkpoint::open(read).unwrap().model(&Device::flex().autodiff()).unwrap();
        assert!(saved.config().diffusion.is_some());
        let (optimizer, progress) = read_training(read).unwrap();
        let (job, _) = masked_job(stage, settings(stage));
        let resumed = train_run(job.resume(saved, optimizer, progress).unwrap(), &mut second).unwrap();
        assert_eq!(whole.losses(), [first.losses(), second.losses()].concat(), "{stage:?}");
        assert_eq!(weights(&trained), weights(&resumed.model), "{stage:?}");
        assert_eq!(whole.evals, [first.evals, second.evals].concat(), "held-out rows are hidden alike");
        assert!(whole.losses().iter().all(|loss| *loss > 0.0));
    }
}

#[test]
fn hidden_tokens_of_a_few_rows_are_learned_also_by_attention_alone() {
    for freeze in [Vec::new(), vec![Part::Mlp]] {
        let config = TrainConfig {
            steps: Some(60),
            learning_rate: 1e-2,
            batch_size: 4,
            freeze,
            val_split: 0.0,
            eval_every: 0,
            ..settings(Stage::Pretrain)
        };
        let (job, model) = masked_job(Stage::Pretrain, config);
        let model = Transformer::init(&model, 3, &Device::flex().autodiff()).unwrap();
        let mut record = Record::default();
        train_run(job.start(model).unwrap(), &mut record).unwrap();
        let losses = record.losses();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let (first, last) = (mean(&losses[..5]), mean(&losses[losses.len() - 5..]));
        assert!(last < 0.8 * first, "{first} {last}");
    }
}

#[test]
fn a_run_whose_tokens_weigh_by_their_share_is_stopped_where_it_diverges() {
    let mut settings =
        TrainConfig { steps: Some(40), val_split: 0.0, eval_every: 0, ..settings(Stage::Pretrain) };
    settings.diffusion.loss_weight = LossWeight::InverseT;
    settings.diffusion.t_range = TimeRange { from: 0.0, to: 1.0 };
    let (job, config) = masked_job(Stage::Pretrain, settings);
    // Logits of a hundred and more: it is surer of wrong tokens than any model that learned.
    let torn = ModelConfig { embedding_range: 40.0, ..config };
    let mut run = job.start(Transformer::init(&torn, 3, &Device::flex().autodiff()).unwrap()).unwrap();
    run.progress.mean_loss = Some(3.0);
    let mut record = Record::default();
    let error = train_run(run, &mut record).unwrap_err();
    assert!(matches!(error, Error::Diverged(_)), "{error}");
    assert!(error.to_string().contains("the loss jumped to") && record.losses().is_empty(), "{error}");
}

#[test]
fn rows_are_no_longer_than_asked_for_with_their_last_token() {
    let long =
        TrainConfig { max_seq_len: 45, packing: false, too_long: TooLong::Cut, ..settings(Stage::Sft) };
    let (job, config) = masked_job(Stage::Sft, long);
    let model = Transformer::init(&config, 3, &Device::flex().autodiff()).unwrap();
    let mut run = job.start(model).unwrap();
    for _ in 0..4 {
        let model = run.model.clone();
        let batch = pollster::block_on(run.batches.next(&model)).unwrap().unwrap();
        let noised = batch.noised.as_ref().unwrap();
        assert!(batch.seq <= 45 && noised.clean.len() == batch.batch * batch.seq);
        assert!((0..batch.batch).all(|row| noised.probabilities[row * batch.seq] == 0.0), "a prompt");
    }
}

#[test]
fn what_does_not_go_together_is_refused_by_name() {
    let refused = |job: Job, config: &ModelConfig| {
        let model = Transformer::init(config, 3, &Device::flex().autodiff()).unwrap();
        job.validate(&model).unwrap_err().to_string()
    };
    let (packed, config) = masked_job(Stage::Sft, TrainConfig { packing: true, ..settings(Stage::Sft) });
    assert!(refused(packed, &config).contains("--packing does not act on conversations"));
    let (mut plain, config) = masked_job(Stage::Sft, settings(Stage::Sft));
    plain.objective = Arc::new(NextToken);
    assert!(refused(plain, &config).contains("predicts masked tokens"));
    let (causal, config) = masked_job(Stage::Sft, settings(Stage::Sft));
    let told = refused(causal, &ModelConfig { diffusion: None, ..config });
    assert!(told.contains("kindling convert --to diffusion"), "{told}");
    let mut wrong = settings(Stage::Pretrain);
    wrong.diffusion.t_range = TimeRange { from: 0.9, to: 0.1 };
    let (wrong, config) = masked_job(Stage::Pretrain, wrong);
    assert!(refused(wrong, &config).contains("--t-range is 0.9,0.1"));
    let next = DiffusionSettings { objective: Some(Predicts::NextToken), ..DiffusionSettings::default() };
    let told = Stage::Pretrain.objective_for(&next, &config).err().unwrap().to_string();
    assert!(told.contains("--objective next-token"), "{told}");
}

#[test]
fn the_plan_of_a_block_model_reckons_with_both_copies() {
    let plan = |block_length| {
        let (job, config) = masked_job(Stage::Pretrain, settings(Stage::Pretrain));
        let diffusion = config.diffusion.clone().unwrap();
        let config = ModelConfig { diffusion: Some(DiffusionConfig { block_length, ..diffusion }), ..config };
        job.start(Transformer::init(&config, 3, &Device::flex().autodiff()).unwrap()).unwrap().plan
    };
    let (whole, blocks) = (plan(None), plan(Some(8)));
    assert_eq!((blocks.activation_bytes, blocks.flops), (2 * whole.activation_bytes, 2.0 * whole.flops));
    assert_eq!(plan(Some(96)).flops, whole.flops, "a block as long as the row");
}
