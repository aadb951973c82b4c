//! What stages compute on a graphics device (lavapipe in CI): each loss and every gradient agree with the processor's, and
//! so do logits that are read and written beside a cache. What acts on the processor alone (products of few rows, whole rows
//! of attention, activations in 8 bits) is what these are compared with, or is left out.

use burn::tensor::{Device, Int, Tensor};
use kindling::adapter::{Adapter, AdapterConfig, LoraConfig};
use kindling::batch::{Batch, Rollouts};
use kindling::kernels::{Activations, Quantization};
use kindling::loss::{
    Diffusion, DiffusionSettings, Distill, DistillConfig, Dpo, DpoConfig, Grpo, GrpoConfig, Masking,
    NextToken, Objective, Reference, RowShape,
};
use kindling::model::{Balance, DiffusionConfig, Experts, KvCache, ModelConfig, Transformer, fresh_weights};
use kindling::optim::NamedGradients;
use kindling::random::Random;

use crate::parity::{other_device, relative};
use crate::tiny::{config, values};

const VOCAB: usize = 32;

/// A loss, and each weight's gradient by name.
type Learned = (f32, Vec<(String, Vec<f32>)>);

fn model(config: &ModelConfig, device: &Device) -> Transformer {
    Transformer::init(config, 7, &device.clone().autodiff()).unwrap()
}

/// Another model, which teaches or is compared with.
fn other(device: &Device) -> Transformer {
    Transformer::init(&config(VOCAB), 11, device).unwrap()
}

fn learn(model: &Transformer, objective: &dyn Objective, batch: &Batch) -> Learned {
    let loss = objective.loss(model, batch).sum;
    let mut grads = loss.backward();
    let gradients = NamedGradients::collect(model, &mut grads).into_inner();
    let gradients = gradients.into_iter().map(|(name, gradient)| (name, values(gradient))).collect();
    (values(loss.inner())[0], gradients)
}

fn agree(name: &str, share: f64, here: &Learned, there: &Learned) {
    let apart = f64::from((here.0 - there.0).abs() / here.0.abs().max(1e-3));
    assert!(here.0.is_finite() && apart < share, "{name}: {} {}", here.0, there.0);
    assert_eq!(here.1.len(), there.1.len(), "{name}");
    assert!(!here.1.is_empty(), "{name}: nothing learns");
    for ((weight, a), (_, b)) in here.1.iter().zip(&there.1) {
        // A gradient of zero is one on both.
        let still = a.iter().chain(b).all(|value| value.abs() < 1e-7);
        assert!(still || relative(a, b) < share, "{name}, {weight}: {}", relative(a, b));
    }
}

fn texts() -> Batch {
    let mut batch = Batch::new(6);
    batch.push(&[3, 1, 4, 1, 5, 9, 2], &[0.0, 1.0, 0.5, 0.0, 1.0, 2.0, 1.0], &[1, 1, 1, 2, 2, 2, 2]);
    batch.push(&[6, 5, 3, 5], &[0.0, 0.0, 1.0, 1.0], &[1, 1, 1, 1]);
    batch
}

/// Two answers to each of two questions.
fn answers() -> Batch {
    let mut batch = Batch { group: 2, members: 2, ..Batch::new(6) };
    for (ids, prompt) in
        [(&[3, 1, 4, 1, 5][..], 2), (&[3, 1, 5, 9], 2), (&[6, 5, 3, 5, 8, 2], 3), (&[6, 5, 3, 9], 3)]
    {
        let weights: Vec<f32> = (0..ids.len()).map(|i| f32::from(u8::from(i >= prompt))).collect();
        batch.push(ids, &weights, &vec![1; ids.len()]);
    }
    batch
}

