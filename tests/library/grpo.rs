//! Rewards on the loop: what is learned from given answers, how a step is divided, and what is refused.

use std::sync::Arc;

use burn::tensor::Device;
use kindling::batch::{Batch, Rollouts, TooLong};
use kindling::loss::{Grpo, GrpoConfig, GrpoLoss, LossMean, Reference, Reward, target_log_probs};
use kindling::model::{ActivationCheckpointing, Transformer};
use kindling::optim::LrSchedule;
use kindling::train::{Job, Stage, TrainConfig, TrainOptions, replay};

use crate::tiny::{Record, config, job, tokenizer, train_config, train_run, values};

const ROWS: usize = 12;

fn model() -> Transformer {
    Transformer::init(&config(tokenizer().vocab_size()), 3, &Device::flex().autodiff()).unwrap()
}

/// Answers of a cold model, which repeats itself now and then.
fn small() -> GrpoConfig {
    let reward = ["repetition", "length:0.5"].map(|text| text.parse::<Reward>().unwrap()).to_vec();
    GrpoConfig { group_size: 4, max_new_tokens: 24, temperature: 0.25, reward, ..GrpoConfig::default() }
}

fn lesson(settings: TrainConfig, grpo: GrpoConfig, model: &Transformer) -> Job {
    let objective = Arc::new(Grpo::new(grpo, Some(Reference::frozen(model))));
    Job { objective, ..job(settings, Stage::Grpo, ROWS) }
}

fn run(settings: &TrainConfig, grpo: GrpoConfig) -> Record {
    let (mut record, model) = (Record::default(), model());
    train_run(lesson(settings.clone(), grpo, &model).start(model).unwrap(), &mut record).unwrap();
    record
}

/// Batches of answers of the model as it is.
fn batches(grpo: &GrpoConfig, count: usize) -> Vec<Batch> {
    let model = model();
    let settings = TrainConfig { batch_size: 3, ..train_config(Stage::Grpo) };
    let mut run = lesson(settings, grpo.clone(), &model).start(model).unwrap();
    (0..count).map(|_| pollster::block_on(run.batches.next(&run.model)).unwrap().unwrap()).collect()
}

#[test]
fn a_run_tells_of_its_answers_and_a_seed_names_them() {
    let settings = TrainConfig { val_split: 0.25, eval_every: 4, ..train_config(Stage::Grpo) };
    let one = run(&settings, small());
    assert_eq!(one.logs.len(), 8);
    for log in &one.logs {
        let of = |name: &str| log.metrics[name];
        for name in ["groups_without_variance", "clip_share"] {
            assert!((0.0..=1.0).contains(&of(name)), "{name}: {}", of(name));
        }
        let rewards = of("reward_repetition") + 0.5 * of("reward_length");
        assert!((of("reward") - rewards).abs() < 1e-6, "{:?}", log.metrics);
        assert!((1.0..=24.0).contains(&of("response_length")) && of("kl") > -1e-6, "{:?}", log.metrics);
    }
    assert_eq!(one.logs[0].metrics["kl"], 0.0, "the model begins as its reference");
    assert!(one.logs[7].metrics["kl"] > 0.0, "and leaves it");
    assert_eq!(one.evals.len(), 2);
    let again = run(&settings, small());
    assert_eq!((one.losses(), &one.evals), (again.losses(), &again.evals));
    let other = run(&TrainConfig { seed: 5, ..settings }, small());
    assert_ne!(one.losses(), other.losses());
}

