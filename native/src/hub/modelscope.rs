//! ModelScope's protocol for reading, as `modelscope_hub` 0.5.1 speaks it (`_legacy_api.py`, `_download.py`).
//!
//! A listing names every file with its length and its SHA-256, but no commit: a digest of it stands for one. Bytes come
//! by the name of the revision; that they are those of the listing, their SHA-256 tells.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use hf_hub::RepoType;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::Response;

use super::address::Site;
use super::names::in_query;
use super::protocol::{Head, Listing, Protocol, Trouble, kind_name};
use super::web::{self, MOST_REDIRECTS, Web};

/// Files of a page of a data set's listing.
const PAGE: usize = 200;
/// Pages of it, at most: two million files.
const MOST_PAGES: usize = 10_000;
/// So many entries a listing of a model holds at most, and it says no word of the others.
const CUT_AT: usize = 3000;
/// How many characters of a message are told.
const MESSAGE: usize = 200;

/// ModelScope, asked about one repository.
pub struct ModelScope {
    web: Web,
    repo: String,
    kind: RepoType,
    /// The revision that was asked about, and its files.
    listed: OnceCell<(String, BTreeMap<String, Head>)>,
}

/// A file or a folder, as a listing tells it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    path: String,
    #[serde(rename = "Type")]
    kind: Option<String>,
    size: Option<u64>,
    sha256: Option<String>,
    /// The commit that changed it last.
    revision: Option<String>,
}

impl ModelScope {
    /// The place that the environment names.
    pub fn new(repo: &str, kind: RepoType) -> Self {
        Self { web: Web::new(Site::ModelScope), repo: repo.into(), kind, listed: OnceCell::new() }
    }

    fn is_data(&self) -> bool {
        matches!(self.kind, RepoType::Dataset)
    }

    fn api(&self) -> String {
        let kind = if self.is_data() { "datasets" } else { "models" };
        format!("{}/api/v1/{kind}/{}", self.web.endpoint, self.repo)
    }

    /// All files of a revision. Of a model they come at once, of a data set by pages.
    fn entries(&self, revision: &str) -> Result<Vec<Entry>, Trouble> {
        let at = format!("Revision={}&Recursive=True", in_query(revision));
        if !self.is_data() {
            let entries = self.page(&format!("{}/repo/files?{at}", self.api()))?;
            return match entries.len() < CUT_AT {
                true => Ok(entries),
                false => Err(Trouble::Refused(format!(
                    "it holds more than the {CUT_AT} files that {} lists; fetch it with ModelScope's own tool and name the folder",
                    self.web.endpoint
                ))),
            };
        }
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let part =
                self.page(&format!("{}/repo/tree?{at}&PageNumber={page}&PageSize={PAGE}", self.api()))?;
            let is_last = part.len() < PAGE;
            all.extend(part);
            if is_last {
                return Ok(all);
            }
        }
        Err(Trouble::Refused(format!("its listing has more than {MOST_PAGES} pages")))
    }

    fn page(&self, url: &str) -> Result<Vec<Entry>, Trouble> {
        let what = format!("no such {} or revision", kind_name(self.kind));
        let mut response = self.send(url, 0, &what)?;
        entries_of(&web::text(&mut response)?)
    }

    fn send(&self, url: &str, from: u64, what: &str) -> Result<Response<Body>, Trouble> {
        let mut request = self.web.get(url);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        let response = Web::call(request, MOST_REDIRECTS)?;
        match response.status() {
            status if web::is_answer(status) => Ok(response),
            status => Err(Trouble::Refused(self.refusal(status.as_u16(), what))),
        }
    }

    fn refusal(&self, status: u16, what: &str) -> String {
        let endpoint = &self.web.endpoint;
        match status {
            404 => format!("there is {what} at {endpoint}, or it is private (404)"),
            401 | 403 if self.web.has_token() => format!(
                "{endpoint} does not give it to this token ({status}); the name is wrong, its terms have to be accepted \
                there first, or MODELSCOPE_API_TOKEN needs another token"
            ),
            401 | 403 => format!(
                "{endpoint} asks for a token ({status}); the name is wrong, or it is private: log in there and set \
                MODELSCOPE_API_TOKEN"
            ),
            _ => format!("{endpoint} answers {status}"),
        }
    }
}

impl Protocol for ModelScope {
    fn endpoint(&self) -> &str {
        &self.web.endpoint
    }

    fn info(&self, revision: &str) -> Result<Listing, Trouble> {
        let entries = self.entries(revision)?;
        let files = entries.iter().filter(|entry| entry.kind.as_deref() != Some("tree"));
        let heads: BTreeMap<String, Head> = files.map(|entry| (entry.path.clone(), head_of(entry))).collect();
        let listing = Listing { commit: digest_of(&heads), names: heads.keys().cloned().collect() };
        // A snapshot asks once.
        let _ = self.listed.set((revision.to_string(), heads));
        Ok(listing)
    }

