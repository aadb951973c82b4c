//! Downloads that break off, servers that give other bytes than they announce, names that lead elsewhere.

use std::path::Path;

use super::server::{Faults, Published};
use super::site::{GREEDY, Site};
use crate::place::conversation;

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let site = Site::new();
    let expected = site.tokens("model");
    let (blob, bytes) = site.weights();
    site.hub.misbehave(Faults { break_after: Some(5000), ..Faults::default() });
    assert_eq!(site.tokens("hub:owner/tiny"), expected);
    assert_eq!(site.ranges(), [None, Some("bytes=5000-".into())]);
    assert!(site.place.read(&blob) == bytes && !site.place.exists(&format!("{blob}.part")));
    // What an earlier command left: a beginning, the whole, other bytes, and more than there is.
    let half = bytes.len() / 2;
    for (left, range) in [
        (&bytes[..half], vec![Some(format!("bytes={half}-"))]),
        (&bytes[..], vec![]),
        (&vec![7; half], vec![Some(format!("bytes={half}-")), None]),
        (&vec![7; bytes.len() + 1], vec![None]),
    ] {
        site.place.remove("hf");
        site.place.write(&format!("{blob}.part"), left);
        assert_eq!(site.tokens("hub:owner/tiny"), expected);
        assert_eq!(site.ranges(), range, "{} bytes", left.len());
    }
}

#[test]
fn a_hub_that_ignores_ranges_gives_the_whole_again() {
    let site = Site::new();
    let expected = site.tokens("model");
    let (blob, bytes) = site.weights();
    site.hub.misbehave(Faults { break_after: Some(5000), ignores_ranges: true, ..Faults::default() });
    assert_eq!(site.tokens("hub:owner/tiny"), expected);
    assert!(site.place.read(&blob) == bytes);
    site.place.remove("hf");
    site.place.write(&format!("{blob}.part"), &bytes[..1000]);
    assert_eq!(site.tokens("hub:owner/tiny"), expected);
}

#[test]
fn bytes_that_were_not_announced_are_not_kept() {
    let site = Site::new();
    let (blob, bytes) = site.weights();
    let size = bytes.len();
    site.hub.misbehave(Faults { announces_more: 7, ..Faults::default() });
    let told = format!("bytes came of {} that were announced; nothing of it was kept", size + 7);
    site.refused(&[], "hub:owner/tiny/model.safetensors", &["model.safetensors: ", &told]);
    site.refused(&[], "hub:owner/tiny", &["config.json: ", "that were announced"]);
    site.hub.misbehave(Faults { spoils: true, ..Faults::default() });
    site.refused(&[], "hub:owner/tiny/model.safetensors", &["not those whose SHA-256 was announced"]);
    assert!(!site.place.exists(&blob) && !site.place.exists(&format!("{blob}.part")));
    site.hub.misbehave(Faults::default());
    assert_eq!(site.tokens("hub:owner/tiny"), site.tokens("model"));
}

#[test]
fn a_hub_that_is_out_of_order_is_told_and_names_what_is_missing() {
    let site = Site::new();
    site.hub.misbehave(Faults { status: Some(503), ..Faults::default() });
    site.refused(&[], "hub:owner/tiny", &["it answers 503"]);
    site.hub.misbehave(Faults { status: Some(404), ..Faults::default() });
    site.refused(&[], "hub:owner/tiny", &["there is no file config.json"]);
    // A redirect that leads nowhere.
    site.hub.misbehave(Faults { status: Some(302), ..Faults::default() });
    site.refused(&[], "hub:owner/tiny", &["config.json: the hub tells no ETag for it"]);
    site.refused(&[("HF_ENDPOINT", "nowhere")], "hub:owner/tiny", &["nowhere cannot be reached"]);
}

#[test]
fn names_that_lead_out_of_the_cache_are_not_followed() {
    let site = Site::new();
    let mut rows = Published::default();
    rows.files.insert("rows.jsonl".into(), conversation(1).into_bytes());
    for name in [
        "../../evil.jsonl",
        "/tmp/kindling-evil.jsonl",
        "a/../../../../../evil.jsonl",
        "a\\evil.jsonl",
        "a\nb.jsonl",
        "",
    ] {
        rows.listed.push(name.into());
    }
    site.hub.publish("datasets/owner/rows", rows);
    let line = "data preview --model model --data hub:owner/rows --json";
    let outcome = site.run(line).expect(0, &["their names lead out of the folder: ", "\"../../evil.jsonl\""]);
    assert_eq!(outcome.json().len(), 1);
    assert_eq!(site.hub.fetched(), ["rows.jsonl"]);
    for etag in ["../../../evil", "..", "", "a/b", ".hidden"] {
        site.hub.misbehave(Faults { etag: Some(etag.into()), ..Faults::default() });
        site.refused(&[], "hub:owner/tiny", &["config.json: the hub's ETag for it cannot name a file"]);
        site.refused(&[], "hub:owner/tiny/model.safetensors", &["the hub's ETag for it cannot name a file"]);
    }
    let written = site.place.contents("hf").into_iter().map(|(path, _)| path.display().to_string());
    assert_eq!(written.filter(|path| path.contains("evil")).count(), 0);
    assert!(!site.place.exists("evil.jsonl") && !Path::new("/tmp/kindling-evil.jsonl").exists());
}

#[test]
fn two_commands_at_once_fetch_once() {
    let site = Site::new();
    let line = format!("generate --model hub:owner/tiny {GREEDY}");
    let both = [(); 2].map(|()| site.start(&[], &line)).map(|running| running.finish().ok().result());
    assert_eq!(both[0]["tokens"], both[1]["tokens"]);
    assert_eq!(site.ranges(), [None]);
}
