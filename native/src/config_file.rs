//! `--config FILE.toml`: every flag can stand in a file; the command line wins.
//!
//! A file's keys become arguments behind the command line's own, so that they are checked by the same parser.

use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use kindling::train::Stage;
use toml::{Table, Value};

use crate::failure::{Failure, io_error};
use crate::run_dir::SETTINGS;
use crate::run_kind::{LORA, RunKind, STAGE};
use crate::tracking::TrackingConfig;

/// Flags that do not belong to a run's settings.
const NOT_SETTINGS: [&str; 10] =
    ["config", "resume", "overwrite", "stop-after", "json", "quiet", "verbose", "device", "help", "version"];

/// Settings that a run may change when it goes on, with those of tracking: nothing that it learns depends on them. Of the
/// data and a teacher the place may change; what it holds is compared when it is read.
const FREE: [&str; 8] =
    ["out", "save-minutes", "shard-optimizer", "data", "process-data", "keep-data", "teacher", "ask"];

/// A verb's flags with those that every verb takes.
struct Flags<'a>(Vec<&'a Arg>);

impl<'a> Flags<'a> {
    fn of(command: &'a Command, verb: &'a Command) -> Self {
        let everywhere = command.get_arguments().filter(|arg| arg.is_global_set());
        Self(verb.get_arguments().chain(everywhere).collect())
    }

    fn find(&self, key: &str) -> Option<&'a Arg> {
        self.0.iter().copied().find(|arg| {
            let others = arg.get_all_aliases().unwrap_or_default();
            name(arg) == key || others.contains(&key)
        })
    }

    /// Those that stand on the command line itself.
    fn said(&self, matches: &ArgMatches) -> Vec<String> {
        let on_line = |id: &str| {
            matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
        };
        self.0.iter().copied().filter(|arg| on_line(arg.get_id().as_str())).map(name).collect()
    }

    /// All values but those of flags that are not settings.
    fn settings(&self, matches: &ArgMatches) -> Table {
        let mut table = Table::new();
        for arg in self.0.iter().filter(|arg| !NOT_SETTINGS.contains(&name(arg).as_str())) {
            let Ok(Some(values)) = matches.try_get_raw(arg.get_id().as_str()) else {
                continue;
            };
            let values: Vec<String> = values.map(|value| value.to_string_lossy().into_owned()).collect();
            let value = match values.as_slice() {
                [one] if !is_list(arg) => scalar(one),
                _ => Value::Array(values.iter().map(|value| scalar(value)).collect()),
            };
            table.insert(name(arg), value);
        }
        table
    }
}

/// Adds the arguments that `--config` and, for `--resume`, the run's own settings bring. `of_adapter` are the flags that
/// act with `--lora` only: of a file they count for nothing where `--lora=false` stands on the command line.
///
/// # Errors
/// A file that cannot be read or belongs to another verb, keys that are not flags, and on `--resume` changed
/// settings by name.
pub fn expand(
    command: &Command,
    mut args: Vec<OsString>,
    of_adapter: &[String],
) -> Result<Vec<OsString>, Failure> {
    // The first reading only finds out what was said; the complete one reports what is wrong.
    let Ok(matches) = command.clone().ignore_errors(true).try_get_matches_from(&args) else {
        return Ok(args);
    };
    let Some((verb, sub)) = matches.subcommand() else {
        return Ok(args);
    };
    let Some(verb) = command.find_subcommand(verb) else {
        return Ok(args);
    };
    let path = |id: &str| sub.try_get_one::<std::path::PathBuf>(id).ok().flatten();
    let flags = Flags::of(command, verb);
    let mut said = flags.said(sub);
    if let Some(file) = path("config") {
        let mut settings = read(file, verb.get_name(), ("--config", file))?;
        let is_lora = sub.try_get_one::<bool>(LORA).ok().flatten().copied();
        if said.iter().any(|said| said == LORA) && is_lora == Some(false) {
            settings.retain(|key, _| !of_adapter.contains(&key.replace('_', "-")));
        }
        append(&mut args, &mut said, &settings, &flags, (verb.get_name(), &file.display().to_string()))?;
    }
    let resumed = sub.try_get_one::<bool>("resume").ok().flatten().copied().unwrap_or(false);
    if let Some(out) = path("out").filter(|_| resumed) {
        let file = out.join(SETTINGS);
        if file.is_file() {
            let settings = read(&file, verb.get_name(), ("--resume --out", out))?;
            refuse_changes(command, &args, &settings, &flags)?;
            append(&mut args, &mut said, &settings, &flags, (verb.get_name(), &file.display().to_string()))?;
        }
    }
    Ok(args)
}

