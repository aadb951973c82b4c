//! A teacher that is asked once, on the loop: all of its tokens teach what it teaches in every step.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use kindling::batch::Batch;
use kindling::loss::{Distill, DistillConfig, KdLoss, Objective};
use kindling::model::Transformer;
use kindling::train::{Job, Run, Stage, TeacherTokens, TrainConfig};

use crate::tiny::{Record, config, dataset, job, tokenizer, train_config, train_run, values};

const ROWS: usize = 8;

fn model(seed: u64, device: &Device) -> Transformer {
    Transformer::init(&config(tokenizer().vocab_size()), seed, device).unwrap()
}

fn student() -> Transformer {
    model(3, &Device::flex().autodiff())
}

fn teacher() -> Transformer {
    model(9, &Device::flex())
}

/// A lesson on rows of a stage, of which the teacher is asked once where it is.
fn lesson(rows: Stage, settings: TrainConfig, distill: DistillConfig) -> Job {
    let objective = Distill::new(distill.clone());
    let objective = match distill.teacher_top_k {
        0 => objective.with_teacher(&teacher()),
        _ => objective.with_asked_teacher(teacher().config()),
    };
    let dataset = Arc::new(dataset(rows, ROWS));
    Job { objective: Arc::new(objective), dataset, ..job(settings, Stage::Distill, ROWS) }
}

fn begun(job: Job) -> Run {
    let asked = job.clone();
    let run = job.start(student()).unwrap();
    let ties = asked.teacher_ties(&teacher(), "weights", run.model.config()).unwrap();
    let Some(ties) = ties else { return run };
    let mut rows = 0;
    let mut told = |done| {
        rows = done;
        true
    };
    let known = pollster::block_on(asked.teacher_tokens(&teacher(), TeacherTokens::unasked(ties), &mut told))
        .unwrap();
    assert_eq!(rows, ROWS as u64);
    run.with_teacher_tokens(Arc::new(known))
}

fn trained(job: Job) -> Record {
    let mut record = Record::default();
    train_run(begun(job), &mut record).unwrap();
    record
}

#[test]
fn all_tokens_teach_as_the_teacher_itself_does() {
    for (rows, kd_loss) in
        [(Stage::Pretrain, KdLoss::ForwardKl), (Stage::Sft, KdLoss::ReverseKl), (Stage::Sft, KdLoss::Jsd)]
    {
        let settings = TrainConfig {
            steps: Some(4),
            learning_rate: 1e-3,
            val_split: 0.25,
            eval_every: 2,
            packing: false,
            ..train_config(Stage::Distill)
        };
        let of = |teacher_top_k: usize| {
            let distill = DistillConfig { alpha: 0.25, kd_loss, teacher_top_k, ..DistillConfig::default() };
            trained(lesson(rows, settings.clone(), distill))
        };
        let (live, kept) = (of(0), of(tokenizer().vocab_size()));
        let measured = |record: &Record| [record.losses(), record.evals.clone()].concat();
        for (live, kept) in measured(&live).iter().zip(measured(&kept)) {
            assert!((live - kept).abs() < 1e-3 * live, "{rows:?} {kd_loss:?}: {live} {kept}");
        }
        let few = of(3);
        assert!(
            few.logs[0].metrics["kd_loss"] < live.logs[0].metrics["kd_loss"],
            "{:?}",
            few.logs[0].metrics
        );
        assert!((few.logs[0].metrics["ce_loss"] - live.logs[0].metrics["ce_loss"]).abs() < 1e-5);
    }
}

#[test]
fn parts_of_a_batch_bring_their_own_targets_and_nothing_kept_is_no_number() {
    let distill = DistillConfig { teacher_top_k: 5, ..DistillConfig::default() };
    let settings = TrainConfig { batch_size: 4, ..train_config(Stage::Distill) };
    let mut run = begun(lesson(Stage::Sft, settings, distill.clone()));
    let batch = pollster::block_on(run.batches.next(&run.model)).unwrap().unwrap();
    let objective = Distill::new(distill).with_asked_teacher(teacher().config());
    let model = student().valid();
    let loss = |batch: &Batch| f64::from(values(objective.loss(&model, batch).sum)[0]);
    let parts: f64 = batch.split(3).iter().map(loss).sum();
    assert!((parts - loss(&batch)).abs() < 1e-5 * parts, "{parts} {}", loss(&batch));
    assert!(loss(&Batch { taught: None, ..batch }).is_nan());
}

#[test]
fn what_does_not_stand_beside_a_kept_teacher_is_named() {
    let refused = |settings: TrainConfig, teacher_top_k: usize| {
        let distill = DistillConfig { teacher_top_k, ..DistillConfig::default() };
        let job = lesson(Stage::Pretrain, settings, distill);
        job.start(student()).err().map_or("it starts".to_string(), |error| error.to_string())
    };
    let plain = || train_config(Stage::Distill);
    assert_eq!(refused(plain(), 4), "it starts");
    let packed = refused(TrainConfig { packing: true, keep_share: 0.2, ..plain() }, 9999);
    for part in ["--teacher-top-k is 9999", "--packing cuts rows", "--keep-share mixes in rows"] {
        assert!(packed.contains(part), "{packed}");
    }
}

#[test]
fn asking_that_is_stopped_goes_on_with_the_rows_that_are_left() {
    let settings = TrainConfig { steps: Some(2), batch_size: 2, ..train_config(Stage::Distill) };
    let distill = DistillConfig { teacher_top_k: 3, ..DistillConfig::default() };
    let job = lesson(Stage::Sft, TrainConfig { packing: false, ..settings }, distill);
    let ties = job.teacher_ties(&teacher(), "weights", student().config()).unwrap().unwrap();
    let ask = |begun: TeacherTokens, most: u64| {
        let mut told = |done: u64| done < most;
        pollster::block_on(job.teacher_tokens(&teacher(), begun, &mut told)).unwrap()
    };
    let whole = ask(TeacherTokens::unasked(ties.clone()), u64::MAX);
    assert!(whole.whole && whole.known.len() == ROWS);
    let begun = ask(TeacherTokens::unasked(ties.clone()), 1);
    assert!(!begun.whole && begun.known.len() == 2, "a batch of two, and no more: {}", begun.known.len());
    assert_eq!(ask(begun.clone(), u64::MAX), whole);
    // What is known is not asked again: one that was changed stays.
    let mut changed = begun;
    changed.known.values_mut().for_each(|top| top.log_probs.iter_mut().for_each(|value| *value = -1.0));
    let gone_on = ask(changed.clone(), u64::MAX);
    assert!(changed.known.iter().all(|(key, top)| gone_on.known[key] == *top));
}
