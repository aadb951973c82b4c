//! A repository at one commit: asked for once, and the same for all of its files.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hf_hub::{Repo, RepoType};
use kindling::error::{Error, Result};

use super::address::{Address, Site};
use super::cache::{self, Folder};
use super::client::Client;
use super::modelscope::ModelScope;
use super::names::{first_of, is_commit, is_plain};
use super::output;
use super::protocol::{Protocol, Trouble};
use super::transfer::{self, Proof};

/// What a repository holds at one commit.
pub struct Snapshot {
    /// What was asked for.
    pub address: Address,
    /// All of its files, whether they are here or not.
    pub names: BTreeSet<String>,
    commit: String,
    folder: Folder,
    /// Where its files come from, or why they cannot.
    hub: Result<Box<dyn Protocol>, String>,
}

impl Snapshot {
    /// Asks the place which commit the address means, or the cache where that cannot be asked.
    ///
    /// # Errors
    /// A hub that refuses; a hub that cannot be reached, with nothing in the cache.
    pub fn open(address: Address, kind: RepoType) -> Result<Self> {
        let site = address.site;
        let cache = cache::cache(site).ok_or_else(|| {
            let variable = site.cache_variable();
            address.failed(format!("there is no home directory for the cache; set {variable} to a folder"))
        })?;
        let repo = Repo::with_revision(address.repo.clone(), kind, address.revision.clone());
        let folder = Folder::new(cache, repo);
        if is_offline() {
            return Self::cached(address, folder, "HF_HUB_OFFLINE is set".into());
        }
        let client: Box<dyn Protocol> = match site {
            Site::HuggingFace => Box::new(Client::new(&address.repo, kind)),
            Site::ModelScope => Box::new(ModelScope::new(&address.repo, kind)),
        };
        match client.info(&address.revision) {
            Ok(listing) if is_commit(&listing.commit) => {
                let names = plain(listing.names.into_iter(), &address);
                Ok(Self { address, names, commit: listing.commit, folder, hub: Ok(client) })
            }
            Ok(_) => Err(address.failed(format!("{} names no commit for it", client.endpoint()))),
            Err(Trouble::Away(why)) => {
                let why = format!("{} cannot be reached ({why})", client.endpoint());
                Self::cached(address, folder, why)
            }
            Err(Trouble::Refused(why)) => Err(address.failed(why)),
            Err(Trouble::Here(error)) => Err(error),
        }
    }

    fn cached(address: Address, folder: Folder, why: String) -> Result<Self> {
        let place = folder.place().display();
        let Some(commit) = folder.commit() else {
            return Err(address.failed(format!(
                "{why}, and the cache in {place} does not hold it; fetch it once with the network there, or name \
                another hub with {}",
                address.site.endpoint_variable()
            )));
        };
        output().say(&format!("{address}: {why}; what the cache in {place} holds is used"));
        let names = folder.names(&commit);
        Ok(Self { address, names, commit, folder, hub: Err(why) })
    }

    /// Where a file or a folder of the commit is.
    pub fn local(&self, name: &str) -> PathBuf {
        self.folder.file(&self.commit, name)
    }

    /// Fetches those of the files that the cache lacks.
    ///
    /// # Errors
    /// As [`transfer::fetch`], with the address; where there is no hub, the names of what is missing.
    pub fn fetch<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let missing: Vec<&str> = names.into_iter().filter(|name| !self.local(name).is_file()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        match &self.hub {
            Err(why) => {
                let names = first_of(missing);
                Err(self.failed(format!(
                    "{why}, and the cache lacks {names}; fetch it once with the network there"
                )))
            }
            Ok(client) => {
                let commit = &self.commit[..self.commit.len().min(8)];
                let names = first_of(missing.iter().copied());
                output().say(&format!("{}: fetching {names} (commit {commit})", self.address));
                let mut proofs = Vec::new();
                for name in missing {
                    let fetched = transfer::fetch(client.as_ref(), &self.folder, &self.commit, name);
                    let proof = fetched.map_err(|trouble| match trouble {
                        Trouble::Away(why) => self.failed(format!("{}: {why}", client.endpoint())),
                        Trouble::Refused(why) => self.failed(why),
                        Trouble::Here(error) => error,
                    })?;
                    proofs.push((name, proof));
                }
                // Of the hub's small files the name of their contents is no SHA-256, and no listing is passed over.
                if self.address.site == Site::ModelScope
                    && let Some(told) = unproved(&proofs)
                {
                    output().warn(&format!("{}: {told}", self.address));
                }
                Ok(())
            }
        }
    }

    /// Keeps, once all that was asked for is here, which commit this is.
    pub fn keep(&self) {
        if self.hub.is_ok() {
            self.folder.keep(&self.commit, &self.names);
        }
    }

    /// What goes wrong with it.
    pub fn failed(&self, why: impl std::fmt::Display) -> Error {
        self.address.failed(why)
    }
}

/// Which of the files that were fetched nothing but a length vouches for, or nothing at all; `None` where all have a checksum.
fn unproved(proofs: &[(&str, Proof)]) -> Option<String> {
    let with = |wanted: Proof| -> Vec<&str> {
        proofs.iter().filter(|(_, proof)| *proof == wanted).map(|(name, _)| *name).collect()
    };
    let told = |names: Vec<&str>, what: &str| {
        let count = names.len();
        (count > 0).then(|| format!("{count} of {} files came {what}: {}", proofs.len(), first_of(names)))
    };
    let length = told(with(Proof::Length), "without a SHA-256, so that their lengths alone were compared");
    let nothing =
        told(with(Proof::None), "without a SHA-256 and without a length, so that nobody compared them");
    let all: Vec<String> = length.into_iter().chain(nothing).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Whether the environment forbids the network, in the words of Python's tools.
pub fn is_offline() -> bool {
    let value = cache::variable("HF_HUB_OFFLINE").map(|value| value.to_ascii_lowercase());
    value.is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.as_str()))
}

/// The names that stay in their folder; the others are told and left out.
fn plain(names: impl Iterator<Item = String>, address: &Address) -> BTreeSet<String> {
    let (plain, others): (BTreeSet<String>, BTreeSet<String>) = names.partition(|name| is_plain(name));
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(|name| format!("{name:?}")).collect();
        output().warn(&format!(
            "{address}: left out, because their names lead out of the folder: {}",
            first_of(others.iter().map(String::as_str))
        ));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_checksum_are_counted_and_named() {
        assert_eq!(unproved(&[("a", Proof::Sum)]), None);
        let told =
            unproved(&[("a", Proof::Sum), ("b", Proof::Length), ("c", Proof::None), ("d", Proof::Length)]);
        let expected = "2 of 4 files came without a SHA-256, so that their lengths alone were compared: b, d; 1 of 4 files came \
                        without a SHA-256 and without a length, so that nobody compared them: c";
        assert_eq!(told.as_deref(), Some(expected));
    }
}
