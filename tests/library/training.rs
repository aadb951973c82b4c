//! The loop: it learns, adds up, resumes bit for bit, and stops when it must.

use burn::tensor::{DType, Device};
use kindling::batch::Batch;
use kindling::checkpoint::{Checkpoint, read_training, write_training};
use kindling::error::Error;
use kindling::formats::{Files, directory_files};
use kindling::loss::{NextToken, Objective};
use kindling::model::{NamedTensor, Transformer};
use kindling::optim::{AdamW, AdamWConfig, LrSchedule, NamedGradients};
use kindling::train::{LossScale, Run, Snapshot, Stage, TrainConfig};

use crate::tiny::{Record, job, largest_difference, model, start, train_config, train_run, values};

pub fn device() -> Device {
    Device::flex().autodiff()
}

#[test]
fn both_stages_learn_eight_rows() {
    for stage in [Stage::Pretrain, Stage::Sft] {
        let config =
            TrainConfig { steps: Some(60), lr_schedule: LrSchedule::Constant, ..train_config(stage) };
        let mut record = Record::default();
        train_run(start(config, stage, 8, &device()), &mut record).unwrap();
        let losses = record.losses();
        assert_eq!(losses.len(), 60);
        assert!(losses[59] < 0.3 * losses[0], "{stage:?}: {} to {}", losses[0], losses[59]);
    }
}

#[test]
fn small_batches_add_up_to_the_big_one() {
    let model = model(&device());
    let row = |batch: &mut Batch, ids: &[u32], targets: usize| {
        let weights: Vec<f32> =
            (0..ids.len()).map(|i| if i >= ids.len() - targets { 0.5 } else { 0.0 }).collect();
        batch.push(ids, &weights, &vec![1; ids.len()]);
    };
    // Rows of unequal weight: equal shares a batch would be wrong.
    let rows: [(&[u32], usize); 3] = [(&[1, 2, 3, 4, 5], 4), (&[9, 8, 7], 1), (&[4, 4, 2, 30], 2)];
    let mut big = Batch::new(4);
    rows.iter().for_each(|(ids, targets)| row(&mut big, ids, *targets));
    let small: Vec<Batch> = rows
        .iter()
        .map(|(ids, targets)| {
            let mut batch = Batch::new(4);
            row(&mut batch, ids, *targets);
            batch
        })
        .collect();
    let gradients = |batches: &[Batch]| {
        let weight: f64 = batches.iter().map(|batch| NextToken.weight(batch)).sum();
        let mut sum = NamedGradients::default();
        for batch in batches {
            let loss = NextToken.loss(&model, batch).sum / weight;
            sum.add(NamedGradients::collect(&model, &mut loss.backward()));
        }
        sum.into_inner().into_iter().flat_map(|(_, gradient)| values(gradient)).collect::<Vec<f32>>()
    };
    assert!(largest_difference(&gradients(&[big]), &gradients(&small)) < 1e-6);
}

/// The files of a save.
pub fn stored(snapshot: &Snapshot) -> Files {
    let mut files =
        directory_files(&snapshot.model, &snapshot.weights, Some(&crate::tiny::tokenizer())).unwrap();
    write_training(&mut files, &snapshot.optimizer, &snapshot.progress).unwrap();
    files
}

/// Weights and losses of a run that is stopped, stored and resumed after each of `stops`.
pub fn run_with_stops(config: &TrainConfig, stage: Stage, stops: &[u64]) -> (Vec<NamedTensor>, Vec<f64>) {
    let mut losses = Vec::new();
    let mut files: Option<Files> = None;
    for stop in stops.iter().copied().map(Some).chain([None]) {
        let mut run = match &files {
            None => start(config.clone(), stage, 23, &device()),
            Some(files) => {
                let read = |name: &str| Ok(files.get(name).cloned());
                let model = Checkpoint::open(read).unwrap().model(&device()).unwrap();
                let (optimizer, progress) = read_training(read).unwrap();
                job(config.clone(), stage, 23).resume(model, optimizer, progress).unwrap()
            }
        };
        run.stop_after = stop;
        let mut record = Record::default();
        train_run(run, &mut record).unwrap();
        losses.extend(record.losses());
        files = Some(stored(record.snapshots.last().unwrap()));
    }
    let files = files.unwrap();
    let model = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap().model(&device()).unwrap();
    (pollster::block_on(model.weights()).unwrap(), losses)
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    for (stage, packing) in
        [(Stage::Pretrain, true), (Stage::Pretrain, false), (Stage::Sft, false), (Stage::Sft, true)]
    {
        // 23 rows in batches of 2: the stops fall into the middle of an epoch and of a window.
        let config = TrainConfig { steps: Some(30), packing, grad_accum: 2, ..train_config(stage) };
        let (whole, losses) = run_with_stops(&config, stage, &[]);
        let (parts, resumed) = run_with_stops(&config, stage, &[3, 15]);
        assert_eq!(losses.len(), 30);
        assert_eq!(losses, resumed, "{stage:?} packing {packing}");
        assert_eq!(whole, parts, "{stage:?} packing {packing}");
    }
}

