//! Mixtures of experts: their gradients, runs with every stage and with adapters, and the forms they are kept in.

use std::f64::consts::LN_2;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kindling::adapter::{Adapter, AdapterConfig, LoraConfig};
use kindling::batch::{Batch, Rollouts};
use kindling::checkpoint::{Checkpoint, from_single_file, read_training, run_files, to_single_file};
use kindling::formats::{Files, MinimindShape, TorchFloat, from_minimind, to_minimind};
use kindling::kernels::AttentionMask;
use kindling::loss::{
    Distill, DistillConfig, Dpo, DpoConfig, Grpo, GrpoConfig, NextToken, Objective, Reference, Routed,
    StepTotals, routed_logits,
};
use kindling::model::{Balance, Experts, ModelConfig, Transformer, preset};
use kindling::optim::NamedGradients;
use kindling::train::{Run, Stage, StepLog, TrainConfig};

use crate::tiny::{
    Record, config, job, largest_difference, logits, moved, tokenizer, train_config, train_run, values,
};

/// All three terms at once, large enough to be seen.
const BALANCE: Balance =
    Balance { aux_loss_alpha: 0.5, seq_aux: true, router_aux_loss_coef: 0.5, router_z_loss_coef: 0.1 };

/// The tiny shape with four experts a layer, of which a token gets two, and one that all get.
fn mixture(vocab_size: usize) -> ModelConfig {
    let experts = Experts {
        count: 4,
        per_token: 2,
        shared: 1,
        intermediate_size: 12,
        normalize: true,
        layers: vec![true; 2],
        balance: Balance { aux_loss_alpha: 0.01, router_aux_loss_coef: 0.01, ..Balance::default() },
    };
    ModelConfig { experts: Some(experts), ..config(vocab_size) }
}

fn batch() -> Batch {
    let mut batch = Batch::new(6);
    batch.push(&[3, 1, 4, 1, 5, 9, 2], &[0.0, 1.0, 0.5, 0.0, 1.0, 2.0, 1.0], &[1, 1, 1, 2, 2, 2, 2]);
    batch.push(&[6, 5, 3, 5], &[0.0, 0.0, 1.0, 1.0], &[1, 1, 1, 1]);
    batch.push(&[2, 7, 1, 8, 2, 8, 1], &[1.0; 7], &[1; 7]);
    batch
}

/// The loss with what the gates add, and the tokens of each expert.
fn loss(model: &Transformer) -> (Tensor<1>, Vec<f32>) {
    let loss = NextToken.loss(model, &batch());
    let routed = loss.routed.unwrap();
    let counts: Vec<Tensor<1>> = routed.uses.iter().map(|own| own.chosen.clone()).collect();
    let added = routed.loss(&counts) * 5.0;
    (loss.sum + added, counts.into_iter().flat_map(values).collect())
}

#[test]
fn the_directional_derivative_of_every_weight_is_right_the_gates_included() {
    let model = Transformer::init(&mixture(32), 7, &Device::flex().autodiff()).unwrap().with_balance(BALANCE);
    let (whole, chosen) = loss(&model);
    let gradients = NamedGradients::collect(&model, &mut whole.backward()).into_inner();
    let plain = model.valid();
    let (mut gates, mut idle) = (0, 0);
    for (number, (name, gradient)) in gradients.iter().enumerate() {
        let norm = f64::from(values(gradient.clone().square().sum().sqrt())[0]);
        if norm < 1e-6 {
            assert!(name.contains(".experts."), "{name} has no gradient");
            idle += 1;
            continue;
        }
        let at = |size: f64| loss(&moved(&plain, &gradients, number, size));
        // Where another expert is chosen the loss jumps, so the way must end before.
        let slope = [1e-2, 3e-3, 1e-3].into_iter().find_map(|size| {
            let ((forth, there), (back, here)) = (at(size), at(-size));
            let same = there == chosen && here == chosen;
            same.then(|| f64::from(values(forth)[0] - values(back)[0]) / (2.0 * size))
        });
        let slope = slope.unwrap_or_else(|| panic!("{name}: no way is short enough"));
        assert!((slope - norm).abs() < 0.02 * norm + 4e-3, "{name}: {slope} against {norm}");
        gates += usize::from(name.ends_with("mlp.gate.weight"));
    }
    assert_eq!(gates, 2);
    assert!(idle <= 6, "most experts get a token");
}

