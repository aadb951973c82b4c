//! Distillation on the loop, of conversations and of texts: a teacher's share, how a step is divided, and answers of the
//! student's own.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use kindling::batch::Batch;
use kindling::kernels::Quantization;
use kindling::loss::{Distill, DistillConfig, KdLoss, Objective};
use kindling::model::{Transformer, fresh_weights};
use kindling::optim::LrSchedule;
use kindling::text::Row;
use kindling::train::{Job, Stage, TrainConfig, replay};

use crate::tiny::{Record, config, dataset, job, logits, tokenizer, train_config, train_run, values};

const ROWS: usize = 8;

fn student() -> Transformer {
    Transformer::init(&config(tokenizer().vocab_size()), 3, &Device::flex().autodiff()).unwrap()
}

/// Another model of the same vocabulary; the seed of the student gives its weights.
fn teacher(seed: u64) -> Transformer {
    Transformer::init(&config(tokenizer().vocab_size()), seed, &Device::flex()).unwrap()
}

fn lesson(settings: TrainConfig, distill: DistillConfig, teacher: &Transformer) -> Job {
    let objective = Arc::new(Distill::new(distill).with_teacher(teacher));
    Job { objective, ..job(settings, Stage::Distill, ROWS) }
}

/// The same lesson on texts.
fn on_texts(job: Job) -> Job {
    Job { dataset: Arc::new(dataset(Stage::Pretrain, ROWS)), ..job }
}

fn run(job: Job) -> Record {
    let mut record = Record::default();
    train_run(job.start(student()).unwrap(), &mut record).unwrap();
    record
}

/// What is added up in another order is equal but for the last digits.
fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-5 * b.abs()
}

/// Batches of a run.
fn batches(job: Job, count: usize) -> Vec<Batch> {
    let mut run = job.start(student()).unwrap();
    (0..count).map(|_| pollster::block_on(run.batches.next(&run.model)).unwrap().unwrap()).collect()
}

#[test]
fn the_datas_share_alone_is_fine_tuning_bit_for_bit() {
    let settings = TrainConfig { val_split: 0.25, eval_every: 4, ..train_config(Stage::Sft) };
    let plain = run(job(settings.clone(), Stage::Sft, ROWS));
    let distill = DistillConfig { alpha: 1.0, ..DistillConfig::default() };
    let taught = run(lesson(settings, distill, &teacher(9)));
    assert_eq!((plain.losses(), &plain.evals), (taught.losses(), &taught.evals));
    let weights = |record: &Record| record.snapshots.last().unwrap().weights.clone();
    assert_eq!(weights(&plain), weights(&taught));
    for log in &taught.logs {
        assert!(near(log.metrics["ce_loss"], log.loss), "{:?}", log.metrics);
        assert!(log.metrics["kd_loss"] > 0.0, "{:?}", log.metrics);
    }
}

/// `ln softmax(logits/T)` behind every token of a row.
fn log_probs(model: &Transformer, ids: &[u32], temperature: f64) -> Vec<Vec<f64>> {
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let logits: Vec<f64> =
        logits(model, &ids).into_iter().map(|logit| f64::from(logit) / temperature).collect();
    let row = |row: &[f64]| {
        let total: f64 = row.iter().map(|logit| logit.exp()).sum();
        row.iter().map(|logit| logit - total.ln()).collect()
    };
    logits.chunks(model.config().vocab_size).map(row).collect()
}

#[test]
fn every_token_of_a_text_is_learned_from_data_and_teacher_by_the_formulas() {
    let (student, teacher, temperature) = (student().valid(), teacher(9), 1.5);
    let (mut ce, mut kd, mut targets) = (0.0, 0.0, 0.0);
    for row in dataset(Stage::Pretrain, ROWS).iter() {
        let (Row::Document(text), _) = row.unwrap() else { panic!("a row that is no text") };
        let mut ids = tokenizer().encode_document(&text).unwrap();
        ids.extend(tokenizer().document_end());
        let of = |model: &Transformer, temperature: f64| log_probs(model, &ids, temperature);
        let (plain, q, p) = (of(&student, 1.0), of(&student, temperature), of(&teacher, temperature));
        for (place, &target) in ids[1..].iter().enumerate() {
            let apart = p[place].iter().zip(&q[place]).map(|(p, q)| p.exp() * (p - q));
            kd += temperature.powi(2) * apart.sum::<f64>();
            ce -= plain[place][target as usize];
            targets += 1.0;
        }
    }
    let settings = TrainConfig { batch_size: ROWS, steps: Some(1), ..train_config(Stage::Distill) };
    let distill = DistillConfig { alpha: 0.25, kd_temperature: temperature, ..DistillConfig::default() };
    let record = run(on_texts(lesson(settings, distill, &teacher)));
    let log = &record.logs[0];
    for (found, expected) in [
        (log.metrics["ce_loss"], ce / targets),
        (log.metrics["kd_loss"], kd / targets),
        (log.loss, (0.25 * ce + 0.75 * kd) / targets),
    ] {
        assert!((found - expected).abs() < 1e-4 * expected, "{found} {expected}");
    }
}

