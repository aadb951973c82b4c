//! The cache of files from the hub and from ModelScope, laid out as Python's tools lay it out, so that nothing is fetched twice.
//!
//! `blobs/` holds contents under their ETags, `snapshots/COMMIT/` the names that point at them, `refs/` the commit of
//! each revision. Beside these, `.kindling/COMMIT` lists all files of a commit, also those that were not fetched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo};
use kindling::error::Result;

use super::address::Site;
use super::names::{is_commit, is_plain};
use crate::disk::{self, write_synced};
use crate::failure::io_error;

/// An environment variable that is set to something.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_string()).filter(|value| !value.is_empty())
}

/// The system's place for caches; none where it knows no home.
pub fn system_cache() -> Option<PathBuf> {
    let own = variable("XDG_CACHE_HOME").map(PathBuf::from);
    own.or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
}

/// Where Hugging Face's tools keep their things; none where the system knows no home.
fn home() -> Option<PathBuf> {
    variable("HF_HOME").map(PathBuf::from).or_else(|| system_cache().map(|cache| cache.join("huggingface")))
}

/// The cache that the environment names, if there is a place for one.
///
/// ModelScope's own tools keep files by their names alone; beside these, a folder of ours has the hub's layout.
pub fn cache(site: Site) -> Option<Cache> {
    let folder = match site {
        Site::HuggingFace => {
            let named = variable("HF_HUB_CACHE").map(PathBuf::from);
            named.or_else(|| home().map(|home| home.join("hub")))
        }
        Site::ModelScope => {
            let named = variable(site.cache_variable()).map(PathBuf::from);
            let named = named.or_else(|| system_cache().map(|cache| cache.join("modelscope")));
            named.map(|home| home.join("kindling"))
        }
    };
    folder.map(Cache::new)
}

/// The token of the environment, or of the hub's last login. ModelScope's login is kept as Python's pickle, which is not
/// read here.
pub fn token(site: Site) -> Option<String> {
    match site {
        Site::HuggingFace => {
            let named = variable(site.token_variable()).or_else(|| variable("HUGGING_FACE_HUB_TOKEN"));
            named.or_else(|| home().and_then(|home| Cache::new(home.join("hub")).token()))
        }
        Site::ModelScope => variable(site.token_variable()),
    }
}

/// What the cache holds of one repository.
pub struct Folder {
    cache: Cache,
    repo: Repo,
}

impl Folder {
    /// The folder of a repository; it may be absent.
    pub fn new(cache: Cache, repo: Repo) -> Self {
        Self { cache, repo }
    }

    /// Where the cache is.
    pub fn place(&self) -> &Path {
        self.cache.path()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.cache.path().join(self.repo.folder_name()).join(below)
    }

    /// The commit that the revision had when it was last complete, or that it names itself.
    pub fn commit(&self) -> Option<String> {
        let revision = self.repo.revision();
        let stored = fs::read_to_string(self.path("refs").join(revision)).ok();
        let stored = stored.map(|commit| commit.trim().to_string()).filter(|commit| is_commit(commit));
        let named = || is_commit(revision) && self.path("snapshots").join(revision).is_dir();
        stored.or_else(|| named().then(|| revision.to_string()))
    }

    /// All files of a commit: as the hub listed them, or else those that are here.
    pub fn names(&self, commit: &str) -> BTreeSet<String> {
        if let Ok(listed) = fs::read_to_string(self.path(".kindling").join(commit)) {
            return listed.lines().filter(|name| is_plain(name)).map(str::to_string).collect();
        }
        let snapshot = self.file(commit, "");
        let mut names = BTreeSet::new();
        collect(&snapshot, &snapshot, &mut names);
        names
    }

    /// Where a file of a commit is.
    pub fn file(&self, commit: &str, name: &str) -> PathBuf {
        self.cache.repo(self.repo.clone()).pointer_path(commit).join(name)
    }

    /// Where contents are.
    pub fn blob(&self, content: &str) -> PathBuf {
        self.cache.repo(self.repo.clone()).blob_path(content)
    }

    /// Keeps which commit the revision has and what it holds, for the times without a network.
    ///
    /// A cache that cannot be written serves as it is.
    pub fn keep(&self, commit: &str, names: &BTreeSet<String>) {
        let listing = self.path(".kindling").join(commit);
        if !listing.is_file() {
            let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
            let _ = write_synced(&listing, lines.as_bytes());
        }
        if self.commit().as_deref() != Some(commit) {
            let _ = self.cache.repo(self.repo.clone()).create_ref(commit);
        }
    }

    /// Lets a name of a commit point at contents, replacing what it pointed at.
    ///
    /// # Errors
    /// A cache that cannot be written.
    pub fn point(&self, commit: &str, name: &str, content: &str) -> Result<()> {
        let (pointer, blob) = (self.file(commit, name), self.blob(content));
        if let Some(parent) = pointer.parent() {
            fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
        }
        // A pointer may be left whose contents were removed.
        disk::remove(&pointer)?;
        #[cfg(unix)]
        {
            let up = "../".repeat(name.split('/').count() + 1);
            if std::os::unix::fs::symlink(format!("{up}blobs/{content}"), &pointer).is_ok() {
                return Ok(());
            }
        }
        disk::link(&blob, &pointer)
    }
}

/// The names of the files below `directory`, as a repository names them.
fn collect(top: &Path, directory: &Path, names: &mut BTreeSet<String>) {
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(top, &path, names);
        } else if let Some(name) = path.strip_prefix(top).ok().and_then(Path::to_str) {
            names.insert(name.replace(std::path::MAIN_SEPARATOR, "/"));
        }
    }
}
