//! `hub:owner/name` and `ms:owner/name`: models and data sets of the Hugging Face Hub, in the cache that Python's tools
//! share, and of ModelScope, in one of the same layout; and what is written to the hub.
//!
//! `address` reads both, `client` and `modelscope` each speak the protocol of one, and all bytes come through `transfer`.
//! hf-hub knows the hub's addresses and the cache's layout; its own download sends the token to the host that it is
//! redirected to, and checks no length.

mod address;
pub mod cache;
mod client;
mod data_sets;
mod models;
mod modelscope;
mod names;
mod protocol;
mod snapshot;
mod transfer;
mod web;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hf_hub::RepoType;
use kindling::error::Result;

pub use self::address::{Address, Site};
pub use self::data_sets::is_about;
pub use self::models::Want;
pub use self::names::in_query;
pub use self::protocol::{Trouble, header};
use self::snapshot::Snapshot;
pub use self::snapshot::is_offline;
pub use self::web::{STANDARD, Web, text};
use crate::output::Output;

static OUTPUT: OnceLock<Output> = OnceLock::new();

/// Sets how much is said; called once, when the command line is known.
pub fn install(output: Output) {
    let _ = OUTPUT.set(output);
}

fn output() -> Output {
    OUTPUT.get().copied().unwrap_or(Output { json: false, quiet: true, verbose: false })
}

/// Whether this names something on the hub or on ModelScope.
pub fn is_address(text: &str) -> bool {
    Site::split(text).is_some()
}

/// Where a model, a tokenizer or an adapter lies on the disk: a hub's address is fetched, other paths stay.
///
/// # Errors
/// An address that is none, a hub that refuses or cannot be reached, a repository without what is wanted.
pub fn local(path: &Path, want: Want) -> Result<PathBuf> {
    match path.to_str().filter(|text| is_address(text)) {
        Some(text) => {
            let snapshot = Snapshot::open(Address::parse(text)?, RepoType::Model)?;
            let local = models::fetch(&snapshot, want)?;
            snapshot.keep();
            Ok(local)
        }
        None => Ok(path.to_path_buf()),
    }
}

/// The files of a data set, fetched, in the order of their names.
///
/// # Errors
/// As [`local`]; a pattern that matches nothing.
pub fn data_files(text: &str) -> Result<Vec<PathBuf>> {
    let snapshot = Snapshot::open(Address::parse(text)?, RepoType::Dataset)?;
    let files = data_sets::fetch(&snapshot)?;
    snapshot.keep();
    Ok(files)
}

/// Whether a name without `hub:` reads as that of a repository, `owner/name`, as others take it.
pub fn is_repository(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() == 2
        && !is_address(name)
        && parts.iter().all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// What a model is called where others look for it: on the hub, its name there; on ModelScope, its address, which no
/// name on the hub can be; elsewhere, its path, with `./` before one that would read as such a name.
pub fn model_name(path: &Path) -> String {
    let text = path.display().to_string();
    match is_address(&text).then(|| Address::parse(&text)) {
        Some(Ok(address)) if address.site == Site::HuggingFace => address.repo,
        _ if is_repository(&text) => format!("./{text}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_not_taken_for_a_name_on_the_hub() {
        for (given, name, repository) in [
            ("hub:owner/name@main", "owner/name", true),
            ("ms:owner/name", "ms:owner/name", false),
            ("my/model", "./my/model", false),
            ("./my/model", "./my/model", false),
            ("/my/model", "/my/model", false),
            ("model", "model", false),
            ("a/b/c", "a/b/c", false),
        ] {
            assert_eq!(model_name(Path::new(given)), name, "{given}");
            assert_eq!(is_repository(name), repository, "{name}");
        }
    }
}
