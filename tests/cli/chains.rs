//! `run FILE.toml`: what is looked for before the first stage, what a chain keeps when it goes on, and what is said to
//! whoever names something else than a file.

use crate::place::{Place, steps};

/// Two stages of a moment.
const CHAIN: &str = r#"
out = "c"
[[stage]]
verb = "pretrain"
data = "docs.jsonl"
model = "model"
steps = 2
batch-size = 2
max-seq-len = 32
log-every = 1
"#;
const LATER: &str = r#"
[[stage]]
verb = "sft"
data = "chat.jsonl"
steps = 3
batch-size = 2
max-seq-len = 64
log-every = 1
"#;

#[test]
fn all_that_is_missing_is_told_before_the_first_stage_begins() {
    let place = Place::with_model();
    let more = "[[stage]]\nverb = \"lora\"\ndata = [\"gone.jsonl\", \"chat.jsonl\"]\nchat-template = \"no.jinja\"\n\
                [[stage]]\nverb = \"dpo\"\ndata = [\"pairs/*.jsonl\"]\nmodel = \"pretrain\"\n";
    place.write("chain.toml", format!("{CHAIN}{more}"));
    let told = [
        "nothing was begun",
        "stage 'lora': gone.jsonl: there is no such file",
        "stage 'lora': chat-template is no.jinja, which is not there",
        "stage 'dpo': pairs/*.jsonl",
    ];
    let outcome = place.run("run chain.toml").expect(2, &told);
    assert!(!outcome.stderr.contains("chat.jsonl: ") && !place.exists("c"), "{outcome}");
}

#[test]
fn a_chain_that_goes_on_is_tracked_as_when_it_was_begun() {
    let place = Place::with_model();
    place.write("chain.toml", CHAIN);
    place.run("run chain.toml --csv m.csv --tensorboard tb").ok();
    place.write("chain.toml", format!("{CHAIN}{LATER}"));
    let told = ["as when the chain was begun: --tensorboard=tb --csv=m.csv", "c/pretrain is done already"];
    place.run("run chain.toml").expect(0, &told);
    assert_eq!(place.text("m-sft.csv").lines().count(), 1 + steps(&place, "c/sft").len());
    assert!(place.path("tb/sft").is_dir());
    // A third call keeps it, too, and takes what is said now.
    let third = LATER.replace("\"sft\"", "\"lora\"");
    place.write("chain.toml", format!("{CHAIN}{LATER}{third}"));
    place.run("run chain.toml --csv n.csv").expect(0, &["as when the chain was begun: --tensorboard=tb"]);
    assert!(place.exists("n-lora.csv") && !place.exists("m-lora.csv") && place.path("tb/lora").is_dir());
}

#[test]
fn a_changed_recipe_is_told_without_a_flag_that_run_lacks() {
    let place = Place::with_model();
    place.write("chain.toml", format!("{CHAIN}{LATER}"));
    place.run("run chain.toml").ok();
    place.write("chain.toml", format!("{CHAIN}{}", LATER.replace("steps = 3", "steps = 4")));
    let told = ["c/sft: the stage was begun with other settings: --steps is 4 now and was 3", "--overwrite"];
    let outcome = place.run("run chain.toml").expect(2, &told);
    assert!(!outcome.stderr.contains("--resume"), "{outcome}");
    // The same of a stage that was stopped on its way.
    place.write("chain.toml", format!("{CHAIN}{}", LATER.replace("steps = 3", "steps = 9\nstop-after = 2")));
    place.run("run chain.toml --overwrite").ok();
    place.write("chain.toml", format!("{CHAIN}{}", LATER.replace("steps = 3", "steps = 8")));
    let outcome = place.run("run chain.toml").expect(2, &["--steps is 8 now and was 9"]);
    assert!(!outcome.stderr.contains("--resume"), "{outcome}");
}

#[test]
fn whoever_names_a_directory_is_told_what_is_wanted() {
    let place = Place::with_model();
    place.write("chain.toml", CHAIN);
    place.run("run chain.toml").ok();
    place.run("run tok").expect(2, &["tok is a directory", "kindling run chain.toml"]);
    let told =
        ["model is a directory", "a run of `pretrain` is in it", "kindling pretrain --resume --out model"];
    place.run("run model").expect(2, &told);
    place.run("run c").expect(2, &["a chain is in it", "kindling run FILE.toml --out c"]);
}
