//! Adapters as other programs write them, beside a tiny model: what is honoured of their settings, and what is refused
//! where they meet their base.

use burn::tensor::Device;
use kindling::adapter::{Adapter, AdapterConfig, LoraConfig, Scope, Selection};
use kindling::checkpoint::Checkpoint;
use kindling::error::Result;
use kindling::formats::{
    ADAPTER_CONFIG, ADAPTER_WEIGHTS, Files, MLX_WEIGHTS, TensorFile, directory_files, write_tensors,
};
use kindling::model::{ModelConfig, NamedTensor, Transformer};
use kindling::random::Random;
use serde_json::{Value, json};

use crate::tiny::{config, largest_difference, logits};

const ROW: [i32; 6] = [3, 1, 4, 1, 5, 9];
const HEAD_COPY: &str = "base_model.model.lm_head.base_layer.weight";
const Q0: &str = "model.layers.0.self_attn.q_proj";

/// A model whose output projection is its own.
fn untied() -> ModelConfig {
    ModelConfig { tie_word_embeddings: false, ..config(32) }
}

fn model(config: &ModelConfig) -> Transformer {
    Transformer::init(config, 7, &Device::flex()).unwrap()
}

/// An adapter that says something, for these targets.
fn adapter(model: &Transformer, targets: &[&str], scope: Scope) -> Adapter {
    let targets = targets.iter().map(|name| name.to_string()).collect();
    let lora = LoraConfig { rank: 4, alpha: 8.0, targets, scope, ..LoraConfig::default() };
    let config = AdapterConfig { lora, base: None, base_name: None };
    let mut adapter = Adapter::init(model, config, 5).unwrap();
    let mut random = Random::new(9, 0);
    for tensor in &mut adapter.weights {
        tensor.values.iter_mut().for_each(|value| *value = random.normal() as f32 * 0.1);
    }
    adapter
}

fn open(files: &Files) -> Result<Adapter> {
    Adapter::open(|name| Ok(files.get(name).cloned()))
}

/// The files with one key of the settings changed.
fn with_key(files: &Files, key: &str, value: Value) -> Files {
    let mut files = files.clone();
    let mut config: Value = serde_json::from_slice(&files[ADAPTER_CONFIG]).unwrap();
    config[key] = value;
    files.insert(ADAPTER_CONFIG.into(), config.to_string().into_bytes());
    files
}

/// The files with their tensors changed.
fn with_tensors(files: &Files, change: impl FnOnce(&mut Vec<NamedTensor>)) -> Files {
    let mut files = files.clone();
    let file = TensorFile::open(ADAPTER_WEIGHTS, files[ADAPTER_WEIGHTS].clone()).unwrap();
    let mut tensors = file.read_all().unwrap();
    change(&mut tensors);
    files.insert(ADAPTER_WEIGHTS.into(), write_tensors(&tensors, &[]).unwrap());
    files
}

fn answers(adapter: &Adapter, model: &Transformer) -> Vec<f32> {
    logits(&adapter.attach(model.clone(), 1.0).unwrap(), &ROW)
}

/// What both ways to use an adapter say against it; they say the same.
fn refusal(adapter: &Adapter, model: &Transformer) -> String {
    let attached = adapter.attach(model.clone(), 1.0).err().unwrap().to_string();
    let mut weights = pollster::block_on(model.weights()).unwrap();
    let merged = adapter.merge(&mut weights, 1.0).unwrap_err().to_string();
    assert_eq!(attached, merged);
    attached
}

#[test]
fn a_copy_of_the_head_beside_its_adapter_must_be_the_bases() {
    let config = untied();
    let model = model(&config);
    let ours = adapter(&model, &["q_proj", "lm_head"], Scope::default());
    let head = pollster::block_on(model.weight("lm_head.weight")).unwrap().unwrap();
    let files = ours.files().unwrap();
    let with_copy = |change: &dyn Fn(f32) -> f32| {
        with_tensors(&files, |tensors| {
            let values = head.values.iter().map(|value| change(*value)).collect();
            tensors.push(NamedTensor { name: HEAD_COPY.into(), values, ..head.clone() });
        })
    };
    let weights = pollster::block_on(model.weights()).unwrap();
    let base = directory_files(&config, &weights, None).unwrap();
    let base = Checkpoint::open(|name| Ok(base.get(name).cloned())).unwrap();
    let from_files = |files: &Files| open(files)?.compared(|name| base.token_table(name));
    let from_device = |files: &Files| pollster::block_on(open(files)?.compared_with(&model));
    let same = with_copy(&|value| value);
    for found in [from_files(&same).unwrap(), from_device(&same).unwrap()] {
        assert_eq!(found.config, ours.config);
        assert_eq!(answers(&found, &model), answers(&ours, &model));
    }
    // Trained in bf16, it is the same numbers rounded; twice as large it is another head.
    assert!(from_files(&with_copy(&|value| half::bf16::from_f32(value).to_f32())).is_ok());
    let other = with_copy(&|value| 2.0 * value);
    for refused in [from_files(&other), from_device(&other)] {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("lm_head.weight") && message.contains("other values"), "{message}");
    }
    assert!(refusal(&open(&same).unwrap(), &model).contains("not compared"));
    // A tied model has one tensor for both ends, and no layer there for an adapter.
    let tied = crate::tiny::model(&Device::flex());
    assert!(refusal(&ours, &tied).contains("output projection is its embedding"));
}

