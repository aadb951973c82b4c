//! The directory of `--train`: each run in a directory of its own, and below `.rows` what was sent for each.

use std::path::{Path, PathBuf};

use kindling::error::Result;

use super::messages::run::SavedRun;
use super::messages::told::Told;
use crate::disk::{discard, remove, write_synced};
use crate::failure::io_error;
use crate::run_dir::{self, RunDir, is_run};
use crate::run_kind::RunKind;
use crate::run_lock::RunLock;
use crate::runs::{FoundRun, State};

/// Most bytes of a run's name.
const LONGEST: usize = 64;
/// What a run is called that has no name of its own.
const UNNAMED: &str = "run";
/// Where rows lie; no run is called so.
const ROWS: &str = ".rows";
/// The settings that were sent.
const SETTINGS: &str = "settings.toml";

/// Where runs are kept.
#[derive(Clone, Debug)]
pub struct Shelf {
    path: PathBuf,
}

impl Shelf {
    /// The directory of this path, which is made where there is none.
    ///
    /// # Errors
    /// A directory that cannot be made or read.
    pub fn open(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| io_error(path, e))?;
        let path = std::path::absolute(path).map_err(|e| io_error(path, e))?;
        std::fs::read_dir(&path).map_err(|e| io_error(&path, e))?;
        Ok(Self { path })
    }

    /// The directory of a run.
    pub fn run(&self, id: &str) -> PathBuf {
        self.path.join(id)
    }

    fn rows(&self, id: &str) -> PathBuf {
        self.path.join(ROWS).join(id)
    }

    /// A name after the one that is wished for which no run has, nor anything that is `taken`.
    pub fn free_name(&self, wished: &str, taken: &[String]) -> String {
        let own = name_of(wished);
        let own = if own.is_empty() { UNNAMED.to_string() } else { own };
        let is_free =
            |name: &String| !taken.contains(name) && !self.run(name).exists() && !self.rows(name).exists();
        let numbered = (2_u64..).map(|n| format!("{own}-{n}"));
        std::iter::once(own.clone()).chain(numbered).find(is_free).unwrap_or_default()
    }

    /// Writes what was sent for a run; gives where the settings and the files are.
    ///
    /// # Errors
    /// A disk that is full or cannot be written; then nothing of it stays.
    pub fn keep(
        &self,
        id: &str,
        files: &[(String, String)],
        settings: &str,
    ) -> Result<(PathBuf, Vec<PathBuf>)> {
        let rows = self.rows(id);
        let write = |name: &str, text: &str| {
            let path = rows.join(name);
            write_synced(&path, text.as_bytes()).map(|()| path)
        };
        let kept = write(SETTINGS, settings).and_then(|settings| {
            let files: Result<_> = files.iter().map(|(name, text)| write(name, text)).collect();
            Ok((settings, files?))
        });
        if kept.is_err() {
            let _ = remove(&rows);
        }
        kept
    }

    /// Lets go of a new run that was never saved, which has nothing to go on from.
    ///
    /// # Errors
    /// What cannot be removed, and what cannot be read: that may hold saves, and stays.
    pub fn forget_unsaved(&self, id: &str) -> Result<()> {
        let run = self.run(id);
        if run.exists() {
            // Another process may have begun in its place, and have no save yet.
            let Ok(_lock) = RunLock::take(&run) else { return Ok(()) };
            let is_run = run.join(run_dir::SETTINGS).try_exists().map_err(|e| io_error(&run, e))?;
            if is_run && !RunDir::open(&run, 1)?.newest_first()?.is_empty() {
                return Ok(());
            }
            discard(&run)?;
        }
        remove(&self.rows(id))
    }

    /// A run by its name; none of what is no name.
    pub fn find(&self, id: &str) -> Option<FoundRun> {
        self.place(id).map(|path| FoundRun::open(&path))
    }

    /// Where a run lies, which is not read; none of what is no name.
    pub fn place(&self, id: &str) -> Option<PathBuf> {
        let path = self.run(id);
        (is_name(id) && is_run(&path)).then_some(path)
    }

    /// The runs, by their names.
    pub fn list(&self) -> Vec<SavedRun> {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut found: Vec<SavedRun> =
            names.filter_map(|name| self.find(&name).map(|found| saved(&name, &found))).collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }
}

