//! What is asked of the hub, and what its refusals mean.

use std::time::Duration;

use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use kindling::error::Error;
use ureq::http::{Response, Uri};
use ureq::typestate::WithoutBody;
use ureq::{Body, RequestBuilder};

use super::cache::{token, variable};
use super::names::{content_name, in_url};

/// How long a connection may take, and how long the hub may then be silent.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(30);
/// A listing of a million files has about 100 MB.
const LONGEST_LISTING: u64 = 256 << 20;
const MOST_REDIRECTS: u32 = 10;

/// Why the hub gave nothing.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be reached or is out of order: later it may work.
    Away(String),
    /// It answered, and asking again changes nothing.
    Refused(String),
    /// The disk, not the hub.
    Here(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

/// What is known of a file before it is fetched.
pub struct Head {
    /// The name of its contents.
    pub content: String,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// The SHA-256 of the contents, which names large files.
    pub sha256: Option<String>,
}

/// The hub, asked about one repository.
pub struct Client {
    api: Api,
    endpoint: String,
    repo: String,
    kind: RepoType,
    has_token: bool,
}

impl Client {
    /// The hub that the environment names, with the token that belongs to it.
    pub fn new(cache: Cache, repo: &str, kind: RepoType) -> Result<Self, ApiError> {
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let endpoint = endpoint.trim_end_matches('/').to_string();
        let token = token();
        let has_token = token.is_some();
        let builder = ApiBuilder::from_cache(cache).with_endpoint(endpoint.clone()).with_token(token);
        let api = builder.with_user_agent("kindling", env!("CARGO_PKG_VERSION")).build()?;
        Ok(Self { api, endpoint, repo: repo.into(), kind, has_token })
    }

    /// Where the hub is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The commit of a revision, and its files.
    pub fn info(&self, revision: &str) -> Result<RepoInfo, Trouble> {
        let request = self.repo_at(revision).info_request();
        let what = format!("no such {} or revision", self.kind_name());
        let mut response = self.send(request, MOST_REDIRECTS, &what)?;
        let body = response.body_mut().with_config().limit(LONGEST_LISTING).read_to_vec();
        let body = body.map_err(|e| Trouble::Away(e.to_string()))?;
        serde_json::from_slice(&body).map_err(|e| Trouble::Away(format!("its answer is not the hub's: {e}")))
    }

    /// Asks what a file is. Only the hub itself is asked: it knows the contents' name also where it redirects to
    /// another host for them.
    pub fn head(&self, commit: &str, name: &str) -> Result<Head, Trouble> {
        let mut url = self.url(commit, name);
        for _ in 0..MOST_REDIRECTS {
            let request = self.repo_at(commit).info_request().uri(&url).header("Range", "bytes=0-0");
            let response = self.send(request, 0, &format!("no file {name}"))?;
            let moved = response.status().is_redirection() && header(&response, "x-linked-etag").is_none();
            let next = header(&response, "location").filter(|_| moved);
            match next.and_then(|location| within(&url, location)) {
                Some(next) => url = next,
                None => return head_of(&response).map_err(|why| Trouble::Refused(format!("{name}: {why}"))),
            }
        }
        Err(Trouble::Refused(format!("{name}: the hub redirects in a circle")))
    }

    /// The bytes of a file from one of them on. The token is not sent to another host.
    pub fn bytes(&self, commit: &str, name: &str, from: u64) -> Result<Response<Body>, Trouble> {
        let mut request = self.repo_at(commit).info_request().uri(self.url(commit, name));
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        self.send(request, MOST_REDIRECTS, &format!("no file {name}"))
    }

    fn repo_at(&self, revision: &str) -> hf_hub::api::sync::ApiRepo {
        self.api.repo(Repo::with_revision(self.repo.clone(), self.kind, revision.into()))
    }

    fn url(&self, commit: &str, name: &str) -> String {
        self.repo_at(commit).url(&in_url(name))
    }

    /// Sends a request. Answers are those with a body, redirects where `redirects` is 0, and 416: there is no such
    /// range.
    fn send(
        &self,
        request: RequestBuilder<WithoutBody>,
        redirects: u32,
        what: &str,
    ) -> Result<Response<Body>, Trouble> {
        let request = request.config().http_status_as_error(false).max_redirects(redirects);
        // The length of a compressed answer says nothing about the file.
        let request = request.accept_encoding("identity").timeout_resolve(Some(CONNECT));
        let request = request.timeout_connect(Some(CONNECT)).timeout_recv_response(Some(SILENCE));
        let response = request.timeout_per_read(Some(SILENCE)).build().call();
        let response = response.map_err(|e| Trouble::Away(e.to_string()))?;
        match response.status().as_u16() {
            200..400 | 416 => Ok(response),
            status @ (408 | 429 | 500..) => Err(Trouble::Away(format!("it answers {status}"))),
            status => Err(Trouble::Refused(self.refusal(status, header(&response, "x-error-code"), what))),
        }
    }

    fn refusal(&self, status: u16, code: Option<&str>, what: &str) -> String {
        let (endpoint, page) = (&self.endpoint, self.page());
        match (status, code) {
            (404, _) => format!("there is {what} at {endpoint}, or it is private (404); look at {page}"),
            (403, _) | (401, Some("GatedRepo")) => format!(
                "access has to be granted first ({status}): accept the terms at {page} and set HF_TOKEN to a token of \
                that account"
            ),
            (401, _) if self.has_token => format!(
                "{endpoint} does not accept the token for it (401); the name is wrong, or HF_TOKEN needs another token"
            ),
            (401, _) => format!(
                "{endpoint} asks for a token (401); the name is wrong, or it is private or gated: log in at {page} and \
                set HF_TOKEN"
            ),
            _ => format!("{endpoint} answers {status}"),
        }
    }

    fn page(&self) -> String {
        let repo = Repo::new(self.repo.clone(), self.kind);
        format!("{}/{}", self.endpoint, repo.url())
    }

    fn kind_name(&self) -> &'static str {
        match self.kind {
            RepoType::Dataset => "data set",
            _ => "model",
        }
    }
}

