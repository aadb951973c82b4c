//! `push`: a repository on the hub that opens as the directory that it was made of, and holds nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::server::{Faults, Gate, Published, hash};
use super::site::{READ, Site, WEIGHTS};

const REPO: &str = "models/me/talk";
const PUSH: &str = "push --model model --to hub:me/talk";
const MAY: [(&str, &str); 1] = [("HF_TOKEN", "write")];

fn names(files: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    files.keys().map(String::as_str).collect()
}

#[test]
fn a_model_is_written_whole_and_nothing_beside_it() {
    let site = Site::new();
    site.place.write("model/secret.txt", "mine");
    site.place.write(
        "model/eval.jsonl",
        "{\"task\": \"ceval\", \"n\": 10, \"accuracy\": 0.5, \"ci95\": [0.2, 0.8]}\n",
    );
    let outcome = site.run_with(&MAY, &format!("{PUSH} --license mit --message First")).ok();
    let published = site.hub.published(REPO).unwrap();
    let mut expected: Vec<&str> =
        READ.into_iter().chain([".gitattributes", "README.md", "merges.txt", "vocab.json"]).collect();
    expected.sort_unstable();
    assert_eq!(names(&published.files), expected);
    for name in READ {
        assert!(published.files[name] == site.place.read(&format!("model/{name}")), "{name}");
    }
    let card = String::from_utf8(published.files["README.md"].clone()).unwrap();
    for told in
        ["license: \"mit\"", "- \"pretrain\"", "| data | docs.jsonl |", "| ceval | 10 | accuracy | 0.5000 |"]
    {
        assert!(card.contains(told), "{told} in {card}");
    }
    let root = site.place.root().display().to_string();
    assert!(published.files.values().all(|bytes| !String::from_utf8_lossy(bytes).contains(&root)));
    assert!(outcome.stdout.trim().ends_with("/me/talk"), "{outcome}");
    assert_eq!(site.tokens("hub:me/talk"), site.tokens("model"));
    // Again: nothing is sent and nothing committed.
    site.hub.asked();
    let again =
        site.run_with(&MAY, &format!("{PUSH} --license mit --json")).expect(0, &["nothing was committed"]);
    let done = again.json().pop().unwrap();
    assert_eq!((done["commit"].is_null(), &done["bytes_sent"]), (true, &0.into()), "{done}");
    let asked = site.hub.asked();
    assert!(asked.iter().all(|asked| asked.method != "PUT" && !asked.path.contains("/commit/")), "{asked:?}");
    // Another file alone is sent; the card that is there stays until it is to be replaced.
    site.hub.change(REPO, |published| {
        published.files.insert("README.md".into(), b"# By hand".to_vec());
    });
    site.place.write("model/generation_config.json", "{\"eos_token_id\": 2}");
    let changed = site.run_with(&MAY, &format!("{PUSH} --json")).expect(0, &["the card that is there stays"]);
    assert_eq!(changed.json().pop().unwrap()["files"], serde_json::json!(["generation_config.json"]));
    let replaced = site.run_with(&MAY, &format!("{PUSH} --new-card --json")).ok().json();
    assert_eq!(replaced.last().unwrap()["files"], serde_json::json!(["README.md"]));
}

#[test]
fn what_a_dry_run_lists_is_what_is_sent() {
    let site = Site::new();
    let listed = site.run(&format!("{PUSH} --dry-run --json")).expect(0, &["nothing was sent"]).json();
    assert!(site.hub.asked().is_empty() && site.hub.published(REPO).is_none());
    site.run_with(&MAY, PUSH).ok();
    let mut files = site.hub.published(REPO).unwrap().files;
    files.remove(".gitattributes");
    let sent: BTreeMap<String, String> =
        files.iter().map(|(name, bytes)| (name.clone(), hash(bytes))).collect();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
    let of_files = listed.iter().filter(|line| line["event"] == "file");
    let told: BTreeMap<String, String> =
        of_files.map(|line| (text(&line["path"]), text(&line["sha256"]))).collect();
    assert_eq!(told, sent);
    assert_eq!(text(&listed.last().unwrap()["text"]).into_bytes(), files["README.md"]);
}