#[test]
fn the_datas_share_alone_is_pretraining_where_the_rows_are_texts() {
    for packing in [false, true] {
        let settings =
            TrainConfig { val_split: 0.25, eval_every: 4, packing, ..train_config(Stage::Pretrain) };
        let plain = run(job(settings.clone(), Stage::Pretrain, ROWS));
        let distill = DistillConfig { alpha: 1.0, ..DistillConfig::default() };
        let taught = run(on_texts(lesson(settings, distill, &teacher(9))));
        assert_eq!((plain.losses(), &plain.evals), (taught.losses(), &taught.evals), "packing {packing}");
        let weights = |record: &Record| record.snapshots.last().unwrap().weights.clone();
        assert_eq!(weights(&plain), weights(&taught), "packing {packing}");
    }
}

#[test]
fn a_teacher_that_is_the_student_gives_0_and_no_gradient() {
    for kd_loss in [KdLoss::ForwardKl, KdLoss::ReverseKl, KdLoss::Jsd, KdLoss::SkewKl] {
        let distill = DistillConfig { alpha: 0.0, kd_loss, ..DistillConfig::default() };
        let settings = TrainConfig { weight_decay: 0.0, steps: Some(2), ..train_config(Stage::Distill) };
        let lesson = lesson(settings, distill, &teacher(3));
        for job in [lesson.clone(), on_texts(lesson)] {
            let record = run(job);
            assert_eq!((record.logs[0].loss, record.logs[0].metrics["kd_loss"]), (0.0, 0.0), "{kd_loss:?}");
            assert!(record.logs[0].grad_norm < 1e-5, "{kd_loss:?}: {}", record.logs[0].grad_norm);
        }
    }
}

#[test]
fn a_student_comes_nearer_to_its_teacher_with_every_divergence() {
    let settings = TrainConfig {
        steps: Some(40),
        learning_rate: 1e-2,
        lr_schedule: LrSchedule::Constant,
        ..train_config(Stage::Distill)
    };
    for kd_loss in [KdLoss::ForwardKl, KdLoss::ReverseKl, KdLoss::Jsd, KdLoss::SkewKl] {
        let distill = DistillConfig { alpha: 0.0, kd_temperature: 1.0, kd_loss, ..DistillConfig::default() };
        let record = run(lesson(settings.clone(), distill, &teacher(9)));
        let (first, last) = (&record.logs[0], record.logs.last().unwrap());
        assert!(last.loss < 0.6 * first.loss, "{kd_loss:?}: {:?}", record.losses());
        assert!(near(last.metrics["kd_loss"], last.loss), "{:?}", last.metrics);
    }
}

#[test]
fn a_step_does_not_depend_on_how_it_is_divided() {
    let settings = TrainConfig { batch_size: 4, ..train_config(Stage::Distill) };
    let teacher = teacher(9);
    let step = |batches: Vec<Batch>, threads: usize| {
        let objective = Distill::new(DistillConfig::default()).with_teacher(&teacher);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let model = student();
        let taken =
            pool.install(|| pollster::block_on(replay(model, None, &objective, &settings, &[batches])));
        let taken = taken.unwrap();
        [taken.losses[0], taken.grad_norms[0]]
    };
    let lesson = lesson(settings.clone(), DistillConfig::default(), &teacher);
    for job in [lesson.clone(), on_texts(lesson)] {
        let all = batches(job, 2);
        let whole = step(all.clone(), 1);
        let parts: Vec<Batch> = all.iter().flat_map(|batch| batch.split(4)).collect();
        for (batches, threads) in [(all.clone(), 2), (all, 3), (parts, 1)] {
            for (one, other) in whole.iter().zip(step(batches, threads)) {
                assert!((one - other).abs() < 1e-6 * one, "{threads}: {one} {other}");
            }
        }
    }
}

