//! Training beside PyTorch: from the same weights, on the same batches, the same steps (tests/golden/training/make.py);
//! the same measure of held-out rows (tests/golden/held_out/make.py).

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use kindling::adapter::Adapter;
use kindling::batch::Batch;
use kindling::checkpoint::Checkpoint;
use kindling::data::{DataOptions, Dataset, Memory, Source};
use kindling::error::Result;
use kindling::loss::NextToken;
use kindling::model::{NamedTensor, Transformer};
use kindling::optim::LrSchedule;
use kindling::train::{Replay, Stage, TrainConfig, evaluate, replay};
use serde::Deserialize;

use crate::tiny::{job, largest_difference, logits, train_config};

#[derive(Deserialize)]
struct Golden {
    model: String,
    adapter: Option<String>,
    settings: Settings,
    seq: usize,
    /// Steps, micro-batches, rows.
    steps: Vec<Vec<Vec<Row>>>,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
    probe: Vec<i32>,
    logits: Vec<Vec<f32>>,
    /// How far each trained weight went, as a Euclidean distance.
    moved: BTreeMap<String, f64>,
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
    weights: Vec<f32>,
    segments: Vec<u32>,
}

impl Golden {
    fn config(&self) -> TrainConfig {
        let Settings { learning_rate, weight_decay, grad_clip, warmup_ratio, min_lr_ratio } = self.settings;
        TrainConfig {
            learning_rate,
            weight_decay,
            grad_clip,
            warmup_ratio,
            min_lr_ratio,
            lr_schedule: LrSchedule::Cosine,
            steps: Some(self.steps.len() as u64),
            batch_size: self.steps[0][0].len(),
            grad_accum: self.steps[0].len(),
            max_seq_len: self.seq,
            ..TrainConfig::of(Stage::Sft)
        }
    }

    fn batches(&self) -> Vec<Vec<Batch>> {
        let batch = |rows: &Vec<Row>| {
            let mut batch = Batch::new(self.seq);
            rows.iter().for_each(|row| batch.push(&row.ids, &row.weights, &row.segments));
            batch
        };
        self.steps.iter().map(|batches| batches.iter().map(batch).collect()).collect()
    }
}

/// A file of the goldens by its path below their folder.
fn read(path: &str) -> Result<Option<Vec<u8>>> {
    let golden = std::env::var("KINDLING_GOLDEN");
    let golden = golden.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden").into());
    Ok(std::fs::read(PathBuf::from(golden).join(path)).ok())
}

/// The largest difference, as a share of what was expected.
fn farthest<'a>(
    found: impl IntoIterator<Item = &'a f64>,
    expected: impl IntoIterator<Item = &'a f64>,
) -> f64 {
    let pairs = found.into_iter().zip(expected);
    pairs.map(|(found, expected)| ((found - expected) / expected).abs()).fold(0.0, f64::max)
}

/// What trained, after the last step: the adapter where there is one, else the model.
fn trained(model: &Transformer, adapter: Option<&Adapter>) -> Vec<NamedTensor> {
    match adapter {
        Some(adapter) => pollster::block_on(Adapter::of(model, adapter.config.clone())).unwrap().weights,
        None => pollster::block_on(model.weights()).unwrap(),
    }
}

/// The Euclidean distance between the values of each weight, by the names of PEFT.
fn moved(before: &[NamedTensor], after: &[NamedTensor]) -> BTreeMap<String, f64> {
    let distance = |before: &NamedTensor, after: &NamedTensor| {
        let pairs = before.values.iter().zip(&after.values);
        pairs.map(|(before, after)| f64::from(after - before).powi(2)).sum::<f64>().sqrt()
    };
    let name =
        |name: &str| name.replace(".lora.0.a", ".lora_A.weight").replace(".lora.0.b", ".lora_B.weight");
    let of = |before: &NamedTensor| {
        let after = after.iter().find(|after| after.name == before.name).unwrap();
        (name(&before.name), distance(before, after))
    };
    before.iter().map(of).collect()
}

