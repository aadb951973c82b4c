//! Adapters that are more than two thin matrices: DoRA, PiSSA, and modules that train whole beside the paths.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::Device;
use kindling::adapter::{Adapter, AdapterConfig, Fingerprint, LoraConfig, LoraInit};
use kindling::checkpoint::{Checkpoint, read_training, run_files};
use kindling::formats::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Files, TensorFile, directory_files, write_tensors};
use kindling::kernels::Quantization;
use kindling::loss::{NextToken, Objective, sequence_log_probs};
use kindling::model::{ModelConfig, NamedTensor, Transformer};
use kindling::optim::NamedGradients;
use kindling::random::Random;
use kindling::train::{Run, Stage, TrainConfig};
use serde_json::Value;

use crate::tiny::{
    Record, batch, config, job, largest_difference, logits, tokenizer, train_config, train_run, values,
};

const ROW: [i32; 6] = [3, 1, 4, 1, 5, 9];

/// Each kind by itself, and whole modules beside DoRA.
fn kinds() -> Vec<(&'static str, LoraConfig)> {
    let plain = LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() };
    let modules = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let ends = modules(&["lm_head", "embed_tokens"]);
    vec![
        ("dora", LoraConfig { dora: true, ..plain.clone() }),
        ("dora, rslora", LoraConfig { dora: true, rslora: true, ..plain.clone() }),
        ("pissa", LoraConfig { init_lora: LoraInit::Pissa, ..plain.clone() }),
        ("pissa, rslora", LoraConfig { init_lora: LoraInit::Pissa, rslora: true, ..plain.clone() }),
        ("head", LoraConfig { modules_to_save: modules(&["lm_head"]), ..plain.clone() }),
        ("embedding", LoraConfig { modules_to_save: modules(&["embed_tokens"]), ..plain.clone() }),
        ("both ends", LoraConfig { modules_to_save: ends.clone(), ..plain.clone() }),
        ("dora, both ends", LoraConfig { dora: true, modules_to_save: ends, ..plain }),
    ]
}

/// Models with one table at both ends, and with two.
fn shapes() -> [ModelConfig; 2] {
    [config(32), ModelConfig { tie_word_embeddings: false, ..config(32) }]
}

fn begun(model: &Transformer, lora: &LoraConfig) -> Adapter {
    let config = AdapterConfig { lora: lora.clone(), base: None, base_name: None };
    pollster::block_on(Adapter::init(model, config, 5).unwrap().begun(model, 5)).unwrap()
}

/// An adapter that has learned something.
fn trained(model: &Transformer, lora: &LoraConfig) -> Adapter {
    let mut adapter = begun(model, lora);
    let mut random = Random::new(9, 0);
    for tensor in &mut adapter.weights {
        tensor.values.iter_mut().for_each(|value| *value += random.normal() as f32 * 0.1);
    }
    adapter
}

fn built(weights: &[NamedTensor], config: &ModelConfig) -> Transformer {
    let find = |name: &str| weights.iter().find(|tensor| tensor.name == name).unwrap();
    Transformer::build(config, &Device::flex(), &mut |name, _| Ok(find(name).values.clone())).unwrap()
}

fn opened(files: &Files) -> Adapter {
    Adapter::open(|name| Ok(files.get(name).cloned())).unwrap()
}

/// The same without what the weights' file says beside its tensors, as PEFT would save it again.
fn as_of_peft(files: &Files) -> Files {
    let mut files = files.clone();
    let file = TensorFile::open(ADAPTER_WEIGHTS, files[ADAPTER_WEIGHTS].clone()).unwrap();
    files.insert(ADAPTER_WEIGHTS.into(), write_tensors(&file.read_all().unwrap(), &[]).unwrap());
    files
}

#[test]
fn a_fresh_adapter_of_any_kind_changes_nothing() {
    for config in shapes() {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let model = Transformer::init(&config, 7, &device).unwrap();
            let base = logits(&model, &ROW);
            for (kind, lora) in kinds() {
                let adapted = begun(&model, &lora).attach(model.clone(), 1.0).unwrap();
                let off = largest_difference(&base, &logits(&adapted, &ROW));
                assert!(off < 1e-5, "{kind}: {off}");
                // Preferences and distillation compare with it: it is what it was.
                assert_eq!(base, logits(&adapted.base(), &ROW), "{kind}");
            }
        }
    }
}