/// Refuses a command line of a stage of a chain whose flags are others than the settings of the run in `out`.
///
/// # Errors
/// What is another now, by name; settings that cannot be read or belong to another verb.
pub fn refuse_changed(command: &Command, args: &[OsString], out: &Path) -> Result<(), Failure> {
    let matches = command.clone().try_get_matches_from(args)?;
    let Some(verb) = matches.subcommand_name().and_then(|verb| command.find_subcommand(verb)) else {
        return Ok(());
    };
    let settings = read(&out.join(SETTINGS), verb.get_name(), ("--out", out))?;
    let changes = changes(command, args, &settings, &Flags::of(command, verb));
    match changes.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "the stage was begun with other settings: {}; set them back, give the stage another name, or begin the chain again \
             with --overwrite",
            changes.join(", ")
        ))),
    }
}

/// Adds the settings of a table that were not said, and tells which ones those are; `source` is what brought the table.
///
/// # Errors
/// Keys that are no flags of the verb.
pub fn add(
    command: &Command,
    args: &mut Vec<OsString>,
    table: &Table,
    source: &str,
) -> Result<Vec<String>, Failure> {
    let Ok(matches) = command.clone().ignore_errors(true).try_get_matches_from(&*args) else {
        return Ok(Vec::new());
    };
    let Some((verb, sub)) = matches.subcommand() else {
        return Ok(Vec::new());
    };
    let Some(verb) = command.find_subcommand(verb) else {
        return Ok(Vec::new());
    };
    let flags = Flags::of(command, verb);
    let before = flags.said(sub);
    let mut said = before.clone();
    append(args, &mut said, table, &flags, (verb.get_name(), source))?;
    Ok(said.split_off(before.len()))
}

/// The settings of a complete command line and its verb, to be kept with the run, and the flags that were said.
pub fn settings_of(command: &Command, args: &[OsString]) -> Option<(Table, Vec<String>)> {
    let matches = command.clone().ignore_errors(true).try_get_matches_from(args).ok()?;
    let (verb, sub) = matches.subcommand()?;
    let flags = Flags::of(command, command.find_subcommand(verb)?);
    let mut settings = flags.settings(sub);
    let stage = RunKind::of_verb(verb).map_or(verb, |kind| kind.stage.name());
    settings.insert(STAGE.to_string(), stage.into());
    Some((settings, flags.said(sub)))
}

/// The flags in a file; `said` is how the command line named it, for a file that belongs to another verb. `lora` is
/// `sft --lora`, and its settings belong to both.
fn read(path: &Path, verb: &str, said: (&str, &Path)) -> Result<Table, Failure> {
    let content = std::fs::read_to_string(path).map_err(|e| Failure::Work(io_error(path, e)))?;
    let parsed = content.parse::<Table>();
    let mut settings =
        parsed.map_err(|e| Failure::Usage(format!("{}: not a TOML file: {e}", path.display())))?;
    let (own, asked) = (RunKind::of_settings(&settings, verb), RunKind::of_verb(verb));
    let stage = settings.remove(STAGE).map_or(verb.to_string(), |stage| text(&stage));
    let belongs = match (own, asked) {
        (Some(own), Some(asked)) => own.stage == asked.stage && (own.adapts || !asked.adapts),
        _ => stage == verb,
    };
    if !belongs {
        let (own, flag, place) = (own.map_or(stage, RunKind::command), said.0, said.1.display());
        return Err(Failure::Usage(format!(
            "{place} holds settings of `{own}`, not of `{verb}`; use `kindling {own} {flag} {place}`"
        )));
    }
    if own.is_some_and(|own| own.adapts) {
        settings.insert(LORA.to_string(), true.into());
    }
    Ok(settings)
}

