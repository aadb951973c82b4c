//! Data sets of the hub in every format, and which of their files are used.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::server::Published;
use super::site::Site;
use crate::data_formats::zstd;
use crate::place::conversation;

/// A file of tests/golden/parquet.
fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/parquet").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The tokens of all rows.
fn preview(site: &Site, data: &str) -> Vec<Value> {
    let outcome = site.run(&format!("data preview --model model --limit 1000 --json {data}")).ok();
    outcome.json().into_iter().map(|row| row["tokens"].clone()).collect()
}

#[test]
fn a_data_set_of_the_hub_is_the_same_rows_in_every_format() {
    let site = Site::new();
    let jsonl = golden("conversations.jsonl");
    site.place.write("rows.jsonl", &jsonl);
    let expected = preview(&site, "--data rows.jsonl");
    assert_eq!(expected.len(), 15);
    for (name, bytes) in [
        ("data.jsonl", jsonl.clone()),
        ("data/第 1 组#?%41.jsonl.zst", zstd(&jsonl)),
        ("data/train-00000-of-00001.parquet", golden("conversations.parquet")),
    ] {
        let files = BTreeMap::from([(name.to_string(), bytes), ("README.md".into(), b"# Rows".to_vec())]);
        site.hub.publish("datasets/owner/rows", Published { files, ..Published::default() });
        assert!(preview(&site, "--data hub:owner/rows") == expected, "{name}");
        assert_eq!(site.hub.fetched(), [name]);
        assert!(preview(&site, "--data hub:owner/rows") == expected, "{name} from the cache");
        assert!(site.hub.fetched().is_empty());
    }
}

#[test]
fn the_files_for_training_are_used_or_those_that_are_named() {
    let site = Site::new();
    let rows = |from: usize, to: usize| (from..to).map(conversation).collect::<String>().into_bytes();
    let files = [
        ("data/train-00000-of-00002.jsonl", rows(0, 10)),
        ("data/train-00001-of-00002.jsonl.zst", zstd(&rows(10, 25))),
        ("data/validation.jsonl", rows(25, 27)),
        ("data/test.jsonl", rows(27, 30)),
        ("LICENSE.txt", b"Free".to_vec()),
        (".gitattributes", b"*.zst filter=lfs".to_vec()),
    ];
    let files = files.map(|(name, bytes)| (name.to_string(), bytes)).into();
    site.hub.publish("datasets/owner/chats", Published { files, ..Published::default() });
    let sft = "sft --model model --out run --overwrite --steps 1 --batch-size 2 --max-seq-len 64";
    let said = [
        "2 of 4 files are used: data/train-00000-of-00002.jsonl, data/train-00001-of-00002.jsonl.zst",
        "left out: data/test.jsonl, data/validation.jsonl",
        "name it: hub:owner/chats/data/test.jsonl",
        "25 rows",
    ];
    site.run(&format!("{sft} --data hub:owner/chats")).expect(0, &said);
    let quiet = site.run(&format!("{sft} --data hub:owner/chats -q")).ok();
    assert!(!quiet.stderr.contains("left out"), "{quiet}");
    for (data, said) in [
        ("--data hub:owner/chats/data/test.jsonl", "3 rows"),
        ("--data hub:owner/chats/data/*.jsonl", "15 rows"),
        ("--data hub:owner/chats@main/**/t*-00000-*", "10 rows"),
        ("--data hub:owner/chats/data/validation.jsonl --data chat.jsonl", "102 rows"),
    ] {
        let outcome = site.run(&format!("{sft} {data}")).expect(0, &[said]);
        assert!(!outcome.stderr.contains("left out"), "{outcome}");
    }
    for (data, said) in [
        ("hub:owner/chats/x*", "no data file matches; it holds data/test.jsonl"),
        ("hub:owner/chats/x", "there is no data in it"),
    ] {
        site.run(&format!("{sft} --data {data}")).expect(1, &[&format!("error: {data}: {said}")]);
    }
    // Without the network, the same files or none.
    let offline = [("HF_HUB_OFFLINE", "1")];
    site.run_with(&offline, &format!("{sft} --data hub:owner/chats")).expect(0, &["25 rows"]);
    site.hub.change("datasets/owner/chats", |published| {
        published.files.insert("data/train-2.jsonl".into(), rows(30, 31));
    });
    site.run(&format!("{sft} --data hub:owner/chats/data/test.jsonl")).expect(0, &["3 rows"]);
    site.run_with(&offline, &format!("{sft} --data hub:owner/chats"))
        .expect(1, &["the cache lacks data/train-00000"]);
}