#[test]
fn layers_without_weights_are_named_wherever_an_adapter_meets_its_base() {
    let model = model(&untied());
    let files = adapter(&model, &["q_proj", "v_proj"], Scope::default()).files().unwrap();
    let part =
        with_tensors(&files, |tensors| tensors.retain(|tensor| !tensor.name.contains("1.self_attn.v_proj")));
    let message = refusal(&open(&part).unwrap(), &model);
    assert!(message.contains("v_proj in block 1,") && !message.contains("q_proj"), "{message}");
    let more = with_key(&files, "target_modules", json!(["q_proj", "v_proj", "lm_head", "dense"]));
    let message = refusal(&open(&more).unwrap(), &model);
    assert!(message.contains("for lm_head,") && !message.contains("dense"), "{message}");
    let none = with_tensors(&files, Vec::clear);
    let message = open(&none).unwrap_err().to_string();
    assert!(message.contains("q_proj, v_proj"), "{message}");
}

#[test]
fn single_layers_have_their_own_ranks_and_alphas() {
    let model = model(&untied());
    let plain = adapter(&model, &["q_proj", "v_proj"], Scope::default());
    let files = plain.files().unwrap();
    let stronger =
        open(&with_key(&files, "alpha_pattern", json!({"layers.0.self_attn.q_proj": 16}))).unwrap();
    let mut expected = plain.clone();
    let doubled = expected.weights.iter_mut().find(|tensor| tensor.name == format!("{Q0}.lora.0.b")).unwrap();
    doubled.values.iter_mut().for_each(|value| *value *= 2.0);
    let found = answers(&stronger, &model);
    assert!(largest_difference(&found, &answers(&expected, &model)) < 1e-5);
    assert!(largest_difference(&found, &answers(&plain, &model)) > 1e-4);

    let scope = Scope { ranks: vec![("v_proj".into(), 2)], ..Scope::default() };
    let narrow = adapter(&model, &["q_proj", "v_proj"], scope);
    let of = |name: &str| narrow.weights.iter().find(|tensor| tensor.name.ends_with(name)).unwrap().shape[0];
    assert_eq!([of("v_proj.lora.0.a"), of("q_proj.lora.0.a")], [2, 4]);
    let files = narrow.files().unwrap();
    assert_eq!(answers(&open(&files).unwrap(), &model), answers(&narrow, &model));
    let message = open(&with_key(&files, "rank_pattern", json!({}))).unwrap_err().to_string();
    assert!(message.contains("say rank 4") && message.contains("of rank 2"), "{message}");
}

#[test]
fn restrictions_to_some_layers_are_honoured() {
    let model = model(&untied());
    let all = json!(["q_proj", "up_proj"]);
    for (scope, key, left_out) in [
        (Scope { blocks: Some(vec![1]), ..Scope::default() }, "layers_to_transform", "in block 0,"),
        (
            Scope { exclude: Some(Selection::Names(vec!["0.mlp.up_proj".into()])), ..Scope::default() },
            "exclude_modules",
            "up_proj in block 0,",
        ),
        (
            Scope { pattern: Some(r"model\.layers\.\d+\.self_attn\.q_proj".into()), ..Scope::default() },
            "target_modules",
            "up_proj in blocks 0, 1,",
        ),
    ] {
        let targets: &[&str] = if scope.pattern.is_some() { &[] } else { &["q_proj", "up_proj"] };
        let some = adapter(&model, targets, scope);
        let files = some.files().unwrap();
        let again = open(&files).unwrap();
        assert_eq!(again.config, some.config);
        assert_eq!(answers(&again, &model), answers(&some, &model));
        // Without its restriction it lacks the other layers.
        let value = if key == "target_modules" { all.clone() } else { Value::Null };
        let message = refusal(&open(&with_key(&files, key, value)).unwrap(), &model);
        assert!(message.contains(left_out), "{message}");
    }
}

#[test]
fn an_adapter_of_mlx_answers_as_the_same_one_of_peft() {
    let model = model(&untied());
    let ours = adapter(&model, &["q_proj", "down_proj"], Scope::default());
    let turned = |tensor: &NamedTensor| {
        let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
        let name = tensor.name.replace(".lora.0.", ".lora_");
        let values = (0..rows * columns).map(|i| tensor.values[i % rows * columns + i / rows]).collect();
        NamedTensor { name, shape: vec![columns, rows], values }
    };
    let tensors: Vec<_> = ours.weights.iter().map(turned).collect();
    let settings = json!({
        "fine_tune_type": "lora",
        "num_layers": 16,
        "lora_parameters": {"rank": 4, "scale": 2.0, "dropout": 0.0, "keys": ["self_attn.q_proj", "mlp.down_proj"]},
        "iters": 100,
    });
    let directory = |settings: &Value| {
        Files::from([
            (ADAPTER_CONFIG.to_string(), settings.to_string().into_bytes()),
            (MLX_WEIGHTS.to_string(), write_tensors(&tensors, &[]).unwrap()),
        ])
    };
    let theirs = open(&directory(&settings)).unwrap();
    assert_eq!(answers(&theirs, &model), answers(&ours, &model));
    // In PEFT's layout, it is the same again.
    let again = open(&theirs.files().unwrap()).unwrap();
    assert_eq!(answers(&again, &model), answers(&ours, &model));
    let mut more = settings;
    more["lora_parameters"]["keys"] = json!(["self_attn.q_proj", "mlp.down_proj", "self_attn.k_proj"]);
    let message = refusal(&open(&directory(&more)).unwrap(), &model);
    assert!(message.contains("k_proj in blocks 0, 1,"), "{message}");
}
