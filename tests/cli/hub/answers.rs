//! What the server answers, as huggingface.co does: the commit and the files of a revision; small files from itself, at
//! once or by a redirect; large ones by a redirect to the other host, whose headers name contents and length; 401 and 404.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use super::server::{Asked, Faults, Gate, Published, State, hash};
use super::{modelscope, writes};

/// Files of this many bytes come from the other host.
pub const LARGE: usize = 4096;

/// What is sent back.
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The length that is announced, and how many bytes are sent.
    length: usize,
    sent: usize,
}

impl Reply {
    pub fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        let length = body.len();
        Self { status, headers, body, length, sent: length }
    }

    pub fn none(status: u16, code: &'static str) -> Self {
        Self::new(status, vec![("x-error-code", code.into())], b"{\"error\":\"no\"}".to_vec())
    }

    pub fn json(status: u16, value: &Value) -> Self {
        Self::new(status, vec![("content-type", "application/json".into())], value.to_string().into_bytes())
    }

    pub fn send(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head =
            format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\nconnection: close\r\n", self.status, self.length);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(&self.body[..self.sent])
    }
}

/// Answers a request to either host.
pub fn answer(state: &mut State, asked: &Asked) -> Reply {
    let refusals = &mut state.faults.refusals;
    if let Some(number) = refusals.iter().position(|(part, ..)| asked.path.contains(part)) {
        let (_, status, wait) = refusals.remove(number);
        let wait = wait.map(|seconds| ("retry-after", seconds.to_string()));
        return Reply::new(status, wait.into_iter().collect(), b"{\"error\":\"not now\"}".to_vec());
    }
    if asked.path.starts_with("/api/v1/") {
        return modelscope::answer(state, asked);
    }
    if asked.method != "GET" {
        return writes::answer(state, asked);
    }
    if asked.elsewhere {
        return signed(state, asked);
    }
    if let Some(path) = asked.path.strip_prefix("/api/resolve-cache/") {
        return cached(state, asked, path);
    }
    let (path, is_api) = match asked.path.strip_prefix("/api/") {
        Some(path) => (path.to_string(), true),
        None if asked.path.starts_with("/datasets/") => (asked.path[1..].to_string(), false),
        None => (format!("models{}", asked.path), false),
    };
    let Some((repo, rest)) = path.split_once(if is_api { "/revision/" } else { "/resolve/" }) else {
        return writes::info(state, &path);
    };
    let Some(published) = state.published.get(repo).cloned() else {
        // As the hub does, which tells strangers no names.
        return Reply::none(if asked.authorization.is_some() { 404 } else { 401 }, "RepoNotFound");
    };
    if let Some(moved) = published.moved {
        let location =
            asked.path.replacen(repo.trim_start_matches("models/"), moved.trim_start_matches("models/"), 1);
        return Reply::new(307, vec![("location", location)], Vec::new());
    }
    if let Some(refused) = refused(&published.gate, is_api, asked) {
        return refused;
    }
    let (revision, name) = rest.split_once('/').unwrap_or((rest, ""));
    let commit = published.commit();
    if ![commit.as_str(), "main"].contains(&revision) && !published.branches.contains(rest) {
        return Reply::none(404, "RevisionNotFound");
    }
    if is_api {
        let names = published.files.keys().chain(&published.listed);
        let siblings: Vec<_> = names.map(|name| json!({"rfilename": name})).collect();
        return Reply::json(200, &json!({"id": repo, "sha": commit, "siblings": siblings, "tags": []}));
    }
    match published.files.get(name) {
        Some(bytes) => resolve(state, asked, [repo, name], bytes.clone(), commit),
        None => Reply::none(404, "EntryNotFound"),
    }
}

