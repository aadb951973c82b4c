//! An early end: a run that is no longer better ends with its best weights.

use burn::tensor::Device;
use kindling::checkpoint::{Checkpoint, read_training};
use kindling::optim::LrSchedule;
use kindling::train::{Stage, TrainConfig, TrainOptions};

use crate::tiny::{Record, job, start, train_config, train_run};
use crate::training::stored;

fn device() -> Device {
    Device::flex().autodiff()
}

/// A run that is soon no longer better, and its settings.
fn overfitting(ema: f64) -> TrainConfig {
    TrainConfig {
        steps: Some(300),
        learning_rate: 3e-2,
        lr_schedule: LrSchedule::Constant,
        val_split: 0.3,
        eval_every: 3,
        keep_last: 99,
        options: TrainOptions { early_stop: 2, ema, ..TrainOptions::default() },
        ..train_config(Stage::Sft)
    }
}

#[test]
fn a_run_ends_after_so_many_measurements_that_were_no_better_with_its_best_weights() {
    for ema in [0.0, 0.5] {
        let config = overfitting(ema);
        let mut record = Record::default();
        let outcome = train_run(start(config.clone(), Stage::Sft, 12, &device()), &mut record).unwrap();
        let progress = &outcome.progress;
        let (step, best_step) = (progress.step, progress.patience.best_step);
        assert!(step < 300 && !outcome.stopped, "{step}");
        assert_eq!((progress.total_steps, progress.patience.stale), (step, 2));
        assert_eq!(step, best_step + 2 * 3);
        let best = record.evals.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(progress.best_loss, Some(best));
        assert_eq!(record.evals[record.evals.len() - 3], best, "the third from the end: {:?}", record.evals);
        let at = |step: u64| record.snapshots.iter().find(|snapshot| snapshot.progress.step == step).unwrap();
        let last = record.snapshots.last().unwrap();
        assert_eq!(last.progress.step, step);
        assert_eq!(last.weights, at(best_step).weights);
        assert_eq!(pollster::block_on(outcome.model.weights()).unwrap(), last.weights);
        assert!((outcome.held_out.unwrap().loss - best).abs() < 1e-9 * best);
        // It goes on to its end, which is here, and stays as it is.
        let files = stored(last);
        let read = |name: &str| Ok(files.get(name).cloned());
        let model = Checkpoint::open(read).unwrap().model(&device()).unwrap();
        let (optimizer, progress) = read_training(read).unwrap();
        let mut again = Record::default();
        let run = job(config, Stage::Sft, 12).resume(model, optimizer, progress).unwrap();
        let outcome = train_run(run, &mut again).unwrap();
        assert!(again.logs.is_empty() && again.snapshots.is_empty());
        assert_eq!(pollster::block_on(outcome.model.weights()).unwrap(), last.weights);
    }
}

#[test]
fn a_run_that_may_end_early_and_does_not_keeps_its_best_weights_too() {
    let mut config = overfitting(0.0);
    config.options.early_stop = 1000;
    config.steps = Some(120);
    let mut record = Record::default();
    let outcome = train_run(start(config, Stage::Sft, 12, &device()), &mut record).unwrap();
    let best_step = outcome.progress.patience.best_step;
    assert_eq!(outcome.progress.step, 120);
    assert!(best_step < 120, "the last measurement is not the best: {:?}", record.evals);
    let best = record.snapshots.iter().find(|snapshot| snapshot.progress.step == best_step).unwrap();
    assert_eq!(record.snapshots.last().unwrap().weights, best.weights);
}
