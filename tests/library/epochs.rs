//! Passes over the data: as many steps as were planned give every row once, or the data's end is the run's.

use std::sync::Arc;

use kindling::batch::{Batch, EncodedRows, Encoder, Fit, Loader, LoaderConfig, TooLong};
use kindling::checkpoint::{Checkpoint, read_training};
use kindling::data::{DataOptions, Dataset, Memory, Source};
use kindling::loss::{NextToken, Objective};
use kindling::model::Transformer;
use kindling::train::{Job, Progress, Run, Stage, TrainConfig};

use crate::tiny::{Record, job, start, train_config, train_run, values};
use crate::training::{device, stored};

#[test]
fn an_epoch_gives_every_row_once() {
    let config = TrainConfig { steps: None, epochs: 2.0, batch_size: 4, ..train_config(Stage::Sft) };
    let run = start(config, Stage::Sft, 23, &device());
    assert_eq!(run.progress.total_steps, 12);
    let model = run.model;
    let mut batches = run.batches;
    let mut next = || pollster::block_on(batches.next(&model)).unwrap().unwrap();
    let mut lines = Vec::new();
    for _ in 0..6 {
        lines.extend(next().origins.iter().map(|origin| origin.line));
    }
    let shuffled = lines.clone();
    lines.sort_unstable();
    assert_eq!(lines, (1..=23).collect::<Vec<u64>>());
    assert_ne!(shuffled, lines);
    let second: Vec<u64> = (0..6).flat_map(|_| next().origins).map(|origin| origin.line).collect();
    assert_ne!(shuffled, second, "the second epoch has another order");
    assert!(pollster::block_on(batches.next(&model)).unwrap().is_none(), "and is the last");
}

#[test]
fn the_steps_of_an_epoch_are_one_true_pass() {
    // Texts of 1 to 60 words cut into pieces, and conversations whose answers do not all fit.
    for (stage, packing, too_long) in [
        (Stage::Pretrain, false, TooLong::Cut),
        (Stage::Pretrain, true, TooLong::Cut),
        (Stage::Pretrain, false, TooLong::Drop),
        (Stage::Sft, true, TooLong::Cut),
        (Stage::Sft, true, TooLong::Drop),
        (Stage::Sft, false, TooLong::Drop),
    ] {
        let config = TrainConfig {
            steps: None,
            epochs: 1.0,
            max_seq_len: 48,
            packing,
            too_long,
            ..train_config(stage)
        };
        let job = Job { dataset: Arc::new(uneven(stage)), ..job(config, stage, 1) };
        let fit = Fit::new(job.content(), 48, too_long);
        let pass = LoaderConfig { batch_size: job.config.batch_size, fit, packing, seed: job.config.seed };
        let encoder = Encoder::new(Arc::clone(&job.tokenizer), job.content());
        let rows = EncodedRows { dataset: Arc::clone(&job.dataset), encoder, skip_bad_rows: false };
        let split = job.split();
        let mut pass = Loader::new(Arc::new(rows), pass, split.order().clone(), split.train_part(), false);
        let mut batches = 0;
        while pass.next_batch().unwrap().is_some() {
            batches += 1;
        }
        let planned = job.start(model_of_tokenizer()).unwrap().progress.total_steps;
        assert_eq!(planned, batches, "{stage:?} packing {packing} {too_long:?}");
        assert!(batches > 5);
    }
}

#[test]
fn a_run_of_estimated_steps_ends_where_the_data_ends() {
    // More rows than are looked at.
    let config = TrainConfig { steps: None, epochs: 1.0, batch_size: 8, ..train_config(Stage::Pretrain) };
    let job = || job(config.clone(), Stage::Pretrain, 2300);
    let looked_at = job().survey(0).unwrap();
    assert_eq!(looked_at.rows, 2000);
    // As if the rows that were looked at were shorter, or longer, than the others.
    let start = |share: f64| {
        let mut survey = looked_at.clone();
        survey.tokens = (survey.tokens as f64 * share) as u64;
        job().start_surveyed(model_of_tokenizer(), &survey).unwrap()
    };
    let run = start(1.0);
    assert!(run.warnings.iter().any(|told| told.contains("an estimate from 2000 of 2300 rows")));
    let (model, mut batches) = (run.model, run.batches);
    let (mut pass, mut lines) = (0, Vec::new());
    while let Some(batch) = pollster::block_on(batches.next(&model)).unwrap() {
        pass += 1;
        lines.extend(batch.origins.iter().map(|origin| origin.line));
    }
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines, (1..=2300).collect::<Vec<u64>>());
    assert!(batches.ended() && pass > 20);
    for share in [0.8, 1.2] {
        let mut whole = Record::default();
        let run = start(share);
        let planned = run.progress.total_steps;
        assert!(planned.abs_diff(pass) > 2, "{planned} {pass}");
        let outcome = train_run(run, &mut whole).unwrap();
        assert!(!outcome.stopped);
        let progress = outcome.progress;
        assert_eq!((progress.step, progress.total_steps), (pass, pass));
        assert_eq!(progress.planned_steps, Some(planned));
        assert_eq!((whole.logs.len() as u64, whole.snapshots.len()), (pass, 1));
        // Stopped before its end, where the plan may be behind it, it goes on bit for bit.
        let mut first = Record::default();
        train_run(Run { stop_after: Some(pass - 2), ..start(share) }, &mut first).unwrap();
        let files = stored(first.snapshots.last().unwrap());
        let read = |name: &str| Ok(files.get(name).cloned());
        let model = Checkpoint::open(read).unwrap().model(&device()).unwrap();
        let (optimizer, saved) = read_training(read).unwrap();
        assert!(saved.total_steps > saved.step);
        let mut second = Record::default();
        train_run(job().resume(model, optimizer, saved).unwrap(), &mut second).unwrap();
        assert_eq!(whole.losses(), [first.losses(), second.losses()].concat());
        assert_eq!(whole.snapshots[0].weights, second.snapshots[0].weights);
        assert_eq!(whole.snapshots[0].progress, second.snapshots[0].progress);
    }
}