/// The text of a header.
pub fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// What `Content-Range` says: the first byte, where there are any, and the length of the whole.
pub fn content_range(response: &Response<Body>) -> Option<(Option<u64>, u64)> {
    let (range, total) = header(response, "content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-').and_then(|(first, _)| first.parse().ok());
    Some((first, total.parse().ok()?))
}

/// The length that an answer without a range announces.
pub fn content_length(response: &Response<Body>) -> Option<u64> {
    header(response, "content-length")?.parse().ok()
}

/// Where a redirect leads, if it stays at the same host.
fn within(url: &str, location: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let origin = format!("{}://{}", url.scheme_str()?, url.authority()?);
    match location.starts_with('/') && !location.starts_with("//") {
        true => Some(format!("{origin}{location}")),
        false => location.starts_with(&format!("{origin}/")).then(|| location.to_string()),
    }
}

fn head_of(response: &Response<Body>) -> Result<Head, &'static str> {
    const NO_NAME: &str = "the hub's ETag for it cannot name a file";
    let linked = header(response, "x-linked-etag").map(|etag| content_name(etag).ok_or(NO_NAME));
    let linked = linked.transpose()?;
    let content = match linked {
        Some(content) => content,
        None => {
            content_name(header(response, "etag").ok_or("the hub tells no ETag for it")?).ok_or(NO_NAME)?
        }
    };
    let is_hash = |name: &&str| name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit());
    let sha256 = linked.filter(is_hash).map(str::to_ascii_lowercase);
    let size = match header(response, "x-linked-size") {
        Some(size) => size.parse().ok(),
        None if response.status().is_success() && content_range(response).is_none() => {
            content_length(response)
        }
        None => content_range(response).map(|(_, total)| total),
    };
    Ok(Head { content: content.to_string(), size, sha256 })
}
