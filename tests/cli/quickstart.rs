//! `quickstart` and `run FILE.toml`: every stage from the one before; what is done is left, what was stopped goes on.

use serde_json::Value;

use crate::place::Place;

const TINY: &str = "--rows 40 --steps 2 --vocab-size 400";
const STAGES: [&str; 6] = ["tokenizer", "pretrain", "sft", "dpo", "lora", "reason"];

fn of_event<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn every_stage_is_run_told_and_left_where_it_is_done() {
    let place = Place::new();
    let lines = place.run(&format!("quickstart {TINY} --out q --json")).ok().json();
    let stages = of_event(&lines, "stage");
    let named: Vec<&str> = stages.iter().map(|line| line["stage"].as_str().unwrap()).collect();
    assert_eq!(named, STAGES);
    for line in &stages[1..] {
        assert_eq!(line["steps"], 2, "{line}");
        assert!(line["loss_before"].is_number() && line["loss_after"].is_number(), "{line}");
    }
    let sum = |key: &str| stages.iter().filter_map(|line| line[key].as_f64()).sum::<f64>();
    assert!(stages[3]["held_out"]["reward_accuracy"].is_number(), "{}", stages[3]);
    let done = lines.last().unwrap();
    assert_eq!((done["event"].as_str(), done["out"].as_str()), (Some("done"), Some("q")));
    assert!(stages.iter().all(|line| line["seconds"].is_number()), "the tokenizer's, too: {stages:?}");
    assert_eq!(done["tokens"].as_f64(), Some(sum("tokens")), "{done}");
    assert!(
        (done["seconds"].as_f64().unwrap() - sum("seconds")).abs() < 1e-9 && sum("tokens") > 0.0,
        "{done}"
    );
    let asked = done["conversation"].as_array().unwrap();
    assert!(asked.iter().any(|line| line["stage"] == "lora" && line["question"] == "Who are you?"), "{done}");
    let chain: Vec<Value> = place.run("runs q --json").ok().json();
    let lora = chain.iter().find(|line| line["run"] == "q/lora").unwrap();
    assert_eq!(lora["lineage"], serde_json::json!(["q/dpo", "q/sft", "q/pretrain", "new nano"]));
    // Everything is done: nothing is written again.
    let weights = place.contents("q/sft");
    let again = place
        .run("quickstart --resume --out q")
        .expect(0, &["q/sft is done already", "q/lora is done already"]);
    assert!(STAGES.iter().all(|stage| again.stdout.lines().any(|line| line.starts_with(stage))), "{again}");
    let all = again.stdout.lines().find(|line| line.starts_with("in all")).unwrap();
    assert_eq!(all.split_whitespace().nth(2), Some("10"), "steps of five stages: {again}");
    assert!(again.stderr.contains("kindling plan --preset micro --tokens"), "{again}");
    assert!(place.contents("q/sft") == weights);
}

#[test]
fn its_directory_is_taken_as_a_runs_is() {
    let place = Place::new();
    place.write("photos/one.jpg", "precious");
    place
        .run(&format!("quickstart {TINY} --out photos"))
        .expect(2, &["holds files that are not a run of ours"]);
    place.write("chats.jsonl", (0..40).map(crate::place::conversation).collect::<String>());
    let line = format!("quickstart {TINY} --data chats.jsonl --ask hi --out q");
    let told = ["left out, because --data chats.jsonl has no rows for them: dpo, lora, reason"];
    place.run(&line).expect(0, &told);
    assert!(place.exists("q/sft/model.safetensors") && !place.exists("q/dpo"));
    place.write("q/mine.txt", "mine");
    place.run(&line).expect(2, &["already holds a run; add --resume", "--overwrite"]);
    place.run(&format!("{line} --overwrite --seed 7")).ok();
    assert_eq!(place.text("q/mine.txt"), "mine");
    place.run("quickstart --resume --out q --seed 8").expect(2, &["--seed is 8 now and was 7"]);
    place.run("quickstart --rows 1").expect(2, &["--rows is 1; it must be 4 to"]);
    place.run("quickstart --preset huge").expect(2, &["there is no preset 'huge'"]);
    place.run("quickstart --data nowhere").expect(2, &["there are no conversations"]);
    place.run("chat --model q --prompt hi").expect(2, &["q holds several stages; name one of them"]);
    assert!(!place.exists("runs"));
}

#[test]
#[cfg(unix)]
fn what_was_stopped_goes_on() {
    let place = Place::new();
    let line = "quickstart --rows 40 --steps 3000 --vocab-size 400 --out q";
    let running = place.start(line);
    place.wait_for("a step", || place.logged("q/pretrain").contains("\"step\""));
    running.signal("INT");
    let told = ["goes on with: kindling quickstart --resume --out q"];
    running.finish().expect(130, &told);
    let step = place.log("q/pretrain").iter().filter_map(|line| line["step"].as_u64()).max().unwrap();
    assert!(step < 3000, "{step}");
    let running = place.start("quickstart --resume --out q");
    place.wait_for("a later step", || {
        let log = place.logged("q/pretrain");
        log.contains("\"resume\"") && log.rsplit("\"resume\"").next().unwrap().contains("\"lr\"")
    });
    running.signal("INT");
    running.finish().expect(130, &told);
}

const CHAIN: &str = r#"
out = "mine"
[[stage]]
verb = "tokenizer train"
data = "docs.jsonl"
vocab-size = 300

[[stage]]
verb = "pretrain"
data = "docs.jsonl"
model-config = "tiny.json"
steps = 3
batch-size = 2
max-seq-len = 32

[[stage]]
verb = "sft"
name = "talk"
data = "chat.jsonl"
steps = 2
batch-size = 2
max-seq-len = 64
"#;

#[test]
fn a_file_of_stages_is_run_and_what_is_done_is_left() {
    let place = Place::with_model();
    place.write("chain.toml", CHAIN);
    let lines = place.run("run chain.toml --json").ok().json();
    assert_eq!(lines.last().unwrap()["stages"], serde_json::json!(["tokenizer", "pretrain", "talk"]));
    let settings: toml::Table = place.text("mine/talk/training/settings.toml").parse().unwrap();
    assert_eq!(settings["model"].as_str(), Some("mine/pretrain"));
    // A stage that was added is run, and the others are left.
    let more =
        "\n[[stage]]\nverb = \"lora\"\ndata = \"chat.jsonl\"\nsteps = 1\nbatch-size = 2\nmax-seq-len = 64\n";
    place.write("chain.toml", format!("{CHAIN}{more}"));
    let before = place.contents("mine/talk");
    place.run("run chain.toml").expect(0, &["mine/talk is done already"]);
    assert!(place.exists("mine/lora/adapter_model.safetensors") && place.contents("mine/talk") == before);
    // A stage that is done keeps its settings.
    place.write("chain.toml", CHAIN.replace("steps = 2", "steps = 5"));
    place.run("run chain.toml").expect(2, &["--steps is 5 now and was 2"]);
    place.run("run chain.toml --overwrite").ok();
    assert!(!place.exists("mine/lora"), "what the chain before wrote is gone");
    place.write("bad.toml", "[[stage]]\nverb = \"sft\"\nepochz = 1\n");
    place.run("run bad.toml").expect(2, &["bad.toml: stage 'sft': `sft` has no flag named epochz"]);
    place.run("run chain.toml --out model").expect(2, &["holds a run of `pretrain`, and no chain"]);
    place.run("run nowhere.toml").expect(1, &["nowhere.toml"]);
    assert!(!place.exists("runs"));
}
