//! `--train`: a page's run on the server, over raw HTTP.

use serde_json::{Value, json};

use super::client::{Events, ask};
use super::site::{Site, question};
use crate::place::Place;

pub(super) const RUNS: &str = "/v1/training";
pub(super) const CHAT: &str = "/v1/chat/completions";

/// What a page asks for: an adapter of so many steps.
pub(super) fn wish(place: &Place, name: &str, steps: u64) -> Value {
    let config = json!({
        "steps": steps, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.05, "stop-at-loss": 0, "val-split": 0,
        "save-every": 0,
    });
    json!({
        "model": "", "training": {"stage": "sft", "name": name, "config": config, "adapter": {"rank": 4}},
        "files": [{"name": "chat.jsonl", "text": place.text("chat.jsonl")}],
    })
}

pub(super) fn begin(site: &Site, wish: &Value) -> String {
    site.post(RUNS, wish).expect(200)["id"].as_str().unwrap().to_string()
}

pub(super) fn listen(site: &Site, id: &str) -> Events {
    let events = Events::listen(&site.address, &format!("{RUNS}/{id}/events"), &[]);
    assert_eq!(events.status, 200);
    events
}

pub(super) fn steer(site: &Site, id: &str, what: &str) {
    site.post(&format!("{RUNS}/{id}/control"), &json!({"what": what})).expect(200);
}

/// The next event of a kind.
pub(super) fn until(events: &mut Events, kind: &str) -> Value {
    loop {
        let event = events.next().unwrap_or_else(|| panic!("no {kind} came"));
        let event: Value = serde_json::from_str(&event).unwrap();
        if event["event"] == kind {
            return event;
        }
        assert_ne!(event["event"], "failed", "{event}");
    }
}

pub(super) fn all(events: Events) -> Vec<Value> {
    events.rest().iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

/// Checks that a request is refused with a sentence that a page can say in its own words; gives its code.
pub(super) fn told(answer: &super::client::Answer, status: u16) -> String {
    let body = answer.expect(status);
    assert_eq!(body["error"]["message"], body["told"]["message"], "{body}");
    assert_eq!(body["error"]["code"], body["told"]["code"], "{body}");
    body["told"]["code"].as_str().unwrap().to_string()
}

#[test]
fn a_run_is_followed_to_its_end_and_answers_at_once() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model base=model --train");
    let listed = site.get(RUNS).expect(200);
    assert_eq!(
        listed,
        json!({"running": null, "paused": false, "runs": [], "models": ["base"], "most_bytes": 4e6})
    );
    let id = begin(&site, &wish(&place, "my lamps", 30));
    assert_eq!(id, "my-lamps");
    let events = all(listen(&site, &id));
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
    assert_eq!((&events[0]["event"], &events[0]["id"]), (&json!("started"), &json!("my-lamps")));
    assert_eq!((&events[0]["plan"]["steps"], &events[0]["plan"]["rows"]), (&json!(30.0), &json!(100.0)));
    let steps: Vec<f64> = of("step").iter().map(|event| event["step"].as_f64().unwrap()).collect();
    assert!(steps.iter().copied().eq((1..=30).map(f64::from)), "{steps:?}");
    assert_eq!(of("save").last().unwrap()["step"], 30.0);
    let done = &events.last().unwrap()["result"];
    let end = [&done["adapter"], &done["step"], &done["total_steps"], &done["stopped"], &done["kept"]];
    assert_eq!(
        end,
        [&json!("my-lamps"), &json!(30.0), &json!(30.0), &json!(false), &json!(true)],
        "{events:?}"
    );
    assert_eq!(all(listen(&site, &id)), events, "whoever comes later hears all of it");
    // It is a run of the command line.
    assert_eq!(place.logged_steps("runs/my-lamps").len(), 30);
    assert_eq!(place.log("runs/my-lamps").pop().unwrap()["event"], "done");
    let listed = site.get(RUNS).expect(200);
    let run = &listed["runs"][0];
    assert_eq!((&run["id"], &run["step"], &run["adapter"]), (&json!("my-lamps"), &json!(30.0), &json!(true)));
    // The server answers with it, and gives it away.
    let models = site.get("/v1/models").expect(200);
    assert_eq!(
        (&models["data"][1]["id"], &models["data"][1]["parent"]),
        (&json!("my-lamps"), &json!("base"))
    );
    let mut asked = question("What is 3 plus one?", 4);
    asked["model"] = json!("my-lamps");
    site.post(CHAT, &asked).expect(200);
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let file = site.get(&format!("{RUNS}/{id}/files/{name}"));
        assert_eq!((file.status, file.body), (200, place.read(&format!("runs/my-lamps/{name}"))), "{name}");
    }
    assert_eq!(told(&site.post(&format!("{RUNS}/{id}/resume"), &json!({})), 400), "served_run.done");
    // The model itself trains, under the next free name.
    let mut whole = wish(&place, "my lamps", 3);
    whole["training"]["adapter"] = Value::Null;
    let id = begin(&site, &whole);
    assert_eq!(id, "my-lamps-2");
    let events = all(listen(&site, &id));
    assert_eq!(events.last().unwrap()["result"]["model"], "my-lamps-2", "{events:?}");
    asked["model"] = json!("my-lamps-2");
    site.post(CHAT, &asked).expect(200);
}

