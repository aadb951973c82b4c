//! `grpo`: answers that rules reward, what the model is held to, and how such a run goes on.

use serde_json::Value;

use crate::place::{Place, number, steps};
use crate::two_parts::compare;

const GRPO: &str = "grpo --model talker --data chat.jsonl --batch-size 2 --group-size 4 --max-new-tokens 16 \
                    --max-seq-len 96 --learning-rate 0.003 --log-every 1";
/// The talker ends some of its answers, and others not.
const REWARD: &str = "--reward answer,length:0.5";
/// What must not depend on where a run was interrupted, beside what every stage logs.
const REPORTED: [&str; 3] = ["reward", "clip_share", "response_length"];

/// With a model in `talker` that answers now and then as it was taught to.
fn place() -> Place {
    let place = Place::with_model();
    let sft = "sft --model model --data chat.jsonl --steps 80 --batch-size 8 --learning-rate 0.01";
    place.run(&format!("{sft} --max-seq-len 96 --out talker")).ok();
    place
}

#[test]
fn answers_are_rewarded_and_told_of_and_held_out_ones_measured() {
    let place = place();
    let flags = "--reward answer,tags:2..0.5@0.5 --steps 4 --val-split 0.2 --eval-every 2 --eval-answers 5";
    place
        .run(&format!("{GRPO} {flags} --out run"))
        .expect(0, &[" · reward ", "without variance", "kindling chat --model run"]);
    let log = steps(&place, "run");
    assert_eq!(log.len(), 4);
    for (line, weight) in log.iter().zip([2.0, 1.25, 0.5, 0.5]) {
        let rewards = number(line, "reward_answer") + weight * number(line, "reward_tags");
        assert!((number(line, "reward") - rewards).abs() < 1e-6, "{line}");
        for name in ["groups_without_variance", "response_length", "clip_share", "kl"] {
            number(line, name);
        }
    }
    let evals: Vec<Value> = place.log("run").into_iter().filter(|line| line["event"] == "eval").collect();
    assert_eq!(evals.len(), 2);
    for line in &evals {
        assert_eq!(number(line, "loss"), -number(line, "reward"), "{line}");
        assert!((0.0..=1.0).contains(&number(line, "answer_accuracy")), "{line}");
        assert!((0.0..=1.0).contains(&number(line, "format_rate")), "{line}");
        assert!(line["bits_per_byte"].is_null(), "no likelihood: {line}");
    }
    let settings: toml::Table = place.text("run/training/settings.toml").parse().unwrap();
    let rewards: Vec<&str> =
        settings["reward"].as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
    assert_eq!((settings["stage"].as_str(), rewards), (Some("grpo"), vec!["answer", "tags:2..0.5@0.5"]));
    assert_eq!(settings["max-new-tokens"].as_integer(), Some(16));
    assert!(!settings.contains_key("beta") && !settings.contains_key("on-policy"), "{settings}");
    // Nothing of it stands in a run without rewards.
    place.run("sft --model model --data chat.jsonl --steps 1 --max-seq-len 64 --out tuned").ok();
    let settings = place.text("tuned/training/settings.toml");
    assert!(!settings.contains("reward") && !settings.contains("max-new-tokens"), "{settings}");
}

#[test]
fn a_run_in_two_parts_is_the_same_whatever_it_minimises() {
    let place = place();
    for flags in [
        "",
        // Saved before the last of four steps that learn from the same answers.
        "--rollout-steps 4 --grad-accum 2",
        "--grpo-loss cispo --kl-beta 0 --loss-mean token --scale-rewards false",
    ] {
        compare(&place, &format!("{GRPO} {REWARD} {flags} --steps 6"), 3, &REPORTED);
    }
    let lora = format!("{GRPO} {REWARD} --lora --lora-rank 2 --rollout-steps 2 --steps 6");
    compare(&place, &lora, 3, &REPORTED);
}

