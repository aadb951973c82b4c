//! Several ranks train as one process does: the same losses, weights and state, whatever is learned and however the rows fall.

use std::sync::Arc;

use burn::tensor::Device;
use kindling::adapter::{Adapter, AdapterConfig, LoraConfig};
use kindling::checkpoint::{Checkpoint, read_training};
use kindling::error::{Error, Result};
use kindling::loss::{Dpo, DpoConfig, Grpo, GrpoConfig, Reference, Reward};
use kindling::model::{Balance, Experts, ModelConfig, NamedTensor, Transformer};
use kindling::ranks::Ranks;
use kindling::train::{
    Control, Job, Listener, Run, Snapshot, Stage, TrainConfig, TrainEvent, TrainOptions, train,
};

use crate::thread_ranks::together;
use crate::tiny::{Record, config, job, tokenizer, train_config};
use crate::training::stored;

const ROWS: usize = 23;
/// What sums in another order may differ by.
const APART: f64 = 1e-6;

fn settings(stage: Stage) -> TrainConfig {
    // Small steps: Adam makes a whole step of a gradient that is nothing but rounding.
    TrainConfig { steps: Some(4), learning_rate: 3e-5, packing: false, ..train_config(stage) }
}

fn shape() -> ModelConfig {
    config(tokenizer().vocab_size())
}

/// All three terms of the balance, which must be counted over all ranks.
fn mixture() -> ModelConfig {
    let balance =
        Balance { aux_loss_alpha: 0.5, seq_aux: true, router_aux_loss_coef: 0.5, router_z_loss_coef: 0.1 };
    let experts = Experts {
        count: 4,
        per_token: 2,
        shared: 1,
        intermediate_size: 12,
        normalize: true,
        layers: vec![false, true],
        balance,
    };
    ModelConfig { experts: Some(experts), ..shape() }
}

fn model(shape: &ModelConfig) -> Transformer {
    Transformer::init(shape, 3, &Device::flex().autodiff()).unwrap()
}

fn beside(model: &Transformer) -> Adapter {
    let lora = LoraConfig { rank: 2, ..LoraConfig::default() };
    Adapter::init(model, AdapterConfig { lora, base: None, base_name: None }, 5).unwrap()
}

/// A rank's end: what it told, and its weights.
struct Trained {
    record: Record,
    weights: Vec<NamedTensor>,
}

impl Trained {
    fn snapshot(&self) -> &Snapshot {
        self.record.snapshots.last().unwrap()
    }
}

fn trained(mut run: Run, ranks: Option<Arc<dyn Ranks>>) -> Trained {
    run.ranks = ranks;
    let mut record = Record::default();
    let outcome = pollster::block_on(train(run, &mut record)).unwrap();
    let weights = pollster::block_on(outcome.model.weights()).unwrap();
    Trained { record, weights }
}

fn largest(a: &[NamedTensor], b: &[NamedTensor]) -> f64 {
    assert_eq!(a.len(), b.len());
    let apart = |(a, b): (&NamedTensor, &NamedTensor)| {
        assert_eq!((&a.name, &a.shape), (&b.name, &b.shape));
        let pairs = a.values.iter().zip(&b.values);
        pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
    };
    a.iter().zip(b).map(apart).fold(0.0, f64::max)
}

fn assert_same(what: &str, one: &Trained, several: &[Trained]) {
    let first = &several[0];
    assert_eq!(first.record.logs.len(), one.record.logs.len(), "{what}");
    for (log, expected) in first.record.logs.iter().zip(&one.record.logs) {
        let close = |a: f64, b: f64| (a - b).abs() < APART * b.abs().max(1.0) || a.is_nan() && b.is_nan();
        assert!(close(log.loss, expected.loss), "{what}: {} {}", log.loss, expected.loss);
        assert!(close(log.grad_norm, expected.grad_norm), "{what}: {} {}", log.grad_norm, expected.grad_norm);
        assert_eq!((log.step, log.tokens), (expected.step, expected.tokens), "{what}");
        assert_eq!(log.expert_load, expected.expert_load, "{what}");
        let names = |log: &kindling::train::StepLog| log.metrics.keys().copied().collect::<Vec<_>>();
        assert_eq!(names(log), names(expected), "{what}");
        for (name, value) in &expected.metrics {
            assert!(close(log.metrics[name], *value), "{what}, {name}: {} {value}", log.metrics[name]);
        }
    }
    assert_eq!(first.record.evals.len(), one.record.evals.len(), "{what}");
    for (eval, expected) in first.record.evals.iter().zip(&one.record.evals) {
        assert!((eval - expected).abs() < APART * expected.abs().max(1.0), "{what}: {eval} {expected}");
    }
    for (state, expected) in [
        (&first.snapshot().weights, &one.snapshot().weights),
        (&first.snapshot().optimizer, &one.snapshot().optimizer),
    ] {
        let apart = largest(state, expected);
        assert!(apart < 2.0 * APART, "{what}: {apart}");
    }
    assert_eq!(first.snapshot().progress.loader, one.snapshot().progress.loader, "{what}");
    for other in &several[1..] {
        assert!(other.record.snapshots.is_empty(), "{what}: rank 0 alone stores the run");
        assert_eq!(other.record.losses(), first.record.losses(), "{what}");
        assert_eq!(largest(&other.weights, &first.weights), 0.0, "{what}: all ranks have the same weights");
    }
}

