//! `quickstart`: every stage in a few minutes, each from the one before, ending in a table and a conversation.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use kindling::model::preset;
use kindling::platform::now;
use serde_json::json;

use super::quickstart_report::{Summary, Sums, ask, show};
use super::quickstart_rows::{Rows, StageRows, generate, generated_files, own};
use crate::chain::{Link, TOKENIZER, kept_tracking, tokenizer_files};
use crate::cli::{Everywhere, Invocation};
use crate::failure::Failure;
use crate::output::{Output, duration};
use crate::ranks;
use crate::run_dir::{Existing, RunDir, SETTINGS, refuse_inside};
use crate::shell_word::path_word;
use crate::tracking::{Standing, TrackingConfig};

/// Its name, as runs are called.
const NAME: &str = "quickstart";
/// Where its tokenizer lies.
const TOKENS: &str = "tokenizer";
/// Rows that are enough to learn a tokenizer and a model from.
const FEWEST: u64 = 4;
/// Rows that are no quick start any more.
const MOST: u64 = 1_000_000;

/// A stage of the quickstart.
pub struct Stage {
    /// Its verb, which is the name of its rows and of its directory, too.
    pub verb: &'static str,
    /// The stages of which the first that is there gives its model; none for a new model.
    pub from: &'static [&'static str],
    /// Passes over its rows.
    pub epochs: &'static str,
    /// Its other flags.
    pub flags: &'static [&'static str],
    /// Whether rows of fine-tuning are mixed in, so that they are kept.
    pub keeps: bool,
}

/// All of them, in their order, with settings for the smallest model and a thousand rows.
pub const STAGES: &[Stage] = &[
    Stage {
        verb: "pretrain",
        from: &[],
        epochs: "6",
        flags: &[
            "--batch-size=4",
            "--learning-rate=0.003",
            "--max-seq-len=128",
            "--packing=true",
            "--val-split=0.1",
        ],
        keeps: false,
    },
    Stage {
        verb: "sft",
        from: &["pretrain"],
        epochs: "4",
        flags: &["--batch-size=4", "--learning-rate=0.0015", "--max-seq-len=320", "--val-split=0.1"],
        keeps: false,
    },
    Stage {
        verb: "dpo",
        from: &["sft"],
        epochs: "1",
        flags: &["--batch-size=4", "--learning-rate=0.00002", "--max-seq-len=512", "--val-split=0.1"],
        keeps: false,
    },
    Stage { verb: "lora", from: &["dpo", "sft"], epochs: "40", flags: &["--max-seq-len=320"], keeps: true },
    Stage {
        verb: "reason",
        from: &["dpo", "sft"],
        epochs: "2",
        flags: &["--batch-size=4", "--learning-rate=0.0005", "--max-seq-len=320", "--val-split=0.1"],
        keeps: false,
    },
];

/// What it takes, below its flags.
pub const TIMES: &str = "\
It ends in a table with the steps, the time, the losses and the measures of each stage, and the time of all of them; the same \
questions asked of each model; and the command that reckons what another size would take for as many tokens: `kindling plan \
--preset NAME --tokens N`. With a thousand rows, nano takes about five minutes of one core of a server's processor; steps and \
time grow with --rows. Ctrl-C stops it, and --resume goes on.";

/// Flags of `quickstart`.
#[derive(Args)]
pub struct QuickstartArgs {
    /// Rows of your own: a file of conversations, or a directory with pretrain, sft, dpo, lora and reason files of any format
    /// in it, of which all but sft may be absent [default: the generated world]
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Rows of each stage, at most
    #[arg(long, default_value_t = 1000)]
    pub rows: u64,
    /// Optimizer steps of each stage, in the place of passes over its rows
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// The model's published size, such as nano, micro or minimind2-small (any other word lists all)
    #[arg(long, default_value = "nano")]
    pub preset: String,
    /// Token ids of its tokenizer, special tokens and the 256 bytes included
    #[arg(long, default_value_t = 2048)]
    pub vocab_size: usize,
    /// Seed of initial weights and order
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Ask this at the end, one question after another (repeatable) [default: questions of the generated world]
    #[arg(long)]
    pub ask: Vec<String>,
    /// The directory of all of it; without it, runs/quickstart-NNN
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Replace the files of a quickstart that is already in --out, and no others
    #[arg(long, conflicts_with = "resume")]
    pub overwrite: bool,
    /// Go on with the quickstart in --out: what is done stays
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Who hears of its stages, of which each has a directory, a table and an offline run of its own
    #[command(flatten, next_help_heading = "Tracking")]
    pub tracking: TrackingConfig,
}

