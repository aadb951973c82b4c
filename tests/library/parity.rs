//! The same tiny models on the processor and on a graphics device (lavapipe in CI): forward, every gradient, and twenty
//! training steps agree.

use burn::tensor::{Device, Int, Tensor};
use kindling::batch::Batch;
use kindling::kernels::{Quantization, QuantizedMatrix};
use kindling::loss::{NextToken, Objective};
use kindling::model::{Transformer, preset};
use kindling::optim::{AdamW, AdamWConfig, NamedGradients};

use crate::tiny::values;

/// How far devices may be apart, relatively.
const EXACT: f64 = 1e-3;
/// Burn multiplies matrices of f32 in TF32 on NVIDIA's newer cards, where that is fastest: 10 bits behind the point.
const TF32: f64 = 5e-3;

/// The device that `KINDLING_PARITY` names (wgpu, vulkan, cuda), where this build and machine have it, and how far it
/// may be from the processor.
pub fn other_device() -> Option<(Device, f64)> {
    let Ok(name) = std::env::var("KINDLING_PARITY") else {
        eprintln!("SKIPPED: parity: KINDLING_PARITY names no device to compare with (wgpu, vulkan or cuda)");
        return None;
    };
    let choice = name.parse().unwrap();
    match kindling::device::OpenDevice::open(choice) {
        Ok(open) => Some((open.device, if name.starts_with("cuda") { TF32 } else { EXACT })),
        Err(error) => panic!("KINDLING_PARITY={name}: {error}"),
    }
}

fn model(device: &Device) -> Transformer {
    let mut config = preset("nano").unwrap().config(Some(64));
    (config.hidden_size, config.intermediate_size, config.num_hidden_layers) = (32, 64, 2);
    (config.head_dim, config.max_position_embeddings) = (8, 32);
    Transformer::init(&config, 11, device).unwrap()
}

fn batch(seed: u32) -> Batch {
    let mut batch = Batch::new(16);
    for row in 0..2u32 {
        let ids: Vec<u32> = (0..17).map(|i| (i * 7 + row * 13 + seed * 5 + i * i) % 64).collect();
        let segments: Vec<u32> = (0..17).map(|i| if row == 1 && i >= 9 { 2 } else { 1 }).collect();
        batch.push(&ids, &[1.0; 17], &segments);
    }
    batch
}

/// The norm of the difference, as a share of the first one's.
pub fn relative(a: &[f32], b: &[f32]) -> f64 {
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    difference / norm(&mut a.iter().map(|&a| f64::from(a))).max(1e-12)
}

/// A weight's name and its gradient.
type NamedValues = (String, Vec<f32>);

/// Loss and gradients of the first batch, then the losses of twenty steps.
fn run(device: &Device) -> (f32, Vec<NamedValues>, Vec<f32>) {
    let mut model = model(&device.clone().autodiff());
    let loss = NextToken.loss(&model, &batch(0)).sum;
    let gradients = NamedGradients::collect(&model, &mut loss.backward()).into_inner();
    let gradients = gradients.into_iter().map(|(name, gradient)| (name, values(gradient))).collect();
    let first = values(loss.inner())[0];
    let mut optimizer = AdamW::new(AdamWConfig::default());
    let mut losses = Vec::new();
    for step in 0..20 {
        let batch = batch(step % 3);
        let loss = NextToken.loss(&model, &batch).sum / batch.weight();
        let mut grads = loss.backward();
        let gradients = NamedGradients::collect(&model, &mut grads);
        let norm = gradients.norm().unwrap();
        model = optimizer.step(model, gradients.clip(&norm, 1.0), 1e-3);
        losses.push(values(loss.inner())[0]);
    }
    (first, gradients, losses)
}

#[test]
fn every_family_computes_what_transformers_does() {
    let Some((device, share)) = other_device() else { return };
    for (name, found, expected) in crate::families::answers(&device) {
        assert!(relative(&expected, &found) < share, "{name}: {}", relative(&expected, &found));
    }
}

#[test]
fn matrices_in_few_bits_agree_with_the_processor() {
    let Some((device, _)) = other_device() else { return };
    let table: Vec<f32> = (0..40 * 64).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    for bits in [Quantization::Q8_0, Quantization::Q4_0] {
        let [here, there] = [&Device::flex(), &device].map(|device| {
            let matrix = QuantizedMatrix::new(&table, [40, 64], bits, device).unwrap();
            let ids = Tensor::<2, Int>::from_ints([[3, 39, 0]], device);
            let rows = matrix.rows(ids);
            let products = matrix.multiply(rows.clone().reshape([3, 64]));
            (values(matrix.dense(device)), values(rows), values(products))
        });
        assert_eq!((&here.0, &here.1), (&there.0, &there.1), "{bits:?}");
        assert!(relative(&here.2, &there.2) < 1e-5, "{bits:?}");
    }
}

#[test]
fn attention_in_blocks_agrees_with_the_processor() {
    let Some((device, share)) = other_device() else { return };
    let [here, there] = [&Device::flex(), &device].map(crate::long_rows::in_blocks);
    for (mask, (here, there)) in here.iter().zip(&there).enumerate() {
        for (here, there) in here.iter().zip(there) {
            assert!(relative(here, there) < share, "mask {mask}: {}", relative(here, there));
        }
    }
}

#[test]
fn forward_gradients_and_twenty_steps_agree_with_the_processor() {
    let Some((device, share)) = other_device() else { return };
    let (loss, gradients, losses) = run(&Device::flex());
    let (other_loss, other_gradients, other_losses) = run(&device);
    assert!(f64::from((loss - other_loss).abs() / loss) < share, "{loss} {other_loss}");
    assert_eq!(gradients.len(), other_gradients.len());
    for ((name, a), (_, b)) in gradients.iter().zip(&other_gradients) {
        assert!(relative(a, b) < share, "{name}: {}", relative(a, b));
    }
    assert!(losses[19] < losses[0]);
    for (step, (a, b)) in losses.iter().zip(&other_losses).enumerate() {
        assert!(f64::from((a - b).abs() / a) < share, "step {step}: {a} {b}");
    }
}
