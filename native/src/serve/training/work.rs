//! A run as the command line that does it, so that it is one like any other, and goes on with `--resume`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::cli::Everywhere;
use crate::hub;

/// A run that is to be done.
pub struct Work {
    /// Its name.
    pub id: String,
    /// Its directory.
    pub out: PathBuf,
    /// The served model that it belongs to, where that is known.
    pub base: Option<String>,
    /// Whether an adapter learns.
    pub adapts: bool,
    /// Whether it begins, and does not go on.
    pub is_new: bool,
    /// Whether the server answers with what it gave before.
    pub answers: bool,
    /// The command line.
    pub words: Vec<OsString>,
}

/// The command line of a new run: settings, model, data.
pub fn begins(
    adapts: bool,
    out: &Path,
    (settings, model): (&Path, &Path),
    data: &[PathBuf],
) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["kindling".into(), verb(adapts).into()];
    let pairs = [("--config", settings), ("--model", model), ("--out", out)];
    let data = data.iter().map(|file| ("--data", file.as_path()));
    for (flag, path) in pairs.into_iter().chain(data) {
        words.push(flag.into());
        words.push(path.into());
    }
    words
}

/// The command line that goes on with one.
pub fn goes_on(verb: &str, out: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["kindling".into()];
    words.extend(verb.split(' ').map(OsString::from));
    let [resume, flag] = ["--resume", "--out"].map(OsString::from);
    words.extend([resume, flag, out.into()]);
    words
}

/// In which type a new run computes; one that goes on keeps its own.
pub fn dtype(everywhere: &Everywhere) -> Vec<OsString> {
    let dtype = everywhere.dtype.to_possible_value();
    dtype.map(|dtype| ["--dtype", dtype.get_name()].map(OsString::from).to_vec()).unwrap_or_default()
}

/// On which device; what would be said on a terminal the page shows.
pub fn everywhere(everywhere: &Everywhere) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        vec!["--quiet".into(), "--device".into(), everywhere.device.to_string().into()];
    words.extend(everywhere.json.then(|| OsString::from("--json")));
    words
}

/// A model's place from wherever it is named: a directory whole, what lies on a hub as it is.
pub fn whole(place: &Path) -> PathBuf {
    match hub::is_address(&place.to_string_lossy()) {
        true => place.to_path_buf(),
        false => std::path::absolute(place).unwrap_or_else(|_| place.to_path_buf()),
    }
}

fn verb(adapts: bool) -> &'static str {
    if adapts { "lora" } else { "sft" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_a_command_line() {
        let [out, settings, model, data] = ["runs/a", "s.toml", "m", "d.jsonl"].map(Path::new);
        let words = begins(true, out, (settings, model), &[data.to_path_buf()]);
        let expected = "kindling lora --config s.toml --model m --out runs/a --data d.jsonl";
        assert_eq!(words, expected.split(' ').map(OsString::from).collect::<Vec<_>>());
        let words = goes_on("dpo --lora", out);
        let expected = "kindling dpo --lora --resume --out runs/a";
        assert_eq!(words, expected.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(whole(Path::new("hub:a/b")), Path::new("hub:a/b"));
        assert!(whole(Path::new("a/b")).is_absolute());
    }
}
