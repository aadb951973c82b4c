//! Rows longer than those of pretraining: attention in blocks of queries, and stretched rotary positions.

use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use kindling::batch::Batch;
use kindling::kernels::{AttentionBlocks, AttentionMask, attend_in_blocks, attend_rows, masked_softmax};
use kindling::loss::{NextToken, Objective};
use kindling::model::{KvCache, ModelConfig, RopeScaling, RopeSettings, ScalingKind, Transformer, preset};
use kindling::optim::NamedGradients;
use kindling::train::Stage;
use serde::Deserialize;

use crate::tiny::{self, Record, ids, largest_difference, train_config, train_run, values};

const SCALE: f64 = 0.3;

/// Numbers that look random and are the same everywhere.
fn numbers(shape: [usize; 4], seed: usize, (dtype, device): (DType, &Device)) -> Tensor<4> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|i| ((i * 37 + seed * 101 + i * i % 13) % 97) as f32 / 24.0 - 2.0).collect();
    Tensor::<4>::from_data(TensorData::new(values, shape), device).cast(dtype)
}

/// Attention over all queries at once, as short rows have it.
fn whole([q, k, v]: [Tensor<4>; 3], mask: &AttentionMask) -> Tensor<4> {
    let ([batch, heads, queries, width], [_, kv_heads, keys, _]) = (q.dims(), k.dims());
    let q = q.reshape([batch, kv_heads, heads / kv_heads * queries, width]);
    let scores = q.matmul(k.swap_dims(2, 3)).reshape([batch, heads, queries, keys]);
    let weights = masked_softmax(scores, SCALE, mask);
    let weights = weights.reshape([batch, kv_heads, heads / kv_heads * queries, keys]);
    weights.matmul(v).reshape([batch, heads, queries, width])
}

/// The output and the gradients of queries, keys and values; the output is weighted, so that no gradient is even.
fn run(
    shapes: [[usize; 4]; 2],
    place: (DType, &Device),
    attend: impl Fn([Tensor<4>; 3]) -> Tensor<4>,
) -> [Vec<f32>; 4] {
    let input = |shape, seed| numbers(shape, seed, place).require_grad();
    let inputs = [input(shapes[0], 1), input(shapes[1], 2), input(shapes[1], 3)];
    let y = attend(inputs.clone());
    let weights = numbers(y.dims(), 4, place);
    let grads = (y.clone() * weights).sum().backward();
    let [q, k, v] = inputs.map(|input| values(input.grad(&grads).unwrap()));
    [values(y), q, k, v]
}

/// Attention of whole rows in one operation, which keeps positions before heads.
fn in_rows(inputs: [Tensor<4>; 3], mask: &AttentionMask, again: Option<usize>) -> Tensor<4> {
    let [q, k, v] = inputs.map(|input| input.swap_dims(1, 2));
    attend_rows([&q, &k, &v], SCALE, mask, again).expect("the processor has it in f32").swap_dims(1, 2)
}

fn masks(batch: usize, queries: usize, keys: usize) -> Vec<AttentionMask> {
    let past = keys - queries;
    let starts: Vec<usize> = (0..batch).map(|row| past - row.min(past)).collect();
    let mut masks = vec![
        AttentionMask::bidirectional(),
        AttentionMask::causal(queries, past),
        AttentionMask::causal_window(queries, past, 4),
        AttentionMask::causal_rows(&starts, queries, None),
    ];
    if past == 0 {
        // Documents of five tokens that begin elsewhere in each row, and one token of padding.
        let segment = |row: usize, at: usize| if at + 2 > keys { 0 } else { 1 + (at + row) / 5 };
        let segments: Vec<u32> = (0..batch * keys).map(|i| segment(i / keys, i % keys) as u32).collect();
        masks.push(AttentionMask::segments(&segments, keys, true));
        masks.push(AttentionMask::segments(&segments, keys, false));
        // The first third, and the last two of what stands before.
        let first = |query: u32| 1 + query / 3;
        let second = |query: u32| (first(query).max(query.saturating_sub(1)), query + 1);
        let two = |query: usize| [(0, first(query as u32)), second(query as u32)];
        masks.push(AttentionMask::two_runs((0..queries).map(two).collect()));
    }
    masks
}

