//! The recipes that are shipped: the tiny one from its first stage to its last, on data that `sample-data` writes.

use std::path::Path;

use crate::place::{Place, steps};

#[test]
fn the_tiny_recipe_runs_whole_and_is_done_then() {
    let place = Place::new();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/tiny.toml");
    place.write("tiny.toml", std::fs::read(recipe).unwrap());
    place.run("sample-data data").ok();
    let lines = place.run("run tiny.toml --json").ok().json();
    let stages = ["tokenizer", "pretrain", "sft", "dpo", "lora", "reason"];
    assert_eq!(lines.last().unwrap()["stages"], serde_json::json!(stages));
    for (stage, count) in stages[1..].iter().zip([10, 10, 4, 4, 4]) {
        assert_eq!(steps(&place, &format!("runs/tiny/{stage}")).len(), count, "{stage}: a line a step");
    }
    let before = place.contents("runs/tiny/sft");
    let again = place.run("run tiny.toml").ok();
    for stage in &stages[1..] {
        assert!(again.stderr.contains(&format!("runs/tiny/{stage} is done already")), "{stage}: {again}");
    }
    assert!(place.contents("runs/tiny/sft") == before);
    place.run("chat --model runs/tiny/sft --prompt hi --max-new-tokens 4").ok();
}
