//! What holds of the flags of every verb, beside what clap sees to.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Id};

use crate::failure::Failure;

/// Lets `--flag -1` through to the flag's own check, which names the range; clap would take `-1` for a flag.
pub fn with_negative_numbers(command: Command) -> Command {
    let takes_value = |arg: &Arg| arg.get_long().is_some() && arg.get_action().takes_values();
    command
        .mut_args(|arg| {
            let negative = takes_value(&arg);
            arg.allow_negative_numbers(negative)
        })
        .mut_subcommands(with_negative_numbers)
}

/// A flag whose help says more.
pub fn adding(flag: Arg, more: &str) -> Arg {
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    flag.help(format!("{help}; {more}"))
}

/// Refuses a flag that acts only beside another one which is not there. clap asks for no flag that could not stand beside
/// what is there, so that the first would do nothing, and nothing would say so.
///
/// # Errors
/// Names the flag, the one that it needs, and what keeps that away.
pub fn check_requirements(
    command: &Command,
    words: &[OsString],
    matches: &ArgMatches,
) -> Result<(), Failure> {
    let lacks = |of: Option<&Id>| {
        let error = only_requiring(command.clone(), of).try_get_matches_from(words).err()?;
        (error.kind() == ErrorKind::MissingRequiredArgument).then_some(error)
    };
    let Some(error) = lacks(None) else { return Ok(()) };
    let (mut verb, mut said) = (command, matches);
    while let Some((name, inner)) = said.subcommand() {
        let Some(found) = verb.find_subcommand(name) else { break };
        (verb, said) = (found, inner);
    }
    let is_said = |arg: &&Arg| said.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let said: Vec<&Arg> = verb.get_arguments().filter(is_said).collect();
    for flag in &said {
        let needs = lacks(Some(flag.get_id())).and_then(|error| missing(verb, &error));
        let Some(needs) = needs else { continue };
        let apart = |other: &&&Arg| excludes(verb, needs, other) || excludes(verb, other, needs);
        if let Some(other) = said.iter().find(apart) {
            let [flag, needs, other] = [*flag, needs, *other].map(named);
            return Err(Failure::Usage(format!(
                "{flag} acts beside {needs} alone, and {needs} does not go together with {other}; leave out {flag}, or take \
                 {needs} in the place of {other}"
            )));
        }
    }
    Err(error.into())
}

/// A flag as it is typed.
fn named(flag: &Arg) -> String {
    format!("--{}", flag.get_long().unwrap_or_default())
}

/// The command without what excludes each other, in which one flag alone requires others, or every flag does.
fn only_requiring(command: Command, flag: Option<&Id>) -> Command {
    let keeps = |arg: &Arg| flag.is_none_or(|flag| arg.get_id() == flag);
    command
        .mut_args(|arg| {
            let kept = keeps(&arg);
            let arg = arg.conflicts_with(Resettable::Reset);
            if kept { arg } else { arg.requires(Resettable::Reset) }
        })
        .mut_subcommands(|verb| only_requiring(verb, flag))
}

/// The first flag of a verb that an error says is missing.
fn missing<'a>(verb: &'a Command, error: &clap::Error) -> Option<&'a Arg> {
    let Some(ContextValue::Strings(names)) = error.get(ContextKind::InvalidArg) else { return None };
    let long = names.first()?.split(' ').next()?.strip_prefix("--")?;
    verb.get_arguments().find(|arg| arg.get_long() == Some(long))
}

/// Whether a flag says that it does not stand beside another.
fn excludes(verb: &Command, flag: &Arg, other: &Arg) -> bool {
    verb.get_arg_conflicts_with(flag).iter().any(|found| found.get_id() == other.get_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `--deep` needs `--wide`, which excludes `--flat`; `--far` needs `--deep`.
    fn command() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name).action(clap::ArgAction::SetTrue);
        let verb = Command::new("look").args([
            flag("wide"),
            flag("flat").conflicts_with("wide"),
            flag("deep").requires("wide"),
            flag("far").requires("deep"),
            Arg::new("depth").long("depth").default_value("3").requires("wide"),
        ]);
        Command::new("test").subcommand(verb)
    }

    /// What clap, and then this, says of a command line.
    fn told(line: &str) -> (bool, String) {
        let words: Vec<OsString> =
            ["test", "look"].into_iter().chain(line.split_whitespace()).map(Into::into).collect();
        let matches = match command().try_get_matches_from(&words) {
            Ok(matches) => matches,
            Err(error) => return (false, error.to_string()),
        };
        match check_requirements(&command(), &words, &matches) {
            Ok(()) => (true, String::new()),
            Err(Failure::Usage(message)) => (true, message),
            Err(other) => (true, format!("{other:?}")),
        }
    }

    #[test]
    fn a_flag_whose_need_is_kept_away_is_refused() {
        let message = "--deep acts beside --wide alone, and --wide does not go together with --flat; leave out --deep, or \
                       take --wide in the place of --flat";
        assert_eq!(told("--flat --deep"), (true, message.to_string()));
        assert_eq!(told("--flat --deep --far"), (true, message.to_string()));
        let (passes, message) = told("--flat --depth 4");
        assert!(passes && message.starts_with("--depth acts beside --wide alone"), "{message}");
    }

    #[test]
    fn what_stands_together_passes_and_clap_sees_to_the_rest() {
        // A default asks for nothing.
        for line in ["", "--flat", "--wide", "--wide --deep --far", "--wide --depth 2"] {
            assert_eq!(told(line), (true, String::new()), "{line}");
        }
        assert!(!told("--deep").0 && !told("--wide --flat").0 && !told("--flat --far").0);
    }
}