#[test]
fn in_blocks_attention_and_its_gradients_are_those_of_the_whole() {
    let device = Device::flex().autodiff();
    // Batch, query heads, key heads, queries, keys, width, queries of a block: with a shorter last one, or none.
    for [batch, heads, kv_heads, queries, keys, width, block] in [
        [2, 4, 2, 23, 23, 8, 5],
        [1, 6, 1, 16, 16, 4, 8],
        [3, 2, 2, 7, 12, 6, 3],
        [2, 4, 4, 9, 9, 2, 1],
        [1, 2, 1, 6, 6, 4, 99],
    ] {
        let shapes = [[batch, heads, queries, width], [batch, kv_heads, keys, width]];
        for (i, mask) in masks(batch, queries, keys).iter().enumerate() {
            // Slices on the processor take f32; f64 goes the way that graphics devices go.
            for dtype in [DType::F32, DType::F64] {
                let place = (dtype, &device);
                let expected = run(shapes, place, |inputs| whole(inputs, mask));
                let found = run(shapes, place, |inputs| {
                    attend_in_blocks(inputs, SCALE, mask, block).expect("this graph takes our operations")
                });
                for (found, expected) in found.iter().zip(&expected) {
                    let scale = expected.iter().fold(1f32, |largest, x| largest.max(x.abs()));
                    let off = largest_difference(found, expected);
                    assert!(
                        off < 3e-6 * scale,
                        "{shapes:?}, blocks of {block}, mask {i}, {dtype:?}: {off} of {scale}"
                    );
                }
            }
        }
    }
}

#[test]
fn one_operation_for_whole_rows_gives_the_same_and_its_gradients() {
    let (graph, plain) = (Device::flex().autodiff(), Device::flex());
    // With more queries than a block of those that keep their weights has, with fewer, and with keys before the first.
    for [batch, heads, kv_heads, queries, keys, width] in
        [[2, 4, 2, 131, 131, 8], [3, 3, 3, 9, 9, 6], [2, 6, 1, 5, 17, 4], [1, 2, 2, 1, 1, 2]]
    {
        let shapes = [[batch, heads, queries, width], [batch, kv_heads, keys, width]];
        for (i, mask) in masks(batch, queries, keys).iter().enumerate() {
            let place = (DType::F32, &graph);
            let expected = run(shapes, place, |inputs| whole(inputs, mask));
            for again in [None, Some(3), Some(200)] {
                let found = run(shapes, place, |inputs| in_rows(inputs, mask, again));
                for (found, expected) in found.iter().zip(&expected) {
                    let scale = expected.iter().fold(1f32, |largest, x| largest.max(x.abs()));
                    let off = largest_difference(found, expected);
                    assert!(off < 3e-6 * scale, "{shapes:?}, {again:?}, mask {i}: {off} of {scale}");
                }
                let input = |shape, seed| numbers(shape, seed, (DType::F32, &plain));
                let inputs = [input(shapes[0], 1), input(shapes[1], 2), input(shapes[1], 3)];
                assert_eq!(values(in_rows(inputs, mask, again)), found[0], "{again:?}, mask {i}");
            }
        }
    }
    let double = numbers([1, 2, 3, 4], 1, (DType::F64, &plain));
    assert!(attend_rows([&double; 3], SCALE, &AttentionMask::causal(3, 0), None).is_none());
}

