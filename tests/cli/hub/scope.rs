//! `ms:owner/name`: the same commands with what ModelScope has.

use std::collections::BTreeMap;

use super::server::{Faults, Gate, Published, hash};
use super::site::{GREEDY, READ, Site, WEIGHTS};
use crate::place::conversation;

const MODEL: &str = "ms/models/owner/tiny";
const ROWS: &str = "ms/datasets/owner/rows";

fn site() -> Site {
    let site = Site::new();
    let files = READ.map(|name| (name.to_string(), site.place.read(&format!("model/{name}"))));
    let mut published = Published { files: files.into(), ..Published::default() };
    published.files.insert("README.md".into(), b"# A model".to_vec());
    site.hub.publish(MODEL, published);
    site
}

/// The files that were asked for since this was last called.
fn fetched(site: &Site) -> Vec<String> {
    let asked = site.hub.asked().into_iter();
    let mut files: Vec<String> =
        asked.filter_map(|asked| Some(asked.path.split_once("FilePath=")?.1.to_string())).collect();
    files.sort();
    files
}

#[test]
fn a_model_of_modelscope_answers_as_its_directory_and_is_fetched_once() {
    let site = site();
    let expected = site.tokens("model");
    site.hub.asked();
    let line = format!("generate --model ms:owner/tiny {GREEDY}");
    let first = site.run(&line).expect(0, &["ms:owner/tiny: fetching config.json"]);
    assert_eq!(first.result()["tokens"], expected);
    assert_eq!(fetched(&site), READ);
    assert_eq!(site.tokens("ms:owner/tiny@master"), expected);
    assert_eq!(fetched(&site), [""; 0]);
    let sum = hash(&site.place.read(&format!("model/{WEIGHTS}")));
    assert!(site.place.exists(&format!("ms/kindling/models--owner--tiny/blobs/{sum}")));
    // A new listing fetches only what changed; without the network, the cache serves.
    site.hub.change(MODEL, |published| {
        published.files.insert("generation_config.json".into(), b"{\"eos_token_id\": 1}".to_vec());
    });
    site.tokens("ms:owner/tiny");
    assert_eq!(fetched(&site), ["generation_config.json"]);
    let offline = site.run_with(&[("HF_HUB_OFFLINE", "1")], &line).expect(0, &["HF_HUB_OFFLINE is set"]);
    assert!(offline.result()["tokens"].is_array() && site.hub.asked().is_empty());
    let gone = [("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")];
    site.run_with(&gone, &line).expect(0, &["http://127.0.0.1:9 cannot be reached ("]);
    site.place.remove("ms");
    site.refused(&gone, "ms:owner/tiny", &["cannot be reached (", "MODELSCOPE_ENDPOINT"]);
}

#[test]
fn a_broken_download_goes_on_and_other_bytes_are_not_kept() {
    let site = site();
    let expected = site.tokens("model");
    site.hub.misbehave(Faults { break_after: Some(5000), ..Faults::default() });
    assert_eq!(site.tokens("ms:owner/tiny"), expected);
    let weights = hash(&site.place.read("model/model.safetensors"));
    let asked = site.hub.asked().into_iter().filter(|asked| asked.path.ends_with(&weights));
    let ranges: Vec<_> = asked.filter(|asked| asked.elsewhere).map(|asked| asked.range).collect();
    assert_eq!(ranges, [None, Some("bytes=5000-".into())]);
    site.place.remove("ms");
    site.hub.misbehave(Faults { spoils: true, ..Faults::default() });
    site.refused(&[], "ms:owner/tiny/model.safetensors", &["not those whose SHA-256 was announced"]);
    // Where the listing tells no checksum, the length is what is checked.
    site.hub.misbehave(Faults { tells_no_sums: true, ..Faults::default() });
    let told =
        ["files came without a SHA-256, so that their lengths alone were compared", "model.safetensors"];
    site.run(&format!("generate --model ms:owner/tiny {GREEDY}")).expect(0, &told);
    assert_eq!(site.tokens("ms:owner/tiny"), expected);
}

#[test]
fn the_token_goes_to_modelscope_and_to_no_other_host() {
    let site = site();
    site.hub.change(MODEL, |published| published.gate = Gate::Private("secret"));
    site.refused(&[], "ms:owner/tiny", &["asks for a token (403)", "MODELSCOPE_API_TOKEN"]);
    let wrong = [("MODELSCOPE_API_TOKEN", "wrong"), ("HF_TOKEN", "secret")];
    site.refused(&wrong, "ms:owner/tiny", &["does not give it to this token (403)"]);
    site.hub.asked();
    let line = format!("generate --model ms:owner/tiny {GREEDY}");
    site.run_with(&[("MODELSCOPE_API_TOKEN", "secret")], &line).ok();
    let asked = site.hub.asked();
    let (elsewhere, here): (Vec<_>, Vec<_>) = asked.iter().partition(|asked| asked.elsewhere);
    assert!(!elsewhere.is_empty() && !here.is_empty());
    assert!(elsewhere.iter().all(|asked| asked.authorization.is_none() && asked.cookie.is_none()));
    assert!(here.iter().all(|asked| asked.authorization.as_deref() == Some("Bearer secret")), "{here:?}");
}

#[test]
fn a_data_set_of_many_files_is_listed_by_pages() {
    let site = site();
    let mut files: BTreeMap<String, Vec<u8>> =
        (0..450).map(|i| (format!("pictures/{i:03}.png"), vec![i as u8])).collect();
    files.insert("z/train 1.jsonl".into(), (0..10).map(conversation).collect::<String>().into_bytes());
    files.insert("z/test.jsonl".into(), (10..12).map(conversation).collect::<String>().into_bytes());
    site.hub.publish(ROWS, Published { files, ..Published::default() });
    let preview = "data preview --model model --limit 1000 --json";
    let rows = |data: &str| site.run(&format!("{preview} --data {data}")).ok().json().len();
    assert_eq!(rows("ms:owner/rows"), 10);
    let asked = site.hub.asked();
    assert_eq!(asked.iter().filter(|asked| asked.path.contains("/repo/tree?")).count(), 3, "{asked:?}");
    assert_eq!(rows("ms:owner/rows/z/t*.jsonl"), 12);
    let sft = "sft --model ms:owner/tiny --out run --steps 1 --batch-size 2 --max-seq-len 64";
    site.run(&format!("{sft} --data ms:owner/rows/z=0.5 --data chat.jsonl=0.5")).ok();
    site.run(&format!("{preview} --data ms:owner/none"))
        .expect(1, &["ms:owner/none: it is refused: record not found"]);
    site.run(&format!("{preview} --data ms:rows"))
        .expect(1, &["this is no address of ModelScope; write ms:owner/name"]);
    site.run(&format!("{preview} --data ms:owner/rows@v2")).expect(1, &["record not found"]);
}