/// Compares runs that `make` makes on as many ranks as each of `sizes` says with that of one process.
fn compare(what: &str, sizes: &[usize], make: impl Fn() -> Run + Sync) {
    let one = trained(make(), None);
    let losses = one.record.losses();
    assert!(losses.windows(2).any(|two| two[0] != two[1]), "{what} learns: {losses:?}");
    for &size in sizes {
        let several = together(size, |ranks| trained(make(), Some(ranks)));
        assert_same(&format!("{what} on {size} ranks"), &one, &several);
    }
}

#[test]
fn texts_and_conversations_are_learned_as_by_one_process() {
    // Five rows over two and three ranks; two rows over three ranks, of which one has none.
    let texts = TrainConfig { batch_size: 5, packing: true, max_seq_len: 32, ..settings(Stage::Pretrain) };
    compare("packed texts", &[2, 3], || {
        job(texts.clone(), Stage::Pretrain, ROWS).start(model(&shape())).unwrap()
    });
    let chats = TrainConfig { val_split: 0.2, eval_every: 2, ..settings(Stage::Sft) };
    compare("few rows", &[2, 3], || job(chats.clone(), Stage::Sft, ROWS).start(model(&shape())).unwrap());
    let options = TrainOptions { dropout: Some(0.2), neftune: 5.0, ema: 0.9, ..TrainOptions::default() };
    let noisy = TrainConfig { batch_size: 3, grad_accum: 2, options, ..settings(Stage::Sft) };
    compare("noise", &[2, 3], || job(noisy.clone(), Stage::Sft, ROWS).start(model(&shape())).unwrap());
}

#[test]
fn adapters_and_preferences_are_learned_as_by_one_process() {
    compare("an adapter", &[2, 3], || {
        let model = model(&shape());
        let adapter = Some(beside(&model));
        let settings = TrainConfig { batch_size: 4, ..settings(Stage::Sft) };
        Job { adapter, ..job(settings, Stage::Sft, ROWS) }.start(model).unwrap()
    });
    // Pairs are never parted: three of them over two ranks are two and one, over five none for two of these.
    for adapts in [false, true] {
        compare("pairs", &[2, 5], || {
            let model = model(&shape());
            let reference = if adapts { Reference::Base } else { Reference::frozen(&model) };
            let adapter = adapts.then(|| beside(&model));
            let objective = Arc::new(Dpo::new(DpoConfig::default(), reference));
            let settings = TrainConfig { batch_size: 3, ..settings(Stage::Dpo) };
            Job { objective, adapter, ..job(settings, Stage::Dpo, ROWS) }.start(model).unwrap()
        });
    }
}

#[test]
fn the_balance_of_experts_is_that_of_all_ranks_together() {
    for grad_accum in [1, 2] {
        // With two batches the tokens of each expert are counted before, over all ranks.
        let settings = TrainConfig { batch_size: 3, grad_accum, ..settings(Stage::Sft) };
        compare("a mixture", &[2, 4], || {
            job(settings.clone(), Stage::Sft, ROWS).start(model(&mixture())).unwrap()
        });
    }
}

#[test]
fn a_shared_optimizers_state_is_that_of_one_process_also_where_it_is_stored() {
    for muon in [false, true] {
        let options = TrainOptions { muon, ema: 0.5, ..TrainOptions::default() };
        let settings = TrainConfig { batch_size: 4, options, ..settings(Stage::Sft) };
        compare("a shared state", &[2, 3], || {
            let mut run = job(settings.clone(), Stage::Sft, ROWS).start(model(&mixture())).unwrap();
            run.shard_optimizer = true;
            run
        });
    }
}