/// Output and gradients in blocks of five on a device, under every kind of mask.
pub fn in_blocks(device: &Device) -> Vec<[Vec<f32>; 4]> {
    let (shapes, graph) = ([[2, 4, 23, 8], [2, 2, 23, 8]], device.clone().autodiff());
    let attend = |mask: &AttentionMask| {
        run(shapes, (DType::F32, &graph), |inputs| {
            attend_in_blocks(inputs, SCALE, mask, 5).expect("this graph takes our operations")
        })
    };
    masks(2, 23, 23).iter().map(attend).collect()
}

#[test]
fn without_a_graph_blocks_give_the_same() {
    let device = Device::flex();
    for dtype in [DType::F32, DType::F64] {
        let input = |heads, seed| numbers([2, heads, 11, 8], seed, (dtype, &device));
        let [q, k, v] = [input(4, 1), input(2, 2), input(2, 3)];
        let mask = AttentionMask::causal(11, 0);
        let expected = values(whole([q.clone(), k.clone(), v.clone()], &mask));
        let found = values(attend_in_blocks([q, k, v], SCALE, &mask, 4).unwrap());
        assert!(largest_difference(&found, &expected) < 2e-6);
    }
}

fn packed() -> Batch {
    let mut batch = Batch::new(13);
    batch.push(
        &[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7],
        &[0.0, 1.0, 0.5, 0.0, 1.0, 2.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        &[1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3],
    );
    batch.push(&[6, 5, 3, 5], &[0.0, 0.0, 1.0, 1.0], &[1, 1, 1, 1]);
    batch
}

#[test]
fn a_models_loss_and_gradients_do_not_depend_on_blocks() {
    let model = tiny::model(&Device::flex().autodiff());
    let of = |blocks: AttentionBlocks| {
        let model = model.clone().with_attention_blocks(blocks);
        let loss = NextToken.loss(&model, &packed()).sum;
        let value = values(loss.clone())[0];
        (value, NamedGradients::collect(&model, &mut loss.backward()).into_inner())
    };
    let (loss, gradients) = of(AttentionBlocks::Whole);
    for block in [1, 4, 6, 64] {
        let (other, others) = of(AttentionBlocks::Of(block));
        assert!((loss - other).abs() < 1e-6 * loss.abs(), "blocks of {block}: {loss} {other}");
        for ((name, expected), (_, found)) in gradients.iter().zip(others) {
            let (expected, found) = (values(expected.clone()), values(found));
            let scale = expected.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            assert!(largest_difference(&found, &expected) <= 1e-5 * scale, "{name}, blocks of {block}");
        }
    }
}

#[test]
fn a_prompt_is_read_the_same_in_blocks_behind_a_past_too() {
    let device = Device::flex();
    let row: Vec<i32> = (0..21).map(|i| (i * 7 + i * i) % 32).collect();
    let read = |blocks: AttentionBlocks| {
        let model = tiny::model(&device).with_attention_blocks(blocks);
        let mut cache = KvCache::new(model.config(), 1, 32);
        let first = values(model.forward_cached(ids(&[&row[..8]], &device), &mut cache, 0..1, false));
        [first, values(model.forward_cached(ids(&[&row[8..]], &device), &mut cache, 0..1, false))].concat()
    };
    let off = largest_difference(&read(AttentionBlocks::Of(3)), &read(AttentionBlocks::Whole));
    assert!(off < 1e-5, "{off}");
}

#[test]
fn attention_that_drops_weights_draws_the_same_numbers() {
    let losses = |blocks: AttentionBlocks| {
        let job = tiny::job(train_config(Stage::Sft), Stage::Sft, 8);
        let shape = tiny::config(job.tokenizer.vocab_size());
        let shape = ModelConfig { attention_dropout: 0.5, ..shape };
        let model = Transformer::init(&shape, 3, &Device::flex().autodiff()).unwrap();
        let mut record = Record::default();
        train_run(job.start(model.with_attention_blocks(blocks)).unwrap(), &mut record).unwrap();
        record.losses()
    };
    assert_eq!(losses(AttentionBlocks::Of(4)), losses(AttentionBlocks::Whole));
}

#[derive(Deserialize)]
struct Stretched {
    kind: String,
    factor: f64,
    original: usize,
    length: usize,
    positions: usize,
    frequencies: Vec<f64>,
    attention_factor: f64,
}

#[derive(Deserialize)]
struct Golden {
    head_dim: usize,
    theta: f64,
    rows: Vec<Stretched>,
}

#[test]
fn stretched_positions_turn_as_those_of_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/rope_scaling.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(golden.rows.len() > 30);
    for row in golden.rows {
        let kinds = [ScalingKind::Linear, ScalingKind::Dynamic, ScalingKind::Yarn, ScalingKind::Llama3];
        let kind = kinds.into_iter().find(|kind| kind.name() == row.kind).unwrap();
        let said = RopeSettings { rope_scaling: Some(kind), rope_factor: Some(row.factor) };
        let plain = ModelConfig {
            head_dim: golden.head_dim,
            rope_theta: golden.theta,
            max_position_embeddings: row.original,
            ..preset("nano").unwrap().config(None)
        };
        let (config, _) = said.shape(plain, None).unwrap();
        let name = format!("{} × {} at {}", row.kind, row.factor, row.length);
        assert_eq!(config.max_position_embeddings, row.positions, "{name}");
        assert_eq!(config.context(), (row.factor * row.original as f64) as usize, "{name}");
        let (found, factor) = config.rope_scaling.frequencies(golden.head_dim, golden.theta, row.length);
        assert!((factor - row.attention_factor).abs() < 1e-9, "{name}: {factor}");
        assert_eq!(found.len(), row.frequencies.len());
        for (found, expected) in found.iter().zip(&row.frequencies) {
            assert!((found - expected).abs() < 3e-6 * expected, "{name}: {found} {expected}");
        }
    }
}

