//! Few rows teach: enough steps, an end once they are learned, and rows of what was known that stay known.

use std::sync::Arc;

use kindling::chat::{Exercise, spread};
use kindling::checkpoint::{Checkpoint, read_training};
use kindling::data::{DataOptions, Dataset, Memory, Source};
use kindling::formats::Files;
use kindling::model::{NamedTensor, Transformer};
use kindling::train::{Job, Progress, Stage, TrainConfig};

use crate::tiny::{Record, dataset, job, train_config, train_run};
use crate::training::{device, stored};

/// Ends once all rows are learned, long before its last step.
fn until_learned() -> TrainConfig {
    TrainConfig {
        steps: None,
        epochs: 1.0,
        min_steps: 1500,
        stop_at_loss: 0.01,
        batch_size: 4,
        ..train_config(Stage::Sft)
    }
}

fn fresh() -> Transformer {
    let shape = crate::tiny::config(crate::tiny::tokenizer().vocab_size());
    Transformer::init(&shape, 3, &device()).unwrap()
}

/// Of the rows' own questions those that are answered right.
fn right(model: &Transformer, rows: &Dataset) -> u64 {
    let tokenizer = crate::tiny::tokenizer();
    let is_right = |row: u64| {
        let exercise = Exercise::of(&rows.row(row).unwrap().unwrap().0).unwrap();
        exercise.is_right(&pollster::block_on(exercise.answer(model, &tokenizer)).unwrap())
    };
    spread(rows.len(), 8).filter(|row| is_right(*row)).count() as u64
}

/// What the model is taught of other things than the shop's pets.
fn news(rows: usize) -> Dataset {
    let things = ["kettle", "lantern", "ladder"];
    let row = |thing: &&str| {
        format!("{{\"user\": \"Whose is the {thing}?\", \"assistant\": \"The {thing} is mine.\"}}\n")
    };
    let text: String = things.iter().take(rows).map(row).collect();
    let source: Arc<dyn Source> = Arc::new(Memory::new("news.jsonl", text));
    Dataset::open(vec![source], DataOptions::default()).unwrap()
}

#[test]
fn few_rows_are_seen_often_and_many_as_before() {
    let steps = |rows: usize, changed: TrainConfig| {
        job(changed, Stage::Sft, rows).start(fresh()).unwrap().progress.total_steps
    };
    let config = TrainConfig { min_steps: 50, epochs: 2.0, ..until_learned() };
    assert_eq!([1, 3, 5, 100, 101].map(|rows| steps(rows, config.clone())), [50, 50, 50, 50, 52]);
    assert_eq!(steps(3, TrainConfig { min_steps: 0, ..config.clone() }), 2);
    assert_eq!(steps(3, TrainConfig { steps: Some(7), ..config }), 7, "steps that are asked for are taken");
}

#[test]
fn one_three_and_five_rows_are_learned_to_the_last() {
    for rows in [1, 3, 5] {
        let run = job(until_learned(), Stage::Sft, rows).start(fresh()).unwrap();
        let lesson = dataset(Stage::Sft, rows);
        assert!(right(&run.model, &lesson) < rows as u64, "there is something to learn");
        let mut record = Record::default();
        let outcome = train_run(run, &mut record).unwrap();
        let (step, losses) = (outcome.progress.step, record.losses());
        assert!(outcome.learned && step < 1500, "{rows} rows: {step} steps, {:?}", losses.last());
        assert_eq!((outcome.progress.total_steps, losses.len() as u64), (step, step));
        assert_eq!(right(&outcome.model, &lesson), rows as u64);
        // A whole pass was low and the step that begins the next one; no pass before was.
        let pass = rows.div_ceil(4);
        let low: Vec<bool> = losses.iter().map(|loss| *loss < 0.01).collect();
        assert!(low[low.len() - pass - 1..].iter().all(|low| *low), "{:?}", &losses[losses.len() - 6..]);
        let whole = |end: usize| end.is_multiple_of(pass) && low[end - pass..=end].iter().all(|low| *low);
        assert!(!(pass..low.len() - 1).any(whole));
    }
}

/// The weights and the progress at the end of a run that is stopped, stored and resumed after each of `stops`.
fn run_with_stops(make: &dyn Fn() -> Job, stops: &[u64]) -> (Vec<NamedTensor>, Progress) {
    let (mut files, mut end): (Option<Files>, _) = (None, None);
    for stop in stops.iter().copied().map(Some).chain([None]) {
        let mut run = match &files {
            None => make().start(fresh()).unwrap(),
            Some(files) => {
                let read = |name: &str| Ok(files.get(name).cloned());
                let model = Checkpoint::open(read).unwrap().model(&device()).unwrap();
                let (optimizer, progress) = read_training(read).unwrap();
                make().resume(model, optimizer, progress).unwrap()
            }
        };
        run.stop_after = stop;
        let mut record = Record::default();
        let outcome = train_run(run, &mut record).unwrap();
        files = Some(stored(record.snapshots.last().unwrap()));
        end = Some((pollster::block_on(outcome.model.weights()).unwrap(), outcome.progress));
    }
    end.unwrap()
}