#[test]
fn large_files_go_in_parts_and_what_arrived_is_not_sent_again() {
    let site = Site::new();
    let weights = site.place.read(&format!("model/{WEIGHTS}"));
    site.hub.misbehave(Faults {
        parts_of: Some(5000),
        refusals: vec![("/part/", 503, None), ("/commit/", 413, None)],
        ..Faults::default()
    });
    site.run_with(&MAY, PUSH).expect(1, &["the hub takes nothing so large (413)"]);
    let asked = site.hub.asked().into_iter();
    let parts: Vec<String> =
        asked.map(|asked| asked.path).filter(|path| path.starts_with("/part/")).collect();
    let each: BTreeSet<&String> = parts.iter().collect();
    assert!(each.len() >= weights.len().div_ceil(5000), "{parts:?}");
    assert_eq!(parts.len(), each.len() + 1, "the first part came a second time after 503: {parts:?}");
    let outcome = site.run_with(&MAY, PUSH).expect(0, &["model.safetensors: ", "are there"]);
    assert!(site.hub.asked().iter().all(|asked| asked.method != "PUT"), "{outcome}");
    assert!(site.hub.published(REPO).unwrap().files[WEIGHTS] == weights);
}

#[test]
fn an_adapter_names_its_base_on_the_hub() {
    let site = Site::new();
    let short = "--data chat.jsonl --steps 2 --batch-size 2 --max-seq-len 64";
    site.run(&format!("lora --model model --out lora {short}")).ok();
    let push = "push --adapter lora --to hub:me/lora";
    site.run_with(&MAY, push).expect(1, &["its base is 'model'", "--base owner/name"]);
    site.run_with(&MAY, &format!("{push} --base owner/tiny"))
        .expect(0, &["adapter_config.json names owner/tiny"]);
    let files = site.hub.published("models/me/lora").unwrap().files;
    let config: serde_json::Value = serde_json::from_slice(&files["adapter_config.json"]).unwrap();
    assert_eq!(config["base_model_name_or_path"], "owner/tiny");
    let card = String::from_utf8(files["README.md"].clone()).unwrap();
    assert!(card.contains("library_name: peft\nbase_model: \"owner/tiny\"\n"), "{card}");
    assert!(!names(&files).iter().any(|name| name.contains("optimizer") || name.contains("log")));
    let local = site.tokens("model --adapter lora");
    assert_eq!(site.tokens("hub:owner/tiny --adapter hub:me/lora"), local);
    site.run_with(&MAY, "push --model lora --to hub:me/x")
        .expect(1, &["it is an adapter, which is sent with --adapter"]);
}

#[test]
fn what_opens_nowhere_is_not_sent_and_a_save_has_nothing_of_its_runs_end() {
    let site = Site::new();
    let train = "pretrain --data docs.jsonl --model model --batch-size 2 --max-seq-len 32 --log-every 1 --steps 4 \
                 --stop-after 3 --save-every 2 --keep-last 9 --out run";
    site.run(train).ok();
    let push = |directory: &str| site.run(&format!("push --model {directory} --to hub:me/x --dry-run"));
    let stopped = push("run").expect(0, &["run: the run is stopped"]);
    assert!(stopped.stdout.contains("| steps | 3 |"), "{stopped}");
    let save =
        push("run/checkpoint-000002").expect(0, &["is a save of run, so the card tells of the files alone"]);
    assert!(!save.stdout.contains("| steps |") && !save.stdout.contains("loss"), "{save}");
    let weights = site.place.read(&format!("model/{WEIGHTS}"));
    site.place.write(&format!("run/{WEIGHTS}"), &weights[..weights.len() / 2]);
    push("run").expect(1, &["run", "not a whole safetensors file"]);
    site.run("lora --data chat.jsonl --model model --steps 1 --max-seq-len 64 --out lora").ok();
    site.place.write("lora/adapter_model.safetensors", "no");
    site.run("push --adapter lora --base me/base --to hub:me/x --dry-run")
        .expect(1, &["lora", "adapter_model.safetensors"]);
}