#[test]
fn losses_of_stages_agree_with_the_processor() {
    let Some((device, share)) = other_device() else { return };
    let run = |device: &Device| {
        let model = model(&config(VOCAB), device);
        let frozen = || Reference::frozen(&other(device));
        let rewarded = Rollouts { advantages: vec![1.5, -0.5, -1.0, 0.75], ..Rollouts::default() };
        let rewarded = Batch { rollouts: Some(rewarded), ..answers() };
        let grpo = GrpoConfig { reward: Vec::new(), kl_beta: 0.5, ..GrpoConfig::default() };
        let distill = Distill::new(DistillConfig::default()).with_teacher(&other(device));
        let stages: [(&str, Box<dyn Objective>, Batch); 4] = [
            ("next token", Box::new(NextToken), texts()),
            ("dpo", Box::new(Dpo::new(DpoConfig::default(), frozen())), answers()),
            ("distill", Box::new(distill), texts()),
            ("grpo", Box::new(Grpo::new(grpo, Some(frozen()))), rewarded),
        ];
        stages.map(|(name, objective, batch)| (name, learn(&model, objective.as_ref(), &batch)))
    };
    for ((name, here), (_, there)) in run(&Device::flex()).iter().zip(&run(&device)) {
        agree(name, share, here, there);
    }
}

#[test]
fn hidden_tokens_are_learned_as_on_the_processor() {
    let Some((device, share)) = other_device() else { return };
    for block_length in [None, Some(3)] {
        let diffusion = DiffusionConfig { mask_token_id: 31, block_length, shift_logits: true };
        let config = ModelConfig { diffusion: Some(diffusion), ..config(VOCAB) };
        let masking = Masking { settings: DiffusionSettings::default(), answers: false };
        let shape = RowShape { packed: true, seq_len: 6 };
        let batch = masking.hide(&texts(), shape, &config, &mut Random::new(3, 0), false);
        assert!(batch.noised.is_some());
        let [here, there] = [&Device::flex(), &device]
            .map(|device| learn(&model(&config, device), &Diffusion::new(masking), &batch));
        agree(&format!("blocks of {block_length:?}"), share, &here, &there);
    }
}

#[test]
fn routed_layers_and_adapters_learn_as_on_the_processor() {
    let Some((device, share)) = other_device() else { return };
    let experts = Experts {
        count: 4,
        per_token: 2,
        shared: 1,
        intermediate_size: 12,
        normalize: true,
        layers: vec![true; 2],
        balance: Balance::default(),
    };
    let mixture = ModelConfig { experts: Some(experts), ..config(VOCAB) };
    let routed = |device: &Device| learn(&model(&mixture, device), &NextToken, &texts());
    agree("experts", share, &routed(&Device::flex()), &routed(&device));
    let adapted = |device: &Device| {
        let lora = LoraConfig { rank: 4, ..LoraConfig::default() };
        let base = model(&config(VOCAB), device);
        let adapter = Adapter::init(&base, AdapterConfig { lora, base: None, base_name: None }, 5).unwrap();
        learn(&adapter.attach(base, 1.0).unwrap(), &NextToken, &texts())
    };
    agree("adapter", share, &adapted(&Device::flex()), &adapted(&device));
}

#[test]
fn what_is_read_and_written_beside_a_cache_agrees_with_the_processor() {
    let Some((device, share)) = other_device() else { return };
    // Wide enough for blocks of 32.
    let config = ModelConfig { hidden_size: 32, intermediate_size: 64, head_dim: 8, ..config(VOCAB) };
    for weights in [None, Some(Quantization::Q8_0), Some(Quantization::Q4_0)] {
        let run = |device: &Device| {
            let mut source = fresh_weights(&config, 7);
            let model = match weights {
                Some(bits) => Transformer::build_quantized(&config, bits, device, &mut source),
                None => Transformer::build(&config, device, &mut source),
            };
            let model = model.unwrap().with_activations(Activations::Exact).writing();
            let mut cache = KvCache::new(&config, 2, 16);
            let mut logits = Vec::new();
            for new in [9usize, 3, 1, 1] {
                let ids: Vec<i32> = (0..2 * new).map(|i| ((i * 7 + new) % 31) as i32).collect();
                let ids = Tensor::<1, Int>::from_ints(ids.as_slice(), device).reshape([2, new]);
                logits.extend(values(model.forward_cached(ids, &mut cache, 0..2, false)));
            }
            logits
        };
        let (here, there) = (run(&Device::flex()), run(&device));
        assert_eq!(here.len(), 2 * 14 * VOCAB);
        assert!(relative(&here, &there) < share, "{weights:?}: {}", relative(&here, &there));
    }
}
