//! `run FILE.toml`: a chain of stages, each a verb with its flags, each from the one before.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::chain_file::Chain;
use super::chain_inputs;
use super::quickstart::run_links;
use super::quickstart_report::{Sums, show};
use crate::chain::{Link, kept_tracking, tokenizer_files};
use crate::cli::{Everywhere, Invocation};
use crate::failure::{Failure, io_error};
use crate::ranks;
use crate::run_dir::{Existing, RunDir, SETTINGS, is_run, refuse_inside};
use crate::runs::FoundRun;
use crate::shell_word::path_word;
use crate::tracking::{Standing, TrackingConfig};

/// Its name, as runs are called.
const NAME: &str = "run";
/// What a file looks like; shown below the flags.
pub const FORM: &str = "\
A file holds its directory and its stages; keys are flags of their verbs, paths are as on the command line:

  out = \"runs/mine\"

  [[stage]]
  verb = \"tokenizer train\"
  data = [\"texts.jsonl\"]

  [[stage]]
  verb = \"pretrain\"
  preset = \"micro\"
  data = [\"texts.jsonl\"]

  [[stage]]
  verb = \"sft\"
  name = \"talk\"
  data = [\"chats.jsonl\"]

A stage is called `name`, or as its verb. It takes the tokenizer and the model of the stages before it; `model`, `teacher` and `tokenizer` may name another stage.";
/// Flags of `run`.
#[derive(Args)]
pub struct RunArgs {
    /// The TOML file
    pub file: PathBuf,
    /// The directory of all stages [default: `out` in the file, or runs/ and the file's name]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Begin all stages of a chain that is already in --out again, and replace no other files
    #[arg(long)]
    pub overwrite: bool,
    /// Who hears of its stages, of which each has a directory, a table and an offline run of its own; what the file says of a
    /// stage counts there
    #[command(flatten, next_help_heading = "Tracking")]
    pub tracking: TrackingConfig,
}

/// Runs the verb.
pub fn run(args: &RunArgs, everywhere: &Everywhere, invocation: &Invocation) -> Result<(), Failure> {
    let output = everywhere.output();
    ranks::refuse("a chain of stages")?;
    if args.file.is_dir() {
        return Err(Failure::Usage(of_directory(&args.file)));
    }
    let text = std::fs::read_to_string(&args.file).map_err(|e| Failure::Work(io_error(&args.file, e)))?;
    let chain =
        Chain::read(&text).map_err(|why| Failure::Usage(format!("{}: {why}", args.file.display())))?;
    let out = args.out.clone().or_else(|| chain.out.clone()).unwrap_or_else(|| default_out(&args.file));
    let mut links = chain.links(&out).map_err(|failure| of_file(&args.file, failure))?;
    let begun = (NAME, out.as_path());
    let tracking = match args.overwrite {
        true => args.tracking.clone(),
        false => kept_tracking(&args.tracking, begun, &invocation.said, output),
    };
    track(&mut links, args, &tracking, &out)?;
    chain_inputs::check(&links).map_err(|failure| of_file(&args.file, failure))?;
    let directory = open_directory(args, &out, &links, (invocation, &tracking))?;
    let ended = run_links(&links, &directory, everywhere);
    if let Err(Failure::Interrupted) = ended {
        output.say(&format!(
            "the chain goes on with: kindling {NAME} {} --out {}",
            path_word(&args.file),
            path_word(&out)
        ));
    }
    let summaries = ended?;
    show(&summaries, output);
    let (out, count, sums) = (out.display().to_string(), links.len(), Sums::of(&summaries));
    let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
    let done = json!({
        "event": "done", "out": out, "step": count, "total_steps": count, "stages": names, "tokens": sums.tokens,
        "seconds": sums.seconds,
    });
    directory.log(&done)?;
    output.json(&done);
    output.line(&out);
    Ok(())
}

/// What a person wants who names a directory.
fn of_directory(path: &Path) -> String {
    let shown = path_word(path);
    let wanted = format!(
        "{shown} is a directory, and `kindling run` takes the file of a chain, as in `kindling run chain.toml` (`kindling run \
         --help` shows one)"
    );
    if !is_run(path) {
        return wanted;
    }
    let run = FoundRun::open(path);
    match run.verb() {
        chain if chain == NAME => format!(
            "{wanted}; a chain is in it, which goes on with the file that it was begun with: kindling run FILE.toml --out {shown}"
        ),
        verb => format!(
            "{wanted}; a run of `{verb}` is in it ({}): `kindling {verb} --resume --out {shown}` goes on with it, and `kindling \
             runs {shown}` shows it",
            run.told()
        ),
    }
}

/// Lets the stages be heard of.
fn track(links: &mut [Link], args: &RunArgs, tracking: &TrackingConfig, out: &Path) -> Result<(), Failure> {
    let mut stages = Vec::new();
    for link in links.iter_mut().filter(|link| !link.is_tokenizer()) {
        link.overwrites = args.overwrite;
        link.words.extend(tracking.below(&link.name).words(&link.words));
        stages.push(link.name.as_str());
    }
    let goes_on = is_run(out) && !args.overwrite;
    Ok(tracking.check(&stages, Standing::of(args.overwrite, goes_on), goes_on.then_some(out))?)
}

fn default_out(file: &Path) -> PathBuf {
    Path::new("runs").join(file.file_stem().unwrap_or_default())
}

/// A usage error of a stage with the file that it stands in.
fn of_file(file: &Path, failure: Failure) -> Failure {
    match failure {
        Failure::Usage(why) => Failure::Usage(format!("{}: {why}", file.display())),
        other => other,
    }
}

/// Takes the chain's directory, new or begun before.
fn open_directory(
    args: &RunArgs,
    out: &Path,
    links: &[Link],
    (invocation, tracking): (&Invocation, &TrackingConfig),
) -> Result<RunDir, Failure> {
    if args.overwrite {
        refuse_inside(out, [("the file", args.file.clone())])?;
    }
    let own = is_run(out).then(|| FoundRun::open(out).verb());
    let directory = match own.as_deref() {
        Some(NAME) if !args.overwrite => RunDir::resume(out, 1)?,
        Some(other) if other != NAME => {
            return Err(Failure::Usage(format!(
                "--out {} holds a run of `{other}`, and no chain; choose another directory",
                out.display()
            )));
        }
        _ => {
            let existing = if args.overwrite { Existing::Overwrite } else { Existing::Refuse };
            let beside: Vec<String> = links.iter().map(|link| link.name.clone()).collect();
            RunDir::create(Some(out), NAME, existing, 1, &beside)?
        }
    };
    let mut settings = invocation.settings.clone();
    settings.extend(tracking.settings());
    directory.write(SETTINGS, invocation.record(&settings).as_bytes())?;
    directory.log(&json!({"event": "resume"}))?;
    for link in links {
        match link.is_tokenizer() {
            true => directory.announce_files(tokenizer_files(&link.name))?,
            false => directory.announce(&link.name)?,
        }
    }
    Ok(directory)
}
