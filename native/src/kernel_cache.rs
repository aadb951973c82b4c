//! Compiled kernels and what tuning found, kept on disk: only a card's first run of a shape waits for them.
//!
//! cubecl keeps both in a database that several processes may share. An entry belongs to a device, a driver and a
//! version of cubecl, so that one that no longer fits is never read; a folder that cannot be written costs the waiting only.

use std::path::{Path, PathBuf};

use burn::cubecl::config::cache::CacheConfig;
use burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

use crate::hub::cache::{system_cache, variable};

/// Where Kindling keeps what it can make anew: KINDLING_CACHE, else the system's place for caches; none where there is no home.
fn home() -> Option<PathBuf> {
    let named = variable("KINDLING_CACHE").map(PathBuf::from);
    named.or_else(|| system_cache().map(|cache| cache.join("kindling")))
}

/// The folder of kernels, if there is a place for one.
pub fn folder() -> Option<PathBuf> {
    home().map(|home| home.join("kernels"))
}

/// Has kernels kept from now on: before the first device is opened.
pub fn keep() {
    let Some(folder) = folder() else { return };
    // A cubecl.toml above the working folder, and CUBECL_ variables, still set the rest.
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.environment.path = CacheConfig::Directory(folder);
    config.compilation.cache = true;
    CubeClRuntimeConfig::try_set(config);
}

/// The bytes that a folder's files take.
pub fn size(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_takes_what_its_files_take_and_none_takes_nothing() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(size(&place.path().join("absent")), 0);
        for (name, bytes) in [("kernels.db", 3), ("kernels.db-wal", 4)] {
            std::fs::write(place.path().join(name), vec![0; bytes]).unwrap();
        }
        std::fs::create_dir(place.path().join("folder")).unwrap();
        assert_eq!(size(place.path()), 7);
    }
}