#[test]
fn tokens_that_are_padding_change_nothing_and_packed_rows_are_sequences_of_their_own() {
    let model = Transformer::init(&mixture(32), 7, &Device::flex()).unwrap().with_balance(BALANCE);
    let added = |batches: &[Batch]| {
        let totals = StepTotals::of(1.0, batches);
        let routed: Vec<_> = batches
            .iter()
            .map(|batch| {
                let mask = AttentionMask::segments(&batch.segments, batch.seq, true);
                routed_logits(&model, batch, &mask, &totals).1.unwrap()
            })
            .collect();
        let counts = |layer: usize| routed.iter().map(|r| r.uses[layer].chosen.clone()).reduce(|a, b| a + b);
        let counts: Vec<Tensor<1>> = (0..2).filter_map(counts).collect();
        routed.iter().map(|routed| values(routed.loss(&counts))[0]).sum::<f32>()
    };
    let row = |seq: usize, ids: &[u32], segments: &[u32]| {
        let mut batch = Batch::new(seq);
        batch.push(ids, &vec![1.0; ids.len()], segments);
        batch
    };
    let (a, b) = ([3, 1, 4, 1], [5, 9, 2]);
    let alone = added(&[row(4, &a, &[1; 4]), row(3, &b, &[1; 3])]);
    let padded = added(&[row(9, &a, &[1; 4]), row(9, &b, &[1; 3])]);
    assert!((alone - padded).abs() < 1e-5, "{alone} {padded}");
    // A packed row begins each text at another position, which turns queries and keys alike.
    let packed = added(&[row(7, &[3, 1, 4, 1, 5, 9, 2], &[1, 1, 1, 1, 2, 2, 2])]);
    assert!((alone - packed).abs() < 1e-4, "{alone} {packed}");
}

fn start(stage: Stage, settings: &TrainConfig, dropout: Option<f64>) -> Run {
    let mut job = job(settings.clone(), stage, 23);
    let shape = mixture(job.tokenizer.vocab_size());
    let model = Transformer::init(&shape, 3, &Device::flex().autodiff()).unwrap();
    job.adapter = dropout.map(|dropout| {
        let lora = LoraConfig { rank: 4, dropout, ..LoraConfig::default() };
        Adapter::init(&model, AdapterConfig { lora, base: None, base_name: None }, 1).unwrap()
    });
    job.start(model).unwrap()
}

#[test]
fn every_stage_trains_a_mixture_and_an_adapter_beside_one() {
    for stage in [Stage::Pretrain, Stage::Sft] {
        for dropout in [None, Some(0.0)] {
            let settings = TrainConfig { steps: Some(60), ..train_config(stage) };
            let run = start(stage, &settings, dropout);
            let mut record = Record::default();
            train_run(run, &mut record).unwrap();
            let losses = record.losses();
            let share = if dropout.is_some() { 0.95 } else { 0.7 };
            assert!(losses[59] < share * losses[0], "{stage:?} {dropout:?}: {} to {}", losses[0], losses[59]);
            for log in &record.logs {
                // Two layers; at its smallest the one term is 0.01 and the other twice that, but for what chance allows.
                let aux = log.metrics["aux_loss"];
                assert!((0.03..0.3).contains(&aux), "{aux}");
                assert_eq!(log.expert_load.len(), 2);
                for layer in &log.expert_load {
                    assert!((layer.iter().sum::<f64>() - 4.0).abs() < 1e-6, "{layer:?}");
                }
                let largest = log.expert_load.iter().flatten().copied().fold(0.0, f64::max);
                assert_eq!(log.metrics["expert_load_max"], largest);
            }
            let line = serde_json::to_value(&record.logs[0]).unwrap();
            assert_eq!(line["expert_load"].as_array().unwrap().len(), 2);
        }
    }
}