#[test]
fn the_better_answer_becomes_likelier_and_the_worse_one_less_likely() {
    let settings = TrainConfig {
        learning_rate: 3e-3,
        lr_schedule: LrSchedule::Constant,
        weight_decay: 0.0,
        ..train_config(Stage::Grpo)
    };
    let mut answers = Batch { group: 2, members: 2, own: true, ..Batch::new(6) };
    for ids in [[9, 8, 7, 6, 5], [9, 8, 1, 2, 3]] {
        answers.push(&ids, &[0.0, 0.0, 1.0, 1.0, 1.0], &[1; 5]);
    }
    answers.rollouts = Some(Rollouts { advantages: vec![1.0, -1.0], ..Rollouts::default() });
    for grpo_loss in [GrpoLoss::Clipped, GrpoLoss::Cispo] {
        let (begun, grpo) = (model(), GrpoConfig { grpo_loss, kl_beta: 0.0, ..small() });
        let sums = |model: &Transformer| {
            let known = values(target_log_probs(model, &answers, 1.0));
            [known[..3].iter().sum::<f32>(), known[3..].iter().sum()]
        };
        let before = sums(&begun);
        let (objective, steps) = (Grpo::new(grpo, None), vec![vec![answers.clone()]; 20]);
        let taken = pollster::block_on(replay(begun, None, &objective, &settings, &steps));
        let after = sums(&taken.unwrap().model);
        assert!(after[0] > before[0] + 0.5 && after[1] < before[1] - 0.5, "{before:?} {after:?}");
    }
}

#[test]
fn a_step_does_not_depend_on_how_it_is_divided() {
    let settings = train_config(Stage::Grpo);
    for loss_mean in [LossMean::Sequence, LossMean::Token] {
        let grpo = GrpoConfig { loss_mean, kl_beta: 0.5, rollout_steps: 2, ..small() };
        let all = batches(&grpo, 1);
        assert!(all[0].rollouts.as_ref().unwrap().advantages.iter().any(|&advantage| advantage != 0.0));
        let other = Transformer::init(&config(tokenizer().vocab_size()), 9, &Device::flex()).unwrap();
        let step = |batches: Vec<Batch>, threads: usize| {
            let objective = Grpo::new(grpo.clone(), Some(Reference::frozen(&other)));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let taken =
                pool.install(|| pollster::block_on(replay(model(), None, &objective, &settings, &[batches])));
            let taken = taken.unwrap();
            [taken.losses[0], taken.grad_norms[0], taken.metrics[0]["kl"], taken.metrics[0]["reward"]]
        };
        let whole = step(all.clone(), 1);
        let parts: Vec<Batch> = all.iter().flat_map(|batch| batch.split(3)).collect();
        assert_eq!(parts.len(), 3, "a group is never parted");
        for (batches, threads) in [(all.clone(), 2), (all, 3), (parts, 1)] {
            for (one, other) in whole.iter().zip(step(batches, threads)) {
                assert!((one - other).abs() < 1e-6 * one.abs().max(1.0), "{threads}: {one} {other}");
            }
        }
    }
}

#[test]
fn what_is_computed_again_learns_the_same() {
    let grpo = GrpoConfig { kl_beta: 0.5, rollout_steps: 2, ..small() };
    let all = batches(&grpo, 1);
    let step = |activation_checkpointing| {
        let options = TrainOptions { activation_checkpointing, neftune: 5.0, ..TrainOptions::default() };
        let settings = TrainConfig { options, ..train_config(Stage::Grpo) };
        let objective = Grpo::new(grpo.clone(), Some(Reference::frozen(&model())));
        let steps = [all.clone(), all.clone()];
        let taken = pollster::block_on(replay(model(), None, &objective, &settings, &steps)).unwrap();
        [taken.losses, taken.grad_norms, taken.metrics.iter().map(|metrics| metrics["kl"]).collect()].concat()
    };
    let kept = step(ActivationCheckpointing::None);
    for strategy in [ActivationCheckpointing::WholeLayer, ActivationCheckpointing::FineGrained] {
        for (one, other) in kept.iter().zip(step(strategy)) {
            assert!((one - other).abs() < 1e-4 * one.abs().max(1.0), "{strategy:?}: {one} {other}");
        }
    }
}

