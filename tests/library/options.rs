//! Options of every stage: noise on the embeddings and dropout, Muon, averaged weights, and activations that
//! are computed again.

use std::f64::consts::LN_2;

use burn::module::Module;
use burn::tensor::{DType, Device};
use kindling::adapter::{Adapter, AdapterConfig, LoraConfig};
use kindling::batch::Batch;
use kindling::kernels::AttentionBlocks;
use kindling::loss::{Dpo, DpoConfig, NextToken, Objective, Reference};
use kindling::model::{ActivationCheckpointing, Balance, Experts, ModelConfig, NamedTensor, Transformer};
use kindling::optim::LrSchedule;
use kindling::train::{Replay, Stage, TrainConfig, TrainOptions, replay};

use crate::tiny::{
    Record, config, job, largest_difference, start, tokenizer, train_config, train_run, values,
};
use crate::training::run_with_stops;

const STRATEGIES: [ActivationCheckpointing; 7] = [
    ActivationCheckpointing::WholeLayer,
    ActivationCheckpointing::OneInTwo,
    ActivationCheckpointing::OneInThree,
    ActivationCheckpointing::OneInFour,
    ActivationCheckpointing::TwoInThree,
    ActivationCheckpointing::ThreeInFour,
    ActivationCheckpointing::FineGrained,
];

fn device() -> Device {
    Device::flex().autodiff()
}

/// Five layers; with experts each balanced over a step, which ties all of its parts together.
fn deep(experts: bool) -> ModelConfig {
    let experts = experts.then(|| Experts {
        count: 4,
        per_token: 2,
        shared: 1,
        intermediate_size: 8,
        normalize: true,
        layers: vec![true; 5],
        balance: Balance { router_aux_loss_coef: 0.3, router_z_loss_coef: 0.05, ..Balance::default() },
    });
    ModelConfig { num_hidden_layers: 5, experts, tie_word_embeddings: true, ..config(32) }
}

fn model(experts: bool) -> Transformer {
    Transformer::init(&deep(experts), 5, &device()).unwrap()
}

fn adapter(model: &Transformer) -> Adapter {
    let lora = LoraConfig { rank: 4, dropout: 0.1, ..LoraConfig::default() };
    Adapter::init(model, AdapterConfig { lora, base: None, base_name: None }, 1).unwrap()
}

/// Rows of unequal length, in batches of their own, or all in one.
fn batches(together: bool) -> Vec<Batch> {
    let row = |batch: &mut Batch, i: u32| {
        let length = [7, 4, 6, 5][i as usize];
        let ids: Vec<u32> = (0..length).map(|place| (place * 7 + i * 11 + place * place) % 32).collect();
        batch.push(&ids, &vec![1.0; ids.len()], &vec![1; ids.len()]);
    };
    if together {
        let mut all = Batch::new(6);
        (0..4).for_each(|i| row(&mut all, i));
        return vec![all];
    }
    let alone = |i: u32| {
        let mut batch = Batch::new(6);
        row(&mut batch, i);
        batch
    };
    (0..4).map(alone).collect()
}

fn settings(options: TrainOptions) -> TrainConfig {
    TrainConfig {
        learning_rate: 1e-3,
        lr_schedule: LrSchedule::Constant,
        grad_clip: 0.0,
        options,
        ..train_config(Stage::Sft)
    }
}

