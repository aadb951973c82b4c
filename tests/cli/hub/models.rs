//! Models, tokenizers and adapters of the hub, and the cache that keeps them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::server::{HubServer, Published};
use super::site::{GREEDY, MODEL, READ, Site, WEIGHTS};
use crate::place::SHORT;

#[test]
fn a_model_of_the_hub_answers_as_its_directory_and_is_fetched_once() {
    let site = Site::new();
    let expected = site.tokens("model");
    let endpoint = format!("{}/", site.hub.endpoint());
    let line = format!("generate --model hub:owner/tiny {GREEDY}");
    let first = site.run_with(&[("HF_ENDPOINT", &endpoint)], &line).ok();
    let first = first.expect(0, &["hub:owner/tiny: fetching config.json, generation_config.json"]);
    assert_eq!(first.result()["tokens"], expected);
    assert_eq!(site.hub.fetched(), READ);
    for model in ["hub:owner/tiny", "hub:owner/tiny@main"] {
        let again = site.run(&format!("generate --model {model} {GREEDY}")).ok();
        assert_eq!(again.result()["tokens"], expected);
        assert_eq!((site.hub.asked().len(), again.stderr.contains("fetching")), (1, false), "{again}");
    }
    // The layout that Python's tools share.
    let commit = site.place.text("hf/hub/models--owner--tiny/refs/main");
    let snapshot = format!("hf/hub/models--owner--tiny/snapshots/{commit}");
    let (blob, bytes) = site.weights();
    assert_eq!(
        std::fs::canonicalize(site.place.path(&format!("{snapshot}/{WEIGHTS}"))).unwrap(),
        std::fs::canonicalize(site.place.path(&blob)).unwrap()
    );
    assert!(site.place.read(&blob) == bytes);
    assert_eq!(site.tokens(&format!("hub:owner/tiny@{commit}")), expected);
    let quiet = site.run(&format!("score --model hub:owner/tiny@{commit} --tokens 1,2 -q")).ok();
    assert_eq!(quiet.stderr, "", "{quiet}");
}