#[test]
fn an_optimizers_state_that_does_not_fit_is_refused_by_name() {
    let config = train_config(Stage::Sft);
    let mut record = Record::default();
    train_run(start(config.clone(), Stage::Sft, 8, &device()), &mut record).unwrap();
    let snapshot = record.snapshots.last().unwrap();
    let files = stored(snapshot);
    let resume = |optimizer: Vec<NamedTensor>| {
        let model = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap().model(&device()).unwrap();
        job(config.clone(), Stage::Sft, 8).resume(model, optimizer, snapshot.progress.clone())
    };
    let refused = |optimizer: Vec<NamedTensor>, parts: [&str; 2]| {
        let message = resume(optimizer).err().unwrap().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    let whole = &snapshot.optimizer;
    assert!(resume(whole.clone()).is_ok());
    refused(Vec::new(), ["has no 'first.", "earlier checkpoint"]);
    let seconds = |tensor: &&NamedTensor| tensor.name.starts_with("second.");
    refused(whole.iter().filter(seconds).cloned().collect(), ["has no 'first.", "damaged"]);
    let gate = "model.layers.1.mlp.gate_proj.weight";
    let without = whole.iter().filter(|tensor| tensor.name != format!("second.{gate}"));
    refused(without.cloned().collect(), [&format!("has no 'second.{gate}'"), "earlier checkpoint"]);
    let mut turned = whole.clone();
    let odd = turned.iter_mut().find(|tensor| tensor.name == format!("first.{gate}")).unwrap();
    odd.shape.reverse();
    refused(turned, [&format!("'first.{gate}' of shape [16, 24]"), "the weight has [24, 16]"]);
    let mut more = whole.clone();
    more.push(NamedTensor { name: "first.model.other.weight".into(), ..whole[0].clone() });
    refused(more, ["holds 'first.model.other.weight'", "does not train"]);
}

#[test]
fn held_out_rows_are_never_trained_on() {
    let config = TrainConfig { val_split: 0.2, eval_every: 4, steps: Some(8), ..train_config(Stage::Sft) };
    let run = start(config.clone(), Stage::Sft, 20, &device());
    let mut held_out = run.held_out.as_ref().unwrap()();
    let mut outside = Vec::new();
    while let Some(batch) = pollster::block_on(held_out.next(&run.model)).unwrap() {
        outside.extend(batch.origins);
    }
    assert_eq!(outside.len(), 4);
    let mut record = Record::default();
    let mut run = run;
    for _ in 0..20 {
        let batch = pollster::block_on(run.batches.next(&run.model)).unwrap().unwrap();
        assert!(batch.origins.iter().all(|origin| !outside.contains(origin)));
    }
    train_run(start(config, Stage::Sft, 20, &device()), &mut record).unwrap();
    assert_eq!(record.evals.len(), 2);
}

#[test]
fn a_loss_that_is_not_a_number_stops_with_step_rows_and_advice() {
    let config = train_config(Stage::Sft);
    let job = job(config, Stage::Sft, 8);
    let shape = crate::tiny::config(job.tokenizer.vocab_size());
    let model =
        Transformer::build(&shape, &device(), &mut |_, shape| Ok(vec![f32::NAN; shape.iter().product()]));
    let mut record = Record::default();
    let message = train_run(job.start(model.unwrap()).unwrap(), &mut record).err().unwrap().to_string();
    for part in ["step 1:", "loss is NaN", "rows.jsonl:", "--learning-rate", "untouched"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(record.snapshots.is_empty());
}

#[test]
fn a_diverging_run_stops_before_it_is_saved() {
    let constant = TrainConfig { lr_schedule: LrSchedule::Constant, ..train_config(Stage::Pretrain) };
    let learned = TrainConfig { steps: Some(120), ..constant.clone() };
    let outcome = train_run(start(learned, Stage::Pretrain, 8, &device()), &mut Record::default()).unwrap();
    // Steps of 1 a weight, the most that settings allow, take a model apart that knows its rows.
    let config = TrainConfig { learning_rate: 1.0, grad_clip: 0.0, steps: Some(200), ..constant };
    let mut record = Record::default();
    let run = job(config, Stage::Pretrain, 8).start(outcome.model).unwrap();
    let error = train_run(run, &mut record).unwrap_err();
    assert!(matches!(error, Error::Diverged(_)), "{error}");
    let (losses, message) = (record.losses(), error.to_string());
    assert!((1..199).contains(&losses.len()), "it takes steps and is stopped: {losses:?}");
    for part in ["the loss jumped to", "rows.jsonl:", "--learning-rate (now 1)", "untouched"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(record.snapshots.is_empty());
}

#[test]
fn f16_with_its_scaled_loss_trains_as_f32_does() {
    let config = TrainConfig { steps: Some(20), ..train_config(Stage::Sft) };
    let losses = |dtype: DType| {
        let mut record = Record::default();
        let run = start(config.clone(), Stage::Sft, 23, &device());
        let run = Run { model: run.model.clone().with_dtype(dtype), ..run };
        let progress = train_run(run, &mut record).unwrap().progress;
        (record.losses(), progress.loss_scale)
    };
    let (full, none) = losses(DType::F32);
    let (half, scale) = losses(DType::F16);
    let (brain, _) = losses(DType::BF16);
    assert_eq!((none, scale.map(|scale| scale.skipped)), (None, Some(0)));
    let apart = |other: &[f64]| full.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(apart(&half) <= apart(&brain), "f16 {} bf16 {}", apart(&half), apart(&brain));
    assert!(full[19] < 0.9 * full[0]);
}

#[test]
fn an_overflowing_step_is_left_out_and_the_run_resumes_as_it_was() {
    // A loss of some thousand times 2^16 is above f16's largest number.
    let config = TrainConfig { steps: Some(12), ..train_config(Stage::Sft) };
    let begin = || {
        let mut run = start(config.clone(), Stage::Sft, 23, &device());
        run.model = run.model.with_dtype(DType::F16);
        run.progress.loss_scale = Some(LossScale { factor: 1e9, ..LossScale::default() });
        run
    };
    let mut whole = Record::default();
    let progress = train_run(begin(), &mut whole).unwrap().progress;
    let skipped = progress.loss_scale.unwrap().skipped;
    assert!(skipped >= 1 && progress.optimizer_steps() == 12 - skipped, "{progress:?}");
    let mut first = Record::default();
    train_run(Run { stop_after: Some(7), ..begin() }, &mut first).unwrap();
    let files = stored(first.snapshots.last().unwrap());
    let read = |name: &str| Ok(files.get(name).cloned());
    let model = Checkpoint::open(read).unwrap().model(&device()).unwrap().with_dtype(DType::F16);
    let (optimizer, saved) = read_training(read).unwrap();
    let mut second = Record::default();
    train_run(job(config.clone(), Stage::Sft, 23).resume(model, optimizer, saved).unwrap(), &mut second)
        .unwrap();
    assert_eq!(whole.losses(), [first.losses(), second.losses()].concat());
    let told = whole.logs.last().unwrap().loss_scale.unwrap();
    assert_eq!(told.skipped, skipped);
    assert!(
        told.remark().unwrap().starts_with(&format!("{skipped} steps left out because float16 overflowed"))
    );
}

#[test]
fn adamw_takes_pytorchs_steps() {
    // One weight matrix w = 1 with gradient 0.5, lr 0.1, decay 0.01; two steps worked out by hand from
    // torch.optim.AdamW: m̂ = 0.5, v̂ = 0.25, so each step is −0.1·0.5/(0.5 + 1e-8) after w·(1 − 0.001).
    let device = device();
    let config = crate::tiny::config(32);
    let model =
        Transformer::build(&config, &device, &mut |_, shape| Ok(vec![1.0; shape.iter().product()])).unwrap();
    let mut optimizer = AdamW::new(AdamWConfig { weight_decay: 0.01, ..AdamWConfig::default() });
    let mut model = model;
    for _ in 0..2 {
        let gradients = NamedGradients::filled(&model, 0.5);
        model = optimizer.step(model, gradients, 0.1);
    }
    let weights = pollster::block_on(model.weights()).unwrap();
    let value = |name: &str| weights.iter().find(|weight| weight.name == name).unwrap().values[0];
    let decayed = (1.0 * 0.999 - 0.1) * 0.999 - 0.1;
    assert!((value("model.layers.0.mlp.up_proj.weight") - decayed).abs() < 1e-6);
    // Norms and the embedding are not pulled towards zero.
    assert!((value("model.norm.weight") - 0.8).abs() < 1e-6);
    assert!((value("model.embed_tokens.weight") - 0.8).abs() < 1e-6);
}

#[test]
fn clipping_scales_to_the_global_norm() {
    let model = model(&device());
    let gradients = NamedGradients::filled(&model, 0.5);
    let norm = gradients.norm().unwrap();
    let count = model.config().parameters() as f64;
    assert!((f64::from(values(norm.clone())[0]) - (count * 0.25).sqrt()).abs() < 1e-2);
    let clipped = gradients.clone().clip(&norm, 1.0).norm().unwrap();
    assert!((values(clipped)[0] - 1.0).abs() < 1e-3);
    let left = gradients.clip(&norm, 1e6).norm().unwrap();
    assert_eq!(values(left), values(norm));
}