#[test]
fn a_run_pauses_stops_goes_on_and_outlives_whoever_listens() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model base=model --train kept");
    let id = begin(&site, &wish(&place, "lamps", 1_000_000));
    let mut events = listen(&site, &id);
    until(&mut events, "step");
    assert_eq!(told(&site.post(RUNS, &wish(&place, "other", 3)), 409), "run.busy");
    assert!(!place.exists("kept/.rows/other"), "of what is refused nothing is kept");
    steer(&site, &id, "pause");
    let saved = until(&mut events, "save")["step"].as_f64().unwrap();
    let stands = |site: &Site| {
        let listed = site.get(RUNS).expect(200);
        (listed["running"].clone(), listed["paused"].clone())
    };
    assert_eq!(stands(&site), (json!("lamps"), json!(true)), "whoever comes back sees that it pauses");
    steer(&site, &id, "continue");
    assert_eq!(stands(&site), (json!("lamps"), json!(false)));
    assert_eq!(until(&mut events, "step")["step"], saved + 1.0, "no step is taken in a pause");
    // The model below goes on answering.
    site.post(CHAT, &question("hi", 2)).expect(200);
    drop(events);
    let listed = site.get(RUNS).expect(200);
    assert_eq!(listed["running"], "lamps");
    assert!(listed["runs"][0]["step"].as_f64().unwrap() > saved, "{listed}");
    let mut events = listen(&site, &id);
    until(&mut events, "started");
    assert_eq!(until(&mut events, "step")["step"], 1.0);
    steer(&site, &id, "stop");
    let done = until(&mut events, "done")["result"].clone();
    let last = done["step"].as_f64().unwrap();
    assert_eq!((&done["stopped"], &done["total_steps"]), (&json!(true), &json!(1e6)));
    assert!(events.next().is_none());
    assert_eq!(stands(&site), (Value::Null, json!(false)));
    let control = site.post(&format!("{RUNS}/{id}/control"), &json!({"what": "stop"}));
    assert_eq!(told(&control, 409), "run.not_now");
    // It goes on where it was.
    site.post(&format!("{RUNS}/{id}/resume"), &json!({})).expect(200);
    let mut events = listen(&site, &id);
    assert_eq!(until(&mut events, "step")["step"], last + 1.0);
    steer(&site, &id, "stop");
    until(&mut events, "done");
    assert_eq!(site.get("/v1/models").expect(200)["data"].as_array().unwrap().len(), 2);
    assert_eq!(told(&site.post(&format!("{RUNS}/none/resume"), &json!({})), 404), "run.none");
}

#[cfg(unix)]
#[test]
fn a_server_that_ends_saves_its_run_which_goes_on_with_the_command_line_or_the_next_server() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model base=model --train");
    let id = begin(&site, &wish(&place, "lamps", 1_000_000));
    let mut events = listen(&site, &id);
    until(&mut events, "step");
    site.signal("TERM");
    let done = until(&mut events, "done")["result"].clone();
    drop(events);
    let (code, said) = site.finish();
    assert_eq!(code, Some(0), "{said}");
    let last = done["step"].as_u64().or(done["step"].as_f64().map(|step| step as u64)).unwrap();
    assert_eq!(place.checkpoints("runs/lamps").last(), Some(&last), "every step that was taken is saved");
    place.run(&format!("lora --resume --out runs/lamps --stop-after {}", last + 2)).ok();
    let site = Site::start(&place, "--model base=model --train");
    let listed = site.get(RUNS).expect(200);
    assert_eq!(listed["runs"][0]["step"].as_f64(), Some((last + 2) as f64), "{listed}");
    assert_eq!(told(&site.get(&format!("{RUNS}/lamps/events")), 404), "run.none");
    site.post(&format!("{RUNS}/lamps/resume"), &json!({})).expect(200);
    let mut events = listen(&site, "lamps");
    assert_eq!(until(&mut events, "step")["step"].as_f64(), Some((last + 3) as f64));
    steer(&site, "lamps", "stop");
    let done = until(&mut events, "done");
    assert_eq!(done["result"]["adapter"], "lamps");
    let models = site.get("/v1/models").expect(200);
    assert_eq!(models["data"][1]["parent"], "base", "its model is found again: {models}");
}

