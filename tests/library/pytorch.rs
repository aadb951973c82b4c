//! Training beside PyTorch: from the same weights, on the same batches, the same steps (tests/golden/training/make.py).

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kindling::adapter::{Adapter, AdapterConfig, LoraConfig, LoraInit};
use kindling::batch::{Batch, Rollouts};
use kindling::checkpoint::Checkpoint;
use kindling::error::Result;
use kindling::loss::{Distill, DistillConfig, Dpo, Grpo, Loss, NextToken, Objective, Reason, Reference};
use kindling::model::{NamedTensor, Transformer};
use kindling::optim::LrSchedule;
use kindling::train::{Replay, Stage, TrainConfig, TrainOptions, replay};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::tiny::{largest_difference, logits, values};

#[derive(Deserialize)]
struct Golden {
    model: String,
    adapter: Option<String>,
    #[serde(default)]
    muon: bool,
    settings: Settings,
    seq: usize,
    /// Steps, micro-batches, rows.
    steps: Vec<Vec<Vec<Row>>>,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
    /// What the gates of a mixture of experts add to the loss.
    #[serde(default)]
    aux_losses: Vec<f64>,
    probe: Vec<i32>,
    logits: Vec<Vec<f32>>,
    /// How far each trained weight went, as a Euclidean distance.
    moved: BTreeMap<String, f64>,
    /// The settings of preferences, whose rows are chosen and rejected in turns.
    pairs: Option<Map<String, Value>>,
    reward_margin: Option<f64>,
    reward_accuracy: Option<f64>,
    /// The settings of distillation, and the folder of the teacher.
    taught: Option<Map<String, Value>>,
    ce_loss: Option<f64>,
    kd_loss: Option<f64>,
    /// How much a tag's tokens count, where answers think first; the rows' weights hold it.
    tag_weight: Option<f32>,
    /// The settings of rewards, whose rows are two answers to each prompt.
    rewarded: Option<Map<String, Value>>,
    kl: Option<f64>,
    clip_share: Option<f64>,
    #[serde(default)]
    variants: Vec<Variant>,
}

/// What the rows of the first step cost with other settings, after the last step.
#[derive(Deserialize)]
struct Variant {
    settings: Map<String, Value>,
    loss: f64,
}

/// Settings under the names of Python.
fn named<T: DeserializeOwned>(settings: &Map<String, Value>) -> T {
    let settings = settings.iter().filter(|(key, _)| *key != "teacher");
    let named = settings.map(|(key, value)| (key.replace('_', "-"), value.clone()));
    serde_json::from_value(Value::Object(named.collect())).unwrap()
}