#[test]
fn a_run_that_keeps_and_ends_early_resumes_bit_for_bit() {
    let known = Arc::new(dataset(Stage::Sft, 9));
    let make = |keep_share: f64| {
        // Judged at every third step, and low as soon as something was learned.
        let config = TrainConfig {
            min_steps: 600,
            stop_at_loss: 1.5,
            keep_share,
            log_every: 3,
            batch_size: 2,
            ..until_learned()
        };
        let (keep, dataset) = (Some(Arc::clone(&known)), Arc::new(news(3)));
        Job { dataset, keep, ..job(config, Stage::Sft, 1) }
    };
    let keeping = || make(0.4);
    let (weights, progress) = run_with_stops(&keeping, &[]);
    let end = progress.step;
    assert!((8..600).contains(&end) && end.is_multiple_of(3), "{end}");
    assert_eq!(progress.keep, Some(known.fingerprint()));
    for stops in [vec![2, end / 2], vec![end - 1], vec![3, end - 3, end - 2]] {
        let (resumed, at) = run_with_stops(&keeping, &stops);
        assert_eq!(at.step, end, "{stops:?}");
        assert_eq!(resumed, weights, "{stops:?}");
    }
    let without = || make(0.0);
    assert_ne!(run_with_stops(&without, &[]).0, weights, "what is kept acts");
}

#[test]
fn rows_to_keep_that_are_gone_or_others_are_told() {
    let make = |keep: Option<Dataset>| {
        let config = TrainConfig { steps: Some(4), keep_share: 0.5, ..train_config(Stage::Sft) };
        Job { keep: keep.map(Arc::new), ..job(config, Stage::Sft, 4) }
    };
    let told = |began: Option<Dataset>, goes_on: Option<Dataset>| {
        let mut record = Record::default();
        let run = make(began).start(fresh()).unwrap();
        train_run(run, &mut record).unwrap();
        let snapshot = record.snapshots.pop().unwrap();
        let run = make(goes_on).resume(fresh(), snapshot.optimizer, snapshot.progress).unwrap();
        run.warnings.join(" ")
    };
    assert!(!told(Some(news(2)), Some(news(2))).contains("rows"));
    assert!(told(Some(news(2)), None).contains("not at hand"));
    assert!(told(Some(news(2)), Some(news(3))).contains("are others now"));
    assert!(told(None, Some(news(2))).contains("began without rows to keep"));
    let remarks = make(Some(news(2))).remarks(&make(None).survey(0).unwrap());
    assert!(remarks.iter().any(|remark| remark.contains("50 %") && remark.contains("--keep-share 0")));
}

#[test]
fn what_is_kept_stays_known_while_something_else_is_learned() {
    let known = dataset(Stage::Sft, 6);
    let base = || {
        let run = job(until_learned(), Stage::Sft, 6).start(fresh()).unwrap();
        train_run(run, &mut Record::default()).unwrap().model
    };
    assert_eq!(right(&base(), &known), 6);
    let lesson = news(3);
    let taught = |keep_share: f64| {
        let config = TrainConfig { keep_share, ..until_learned() };
        let (keep, dataset) = (Some(Arc::new(dataset(Stage::Sft, 6))), Arc::new(news(3)));
        let mut record = Record::default();
        let run = Job { dataset, keep, ..job(config, Stage::Sft, 1) }.start(base()).unwrap();
        let outcome = train_run(run, &mut record).unwrap();
        assert!(outcome.learned, "{:?}", record.losses().last());
        assert_eq!(right(&outcome.model, &lesson), 3);
        // Told beside the lesson's loss, which alone decides the end.
        let told = record.logs.iter().all(|log| log.metrics.contains_key("keep_loss") == (keep_share > 0.0));
        assert!(told);
        right(&outcome.model, &known)
    };
    let (with, without) = (taught(0.5), taught(0.0));
    assert!(with >= 4 && without < with, "{with} of 6 stay known with rows to keep, {without} without");
}

#[test]
fn a_run_that_was_done_goes_on_for_more_steps() {
    let config = TrainConfig { min_steps: 300, stop_at_loss: 1.5, ..until_learned() };
    let make = || job(config.clone(), Stage::Sft, 3);
    let mut record = Record::default();
    let outcome = train_run(make().start(fresh()).unwrap(), &mut record).unwrap();
    assert!(outcome.learned);
    let snapshot = record.snapshots.pop().unwrap();
    let (end, before) = (snapshot.progress.step, record.losses());
    let mut progress = snapshot.progress.clone();
    progress.go_on_for(20);
    assert_eq!((progress.step, progress.total_steps), (end, end + 20));
    let mut record = Record::default();
    let run = make().resume(outcome.model, snapshot.optimizer, progress).unwrap();
    let more = train_run(run, &mut record).unwrap();
    assert_eq!((more.progress.step, more.learned), (end + 20, false), "low losses no longer end it");
    assert_eq!(record.logs[0].lr, config.schedule(end + 20).at(end), "as if planned from the beginning");
    assert!(record.losses()[19] < *before.last().unwrap());
}
