//! `push`: a model or an adapter as a repository on the hub.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use kindling::adapter::Adapter;
use kindling::error::Error;
use kindling::formats::ADAPTER_CONFIG;
use serde_json::{Value, json};
use toml::Table;

use super::report_parts::defaults;
use crate::cli::Everywhere;
use crate::failure::{Failure, io_error};
use crate::hub::{self, Address, Site, Trouble};
use crate::interrupt;
use crate::model_files::{CONFIG, at, open_checkpoint, read_optional};
use crate::output::{Output, bytes};
use crate::push::{About, CARD, Kind, Order, Upload, card, parameters, send, uploads};
use crate::report::{Evaluated, read_evaluations, taught};
use crate::run_dir::run_of;
use crate::runs::{FoundRun, Kept, State};

/// Flags of `push`.
#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["model", "adapter"])))]
pub struct PushArgs {
    /// A model: the directory of a finished run, of one of its checkpoints, or any in Hugging Face's layout
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// A LoRA adapter in PEFT's layout: a directory likewise
    #[arg(long)]
    pub adapter: Option<PathBuf>,
    /// The repository, as hub:owner/name; it is made where there is none. HF_TOKEN, or the last login, must be one that
    /// may write
    #[arg(long)]
    pub to: String,
    /// The name on the hub, owner/name, of the model that this one was made of; an adapter of a base that lies on this
    /// machine needs it
    #[arg(long)]
    pub base: Option<String>,
    /// The licence, as the hub names it, such as apache-2.0; without it the card names none
    #[arg(long)]
    pub license: Option<String>,
    /// Make a repository that only its owner sees; one that is there and public is refused
    #[arg(long)]
    pub private: bool,
    /// The branch; it is made where there is none
    #[arg(long, default_value = "main")]
    pub revision: String,
    /// The commit's message
    #[arg(long, default_value = "Upload with kindling")]
    pub message: String,
    /// A README.md to send in place of the card that is made of the run
    #[arg(long, conflicts_with_all = ["license", "new_card"])]
    pub card: Option<PathBuf>,
    /// Replace a card that the repository has already
    #[arg(long)]
    pub new_card: bool,
    /// Show what would be sent, file by file, and the card; ask and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl PushArgs {
    /// What is sent, and from where.
    fn source(&self) -> (Kind, &Path) {
        match (&self.model, &self.adapter) {
            (None, Some(adapter)) => (Kind::Adapter, adapter),
            // clap lets neither both nor none through.
            (model, _) => (Kind::Model, model.as_deref().unwrap_or(Path::new(""))),
        }
    }