/// Runs the verb.
pub fn run(args: &QuickstartArgs, everywhere: &Everywhere, invocation: &Invocation) -> Result<(), Failure> {
    let output = everywhere.output();
    ranks::refuse("quickstart")?;
    let tracking = match args.out.as_deref().filter(|_| args.resume) {
        Some(out) => kept_tracking(&args.tracking, (NAME, out), &invocation.said, output),
        None => args.tracking.clone(),
    };
    check(args, &tracking)?;
    let own_rows = args.data.as_deref().map(|place| own(place, output)).transpose()?;
    let directory = open_directory(args, invocation)?;
    let rows = match own_rows {
        Some(rows) => rows,
        None => generate(&directory, usize::try_from(args.rows).unwrap_or(usize::MAX))?,
    };
    let links = links(args, &rows, directory.path(), &tracking);
    let ended = run_links(&links, &directory, everywhere);
    if let Err(Failure::Interrupted) = ended {
        let out = path_word(directory.path());
        output.say(&format!("all of the quickstart goes on with: kindling {NAME} --resume --out {out}"));
    }
    let summaries = ended?;
    show(&summaries, output);
    let asked = ask(args, &links, everywhere)?;
    conclude(&directory, &summaries, asked, output)
}

/// Refuses what does not hold before anything is written.
fn check(args: &QuickstartArgs, tracking: &TrackingConfig) -> Result<(), Failure> {
    preset(&args.preset)?;
    if !(FEWEST..=MOST).contains(&args.rows) {
        return Err(Failure::Usage(format!("--rows is {}; it must be {FEWEST} to {MOST}", args.rows)));
    }
    let stages: Vec<&str> = STAGES.iter().map(|stage| stage.verb).collect();
    let goes_on = args.out.as_deref().filter(|_| args.resume);
    tracking.check(&stages, Standing::of(args.overwrite, args.resume), goes_on)?;
    match (args.overwrite, &args.out, &args.data) {
        (true, Some(out), Some(data)) => Ok(refuse_inside(out, [("--data", data.clone())])?),
        _ => Ok(()),
    }
}

fn open_directory(args: &QuickstartArgs, invocation: &Invocation) -> Result<RunDir, Failure> {
    let stages = || STAGES.iter().map(|stage| stage.verb.to_string());
    if let Some(out) = args.out.as_deref().filter(|_| args.resume) {
        let directory = RunDir::resume(out, 1)?;
        directory.log(&json!({"event": "resume"}))?;
        return Ok(directory);
    }
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Refuse };
    let beside: Vec<String> = generated_files().into_iter().chain(stages()).chain([TOKENS.into()]).collect();
    let directory = RunDir::create(args.out.as_deref(), NAME, existing, 1, &beside)?;
    directory.write(SETTINGS, invocation.record(&invocation.settings).as_bytes())?;
    directory.announce_files(tokenizer_files(TOKENS))?;
    stages().try_for_each(|name| directory.announce(&name))?;
    Ok(directory)
}

/// The tokenizer and every stage that has rows, as command lines.
fn links(args: &QuickstartArgs, rows: &Rows, directory: &Path, tracking: &TrackingConfig) -> Vec<Link> {
    let mut links = vec![tokenizer_link(args, rows, directory)];
    for stage in STAGES {
        if let Some(own) = rows.get(stage.verb) {
            let mut words = words(stage, own, args, rows, directory);
            words.extend(tracking.below(stage.verb).words(&words));
            let (name, out) = (stage.verb.to_string(), directory.join(stage.verb));
            links.push(Link { name, words, out, overwrites: args.overwrite });
        }
    }
    links
}

/// A flag and its value.
fn pair(flag: &str, value: impl Into<OsString>) -> [OsString; 2] {
    [flag.into(), value.into()]
}

fn tokenizer_link(args: &QuickstartArgs, rows: &Rows, directory: &Path) -> Link {
    let mut words: Vec<OsString> = TOKENIZER.map(OsString::from).to_vec();
    let mut paths: Vec<&PathBuf> =
        ["pretrain", "sft"].iter().filter_map(|stage| rows.get(stage)).flat_map(|rows| &rows.paths).collect();
    paths.dedup();
    words.extend(paths.into_iter().flat_map(|path| pair("--data", path)));
    words.extend(pair("--vocab-size", args.vocab_size.to_string()));
    words.extend(["--single-digits", "--single-han"].map(OsString::from));
    Link { name: TOKENS.to_string(), words, out: directory.join(TOKENS), overwrites: args.overwrite }
}

