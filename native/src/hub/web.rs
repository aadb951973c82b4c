//! Requests to one place, with its token and time limits.

use std::time::Duration;

use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, StatusCode};
use ureq::typestate::{WithBody, WithoutBody};
use ureq::{Agent, Body, RequestBuilder};

use super::address::Site;
use super::cache::{token, variable};
use super::protocol::Trouble;

/// How long a connection may take, and how long the other side may then be silent.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(30);
/// How long it may take over what was sent to it.
const DIGESTION: Duration = Duration::from_secs(300);
/// A listing of a million files has about 100 MB.
const LONGEST_TEXT: u64 = 256 << 20;
/// Redirects that are followed.
pub const MOST_REDIRECTS: u32 = 10;
/// The hub itself.
pub const STANDARD: &str = "https://huggingface.co";
const AGENT: &str = concat!("kindling/", env!("CARGO_PKG_VERSION"));

/// A place on the network.
pub struct Web {
    agent: Agent,
    site: Site,
    /// Where it is, without a slash at the end.
    pub endpoint: String,
    token: Option<String>,
}

impl Web {
    /// The place that the environment names, with the token that belongs to it.
    pub fn new(site: Site) -> Self {
        let standard = match site {
            Site::HuggingFace => STANDARD,
            Site::ModelScope => "https://modelscope.cn",
        };
        let endpoint = variable(site.endpoint_variable()).unwrap_or_else(|| standard.into());
        let config = Agent::config_builder()
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .http_status_as_error(false)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            // The length of a compressed answer says nothing about the file.
            .accept_encoding("identity")
            .user_agent(AGENT);
        let endpoint = endpoint.trim_end_matches('/').to_string();
        Self { agent: config.build().into(), site, endpoint, token: token(site) }
    }

    /// Whether there is a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// A request for what stands at an address, with the token.
    pub fn get(&self, url: &str) -> RequestBuilder<WithoutBody> {
        let request = self.agent.get(url);
        match (&self.token, self.site) {
            (None, _) => request,
            (Some(token), Site::HuggingFace) => request.header("authorization", format!("Bearer {token}")),
            // Its older addresses read the token as a cookie, its newer ones as the hub does.
            (Some(token), Site::ModelScope) => request
                .header("authorization", format!("Bearer {token}"))
                .header("cookie", format!("m_session_id={token}")),
        }
    }

    /// A request that sends something to this place, with the token; what is sent is not sent on elsewhere.
    pub fn post(&self, url: &str) -> RequestBuilder<WithBody> {
        let request = unhurried(self.agent.post(url));
        let is_here = url.strip_prefix(&self.endpoint).is_some_and(|rest| rest.starts_with('/'));
        match self.token.as_ref().filter(|_| is_here) {
            None => request,
            Some(token) => request.header("authorization", format!("Bearer {token}")),
        }
    }

    /// A request that sends something to an address that was signed for it: the token is not told there.
    pub fn put_signed(&self, url: &str) -> RequestBuilder<WithBody> {
        unhurried(self.agent.put(url))
    }

    /// Sends a request and gives any answer that is none of a place that is out of order.
    ///
    /// # Errors
    /// [`Trouble::Away`].
    pub fn call(request: RequestBuilder<WithoutBody>, redirects: u32) -> Result<Response<Body>, Trouble> {
        let response = request.config().max_redirects(redirects).build().call();
        let response = response.map_err(|e| Trouble::Away(e.to_string()))?;
        match response.status().as_u16() {
            status @ (408 | 429 | 500..) => Err(Trouble::Away(format!("it answers {status}"))),
            _ => Ok(response),
        }
    }
}

/// What was sent may have to be put in order before there is an answer.
fn unhurried(request: RequestBuilder<WithBody>) -> RequestBuilder<WithBody> {
    request.config().max_redirects(0).timeout_recv_response(Some(DIGESTION)).build()
}

/// Whether an answer is one with a body, a redirect, or says that there is no such range.
pub fn is_answer(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..400 | 416)
}

/// The text of an answer.
///
/// # Errors
/// A connection that breaks off.
pub fn text(response: &mut Response<Body>) -> Result<Vec<u8>, Trouble> {
    let body = response.body_mut().with_config().limit(LONGEST_TEXT).read_to_vec();
    body.map_err(|e| Trouble::Away(e.to_string()))
}