#[test]
fn only_the_own_page_and_whoever_has_a_key_trains() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model");
    let message = site.get(RUNS).refused(404, "invalid_request_error");
    assert!(message.contains("--train"), "{message}");
    let refused = place.run("serve --model model --port 0 --train --host 0.0.0.0");
    refused.expect(2, &["--train with --host 0.0.0.0", "--api-key"]);
    let refused = place.run("serve --model model --port 0 --train docs.jsonl");
    refused.expect(2, &["--train docs.jsonl is a file", "name a directory"]);
    let site = Site::start(&place, "--model model --train --api-key k --cors https://a.example");
    let wish = wish(&place, "x", 1).to_string();
    let status = |headers: &[(&str, &str)]| ask(&site.address, "POST", RUNS, headers, wish.as_bytes()).status;
    let key = ("authorization", "Bearer k");
    assert_eq!(status(&[]), 401);
    assert_eq!(status(&[("authorization", "Bearer other")]), 401);
    assert_eq!(status(&[key, ("origin", "https://a.example")]), 403, "--cors lets it ask, not train");
    assert_eq!(status(&[key, ("origin", "https://b.example")]), 403);
    assert!(!place.exists("runs/x"));
    assert_eq!(status(&[key, ("origin", "http://127.0.0.1")]), 200, "its own page");
    for path in ["", "/x/events", "/x/files/config.json"] {
        assert_eq!(site.get(&format!("{RUNS}{path}")).status, 401, "{path}");
    }
    let events = Events::listen(&site.address, &format!("{RUNS}/x/events"), &[key]);
    assert_eq!(all(events).last().unwrap()["event"], "done");
}

#[test]
fn what_is_sent_stays_in_its_directory_and_is_bounded() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model base=model --train --max-request-mb 0.1");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut wish = wish(&place, "x", 1);
        change(&mut wish);
        site.post(RUNS, &wish)
    };
    assert_eq!(told(&changed(&|wish| wish["training"]["stage"] = json!("dpo")), 400), "served_run.stage");
    assert_eq!(told(&changed(&|wish| wish["training"]["preset"] = json!("nano")), 400), "served_run.part");
    assert_eq!(told(&changed(&|wish| wish["files"] = json!([])), 400), "data.none");
    assert_eq!(told(&changed(&|wish| wish["files"][0]["name"] = json!("a.bin")), 400), "served_run.file");
    let out = |wish: &mut Value| wish["training"]["config"]["out"] = json!("/tmp");
    assert_eq!(told(&changed(&out), 400), "settings.unread");
    changed(&|wish| wish["model"] = json!("none")).refused(404, "invalid_request_error");
    changed(&|wish| wish["data"] = json!(["/etc/passwd"])).refused(400, "invalid_request_error");
    let message = changed(&|wish| wish["files"][0]["text"] = json!("x".repeat(200_000)))
        .refused(413, "invalid_request_error");
    assert!(message.contains("--max-request-mb"), "{message}");
    for body in [&b"{"[..], b"", b"[]", b"\xff"] {
        ask(&site.address, "POST", RUNS, &[], body).refused(400, "invalid_request_error");
    }
    let entries = std::fs::read_dir(place.path("runs")).unwrap().count();
    assert_eq!(entries, 0, "nothing of all that was written");
    // Names that would lead elsewhere are names all the same.
    let mut wish = wish(&place, "../../up", 2);
    wish["files"][0]["name"] = json!("../../../up.jsonl");
    assert_eq!(begin(&site, &wish), "up");
    assert_eq!(all(listen(&site, "up")).last().unwrap()["event"], "done");
    assert!(place.exists("runs/up/adapter_config.json") && place.exists("runs/.rows/up/up.jsonl"));
    assert!(!place.exists("up") && !place.exists("up.jsonl"));
    for path in [
        "..%2f..%2fmodel/files/config.json",
        "%2e%2e/files/config.json",
        ".rows/files/config.json",
        "up/files/..%2f..%2f..%2fmodel%2fconfig.json",
        "up/files/log.jsonl",
        "up/files/training%2fsettings.toml",
        "..%2fmodel/events",
    ] {
        assert_eq!(site.get(&format!("{RUNS}/{path}")).status, 404, "{path}");
    }
    for path in ["..%2fmodel/resume", ".rows/resume"] {
        assert_eq!(site.post(&format!("{RUNS}/{path}"), &json!({})).status, 404, "{path}");
    }
    // Rows that cannot be used end the run, and are told with their lines.
    wish["files"] = json!([{"name": "rows.jsonl", "text": "{\"messages\": 5}\n"}]);
    wish["training"]["name"] = json!("bad");
    assert_eq!(begin(&site, &wish), "bad");
    let failed = all(listen(&site, "bad")).pop().unwrap();
    assert_eq!(failed["event"], "failed");
    assert!(failed["message"].as_str().unwrap().contains("rows.jsonl:1"), "{failed}");
    assert!(!place.exists("runs/bad") && !place.exists("runs/.rows/bad"), "there is nothing to go on from");
}