/// Steps on the same rows, on so many threads.
fn steps(model: Transformer, adapts: bool, options: TrainOptions, together: bool, threads: usize) -> Replay {
    let (config, steps) = (settings(options), vec![batches(together); 2]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(move || {
        let adapter = adapts.then(|| adapter(&model));
        pollster::block_on(replay(model, adapter.as_ref(), &NextToken, &config, &steps)).unwrap()
    })
}

fn noisy() -> TrainOptions {
    TrainOptions { neftune: 5.0, dropout: Some(0.2), ..TrainOptions::default() }
}

fn weights(model: &Transformer) -> Vec<f32> {
    pollster::block_on(model.weights()).unwrap().into_iter().flat_map(|tensor| tensor.values).collect()
}

#[test]
fn every_strategy_of_checkpointing_gives_the_gradients_of_none() {
    use DType::{BF16, F32};
    // In 16 bits gates are f32 all the same.
    let kinds = [(false, false, F32), (true, false, F32), (false, true, F32), (true, false, BF16)];
    for (experts, adapts, dtype) in kinds {
        let run = |activation_checkpointing, threads| {
            let options = TrainOptions { activation_checkpointing, ..noisy() };
            steps(model(experts).with_dtype(dtype), adapts, options, true, threads)
        };
        let apart = if dtype == F32 { 1e-6 } else { 0.02 };
        for threads in [1, 2] {
            let kept = run(ActivationCheckpointing::None, threads);
            for strategy in STRATEGIES {
                let found = run(strategy, threads);
                let what = format!("{strategy:?}, {experts} {adapts} {dtype:?}, {threads} threads");
                for (found, kept) in [(&found.losses, &kept.losses), (&found.grad_norms, &kept.grad_norms)] {
                    for (found, kept) in found.iter().zip(kept) {
                        assert!((found - kept).abs() < apart * kept.abs().max(1.0), "{what}: {found} {kept}");
                    }
                }
            }
        }
    }
}

#[test]
fn on_one_thread_the_weights_of_checkpointed_steps_are_those_of_none() {
    let run = |activation_checkpointing| {
        let options = TrainOptions { activation_checkpointing, ..noisy() };
        weights(&steps(model(false), false, options, true, 1).model)
    };
    let kept = run(ActivationCheckpointing::None);
    assert!(largest_difference(&kept, &weights(&model(false))) > 1e-3, "they trained");
    for strategy in STRATEGIES {
        let off = largest_difference(&kept, &run(strategy));
        assert!(off < 1e-6, "{strategy:?}: {off}");
    }
}

#[test]
fn attention_in_blocks_is_computed_again_as_it_was() {
    let run = |blocks, dropout, activation_checkpointing| {
        let options = TrainOptions { activation_checkpointing, dropout, neftune: 5.0, ..Default::default() };
        steps(model(false).with_attention_blocks(blocks), false, options, true, 1)
    };
    for dropout in [None, Some(0.2)] {
        let whole = run(AttentionBlocks::Whole, dropout, ActivationCheckpointing::None);
        let kept = run(AttentionBlocks::Of(4), dropout, ActivationCheckpointing::None);
        let off = largest_difference(&weights(&whole.model), &weights(&kept.model));
        assert_eq!(off == 0.0, dropout.is_some(), "with dropout all queries are taken at once: {off}");
        assert!((whole.grad_norms[0] - kept.grad_norms[0]).abs() < 1e-5 * whole.grad_norms[0]);
        for strategy in STRATEGIES {
            let found = run(AttentionBlocks::Of(4), dropout, strategy);
            let off = largest_difference(&weights(&kept.model), &weights(&found.model));
            assert!(off < 1e-6, "{strategy:?}, {dropout:?}: {off}");
        }
    }
}

#[test]
fn noise_does_not_depend_on_how_a_step_is_divided_and_acts_in_training_alone() {
    for options in [
        TrainOptions { neftune: 5.0, ..TrainOptions::default() },
        TrainOptions { dropout: Some(0.2), ..TrainOptions::default() },
        noisy(),
    ] {
        let whole = steps(model(false), false, options.clone(), true, 1);
        for (together, threads) in [(true, 2), (false, 1), (false, 2)] {
            let found = steps(model(false), false, options.clone(), together, threads);
            for (found, whole) in [(&found.losses, &whole.losses), (&found.grad_norms, &whole.grad_norms)] {
                let off = (found[0] - whole[0]).abs() / whole[0];
                assert!(off < 1e-6, "{options:?}, {together}, {threads}: {found:?} {whole:?}");
            }
        }
        let plain = steps(model(false), false, TrainOptions::default(), true, 1);
        assert!((plain.losses[0] - whole.losses[0]).abs() > 1e-4, "{options:?} acts");
        // The trained model is measured without noise: twice the same.
        let measured = || values(NextToken.loss(&whole.model.valid(), &batches(true)[0]).sum);
        assert_eq!(measured(), measured());
    }
}

#[test]
fn the_models_own_dropout_acts_unless_another_share_is_asked_for() {
    let with = |dropout: f64, asked: Option<f64>| {
        let shape = ModelConfig { dropout, ..deep(false) };
        let model = Transformer::init(&shape, 5, &device()).unwrap();
        let options = TrainOptions { dropout: asked, ..TrainOptions::default() };
        steps(model, false, options, true, 1).losses
    };
    assert_eq!(with(0.3, None), with(0.0, Some(0.3)));
    assert_eq!(with(0.3, Some(0.0)), with(0.0, None));
    assert_ne!(with(0.3, None), with(0.0, None));
}

#[test]
fn the_noise_of_preferences_is_the_policys_alone() {
    let first = |neftune: f64| {
        let options = TrainOptions { neftune, ..TrainOptions::default() };
        let mut job = job(TrainConfig { options, steps: Some(1), ..train_config(Stage::Dpo) }, Stage::Dpo, 8);
        let model = Transformer::init(&config(job.tokenizer.vocab_size()), 3, &device()).unwrap();
        job.objective = std::sync::Arc::new(Dpo::new(DpoConfig::default(), Reference::Base));
        job.adapter = Some(adapter(&model));
        let mut record = Record::default();
        train_run(job.start(model).unwrap(), &mut record).unwrap();
        record.losses()[0]
    };
    assert!((first(0.0) - LN_2).abs() < 1e-6, "{}", first(0.0));
    assert!((first(20.0) - LN_2).abs() > 1e-6, "a policy with noise differs from its reference without");
}

/// Every option at once but the early end.
fn all() -> TrainOptions {
    TrainOptions {
        muon: true,
        ema: 0.9,
        activation_checkpointing: ActivationCheckpointing::OneInTwo,
        ..noisy()
    }
}

#[test]
fn a_resumed_run_with_each_option_equals_an_uninterrupted_one_bit_for_bit() {
    let early = TrainOptions { early_stop: 50, ..TrainOptions::default() };
    for options in [
        TrainOptions { neftune: 5.0, ..TrainOptions::default() },
        TrainOptions { dropout: Some(0.1), ..TrainOptions::default() },
        TrainOptions { muon: true, ..TrainOptions::default() },
        TrainOptions { ema: 0.9, ..TrainOptions::default() },
        TrainOptions {
            activation_checkpointing: ActivationCheckpointing::WholeLayer,
            ..TrainOptions::default()
        },
        early.clone(),
        TrainOptions { ema: 0.9, ..early },
        all(),
    ] {
        for stage in [Stage::Pretrain, Stage::Sft] {
            let config = TrainConfig {
                steps: Some(12),
                grad_accum: 2,
                val_split: 0.2,
                eval_every: 2,
                options: options.clone(),
                ..train_config(stage)
            };
            let (whole, losses) = run_with_stops(&config, stage, &[]);
            // At a measurement, and between two.
            let (parts, resumed) = run_with_stops(&config, stage, &[4, 7]);
            assert_eq!(losses, resumed, "{options:?}");
            assert_eq!(whole, parts, "{options:?}");
        }
    }
}

#[test]
fn the_average_of_a_run_is_that_of_its_weights_by_hand() {
    let config = |ema: f64| TrainConfig {
        steps: Some(6),
        save_every: 1,
        options: TrainOptions { ema, ..TrainOptions::default() },
        ..train_config(Stage::Sft)
    };
    let run = |ema: f64| {
        let mut record = Record::default();
        let outcome = train_run(start(config(ema), Stage::Sft, 23, &device()), &mut record).unwrap();
        (record, outcome.model)
    };
    let (plain, _) = run(0.0);
    let (averaged, model) = run(0.5);
    assert_eq!(plain.losses(), averaged.losses(), "what trains is the same");
    let values = |weights: &[NamedTensor]| -> Vec<f64> {
        weights.iter().flat_map(|tensor| tensor.values.iter().map(|value| f64::from(*value))).collect()
    };
    let begun = start(config(0.0), Stage::Sft, 23, &device()).model;
    let mut expected = values(&pollster::block_on(begun.weights()).unwrap());
    for (step, snapshot) in (1..).zip(&plain.snapshots) {
        let t = f64::from(step);
        let decay = (0.5f64).min((1.0 + t) / (10.0 + t));
        for (average, weight) in expected.iter_mut().zip(values(&snapshot.weights)) {
            *average = decay * *average + (1.0 - decay) * weight;
        }
        for (found, expected) in values(&averaged.snapshots[step as usize - 1].weights).iter().zip(&expected)
        {
            assert!((found - expected).abs() < 1e-5, "step {step}: {found} {expected}");
        }
    }
    assert_eq!(pollster::block_on(model.weights()).unwrap(), averaged.snapshots[5].weights);
    let trained = |name: &str| averaged.snapshots[5].optimizer.iter().any(|tensor| tensor.name == name);
    assert!(trained("trained.model.norm.weight") && !trained("best.model.norm.weight"));
}

#[test]
fn muon_trains_the_matrices_of_layers_and_experts_and_adamw_the_rest() {
    let shape =
        ModelConfig { vocab_size: tokenizer().vocab_size(), tie_word_embeddings: false, ..deep(true) };
    let options = TrainOptions { muon: true, ..TrainOptions::default() };
    let config = TrainConfig { steps: Some(2), options, ..train_config(Stage::Sft) };
    let model = Transformer::init(&shape, 3, &device()).unwrap();
    let mut record = Record::default();
    train_run(job(config, Stage::Sft, 8).start(model).unwrap(), &mut record).unwrap();
    let snapshot = record.snapshots.last().unwrap();
    let kept = |prefix: &str, name: &str| {
        let name = format!("{prefix}.{name}");
        snapshot.optimizer.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.clone())
    };
    for name in ["self_attn.o_proj", "mlp.experts.3.down_proj", "mlp.shared_experts.0.up_proj"] {
        let name = format!("model.layers.4.{name}.weight");
        let weight = snapshot.weights.iter().find(|tensor| tensor.name == name).unwrap();
        assert_eq!(kept("momentum", &name), Some(weight.shape.clone()), "{name}");
        assert_eq!(kept("first", &name), None, "{name}");
    }
    let layer = "model.layers.4";
    for name in ["mlp.gate.weight", "input_layernorm.weight"] {
        assert!(kept("second", &format!("{layer}.{name}")).is_some(), "{name}");
    }
    for name in ["model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"] {
        assert!(kept("first", name).is_some() && kept("momentum", name).is_none(), "{name}");
    }
}

#[test]
fn muon_is_refused_beside_an_adapter_and_an_early_end_without_measurements() {
    let options = TrainOptions { muon: true, early_stop: 3, ..TrainOptions::default() };
    let mut job = job(TrainConfig { options, ..train_config(Stage::Sft) }, Stage::Sft, 8);
    let model = Transformer::init(&config(job.tokenizer.vocab_size()), 3, &device()).unwrap();
    job.adapter = Some(adapter(&model));
    let message = job.validate(&model).unwrap_err().to_string();
    for part in ["--muon acts on whole matrices", "--early-stop needs a held-out loss"] {
        assert!(message.contains(part), "{message}");
    }
}
