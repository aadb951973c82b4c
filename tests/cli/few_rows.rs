//! Few rows: a floor of steps, an end once they are learned, and rows of what the model knows that are mixed in.

use serde_json::Value;

use crate::place::{Place, conversation};

const TUNE: &str = "lora --model model --data three.jsonl --max-seq-len 64 --log-every 1";

fn place() -> Place {
    let place = Place::with_model();
    place.write("three.jsonl", (0..3).map(conversation).collect::<String>());
    place
}

/// The steps of a run as its end tells them: taken and planned.
fn steps(place: &Place, run: &str) -> (u64, u64) {
    let log = place.log(run);
    let done = log.iter().rfind(|line| line["event"] == "done").unwrap();
    (done["step"].as_u64().unwrap(), done["total_steps"].as_u64().unwrap())
}

#[test]
fn a_floor_raises_the_steps_of_few_rows_and_a_low_loss_ends_them() {
    let place = place();
    place.run(&format!("{TUNE} --epochs 2 --min-steps 9 --stop-at-loss 0 --out floor")).ok();
    assert_eq!(steps(&place, "floor"), (9, 9));
    place.run(&format!("{TUNE} --epochs 2 --min-steps 0 --stop-at-loss 0 --out plain")).ok();
    assert_eq!(steps(&place, "plain"), (2, 2));
    // Every loss is under 100: a whole pass is one step, and the next one begins another.
    let early = place.run(&format!("{TUNE} --min-steps 9 --stop-at-loss 100 --out early"));
    early.expect(0, &["ended at step 2: every step of a whole pass over the rows had a loss under 100"]);
    assert_eq!(steps(&place, "early"), (2, 2));
    // Steps that are asked for are taken.
    place.run(&format!("{TUNE} --steps 5 --stop-at-loss 100 --out asked")).ok();
    assert_eq!(steps(&place, "asked"), (5, 5));
}

#[test]
fn rows_to_keep_are_mixed_in_and_a_run_with_them_goes_on_as_it_was() {
    let place = place();
    let line = format!("{TUNE} --steps 6 --keep-data chat.jsonl --keep-share 0.4");
    let told = "40 % of every step are rows of that (100 to draw from)";
    place.run(&format!("{line} --out whole")).expect(0, &[told]);
    place.run(&format!("{line} --out parts --stop-after 2")).ok();
    place.run("lora --resume --out parts").ok();
    assert_eq!(place.logged_steps("whole"), place.logged_steps("parts"));
    let weights = |run: &str| place.read(&format!("{run}/adapter_model.safetensors"));
    assert_eq!(weights("whole"), weights("parts"));
    let is_step = |line: &&Value| line.get("event").is_none();
    assert!(place.log("whole").iter().filter(is_step).all(|line| line["keep_loss"].as_f64().unwrap() > 0.0));
    place.run(&format!("{TUNE} --steps 6 --out without")).ok();
    assert_ne!(weights("whole"), weights("without"));
}

#[test]
fn flags_of_rows_to_keep_that_would_not_act_are_refused() {
    let place = place();
    for (flags, parts) in [
        ("--keep-share 0.5", ["--keep-share 0.5 would not act", "--keep-data"]),
        ("--keep-data chat.jsonl --keep-share 0", ["--keep-data would not act", "--keep-share 0.3"]),
        ("--keep-share 2", ["--keep-share is 2", "0 to 0.9"]),
        ("--stop-at-loss=-1", ["--stop-at-loss is -1", "0 or more"]),
    ] {
        place.run(&format!("{TUNE} {flags} --out run")).expect(2, &parts);
        assert!(!place.exists("run"), "{flags}");
    }
}