fn append(
    args: &mut Vec<OsString>,
    said: &mut Vec<String>,
    table: &Table,
    flags: &Flags,
    (verb, file): (&str, &str),
) -> Result<(), Failure> {
    let unknown: Vec<_> =
        table.keys().map(|key| key.replace('_', "-")).filter(|key| flags.find(key).is_none()).collect();
    if !unknown.is_empty() {
        return Err(Failure::Usage(format!(
            "{file}: `{verb}` has no flag named {}; `kindling {verb} --help` lists them",
            unknown.join(", ")
        )));
    }
    for (key, value) in table {
        let key = key.replace('_', "-");
        if said.contains(&key) {
            continue;
        }
        let arg = flags.find(&key);
        let values: Vec<String> = match value {
            Value::Array(values) if arg.is_some_and(is_list) => values.iter().map(text).collect(),
            // One value with commas inside, as a range has them.
            Value::Array(values) => vec![values.iter().map(text).collect::<Vec<_>>().join(",")],
            value => vec![text(value)],
        };
        let flag = arg.is_some_and(|arg| !arg.get_action().takes_values());
        for value in values {
            match flag {
                true if value == "true" => args.push(format!("--{key}").into()),
                true => {}
                false => args.push(format!("--{key}={value}").into()),
            }
        }
        said.push(key);
    }
    Ok(())
}

/// A resumed run keeps its settings: what the command line says must agree with them.
fn refuse_changes(
    command: &Command,
    args: &[OsString],
    settings: &Table,
    flags: &Flags,
) -> Result<(), Failure> {
    let changes = changes(command, args, settings, flags);
    match changes.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "--resume goes on with the run's own settings, but {}; leave these flags out, or begin a new run",
            changes.join(", ")
        ))),
    }
}

/// What a command line says otherwise than the settings of a run, each flag with both values.
fn changes(command: &Command, args: &[OsString], settings: &Table, flags: &Flags) -> Vec<String> {
    let Ok(matches) = command.clone().ignore_errors(true).try_get_matches_from(args) else {
        return Vec::new();
    };
    let Some((verb, sub)) = matches.subcommand() else {
        return Vec::new();
    };
    let (said, now) = (flags.said(sub), flags.settings(sub));
    // An adapter knows its model by a fingerprint of the weights, wherever they lie, and so does what is compared with it.
    let adapts = settings.get(LORA).is_some_and(|lora| text(lora) == "true");
    let reopens = adapts || [Stage::Dpo, Stage::Grpo].iter().any(|stage| stage.name() == verb);
    let tracking = TrackingConfig::flags();
    let free = |key: &str| {
        FREE.contains(&key) || tracking.iter().any(|flag| flag == key) || (reopens && key == "model")
    };
    // A value may have had another name: `--dedup` was a mere flag.
    let is_alias = |key: &str, one: &Value, other: &Value| {
        let known = flags.find(key).map(Arg::get_possible_values).unwrap_or_default();
        known.iter().any(|known| [one, other].iter().all(|value| known.matches(&text(value), false)))
    };
    let mut changes = Vec::new();
    for (key, value) in now.iter().filter(|(key, _)| said.contains(key) && !free(key)) {
        if !settings.get(key).is_some_and(|before| same(before, value) || is_alias(key, before, value)) {
            let before = settings.get(key).map_or("nothing".to_string(), text);
            changes.push(format!("--{key} is {} now and was {before}", text(value)));
        }
    }
    changes
}

fn name(arg: &Arg) -> String {
    arg.get_long().unwrap_or(arg.get_id().as_str()).to_string()
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), clap::ArgAction::Append)
}

/// Equal as numbers where both are, so that `1e-3` is `0.001`.
fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| text(value).parse::<f64>().ok();
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => text(a) == text(b),
    }
}

/// TOML types where they lose nothing, text elsewhere.
fn scalar(text: &str) -> Value {
    if let Ok(flag) = text.parse() {
        return Value::Boolean(flag);
    }
    if let Ok(number) = text.parse() {
        return Value::Integer(number);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Value::Float(number),
        _ => Value::String(text.to_string()),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
