//! What the hub is asked to do, one request each, and what its refusals mean to someone who writes.

use serde_json::{Value, json};
use ureq::Body;
use ureq::http::Response;

use super::patience::patiently;
use super::upload::Upload;
use crate::hub::{STANDARD, Site, Trouble, Web, header, in_query, text};
use crate::output::Output;

/// How many characters of the hub's own message are told.
const MESSAGE: usize = 300;
/// Files in one question about them, as Python's client asks.
const AT_ONCE: usize = 256;

/// The hub, and the repository that is written.
pub struct Hub {
    /// Requests to it.
    pub web: Web,
    /// `owner/name`.
    pub repo: String,
    /// How much is said.
    pub output: Output,
}

/// How the hub takes a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    /// As a large file, and not inside the commit.
    pub is_large: bool,
    /// Its rules leave such a file out.
    pub is_ignored: bool,
    /// The hash of what the hub has under this name.
    pub present: Option<String>,
}

impl Hub {
    /// The repository of the hub that the environment names.
    pub fn new(repo: &str, output: Output) -> Self {
        Self { web: Web::new(Site::HuggingFace), repo: repo.into(), output }
    }

    /// Where the repository is seen.
    pub fn page(&self) -> String {
        format!("{}/{}", self.web.endpoint, self.repo)
    }

    /// An address that the hub named; a mirror's answers may name the hub itself.
    pub fn address(&self, href: &str) -> String {
        match href.strip_prefix(STANDARD).filter(|rest| rest.starts_with('/')) {
            Some(rest) => format!("{}{rest}", self.web.endpoint),
            None => href.to_string(),
        }
    }

    fn api(&self, rest: &str) -> String {
        format!("{}/api/models/{}{rest}", self.web.endpoint, self.repo)
    }

    /// Asks for JSON.
    fn get(&self, url: &str) -> Result<(u16, Value), Trouble> {
        let mut response = patiently(self.output, || self.web.get(url).call())?;
        Ok((response.status().as_u16(), value(&mut response)?))
    }

    /// Sends JSON, and gives the answer whatever its status.
    fn post(&self, url: &str, body: &Value, kind: &str) -> Result<(u16, Value), Trouble> {
        let body = body.to_string();
        let send = || self.web.post(url).content_type(kind).header("accept", kind).send(&body);
        let mut response = patiently(self.output, send)?;
        Ok((response.status().as_u16(), value(&mut response)?))
    }

    /// Makes the repository, unless it is there; whether it is new.
    ///
    /// # Errors
    /// A hub that refuses.
    pub fn create(&self, private: bool) -> Result<bool, Trouble> {
        let (owner, name) = self.repo.split_once('/').unwrap_or_default();
        let mut order = json!({"name": name, "organization": owner, "type": "model"});
        if private {
            order["visibility"] = "private".into();
        }
        let url = format!("{}/api/repos/create", self.web.endpoint);
        let (status, answer) = self.post(&url, &order, "application/json")?;
        match status {
            200..300 => Ok(true),
            // A token for one repository may not make any, but write this one.
            401..=403 | 409 if self.info()?.is_some() => Ok(false),
            _ => Err(self.refused(status, &answer)),
        }
    }

    /// What the hub knows of the repository; `None` where it is not there.
    ///
    /// # Errors
    /// A hub that refuses for another reason.
    pub fn info(&self) -> Result<Option<Value>, Trouble> {
        match self.get(&self.api(""))? {
            (200, info) => Ok(Some(info)),
            (401 | 403 | 404, _) => Ok(None),
            (status, answer) => Err(self.refused(status, &answer)),
        }
    }

    /// Makes a branch, unless it is there.
    ///
    /// # Errors
    /// A hub that refuses.
    pub fn branch(&self, name: &str) -> Result<(), Trouble> {
        let encoded = in_query(name);
        let (status, _) = self.get(&self.api(&format!("/revision/{encoded}")))?;
        if status == 200 {
            return Ok(());
        }
        let (status, answer) =
            self.post(&self.api(&format!("/branch/{encoded}")), &json!({}), "application/json")?;
        match status {
            200..300 | 409 => Ok(()),
            _ => Err(self.refused(status, &answer)),
        }
    }