#[test]
fn threads_change_nothing() {
    let place = place();
    let run = |threads: &str, flags: &str, out: &str| {
        let line = format!("{GRPO} {REWARD} {flags} --steps 4 --kl-beta 0.5 --out {out}");
        place.start_with_env(&[("RAYON_NUM_THREADS", threads)], &line).finish().ok();
        let of = |line: Value| ["loss", "reward", "kl", "grad_norm"].map(|name| number(&line, name));
        steps(&place, out).into_iter().map(of).collect::<Vec<_>>()
    };
    for (flags, name) in [("", "once"), ("--rollout-steps 2", "again")] {
        let (one, two) = (run("1", flags, &format!("{name}1")), run("2", flags, &format!("{name}2")));
        assert_eq!(one.len(), 4);
        assert!(one.iter().any(|line| line[3] > 1e-3), "something is learned: {one:?}");
        for (one, two) in one.iter().zip(&two) {
            let apart = |at: usize| (one[at] - two[at]).abs();
            assert!((0..3).all(|at| apart(at) < 1e-6), "{flags}: {one:?} {two:?}");
            assert!(apart(3) <= 1e-4 * one[3] + 1e-6, "{flags}: {one:?} {two:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_and_goes_on() {
    let place = place();
    place.run(&format!("{GRPO} {REWARD} --steps 300 --out whole")).ok();
    let running = place.start(&format!("{GRPO} {REWARD} --steps 300 --out parts"));
    place.wait_for("a step", || place.logged("parts").contains("\"reward\""));
    running.signal("INT");
    running.finish_within(std::time::Duration::from_secs(60)).expect(130, &["grpo --resume"]);
    place.run("grpo --resume --out parts").ok();
    assert!(place.read("whole/model.safetensors") == place.read("parts/model.safetensors"));
}

#[test]
fn the_reference_may_move_and_must_be_what_the_run_began_with() {
    let place = place();
    place.run(&format!("{GRPO} {REWARD} --steps 4 --out whole")).ok();
    place.run(&format!("{GRPO} {REWARD} --steps 4 --out run --stop-after 2")).ok();
    place.copy("talker", "elsewhere");
    place.remove("talker");
    place.run("grpo --resume --out run").expect(2, &["compared with is not there any more", "--model DIR"]);
    place
        .run("grpo --resume --out run --model model")
        .expect(1, &["not the weights that the run began with"]);
    place.run("grpo --resume --out run --kl-beta 0.1").expect(2, &["--kl-beta is 0.1 now and was 0.005"]);
    place.run("grpo --resume --out run --model elsewhere").ok();
    assert!(place.read("run/model.safetensors") == place.read("whole/model.safetensors"));
    let free = format!("{} --kl-beta 0", GRPO.replace("--model talker", "--model elsewhere"));
    place.run(&format!("{free} --steps 3 --out free --stop-after 1")).ok();
    place.remove("elsewhere");
    place.run("grpo --resume --out free").ok();
}

#[test]
fn a_run_travels_with_its_settings() {
    let place = place();
    let line = format!("{GRPO} {REWARD} --steps 6 --rollout-steps 4 --think-tags <t>...</t>");
    place.run(&format!("{line} --out whole")).ok();
    place.run(&format!("{line} --out parts --stop-after 3")).ok();
    place.run("export --model parts --to single-file --out run.safetensors").ok();
    let import = "import --model run.safetensors --stage grpo --data chat.jsonl --out back";
    place.run(import).expect(2, &["compared with the model that it began with", "--base"]);
    place.run(&format!("{import} --base talker")).expect(0, &["kindling grpo --resume --out back"]);
    let settings: toml::Table = place.text("back/training/settings.toml").parse().unwrap();
    assert_eq!(settings["think-tags"].as_str(), Some("<t>...</t>"));
    place.run("grpo --resume --out back").ok();
    assert!(place.read("whole/model.safetensors") == place.read("back/model.safetensors"));
}

#[test]
fn what_cannot_be_rewarded_is_refused_by_name_and_nothing_is_written() {
    let place = place();
    let lone = GRPO.replace("--group-size 4", "--group-size 1");
    for (line, parts) in [
        (format!("{GRPO} --reward style:2"), &["'style' is no rule", "answer, tags, length, repetition"][..]),
        (format!("{GRPO} --reward tags:2..1"), &["is no weight of tags", "tags:2..0.5@0.3"]),
        (format!("{GRPO} --reward answer,answer:2"), &["--reward names answer twice"]),
        (
            format!("{lone} --clip-range 3 --kl-beta -1"),
            &["--group-size is 1", "--clip-range is 3", "--kl-beta is -1"],
        ),
        (format!("{GRPO} --reference cached"), &["--reference cached keeps what", "frozen"]),
        (format!("{GRPO} --reference base"), &["--reference base is the model under an adapter"]),
        (format!("{GRPO} --lora --reference frozen"), &["would hold the model twice"]),
        (format!("{GRPO} --kl-beta 0 --reference frozen"), &["--reference does not act with --kl-beta 0"]),
        (format!("{GRPO} --packing"), &["--packing does not act on prompts"]),
        (format!("{GRPO} --too-long cut"), &["--too-long cut would cut answers"]),
        (format!("{GRPO} --eval-answers 9"), &["--eval-answers needs held-out rows"]),
        (format!("{GRPO} --tag-weight 3"), &["--tag-weight would not act, because `grpo` teaches no tags"]),
        (GRPO.replace("--model talker ", ""), &["`grpo` goes on from a model that answers"]),
    ] {
        place.run(&format!("{line} --steps 2 --out run")).expect(2, parts);
        assert!(!place.exists("run"), "{line}");
    }
    let idle = "sft --model model --data chat.jsonl --steps 1 --out run --kl-beta 0.1";
    place.run(idle).expect(2, &["--kl-beta would not act, because `sft` rewards no answers", "use `grpo`"]);
    place.run("grpo --model model --out run").expect(2, &["no --data to train on", "reason.jsonl"]);
}