#[test]
fn dynamic_positions_follow_the_length_of_what_is_read() {
    let device = Device::flex();
    let mut config = tiny::config(32);
    config.max_position_embeddings = 16;
    config.rope_scaling = RopeScaling::Dynamic { factor: 2.0, original: 16 };
    let model = Transformer::init(&config, 7, &device).unwrap();
    let row: Vec<i32> = (0..24).map(|i| (i * 7 + i * i) % 32).collect();
    let mut cache = KvCache::new(&config, 1, 32);
    let mut step =
        |tokens: &[i32]| values(model.forward_cached(ids(&[tokens], &device), &mut cache, 0..1, true));
    let mut one_by_one = |tokens: &[i32]| {
        let mut logits = Vec::new();
        for token in tokens {
            logits = step(&[*token]);
        }
        logits
    };
    // Up to the positions of pretraining nothing is stretched, and one token at a time is as all of them.
    let stepped = one_by_one(&row[..16]);
    let plain = ModelConfig { rope_scaling: RopeScaling::Default, ..config.clone() };
    let plain = Transformer::init(&plain, 7, &device).unwrap();
    let last = |logits: Vec<f32>| logits[logits.len() - 32..].to_vec();
    assert!(largest_difference(&stepped, &last(tiny::logits(&plain, &row[..16]))) < 1e-5);
    // A text that is read in pieces turns as one that is read at once.
    let mut pieces = KvCache::new(&config, 1, 32);
    pieces.expect(0, 24);
    model.forward_cached(ids(&[&row[..10]], &device), &mut pieces, 0..1, true);
    let in_pieces = values(model.forward_cached(ids(&[&row[10..]], &device), &mut pieces, 0..1, true));
    assert!(largest_difference(&in_pieces, &last(tiny::logits(&model, &row))) < 1e-5);
    // Behind them a text that is read whole turns all positions by its own length, and what is cached stays as it was.
    let stepped = one_by_one(&row[16..]);
    let at_once = last(tiny::logits(&model, &row));
    assert!(largest_difference(&stepped, &at_once) > 1e-5);
    assert!(largest_difference(&at_once, &last(tiny::logits(&plain, &row))) > 1e-5);
}
