//! The file of a chain: `[[stage]]` tables, each a verb with its flags.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::chain::{Link, TOKENIZER};
use crate::cli::command;
use crate::config_file::add;
use crate::failure::Failure;
use crate::run_kind::{RunKind, STAGE};
use crate::written::step_of;

/// Keys of a stage that are no flags.
const VERB: &str = "verb";
const CALLED: &str = "name";
/// Flags that may name a stage.
const NAMING: [&str; 3] = ["model", "teacher", "tokenizer"];
/// Flags that belong to the whole chain.
const OF_CHAIN: [&str; 9] =
    ["out", "resume", "overwrite", "config", "json", "quiet", "verbose", "device", "dtype"];
/// Names that a run's own files have.
const TAKEN: [&str; 3] = ["training", "best", "log.jsonl"];

/// What a file holds.
#[derive(Debug)]
pub struct Chain {
    /// The directory of all stages, where it is named.
    pub out: Option<PathBuf>,
    stages: Vec<Stage>,
}

/// A stage as it stands in the file.
#[derive(Debug)]
struct Stage {
    name: String,
    verb: String,
    flags: Table,
}

impl Chain {
    /// Reads a file.
    ///
    /// # Errors
    /// What cannot be, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut table = text.parse::<Table>().map_err(|e| format!("not a TOML file: {e}"))?;
        let out = match table.remove("out") {
            None => None,
            Some(Value::String(out)) => Some(PathBuf::from(out)),
            Some(other) => return Err(format!("out is {other}; it is a path in quotes")),
        };
        let Some(Value::Array(stages)) = table.remove(STAGE) else {
            return Err(format!("there are no [[{STAGE}]] tables in it"));
        };
        if let Some(key) = table.keys().next() {
            return Err(format!("nothing reads {key}; beside [[{STAGE}]] a file holds `out` alone"));
        }
        let stages: Vec<Stage> = stages.into_iter().enumerate().map(Stage::read).collect::<Result<_, _>>()?;
        let twice = |(i, stage): &(usize, &Stage)| stages[..*i].iter().any(|other| other.name == stage.name);
        match stages.iter().enumerate().find(twice) {
            Some((_, Stage { name, .. })) => {
                Err(format!("two stages are called '{name}'; give one of them another {CALLED}"))
            }
            None => Ok(Self { out, stages }),
        }
    }

    /// The stages as command lines, all of which hold.
    ///
    /// # Errors
    /// The first flag that does not, with its stage.
    pub fn links(&self, directory: &Path) -> Result<Vec<Link>, Failure> {
        (0..self.stages.len()).map(|number| self.link(number, directory)).collect()
    }

    fn link(&self, number: usize, directory: &Path) -> Result<Link, Failure> {
        let stage = &self.stages[number];
        let words = self.words(number, directory)?;
        let out = directory.join(&stage.name);
        let line: Vec<OsString> = [OsString::from("kindling")]
            .into_iter()
            .chain(words.clone())
            .chain(["--out".into(), out.clone().into()])
            .collect();
        command().try_get_matches_from(line).map_err(|error| {
            let why = error.to_string();
            let why = why.strip_prefix("error: ").unwrap_or(&why);
            Failure::Usage(format!(
                "stage '{}': {}",
                stage.name,
                why.split("\n\n").next().unwrap_or(why).trim()
            ))
        })?;
        Ok(Link { name: stage.name.clone(), words, out, overwrites: false })
    }

    fn words(&self, number: usize, directory: &Path) -> Result<Vec<OsString>, Failure> {
        let stage = &self.stages[number];
        let flags = self.with_stages_before(number, directory);
        if stage.is_tokenizer() {
            let own = flags.iter().flat_map(|(key, value)| plain_words(key, value));
            return Ok(TOKENIZER.iter().map(OsString::from).chain(own).collect());
        }
        let mut line: Vec<OsString> = vec!["kindling".into(), stage.verb.as_str().into()];
        add(&command(), &mut line, &flags, &format!("stage '{}'", stage.name))?;
        Ok(line.split_off(1))
    }

    /// A stage's flags, with directories in the place of stages' names, and with the tokenizer and the model of those
    /// before it where it names none.
    fn with_stages_before(&self, number: usize, directory: &Path) -> Table {
        let (stage, before) = (&self.stages[number], &self.stages[..number]);
        let place = |name: &str| Value::String(directory.join(name).display().to_string());
        let mut flags = stage.flags.clone();
        for flag in NAMING {
            let Some(Value::String(name)) = flags.get(flag).cloned() else { continue };
            if before.iter().any(|other| other.name == name) {
                flags.insert(flag.to_string(), place(&name));
            }
        }
        let has =
            |flag: &str| stage.flags.contains_key(flag) || stage.flags.contains_key(&flag.replace('-', "_"));
        if stage.is_tokenizer() || has("model") {
            return flags;
        }
        let is_new = stage.verb == "pretrain" || has("preset") || has("model-config");
        let (flag, taken) = match is_new {
            true => ("tokenizer", before.iter().rfind(|other| other.is_tokenizer())),
            false => ("model", before.iter().rfind(|other| other.makes_model())),
        };
        if let Some(other) = taken.filter(|_| !has(flag)) {
            flags.insert(flag.to_string(), place(&other.name));
        }
        flags
    }
}