#[test]
fn steps_of_several_batches_end_where_the_passes_end() {
    for (packing, epochs, batch_size) in [(false, 1.0, 4), (false, 1.5, 4), (true, 1.0, 1), (true, 1.5, 1)] {
        let case = format!("packing {packing}, {epochs} passes");
        let config = TrainConfig {
            steps: None,
            epochs,
            batch_size,
            packing,
            grad_accum: 4,
            ..train_config(Stage::Sft)
        };
        let job = || job(config.clone(), Stage::Sft, 23);
        let start = || job().start(model_of_tokenizer()).unwrap();
        let given = given(start());
        if !packing {
            assert_eq!(given.len(), if epochs == 1.0 { 6 } else { 9 }, "23 rows, and 12 of another pass");
        }
        let steps = given.len().div_ceil(4);
        let mut whole = Record::default();
        let ended = train_run(start(), &mut whole).unwrap().progress;
        assert_eq!((ended.step, ended.total_steps), (steps as u64, steps as u64), "{case}");
        assert_eq!(ended.tokens, given.iter().map(Batch::tokens).sum::<usize>() as u64, "{case}");

        // The last step has fewer batches, and is divided by their weight alone.
        let mut first = Record::default();
        let stopped = Run { stop_after: Some(steps as u64 - 1), ..start() };
        let before = train_run(stopped, &mut first).unwrap().model;
        let last = &given[(steps - 1) * 4..];
        let sum: f32 = last.iter().map(|batch| values(NextToken.loss(&before, batch).sum)[0]).sum();
        let mean = f64::from(sum) / last.iter().map(Batch::weight).sum::<f64>();
        let told = whole.logs.last().unwrap().loss;
        assert!((mean - told).abs() < 1e-4 * mean, "{case}: {mean} {told}");

        let (saved, losses) = go_on(job(), &first, |_| {});
        assert_eq!(whole.losses(), [first.losses(), losses].concat(), "{case}");
        assert_eq!(saved, ended, "{case}");
        // A run of before keeps to its number of steps, whose last one goes on in another pass.
        let (of_before, _) = go_on(job(), &first, |progress| progress.planned_steps = None);
        assert_eq!((of_before.step, of_before.planned_steps), (of_before.total_steps, None), "{case}");
        assert!(packing || of_before.tokens > ended.tokens, "{case}");
    }
}

#[test]
fn a_run_whose_steps_were_an_estimate_still_ends_with_its_data() {
    let config = TrainConfig { steps: None, ..train_config(Stage::Sft) };
    let progress = start(config, Stage::Sft, 23, &device()).progress;
    let mut of_before = serde_json::to_value(&progress).unwrap();
    let planned = of_before.as_object_mut().unwrap().remove("planned_steps").unwrap();
    of_before["estimated_steps"] = planned;
    assert_eq!(serde_json::from_value::<Progress>(of_before).unwrap(), progress);
    let counted = start(train_config(Stage::Sft), Stage::Sft, 23, &device()).progress;
    assert_eq!(counted.planned_steps, None, "--steps ends where it says");
}

/// All batches of a run.
fn given(run: Run) -> Vec<Batch> {
    let (model, mut batches) = (run.model, run.batches);
    std::iter::from_fn(|| pollster::block_on(batches.next(&model)).unwrap()).collect()
}

/// A run that goes on from the last save of another, under a changed progress: where it ends, and its losses.
fn go_on(job: Job, saved: &Record, change: fn(&mut Progress)) -> (Progress, Vec<f64>) {
    let files = stored(saved.snapshots.last().unwrap());
    let read = |name: &str| Ok(files.get(name).cloned());
    let model = Checkpoint::open(read).unwrap().model(&device()).unwrap();
    let (optimizer, mut progress) = read_training(read).unwrap();
    change(&mut progress);
    let mut record = Record::default();
    let outcome = train_run(job.resume(model, optimizer, progress).unwrap(), &mut record).unwrap();
    (outcome.progress, record.losses())
}

/// Rows of very different lengths.
fn uneven(stage: Stage) -> Dataset {
    let mut text = String::new();
    for i in 0..40 {
        let words = "the cat sat on the mat. ".repeat(1 + i * i % 11 * (i % 3));
        text += &match stage {
            Stage::Pretrain => format!("{{\"text\": \"{words}\"}}\n"),
            Stage::Sft | Stage::Distill | Stage::Reason | Stage::Grpo => {
                format!("{{\"user\": \"{i}?\", \"assistant\": \"{words}\"}}\n")
            }
            Stage::Dpo => {
                format!("{{\"prompt\": \"{i}?\", \"chosen\": \"{words}\", \"rejected\": \"{words} no\"}}\n")
            }
        };
    }
    let source: Arc<dyn Source> = Arc::new(Memory::new("rows.jsonl", text));
    let options = DataOptions { kind: stage.row_kind(), ..DataOptions::default() };
    Dataset::open(vec![source], options).unwrap()
}

fn model_of_tokenizer() -> Transformer {
    let shape = crate::tiny::config(crate::tiny::tokenizer().vocab_size());
    Transformer::init(&shape, 3, &device()).unwrap()
}