#[test]
fn noise_is_the_policys_alone_where_it_learns() {
    let with = |options: TrainOptions| {
        run(&TrainConfig { options, steps: Some(1), ..train_config(Stage::Grpo) }, small())
    };
    let plain = with(TrainOptions::default()).logs[0].metrics.clone();
    for options in [
        TrainOptions { neftune: 20.0, ..TrainOptions::default() },
        TrainOptions { dropout: Some(0.2), ..TrainOptions::default() },
    ] {
        let noisy = with(options.clone()).logs[0].metrics.clone();
        for name in ["reward", "response_length"] {
            assert_eq!(noisy[name], plain[name], "{options:?}: answers are written without noise");
        }
        assert!(plain["kl"] == 0.0 && noisy["kl"] > 0.0, "{options:?}: and the reference has none");
    }
}

#[test]
fn a_run_ends_early_whose_answers_are_no_better() {
    for ema in [0.0, 0.5] {
        let options = TrainOptions { early_stop: 2, ema, ..TrainOptions::default() };
        let settings = TrainConfig {
            learning_rate: 1e-30,
            val_split: 0.25,
            eval_every: 1,
            options,
            ..train_config(Stage::Grpo)
        };
        let record = run(&settings, small());
        assert_eq!((record.logs.len(), record.evals.len()), (3, 3), "the first measurement and two more");
        let last = &record.snapshots.last().unwrap().progress;
        assert_eq!((last.total_steps, last.patience.best_step), (3, 1));
    }
}

#[test]
fn what_does_not_act_on_rewards_is_refused_before_any_work() {
    let refused = |settings: TrainConfig| {
        let model = model();
        let job = lesson(settings, small(), &model);
        job.start(model).err().map_or("it starts".to_string(), |error| error.to_string())
    };
    let settings = train_config(Stage::Grpo);
    let all = TrainConfig {
        packing: true,
        too_long: TooLong::Cut,
        keep_share: 0.3,
        stop_at_loss: 0.1,
        ..settings.clone()
    };
    let message = refused(all);
    for part in
        ["--packing does not act", "--too-long cut", "--keep-share does not", "--stop-at-loss does not"]
    {
        assert!(message.contains(part), "{message}");
    }
    let options = TrainOptions { early_stop: 2, ..TrainOptions::default() };
    let unjudged = TrainConfig { options, val_split: 0.25, eval_every: 2, ..settings.clone() };
    let begun = model();
    let unjudged = lesson(unjudged, GrpoConfig { eval_answers: 0, ..small() }, &begun);
    let message = unjudged.start(begun).err().unwrap().to_string();
    assert!(message.contains("--eval-answers 0 asks for none"), "{message}");
    let bare = job(settings, Stage::Grpo, ROWS).start(model()).err().unwrap().to_string();
    assert!(bare.contains("--reference base is the model under an adapter"), "{bare}");
}

#[test]
fn epochs_and_plans_count_answers_and_what_learns_from_them_again() {
    let settings = TrainConfig { steps: None, epochs: 2.0, batch_size: 4, ..train_config(Stage::Grpo) };
    let model = model();
    let plan = |rollout_steps: u64| {
        let grpo = GrpoConfig { rollout_steps, ..small() };
        lesson(settings.clone(), grpo, &model).start(model.clone()).unwrap().plan
    };
    let (once, twice) = (plan(1), plan(2));
    // Three batches a pass.
    assert_eq!((once.steps, twice.steps), (6, 12));
    let plain = job(settings.clone(), Stage::Sft, ROWS);
    let plain = plain.start(model.clone()).unwrap().plan;
    assert_eq!(once.activation_bytes, 4 * plain.activation_bytes, "four answers to each prompt");
    assert!(once.state_bytes > plain.state_bytes, "a frozen reference");
    let record = run(&settings, GrpoConfig { rollout_steps: 2, ..small() });
    assert_eq!(record.logs.len(), 12);
    assert_eq!(record.logs[0].metrics["reward"], record.logs[1].metrics["reward"], "the same answers again");
}
