//! Options of every stage on the command line: told, kept, resumed bit for bit, and refused where they would not act.

use serde_json::Value;

use crate::place::Place;
use crate::two_parts::compare;

const TUNE: &str = "sft --data chat.jsonl --model model --batch-size 4 --max-seq-len 64 --log-every 1";

#[test]
fn a_run_in_two_parts_is_the_same_with_every_option() {
    let place = Place::with_model();
    let held_out = "--val-split 0.1 --eval-every 2 --early-stop 9";
    let noise = "--neftune 5 --dropout 0.1 --ema 0.9 --activation-checkpointing one_in_two";
    compare(&place, &format!("{TUNE} --steps 9 {held_out} {noise} --muon"), 5, &[]);
    compare(&place, &format!("{TUNE} --steps 9 {held_out} {noise} --lora --keep-share 0"), 5, &[]);
    let pretrain = "pretrain --data docs.jsonl --model model --batch-size 2 --max-seq-len 32 --log-every 1";
    let fine = noise.replace("one_in_two", "fine_grained");
    compare(&place, &format!("{pretrain} --steps 9 {fine} --muon"), 5, &[]);
}

#[test]
fn settings_are_kept_and_a_changed_one_is_refused_when_the_run_goes_on() {
    let place = Place::with_model();
    place
        .run(&format!("{TUNE} --steps 4 --neftune 5 --ema 0.9 --out run --stop-after 2"))
        .expect(0, &["moving average (--ema 0.9)"]);
    let settings: toml::Table = place.text("run/training/settings.toml").parse().unwrap();
    assert_eq!(
        settings["neftune"].as_float().or(settings["neftune"].as_integer().map(|n| n as f64)),
        Some(5.0)
    );
    assert_eq!(settings["activation-checkpointing"].as_str(), Some("none"));
    assert_eq!(settings["muon"].as_bool(), Some(false));
    assert!(!settings.contains_key("dropout"), "the model's own: {settings}");
    place.run("sft --resume --out run --muon").expect(2, &["muon"]);
    place.run("sft --resume --out run").ok();
    let progress = place.json("run/training/progress.json");
    assert_eq!(progress["config"]["ema"].as_f64(), Some(0.9), "{progress}");
}

#[test]
fn a_run_ends_early_and_its_directory_holds_the_best_weights() {
    let place = Place::with_model();
    let fast = "--learning-rate 0.03 --lr-schedule constant --warmup-ratio 0 --steps 400";
    let line = format!("{TUNE} {fast} --val-split 0.2 --eval-every 2 --early-stop 2 --out run");
    place.run(&line).expect(0, &["measurements in a row were no better than the one of step"]);
    let progress = place.json("run/training/progress.json");
    let (step, best) =
        (progress["step"].as_u64().unwrap(), progress["patience"]["best_step"].as_u64().unwrap());
    assert!(step < 400, "{progress}");
    assert_eq!((step, progress["total_steps"].as_u64()), (best + 4, Some(step)), "{progress}");
    assert!(place.read("run/model.safetensors") == place.read("run/best/model.safetensors"));
    let done: Vec<Value> = place.log("run").into_iter().filter(|line| line["event"] == "done").collect();
    let loss = done[0]["heldout_loss"].as_f64().unwrap();
    assert!((loss - progress["best_loss"].as_f64().unwrap()).abs() < 1e-9, "{}", done[0]);
    // It has ended, and goes on no further.
    place.run("sft --resume --out run").ok();
    assert!(place.read("run/model.safetensors") == place.read("run/best/model.safetensors"));
}

#[test]
fn what_would_not_act_is_refused_by_name() {
    let place = Place::with_model();
    for (flags, part) in [
        ("--neftune -1", "--neftune is -1"),
        ("--dropout 1", "--dropout is 1"),
        ("--ema 1", "--ema is 1"),
        ("--early-stop 3", "--early-stop needs a held-out loss"),
        ("--early-stop 3 --val-split 0.1", "--early-stop needs a held-out loss"),
        ("--activation-checkpointing half", "one_in_two"),
        ("--muon --lora", "--muon acts on whole matrices"),
    ] {
        place.run(&format!("{TUNE} --steps 2 --out run {flags}")).expect(2, &[part]);
        assert!(!place.exists("run"), "{flags}");
    }
    let bench = "bench --preset nano --what decode --activation-checkpointing whole_layer";
    place.run(bench).expect(2, &["--activation-checkpointing acts in training alone"]);
}

#[test]
fn less_memory_is_planned_and_taken_where_activations_are_computed_again() {
    let place = Place::new();
    let planned = |strategy: &str| {
        let line = format!("--json plan --preset micro --activation-checkpointing {strategy}");
        place.run(&line).ok().result()["activation_bytes"].as_u64().unwrap()
    };
    let [none, half, all] = ["none", "one_in_two", "whole_layer"].map(planned);
    assert!(all < half && half < none, "{none} {half} {all}");
    let taken = |strategy: &str| {
        let sizes = "--preset micro --batch-size 8 --max-seq-len 256 --seconds 0.1";
        let line = format!("--json bench --what train {sizes} --activation-checkpointing {strategy}");
        let result = place.run(&line).ok().result();
        let told = result["activation_checkpointing"].as_str().unwrap_or("none");
        assert_eq!(told, strategy, "{result}");
        result["peak_memory_bytes"].as_u64()
    };
    // A system that does not tell the peak of a process gives none.
    if let (Some(none), Some(all)) = (taken("none"), taken("whole_layer")) {
        assert!(all < none, "{none} {all}");
    }
}

#[test]
fn activations_in_8_bits_are_chosen_beside_few_bits_and_their_cost_is_scored() {
    let place = Place::with_model();
    let score = |flags: &str| {
        let told = place.run(&format!("score --model model --data docs.jsonl --limit 5 --json {flags}")).ok();
        told.result()["bits_per_byte"].as_f64().unwrap()
    };
    let (exact, eight) = (score("--weights q8_0"), score("--weights q8_0 --activations 8-bits"));
    assert_eq!(score("--weights q8_0 --activations exact"), exact, "texts are scored exactly");
    assert!(eight != exact && (eight - exact).abs() < 0.05, "{eight} {exact}");
    let generate = "generate --model model --prompt The --max-new-tokens 4";
    place.run(&format!("{generate} --weights q8_0 --activations exact")).ok();
    place.run(&format!("{generate} --weights q8_0")).ok();
    place.run(&format!("{generate} --activations exact")).expect(2, &["--weights"]);
}
