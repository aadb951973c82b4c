//! `completions`: what a shell needs to complete the command line, and pages of the manual.

use clap::{Args, Command, ValueEnum};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use kindling::error::Error;
use serde_json::json;

use crate::cli::{Everywhere, command};
use crate::failure::Failure;

/// The program's name.
const PROGRAM: &str = "kindling";

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reader {
    /// bash: source it, or put it into ~/.local/share/bash-completion/completions/kindling
    Bash,
    /// zsh: put it as _kindling into a directory of $fpath
    Zsh,
    /// fish: put it into ~/.config/fish/completions/kindling.fish
    Fish,
    /// PowerShell: add it to $PROFILE
    Powershell,
    /// Elvish: add it to rc.elv
    Elvish,
    /// man: a page in roff, for `man -l`
    Man,
}

impl Reader {
    /// The shell; none for man.
    fn shell(self) -> Option<Shell> {
        match self {
            Self::Bash => Some(Shell::Bash),
            Self::Zsh => Some(Shell::Zsh),
            Self::Fish => Some(Shell::Fish),
            Self::Powershell => Some(Shell::PowerShell),
            Self::Elvish => Some(Shell::Elvish),
            Self::Man => None,
        }
    }
}

/// Flags of `completions`.
#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell, or man
    #[arg(value_enum)]
    pub reader: Reader,
    /// Of man, the page of this verb instead of the program's
    #[arg(long)]
    pub verb: Option<String>,
}

/// Runs the verb.
pub fn run(args: &CompletionsArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let text = match (args.reader.shell(), &args.verb) {
        (Some(_), Some(_)) => {
            return Err(Failure::Usage("--verb chooses a page of man; leave it out for a shell".into()));
        }
        (Some(shell), None) => {
            let mut script = Vec::new();
            generate(shell, &mut command(), PROGRAM, &mut script);
            script
        }
        (None, verb) => page(verb.as_deref())?,
    };
    let text = String::from_utf8_lossy(&text);
    let output = everywhere.output();
    output.piece(&text);
    output.json(&json!({"text": text}));
    Ok(())
}

/// A page of the manual.
fn page(verb: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut program = command();
    program.build();
    let shown: Command = match verb {
        None => program,
        Some(verb) => {
            let found = program.find_subcommand(verb).cloned();
            let found = found.ok_or_else(|| {
                Failure::Usage(format!("there is no verb '{verb}'; `{PROGRAM} --help` lists them"))
            })?;
            found.name(format!("{PROGRAM}-{verb}"))
        }
    };
    let mut page = Vec::new();
    let rendered = Man::new(shown).render(&mut page);
    rendered.map_err(|source| Failure::Work(Error::Io { path: "the page".into(), source }))?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_is_told_of_every_verb() {
        for reader in Reader::value_variants() {
            let text = match reader.shell() {
                Some(shell) => {
                    let mut script = Vec::new();
                    generate(shell, &mut command(), PROGRAM, &mut script);
                    script
                }
                None => page(None).unwrap(),
            };
            let text = String::from_utf8(text).unwrap().replace('\\', "");
            for verb in ["pretrain", "quickstart", "runs"] {
                assert!(text.contains(verb), "{reader:?} lacks {verb}");
            }
        }
        let sft = String::from_utf8(page(Some("sft")).unwrap()).unwrap().replace('\\', "");
        assert!(sft.contains("kindling-sft") && sft.contains("--learning-rate"), "{sft}");
        assert!(matches!(page(Some("walk")), Err(Failure::Usage(_))));
    }
}
