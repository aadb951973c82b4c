//! What every request passes: keys, origins, hosts, the end of the server, and its place in the numbers.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::Server;
use super::refusal::Refusal;

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// The hashes of the keys of which one is needed; none where everybody may ask.
    keys: Vec<[u8; 32]>,
    /// Origins of other pages that may ask; `*` is all of them.
    origins: Vec<String>,
    /// Whether only names of this machine are taken for the host, which keeps pages out whose names are made to mean it
    /// (DNS rebinding).
    local_alone: bool,
}

impl Admission {
    /// With these keys and origins; `loopback` is whether only this machine reaches the server.
    pub fn new(keys: &[String], origins: &[String], loopback: bool) -> Self {
        let keys: Vec<_> = keys.iter().map(|key| hash(key.as_bytes())).collect();
        let local_alone = loopback && keys.is_empty();
        Self { keys, origins: origins.to_vec(), local_alone }
    }

    /// Whether a request has one of the keys. All are compared to the end, as hashes, so that the time tells nothing.
    fn has_key(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        let given = hash(bearer(given).unwrap_or_default());
        let equal = |key: &[u8; 32]| key.iter().zip(&given).fold(0, |apart, (a, b)| apart | (a ^ b)) == 0;
        self.keys.iter().fold(false, |found, key| found | equal(key))
    }

    /// Whether a page of this origin may ask; its own host's may.
    fn takes_origin(&self, origin: &str, host: &str) -> bool {
        is_own(origin, host)
            || self.origins.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(origin))
    }

    /// Whether a request for this host is meant for this machine.
    fn takes_host(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let name = name.to_ascii_lowercase();
        let local = name == "localhost" || name.ends_with(".localhost");
        !self.local_alone || name.is_empty() || local || name.parse::<std::net::IpAddr>().is_ok()
    }

    /// Why a request of this method and path is not let in.
    fn refusal(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Refusal> {
        let text = |name: header::HeaderName| {
            headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default()
        };
        let (host, origin) = (text(header::HOST), text(header::ORIGIN));
        if !self.takes_host(host) {
            return Some(Refusal::forbidden(format!(
                "requests for the host '{host}' are not taken on a loopback address without a key: ask 127.0.0.1 or \
                 localhost, or start the server with --api-key"
            )));
        }
        if !origin.is_empty() && !self.takes_origin(origin, host) {
            return Some(Refusal::forbidden(format!(
                "pages of {origin} may not ask; start the server with --cors {origin} to let them"
            )));
        }
        if self.keys.is_empty() || is_open(method, path) || self.has_key(headers) {
            return None;
        }
        Some(Refusal::no_key())
    }

    /// Tells a browser that a page of another origin may read the answer.
    fn open_to(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(origin) = origin.filter(|_| !self.origins.is_empty()) else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        let exposed = HeaderValue::from_static("retry-after, x-request-id");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// Whether an origin is that of this host.
fn is_own(origin: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, of)| !host.is_empty() && of.eq_ignore_ascii_case(host))
}

/// Whether a request comes from a page of this server's own, or from no page at all.
pub fn is_of_own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    !headers.contains_key(header::ORIGIN) || is_own(text(header::ORIGIN), text(header::HOST))
}

/// What needs no key: whether the server is well, and the page, which holds no secret and whose files a browser asks for
/// without one.
fn is_open(method: &Method, path: &str) -> bool {
    let reads = method == Method::GET || method == Method::HEAD;
    let api = ["/v1/", "/api/", "/metrics", "/tokenize", "/detokenize", "/apply-template"];
    path == "/health" || (reads && !api.iter().any(|start| path.starts_with(start)))
}

/// The key behind `Bearer`.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (word, key) = value.split_at_checked(7)?;
    word.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lets a request through, or says why not; counts it either way.
pub async fn pass(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_string());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_string());
    let entered = server.running.enter();
    let refusal = server.admission.refusal(&method, &path, request.headers());
    let refusal = refusal.or_else(|| (!is_text(&path)).then(|| no_text(&path)));
    let mut response = match refusal {
        Some(refusal) if method != Method::OPTIONS || refusal.error.status != 401 => refusal.into_response(),
        _ if method == Method::OPTIONS => preflight(request.headers()),
        _ if server.running.drains() && path != "/health" && path != "/metrics" => {
            Refusal::draining().into_response()
        }
        _ => next.run(request).await,
    };
    if let Some(refusal) = response.extensions().get::<Refusal>().cloned() {
        let allow = response.headers().get(header::ALLOW).cloned();
        response = refusal.answer(&path);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    server.admission.open_to(origin.as_ref(), response.headers_mut());
    server.metrics.request(route.as_deref().unwrap_or("other"), response.status().as_u16());
    response.map(|body| entered.over(body))
}

