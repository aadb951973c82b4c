//! Rewards on the loop: what is learned from given answers, how a step is divided, and what is refused.

use std::sync::Arc;

use burn::tensor::Device;
use kindling::batch::{Batch, Rollouts, TooLong};
use kindling::checkpoint::{Checkpoint, read_training};
use kindling::error::Result;
use kindling::loss::{Grpo, GrpoConfig, GrpoLoss, LossMean, Reference, Reward, target_log_probs};
use kindling::model::{ActivationCheckpointing, Transformer};
use kindling::optim::LrSchedule;
use kindling::train::{
    Control, Job, Listener, Outcome, Snapshot, Stage, TrainConfig, TrainEvent, TrainOptions, replay, train,
};

use crate::tiny::{Record, config, job, tokenizer, train_config, train_run, values};
use crate::training::stored;

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
fn the_ratio_of_answers_that_are_learned_from_again_is_1_until_the_weights_change() {
    let options = TrainOptions { neftune: 20.0, dropout: Some(0.2), ..TrainOptions::default() };
    for learning_rate in [1e-30, 1e-2] {
        let settings = TrainConfig {
            learning_rate,
            grad_accum: 2,
            steps: Some(6),
            options: options.clone(),
            ..train_config(Stage::Grpo)
        };
        let grpo = GrpoConfig { kl_beta: 0.0, clip_range: Some(1e-3), rollout_steps: 3, ..small() };
        let record = run(&settings, grpo);
        let clipped: Vec<f64> = record.logs.iter().map(|log| log.metrics["clip_share"]).collect();
        assert_eq!([clipped[0], clipped[3]], [0.0; 2], "whatever is dropped: {clipped:?}");
        let later = clipped[1] + clipped[2] + clipped[4] + clipped[5];
        assert_eq!(later > 0.0, learning_rate > 1e-3, "what the weights learned is seen: {clipped:?}");
    }
}

/// Stops the run, or lets it pause and be saved, once it was asked so often.
#[derive(Default)]
struct Asked {
    record: Record,
    times: usize,
    /// How often it was asked before each step was told.
    at_step: Vec<usize>,
    wishes: Vec<(usize, Control)>,
}

impl Listener for Asked {
    fn on(&mut self, event: TrainEvent<'_>) -> Result<()> {
        if matches!(event, TrainEvent::Step { .. }) {
            self.at_step.push(self.times);
        }
        self.record.on(event)
    }

    fn control(&mut self) -> Control {
        self.times += 1;
        let wish = self.wishes.iter().find(|(at, _)| *at == self.times);
        wish.map_or(Control::Continue, |(_, wish)| *wish)
    }
}

/// A run whose listener has these wishes, each at the so-manieth time that it is asked.
fn asked(job: Job, begun: &Transformer, wishes: &[(usize, Control)]) -> (Asked, Outcome) {
    let mut asked = Asked { wishes: wishes.to_vec(), ..Asked::default() };
    let outcome = pollster::block_on(train(job.start(begun.clone()).unwrap(), &mut asked)).unwrap();
    (asked, outcome)
}

/// The rest of a run that was saved.
fn rest_of(job: Job, saved: &Snapshot, begun: &Transformer) -> Record {
    let files = stored(saved);
    let read = |name: &str| Ok(files.get(name).cloned());
    let model = Checkpoint::open(read).unwrap().model(&begun.device()).unwrap();
    let (optimizer, progress) = read_training(read).unwrap();
    let mut rest = Record::default();
    train_run(job.resume(model, optimizer, progress).unwrap(), &mut rest).unwrap();
    rest
}

#[test]
fn a_run_stops_and_pauses_between_the_tokens_of_its_answers_and_goes_on_bit_for_bit() {
    let begun = model();
    let settings = TrainConfig { grad_accum: 2, learning_rate: 1e-3, ..train_config(Stage::Grpo) };
    for rollout_steps in [1, 2] {
        let job = || lesson(settings.clone(), GrpoConfig { rollout_steps, ..small() }, &begun);
        let run = |wishes: &[(usize, Control)]| asked(job(), &begun, wishes);
        let (whole, _) = run(&[]);
        let last = whole.record.snapshots.last().unwrap();
        // Behind the fourth step, in the middle of the answers for the fifth.
        let middle = whole.at_step[3] + (whole.at_step[4] - whole.at_step[3]) / 2;
        assert!(whole.at_step[4] > whole.at_step[3] + 8, "asked between tokens: {:?}", whole.at_step);

        let (paused, _) = run(&[
            (middle, Control::Pause),
            (middle + 1, Control::Pause),
            (middle + 2, Control::Save),
            (middle + 3, Control::Pause),
        ]);
        let saved: Vec<u64> = paused.record.snapshots.iter().map(|snapshot| snapshot.progress.step).collect();
        assert_eq!(saved, [4, 8], "saved in the pause, and at the end");
        assert_eq!(paused.record.losses(), whole.record.losses());

        let (stopped, outcome) = run(&[(middle, Control::Stop)]);
        assert!(outcome.stopped && outcome.progress.step == 4, "{}", outcome.progress.step);
        let [from_stop] = &stopped.record.snapshots[..] else { panic!("one save") };
        for saved in [from_stop, &paused.record.snapshots[0]] {
            let rest = rest_of(job(), saved, &begun);
            assert_eq!(rest.losses(), whole.record.losses()[4..], "{rollout_steps}");
            assert_eq!(rest.snapshots.last().unwrap().weights, last.weights, "{rollout_steps}");
        }
        let (first, outcome) = run(&[(3, Control::Stop)]);
        assert!(outcome.stopped && outcome.progress.step == 0 && first.record.snapshots.is_empty());
    }
}

#[test]
fn a_measurement_that_is_stopped_comes_first_where_the_run_goes_on() {
    let begun = model();
    let options = TrainOptions { early_stop: 9, ..TrainOptions::default() };
    let settings = TrainConfig { val_split: 0.25, eval_every: 4, options, ..train_config(Stage::Grpo) };
    let job = || lesson(settings.clone(), small(), &begun);
    let (whole, _) = asked(job(), &begun, &[]);
    assert_eq!(whole.record.evals.len(), 2);
    for step in [4usize, 8] {
        // The step is told, and then the held-out prompts are answered.
        let (stopped, outcome) = asked(job(), &begun, &[(whole.at_step[step - 1] + 3, Control::Stop)]);
        assert!(outcome.stopped && outcome.held_out.is_none() == (step == 4), "step {step}");
        let saved = stopped.record.snapshots.last().unwrap();
        assert!(saved.progress.unjudged && saved.progress.step == step as u64, "{:?}", saved.progress);
        let rest = rest_of(job(), saved, &begun);
        assert_eq!([stopped.record.evals, rest.evals.clone()].concat(), whole.record.evals, "step {step}");
        assert_eq!([stopped.record.logs, rest.logs].concat().len(), 8);
        if step == 4 {
            let last = |record: &Record| record.snapshots.last().unwrap().weights.clone();
            assert_eq!(last(&rest_of(job(), saved, &begun)), last(&whole.record));
        }
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