#[test]
fn merged_equals_adapted_and_the_base_is_still_there() {
    for config in shapes() {
        let model = Transformer::init(&config, 7, &Device::flex()).unwrap();
        let base = logits(&model, &ROW);
        for (kind, lora) in kinds() {
            let adapter = trained(&model, &lora);
            for strength in [1.0, 0.5] {
                let adapted = adapter.attach(model.clone(), strength).unwrap();
                assert!(largest_difference(&base, &logits(&adapted, &ROW)) > 1e-2, "{kind}");
                assert_eq!(base, logits(&adapted.base(), &ROW), "{kind}");
                let mut weights = pollster::block_on(model.weights()).unwrap();
                adapter.merge(&mut weights, strength).unwrap();
                let tied = config.tie_word_embeddings && !adapter.parts_ends();
                let merged = built(&weights, &ModelConfig { tie_word_embeddings: tied, ..config.clone() });
                let off = largest_difference(&logits(&adapted, &ROW), &logits(&merged, &ROW));
                assert!(off < 2e-5, "{kind} at {strength}: {off}");
            }
        }
    }
}

#[test]
fn it_is_saved_as_peft_has_it_and_opens_as_what_it_was() {
    for config in shapes() {
        let model = Transformer::init(&config, 7, &Device::flex()).unwrap();
        for (kind, lora) in kinds() {
            let adapter = trained(&model, &lora);
            let files = adapter.files().unwrap();
            let again = opened(&files);
            // What was left to the default is named in the file.
            let own = LoraConfig { targets: Vec::new(), ..again.config.lora.clone() };
            assert_eq!(own, adapter.config.lora, "{kind}");
            let by_name = |adapter: &Adapter| -> BTreeMap<String, Vec<f32>> {
                adapter.weights.iter().map(|t| (t.name.clone(), t.values.clone())).collect()
            };
            assert_eq!(by_name(&again), by_name(&adapter), "{kind}");
            let answers = |adapter: &Adapter| logits(&adapter.attach(model.clone(), 1.0).unwrap(), &ROW);
            assert_eq!(answers(&again), answers(&adapter), "{kind}");
            // Beside the unchanged base it is the same where nobody knows how it began.
            let plain = opened(&as_of_peft(&files));
            let off = largest_difference(&answers(&plain), &answers(&adapter));
            assert!(off < 1e-5, "{kind}: {off}");
            let settings: Value = serde_json::from_slice(&files[ADAPTER_CONFIG]).unwrap();
            let is_pissa = lora.init_lora == LoraInit::Pissa;
            assert_eq!(settings["r"], if is_pissa { 8 } else { 4 }, "{kind}");
            assert_eq!(
                (&settings["init_lora_weights"], plain.config.lora.rank),
                (&Value::Bool(true), if is_pissa { 8 } else { 4 })
            );
            assert_eq!(settings["use_dora"].as_bool().unwrap_or_default(), lora.dora);
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    // Of DoRA the norm counts as a constant, so that only its magnitudes have a slope that differences show.
    let device = Device::flex().autodiff();
    for config in shapes() {
        let model = Transformer::init(&config, 7, &device).unwrap();
        for (kind, lora) in kinds() {
            let adapter = trained(&model, &lora);
            let adapted = adapter.attach(model.clone(), 1.0).unwrap();
            let mut grads = NextToken.loss(&adapted, &batch()).sum.backward();
            let found = NamedGradients::collect(&adapted, &mut grads).into_inner();
            assert_eq!(found.len(), adapter.weights.len(), "{kind}: nothing but the adapter has gradients");
            for name in ["model.layers.1.mlp.up_proj.lora.0.magnitude", "saved.embed_tokens", "saved.lm_head"]
            {
                let Some(place) = adapter.weights.iter().position(|tensor| tensor.name == name) else {
                    continue;
                };
                let columns = adapter.weights[place].shape.get(1).copied().unwrap_or(1);
                // A token that is read and said.
                let at = 5 * columns.min(config.hidden_size) % adapter.weights[place].values.len();
                let loss = |step: f32| {
                    let mut moved = adapter.clone();
                    moved.weights[place].values[at] += step;
                    let moved = moved.attach(model.clone(), 1.0).unwrap();
                    f64::from(values(NextToken.loss(&moved, &batch()).sum)[0])
                };
                let slope = (loss(1e-2) - loss(-1e-2)) / 2e-2;
                let gradient = values(found.iter().find(|(n, _)| n == name).unwrap().1.clone());
                // In the layout of the model the head stands the other way round.
                let at = match (name, columns) {
                    ("saved.lm_head", _) => (at % columns) * config.vocab_size + at / columns,
                    _ => at,
                };
                let off = (f64::from(gradient[at]) - slope).abs();
                assert!(off < 1e-2 * slope.abs().max(0.2), "{kind}, {name}: {} {slope}", gradient[at]);
            }
        }
    }
}

#[test]
fn one_table_at_both_ends_is_replaced_at_one_end_only() {
    let model = Transformer::init(&config(32), 7, &Device::flex()).unwrap();
    let plain = LoraConfig { rank: 1, targets: vec!["q_proj".into()], ..LoraConfig::default() };
    let with = |module: &str| {
        let mut adapter =
            begun(&model, &LoraConfig { modules_to_save: vec![module.into()], ..plain.clone() });
        let own = adapter.weights.iter_mut().find(|tensor| tensor.name == format!("saved.{module}")).unwrap();
        own.values.iter_mut().for_each(|value| *value *= 2.0);
        logits(&adapter.attach(model.clone(), 1.0).unwrap(), &ROW)
    };
    // Twice the output projection gives twice the logits; what is read goes through a norm first.
    let twice: Vec<f32> = logits(&model, &ROW).iter().map(|x| 2.0 * x).collect();
    assert!(largest_difference(&twice, &with("lm_head")) < 1e-5);
    assert!(largest_difference(&twice, &with("embed_tokens")) > 1e-2);
}

fn start(stage: Stage, settings: &TrainConfig, lora: &LoraConfig) -> Run {
    let mut job = job(settings.clone(), stage, 23);
    let device = Device::flex().autodiff();
    let model = Transformer::init(&config(job.tokenizer.vocab_size()), 3, &device).unwrap();
    let base = Some(Fingerprint::of(&pollster::block_on(model.weights()).unwrap()));
    let config = AdapterConfig { lora: lora.clone(), base, base_name: None };
    let adapter = Adapter::init(&model, config, 1).unwrap();
    job.adapter = Some(pollster::block_on(adapter.begun(&model, 1)).unwrap());
    job.start(model).unwrap()
}

fn resume(stage: Stage, settings: &TrainConfig, files: &Files) -> Run {
    let read = |name: &str| Ok(files.get(name).cloned());
    let mut job = job(settings.clone(), stage, 23);
    let model =
        Transformer::init(&config(job.tokenizer.vocab_size()), 3, &Device::flex().autodiff()).unwrap();
    job.adapter = Some(opened(files));
    let (optimizer, progress) = read_training(read).unwrap();
    job.resume(model, optimizer, progress).unwrap()
}

#[test]
fn it_learns_beside_an_unchanged_base_and_resumes_bit_for_bit() {
    for (kind, lora) in kinds() {
        let lora = LoraConfig { dropout: 0.2, ..lora };
        let settings = TrainConfig { steps: Some(10), grad_accum: 2, ..train_config(Stage::Sft) };
        let mut whole = Record::default();
        let run = start(Stage::Sft, &settings, &lora);
        let before = pollster::block_on(run.model.weights()).unwrap();
        let outcome = train_run(run, &mut whole).unwrap();
        assert_eq!(before, pollster::block_on(outcome.model.weights()).unwrap(), "{kind}");
        assert!(whole.losses()[9] < whole.losses()[0], "{kind}: {:?}", whole.losses());
        let last = whole.snapshots.last().unwrap();
        let halves = last.weights.iter().filter(|tensor| !tensor.name.contains(".lora.1."));
        assert_eq!(last.optimizer.len(), 2 * halves.count(), "{kind}: moments of what trains alone");

        let mut first = Record::default();
        let mut run = start(Stage::Sft, &settings, &lora);
        run.stop_after = Some(3);
        let shape = train_run(run, &mut first).unwrap().model.config().clone();
        let files = run_files(first.snapshots.last().unwrap(), &shape, &tokenizer()).unwrap();
        let mut second = Record::default();
        train_run(resume(Stage::Sft, &settings, &files), &mut second).unwrap();
        assert_eq!(whole.losses(), [first.losses(), second.losses()].concat(), "{kind}");
        assert_eq!(last.weights, second.snapshots.last().unwrap().weights, "{kind}");
    }
}

#[test]
fn it_stands_beside_bits_as_beside_the_unpacked_model() {
    let config = ModelConfig {
        hidden_size: 64,
        intermediate_size: 96,
        head_dim: 16,
        tie_word_embeddings: false,
        ..config(64)
    };
    let files = {
        let model = Transformer::init(&config, 7, &Device::flex()).unwrap();
        directory_files(&config, &pollster::block_on(model.weights()).unwrap(), None).unwrap()
    };
    let checkpoint = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
    let bits = checkpoint.quantized_model(Quantization::Q8_0, &Device::flex()).unwrap();
    let unpacked = built(&pollster::block_on(bits.weights()).unwrap(), &config);
    for (kind, lora) in kinds() {
        let adapter = trained(&bits, &lora);
        let answers = |model: &Transformer| logits(&adapter.attach(model.clone(), 1.0).unwrap(), &ROW);
        let off = largest_difference(&answers(&bits), &answers(&unpacked));
        assert!(off < 1e-2, "{kind}: {off}");
        assert_eq!(trained(&unpacked, &lora).weights, adapter.weights, "{kind}");
    }
}

#[test]
fn what_does_not_act_together_is_refused() {
    let model = Transformer::init(&config(32), 7, &Device::flex()).unwrap();
    let of = |kind: &str| {
        let (_, lora) = kinds().into_iter().find(|(found, _)| *found == kind).unwrap();
        trained(&model, &lora)
    };
    let plain = trained(&model, &LoraConfig { rank: 4, ..LoraConfig::default() });
    for (one, other, part) in [
        (of("dora"), plain.clone(), "DoRA"),
        (of("head"), of("both ends"), "'lm_head' whole"),
        (of("embedding"), of("both ends"), "'embed_tokens' whole"),
    ] {
        for (first, second) in [(&one, &other), (&other, &one)] {
            let beside = first.attach(model.clone(), 1.0).unwrap();
            let message = second.attach(beside, 1.0).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
            let message = Adapter::refuse_mixtures(&[first.clone(), second.clone()]).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
    for (one, other) in [(of("pissa"), plain.clone()), (of("head"), plain), (of("head"), of("embedding"))] {
        let beside = one.attach(model.clone(), 1.0).unwrap();
        other.attach(beside, 1.0).unwrap();
        Adapter::refuse_mixtures(&[one, other]).unwrap();
    }
}

#[test]
fn what_is_not_whole_is_refused_by_name() {
    let model = Transformer::init(&config(32), 7, &Device::flex()).unwrap();
    let plain = LoraConfig { rank: 4, ..LoraConfig::default() };
    let unbegun = |lora: LoraConfig| {
        let config = AdapterConfig { lora, base: None, base_name: None };
        let adapter = Adapter::init(&model, config, 5).unwrap();
        adapter.attach(model.clone(), 1.0).unwrap_err().to_string()
    };
    for (lora, part) in [
        (LoraConfig { dora: true, ..plain.clone() }, "no lora_magnitude_vector"),
        (LoraConfig { init_lora: LoraInit::Pissa, ..plain.clone() }, "began as PiSSA"),
        (LoraConfig { modules_to_save: vec!["lm_head".into()], ..plain.clone() }, "'lm_head' whole"),
    ] {
        let message = unbegun(lora);
        assert!(message.contains(part), "{message}");
    }
    let config = AdapterConfig {
        lora: LoraConfig { rank: 17, init_lora: LoraInit::Pissa, ..plain },
        base: None,
        base_name: None,
    };
    let wide = Adapter::init(&model, config, 5).unwrap();
    let message = pollster::block_on(wide.begun(&model, 5)).unwrap_err().to_string();
    assert!(message.contains("--lora-rank is 17") && message.contains("at most"), "{message}");
    // Of another vocabulary.
    let (_, lora) = kinds().into_iter().find(|(kind, _)| *kind == "both ends").unwrap();
    let adapter = trained(&model, &lora);
    let wider = Transformer::init(&self::config(40), 7, &Device::flex()).unwrap();
    let message = adapter.attach(wider, 1.0).unwrap_err().to_string();
    assert!(message.contains("[32, 16]") && message.contains("[40, 16]"), "{message}");
}

#[test]
fn the_reference_of_preferences_is_the_model_without_any_of_it() {
    let model = Transformer::init(&config(32), 7, &Device::flex()).unwrap();
    let expected = values(sequence_log_probs(&model, &batch()));
    for (kind, lora) in kinds() {
        let adapted = trained(&model, &lora).attach(model.clone(), 1.0).unwrap();
        assert_ne!(expected, values(sequence_log_probs(&adapted, &batch())), "{kind}");
        assert_eq!(expected, values(sequence_log_probs(&adapted.base(), &batch())), "{kind}");
        assert_eq!(expected, values(sequence_log_probs(&adapted.valid().base(), &batch())), "{kind}");
    }
}