#[test]
fn a_private_repository_is_private_before_anything_is_sent() {
    let site = Site::new();
    site.run_with(&MAY, &format!("{PUSH} --private --revision v1/test")).ok();
    let published = site.hub.published(REPO).unwrap();
    assert!(published.gate == Gate::Private("write") && published.branches.contains("v1/test"));
    site.hub.publish("models/me/open", Published::default());
    site.hub.asked();
    let refused = site.run_with(&MAY, "push --model model --to hub:me/open --private");
    refused.expect(1, &["is there and public, so nothing was sent"]);
    assert!(site.hub.asked().iter().all(|asked| !asked.path.contains("preupload")));
}

#[test]
fn what_the_hub_refuses_is_told_and_what_cannot_be_is_refused_here() {
    let site = Site::new();
    let none = site.run(PUSH).expect(1, &["asks for a token (401)", "HF_TOKEN"]);
    assert!(none.stderr.contains("error: hub:me/talk: "), "{none}");
    site.run_with(&[("HF_TOKEN", "read")], PUSH)
        .expect(1, &["may not write to me/talk (403)", "You don't have the rights"]);
    let refusals = vec![("/preupload/", 429, Some(1))];
    site.hub.misbehave(Faults { refusals, ..Faults::default() });
    site.run_with(&MAY, PUSH).expect(0, &["the hub asks to wait 1 s (429)"]);
    site.place.write("model/generation_config.json", "{}");
    for (part, status, wait, told) in [
        ("/commit/", 409, None, "something else was written there meanwhile (409): not now"),
        ("/commit/", 429, Some(5000), "the hub asks to wait 5000 s (429)"),
        ("/api/repos", 500, None, ""),
    ] {
        site.hub.misbehave(Faults { refusals: vec![(part, status, wait)], ..Faults::default() });
        let code = if told.is_empty() { 0 } else { 1 };
        site.run_with(&MAY, PUSH).expect(code, &[told]);
    }
    for (line, told) in [
        ("push --to hub:me/talk", "--model"),
        ("push --model model --adapter model --to hub:me/talk", "cannot be used with"),
        ("push --model model --to ms:me/talk", "models are written to the hub alone"),
        ("push --model model --to hub:talk", "as hub:owner/name"),
        ("push --model model --to hub:me/talk@v2", "a branch is named with --revision"),
        ("push --model nowhere --to hub:me/talk --base x", "--base x is no name on the hub"),
        ("push --model nowhere --to hub:me/talk", "nowhere is no directory"),
        ("push --model model --to hub:me/talk --license a/b", "--license a/b is no name"),
        ("push --model tok --to hub:me/talk --dry-run", "there is no config.json in it"),
    ] {
        let code = if line.contains(" tok ") { 1 } else { 2 };
        site.run_with(&MAY, line).expect(code, &[told]);
    }
    let offline = [MAY[0], ("HF_HUB_OFFLINE", "1")];
    site.run_with(&offline, PUSH).expect(2, &["HF_HUB_OFFLINE is set, so nothing can be sent"]);
}

#[test]
#[cfg(unix)]
fn a_push_that_is_stopped_says_how_it_goes_on() {
    let site = Site::new();
    site.hub.misbehave(Faults { refusals: vec![("/preupload/", 429, Some(100))], ..Faults::default() });
    let running = site.start(&MAY, PUSH);
    site.place
        .wait_for("the wait", || site.hub.asked().iter().any(|asked| asked.path.contains("/preupload/")));
    running.signal("INT");
    running
        .finish()
        .expect(130, &["stopped; what was sent stays there, and the same command sends the rest"]);
    site.run_with(&MAY, PUSH).ok();
}