/// Both terms of a loss, or two other measures of it, and itself: a target's, or a pair's.
fn measured(objective: &dyn Objective, model: &Transformer, batches: &[Batch], names: [&str; 2]) -> [f64; 3] {
    let losses: Vec<Loss> = batches.iter().map(|batch| objective.loss(model, batch)).collect();
    let weight: f64 = batches.iter().map(|batch| objective.weight(batch)).sum();
    let value = |tensor: &Tensor<1>| f64::from(values(tensor.clone())[0]) / weight;
    let [first, second] = names.map(|name| {
        let found = losses.iter().flat_map(|loss| &loss.metrics).filter(|metric| metric.name == name);
        found.map(|metric| value(&metric.sum)).sum::<f64>()
    });
    [first, second, losses.iter().map(|loss| value(&loss.sum)).sum()]
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
    /// Of an answer how much better it is, and how likely each of its row's tokens was.
    #[serde(default)]
    advantage: f32,
    #[serde(default)]
    old: Vec<f32>,
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
            options: TrainOptions { muon: self.muon, ..TrainOptions::default() },
            ..TrainConfig::of(Stage::Sft)
        }
    }

    fn batches(&self) -> Vec<Vec<Batch>> {
        let members = if self.pairs.is_some() || self.rewarded.is_some() { 2 } else { 1 };
        let old = |row: &Row| [&row.old[..], &vec![0.0; self.seq - row.old.len()]].concat();
        let batch = |rows: &Vec<Row>| {
            let mut batch = Batch { group: members, members, ..Batch::new(self.seq) };
            rows.iter().for_each(|row| batch.push(&row.ids, &row.weights, &row.segments));
            batch.rollouts = self.rewarded.as_ref().map(|_| Rollouts {
                advantages: rows.iter().map(|row| row.advantage).collect(),
                old: rows.iter().flat_map(old).collect(),
                ..Rollouts::default()
            });
            batch
        };
        self.steps.iter().map(|batches| batches.iter().map(batch).collect()).collect()
    }

    /// The model as it began.
    fn reference(&self, begun: &Transformer) -> Reference {
        match self.adapter {
            Some(_) => Reference::Base,
            None => Reference::frozen(begun),
        }
    }

    /// Distillation of these settings, from the teacher that the goldens name.
    fn distill(&self, settings: &Map<String, Value>) -> Distill {
        let folder = self.taught.as_ref().unwrap()["teacher"].as_str().unwrap();
        let teacher = Checkpoint::open(|name| read(&format!("training/{folder}/{name}"))).unwrap();
        let config: DistillConfig = named(settings);
        Distill::new(config).with_teacher(&teacher.model(&Device::flex()).unwrap())
    }

    /// The objective of these settings; plain next-token prediction without any.
    fn objective(&self, settings: Option<&Map<String, Value>>, begun: &Transformer) -> Box<dyn Objective> {
        let Some(settings) = settings else {
            return if self.tag_weight.is_some() { Box::new(Reason::default()) } else { Box::new(NextToken) };
        };
        match (self.taught.is_some(), self.rewarded.is_some()) {
            (true, _) => Box::new(self.distill(settings)),
            (_, true) => Box::new(Grpo::new(named(settings), Some(self.reference(begun)))),
            _ => Box::new(Dpo::new(named(settings), self.reference(begun))),
        }
    }

    /// The settings of what is minimised, where that is not the next token.
    fn own(&self) -> Option<&Map<String, Value>> {
        self.pairs.as_ref().or(self.taught.as_ref()).or(self.rewarded.as_ref())
    }

    /// Compares what the rows of the first step cost the trained model, with other settings too.
    fn compare_after(&self, stage: &str, begun: &Transformer, trained: &Transformer, batches: &[Batch]) {
        let Some(own) = self.own() else { return };
        let (names, expected) = match (&self.taught, &self.rewarded) {
            (Some(_), _) => (["ce_loss", "kd_loss"], [self.ce_loss, self.kd_loss]),
            (_, Some(_)) => (["kl", "clip_share"], [self.kl, self.clip_share]),
            _ => (["reward_margin", "reward_accuracy"], [self.reward_margin, self.reward_accuracy]),
        };
        let found = measured(&*self.objective(Some(own), begun), trained, batches, names);
        for ((name, found), expected) in names.iter().zip(found).zip(expected) {
            let off = (found - expected.unwrap()).abs();
            assert!(off < 1e-4, "{stage}: a {name} of {found}, not {expected:?}");
        }
        for Variant { settings, loss } in &self.variants {
            let objective = self.objective(Some(settings), begun);
            let [.., found] = measured(&*objective, trained, batches, names);
            let off = ((found - loss) / loss).abs();
            assert!(off < 1e-4, "{stage}: {settings:?} cost {found}, in PyTorch {loss}");
        }
        assert!(!self.variants.is_empty());
    }
}

/// A file of the goldens by its path below their folder.
pub fn read(path: &str) -> Result<Option<Vec<u8>>> {
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
    let name = |name: &str| {
        let name = name.replace(".lora.0.a", ".lora_A.weight").replace(".lora.0.b", ".lora_B.weight");
        let name = name.replace(".lora.0.magnitude", ".lora_magnitude_vector.weight");
        match name.as_str() {
            "saved.embed_tokens" => "model.embed_tokens.modules_to_save.weight".to_string(),
            "saved.lm_head" => "lm_head.modules_to_save.weight".to_string(),
            _ => name,
        }
    };
    let of = |before: &NamedTensor| {
        let after = after.iter().find(|after| after.name == before.name).unwrap();
        (name(&before.name), distance(before, after))
    };
    before.iter().map(of).collect()
}

