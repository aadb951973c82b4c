//! Sources with shares: what a run reads of each, over several passes, and after it was interrupted.

use std::collections::BTreeMap;
use std::sync::Arc;

use kindling::batch::Batch;
use kindling::checkpoint::{Checkpoint, read_training};
use kindling::data::{DataOptions, Dataset, Memory, Source, SourceShare};
use kindling::loss::{Dpo, DpoConfig, Reference};
use kindling::model::Transformer;
use kindling::train::{Job, Run, Stage, TrainConfig};

use crate::tiny::{Record, config, job, tokenizer, train_config, train_run};
use crate::training::{device, stored};

fn model() -> Transformer {
    Transformer::init(&config(tokenizer().vocab_size()), 3, &device()).unwrap()
}

/// 12 rows of `cat.jsonl` and 5 of `dog.jsonl`, with these shares.
fn mix(stage: Stage, shares: [f64; 2]) -> Dataset {
    let of = |name: &str, rows: usize| -> Arc<dyn Source> {
        let row = |i: usize| match stage {
            Stage::Pretrain => format!("{{\"text\": \"the {name} sat on the log number {i}.\"}}\n"),
            Stage::Dpo => {
                format!("{{\"prompt\": \"{name} {i}?\", \"chosen\": \"sat {i}\", \"rejected\": \"no\"}}\n")
            }
            _ => format!("{{\"user\": \"the {name} {i}?\", \"assistant\": \"on log {i}.\"}}\n"),
        };
        Arc::new(Memory::new(&format!("{name}.jsonl"), (0..rows).map(row).collect::<String>()))
    };
    let named = |name: &str, share: f64| SourceShare { name: name.into(), share, files: 1 };
    let shares = [named("cat.jsonl", shares[0]), named("dog.jsonl", shares[1])];
    let options = DataOptions { kind: stage.row_kind(), ..DataOptions::default() };
    Dataset::open_mix(vec![of("cat", 12), of("dog", 5)], &shares, options).unwrap()
}

fn mixed(settings: TrainConfig, stage: Stage) -> Job {
    let job = Job { dataset: Arc::new(mix(stage, [0.5, 0.5])), ..job(settings, stage, 1) };
    match stage {
        Stage::Dpo => {
            Job { objective: Arc::new(Dpo::new(DpoConfig::default(), Reference::frozen(&model()))), ..job }
        }
        _ => job,
    }
}

/// All batches of a run.
fn given(run: Run) -> Vec<Batch> {
    let (model, mut batches) = (run.model, run.batches);
    std::iter::from_fn(|| pollster::block_on(batches.next(&model)).unwrap()).collect()
}

#[test]
fn shares_hold_in_every_pass_and_each_row_comes_as_often_as_its_fellows() {
    for (stage, each) in [(Stage::Sft, 1), (Stage::Dpo, 2)] {
        // 12 cats at one half are a pass of 24 rows; 5 dogs come 12 times in it.
        let settings = TrainConfig { steps: None, epochs: 5.0, batch_size: 4, ..train_config(stage) };
        let run = mixed(settings, stage).start(model()).unwrap();
        assert_eq!(run.progress.total_steps, 30, "{stage:?}");
        assert!(
            run.warnings.iter().any(|told| told.contains("24 rows, 12 of cat.jsonl (50 %")),
            "{:?}",
            run.warnings
        );
        let batches = given(run);
        assert_eq!(batches.len(), 30);
        let mut times: BTreeMap<(String, u64), usize> = BTreeMap::new();
        for pass in batches.chunks(6) {
            let origins = || pass.iter().flat_map(|batch| &batch.origins).step_by(each);
            assert_eq!(origins().count(), 24);
            assert_eq!(origins().filter(|origin| origin.source == "dog.jsonl").count(), 12);
            origins().for_each(|origin| *times.entry((origin.source.clone(), origin.line)).or_default() += 1);
        }
        // 60 dogs in five passes are 12 rounds.
        let expected = |(source, _): &(String, u64)| if source == "dog.jsonl" { 12 } else { 5 };
        assert_eq!(times.len(), 17);
        assert!(times.iter().all(|(row, &times)| times == expected(row)), "{times:?}");
    }
}

#[test]
fn a_mix_goes_on_bit_for_bit_and_counts_what_it_read() {
    for (stage, packing) in
        [(Stage::Sft, false), (Stage::Sft, true), (Stage::Pretrain, true), (Stage::Dpo, false)]
    {
        let case = format!("{stage:?} packing {packing}");
        let settings = TrainConfig {
            steps: None,
            epochs: 3.0,
            batch_size: if packing { 1 } else { 4 },
            max_seq_len: 48,
            packing,
            val_split: 0.2,
            ..train_config(stage)
        };
        let job = || mixed(settings.clone(), stage);
        let mut whole = Record::default();
        let ended = train_run(job().start(model()).unwrap(), &mut whole).unwrap().progress;
        // 10 cats and 4 dogs are left: a pass has 10 of each.
        let drawn: Vec<(&str, u64)> =
            ended.loader.drawn.iter().map(|(name, &rows)| (name.as_str(), rows)).collect();
        assert_eq!(drawn, [("cat.jsonl", 30), ("dog.jsonl", 30)], "{case}");
        for stop in [2, ended.step - 1] {
            let mut first = Record::default();
            train_run(Run { stop_after: Some(stop), ..job().start(model()).unwrap() }, &mut first).unwrap();
            let files = stored(first.snapshots.last().unwrap());
            let read = |name: &str| Ok(files.get(name).cloned());
            let saved = Checkpoint::open(read).unwrap().model(&device()).unwrap();
            let (optimizer, progress) = read_training(read).unwrap();
            let mut second = Record::default();
            let again =
                train_run(job().resume(saved, optimizer, progress).unwrap(), &mut second).unwrap().progress;
            assert_eq!(
                whole.losses(),
                [first.losses(), second.losses()].concat(),
                "{case} stopped at {stop}"
            );
            assert_eq!(again, ended, "{case} stopped at {stop}");
            assert_eq!(whole.evals.last(), second.evals.last(), "{case}");
        }
    }
}

#[test]
fn other_shares_are_other_data() {
    let settings = TrainConfig { steps: Some(4), ..train_config(Stage::Sft) };
    let mut record = Record::default();
    train_run(
        Run { stop_after: Some(2), ..mixed(settings.clone(), Stage::Sft).start(model()).unwrap() },
        &mut record,
    )
    .unwrap();
    let files = stored(record.snapshots.last().unwrap());
    let read = |name: &str| Ok(files.get(name).cloned());
    let saved = Checkpoint::open(read).unwrap().model(&device()).unwrap();
    let (optimizer, progress) = read_training(read).unwrap();
    let other = Job { dataset: Arc::new(mix(Stage::Sft, [0.7, 0.3])), ..mixed(settings, Stage::Sft) };
    let message =
        other.resume(saved, optimizer, progress).err().map_or(String::new(), |error| error.to_string());
    assert!(message.contains("but they are not the same"), "{message}");
}