    fn head(&self, _commit: &str, name: &str) -> Result<Head, Trouble> {
        let head = self.listed.get().and_then(|(_, heads)| heads.get(name));
        head.cloned().ok_or_else(|| Trouble::Refused(format!("there is no file {name}")))
    }

    fn bytes(&self, commit: &str, name: &str, from: u64) -> Result<Response<Body>, Trouble> {
        let revision = self.listed.get().map_or(commit, |(revision, _)| revision);
        let url = format!("{}/repo?Revision={}&FilePath={}", self.api(), in_query(revision), in_query(name));
        self.send(&url, from, &format!("no file {name}"))
    }
}

/// What a page of a listing holds. ModelScope also tells of failures in answers of status 200.
fn entries_of(json: &[u8]) -> Result<Vec<Entry>, Trouble> {
    let foreign = |why: String| Trouble::Away(format!("its answer is not ModelScope's: {why}"));
    let answer: Value = serde_json::from_slice(json).map_err(|e| foreign(e.to_string()))?;
    if answer["Success"] == false || answer["Code"].as_i64().is_some_and(|code| code != 200) {
        let message = answer["Message"].as_str().unwrap_or("no reason is told");
        let message: String = message.chars().filter(|c| !c.is_control()).take(MESSAGE).collect();
        return Err(Trouble::Refused(format!("it is refused: {message}")));
    }
    let files = match &answer["Data"] {
        Value::Array(_) => &answer["Data"],
        data => &data["Files"],
    };
    match files {
        // An empty repository.
        Value::Null if answer["Data"].is_object() => Ok(Vec::new()),
        files => Vec::deserialize(files).map_err(|e| foreign(e.to_string())),
    }
}

/// What a listing tells of a file. Where it tells no SHA-256, the commit that changed the file last names its contents.
fn head_of(entry: &Entry) -> Head {
    let is_hash = |sum: &&String| sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit());
    let sha256 = entry.sha256.as_ref().filter(is_hash).map(|sum| sum.to_ascii_lowercase());
    let named = || {
        let size = entry.size.unwrap_or_default();
        hex(format!("{}\n{}\n{size}", entry.path, entry.revision.as_deref().unwrap_or_default()).as_bytes())
    };
    Head { content: sha256.clone().unwrap_or_else(named), size: entry.size, sha256 }
}

/// What stands for the commit: the same for the same files, as git's would be.
fn digest_of(heads: &BTreeMap<String, Head>) -> String {
    let lines: String = heads.iter().map(|(name, head)| format!("{} {name}\n", head.content)).collect();
    hex(lines.as_bytes())[..40].to_string()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, sum: Option<&str>, revision: &str) -> Entry {
        Entry {
            path: path.into(),
            kind: Some("blob".into()),
            size: Some(3),
            sha256: sum.map(String::from),
            revision: Some(revision.into()),
        }
    }

    #[test]
    fn a_listing_is_read_in_both_forms_and_a_failure_told_as_one() {
        let file = r#"{"Name":"b.json","Path":"a/b.json","Type":"blob","Size":3,"Sha256":"","Mode":"33188"}"#;
        let folder = r#"{"Path":"a","Type":"tree","Size":0}"#;
        for data in [format!("[{file},{folder}]"), format!("{{\"Files\":[{file},{folder}]}}")] {
            let answer = format!("{{\"Code\":200,\"Success\":true,\"Data\":{data}}}");
            let entries = entries_of(answer.as_bytes()).unwrap();
            assert_eq!((entries.len(), &*entries[0].path, entries[0].size), (2, "a/b.json", Some(3)));
        }
        assert!(entries_of(br#"{"Code":200,"Data":{"Files":null}}"#).unwrap().is_empty());
        for (answer, told) in [
            (
                r#"{"Code":10010205001,"Success":false,"Message":"record\nnot found"}"#,
                "refused: recordnot found",
            ),
            (r#"{"Success":false}"#, "no reason is told"),
            ("<html>", "not ModelScope's"),
            (r#"{"Data":{"Files":[{"Size":1}]}}"#, "not ModelScope's"),
        ] {
            let Err(Trouble::Refused(why) | Trouble::Away(why)) = entries_of(answer.as_bytes()) else {
                panic!("{answer}")
            };
            assert!(why.contains(told), "{why}");
        }
    }

    #[test]
    fn contents_are_named_by_their_checksum_or_by_what_changed_them_last() {
        let sum = "AB".repeat(32);
        let known = head_of(&entry("a", Some(&sum), "r1"));
        assert_eq!(
            (known.content.clone(), known.sha256.clone()),
            (sum.to_lowercase(), Some(sum.to_lowercase()))
        );
        let (first, second) = (head_of(&entry("a", Some(""), "r1")), head_of(&entry("a", None, "r2")));
        assert!(first.sha256.is_none() && first.content != second.content, "another commit, other contents");
        let one = BTreeMap::from([("a".to_string(), known.clone())]);
        let renamed = BTreeMap::from([("b".to_string(), known)]);
        assert_eq!(digest_of(&one).len(), 40);
        assert!(digest_of(&one) != digest_of(&renamed));
    }
}
