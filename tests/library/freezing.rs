//! Parts of a model that a run leaves as they are: what trains, what it costs, and what is refused.

use burn::tensor::Device;
use kindling::checkpoint::{Checkpoint, read_training, run_files};
use kindling::model::{Balance, Experts, ModelConfig, NamedTensor, Part, Transformer};
use kindling::train::{Job, Stage, TrainConfig};

use crate::tiny::{Record, config, job, tokenizer, train_config, train_run};

const STEPS: u64 = 6;

/// Makes another shape of the tiny model's.
type Change = fn(ModelConfig) -> ModelConfig;

fn settings(freeze: &[Part]) -> TrainConfig {
    TrainConfig { steps: Some(STEPS), freeze: freeze.to_vec(), ..train_config(Stage::Sft) }
}

fn frozen_job(freeze: &[Part]) -> Job {
    job(settings(freeze), Stage::Sft, 23)
}

fn model(job: &Job, change: Change) -> Transformer {
    let config = change(config(job.tokenizer.vocab_size()));
    Transformer::init(&config, 3, &Device::flex().autodiff()).unwrap()
}

fn tied(config: ModelConfig) -> ModelConfig {
    config
}

fn untied(config: ModelConfig) -> ModelConfig {
    ModelConfig { tie_word_embeddings: false, ..config }
}

fn routed(config: ModelConfig) -> ModelConfig {
    let experts = Experts {
        count: 4,
        per_token: 2,
        shared: 1,
        intermediate_size: 8,
        normalize: true,
        layers: vec![true; 2],
        balance: Balance::default(),
    };
    ModelConfig { experts: Some(experts), ..config }
}

fn weights(model: &Transformer) -> Vec<NamedTensor> {
    pollster::block_on(model.weights()).unwrap()
}

#[test]
fn frozen_parts_stay_and_carry_no_state_and_all_others_train() {
    let shapes: [(Change, &[&[Part]]); 3] = [
        (tied, &[&[Part::Mlp], &[Part::Attention, Part::Norm], &[Part::Embedding]]),
        (untied, &[&[Part::Head], &[Part::Embedding, Part::Mlp, Part::Norm]]),
        (routed, &[&[Part::Experts], &[Part::Router], &[Part::Mlp, Part::Embedding]]),
    ];
    for (change, all) in shapes {
        for parts in all {
            let job = frozen_job(parts);
            let model = model(&job, change);
            let before = weights(&model);
            let mut record = Record::default();
            let outcome = train_run(job.start(model).unwrap(), &mut record).unwrap();
            let state: Vec<&str> = record
                .snapshots
                .last()
                .unwrap()
                .optimizer
                .iter()
                .map(|tensor| tensor.name.as_str())
                .collect();
            for (before, after) in before.iter().zip(weights(&outcome.model)) {
                let name = &before.name;
                let is_frozen = parts.iter().any(|part| part.has(name));
                assert_eq!(before.values == after.values, is_frozen, "{name} of {parts:?}");
                let has_state = state.contains(&format!("first.{name}").as_str());
                assert_eq!(has_state, !is_frozen, "{name} of {parts:?}");
            }
        }
    }
}

#[test]
fn a_run_with_frozen_parts_resumes_bit_for_bit() {
    let parts = [Part::Mlp, Part::Norm];
    let run = |stop: Option<u64>, record: &mut Record| {
        let job = frozen_job(&parts);
        let model = model(&job, untied);
        let mut run = job.start(model).unwrap();
        run.stop_after = stop;
        train_run(run, record).unwrap().model
    };
    let (mut whole, mut first, mut second) = (Record::default(), Record::default(), Record::default());
    let trained = run(None, &mut whole);
    let shape = run(Some(2), &mut first).config().clone();
    let files = run_files(first.snapshots.last().unwrap(), &shape, &tokenizer()).unwrap();
    let read = |name: &str| Ok(files.get(name).cloned());
    let saved = Checkpoint::open(read).unwrap().model(&Device::flex().autodiff()).unwrap();
    let (optimizer, progress) = read_training(read).unwrap();
    assert_eq!(progress.config.freeze, parts);
    let job = frozen_job(&parts);
    let resumed = train_run(job.resume(saved, optimizer, progress).unwrap(), &mut second).unwrap();
    assert_eq!(whole.losses(), [first.losses(), second.losses()].concat());
    assert_eq!(weights(&trained), weights(&resumed.model));
}

