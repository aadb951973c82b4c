//! The measure of held-out rows beside transformers (tests/golden/held_out/make.py).

use std::f64::consts::LN_2;
use std::sync::Arc;

use burn::tensor::Device;
use kindling::checkpoint::Checkpoint;
use kindling::data::{DataOptions, Dataset, Memory, Source};
use kindling::train::{Stage, TrainConfig, evaluate};
use serde::Deserialize;

use crate::pytorch::read;
use crate::tiny::{job, train_config};

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
        let off = [found.loss * targets / nll - 1.0, found.bits_per_byte.unwrap() * LN_2 * bytes / nll - 1.0];
        assert!(off.iter().all(|off| off.abs() < 1e-5), "{file}: {off:?} off");
    }
}
