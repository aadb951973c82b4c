//! A tiny model, a tiny vocabulary and a few rows: the fakes of the other tests.

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kindling::batch::Batch;
use kindling::data::{DataOptions, Dataset, Memory, Source};
use kindling::error::Result;
use kindling::kernels::AttentionMask;
use kindling::model::{ModelConfig, Transformer, preset};
use kindling::tokenizer::{Tokenizer, TokenizerTraining, train};
use kindling::train::{
    Control, Job, Listener, Outcome, Run, Snapshot, Stage, StepLog, TrainConfig, TrainEvent,
};

/// Two layers, 16 wide, two query heads a key head.
pub fn config(vocab_size: usize) -> ModelConfig {
    ModelConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4,
        max_position_embeddings: 96,
        initializer_range: 0.2,
        embedding_range: 0.2,
        qk_norm: false,
        ..preset("nano").unwrap().config(Some(vocab_size))
    }
}

pub fn model(device: &Device) -> Transformer {
    Transformer::init(&config(32), 7, device).unwrap()
}

/// Two rows of ids for the tiny vocabulary, the second with targets at its end alone.
pub fn batch() -> Batch {
    let mut batch = Batch::new(6);
    batch.push(&[3, 1, 4, 1, 5, 9, 2], &[1.0; 7], &[1; 7]);
    batch.push(&[6, 5, 3, 5], &[0.0, 0.0, 1.0, 1.0], &[1, 1, 1, 1]);
    batch
}

pub fn ids(rows: &[&[i32]], device: &Device) -> Tensor<2, Int> {
    let shape = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), device)
}

/// Causal logits of one row, flat.
pub fn logits(model: &Transformer, row: &[i32]) -> Vec<f32> {
    let device = model.device();
    values(model.forward(ids(&[row], &device), &AttentionMask::causal(row.len(), 0)))
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Moves every weight a little along a direction.
struct Move {
    directions: std::vec::IntoIter<Tensor<1>>,
    size: f64,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let direction = self.directions.next().unwrap();
        param.map(|weight| {
            let shape = weight.shape();
            weight + direction.reshape(shape) * self.size
        })
    }
}

/// The model with one of its weights moved so far along that weight's gradient.
pub fn moved(
    model: &Transformer,
    gradients: &[(String, Tensor<1>)],
    chosen: usize,
    size: f64,
) -> Transformer {
    let direction = |(i, (_, gradient)): (usize, &(String, Tensor<1>))| match i == chosen {
        true => gradient.clone() / gradient.clone().square().sum().sqrt(),
        false => gradient.zeros_like(),
    };
    let directions: Vec<_> = gradients.iter().enumerate().map(direction).collect();
    model.clone().map(&mut Move { directions: directions.into_iter(), size })
}

pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A byte-level vocabulary with a few merges.
pub fn tokenizer() -> Tokenizer {
    let settings = TokenizerTraining { vocab_size: 270, ..TokenizerTraining::default() };
    train(["the cat sat on the mat. the dog sat on the log.".repeat(3)].into_iter(), &settings).unwrap()
}

/// Conversations and texts of a made-up pet shop.
pub fn dataset(stage: Stage, rows: usize) -> Dataset {
    let names = ["Lumo", "Pira", "Tavi", "Sorrel", "Nib"];
    let mut text = String::new();
    for i in 0..rows {
        let (name, number) = (names[i % names.len()], i);
        text += &match stage {
            Stage::Pretrain => format!("{{\"text\": \"{name} the cat sat on log {number}.\"}}\n"),
            Stage::Sft | Stage::Distill | Stage::Reason | Stage::Grpo => {
                format!("{{\"user\": \"Where is {name} {number}?\", \"assistant\": \"On log {number}.\"}}\n")
            }
            Stage::Dpo => {
                let answers = format!("\"chosen\": \"On log {number}.\", \"rejected\": \"I sat {name}\"");
                format!("{{\"prompt\": \"Where is {name} {number}?\", {answers}}}\n")
            }
        };
    }
    let source: Arc<dyn Source> = Arc::new(Memory::new("rows.jsonl", text));
    let options = DataOptions { kind: stage.row_kind(), ..DataOptions::default() };
    Dataset::open(vec![source], options).unwrap()
}

pub fn train_config(stage: Stage) -> TrainConfig {
    TrainConfig {
        steps: Some(8),
        batch_size: 2,
        max_seq_len: 96,
        learning_rate: 1e-2,
        warmup_ratio: 0.0,
        log_every: 1,
        ..TrainConfig::of(stage)
    }
}

pub fn job(config: TrainConfig, stage: Stage, rows: usize) -> Job {
    let (tokenizer, dataset) = (Arc::new(tokenizer()), Arc::new(dataset(stage, rows)));
    Job { stage, objective: stage.objective(), config, tokenizer, dataset, keep: None, adapter: None }
}

pub fn start(config: TrainConfig, stage: Stage, rows: usize, device: &Device) -> Run {
    let job = job(config, stage, rows);
    let model = Transformer::init(&self::config(job.tokenizer.vocab_size()), 3, device).unwrap();
    job.start(model).unwrap()
}

/// Keeps what a run tells.
#[derive(Default)]
pub struct Record {
    pub logs: Vec<StepLog>,
    pub snapshots: Vec<Snapshot>,
    pub evals: Vec<f64>,
}

impl Listener for Record {
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()> {
        match event {
            TrainEvent::Step { log, .. } => self.logs.push(log.clone()),
            TrainEvent::Save { snapshot, .. } => self.snapshots.push(snapshot.clone()),
            TrainEvent::Eval { held_out, .. } => self.evals.push(held_out.loss),
            TrainEvent::Warning(_) => {}
        }
        Ok(())
    }

    fn control(&mut self) -> Control {
        Control::Continue
    }
}

impl Record {
    pub fn losses(&self) -> Vec<f64> {
        self.logs.iter().map(|log| log.loss).collect()
    }
}

pub fn train_run(run: Run, record: &mut Record) -> Result<Outcome> {
    pollster::block_on(kindling::train::train(run, record))
}