    /// Reads the address and checks the rest.
    fn validate(&self) -> Result<Address, Failure> {
        let mut problems = Vec::new();
        let address = Address::parse(&self.to).map_err(|e| problems.push(e.to_string())).ok();
        let wanted = address.as_ref().map(|address| {
            let named = self.to == format!("{}{}", Site::HuggingFace.scheme(), address.repo);
            named && address.site == Site::HuggingFace && address.repo.contains('/')
        });
        if wanted == Some(false) {
            problems.push(format!(
                "--to {}: models are written to the hub alone, as hub:owner/name; a branch is named with --revision",
                self.to
            ));
        }
        if let Some(base) = self.base.as_ref().filter(|base| !hub::is_repository(base)) {
            problems.push(format!("--base {base} is no name on the hub; write owner/name"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
        if let Some(license) =
            self.license.as_ref().filter(|name| name.is_empty() || !name.chars().all(plain))
        {
            problems.push(format!(
                "--license {license} is no name of one on the hub, such as apache-2.0, mit or other"
            ));
        }
        let branch = &self.revision;
        if branch.is_empty() || branch.contains("..") || !branch.chars().all(|c| plain(c) || c == '/') {
            problems.push(format!("--revision {branch} cannot be the name of a branch"));
        }
        if self.message.trim().is_empty() {
            problems.push("--message is empty".into());
        }
        let (_, directory) = self.source();
        if !directory.is_dir() {
            problems.push(format!(
                "{} is no directory; `kindling export --to hf` makes one of any other form of a model",
                directory.display()
            ));
        }
        if !self.dry_run && hub::is_offline() {
            problems.push(
                "HF_HUB_OFFLINE is set, so nothing can be sent; --dry-run works without the network".into(),
            );
        }
        match address.filter(|_| problems.is_empty()) {
            Some(address) => Ok(address),
            None => Err(Failure::Usage(problems.join("\n"))),
        }
    }
}

/// Runs the verb.
pub fn run(args: &PushArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let (output, address) = (everywhere.output(), args.validate()?);
    let (kind, directory) = args.source();
    let (mut files, remarks) = uploads(directory, kind, args.base.as_deref())?;
    remarks.iter().for_each(|remark| output.say(remark));
    check_whole(kind, directory)?;
    let text = match &args.card {
        Some(path) => std::fs::read(path).map_err(|e| io_error(path, e))?,
        None => made_card(args, &address, &files, output)?.into_bytes(),
    };
    files.push(Upload::made(CARD, text.clone()));
    if args.dry_run {
        return show(&files, &text, output);
    }
    interrupt::listen();
    let order = Order {
        repo: &address.repo,
        revision: &args.revision,
        message: &args.message,
        private: args.private,
        keeps_card: args.card.is_none() && !args.new_card,
        output,
    };
    let done = match send(&order, &files) {
        Ok(done) => done,
        Err(_) if interrupt::asked() => {
            output.say("stopped; what was sent stays there, and the same command sends the rest");
            return Err(Failure::Interrupted);
        }
        Err(trouble) => return Err(told(&address, trouble)),
    };
    match &done.commit {
        Some(commit) => output.say(&format!("commit {commit}: {}", done.committed.join(", "))),
        None => output.say("all of it is there already; nothing was committed"),
    }
    output.json(&json!({
        "event": "done", "to": args.to, "commit": done.commit, "files": done.committed, "bytes_sent": done.sent,
        "url": done.page,
    }));
    output.line(&done.page);
    Ok(())
}

/// Refuses what would open nowhere.
fn check_whole(kind: Kind, directory: &Path) -> Result<(), Failure> {
    match kind {
        Kind::Model => open_checkpoint(directory).map(drop)?,
        Kind::Adapter => Adapter::open(|name| read_optional(&directory.join(name)))
            .map(drop)
            .map_err(|error| at(directory, error))?,
    }
    Ok(())
}

/// The run that a directory is of. A save on the way is no whole run: what its run measured and told of its end is not its own.
fn own_run(directory: &Path, output: Output) -> Option<FoundRun> {
    let run = run_of(directory).filter(|run| {
        let is_own = run == directory;
        if !is_own {
            output.say(&format!(
                "{} is a save of {}, so the card tells of the files alone",
                directory.display(),
                run.display()
            ));
        }
        is_own
    })?;
    let run = FoundRun::open(&run);
    if run.state != State::Finished {
        output.warn(&format!(
            "{}: the run is {}; what is sent is what it has so far",
            directory.display(),
            run.state
        ));
    }
    Some(run)
}

fn told(address: &Address, trouble: Trouble) -> Failure {
    Failure::from(match trouble {
        Trouble::Away(why) => address
            .failed(format!("the hub cannot be reached ({why}); the same command sends what is missing")),
        Trouble::Refused(why) => address.failed(why),
        Trouble::Here(error) => error,
    })
}

/// The card of what lies in the directory, and of its run.
fn made_card(
    args: &PushArgs,
    address: &Address,
    files: &[Upload],
    output: Output,
) -> Result<String, Failure> {
    let (kind, directory) = args.source();
    let run = own_run(directory, output);
    let (mut evaluated, mut kept, mut standard) = (Evaluated::default(), Kept::default(), Table::new());
    if let Some(run) = &run {
        evaluated.results.extend(taught(&run.history));
        read_evaluations(&run.path, &mut evaluated);
        let others = without_others(&mut evaluated, directory);
        if others > 0 {
            output.say(&format!("{others} evaluations of other models, or of two, are left out of the card"));
        }
        (kept, standard) = (Kept::open(&run.path), defaults(run));
    } else if run_of(directory).is_none() {
        output.say(&format!("no run lies in {}, so the card tells of the files alone", directory.display()));
    }
    evaluated.unread.iter().chain(&kept.unread).for_each(|why| output.warn(why));
    if args.license.is_none() {
        output.say("the card names no licence; --license NAME sets one");
    }
    let config = files.iter().find(|file| file.path == CONFIG).map(Upload::bytes).transpose()?;
    let config: Value = config.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let base = args.base.clone().or_else(|| base_of(files, run.as_ref()));
    Ok(card(&About {
        repo: &address.repo,
        kind,
        license: args.license.as_deref(),
        base: base.as_deref(),
        config: &config,
        parameters: parameters(files),
        size: files.iter().map(|file| file.size).sum(),
        run: run.as_ref(),
        kept: &kept,
        evaluated: &evaluated,
        defaults: &standard,
    }))
}

/// Takes away what was measured of other models, or of two that are compared: what names no model was asked of one alone.
fn without_others(evaluated: &mut Evaluated, directory: &Path) -> usize {
    let own = directory.canonicalize().ok();
    // `eval` calls a model with an adapter "MODEL + ADAPTER".
    let is_own = |name: &str| {
        let (model, adapter) = name.split_once(" + ").map_or((name, None), |(a, b)| (a, Some(b)));
        Path::new(adapter.unwrap_or(model)).canonicalize().is_ok_and(|place| Some(place) == own)
    };
    let before = evaluated.results.len();
    evaluated.results.retain(|result| result.model.as_deref().is_none_or(is_own));
    before - evaluated.results.len()
}

/// What it was made of, where that is on the hub: as an adapter's settings have it, or as the run was told.
fn base_of(files: &[Upload], run: Option<&FoundRun>) -> Option<String> {
    let adapter = files.iter().find(|file| file.path == ADAPTER_CONFIG);
    let settings: Option<Value> = adapter.and_then(|file| serde_json::from_slice(&file.bytes().ok()?).ok());
    if let Some(settings) = settings {
        return settings["base_model_name_or_path"].as_str().map(String::from);
    }
    let model = run?.text("model")?;
    let address = hub::is_address(model).then(|| Address::parse(model).ok())??;
    (address.site == Site::HuggingFace).then_some(address.repo)
}

/// What would be sent.
fn show(files: &[Upload], card: &[u8], output: Output) -> Result<(), Failure> {
    for file in files {
        let sha256 = file.sha256().map_err(|error: Error| match interrupt::asked() {
            true => Failure::Interrupted,
            false => Failure::Work(error),
        })?;
        output.json(&json!({"event": "file", "path": file.path, "bytes": file.size, "sha256": sha256}));
        output.line(&format!("{}  {:>10}  {}", &sha256[..12], bytes(file.size), file.path));
    }
    let card = String::from_utf8_lossy(card);
    output.json(&json!({"event": "card", "text": card}));
    output.line(&format!("\n{CARD}:\n\n{}", card.trim_end()));
    output.say("nothing was sent");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Evaluation;

    #[test]
    fn a_card_tells_of_no_other_models_results() {
        let place = tempfile::tempdir().unwrap();
        let own = place.path().join("mine");
        std::fs::create_dir(&own).unwrap();
        let (own_name, base) = (own.display().to_string(), place.path().display().to_string());
        let names = [
            None,
            Some(format!("{own_name}/")),
            Some(format!("{base} + {own_name}")),
            Some(base.clone()),
            Some(format!("{own_name} + {base}")),
            Some(format!("{base} + {own_name} + {base}")),
            Some(format!("{base} / {own_name}")),
        ];
        let results = names.map(|model| Evaluation { model, ..Evaluation::default() }).to_vec();
        let mut evaluated = Evaluated { results, ..Evaluated::default() };
        assert_eq!(without_others(&mut evaluated, &own), 4);
        let kept: Vec<_> = evaluated.results.into_iter().map(|result| result.model).collect();
        assert_eq!(kept, [None, Some(format!("{own_name}/")), Some(format!("{base} + {own_name}"))]);
    }
}
