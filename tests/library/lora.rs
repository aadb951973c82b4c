//! Low-rank adapters: the path itself, its gradients, what trains and what does not, resume, merge.

use burn::tensor::{Device, Tensor};
use kindling::adapter::{Adapter, AdapterConfig, Fingerprint, LoraConfig};
use kindling::checkpoint::{read_training, run_files};
use kindling::formats::Files;
use kindling::loss::{NextToken, Objective};
use kindling::model::{NamedTensor, Transformer};
use kindling::optim::NamedGradients;
use kindling::random::Random;
use kindling::train::{Run, Stage, TrainConfig};

use crate::tiny::{
    Record, batch, config, job, largest_difference, logits, model, tokenizer, train_config, train_run, values,
};

const ROW: [i32; 6] = [3, 1, 4, 1, 5, 9];

fn settings(lora: LoraConfig) -> AdapterConfig {
    AdapterConfig { lora, base: None, base_name: None }
}

fn fresh(model: &Transformer) -> Adapter {
    let lora = LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() };
    Adapter::init(model, settings(lora), 5).unwrap()
}

/// An adapter whose `B` is not zero, so that it says something.
fn trained(model: &Transformer) -> Adapter {
    let mut adapter = fresh(model);
    let mut random = Random::new(9, 0);
    for tensor in &mut adapter.weights {
        tensor.values.iter_mut().for_each(|value| *value = random.normal() as f32 * 0.1);
    }
    adapter
}

fn built(weights: &[NamedTensor], device: &Device) -> Transformer {
    let find = |name: &str| weights.iter().find(|tensor| tensor.name == name).unwrap();
    Transformer::build(&config(32), device, &mut |name, _| Ok(find(name).values.clone())).unwrap()
}

#[test]
fn a_fresh_adapter_changes_nothing_and_one_of_no_strength_neither() {
    let model = model(&Device::flex());
    let base = logits(&model, &ROW);
    assert_eq!(base, logits(&fresh(&model).attach(model.clone(), 1.0).unwrap(), &ROW));
    let adapted = trained(&model).attach(model.clone(), 1.0).unwrap();
    assert!(largest_difference(&base, &logits(&adapted, &ROW)) > 1e-2);
    assert_eq!(base, logits(&trained(&model).attach(model, 0.0).unwrap(), &ROW));
}

#[test]
fn merged_equals_adapted() {
    let device = Device::flex();
    let model = model(&device);
    let adapter = trained(&model);
    for strength in [1.0, 0.5] {
        let adapted = logits(&adapter.attach(model.clone(), strength).unwrap(), &ROW);
        let mut weights = pollster::block_on(model.weights()).unwrap();
        adapter.merge(&mut weights, strength).unwrap();
        assert!(largest_difference(&adapted, &logits(&built(&weights, &device), &ROW)) < 1e-5);
    }
}

#[test]
fn a_merged_weight_is_the_base_plus_the_scaled_product() {
    // W = 1 everywhere, A = [[1, 2]], B = [[3], [4]], alpha / rank = 2: W + 2·B·A by hand.
    let lora = LoraConfig { rank: 1, alpha: 2.0, targets: vec!["x".into()], ..LoraConfig::default() };
    let tensor = |name: &str, shape: [usize; 2], values: &[f32]| NamedTensor {
        name: name.into(),
        shape: shape.to_vec(),
        values: values.to_vec(),
    };
    let weights = vec![tensor("x.lora.0.a", [1, 2], &[1.0, 2.0]), tensor("x.lora.0.b", [2, 1], &[3.0, 4.0])];
    let mut base = vec![tensor("x.weight", [2, 2], &[1.0; 4])];
    Adapter::new(settings(lora), weights).merge(&mut base, 1.0).unwrap();
    assert_eq!(base[0].values, [7.0, 13.0, 9.0, 17.0]);
}

#[test]
fn the_adapters_gradients_follow_from_those_of_the_dense_weights() {
    // With W' = W + s·A·B: dA = s·dW'·Bᵀ and dB = s·Aᵀ·dW', all in the layout [in, out].
    let device = Device::flex().autodiff();
    let base = model(&device);
    let adapter = trained(&base);
    let adapted = adapter.attach(base.clone(), 1.0).unwrap();
    let gradients = |model: &Transformer| {
        let loss = NextToken.loss(model, &batch()).sum;
        NamedGradients::collect(model, &mut loss.backward()).into_inner()
    };
    let mine = gradients(&adapted);
    assert_eq!(mine.len(), adapter.weights.len(), "nothing but the adapter has gradients");
    let mut weights = pollster::block_on(base.weights()).unwrap();
    adapter.merge(&mut weights, 1.0).unwrap();
    let dense = gradients(&built(&weights, &device));
    let layer = "model.layers.0.mlp.down_proj";
    let find = |all: &[(String, Tensor<1>)], name: String| {
        values(all.iter().find(|(n, _)| *n == name).unwrap().1.clone())
    };
    let dense = find(&dense, format!("{layer}.weight"));
    let of =
        |half: char| adapter.weights.iter().find(|w| w.name == format!("{layer}.lora.0.{half}")).unwrap();
    let (inputs, outputs, rank, scale) = (24, 16, 4, 2.0);
    // The adapter's tensors hold A as [rank, in] and B as [out, rank].
    let (a, b) = (&of('a').values, &of('b').values);
    let da: Vec<f32> = (0..inputs * rank)
        .map(|i| (0..outputs).map(|o| scale * dense[i / rank * outputs + o] * b[o * rank + i % rank]).sum())
        .collect();
    let db: Vec<f32> = (0..rank * outputs)
        .map(|i| {
            (0..inputs).map(|n| scale * a[i / outputs * inputs + n] * dense[n * outputs + i % outputs]).sum()
        })
        .collect();
    assert!(largest_difference(&da, &find(&mine, format!("{layer}.lora.0.a"))) < 1e-4);
    assert!(largest_difference(&db, &find(&mine, format!("{layer}.lora.0.b"))) < 1e-4);
}