/// How far apart two ways of dividing a step may be: AdamW's first step is as long for a gradient that is rounding alone,
/// and where such a step turns an expert's choice, a whole row moves.
fn apart(step: usize) -> f64 {
    if step == 0 { 1e-5 } else { 0.05 }
}

#[test]
fn preferences_balance_the_gates_of_what_trains_however_a_step_is_divided() {
    let shape = mixture(tokenizer().vocab_size());
    let train = |adapts: bool, batch_size: usize, grad_accum: usize| {
        let model = Transformer::init(&shape, 3, &Device::flex().autodiff()).unwrap();
        let settings = TrainConfig {
            batch_size,
            grad_accum,
            steps: Some(12),
            packing: false,
            ..train_config(Stage::Dpo)
        };
        // Four rows, so that a step holds the same ones however it is divided.
        let mut job = job(settings, Stage::Dpo, 4);
        let reference = if adapts { Reference::Base } else { Reference::frozen(&model) };
        job.objective = Arc::new(Dpo::new(DpoConfig::default(), reference));
        job.adapter = adapts.then(|| {
            let lora = LoraConfig { rank: 4, ..LoraConfig::default() };
            Adapter::init(&model, AdapterConfig { lora, base: None, base_name: None }, 1).unwrap()
        });
        let mut record = Record::default();
        train_run(job.start(model).unwrap(), &mut record).unwrap();
        record
    };
    for adapts in [false, true] {
        let (big, small) = (train(adapts, 4, 1), train(adapts, 1, 4));
        let losses = big.losses();
        assert!((losses[0] - LN_2).abs() < 1e-6 && losses[11] < 0.95 * LN_2, "{adapts}: {losses:?}");
        for (step, (one, other)) in big.logs.iter().zip(&small.logs).take(4).enumerate() {
            let of = |log: &StepLog| [log.loss, log.metrics["aux_loss"], log.metrics["expert_load_max"]];
            for (one, other) in of(one).into_iter().zip(of(other)) {
                assert!((one - other).abs() < apart(step) * other, "{adapts}, step {step}: {one} {other}");
            }
            assert!((0.03..0.3).contains(&one.metrics["aux_loss"]), "{:?}", one.metrics);
            // Two layers: the reference's own are not counted.
            assert_eq!(one.expert_load.len(), 2);
        }
    }
}

#[test]
fn the_experts_of_a_step_are_counted_without_the_model_that_is_read_beside_it() {
    let model = Transformer::init(&mixture(32), 7, &Device::flex()).unwrap().with_balance(BALANCE);
    let mut pairs = Batch { group: 2, members: 2, ..Batch::new(6) };
    pairs.push(&[3, 1, 4, 1, 5, 9, 2], &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0], &[1; 7]);
    pairs.push(&[3, 1, 4, 5], &[0.0, 0.0, 0.0, 1.0], &[1; 4]);
    let held = Transformer::init(&mixture(32), 8, &Device::flex()).unwrap();
    let frozen = || Reference::frozen(&held);
    let rewarded = Rollouts { advantages: vec![1.0, -1.0], ..Rollouts::default() };
    let answers = Batch { rollouts: Some(rewarded), ..pairs.clone() };
    let objectives: [(Box<dyn Objective>, &Batch); 4] = [
        (Box::new(NextToken), &pairs),
        (Box::new(Dpo::new(DpoConfig::default(), frozen())), &pairs),
        (Box::new(Distill::new(DistillConfig::default()).with_teacher(&held)), &pairs),
        (
            Box::new(Grpo::new(GrpoConfig { reward: Vec::new(), ..GrpoConfig::default() }, Some(frozen()))),
            &answers,
        ),
    ];
    for (number, (objective, batch)) in objectives.iter().enumerate() {
        let totals = StepTotals::of(objective.weight(batch), std::slice::from_ref(*batch));
        let chosen = |routed: Option<Routed>| -> Vec<Vec<f32>> {
            routed.unwrap().uses.iter().map(|own| values(own.chosen.clone())).collect()
        };
        let counted = chosen(objective.routed(&model, batch, &totals));
        assert_eq!(counted, chosen(objective.part_loss(&model, batch, &totals).routed), "{number}");
        assert_eq!(counted[0].iter().sum::<f32>(), 2.0 * batch.tokens() as f32, "{number}");
    }
}