/// What peft makes of the base itself, with the settings of the other adapters.
fn begun_as_pissa(model: &Transformer) -> Adapter {
    let lora = LoraConfig { rank: 4, alpha: 8.0, init_lora: LoraInit::Pissa, ..LoraConfig::default() };
    let adapter = Adapter::init(model, AdapterConfig { lora, base: None, base_name: None }, 1).unwrap();
    pollster::block_on(adapter.begun(model, 1)).unwrap()
}

fn compare(stage: &str, loss_limit: f64) {
    let read = |path: &str| read(&format!("training/{path}"));
    let golden: Golden = serde_json::from_slice(&read(&format!("{stage}.json")).unwrap().unwrap()).unwrap();
    let checkpoint = Checkpoint::open(|name| read(&format!("{}/{name}", golden.model))).unwrap();
    let model = checkpoint.model(&Device::flex().autodiff()).unwrap();
    let adapter = golden.adapter.as_ref().map(|folder| match folder.as_str() {
        "pissa" => begun_as_pissa(&model),
        _ => Adapter::open(|name| read(&format!("{folder}/{name}"))).unwrap(),
    });
    let before = match &adapter {
        Some(adapter) => adapter.weights.clone(),
        None => trained(&model, None),
    };
    let (config, batches, begun) = (golden.config(), golden.batches(), model.clone());
    let objective = golden.objective(golden.own(), &begun);
    let steps = replay(model, adapter.as_ref(), &*objective, &config, &batches);
    let Replay { model, losses, grad_norms, metrics } = pollster::block_on(steps).unwrap();

    assert_eq!((losses.len(), grad_norms.len()), (golden.losses.len(), golden.grad_norms.len()));
    let off = farthest(&losses, &golden.losses);
    assert!(off < loss_limit, "{stage}: the losses are {off:.1e} apart\n{losses:?}\n{:?}", golden.losses);
    let added: Vec<f64> = metrics.iter().filter_map(|metrics| metrics.get("aux_loss").copied()).collect();
    assert_eq!(added.len(), golden.aux_losses.len());
    let off = farthest(&added, &golden.aux_losses);
    assert!(off < loss_limit, "{stage}: what gates add is {off:.1e} apart");
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
    golden.compare_after(stage, &begun, &model, &batches[0]);
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
fn answers_whose_tags_count_more_take_the_steps_of_pytorch() {
    compare("reason", 1e-5);
}

#[test]
fn a_mixture_with_a_shared_expert_and_balanced_sequences_takes_the_steps_of_pytorch() {
    compare("experts", 1e-5);
}

#[test]
fn a_mixture_of_one_expert_a_token_balanced_over_the_step_takes_the_steps_of_pytorch() {
    compare("experts-one", 1e-5);
}

#[test]
fn muon_beside_adamw_takes_the_steps_of_pytorch() {
    compare("muon", 1e-5);
}

#[test]
fn an_adapter_takes_the_steps_of_peft() {
    compare("lora", 2e-5);
}

#[test]
fn an_adapter_with_magnitudes_takes_the_steps_of_peft() {
    compare("dora", 2e-5);
}

#[test]
fn whole_modules_beside_an_adapter_take_the_steps_of_peft() {
    compare("modules", 2e-5);
}

#[test]
fn an_adapter_that_begins_as_the_leading_part_takes_the_steps_of_peft() {
    compare("pissa", 2e-5);
}

#[test]
fn preferences_take_the_steps_of_pytorch() {
    compare("dpo", 1e-5);
}

#[test]
fn an_adapter_learns_preferences_with_every_option_as_in_pytorch() {
    compare("dpo_lora", 2e-5);
}

#[test]
fn distillation_takes_the_steps_of_pytorch() {
    compare("distill", 1e-5);
}

#[test]
fn an_adapter_learns_from_a_teacher_as_in_pytorch() {
    compare("distill_lora", 2e-5);
}

#[test]
fn rewards_take_the_steps_of_pytorch() {
    compare("grpo", 1e-5);
}

#[test]
fn an_adapter_learns_from_rewards_by_cispo_as_in_pytorch() {
    compare("grpo_lora", 2e-5);
}
