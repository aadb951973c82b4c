//! `--train`: runs that go on, also those of other processes and those that fail then, of which nothing may be lost.

use serde_json::json;

use super::site::{Site, question};
use super::training::{CHAT, RUNS, all, begin, listen, steer, told, until, wish};
use crate::place::Place;

/// A run of the command line in the server's directory.
const LORA: &str =
    "lora --model model --data chat.jsonl --batch-size 2 --max-seq-len 64 --log-every 1 --stop-at-loss 0";

#[test]
fn a_run_of_another_process_is_left_alone_and_so_is_what_it_leaves_behind() {
    let place = Place::with_model();
    let other = place.start(&format!("{LORA} --out kept/lamps --steps 1000000"));
    let lines = || place.logged("kept/lamps").lines().count();
    place.wait_for("some steps", || lines() > 3);
    let site = Site::start(&place, "--model base=model --train kept");
    assert_eq!(told(&site.post(&format!("{RUNS}/lamps/resume"), &json!({})), 409), "run.busy");
    assert_eq!(site.get(RUNS).expect(200)["running"], json!(null), "it is none of the server's");
    let before = lines();
    place.wait_for("more steps in the same place", || lines() > before);
    other.kill();
    // It has no save; what it wrote stays all the same where it cannot go on.
    assert!(place.checkpoints("kept/lamps").is_empty());
    place.remove("chat.jsonl");
    site.post(&format!("{RUNS}/lamps/resume"), &json!({})).expect(200);
    assert_eq!(all(listen(&site, "lamps")).pop().unwrap()["event"], "failed");
    assert!(place.exists("kept/lamps/training/settings.toml"));
    assert!(place.exists("kept/lamps/log.jsonl"));
}

#[test]
fn a_run_that_cannot_go_on_keeps_its_saves_and_what_it_gave_goes_on_answering() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model base=model --train kept");
    let id = begin(&site, &wish(&place, "lamps", 1_000_000));
    let mut events = listen(&site, &id);
    until(&mut events, "step");
    steer(&site, &id, "stop");
    until(&mut events, "done");
    let mut asked = question("What is 3 plus one?", 2);
    asked["model"] = json!("lamps");
    site.post(CHAT, &asked).expect(200);
    let newest = place.checkpoints("kept/lamps").pop().unwrap();
    let newest = format!("kept/lamps/checkpoint-{newest:06}");
    let saved = place.contents(&newest);
    let rows = place.read("kept/.rows/lamps/chat.jsonl");
    place.remove("kept/.rows/lamps/chat.jsonl");
    site.post(&format!("{RUNS}/lamps/resume"), &json!({})).expect(200);
    let failed = all(listen(&site, &id)).pop().unwrap();
    assert_eq!(failed["event"], "failed");
    assert!(failed["message"].as_str().unwrap().contains("chat.jsonl"), "{failed}");
    assert!(place.contents(&newest) == saved, "its save is as it was");
    assert!(place.exists("kept/.rows/lamps/settings.toml"), "what was sent stays, too");
    let models = site.get("/v1/models").expect(200);
    assert_eq!((&models["data"][1]["id"], &models["data"][1]["parent"]), (&json!("lamps"), &json!("base")));
    site.post(CHAT, &asked).expect(200);
    // With its rows it goes on, and a refusal meanwhile takes no name away.
    place.write("kept/.rows/lamps/chat.jsonl", rows);
    site.post(&format!("{RUNS}/lamps/resume"), &json!({})).expect(200);
    let mut events = listen(&site, &id);
    until(&mut events, "step");
    assert_eq!(told(&site.post(&format!("{RUNS}/lamps/resume"), &json!({})), 409), "run.busy");
    steer(&site, &id, "stop");
    until(&mut events, "done");
    site.post(CHAT, &asked).expect(200);
}

#[test]
fn a_run_goes_on_in_the_type_that_it_began_in() {
    let place = Place::with_model();
    place.run(&format!("{LORA} --out kept/half --steps 6 --stop-after 2 --dtype bf16")).ok();
    let site = Site::start(&place, "--model base=model --train kept");
    site.post(&format!("{RUNS}/half/resume"), &json!({})).expect(200);
    let done = all(listen(&site, "half")).pop().unwrap();
    assert_eq!((&done["event"], &done["result"]["step"]), (&json!("done"), &json!(6.0)), "{done}");
    drop(site);
    // One that begins has the server's type.
    let site = Site::start(&place, "--model base=model --train kept --dtype bf16");
    let id = begin(&site, &wish(&place, "new", 2));
    assert_eq!(all(listen(&site, &id)).pop().unwrap()["event"], "done");
    assert!(place.text("kept/new/training/settings.toml").contains("dtype = \"bf16\""));
}

#[cfg(unix)]
#[test]
fn a_file_of_a_run_comes_without_the_rest_of_the_run_being_read() {
    let place = Place::with_model();
    place.write("kept/held/training/settings.toml", "");
    place.write("kept/held/config.json", "{}");
    // Whoever opens it waits, as for a disk that does not answer.
    let log = place.path("kept/held/log.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(log).status().unwrap().success());
    let site = Site::start(&place, "--model base=model --train kept");
    let file = site.get(&format!("{RUNS}/held/files/config.json"));
    assert_eq!((file.status, file.body), (200, b"{}".to_vec()));
    assert_eq!(site.get(&format!("{RUNS}/held/files/model.safetensors")).status, 404);
}
