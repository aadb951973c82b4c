//! The page from the same port: the files of a folder that `trunk build` made, or a word on what is here.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kindling::error::{Error, Result};

/// Content types by the ends of names; a browser runs no module of another type.
const TYPES: [(&str, &str); 13] = [
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("ts", "text/plain; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("json", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("wasm", "application/wasm"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/plain; charset=utf-8"),
];

/// Compressed forms that may lie beside a file, by the name that a browser knows, best first.
const FORMS: [(&str, &str); 2] = [("br", "br"), ("gzip", "gz")];

/// The file of the page itself.
const INDEX: &str = "index.html";
/// What its mark may say of its server.
const MARKS: [&str; 3] = ["open", "key", "train"];
/// Behind which of its words the page learns that its server has models.
const HEAD: &str = "<head>";

/// What stands at `/`.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The page's files; without one a list of routes.
    folder: Option<PathBuf>,
    /// What the page is told of its server.
    mark: String,
}

impl Page {
    /// The page in this folder, of a server that answers with or without a key, and may train.
    ///
    /// # Errors
    /// A folder without an `index.html`.
    pub fn open(folder: Option<&Path>, needs_key: bool, trains: bool) -> Result<Self> {
        if let Some(folder) = folder
            && !folder.join(INDEX).is_file()
        {
            return Err(Error::Config(vec![
                format!(
                    "--page {}: there is no index.html in it; `trunk build --release` makes such a folder (dist)",
                    folder.display()
                )
                .into(),
            ]));
        }
        let key = if needs_key { "key" } else { "open" };
        let train = if trains { " train" } else { "" };
        // Where the routes are, beside the page, whether they need a key, and whether the server trains.
        let mark = format!("<meta name=\"kindling-server\" content=\"v1/ {key}{train}\">");
        Ok(Self { folder: folder.map(Path::to_path_buf), mark })
    }

    /// What a path answers; none where nothing stands there.
    pub async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        routes: &str,
    ) -> Option<Response> {
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let Some(folder) = &self.folder else {
            let html = || HeaderValue::from_static("text/html; charset=utf-8");
            return (path == "/")
                .then(|| ([(header::CONTENT_TYPE, html())], routes.to_string()).into_response());
        };
        let file = folder.join(inside(path)?);
        let (headers, head) = (headers.clone(), method == Method::HEAD);
        let mark = (file == folder.join(INDEX)).then(|| self.mark.clone());
        // Reading waits for the disk, and other connections wait for nobody.
        let work = move || match mark {
            Some(mark) => send_marked(&file, &headers, head, &mark),
            None => send(&file, &headers, head),
        };
        tokio::task::spawn_blocking(work).await.ok().flatten()
    }
}

/// The file that a path names within a folder; nothing that leads out of it.
fn inside(path: &str) -> Option<PathBuf> {
    let path = unescaped(path.strip_prefix('/')?)?;
    let path = if path.is_empty() || path.ends_with('/') { format!("{path}{INDEX}") } else { path };
    let path = PathBuf::from(path);
    // A name of the system's own, as `C:`, leads out of it, too.
    path.components().all(|part| matches!(part, Component::Normal(_))).then_some(path)
}

/// A path without its escapes, `%20` and the like; none where they are no UTF-8 or stand for a zero.
fn unescaped(path: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let byte = if first == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            rest = behind;
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
        } else {
            first
        };
        if byte == 0 || byte == b'\\' {
            return None;
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

/// A file in the best form that the client takes and the folder has.
fn send(file: &Path, asked: &HeaderMap, head: bool) -> Option<Response> {
    let plain = file.metadata().ok().filter(Metadata::is_file)?;
    let takes = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let compressed = FORMS.iter().filter(|(name, _)| takes_form(takes, name)).find_map(|&(name, ending)| {
        let path = beside(file, ending);
        let found = path.metadata().ok().filter(Metadata::is_file)?;
        Some((path, found, name))
    });
    let (path, found, form) =
        compressed.map_or((file.to_path_buf(), plain, None), |(path, found, name)| (path, found, Some(name)));
    let tag = tag(&found, form.unwrap_or("plain"));
    let body = if head || is_known(asked, &tag) { Vec::new() } else { std::fs::read(&path).ok()? };
    let mut response = answer(asked, (&tag, content_type(file)), head, body, found.len());
    if let Some(form) = form {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(form));
    }
    Some(response)
}

/// The page itself, which is told of its server. A page of another maker without a head stays as it is.
fn send_marked(file: &Path, asked: &HeaderMap, head: bool, mark: &str) -> Option<Response> {
    let found = file.metadata().ok().filter(Metadata::is_file)?;
    let mut text = std::fs::read(file).ok()?;
    if let Some(at) = text.windows(HEAD.len()).position(|part| part == HEAD.as_bytes()) {
        let behind = at + HEAD.len();
        text.splice(behind..behind, mark.bytes());
    }
    // The same file with another mark is another page.
    let tag = tag(&found, &mark.split(['"', ' ']).filter(|word| MARKS.contains(word)).collect::<String>());
    let length = text.len() as u64;
    Some(answer(asked, (&tag, content_type(file)), head, text, length))
}