#[test]
fn a_teacher_may_be_held_in_few_bits() {
    let wide = kindling::model::ModelConfig {
        hidden_size: 32,
        intermediate_size: 64,
        head_dim: 8,
        ..config(tokenizer().vocab_size())
    };
    let bits = Quantization::Q8_0;
    let teacher =
        Transformer::build_quantized(&wide, bits, &Device::flex(), &mut fresh_weights(&wide, 4)).unwrap();
    let dense = Transformer::init(&wide, 4, &Device::flex()).unwrap();
    let settings = train_config(Stage::Distill);
    let batch = &batches(lesson(settings.clone(), DistillConfig::default(), &dense), 1)[0];
    let loss = |teacher: &Transformer| {
        let objective = Distill::new(DistillConfig::default()).with_teacher(teacher);
        let bytes = objective.beside().bytes;
        (values(objective.loss(&student().valid(), batch).sum)[0], bytes)
    };
    let ((few, small), (exact, large)) = (loss(&teacher), loss(&dense));
    assert!((few - exact).abs() < 0.01 * exact && few != exact, "{few} {exact}");
    assert!(2 * small < large, "{small} {large}");
    let record = run(lesson(settings, DistillConfig::default(), &teacher));
    assert!(record.losses()[7] < record.losses()[0], "{:?}", record.losses());
}

#[test]
fn answers_of_its_own_are_judged_by_the_teacher_and_held_out_rows_stay_the_datas() {
    let settings =
        TrainConfig { steps: Some(12), val_split: 0.25, eval_every: 6, ..train_config(Stage::Distill) };
    let distill = |on_policy: f64| DistillConfig { on_policy, max_new_tokens: 6, ..DistillConfig::default() };
    let all = run(lesson(settings.clone(), distill(1.0), &teacher(9)));
    for log in &all.logs {
        let names: Vec<&str> = log.metrics.keys().copied().collect();
        assert_eq!(names, ["own_kd_loss"]);
        assert!(near(log.metrics["own_kd_loss"], log.loss), "{:?}", log.metrics);
    }
    let again = run(lesson(settings.clone(), distill(1.0), &teacher(9)));
    assert_eq!(all.losses(), again.losses(), "the seed names what is said");
    let texts = run(on_texts(lesson(settings.clone(), distill(1.0), &teacher(9))));
    assert!(texts.logs.iter().all(|log| log.metrics.contains_key("own_kd_loss") && log.loss > 0.0));
    let some = run(lesson(settings, distill(0.5), &teacher(9)));
    let own = some.logs.iter().filter(|log| log.metrics.contains_key("own_kd_loss")).count();
    assert!((1..12).contains(&own), "{own} of 12 steps");
    assert_eq!((all.evals.len(), some.evals.len()), (2, 2));
}

#[test]
fn what_cannot_teach_is_refused_before_any_work() {
    let refused =
        |job: Job| job.start(student()).err().map_or("it starts".to_string(), |error| error.to_string());
    let message = refused(job(train_config(Stage::Distill), Stage::Distill, ROWS));
    assert!(message.contains("needs a teacher") && message.contains("--teacher"), "{message}");
    let short =
        kindling::model::ModelConfig { max_position_embeddings: 64, ..config(tokenizer().vocab_size()) };
    let short = Transformer::init(&short, 1, &Device::flex()).unwrap();
    let distill = DistillConfig { alpha: -0.5, ..DistillConfig::default() };
    let message = refused(lesson(train_config(Stage::Distill), distill, &short));
    for part in ["--alpha is -0.5", "--max-seq-len is 96, and the teacher holds 64 positions"] {
        assert!(message.contains(part), "{message}");
    }
    let settings = TrainConfig { keep_share: 0.3, ..train_config(Stage::Distill) };
    let texts = on_texts(lesson(settings, DistillConfig::default(), &teacher(9)));
    let message = refused(Job { keep: Some(Arc::new(dataset(Stage::Sft, 4))), ..texts });
    assert!(message.starts_with("rows.jsonl:1: a row to keep of another form"), "{message}");
}

#[test]
fn a_plan_knows_of_the_teacher() {
    let settings = train_config(Stage::Distill);
    let plain = job(settings.clone(), Stage::Sft, ROWS).start(student()).unwrap().plan;
    let teacher = teacher(9);
    let taught = lesson(settings, DistillConfig::default(), &teacher).start(student()).unwrap().plan;
    let weights = 4 * teacher.config().parameters();
    assert_eq!(taught.state_bytes, plain.state_bytes + weights);
    assert!(taught.activation_bytes > plain.activation_bytes);
    let forward = plain.flops / 3.0;
    assert!((taught.flops - plain.flops - forward).abs() < 1e-6 * forward);
}
