//! The hub's protocol for reading, and what its refusals mean.

use hf_hub::api::RepoInfo;
use hf_hub::{Repo, RepoType};
use ureq::http::{Response, Uri};
use ureq::{Body, RequestBuilder, typestate::WithoutBody};

use super::address::Site;
use super::names::{content_name, in_url};
use super::protocol::{Head, Listing, Protocol, Trouble, content_length, content_range, header, kind_name};
use super::web::{self, MOST_REDIRECTS, Web};

/// The hub, asked about one repository.
pub struct Client {
    web: Web,
    repo: String,
    kind: RepoType,
}

impl Client {
    /// The hub that the environment names.
    pub fn new(repo: &str, kind: RepoType) -> Self {
        Self { web: Web::new(Site::HuggingFace), repo: repo.into(), kind }
    }

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo.clone(), self.kind, revision.into())
    }

    fn url(&self, commit: &str, name: &str) -> String {
        let repo = self.at(commit);
        format!("{}/{}/resolve/{}/{}", self.web.endpoint, repo.url(), repo.url_revision(), in_url(name))
    }

    /// Sends a request. Answers are those with a body, redirects where `redirects` is 0, and 416: there is no such
    /// range.
    fn send(
        &self,
        request: RequestBuilder<WithoutBody>,
        redirects: u32,
        what: &str,
    ) -> Result<Response<Body>, Trouble> {
        let response = Web::call(request, redirects)?;
        match response.status() {
            status if web::is_answer(status) => Ok(response),
            status => {
                let code = header(&response, "x-error-code");
                Err(Trouble::Refused(self.refusal(status.as_u16(), code, what)))
            }
        }
    }

    fn refusal(&self, status: u16, code: Option<&str>, what: &str) -> String {
        let (endpoint, page) = (&self.web.endpoint, self.page());
        match (status, code) {
            (404, _) => format!("there is {what} at {endpoint}, or it is private (404); look at {page}"),
            (403, _) | (401, Some("GatedRepo")) => format!(
                "access has to be granted first ({status}): accept the terms at {page} and set HF_TOKEN to a token of \
                that account"
            ),
            (401, _) if self.web.has_token() => format!(
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
        format!("{}/{}", self.web.endpoint, self.at("main").url())
    }
}

impl Protocol for Client {
    fn endpoint(&self) -> &str {
        &self.web.endpoint
    }

    fn info(&self, revision: &str) -> Result<Listing, Trouble> {
        let request = self.web.get(&format!("{}/api/{}", self.web.endpoint, self.at(revision).api_url()));
        let what = format!("no such {} or revision", kind_name(self.kind));
        let mut response = self.send(request, MOST_REDIRECTS, &what)?;
        let info: RepoInfo = serde_json::from_slice(&web::text(&mut response)?)
            .map_err(|e| Trouble::Away(format!("its answer is not the hub's: {e}")))?;
        let names = info.siblings.into_iter().map(|file| file.rfilename).collect();
        Ok(Listing { commit: info.sha, names })
    }

    /// Only the hub itself is asked: it knows the contents' name also where it redirects to another host for them.
    fn head(&self, commit: &str, name: &str) -> Result<Head, Trouble> {
        let mut url = self.url(commit, name);
        for _ in 0..MOST_REDIRECTS {
            let request = self.web.get(&url).header("range", "bytes=0-0");
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

    /// The token is not sent to another host.
    fn bytes(&self, commit: &str, name: &str, from: u64) -> Result<Response<Body>, Trouble> {
        let mut request = self.web.get(&self.url(commit, name));
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        self.send(request, MOST_REDIRECTS, &format!("no file {name}"))
    }
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