impl Stage {
    fn read((number, table): (usize, Value)) -> Result<Self, String> {
        let at = format!("[[{STAGE}]] number {}", number + 1);
        let Value::Table(mut flags) = table else { return Err(format!("{at} is no table")) };
        let verb = match flags.remove(VERB) {
            Some(Value::String(verb)) => verb,
            _ => return Err(format!("{at} has no {VERB}; it is one of {}", verbs().join(", "))),
        };
        if !verbs().contains(&verb) {
            return Err(format!("{at}: `{verb}` is no stage; known are {}", verbs().join(", ")));
        }
        let name = match flags.remove(CALLED) {
            None => verb.split(' ').next().unwrap_or_default().to_string(),
            Some(Value::String(name)) => name,
            Some(other) => return Err(format!("{at}: {CALLED} is {other}; it is a word in quotes")),
        };
        let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
        if !is_plain || TAKEN.contains(&name.as_str()) || step_of(&name).is_some() {
            return Err(format!(
                "{at}: {CALLED} '{name}' cannot be a stage's directory; choose another word"
            ));
        }
        let foreign = flags.keys().find(|key| OF_CHAIN.contains(&key.replace('_', "-").as_str()));
        if let Some(key) = foreign {
            return Err(format!(
                "stage '{name}': {key} belongs to the whole chain; say it of `kindling run`"
            ));
        }
        Ok(Self { name, verb, flags })
    }

    fn is_tokenizer(&self) -> bool {
        self.verb == TOKENIZER.join(" ")
    }

    /// Whether it makes a whole model, and no adapter.
    fn makes_model(&self) -> bool {
        !self.is_tokenizer() && RunKind::of_settings(&self.flags, &self.verb).is_some_and(|kind| !kind.adapts)
    }
}

/// What a stage may be.
fn verbs() -> Vec<String> {
    let verbs = RunKind::verbs().map(|(verb, _)| verb.to_string());
    [TOKENIZER.join(" ")].into_iter().chain(verbs).collect()
}

/// A flag of a verb of which truth values are switches.
fn plain_words(key: &str, value: &Value) -> Vec<OsString> {
    let flag = format!("--{}", key.replace('_', "-"));
    match value {
        Value::Boolean(true) => vec![flag.into()],
        Value::Boolean(false) => Vec::new(),
        Value::Array(values) => values.iter().flat_map(|value| plain_words(key, value)).collect(),
        Value::String(text) => vec![format!("{flag}={text}").into()],
        other => vec![format!("{flag}={other}").into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
out = "there"
[[stage]]
verb = "tokenizer train"
data = ["a.jsonl", "b.jsonl"]
single_digits = true
single-han = false
[[stage]]
verb = "pretrain"
preset = "nano"
data = ["a.jsonl"]
[[stage]]
verb = "sft"
name = "talk"
data = ["c.jsonl"]
epochs = 3
[[stage]]
verb = "lora"
data = ["d.jsonl"]
[[stage]]
verb = "dpo"
data = ["e.jsonl"]
length-normalise = true
[[stage]]
verb = "distill"
data = ["c.jsonl"]
model = "pretrain"
teacher = "talk"
"#;

    #[test]
    fn stages_become_command_lines_that_take_those_before() {
        let chain = Chain::read(FILE).unwrap();
        assert_eq!(chain.out.as_deref(), Some(Path::new("there")));
        let links = chain.links(Path::new("o")).unwrap();
        let lines: Vec<String> = links
            .iter()
            .map(|link| {
                let words: Vec<_> = link.words.iter().map(|word| word.to_string_lossy()).collect();
                format!("{}: {}", link.name, words.join(" "))
            })
            .collect();
        assert_eq!(
            lines,
            [
                "tokenizer: tokenizer train --data=a.jsonl --data=b.jsonl --single-digits",
                "pretrain: pretrain --data=a.jsonl --preset=nano --tokenizer=o/tokenizer",
                "talk: sft --data=c.jsonl --epochs=3 --model=o/pretrain",
                "lora: lora --data=d.jsonl --model=o/talk",
                // The adapter is no whole model.
                "dpo: dpo --data=e.jsonl --length-normalise --model=o/talk",
                "distill: distill --data=c.jsonl --model=o/pretrain --teacher=o/talk",
            ]
        );
    }

    #[test]
    fn what_a_file_cannot_hold_is_named() {
        for (text, part) in [
            ("x = ", "not a TOML file"),
            ("", "there are no [[stage]] tables"),
            ("stage = 3", "there are no [[stage]] tables"),
            ("y = 1\n[[stage]]\nverb = \"sft\"", "nothing reads y"),
            ("out = 3\n[[stage]]\nverb = \"sft\"", "out is 3"),
            (
                "[[stage]]\ndata = \"x\"",
                "[[stage]] number 1 has no verb; it is one of tokenizer train, pretrain",
            ),
            ("[[stage]]\nverb = \"chat\"", "`chat` is no stage"),
            ("[[stage]]\nverb = \"sft\"\nname = \"../x\"", "name '../x' cannot be"),
            ("[[stage]]\nverb = \"sft\"\nname = \"checkpoint-000001\"", "cannot be a stage's directory"),
            ("[[stage]]\nverb = \"sft\"\nout = \"x\"", "stage 'sft': out belongs to the whole chain"),
            ("[[stage]]\nverb = \"sft\"\n[[stage]]\nverb = \"sft\"", "two stages are called 'sft'"),
        ] {
            let why = Chain::read(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        for (text, part) in [
            ("[[stage]]\nverb = \"sft\"\nepoch = 3", "stage 'sft': `sft` has no flag named epoch"),
            ("[[stage]]\nverb = \"sft\"\nepochs = \"many\"", "stage 'sft': invalid value 'many'"),
            (
                "[[stage]]\nverb = \"tokenizer train\"\nepochs = 3",
                "stage 'tokenizer': unexpected argument '--epochs'",
            ),
        ] {
            let Err(Failure::Usage(why)) = Chain::read(text).unwrap().links(Path::new("o")) else {
                panic!("{text}")
            };
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
