//! What holds of every stage alike: a run that is killed goes on bit for bit, and threads change nothing.

use crate::place::{Place, SHORT, TINY, number, steps};
use crate::two_parts::compare_killed;

const DPO: &str =
    "dpo --model model --data pairs.jsonl --batch-size 2 --max-seq-len 64 --learning-rate 0.003";
const DISTILL: &str = "distill --model model --teacher teacher --data chat.jsonl --batch-size 2 --max-seq-len 64 \
                       --learning-rate 0.003";
const REASON: &str = "reason --model model --data reason.jsonl --batch-size 2 --max-seq-len 96 --val-split 0 \
                      --learning-rate 0.003";
const GRPO: &str = "grpo --model model --data chat.jsonl --batch-size 2 --group-size 3 --max-new-tokens 8 \
                    --max-seq-len 96 --reward repetition,length:0.5 --rollout-steps 2 --learning-rate 0.003";
/// Its balance is one of whole steps, which have two batches each.
const MIXTURE: &str = "pretrain --data docs.jsonl --model-config tiny.json --tokenizer tok --n-routed-experts 4 \
                       --num-experts-per-tok 2 --aux-loss-alpha 0.1 --seq-aux false --batch-size 2 --grad-accum 2 \
                       --max-seq-len 32 --learning-rate 0.003";

/// With pairs, rows that think, and a second model in `teacher`.
fn place() -> Place {
    let place = Place::with_model();
    let pair = |i: usize| {
        let right = i + 1;
        format!(
            "{{\"prompt\": \"What is {i} plus one?\", \"chosen\": \"It is {right}.\", \"rejected\": \"A lamp.\"}}\n"
        )
    };
    place.write("pairs.jsonl", (0..20).map(pair).collect::<String>());
    let thought = |i: usize| {
        let answer = format!(r"<think>\n{i} + 1\n</think>\n<answer>\n{}\n</answer>", i + 1);
        format!("{{\"user\": \"What is {i} plus one?\", \"assistant\": \"{answer}\"}}\n")
    };
    place.write("reason.jsonl", (0..20).map(thought).collect::<String>());
    let new = "pretrain --data docs.jsonl --model-config tiny.json --tokenizer tok --seed 7 --out teacher";
    place.run(&format!("{new} {SHORT} --learning-rate 0.05")).ok();
    place
}

/// Kills a run of a stage on its way.
fn killed(stage: &str, reported: &[&str]) {
    let place = place();
    compare_killed(&place, &format!("{stage} --steps 100000 --save-every 3 --log-every 1"), reported);
}

#[test]
fn preferences_that_are_killed_go_on() {
    killed(DPO, &["reward_margin"]);
    killed(&format!("{DPO} --lora --lora-rank 2 --reference cached"), &["reward_margin"]);
}

#[test]
fn a_distillation_that_is_killed_goes_on() {
    killed(&format!("{DISTILL} --on-policy 0.5 --max-new-tokens 8"), &["kd_loss", "own_kd_loss"]);
}

#[test]
fn reasoning_that_is_killed_goes_on() {
    killed(REASON, &[]);
}

#[test]
fn rewards_that_are_killed_go_on_also_between_steps_that_learn_from_the_same_answers() {
    killed(GRPO, &["reward", "clip_share", "response_length", "kl"]);
}

#[test]
fn a_mixture_that_is_killed_goes_on() {
    killed(MIXTURE, &["aux_loss", "expert_load_max"]);
}

#[test]
fn threads_change_no_loss() {
    let place = place();
    // Preferences and rewards have cases of their own, with all that they report.
    for (name, stage, reported) in [
        ("distill", DISTILL.to_string(), vec!["loss", "ce_loss", "kd_loss"]),
        ("own", format!("{DISTILL} --on-policy --max-new-tokens 8"), vec!["loss", "own_kd_loss"]),
        ("reason", REASON.to_string(), vec!["loss"]),
        ("mixture", MIXTURE.to_string(), vec!["loss", "aux_loss"]),
    ] {
        let run = |threads: &str| {
            let out = format!("{name}{threads}");
            let line = format!("{stage} --steps 5 --log-every 1 --out {out}");
            place.start_with_env(&[("RAYON_NUM_THREADS", threads)], &line).finish().ok();
            let of = |line| reported.iter().map(|name| number(&line, name)).collect::<Vec<_>>();
            steps(&place, &out).into_iter().map(of).collect::<Vec<_>>()
        };
        let (one, two) = (run("1"), run("2"));
        assert_eq!((one.len(), two.len()), (5, 5), "{name}");
        for (one, two) in one.iter().flatten().zip(two.iter().flatten()) {
            assert!((one - two).abs() < 1e-6 * one.abs().max(1.0), "{name}: {one} {two}");
        }
    }
}

#[test]
fn a_run_that_is_stopped_while_it_writes_its_first_answers_says_that_it_saved_nothing() {
    let place = Place::with_model();
    // A model large enough that its answers take much longer than the limit below, however soon they end.
    let wide =
        TINY.replace("\"hidden_size\": 16", "\"hidden_size\": 192").replace("layers\": 1", "layers\": 3");
    place.write("long.json", wide.replace("128", "8192"));
    let new = "pretrain --data docs.jsonl --model-config long.json --tokenizer tok --out long";
    place.run(&format!("{new} {SHORT}")).ok();
    let line = "grpo --model long --data chat.jsonl --batch-size 8 --group-size 64 --max-new-tokens 8000 \
                --max-seq-len 8100 --reward length --steps 9 --out run";
    let running = place.start(line);
    place.wait_for("a beginning", || place.exists("run/log.jsonl") || place.exists("run/training"));
    std::thread::sleep(std::time::Duration::from_secs(1));
    running.signal("INT");
    running
        .finish_within(std::time::Duration::from_secs(8))
        .expect(130, &["stopped before its first step", "--overwrite"]);
    assert!(place.checkpoints("run").is_empty());
}