#[test]
fn rewarded_answers_are_the_same_on_every_rank() {
    let reward = ["repetition", "length:0.5"].map(|text| text.parse::<Reward>().unwrap()).to_vec();
    let grpo =
        GrpoConfig { group_size: 4, max_new_tokens: 16, temperature: 0.25, reward, ..GrpoConfig::default() };
    compare("rewards", &[2], || {
        let model = model(&shape());
        let objective = Arc::new(Grpo::new(grpo.clone(), Some(Reference::frozen(&model))));
        let settings = TrainConfig { batch_size: 3, ..settings(Stage::Grpo) };
        Job { objective, ..job(settings, Stage::Grpo, ROWS) }.start(model).unwrap()
    });
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let settings = TrainConfig { batch_size: 3, steps: Some(8), ..settings(Stage::Sft) };
    let make = || job(settings.clone(), Stage::Sft, ROWS);
    let whole = trained(make().start(model(&shape())).unwrap(), None);
    // Two ranks, then three, then one.
    let mut files = None;
    let mut losses = Vec::new();
    for (size, stop) in [(2, Some(3)), (3, Some(5)), (1, None)] {
        let begin = || {
            let mut run = match &files {
                None => make().start(model(&shape())).unwrap(),
                Some(files) => resumed(make(), files),
            };
            (run.stop_after, run.shard_optimizer) = (stop, size == 3);
            run
        };
        let mut ended = together(size, |ranks| trained(begin(), (size > 1).then_some(ranks)));
        let first = ended.swap_remove(0);
        losses.extend(first.record.losses());
        files = Some(stored(first.snapshot()));
        if stop.is_none() {
            let apart = largest(&first.snapshot().weights, &whole.snapshot().weights);
            assert!(apart < 2.0 * APART, "{apart}");
        }
    }
    assert_eq!(losses.len(), 8);
    for (loss, expected) in losses.iter().zip(whole.record.losses()) {
        assert!((loss - expected).abs() < APART * expected, "{loss} {expected}");
    }
}

fn resumed(job: Job, files: &kindling::formats::Files) -> Run {
    let read = |name: &str| Ok(files.get(name).cloned());
    let model = Checkpoint::open(read).unwrap().model(&Device::flex().autodiff()).unwrap();
    let (optimizer, progress) = read_training(read).unwrap();
    job.resume(model, optimizer, progress).unwrap()
}

#[test]
fn ranks_that_differ_are_named_by_all_before_the_first_step() {
    let told = together(3, |ranks| {
        let learning_rate = if ranks.rank() == 2 { 2e-4 } else { 1e-4 };
        let seed = if ranks.rank() == 1 { 4 } else { 3 };
        let settings = TrainConfig { learning_rate, ..settings(Stage::Sft) };
        let model = Transformer::init(&shape(), seed, &Device::flex().autodiff()).unwrap();
        let mut run = job(settings, Stage::Sft, ROWS).start(model).unwrap();
        run.ranks = Some(ranks);
        let mut record = Record::default();
        let error = pollster::block_on(train(run, &mut record)).unwrap_err();
        (matches!(error, Error::Config(_)), error.to_string(), record.logs.len())
    });
    for (is_config, told, steps) in told {
        assert!(is_config && steps == 0, "{told}");
        for part in [
            "rank 1 differs from rank 0 in the weights:",
            "rank 2 differs from rank 0 in the setting learning-rate: 0.0002 and not 0.0001;",
        ] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(told.matches("differs").count(), 2, "{told}");
    }
}

/// Refuses, or wants to stop, after a step.
struct Ends {
    record: Record,
    after: usize,
    fails: bool,
}

impl Listener for Ends {
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()> {
        self.record.on(event)?;
        match self.fails && self.record.logs.len() == self.after {
            true => Err(Error::Data("the disk of this rank is full".into())),
            false => Ok(()),
        }
    }

    fn control(&mut self) -> Control {
        let stops = !self.fails && self.record.logs.len() + 1 >= self.after;
        if stops { Control::Stop } else { Control::Continue }
    }
}

fn ending(fails: bool) -> Vec<(std::result::Result<bool, String>, Record)> {
    together(3, |ranks| {
        let after = if ranks.rank() == 1 { 2 } else { usize::MAX };
        let mut run = job(settings(Stage::Sft), Stage::Sft, ROWS).start(model(&shape())).unwrap();
        run.ranks = Some(ranks);
        let mut listener = Ends { record: Record::default(), after, fails };
        let ended = pollster::block_on(train(run, &mut listener));
        (ended.map(|outcome| outcome.stopped).map_err(|e| e.to_string()), listener.record)
    })
}

#[test]
fn a_rank_that_fails_ends_the_others() {
    let ended = ending(true);
    assert_eq!(ended[1].0, Err("the disk of this rank is full".to_string()));
    for rank in [0, 2] {
        assert_eq!(ended[rank].0, Err("a rank is gone".to_string()), "rank {rank}");
        assert!(ended[rank].1.logs.len() <= 3, "rank {rank}");
    }
}

#[test]
fn a_stop_of_any_rank_is_one_of_all_and_the_first_saves() {
    let ended = ending(false);
    for (rank, (ended, record)) in ended.iter().enumerate() {
        assert_eq!(ended, &Ok(true), "rank {rank}");
        assert_eq!(record.logs.last().unwrap().step, 2, "rank {rank}");
        assert_eq!(record.snapshots.len(), usize::from(rank == 0));
    }
    assert_eq!(ended[0].1.snapshots[0].progress.step, 2);
}
