//! What a place of repositories is asked, in whichever words: the files of a revision, what a file is, its bytes.

use hf_hub::RepoType;
use kindling::error::Error;
use ureq::Body;
use ureq::http::Response;

/// Why a place gave nothing, or took nothing.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be reached or is out of order: later it may work.
    Away(String),
    /// It answered, and asking again changes nothing.
    Refused(String),
    /// The disk, not the place.
    Here(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

/// A revision as it is now.
pub struct Listing {
    /// The commit, or what stands for it.
    pub commit: String,
    /// All of its files; these names are not to be believed.
    pub names: Vec<String>,
}

/// What is known of a file before it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The name of its contents.
    pub content: String,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// The SHA-256 of the contents, where it is told.
    pub sha256: Option<String>,
}

/// A place, asked about one repository.
pub trait Protocol {
    /// Where it is.
    fn endpoint(&self) -> &str;

    /// The commit of a revision, and its files.
    fn info(&self, revision: &str) -> Result<Listing, Trouble>;

    /// What a file of a commit is.
    fn head(&self, commit: &str, name: &str) -> Result<Head, Trouble>;

    /// The bytes of a file from one of them on.
    fn bytes(&self, commit: &str, name: &str, from: u64) -> Result<Response<Body>, Trouble>;
}

/// What a repository holds, in a word.
pub fn kind_name(kind: RepoType) -> &'static str {
    match kind {
        RepoType::Dataset => "data set",
        _ => "model",
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