/// Whether the client has what this tag is of.
fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag))
}

/// A file's answer, of these bytes or so many; none of them where the client has them or wants the head alone.
fn answer(
    asked: &HeaderMap,
    (tag, kind): (&str, &'static str),
    head: bool,
    body: Vec<u8>,
    length: u64,
) -> Response {
    let same = is_known(asked, tag);
    let mut response = match (same, head) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, true) => Body::empty().into_response(),
        (false, false) => Body::from(body).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    if head && !same {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// `a.js.gz` beside `a.js`.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_os_string();
    name.push(".");
    name.push(ending);
    name.into()
}

/// Whether a client takes a form: `br`, `gzip;q=0.5`, but not `gzip;q=0`.
fn takes_form(takes: &str, form: &str) -> bool {
    takes.split(',').any(|part| {
        let (name, weight) = part.split_once(';').unwrap_or((part, ""));
        let weight =
            weight.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.trim().parse::<f64>().ok());
        name.trim().eq_ignore_ascii_case(form) && weight.is_some_and(|weight| weight > 0.0)
    })
}

fn content_type(file: &Path) -> &'static str {
    let ending = file.extension().and_then(OsStr::to_str).unwrap_or_default();
    let found = TYPES.iter().find(|(name, _)| *name == ending);
    found.map_or("application/octet-stream", |(_, kind)| *kind)
}

/// What changes when a file does.
fn tag(found: &Metadata, form: &str) -> String {
    let changed = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    format!("\"{form}-{:x}-{:x}\"", found.len(), changed.map_or(0, |at| at.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_in_its_folder() {
        for (path, expected) in [
            ("/", Some("index.html")),
            ("/a/b.js", Some("a/b.js")),
            ("/a%20b.txt", Some("a b.txt")),
            ("/docs/", Some("docs/index.html")),
            ("/../x", None),
            ("/%2e%2e/x", None),
            ("/a/../../x", None),
            ("//etc/passwd", None),
            ("/%00", None),
            ("/%zz", None),
            ("/a%5c..%5cx", None),
            ("x", None),
        ] {
            assert_eq!(inside(path), expected.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn the_page_is_told_of_its_server_and_whether_that_needs_a_key() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join(INDEX);
        std::fs::write(&file, "<html><head><title>é</title></head></html>").unwrap();
        std::fs::write(place.path().join("index.html.br"), "packed").unwrap();
        let asked: HeaderMap =
            [(header::ACCEPT_ENCODING, HeaderValue::from_static("br"))].into_iter().collect();
        let [open, key] =
            [false, true].map(|needs_key| Page::open(Some(place.path()), needs_key, false).unwrap().mark);
        assert!(open.contains("content=\"v1/ open\"") && key.contains("content=\"v1/ key\""), "{open} {key}");
        let sent = |head: bool, mark: &str| send_marked(&file, &asked, head, mark).unwrap();
        let whole = sent(false, &open);
        assert!(whole.headers().get("content-encoding").is_none(), "its packed form knows of no server");
        let train = Page::open(Some(place.path()), false, true).unwrap().mark;
        assert!(train.contains("content=\"v1/ open train\""), "{train}");
        for other in [&key, &train] {
            assert_ne!(whole.headers()["etag"], sent(false, other).headers()["etag"], "{other}");
        }
        let length = "<html><head><title>é</title></head></html>".len() + open.len();
        assert_eq!(sent(true, &open).headers()["content-length"], length.to_string().as_str());
        let known = [(header::IF_NONE_MATCH, whole.headers()["etag"].clone())].into_iter().collect();
        assert_eq!(send_marked(&file, &known, false, &open).unwrap().status(), 304);
    }

    #[test]
    fn a_form_is_sent_where_it_is_taken_and_there() {
        assert!(takes_form("gzip, deflate, br", "br") && takes_form("GZIP;q=0.5", "gzip"));
        assert!(!takes_form("gzip;q=0", "gzip") && !takes_form("brotli", "br") && !takes_form("", "br"));
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("a.js");
        std::fs::write(&file, "plain").unwrap();
        std::fs::write(place.path().join("a.js.gz"), "small").unwrap();
        let asked = |pairs: &[(header::HeaderName, &str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
        };
        let small = send(&file, &asked(&[(header::ACCEPT_ENCODING, "br, gzip")]), false).unwrap();
        assert_eq!(
            (&small.headers()["content-encoding"], &small.headers()["vary"]),
            (&"gzip".parse().unwrap(), &"accept-encoding".parse().unwrap())
        );
        assert_eq!(small.headers()["content-type"], "text/javascript; charset=utf-8");
        let plain = send(&file, &asked(&[]), true).unwrap();
        assert!(
            plain.headers().get("content-encoding").is_none() && plain.headers()["content-length"] == "5"
        );
        let tag = plain.headers()["etag"].to_str().unwrap().to_string();
        assert_eq!(send(&file, &asked(&[(header::IF_NONE_MATCH, &tag)]), false).unwrap().status(), 304);
        assert!(send(&place.path().join("none"), &asked(&[]), false).is_none());
        assert!(
            Page::open(Some(place.path()), false, false).unwrap_err().to_string().contains("no index.html")
        );
    }
}