#[test]
fn distillation_balances_the_gates_of_the_student_however_a_step_is_divided() {
    let shape = mixture(tokenizer().vocab_size());
    let teacher = Transformer::init(&shape, 9, &Device::flex()).unwrap();
    let train = |alpha: Option<f64>, batch_size: usize, grad_accum: usize| {
        let stage = if alpha.is_some() { Stage::Distill } else { Stage::Sft };
        let settings = TrainConfig {
            batch_size,
            grad_accum,
            steps: Some(3),
            learning_rate: 1e-3,
            packing: false,
            ..train_config(Stage::Sft)
        };
        let mut job = job(settings, stage, 4);
        if let Some(alpha) = alpha {
            let distill = DistillConfig { alpha, ..DistillConfig::default() };
            job.objective = Arc::new(Distill::new(distill).with_teacher(&teacher));
        }
        let mut record = Record::default();
        let model = Transformer::init(&shape, 3, &Device::flex().autodiff()).unwrap();
        train_run(job.start(model).unwrap(), &mut record).unwrap();
        record
    };
    let of = |log: &StepLog| [log.loss, log.metrics["aux_loss"], log.metrics["expert_load_max"]];
    let plain = train(None, 4, 1);
    for alpha in [0.0, 0.5, 1.0] {
        let (big, small) = (train(Some(alpha), 4, 1), train(Some(alpha), 1, 4));
        for (step, (one, other)) in big.logs.iter().zip(&small.logs).enumerate() {
            for (one, other) in of(one).into_iter().zip(of(other)) {
                assert!((one - other).abs() < apart(step) * other, "{alpha}, step {step}: {one} {other}");
            }
            // Two layers: the teacher's own are not counted.
            assert_eq!(one.expert_load.len(), 2);
        }
        // Before the first step the gates are those of fine-tuning, whatever is learned from.
        let (taught, tuned) = (of(&big.logs[0]), of(&plain.logs[0]));
        assert!(
            (taught[1] - tuned[1]).abs() < 1e-6 && taught[2] == tuned[2],
            "{alpha}: {taught:?} {tuned:?}"
        );
        assert!((0.03..0.3).contains(&taught[1]), "{taught:?}");
        if alpha == 1.0 {
            assert_eq!(
                plain.logs.iter().map(of).collect::<Vec<_>>(),
                big.logs.iter().map(of).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn a_resumed_mixture_equals_an_uninterrupted_one_bit_for_bit() {
    let settings = TrainConfig { steps: Some(10), grad_accum: 2, ..train_config(Stage::Sft) };
    let mut whole = Record::default();
    train_run(start(Stage::Sft, &settings, None), &mut whole).unwrap();
    let mut first = Record::default();
    let mut run = start(Stage::Sft, &settings, None);
    run.stop_after = Some(3);
    let shape = train_run(run, &mut first).unwrap().model.config().clone();
    let files = run_files(first.snapshots.last().unwrap(), &shape, &tokenizer()).unwrap();
    let read = |name: &str| Ok(files.get(name).cloned());
    let model = Checkpoint::open(read).unwrap().model(&Device::flex().autodiff()).unwrap();
    assert_eq!(model.config().experts, shape.experts, "the balance is kept with the model");
    let (optimizer, progress) = read_training(read).unwrap();
    let mut second = Record::default();
    let run = job(settings, Stage::Sft, 23).resume(model, optimizer, progress).unwrap();
    train_run(run, &mut second).unwrap();
    assert_eq!(whole.losses(), [first.losses(), second.losses()].concat());
    let last = |record: &Record| record.snapshots.last().unwrap().weights.clone();
    assert_eq!(last(&whole), last(&second));
}

#[test]
fn dropout_in_the_adapters_of_experts_does_not_depend_on_how_a_step_is_divided() {
    let losses = |batch_size: usize, grad_accum: usize| {
        let settings =
            TrainConfig { batch_size, grad_accum, steps: Some(4), packing: true, ..train_config(Stage::Sft) };
        let mut record = Record::default();
        train_run(start(Stage::Sft, &settings, Some(0.3)), &mut record).unwrap();
        record.losses()
    };
    for (big, small) in losses(4, 1).iter().zip(losses(1, 4)) {
        assert!((big - small).abs() < 1e-3 * big, "{big} {small}");
    }
}

/// A preset of a few numbers a layer.
fn small(name: &str) -> ModelConfig {
    let config = preset(name).unwrap().config(Some(32));
    let experts = config.experts.clone().map(|experts| Experts {
        intermediate_size: 12,
        layers: vec![true; 2],
        ..experts
    });
    ModelConfig {
        hidden_size: 16,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4,
        max_position_embeddings: 96,
        initializer_range: 0.2,
        embedding_range: 0.2,
        experts,
        ..config
    }
}

#[test]
fn the_presets_are_saved_opened_and_exported_as_they_are() {
    let row = [3, 1, 4, 1, 5, 9, 2, 6];
    for (name, class) in [
        ("minimind2-moe", "KindlingForCausalLM"),
        ("minimind-v1-moe", "KindlingForCausalLM"),
        ("minimind3-moe", "Qwen3MoeForCausalLM"),
    ] {
        let shape = small(name);
        let model = Transformer::init(&shape, 5, &Device::flex()).unwrap();
        let expected = logits(&model, &row);
        let weights = pollster::block_on(model.weights()).unwrap();
        let files = kindling::formats::directory_files(&shape, &weights, None).unwrap();
        assert!(String::from_utf8_lossy(&files["config.json"]).contains(class), "{name}");
        let same = |files: &Files, form: &str| {
            let opened = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
            assert_eq!(opened.warnings, [""; 0], "{name} as {form}");
            assert_eq!(opened.config.experts, shape.experts, "{name} as {form}");
            let found = logits(&opened.model(&Device::flex()).unwrap(), &row);
            assert!(largest_difference(&found, &expected) < 1e-6, "{name} as {form}");
        };
        same(&files, "directory");
        same(&from_single_file(&to_single_file(&files).unwrap()).unwrap(), "single file");
        let pth = to_minimind(&files, TorchFloat::F32).unwrap();
        same(&from_minimind(&pth, &MinimindShape::from(&shape)).unwrap(), "MiniMind's .pth");
    }
}

#[test]
fn what_minimind_itself_wrote_is_computed_as_minimind_does() {
    let shape = small("minimind3-moe");
    let model = Transformer::init(&shape, 5, &Device::flex()).unwrap();
    let weights = pollster::block_on(model.weights()).unwrap();
    let files = kindling::formats::directory_files(&shape, &weights, None).unwrap();
    let pth = to_minimind(&files, TorchFloat::F32).unwrap();
    let opened = |told: &MinimindShape| {
        let files = from_minimind(&pth, told).unwrap();
        Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap().config.experts.unwrap()
    };
    let experts = opened(&MinimindShape::default());
    assert!(experts.normalize && experts.per_token == 1 && experts.balance.router_aux_loss_coef == 5e-4);
    assert!(!opened(&MinimindShape::from(&shape)).normalize, "told otherwise, it is otherwise");
}