fn compare(stage: &str, loss_limit: f64) {
    let read = |path: &str| read(&format!("training/{path}"));
    let golden: Golden = serde_json::from_slice(&read(&format!("{stage}.json")).unwrap().unwrap()).unwrap();
    let checkpoint = Checkpoint::open(|name| read(&format!("{}/{name}", golden.model))).unwrap();
    let model = checkpoint.model(&Device::flex().autodiff()).unwrap();
    let adapter = golden
        .adapter
        .as_ref()
        .map(|folder| Adapter::open(|name| read(&format!("{folder}/{name}"))).unwrap());
    let before = match &adapter {
        Some(adapter) => adapter.weights.clone(),
        None => trained(&model, None),
    };
    let (config, batches) = (golden.config(), golden.batches());
    let steps = replay(model, adapter.as_ref(), &NextToken, &config, &batches);
    let Replay { model, losses, grad_norms, .. } = pollster::block_on(steps).unwrap();

    assert_eq!((losses.len(), grad_norms.len()), (golden.losses.len(), golden.grad_norms.len()));
    let off = farthest(&losses, &golden.losses);
    assert!(off < loss_limit, "{stage}: the losses are {off:.1e} apart\n{losses:?}\n{:?}", golden.losses);
    let off = farthest(&grad_norms, &golden.grad_norms);
    assert!(off < 1e-4, "{stage}: the gradient norms are {off:.1e} apart");
    let off = largest_difference(&logits(&model.valid(), &golden.probe), &golden.logits.concat());
    assert!(off < 1e-4, "{stage}: the logits are {off:.1e} apart");
    let moved = moved(&before, &trained(&model, adapter.as_ref()));
    assert!(moved.keys().eq(golden.moved.keys()), "{stage}: {:?}", moved.keys());
    for (name, expected) in &golden.moved {
        let off = (moved[name] - expected).abs() / expected;
        assert!(off < 3e-4, "{stage}: {name} went {}, in PyTorch {expected}", moved[name]);
    }
}

#[test]
fn pretraining_on_packed_rows_takes_the_steps_of_pytorch() {
    compare("pretrain", 1e-5);
}

#[test]
fn fine_tuning_on_weighted_targets_takes_the_steps_of_pytorch() {
    compare("sft", 1e-5);
}

#[test]
fn an_adapter_takes_the_steps_of_peft() {
    compare("lora", 2e-5);
}

/// What the rows of a file cost a model, by transformers.
#[derive(Deserialize)]
struct Known {
    texts: Vec<Cost>,
    conversations: Vec<Cost>,
}

/// The negative log-probability of a row's targets, in nats, and the bytes that these stand for.
#[derive(Deserialize)]
struct Cost {
    nll: f64,
    targets: f64,
    bytes: f64,
}

#[test]
fn held_out_loss_and_bits_per_byte_are_those_of_transformers() {
    let read = |name: &str| read(&format!("held_out/{name}"));
    let known: Known = serde_json::from_slice(&read("expected.json").unwrap().unwrap()).unwrap();
    let checkpoint = Checkpoint::open(read).unwrap();
    let tokenizer = Arc::new(checkpoint.tokenizer.clone().unwrap());
    for (stage, file, costs) in [
        (Stage::Pretrain, "texts.jsonl", &known.texts),
        (Stage::Sft, "conversations.jsonl", &known.conversations),
    ] {
        let source: Arc<dyn Source> = Arc::new(Memory::new(file, read(file).unwrap().unwrap()));
        let config = TrainConfig { val_split: 0.5, packing: false, ..train_config(stage) };
        let mut job = job(config, stage, 1);
        job.tokenizer = Arc::clone(&tokenizer);
        job.dataset = Arc::new(Dataset::open(vec![source], DataOptions::default()).unwrap());
        let run = job.start(checkpoint.model(&Device::flex().autodiff()).unwrap()).unwrap();
        let held_out = run.held_out.as_ref().unwrap();
        let (mut named, mut measured, mut rows) = (held_out(), held_out(), Vec::new());
        while let Some(batch) = pollster::block_on(named.next(&run.model)).unwrap() {
            rows.extend(batch.origins.iter().map(|origin| &costs[origin.line as usize - 1]));
        }
        assert_eq!(rows.len(), 3);
        let sum = |of: fn(&Cost) -> f64| rows.iter().map(|row| of(row)).sum::<f64>();
        let (nll, targets, bytes) = (sum(|row| row.nll), sum(|row| row.targets), sum(|row| row.bytes));
        let found = evaluate(&run.model, &*run.objective, &mut *measured, &tokenizer);
        let found = pollster::block_on(found).unwrap();
        let off = [found.loss * targets / nll - 1.0, found.bits_per_byte * LN_2 * bytes / nll - 1.0];
        assert!(off.iter().all(|off| off.abs() < 1e-5), "{file}: {off:?} off");
    }
}