/// The command line of a stage.
fn words(
    stage: &Stage,
    own: &StageRows,
    args: &QuickstartArgs,
    rows: &Rows,
    directory: &Path,
) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![stage.verb.into()];
    match stage.from.iter().find(|name| rows.contains_key(*name)) {
        Some(from) => words.extend(pair("--model", directory.join(from))),
        None => {
            words.extend(pair("--preset", &args.preset));
            words.extend(pair("--tokenizer", directory.join(TOKENS)));
        }
    }
    words.extend(own.paths.iter().flat_map(|path| pair("--data", path)));
    words.extend(own.join_turns.then(|| OsString::from("--join-turns")));
    words.extend(pair("--limit", args.rows.to_string()));
    match args.steps {
        Some(steps) => words.extend(pair("--steps", steps.to_string())),
        None => words.extend(pair("--epochs", stage.epochs)),
    }
    words.extend(pair("--seed", args.seed.to_string()));
    words.extend(stage.flags.iter().map(OsString::from));
    if let Some(chats) = rows.get("sft").filter(|_| stage.keeps) {
        words.extend(chats.paths.iter().flat_map(|path| pair("--keep-data", path)));
    }
    words
}

/// Runs all that is not done, and reads how it went.
///
/// # Errors
/// Whatever ends a stage.
pub fn run_links(
    links: &[Link],
    directory: &RunDir,
    everywhere: &Everywhere,
) -> Result<Vec<Summary>, Failure> {
    let (output, begun, mut summaries) = (everywhere.output(), now(), Vec::new());
    for (number, link) in links.iter().enumerate() {
        output.say(&format!("{}/{} {}", number + 1, links.len(), link.name));
        let started = now();
        let runs = link.run(everywhere)?;
        if !runs {
            output.say(&format!("{} is done already", link.out.display()));
        }
        let summary = Summary::of(link, runs.then(|| now() - started));
        let line = summary.json();
        directory.log(&line)?;
        output.json(&line);
        summaries.push(summary);
    }
    output.say(&format!("all of it took {}, with reading and saving", duration(now() - begun)));
    Ok(summaries)
}

fn conclude(
    directory: &RunDir,
    summaries: &[Summary],
    asked: Vec<serde_json::Value>,
    output: Output,
) -> Result<(), Failure> {
    let out = directory.path().display().to_string();
    let stages: Vec<&str> = summaries.iter().map(|summary| summary.name.as_str()).collect();
    let (count, sums) = (stages.len(), Sums::of(summaries));
    let done = json!({
        "event": "done", "out": out, "step": count, "total_steps": count, "stages": stages, "tokens": sums.tokens,
        "seconds": sums.seconds, "conversation": asked,
    });
    directory.log(&done)?;
    output.json(&done);
    output.line(&out);
    output.say(&format!(
        "list them: kindling runs {}; draw them: kindling runs plot {} --out curves.html",
        path_word(directory.path()),
        path_word(&directory.path().join("sft"))
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn every_stage_is_a_sound_command_and_takes_the_one_before() {
        let matches = command().try_get_matches_from(["kindling", "quickstart"]).unwrap();
        let args = matches.subcommand_matches("quickstart").unwrap();
        let args = <QuickstartArgs as clap::FromArgMatches>::from_arg_matches(args).unwrap();
        let rows: Rows = STAGES
            .iter()
            .map(|stage| (stage.verb, StageRows { paths: vec![stage.verb.into()], join_turns: false }))
            .collect();
        let links = links(&args, &rows, Path::new("q"), &args.tracking);
        assert_eq!(links.len(), STAGES.len() + 1);
        for link in &links {
            let line = ["kindling".into()].into_iter().chain(link.words.clone()).chain(pair("--out", "q/x"));
            command().try_get_matches_from(line).unwrap();
        }
        let said = |name: &str, flag: &str| {
            let link = links.iter().find(|link| link.name == name).unwrap();
            let at = link.words.iter().position(|word| word == flag)?;
            Some(link.words[at + 1].to_string_lossy().into_owned())
        };
        assert_eq!(said("sft", "--model").as_deref(), Some("q/pretrain"));
        assert_eq!(said("lora", "--model").as_deref(), Some("q/dpo"));
        assert_eq!(
            (said("pretrain", "--model"), said("pretrain", "--preset").as_deref()),
            (None, Some("nano"))
        );
        assert_eq!(said("lora", "--keep-data").as_deref(), Some("sft"));
        // Where pairs are lacking, the adapter lies beside what was fine-tuned.
        let some: Rows = rows.into_iter().filter(|(verb, _)| *verb != "dpo").collect();
        let lora = super::links(&args, &some, Path::new("q"), &args.tracking)
            .into_iter()
            .find(|link| link.name == "lora")
            .unwrap();
        assert!(lora.words.contains(&"q/sft".into()) && !lora.words.contains(&"q/dpo".into()));
    }
}
