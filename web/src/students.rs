//! Adapters of several people at once: which files belong together and whose they are.

use std::collections::BTreeMap;

/// The file that every adapter has.
const CONFIG: &str = "adapter_config.json";

/// The files of one adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose it is: the name of the archive or of the folder; empty for loose files.
    pub name: String,
    /// Which of the files.
    pub files: Vec<usize>,
}

/// Adapters among files, by their paths: a .zip is one, and so is every folder with an `adapter_config.json`. Then the
/// files that belong to none.
pub fn groups(paths: &[String]) -> (Vec<Group>, Vec<String>) {
    let folder = |path: &str| path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_string());
    let mut folders: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let (mut groups, mut rest) = (Vec::new(), Vec::new());
    for (i, path) in paths.iter().enumerate() {
        let own = own_name(path);
        match own.len().checked_sub(4).and_then(|end| own.split_at_checked(end)) {
            Some((name, ending)) if ending.eq_ignore_ascii_case(".zip") => {
                groups.push(Group { name: name.into(), files: vec![i] });
            }
            _ => folders.entry(folder(path)).or_default().push(i),
        }
    }
    for (folder, files) in folders {
        match files.iter().any(|i| own_name(&paths[*i]) == CONFIG) {
            true => groups.push(Group { name: own_name(&folder).into(), files }),
            false => rest.extend(files.into_iter().map(|i| paths[i].clone())),
        }
    }
    (groups, rest)
}

fn own_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(paths: &[&str]) -> (Vec<(String, Vec<usize>)>, Vec<String>) {
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let (groups, rest) = groups(&paths);
        (groups.into_iter().map(|group| (group.name, group.files)).collect(), rest)
    }

    #[test]
    fn archives_and_folders_are_whose_name_they_have() {
        let (groups, rest) = found(&[
            "mia.zip",
            "class/小明/adapter_config.json",
            "class/小明/adapter_model.safetensors",
            "class/leo.v2.ZIP",
            "class/notes.txt",
            "class/tavi/adapter_model.safetensors",
            "class/tavi/adapter_config.json",
        ]);
        let named = |name: &str, files: &[usize]| (name.to_string(), files.to_vec());
        let expected =
            [named("mia", &[0]), named("leo.v2", &[3]), named("小明", &[1, 2]), named("tavi", &[5, 6])];
        // Folders stand in the order of their names.
        let sorted = |mut groups: Vec<(String, Vec<usize>)>| {
            groups.sort();
            groups
        };
        assert_eq!(sorted(groups), sorted(expected.to_vec()));
        assert_eq!(rest, ["class/notes.txt"]);
    }

    #[test]
    fn loose_files_are_one_adapter_without_a_name() {
        let (groups, rest) = found(&["adapter_config.json", "adapter_model.safetensors"]);
        assert_eq!(groups, [(String::new(), vec![0, 1])]);
        assert_eq!(rest, Vec::<String>::new());
        assert_eq!(found(&["adapter_model.safetensors", ""]).0, []);
    }
}