/// A run as the page lists it.
fn saved(name: &str, found: &FoundRun) -> SavedRun {
    let kind = RunKind::of_settings(&found.settings, "");
    let model = found.text("model").map(Path::new).and_then(Path::file_name);
    let damaged = match &found.state {
        State::Damaged(why) => {
            vec![Told { code: "other".into(), values: serde_json::Map::new(), message: why.clone() }]
        }
        _ => Vec::new(),
    };
    SavedRun {
        id: name.into(),
        stage: kind.map(|kind| kind.stage.into()),
        adapter: found.adapts(),
        name: name.into(),
        model: model.map(|model| model.to_string_lossy().into_owned()).unwrap_or_default(),
        step: found.history.step as f64,
        total_steps: found.total_steps.unwrap_or(0) as f64,
        damaged,
    }
}

/// What of a text can be the name of a directory that leads nowhere else.
pub fn name_of(text: &str) -> String {
    let mut name = String::new();
    for c in text.trim().chars() {
        let c = if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        if name.len() + c.len_utf8() > LONGEST {
            break;
        }
        name.push(c);
    }
    name.trim_matches(['.', '-']).to_string()
}

/// Whether a text is such a name; those with a number behind them are longer.
fn is_name(text: &str) -> bool {
    let sound = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    let ends = text.starts_with(['.', '-']) || text.ends_with(['.', '-']);
    !text.is_empty() && text.len() <= 2 * LONGEST && !ends && text.chars().all(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_nowhere_else() {
        for (text, name) in [
            ("lamps", "lamps"),
            (" my lamps ", "my-lamps"),
            ("小岛", "小岛"),
            ("../../etc/passwd", "etc-passwd"),
            ("..", ""),
            ("", ""),
            ("C:\\x", "C--x"),
            ("a\0b", "a-b"),
        ] {
            assert_eq!(name_of(text), name, "{text}");
            assert!(name.is_empty() || is_name(name), "{name}");
        }
        assert_eq!(name_of(&"灯".repeat(100)).len(), 63);
        for text in ["", ".", "..", ".rows", "a/b", "a\\b", "../a", "a\0", "a:b"] {
            assert!(!is_name(text), "{text}");
        }
        assert!(!is_name(&"a".repeat(200)));
    }

    #[test]
    fn what_is_sent_is_kept_beside_the_runs_and_names_are_used_once() {
        let place = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(&place.path().join("runs")).unwrap();
        assert_eq!(shelf.free_name("../my lamps", &[]), "my-lamps");
        assert_eq!(shelf.free_name("..", &["run".into(), "run-2".into()]), "run-3");
        let files = [("rows.jsonl".to_string(), "{}\n".to_string())];
        let (settings, kept) = shelf.keep("lamps", &files, "steps = 3\n").unwrap();
        assert_eq!(std::fs::read_to_string(&settings).unwrap(), "steps = 3\n");
        assert_eq!(std::fs::read_to_string(&kept[0]).unwrap(), "{}\n");
        assert!(kept[0].starts_with(place.path().join("runs/.rows/lamps")), "{kept:?}");
        assert_eq!(shelf.free_name("lamps", &[]), "lamps-2");
        assert!(shelf.list().is_empty() && shelf.find("lamps").is_none());
        shelf.forget_unsaved("lamps").unwrap();
        assert_eq!(shelf.free_name("lamps", &[]), "lamps");
    }

    #[test]
    fn only_a_run_that_has_no_save_for_certain_is_let_go_of() {
        let place = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(place.path()).unwrap();
        let run = shelf.run("lamps");
        let list = run.join("training/files.json");
        shelf.keep("lamps", &[], "").unwrap();
        write_synced(&run.join(run_dir::SETTINGS), b"").unwrap();
        let lock = RunLock::take(&run).unwrap();
        shelf.forget_unsaved("lamps").unwrap();
        assert!(run.exists() && shelf.rows("lamps").exists(), "another process writes into it");
        drop(lock);
        std::fs::create_dir_all(&list).unwrap();
        assert!(shelf.forget_unsaved("lamps").is_err(), "what is there cannot be read");
        std::fs::remove_dir(&list).unwrap();
        let save = run.join("checkpoint-000003");
        std::fs::create_dir(&save).unwrap();
        shelf.forget_unsaved("lamps").unwrap();
        assert!(save.exists() && shelf.rows("lamps").exists(), "it has a save");
        std::fs::remove_dir(&save).unwrap();
        shelf.forget_unsaved("lamps").unwrap();
        assert!(!run.exists() && !shelf.rows("lamps").exists());
    }
}
