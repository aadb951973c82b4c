//! The files of this machine and of the hub that `--data` names, as the library finds a task's among them.

use std::path::{Path, PathBuf};

use kindling::evaluate::{NamedFile, Task, TaskFiles};

use crate::failure::Failure;
use crate::{hub, sources};

/// The files of each task in what `--data` and `--shots-data` name.
///
/// # Errors
/// A pattern that matches nothing, a directory that cannot be read, a hub that does not answer.
pub fn find(tasks: &[Task], data: &[String], shots: &[String]) -> Result<Vec<TaskFiles<PathBuf>>, Failure> {
    Ok(TaskFiles::find(tasks, &named(data)?, &named(shots)?))
}

/// A file with the names that tell what it is: below `root` all of them, and its own; of other patterns the last ones.
fn named_file(path: PathBuf, root: &Path) -> NamedFile<PathBuf> {
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    let all: Vec<String> = path.components().map(|part| text(part.as_os_str())).collect();
    let above = match path.strip_prefix(root) {
        Ok(_) => root.components().count().saturating_sub(1),
        Err(_) => all.len().saturating_sub(2),
    };
    let parts = all[above.min(all.len())..].to_vec();
    let name = path.file_name().map(text).unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name).map(text).unwrap_or_default();
    NamedFile::new(path, &name, &folder, parts)
}

/// The files that patterns name; of a data set of the hub all of them.
fn named(patterns: &[String]) -> Result<Vec<NamedFile<PathBuf>>, Failure> {
    let mut files = Vec::new();
    for pattern in patterns {
        let whole = hub::is_address(pattern) && pattern.matches('/').count() == 1;
        let pattern = if whole { format!("{pattern}/**/*") } else { pattern.clone() };
        let found = sources::files(&pattern)?;
        let root = match hub::is_address(&pattern) {
            // What the address names, and not the cache that it lies in, tells what it is.
            true => found.first().and_then(|path| path.parent()).map(Path::to_path_buf).unwrap_or_default(),
            false => PathBuf::from(&pattern),
        };
        for path in found {
            let mut named = named_file(path, &root);
            if hub::is_address(&pattern) {
                named.parts.extend(pattern.split(['/', ':', '@']).map(String::from));
            }
            files.push(named);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_called_by_a_task_tells_it_and_those_above_do_not() {
        let found = |path: &str, root: &str| {
            let file = named_file(PathBuf::from(path), Path::new(root));
            let files = TaskFiles::find(&[Task::Ceval, Task::Piqa], &[file], &[]);
            files.into_iter().filter(|files| !files.is_empty()).map(|files| files.task).collect::<Vec<_>>()
        };
        assert_eq!(found("data/ceval/val/law_val.csv", "data/ceval"), [Task::Ceval]);
        assert_eq!(found("data/ceval/val/law_val.csv", "data"), [Task::Ceval]);
        assert_eq!(found("ceval/piqa/valid.jsonl", "ceval/piqa"), [Task::Piqa]);
        // Of a pattern the file and its folder.
        assert_eq!(found("x/piqa/valid.jsonl", "x/*/valid.jsonl"), [Task::Piqa]);
    }
}
