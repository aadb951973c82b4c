//! What the server answers as modelscope.cn does: listings of models at once and of data sets by pages, small files from
//! itself and large ones by a redirect to the other host.

use serde_json::{Value, json};

use super::answers::{LARGE, Reply, file};
use super::server::{Asked, Gate, Published, State, hash};

/// Answers a request below `/api/v1/`.
pub fn answer(state: &mut State, asked: &Asked) -> Reply {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let path = path.trim_start_matches("/api/v1/");
    let Some((repo, what)) = path.split_once("/repo") else { return gone() };
    let Some(published) = state.published.get(&format!("ms/{repo}")).cloned() else { return gone() };
    if let Gate::Gated(token) | Gate::Private(token) = published.gate {
        let (bearer, cookie) = (format!("Bearer {token}"), format!("m_session_id={token}"));
        if asked.authorization != Some(bearer) || asked.cookie != Some(cookie) {
            return Reply::json(
                403,
                &json!({"Code": 10010205002_i64, "Success": false, "Message": "denied"}),
            );
        }
    }
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then(|| value.to_string()))
    };
    if value("Revision").as_deref() != Some("master") {
        return gone();
    }
    match what {
        "/files" | "/tree" => listing(state, &published, value("PageNumber"), value("PageSize")),
        _ => bytes(state, asked, &published, &value("FilePath").unwrap_or_default()),
    }
}

/// As it also tells of failures: by an answer that is none.
fn gone() -> Reply {
    Reply::json(200, &json!({"Code": 10010205001_i64, "Success": false, "Message": "record not found"}))
}

fn listing(state: &State, published: &Published, page: Option<String>, size: Option<String>) -> Reply {
    let entry = |(name, bytes): (&String, &Vec<u8>)| {
        let sum = if state.faults.tells_no_sums { String::new() } else { hash(bytes) };
        json!({
            "Path": name, "Name": name.rsplit('/').next(), "Type": "blob", "Size": bytes.len(), "Sha256": sum,
            "Revision": &hash(bytes)[..40],
        })
    };
    let mut all: Vec<Value> = vec![json!({"Path": "folder", "Name": "folder", "Type": "tree", "Size": 0})];
    all.extend(published.files.iter().map(entry));
    if let (Some(page), Some(size)) = (page, size) {
        let (page, size): (usize, usize) = (page.parse().unwrap(), size.parse().unwrap());
        all = all.into_iter().skip((page - 1) * size).take(size).collect();
    }
    Reply::json(200, &json!({"Code": 200, "Success": true, "Data": {"Files": all}}))
}

fn bytes(state: &mut State, asked: &Asked, published: &Published, name: &str) -> Reply {
    let Some(bytes) = published.files.get(name).cloned() else { return Reply::none(404, "NoFile") };
    if bytes.len() >= LARGE {
        let location = format!("{}/signed/{}", state.elsewhere, hash(&bytes));
        return Reply::new(302, vec![("location", location)], Vec::new());
    }
    file(&mut state.faults, asked, bytes, Vec::new())
}