#[test]
fn every_verb_takes_a_model_a_tokenizer_or_an_adapter_of_the_hub() {
    let site = Site::new();
    site.run("data preview --data chat.jsonl --model hub:owner/tiny").ok();
    assert_eq!(site.hub.fetched(), [READ[0], READ[4], READ[5]], "no weights for a tokenizer");
    let new = "pretrain --data docs.jsonl --model-config tiny.json --tokenizer hub:owner/tiny --out new";
    site.run(&format!("{new} {SHORT}")).ok();
    site.run("tokenizer report --data docs.jsonl --model hub:owner/tiny/tokenizer.json").ok();
    assert_eq!(site.hub.fetched(), [""; 0]);
    site.run(
        "lora --model hub:owner/tiny --data chat.jsonl --out lora --steps 2 --batch-size 2 --max-seq-len 64",
    )
    .ok();
    // The name that PEFT looks for.
    assert_eq!(site.place.json("lora/adapter_config.json")["base_model_name_or_path"], "owner/tiny");
    let adapter =
        ["adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "tokenizer.json"];
    let files = adapter.map(|name| (name.to_string(), site.place.read(&format!("lora/{name}"))));
    site.hub.publish("models/owner/lora", Published { files: files.into(), ..Published::default() });
    let local = site.tokens("model --adapter lora");
    site.hub.fetched();
    assert_eq!(site.tokens("hub:owner/tiny --adapter hub:owner/lora"), local);
    assert_eq!(site.hub.fetched(), adapter, "with how it talks");
    site.refused(&[], "hub:owner/lora", &["this is a LoRA adapter; give it with --adapter"]);
    site.run("export --model hub:owner/tiny --to single-file --out x.safetensors").ok();
    assert_eq!(site.tokens("x.safetensors"), site.tokens("model"));
}

#[test]
fn a_new_commit_fetches_only_what_changed() {
    let site = Site::new();
    site.tokens("hub:owner/tiny");
    site.hub.fetched();
    site.hub.change(MODEL, |published| {
        published.files.insert("generation_config.json".into(), b"{\"eos_token_id\": 1}".to_vec());
    });
    site.tokens("hub:owner/tiny");
    assert_eq!(site.hub.fetched(), ["generation_config.json"]);
    // The first commit is still there.
    let commits = std::fs::read_dir(site.place.path("hf/hub/models--owner--tiny/snapshots")).unwrap().count();
    assert_eq!(commits, 2);
}

#[test]
fn without_the_hub_the_cache_serves() {
    let mut site = Site::new();
    let expected = site.tokens("hub:owner/tiny");
    site.hub.asked();
    let line = format!("generate --model hub:owner/tiny {GREEDY}");
    let offline = site
        .run_with(&[("HF_HUB_OFFLINE", "1")], &line)
        .expect(0, &["HF_HUB_OFFLINE is set; what the cache"]);
    assert_eq!(offline.result()["tokens"], expected);
    assert!(site.hub.asked().is_empty());
    site.refused(
        &[("HF_HUB_OFFLINE", "1")],
        "hub:owner/other",
        &["HF_HUB_OFFLINE is set, and the cache in", "does not hold it"],
    );
    let endpoint = site.hub.endpoint();
    site.hub = HubServer::start();
    let gone = [("HF_ENDPOINT", endpoint.as_str())];
    let cached = site.run_with(&gone, &line).expect(0, &[&format!("{endpoint} cannot be reached (")]);
    assert_eq!(cached.result()["tokens"], expected);
    assert_eq!(site.run_with(&gone, &format!("{line} -q")).ok().stderr, "");
    site.refused(&gone, "hub:owner/other", &["cannot be reached (", "HF_ENDPOINT", "does not hold it"]);
    // A cache that Python's tools filled knows no listing; one that is cleared in part tells what it lacks.
    site.place.remove("hf/hub/models--owner--tiny/.kindling");
    assert_eq!(site.run_with(&gone, &line).ok().result()["tokens"], expected);
    site.place.remove("hf/hub/models--owner--tiny/blobs");
    site.refused(&gone, "hub:owner/tiny", &["cannot be reached ("]);
}

#[test]
fn what_the_cache_lacks_is_named_without_the_hub() {
    let site = Site::new();
    site.run("data preview --data chat.jsonl --model hub:owner/tiny").ok();
    let lacks =
        ["HF_HUB_OFFLINE is set, and the cache lacks config.json, generation_config.json, model.safetensors"];
    site.refused(&[("HF_HUB_OFFLINE", "1")], "hub:owner/tiny", &lacks);
}

/// A safetensors file in two, with the index that names them.
fn divided(file: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let mut parts = [
        ("model-00001-of-00002.safetensors", serde_json::Map::new(), Vec::new()),
        ("model-00002-of-00002.safetensors", serde_json::Map::new(), Vec::new()),
    ];
    let mut places = serde_json::Map::new();
    for (i, (name, tensor)) in header.iter().filter(|(name, _)| *name != "__metadata__").enumerate() {
        let (file_name, header, bytes) = &mut parts[i % 2];
        let place = |i: usize| tensor["data_offsets"][i].as_u64().unwrap() as usize;
        let start = bytes.len();
        bytes.extend(&file[8 + length + place(0)..8 + length + place(1)]);
        let offsets = json!([start, bytes.len()]);
        header.insert(
            name.clone(),
            json!({"dtype": tensor["dtype"], "shape": tensor["shape"], "data_offsets": offsets}),
        );
        places.insert(name.clone(), (*file_name).into());
    }
    let index = json!({"metadata": {}, "weight_map": places}).to_string();
    let mut files = BTreeMap::from([("model.safetensors.index.json".to_string(), index.into_bytes())]);
    for (name, header, bytes) in parts {
        let header = Value::from(header).to_string();
        let length = (header.len() as u64).to_le_bytes();
        files.insert(name.into(), [&length[..], header.as_bytes(), &bytes].concat());
    }
    files
}

#[test]
fn a_divided_model_is_fetched_in_its_parts() {
    let site = Site::new();
    let expected = site.tokens("model");
    site.hub.change(MODEL, |published| {
        let whole = published.files.remove(WEIGHTS).unwrap();
        published.files.extend(divided(&whole));
        published.files.insert("model-00003-of-00002.safetensors".into(), b"nobody names it".to_vec());
        let below: Vec<_> =
            published.files.iter().map(|(name, bytes)| (format!("v2/{name}"), bytes.clone())).collect();
        published.files = below.into_iter().collect();
    });
    assert_eq!(site.tokens("hub:owner/tiny/v2"), expected);
    let fetched = site.hub.fetched();
    assert!(
        fetched.contains(&"v2/model-00002-of-00002.safetensors".into()) && fetched.len() == 8,
        "{fetched:?}"
    );
    site.hub.change(MODEL, |published| {
        let (name, evil) =
            ("v2/model.safetensors.index.json", json!({"weight_map": {"x": "../../../../evil.safetensors"}}));
        published.files.insert(name.into(), evil.to_string().into_bytes());
    });
    site.refused(&[], "hub:owner/tiny/v2", &["names the file '../../../../evil.safetensors'"]);
}

#[test]
fn a_repository_of_one_file_is_that_file() {
    let site = Site::new();
    site.place.run("export --model model --to gguf --weights f32 --out a.gguf").ok();
    let gguf = site.place.read("a.gguf");
    let mut files =
        BTreeMap::from([("tiny-f32.gguf".to_string(), gguf.clone()), ("README.md".into(), Vec::new())]);
    site.hub.publish("models/owner/one", Published { files: files.clone(), ..Published::default() });
    let expected = site.tokens("a.gguf");
    assert_eq!(site.tokens("hub:owner/one"), expected);
    site.run("data preview --data chat.jsonl --model hub:owner/one").ok();
    assert_eq!(site.hub.fetched(), ["tiny-f32.gguf"]);
    files.insert("q8/tiny.gguf".into(), gguf);
    site.hub.publish("models/owner/two", Published { files, ..Published::default() });
    site.refused(
        &[],
        "hub:owner/two",
        &["q8/tiny.gguf, tiny-f32.gguf; name one, as in hub:owner/two/q8/tiny.gguf"],
    );
    assert_eq!(site.tokens("hub:owner/two/tiny-f32.gguf"), expected);
    assert_eq!(site.tokens("hub:owner/two/q8"), expected);
    site.refused(
        &[],
        "hub:owner/two/q4",
        &["there is no file and no folder of this name; it holds README.md"],
    );
    let torch = BTreeMap::from([("pytorch_model.bin".to_string(), vec![1; 50])]);
    site.hub.publish("models/owner/torch", Published { files: torch, ..Published::default() });
    site.refused(&[], "hub:owner/torch", &["its weights are PyTorch's (pytorch_model.bin)", "safetensors"]);
}