#[test]
fn the_plan_and_the_first_words_tell_what_trains() {
    // Two blocks of 16·24·3 feed-forward weights; the plan has no gradient and no moments of them.
    let of = |parts: &[Part]| {
        let job = frozen_job(parts);
        let model = model(&job, tied);
        let run = job.start(model).unwrap();
        (run.plan.clone(), run.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let (whole, _) = of(&[]);
    let (plan, told) = of(&[Part::Mlp]);
    let frozen = 2 * 3 * 16 * 24;
    assert_eq!((whole.trained, whole.parameters), (plan.trained + frozen, plan.parameters));
    assert_eq!(whole.state_bytes, plan.state_bytes + 12 * frozen);
    let share = 1.0 - frozen as f64 / plan.parameters as f64 / 3.0;
    assert!((plan.flops / whole.flops - share).abs() < 1e-9);
    let expected = format!("{} of {} parameters train; frozen: mlp", plan.trained, plan.parameters);
    assert!(told.contains(&expected) && !told.contains("output projection"), "{told}");
    let (_, told) = of(&[Part::Embedding, Part::Norm]);
    assert!(told.contains("frozen: embedding,norm (which is the output projection, too)"), "{told}");
}

#[test]
fn parts_that_are_not_there_and_nothing_left_are_refused_by_name() {
    let refused = |parts: &[Part], change: Change| {
        let job = frozen_job(parts);
        let model = model(&job, change);
        job.validate(&model).unwrap_err().to_string()
    };
    let told = refused(&[Part::Head, Part::Router], tied);
    assert!(told.contains("--freeze embedding freezes both") && told.contains("names router"), "{told}");
    let all = [Part::Mlp, Part::Attention, Part::Norm, Part::Embedding];
    let told = refused(&all, tied);
    assert!(told.contains("mlp,attention,norm,embedding leaves nothing"), "{told}");
    let job = frozen_job(&all);
    job.validate(&model(&job, untied)).unwrap();
    // Beside an adapter all is frozen anyway.
    let mut job = frozen_job(&[Part::Mlp]);
    let model = model(&job, tied);
    let lora = kindling::adapter::LoraConfig::default();
    let config = kindling::adapter::AdapterConfig { lora, base: None, base_name: None };
    job.adapter = Some(kindling::adapter::Adapter::init(&model, config, 1).unwrap());
    let told = job.validate(&model).unwrap_err().to_string();
    assert!(told.contains("--freeze does not act beside an adapter"), "{told}");
}

#[test]
fn a_plan_needs_the_shape_alone() {
    let device = Device::flex().autodiff();
    for (change, parts) in [(tied as Change, Part::Attention), (untied, Part::Head), (routed, Part::Router)] {
        let job = frozen_job(&[parts]);
        let model = model(&job, change);
        let outline = Transformer::outline(model.config(), &device).unwrap();
        job.validate(&outline).unwrap();
        let survey = job.survey(1 << 20).unwrap();
        assert_eq!(job.plan(&outline, &survey, STEPS), job.plan(&model, &survey, STEPS));
        // What is read after all is zeros of the model's shapes.
        let zeros = weights(&outline);
        assert!(zeros.iter().all(|tensor| tensor.values.iter().all(|value| *value == 0.0)));
        let shapes = |all: Vec<NamedTensor>| -> Vec<_> {
            all.into_iter().map(|tensor| (tensor.name, tensor.shape)).collect()
        };
        assert_eq!(shapes(zeros), shapes(weights(&model)));
    }
    // Weights of two hundred gigabytes, if they were made.
    let job = frozen_job(&[]);
    let own = config(job.tokenizer.vocab_size());
    let wide = ModelConfig { intermediate_size: 1 << 24, num_hidden_layers: 64, ..own };
    let outline = Transformer::outline(&wide, &device).unwrap();
    job.validate(&outline).unwrap();
    let plan = job.plan(&outline, &job.survey(1 << 20).unwrap(), STEPS);
    assert!(plan.parameters > (64 * 3 * 16) << 24, "{}", plan.parameters);
}
