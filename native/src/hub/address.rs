//! What stands behind `hub:` and `ms:`.

use std::fmt;
use std::io;

use kindling::error::{Error, Result};

/// A place that keeps repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The Hugging Face Hub.
    HuggingFace,
    /// ModelScope.
    ModelScope,
}

impl Site {
    const ALL: [Self; 2] = [Self::HuggingFace, Self::ModelScope];

    /// The place that an address begins with, and what stands behind that.
    pub fn split(text: &str) -> Option<(Self, &str)> {
        Self::ALL.into_iter().find_map(|site| Some((site, text.strip_prefix(site.scheme())?)))
    }

    /// How its addresses begin.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::HuggingFace => "hub:",
            Self::ModelScope => "ms:",
        }
    }

    /// The variable that names another one of its kind.
    pub fn endpoint_variable(self) -> &'static str {
        match self {
            Self::HuggingFace => "HF_ENDPOINT",
            Self::ModelScope => "MODELSCOPE_ENDPOINT",
        }
    }

    /// The variable with the token.
    pub fn token_variable(self) -> &'static str {
        match self {
            Self::HuggingFace => "HF_TOKEN",
            Self::ModelScope => "MODELSCOPE_API_TOKEN",
        }
    }

    /// The variable that names the folder of its cache.
    pub fn cache_variable(self) -> &'static str {
        match self {
            Self::HuggingFace => "HF_HOME",
            Self::ModelScope => "MODELSCOPE_CACHE",
        }
    }

    /// What it is called.
    fn name(self) -> &'static str {
        match self {
            Self::HuggingFace => "the hub",
            Self::ModelScope => "ModelScope",
        }
    }

    /// The branch that is meant where none is named.
    fn default_revision(self) -> &'static str {
        match self {
            Self::HuggingFace => "main",
            Self::ModelScope => "master",
        }
    }
}

/// A repository at a revision, and what is meant of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where the repository is kept.
    pub site: Site,
    /// `owner/name`, or the name alone of the hub's oldest models.
    pub repo: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// A file, a folder or, for data, a pattern; empty for all of it.
    pub path: String,
    text: String,
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Address {
    /// Reads `hub:owner/name@revision/path`, or the same behind `ms:`; revision and path may be absent. Of a revision
    /// with slashes, each is written `%2F`; those below `refs/` are known without.
    ///
    /// # Errors
    /// A text that is no address, or leads out of the repository.
    pub fn parse(text: &str) -> Result<Self> {
        let (site, rest) = Site::split(text).unwrap_or((Site::HuggingFace, text));
        let words: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
        let named = if words.len() == 1 || words[0].contains('@') { 1 } else { 2 };
        let (name, mut path) = words.split_at(named);
        let name = name.join("/");
        let (repo, revision) = name.split_once('@').unwrap_or((&name, site.default_revision()));
        let mut revision = revision.replace("%2F", "/").replace("%2f", "/");
        if let ("refs", [kind, number, rest @ ..]) = (revision.as_str(), path) {
            revision = format!("refs/{kind}/{number}");
            path = rest;
        }
        let address = Self { site, repo: repo.into(), revision, path: path.join("/"), text: text.into() };
        match address.is_sound() {
            true => Ok(address),
            false => Err(address.failed(format!(
                "this is no address of {}; write {}owner/name, where needed with @revision and then \
                /path/in/the/repository",
                site.name(),
                site.scheme()
            ))),
        }
    }

    /// What goes wrong with it.
    pub fn failed(&self, why: impl fmt::Display) -> Error {
        Error::Io { path: self.text.clone(), source: io::Error::other(why.to_string()) }
    }

    /// The address of something else in the same repository.
    pub fn beside(&self, path: &str) -> String {
        let revision = match self.revision.as_str() {
            revision if revision == self.site.default_revision() => String::new(),
            refs if refs.starts_with("refs/") => format!("@{refs}"),
            other => format!("@{}", other.replace('/', "%2F")),
        };
        format!("{}{}{revision}/{path}", self.site.scheme(), self.repo)
    }

    fn is_sound(&self) -> bool {
        let name = |word: &str| {
            word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && !word.contains("--")
                && !word.contains("..")
        };
        let revision = |word: &str| {
            word.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c))
                && word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && !word.contains("..")
        };
        let path = |word: &str| {
            !["", ".", ".."].contains(&word) && !word.contains(|c: char| c == '\\' || c.is_control())
        };
        // Only the hub has names without an owner.
        (self.site == Site::HuggingFace || self.repo.contains('/'))
            && self.repo.split('/').all(name)
            && self.revision.split('/').all(revision)
            && (self.path.is_empty() || self.path.split('/').all(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_repository_a_revision_and_a_path() {
        for (text, repo, revision, path) in [
            ("hub:owner/name", "owner/name", "main", ""),
            ("hub:owner/name/", "owner/name", "main", ""),
            ("hub:gpt2", "gpt2", "main", ""),
            ("hub:gpt2@v1/onnx/config.json", "gpt2", "v1", "onnx/config.json"),
            ("hub:owner/name@a1b2c3", "owner/name", "a1b2c3", ""),
            ("hub:owner/name@my%2Fbranch/a/b.jsonl", "owner/name", "my/branch", "a/b.jsonl"),
            (
                "hub:owner/name@refs/convert/parquet/default/train/*",
                "owner/name",
                "refs/convert/parquet",
                "default/train/*",
            ),
            ("hub:owner/name@refs/pr/5", "owner/name", "refs/pr/5", ""),
            ("hub:owner/name/data/train@2-*.parquet", "owner/name", "main", "data/train@2-*.parquet"),
            ("hub:owner/a_b-1.5/训练 1.jsonl", "owner/a_b-1.5", "main", "训练 1.jsonl"),
            ("ms:owner/name", "owner/name", "master", ""),
            ("ms:owner/name@v1.0.0/a/b.jsonl", "owner/name", "v1.0.0", "a/b.jsonl"),
            ("ms:owner/name@main", "owner/name", "main", ""),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (&*address.repo, &*address.revision, &*address.path),
                (repo, revision, path),
                "{text}"
            );
            assert_eq!(address.to_string(), text);
            let beside = Address::parse(&address.beside("x")).unwrap();
            assert_eq!((beside.site, &*beside.revision), (address.site, revision), "{text}");
        }
    }

    #[test]
    fn an_address_of_modelscope_has_an_owner() {
        let error = Address::parse("ms:name").unwrap_err().to_string();
        assert!(
            error.starts_with("ms:name: this is no address of ModelScope; write ms:owner/name"),
            "{error}"
        );
        assert_eq!(Site::split("msowner/name"), None);
        assert_eq!(Site::split("ms:a/b"), Some((Site::ModelScope, "a/b")));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "hub:",
            "hub:/",
            "hub:../name",
            "hub:owner/..",
            "hub:owner//name",
            "hub:own er/name",
            "hub:owner/na--me",
            "hub:owner/name@",
            "hub:owner/name@../x",
            "hub:owner/name@a%2F..%2Fb",
            "hub:owner/name@a?b",
            "hub:owner/name/../x",
            "hub:owner/name/a//b",
            "hub:owner/name/a\\b",
            "hub:https://huggingface.co/owner/name",
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text}: this is no address of the hub; ")), "{error}");
        }
    }
}