fn start(stage: Stage, settings: &TrainConfig, dropout: f64) -> Run {
    let mut job = job(settings.clone(), stage, 23);
    let device = Device::flex().autodiff();
    let model = Transformer::init(&config(job.tokenizer.vocab_size()), 3, &device).unwrap();
    let base = Some(Fingerprint::of(&pollster::block_on(model.weights()).unwrap()));
    let lora = LoraConfig { rank: 4, dropout, ..LoraConfig::default() };
    let adapter = AdapterConfig { base, ..self::settings(lora) };
    job.adapter = Some(Adapter::init(&model, adapter, 1).unwrap());
    job.start(model).unwrap()
}

#[test]
fn only_the_adapter_trains_and_carries_optimizer_state() {
    for (stage, share) in [(Stage::Sft, 0.6), (Stage::Pretrain, 0.9)] {
        let run = start(stage, &TrainConfig { steps: Some(60), ..train_config(stage) }, 0.0);
        let before = pollster::block_on(run.model.weights()).unwrap();
        let mut record = Record::default();
        let outcome = train_run(run, &mut record).unwrap();
        assert_eq!(before, pollster::block_on(outcome.model.weights()).unwrap());
        let losses = record.losses();
        assert!(losses[59] < share * losses[0], "{stage:?}: {} to {}", losses[0], losses[59]);
        let snapshot = record.snapshots.last().unwrap();
        assert_eq!(snapshot.weights.len(), 2 * 7 * 2, "two halves of seven layers in two blocks");
        assert_eq!(snapshot.optimizer.len(), 2 * snapshot.weights.len());
    }
}

#[test]
fn a_resumed_adapter_run_with_dropout_equals_an_uninterrupted_one_bit_for_bit() {
    for stage in [Stage::Sft, Stage::Pretrain] {
        let settings = TrainConfig { steps: Some(10), grad_accum: 2, ..train_config(stage) };
        let mut whole = Record::default();
        train_run(start(stage, &settings, 0.2), &mut whole).unwrap();
        let mut first = Record::default();
        let mut run = start(stage, &settings, 0.2);
        run.stop_after = Some(3);
        let outcome = train_run(run, &mut first).unwrap();
        let shape = outcome.model.config().clone();
        let files = run_files(first.snapshots.last().unwrap(), &shape, &tokenizer()).unwrap();
        let mut second = Record::default();
        train_run(resume(stage, &settings, &files), &mut second).unwrap();
        let losses = [first.losses(), second.losses()].concat();
        assert_eq!(whole.losses(), losses);
        let last = |record: &Record| record.snapshots.last().unwrap().weights.clone();
        assert_eq!(last(&whole), last(&second));
        // Dropout acts: without it the losses are others.
        let mut plain = Record::default();
        train_run(start(stage, &settings, 0.0), &mut plain).unwrap();
        assert_ne!(whole.losses(), plain.losses());
    }
}

fn resume(stage: Stage, settings: &TrainConfig, files: &Files) -> Run {
    let read = |name: &str| Ok(files.get(name).cloned());
    let mut job = job(settings.clone(), stage, 23);
    let model =
        Transformer::init(&config(job.tokenizer.vocab_size()), 3, &Device::flex().autodiff()).unwrap();
    let adapter = Adapter::open(read).unwrap();
    let base = Fingerprint::of(&pollster::block_on(model.weights()).unwrap());
    adapter.config.base.as_ref().unwrap().check(&base, None).unwrap();
    job.adapter = Some(adapter);
    let (optimizer, progress) = read_training(read).unwrap();
    job.resume(model, optimizer, progress).unwrap()
}

#[test]
fn dropout_does_not_depend_on_how_a_batch_is_divided() {
    let settings = |batch_size, grad_accum| TrainConfig {
        batch_size,
        grad_accum,
        steps: Some(6),
        // Packed rows come in the same order whatever the batch size; buckets of equal length do not.
        packing: true,
        ..train_config(Stage::Sft)
    };
    let losses = |settings: &TrainConfig| {
        let mut record = Record::default();
        train_run(start(Stage::Sft, settings, 0.3), &mut record).unwrap();
        record.losses()
    };
    for (big, small) in losses(&settings(4, 1)).iter().zip(losses(&settings(1, 4))) {
        assert!((big - small).abs() < 1e-3 * big, "{big} {small}");
    }
}

#[test]
fn another_base_is_refused() {
    let model = model(&Device::flex());
    let adapter = trained(&model);
    let wider = kindling::model::ModelConfig { hidden_size: 32, ..config(32) };
    let wider = Transformer::init(&wider, 7, &Device::flex()).unwrap();
    let message = adapter.attach(wider, 1.0).unwrap_err().to_string();
    assert!(message.contains("belongs to another base"), "{message}");
    let shallow = kindling::model::ModelConfig { num_hidden_layers: 1, ..config(32) };
    let shallow = Transformer::init(&shallow, 7, &Device::flex()).unwrap();
    let message = adapter.attach(shallow, 1.0).unwrap_err().to_string();
    assert!(message.contains("model.layers.1."), "{message}");
    let lora = LoraConfig { targets: vec!["lm_head".into()], ..LoraConfig::default() };
    let message = Adapter::init(&model, settings(lora), 0).unwrap_err().to_string();
    assert!(message.contains("'lm_head'"), "{message}");
}