/// A large file, from the other host.
fn signed(state: &mut State, asked: &Asked) -> Reply {
    let wanted = asked.path.rsplit('/').next().unwrap_or_default();
    let mut files = state.published.values().flat_map(|published| published.files.values());
    match files.find(|bytes| hash(bytes) == wanted).cloned() {
        Some(bytes) => file(&mut state.faults, asked, bytes, Vec::new()),
        None => Reply::none(403, "SignatureExpired"),
    }
}

/// A small file, where the hub redirects to on its own host.
fn cached(state: &mut State, asked: &Asked, path: &str) -> Reply {
    let below = |(repo, published): (&String, &Published)| {
        let name = path.strip_prefix(&format!("{repo}/{}/", published.commit()))?;
        published.files.get(name).cloned()
    };
    match state.published.iter().find_map(below) {
        Some(bytes) => small(state, asked, bytes),
        None => Reply::none(404, "EntryNotFound"),
    }
}

fn refused(gate: &Gate, is_api: bool, asked: &Asked) -> Option<Reply> {
    let has = |token: &str| asked.authorization == Some(format!("Bearer {token}"));
    match gate {
        Gate::Gated(token) if !is_api && !has(token) => Some(Reply::none(401, "GatedRepo")),
        Gate::Private(token) if !has(token) => Some(Reply::none(401, "RepoNotFound")),
        _ => None,
    }
}

/// A file of the hub: a small one comes from here, JSON by way of a redirect; for a large one the other host is named.
fn resolve(
    state: &mut State,
    asked: &Asked,
    [repo, name]: [&str; 2],
    bytes: Vec<u8>,
    commit: String,
) -> Reply {
    if let Some(status) = state.faults.status {
        return Reply::none(status, "Broken");
    }
    if bytes.len() < LARGE && name.ends_with(".json") {
        return Reply::new(
            307,
            vec![("location", format!("/api/resolve-cache/{repo}/{commit}/{name}"))],
            Vec::new(),
        );
    }
    if bytes.len() < LARGE {
        return small(state, asked, bytes);
    }
    let sum = hash(&bytes);
    let etag = state.faults.etag.clone().unwrap_or_else(|| sum.clone());
    let headers = vec![
        ("x-repo-commit", commit),
        ("x-linked-etag", format!("\"{etag}\"")),
        ("x-linked-size", (bytes.len() + state.faults.announces_more).to_string()),
        ("location", format!("{}/signed/{sum}", state.elsewhere)),
    ];
    Reply::new(302, headers, b"Found. Redirecting".to_vec())
}

fn small(state: &mut State, asked: &Asked, bytes: Vec<u8>) -> Reply {
    let etag = state.faults.etag.clone().unwrap_or_else(|| hash(&bytes)[..40].to_string());
    file(
        &mut state.faults,
        asked,
        bytes,
        vec![("etag", format!("\"{etag}\"")), ("accept-ranges", "bytes".into())],
    )
}

/// A file's bytes, or the range of them that was asked for.
pub fn file(
    faults: &mut Faults,
    asked: &Asked,
    mut bytes: Vec<u8>,
    mut headers: Vec<(&'static str, String)>,
) -> Reply {
    let size = bytes.len();
    if faults.spoils && size >= LARGE {
        bytes[size / 2] ^= 1;
    }
    let range = asked.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let range = range.filter(|(first, _)| !faults.ignores_ranges || *first == "0");
    let status = match range {
        Some((first, last)) => {
            let first: usize = first.parse().unwrap();
            let last = last.parse().unwrap_or(size).min(size.saturating_sub(1));
            if first >= size {
                return Reply::new(416, vec![("content-range", format!("bytes */{size}"))], Vec::new());
            }
            let total = size + faults.announces_more;
            headers.push(("content-range", format!("bytes {first}-{last}/{total}")));
            bytes = bytes[first..=last].to_vec();
            206
        }
        None => 200,
    };
    let mut reply = Reply::new(status, headers, bytes);
    if let Some(count) = faults.break_after.filter(|count| reply.length > *count) {
        reply.sent = count;
        faults.break_after = None;
    }
    reply
}