/// Whether a path is UTF-8 once its escapes are read, as every route reads it.
fn is_text(path: &str) -> bool {
    let (mut rest, mut read) = (path.as_bytes(), Vec::new());
    while let [first, tail @ ..] = rest {
        let digits = tail.split_at_checked(2).filter(|_| *first == b'%');
        let escaped = digits.and_then(|(digits, behind)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, behind))
        });
        let (byte, behind) = escaped.unwrap_or((*first, tail));
        read.push(byte);
        rest = behind;
    }
    std::str::from_utf8(&read).is_ok()
}

fn no_text(path: &str) -> Refusal {
    Refusal::not_found("unknown_url", format!("Invalid URL ({path}): its escapes are no UTF-8."))
}

/// What a browser asks before it asks: its origin passed already.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let wanted = wanted.unwrap_or(HeaderValue::from_static("authorization, content-type"));
    headers
        .insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn status(admission: &Admission, path: &str, pairs: &[(header::HeaderName, &'static str)]) -> u16 {
        let refusal = admission.refusal(&Method::POST, path, &headers(pairs));
        refusal.map_or(200, |refusal| refusal.error.status)
    }

    #[test]
    fn one_of_the_keys_is_needed_where_there_are_any() {
        let with = Admission::new(&["one".into(), "two".into()], &[], true);
        for (value, expected) in [
            ("Bearer one", 200),
            ("bearer  two ", 200),
            ("Bearer on", 401),
            ("Bearer ", 401),
            ("one", 401),
            ("Basic one", 401),
        ] {
            assert_eq!(status(&with, "/v1/models", &[(header::AUTHORIZATION, value)]), expected, "{value}");
        }
        assert_eq!(status(&with, "/v1/models", &[]), 401);
        assert_eq!(status(&with, "/health", &[]), 200);
        assert!(with.refusal(&Method::GET, "/", &HeaderMap::new()).is_none());
        assert!(with.refusal(&Method::GET, "/metrics", &HeaderMap::new()).is_some());
        assert_eq!(status(&Admission::new(&[], &[], true), "/v1/models", &[]), 200);
    }

    #[test]
    fn pages_of_other_origins_and_names_that_only_mean_this_machine_are_kept_out() {
        let closed = Admission::new(&[], &[], true);
        let of = |origin, host| [(header::ORIGIN, origin), (header::HOST, host)];
        assert_eq!(status(&closed, "/x", &of("http://localhost:8000", "localhost:8000")), 200);
        assert_eq!(status(&closed, "/x", &of("http://a.example", "localhost:8000")), 403);
        assert_eq!(status(&closed, "/x", &of("http://a.example:8000", "a.example:8000")), 403);
        assert_eq!(status(&closed, "/x", &of("null", "127.0.0.1:1")), 403);
        assert_eq!(status(&closed, "/x", &[(header::HOST, "[::1]:8000")]), 200);
        let known = Admission::new(&[], &["http://a.example".into()], true);
        assert_eq!(status(&known, "/x", &of("http://a.example", "127.0.0.1:1")), 200);
        assert_eq!(status(&known, "/x", &of("http://b.example", "127.0.0.1:1")), 403);
        let all = Admission::new(&["k".into()], &["*".into()], true);
        let asked =
            [(header::ORIGIN, "http://b.example"), (header::HOST, "b"), (header::AUTHORIZATION, "Bearer k")];
        assert_eq!(status(&all, "/x", &asked), 200);
        // What is reached from elsewhere has names of its own.
        assert_eq!(status(&Admission::new(&[], &[], false), "/x", &[(header::HOST, "a.example")]), 200);
    }

    #[test]
    fn a_path_is_text_behind_its_escapes() {
        for (path, expected) in [
            ("/v1/models/%e7%81%af", true),
            ("/v1/models/灯", true),
            ("/v1/models/a%", true),
            ("/v1/models/%zz%4", true),
            ("/v1/models/%ff", false),
            ("/v1/models/%e7%81", false),
        ] {
            assert_eq!(is_text(path), expected, "{path}");
        }
    }

    #[test]
    fn an_answer_is_opened_to_the_origins_that_may_ask() {
        let (origin, mut open) = (HeaderValue::from_static("http://a.example"), HeaderMap::new());
        Admission::new(&[], &[], true).open_to(Some(&origin), &mut open);
        assert!(open.is_empty());
        Admission::new(&[], &["*".into()], true).open_to(Some(&origin), &mut open);
        assert_eq!(
            (&open["access-control-allow-origin"], &open["vary"]),
            (&origin, &HeaderValue::from_static("origin"))
        );
    }
}
