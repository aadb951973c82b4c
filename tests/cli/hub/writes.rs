//! What the server answers to those who write: `huggingface_hub`'s calls to make a repository and a branch, the modes of
//! files, large files in one piece or in parts, and a commit. Tokens: `write` may, others may not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::answers::{LARGE, Reply};
use super::server::{Asked, Gate, Published, State, hash};

/// Git's name of a file.
pub fn git_hash(bytes: &[u8]) -> String {
    let sum = Sha1::new().chain_update(format!("blob {}\0", bytes.len())).chain_update(bytes);
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is known of a repository, without a revision.
pub fn info(state: &State, path: &str) -> Reply {
    match state.published.get(path) {
        Some(published) => {
            let private = matches!(published.gate, Gate::Private(_));
            Reply::json(200, &json!({"id": path, "private": private, "sha": published.commit()}))
        }
        None => Reply::none(404, "RepoNotFound"),
    }
}

/// Answers a request that sends something.
pub fn answer(state: &mut State, asked: &Asked) -> Reply {
    if asked.elsewhere {
        return put(state, asked);
    }
    match asked.authorization.as_deref() {
        None => return Reply::none(401, "RepoNotFound"),
        Some("Bearer write") => {}
        Some(_) => return Reply::json(403, &json!({"error": "You don't have the rights"})),
    }
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    if asked.path == "/api/repos/create" {
        return create(state, &body);
    }
    if let Some(oid) = asked.path.strip_prefix("/complete/") {
        return complete(state, oid, &body);
    }
    if asked.path == "/verify" {
        let stored = state.store.get(body["oid"].as_str().unwrap());
        let is_there = stored.is_some_and(|bytes| bytes.len() as u64 == body["size"].as_u64().unwrap());
        return Reply::json(if is_there { 200 } else { 404 }, &json!({}));
    }
    if let Some((_, rest)) = asked.path.split_once(".git/info/lfs/objects/") {
        assert_eq!((rest, &body["operation"]), ("batch", &"upload".into()));
        return batch(state, &body);
    }
    let path = asked.path.trim_start_matches("/api/");
    for (part, act) in
        [("/branch/", branch as Act), ("/preupload/", preupload as Act), ("/commit/", commit as Act)]
    {
        if let Some((repo, revision)) = path.split_once(part) {
            let Some(published) = state.published.get(repo) else { return Reply::none(404, "RepoNotFound") };
            let known = revision == "main" || published.branches.contains(revision);
            if part != "/branch/" && !known {
                return Reply::none(404, "RevisionNotFound");
            }
            return act(state, (repo, revision), asked);
        }
    }
    Reply::none(404, "NotFound")
}

type Act = fn(&mut State, (&str, &str), &Asked) -> Reply;

fn create(state: &mut State, body: &Value) -> Reply {
    let text = |key: &str| body[key].as_str().unwrap().to_string();
    let repo = format!("{}s/{}/{}", text("type"), text("organization"), text("name"));
    if state.published.contains_key(&repo) {
        return Reply::json(409, &json!({"error": "You already created this model repo"}));
    }
    let gate = if body["visibility"] == "private" { Gate::Private("write") } else { Gate::Open };
    let files = [(".gitattributes".to_string(), b"*.safetensors filter=lfs".to_vec())].into();
    state.published.insert(repo.clone(), Published { files, gate, ..Published::default() });
    Reply::json(200, &json!({"url": format!("{}/{repo}", state.hub)}))
}

fn branch(state: &mut State, (repo, name): (&str, &str), _: &Asked) -> Reply {
    state.published.get_mut(repo).unwrap().branches.insert(name.to_string());
    Reply::json(201, &json!({}))
}

fn preupload(state: &mut State, (repo, _): (&str, &str), asked: &Asked) -> Reply {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    let published = &state.published[repo];
    let told = |file: &Value| {
        let (path, size) = (file["path"].as_str().unwrap(), file["size"].as_u64().unwrap() as usize);
        let sample = STANDARD.decode(file["sample"].as_str().unwrap()).unwrap();
        assert_eq!(sample.len(), size.min(512), "{path}");
        let is_large = size >= LARGE;
        let present = published.files.get(path);
        let oid = present.map(|bytes| if is_large { hash(bytes) } else { git_hash(bytes) });
        let mode = if is_large { "lfs" } else { "regular" };
        json!({"path": path, "uploadMode": mode, "shouldIgnore": false, "oid": oid})
    };
    let files: Vec<Value> = body["files"].as_array().unwrap().iter().map(told).collect();
    Reply::json(200, &json!({"files": files}))
}

fn batch(state: &State, body: &Value) -> Reply {
    let order = |object: &Value| {
        let (oid, size) = (object["oid"].as_str().unwrap(), object["size"].as_u64().unwrap() as usize);
        if state.store.contains_key(oid) {
            return json!({"oid": oid, "size": size});
        }
        let verify = json!({"href": format!("{}/verify", state.hub)});
        let upload = match state.faults.parts_of {
            None => json!({"href": format!("{}/whole/{oid}", state.elsewhere)}),
            Some(length) => {
                let mut header = json!({"chunk_size": length.to_string()});
                for number in 1..=size.div_ceil(length) {
                    header[number.to_string()] = format!("{}/part/{oid}/{number}", state.elsewhere).into();
                }
                json!({"href": format!("{}/complete/{oid}", state.hub), "header": header})
            }
        };
        json!({"oid": oid, "size": size, "actions": {"upload": upload, "verify": verify}})
    };
    let objects: Vec<Value> = body["objects"].as_array().unwrap().iter().map(order).collect();
    Reply::json(200, &json!({"transfer": "basic", "objects": objects}))
}

/// A large file or a part of one, at the other host.
fn put(state: &mut State, asked: &Asked) -> Reply {
    assert!(asked.method == "PUT" && asked.authorization.is_none(), "{asked:?}");
    let words: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    match words[..] {
        ["whole", oid] if hash(&asked.body) == oid => {
            state.store.insert(oid.to_string(), asked.body.clone());
        }
        ["part", oid, number] => {
            state.parts.insert((oid.to_string(), number.parse().unwrap()), asked.body.clone());
        }
        _ => return Reply::none(400, "BadDigest"),
    }
    Reply::new(200, vec![("etag", format!("\"{}\"", &hash(&asked.body)[..32]))], Vec::new())
}

fn complete(state: &mut State, oid: &str, body: &Value) -> Reply {
    let mut whole = Vec::new();
    for (number, part) in body["parts"].as_array().unwrap().iter().enumerate() {
        let bytes = &state.parts[&(oid.to_string(), number + 1)];
        assert_eq!(part["partNumber"], number + 1);
        assert_eq!(part["etag"], format!("\"{}\"", &hash(bytes)[..32]));
        whole.extend(bytes);
    }
    if hash(&whole) != oid {
        return Reply::none(400, "BadDigest");
    }
    state.store.insert(oid.to_string(), whole);
    Reply::json(200, &json!({}))
}

fn commit(state: &mut State, (repo, _): (&str, &str), asked: &Asked) -> Reply {
    let body = String::from_utf8(asked.body.clone()).unwrap();
    let mut lines = body.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let header = lines.next().unwrap();
    assert!(header["key"] == "header" && header["value"]["summary"].is_string(), "{header}");
    for line in lines {
        let value = &line["value"];
        let bytes = match line["key"].as_str().unwrap() {
            "file" => STANDARD.decode(value["content"].as_str().unwrap()).unwrap(),
            "lfsFile" => match state.store.get(value["oid"].as_str().unwrap()) {
                Some(bytes) => bytes.clone(),
                None => return Reply::json(400, &json!({"error": "the object was not sent"})),
            },
            other => panic!("{other}"),
        };
        let path = value["path"].as_str().unwrap().to_string();
        state.published.get_mut(repo).unwrap().files.insert(path, bytes);
    }
    let oid = state.published[repo].commit();
    Reply::json(
        200,
        &json!({"success": true, "commitOid": oid, "commitUrl": format!("{}/{repo}", state.hub)}),
    )
}