    /// How the hub takes each of the files, in their order.
    ///
    /// # Errors
    /// A hub that refuses, or that tells nothing of a file.
    pub fn modes(&self, revision: &str, uploads: &[Upload]) -> Result<Vec<Mode>, Trouble> {
        let mut modes = Vec::new();
        for part in uploads.chunks(AT_ONCE) {
            let shown = |upload: &Upload| -> Result<Value, Trouble> {
                let sample = base64(&upload.sample()?);
                Ok(json!({"path": upload.path, "sample": sample, "size": upload.size}))
            };
            let files = part.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
            let url = self.api(&format!("/preupload/{}", in_query(revision)));
            let (status, answer) = self.post(&url, &json!({"files": files}), "application/json")?;
            if status != 200 {
                return Err(self.refused(status, &answer));
            }
            for upload in part {
                modes.push(mode(&answer, upload)?);
            }
        }
        Ok(modes)
    }

    /// Asks how large files are sent: those with `actions` are, the others are there.
    ///
    /// # Errors
    /// A hub that refuses all, or one of them.
    pub fn batch(&self, revision: &str, objects: &[(String, u64)]) -> Result<Vec<Value>, Trouble> {
        let mut all = Vec::new();
        for part in objects.chunks(AT_ONCE) {
            let objects: Vec<Value> =
                part.iter().map(|(oid, size)| json!({"oid": oid, "size": size})).collect();
            let order = json!({
                "operation": "upload", "transfers": ["basic", "multipart"], "objects": objects,
                "hash_algo": "sha256", "ref": {"name": revision},
            });
            let url = format!("{}/{}.git/info/lfs/objects/batch", self.web.endpoint, self.repo);
            let (status, answer) = self.post(&url, &order, LFS)?;
            let told = answer["objects"].as_array().filter(|_| status == 200);
            let Some(told) = told else { return Err(self.refused(status, &answer)) };
            if let Some(error) = told.iter().map(|object| &object["error"]).find(|error| error.is_object()) {
                let code = error["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(422);
                return Err(self.refused(code, error));
            }
            all.extend(told.iter().cloned());
        }
        Ok(all)
    }

    /// Tells an address of the hub that something is done.
    ///
    /// # Errors
    /// A hub that refuses.
    pub fn tell(&self, url: &str, body: &Value) -> Result<(), Trouble> {
        match self.post(url, body, LFS)? {
            (200..300, _) => Ok(()),
            (status, answer) => Err(self.refused(status, &answer)),
        }
    }

    /// Commits; gives the commit's name.
    ///
    /// # Errors
    /// A hub that refuses.
    pub fn commit(&self, revision: &str, lines: &[Value]) -> Result<String, Trouble> {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let url = self.api(&format!("/commit/{}", in_query(revision)));
        let send = || self.web.post(&url).content_type("application/x-ndjson").send(&body);
        let mut response = patiently(self.output, send)?;
        let (status, answer) = (response.status().as_u16(), value(&mut response)?);
        match (status, answer["commitOid"].as_str()) {
            (200..300, Some(commit)) => Ok(commit.to_string()),
            (200..300, None) => Err(Trouble::Refused("the hub names no commit for it".into())),
            _ => Err(self.refused(status, &answer)),
        }
    }

    /// What a refusal means, with the hub's own words.
    pub fn refused(&self, status: u16, answer: &Value) -> Trouble {
        let (repo, endpoint) = (&self.repo, &self.web.endpoint);
        let own = [&answer["error"], &answer["message"]].into_iter().find_map(Value::as_str);
        let own: String = own.unwrap_or_default().chars().filter(|c| !c.is_control()).take(MESSAGE).collect();
        let own = if own.is_empty() { own } else { format!(": {own}") };
        Trouble::Refused(match status {
            401 if self.web.has_token() => format!(
                "{endpoint} does not accept the token (401){own}; set HF_TOKEN to one that may write to {repo}"
            ),
            401 => format!(
                "{endpoint} asks for a token (401){own}; make one that may write at {endpoint}/settings/tokens and set HF_TOKEN"
            ),
            403 => format!(
                "the token may not write to {repo} (403){own}; give it the right to write, or name an owner that is yours"
            ),
            301..=308 => format!("{repo} has another name now ({status}); look at {}", self.page()),
            404 => format!("there is no {repo} at {endpoint} that this token sees (404){own}"),
            409 | 412 => format!(
                "something else was written there meanwhile ({status}){own}; the same command again sends what is missing"
            ),
            413 => format!(
                "the hub takes nothing so large (413){own}; write the weights in parts or in a smaller type"
            ),
            status => format!("{endpoint} answers {status}{own}"),
        })
    }
}

/// How the requests of large files are called.
const LFS: &str = "application/vnd.git-lfs+json";

/// The JSON of an answer; of any other text, what it says.
fn value(response: &mut Response<Body>) -> Result<Value, Trouble> {
    let told = header(response, "x-error-message").map(String::from);
    let bytes = text(response)?;
    let mut value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    if value.is_null() {
        value = json!({});
    }
    if let (Value::Object(fields), Some(told)) = (&mut value, told) {
        fields.entry("error").or_insert_with(|| told.into());
    }
    Ok(value)
}

fn mode(answer: &Value, upload: &Upload) -> Result<Mode, Trouble> {
    let files = answer["files"].as_array().into_iter().flatten();
    let told = files.into_iter().find(|file| file["path"] == upload.path.as_str());
    let mode = told.and_then(|file| Some((file, file["uploadMode"].as_str()?)));
    match mode {
        Some((file, mode @ ("lfs" | "regular"))) => Ok(Mode {
            // The hub's store takes no empty object.
            is_large: mode == "lfs" && upload.size > 0,
            is_ignored: file["shouldIgnore"] == true,
            present: file["oid"].as_str().map(String::from),
        }),
        _ => Err(Trouble::Refused(format!("the hub does not say how it takes {}", upload.path))),
    }
}

/// Bytes in base64.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_as_the_hub_says_and_an_empty_one_inside_the_commit() {
        let answer = json!({"files": [
            {"path": "a", "uploadMode": "lfs", "shouldIgnore": false, "oid": "12"},
            {"path": "b", "uploadMode": "regular", "shouldIgnore": true},
            {"path": "c", "uploadMode": "by-post"},
        ]});
        let large = mode(&answer, &Upload::made("a", vec![1])).unwrap();
        assert_eq!(large, Mode { is_large: true, is_ignored: false, present: Some("12".into()) });
        assert!(!mode(&answer, &Upload::made("a", Vec::new())).unwrap().is_large);
        let small = mode(&answer, &Upload::made("b", vec![1])).unwrap();
        assert_eq!(small, Mode { is_large: false, is_ignored: true, present: None });
        for unknown in ["c", "d"] {
            assert!(matches!(mode(&answer, &Upload::made(unknown, vec![1])), Err(Trouble::Refused(_))));
        }
        assert_eq!((base64(b"Man"), base64(b"M")), ("TWFu".to_string(), "TQ==".to_string()));
    }

    #[test]
    fn a_mirror_is_asked_where_the_hub_is_named() {
        let mut hub = Hub::new("a/b", Output { json: false, quiet: true, verbose: false });
        hub.web.endpoint = "http://mirror".into();
        for (named, asked) in [
            ("https://huggingface.co/api/complete?x=1", "http://mirror/api/complete?x=1"),
            ("https://huggingface.com/x", "https://huggingface.com/x"),
            ("https://store.example/put", "https://store.example/put"),
        ] {
            assert_eq!(hub.address(named), asked);
        }
    }
}
