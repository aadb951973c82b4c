//! The command surface: verbs, and the flags that all share.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use kindling::device::DeviceChoice;
use kindling::train::Stage;

use crate::commands::stage_flags::with_defaults;
use crate::commands::train_args::{AdapterArgs, TrainArgs};
use crate::commands::{
    SAMPLING_ORDER, bench, chat, completions, convert, data, doctor, eval, export, generate, import, merge,
    plan, push, quickstart, replay, report, run_file, runs, sample_data, score, teacher_answers, tokenizer,
    train,
};
use crate::config_file;
use crate::failure::Failure;
use crate::flag_rules::{adding, check_requirements, with_negative_numbers};
use crate::hub;
use crate::like::{self, Applied};
use crate::output::Output;
use crate::run_kind::RunKind;
use crate::serve;

/// What to begin with, below the list of verbs.
const FIRST_STEPS: &str = "\
To begin with:
  kindling sft --out my/first           a small model from nothing, in minutes, without a download
  kindling chat --model my/first        talk with it
  kindling quickstart                   every stage once, in a table
  kindling VERB --help                  the flags of a verb, with their defaults (-h in short)";

/// Train, adapt and talk with small language models.
#[derive(Parser)]
#[command(name = "kindling", version, propagate_version = true, max_term_width = 110, after_help = FIRST_STEPS)]
struct Cli {
    #[command(flatten)]
    everywhere: Everywhere,
    #[command(subcommand)]
    verb: Verb,
}

/// Where help lists the flags of every verb: apart from a verb's own.
const OF_ALL: &str = "Shared by all commands";

/// Flags that every verb takes.
#[derive(Args, Clone, Debug)]
pub struct Everywhere {
    /// Where to compute: auto, cpu, cuda[:i], vulkan[:i], metal[:i] or wgpu
    #[arg(long, global = true, default_value = "auto", value_parser = str::parse::<DeviceChoice>, help_heading = OF_ALL)]
    pub device: DeviceChoice,
    /// Compute type; master weights are f32
    #[arg(long, global = true, value_enum, default_value = "f32", help_heading = OF_ALL)]
    pub dtype: Dtype,
    /// Results as JSON, one object a line on stdout
    #[arg(long, global = true, help_heading = OF_ALL)]
    pub json: bool,
    /// No progress and no remarks
    #[arg(short, long, global = true, help_heading = OF_ALL)]
    pub quiet: bool,
    /// Also say what is usually left out: every save, every report as a line
    #[arg(short, long, global = true, conflicts_with = "quiet", help_heading = OF_ALL)]
    pub verbose: bool,
}

/// The type that products are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dtype {
    /// 32-bit float
    F32,
    /// 16-bit float with the range of f32
    Bf16,
    /// 16-bit IEEE float
    F16,
}

impl Everywhere {
    /// How results are shown.
    pub fn output(&self) -> Output {
        Output { json: self.json, quiet: self.quiet, verbose: self.verbose }
    }
}

#[derive(Subcommand)]
enum Verb {
    /// Write the generated example sets: pretrain, sft, lora, dpo, reason, eval
    SampleData(sample_data::SampleDataArgs),
    /// Every stage in a few minutes, each from the one before: tokenizer, pretrain, sft, dpo, lora, reason, a conversation
    #[command(after_help = quickstart::TIMES)]
    Quickstart(quickstart::QuickstartArgs),
    /// Run the stages of a TOML file one after the other; what is done is left as it is
    #[command(after_help = run_file::FORM)]
    Run(run_file::RunArgs),
    /// Train a tokenizer, or report on one
    #[command(subcommand)]
    Tokenizer(tokenizer::TokenizerVerb),
    /// Look at data as the model sees it, or make tokens of it once
    #[command(subcommand)]
    Data(data::DataVerb),
    /// Train on texts; without --data and --model, on the generated example
    Pretrain(TrainArgs),
    /// Train on conversations; without --data and --model, the whole generated example
    Sft(TrainArgs),
    /// Train a low-rank adapter beside a frozen model, on conversations: the same as `sft --lora`
    Lora(TrainArgs),
    /// Train on pairs of answers of which one is better
    Dpo(TrainArgs),
    /// Train a student on what a teacher of the same vocabulary would say, in conversations or texts; with --generate the
    /// teacher answers prompts for it (`kindling distill --generate --help`)
    Distill(TrainArgs),
    /// Train on answers that think first, between tags
    Reason(TrainArgs),
    /// Let the model answer prompts, and train it on what rules reward
    Grpo(TrainArgs),
    /// Let a teacher answer prompts, whose answers any student may be fine-tuned on
    #[command(name = teacher_answers::VERB, hide = true, after_help = SAMPLING_ORDER,
        override_usage = "kindling distill --generate --teacher <TEACHER> --data <DATA> --out <OUT> [OPTIONS]")]
    TeacherAnswers(teacher_answers::AnswerArgs),
    /// Make a masked predictor (diffusion) of a model, or write its weights in another type
    Convert(convert::ConvertArgs),
    /// Add adapters to the weights of their base, or average adapters or models
    #[command(after_help = merge::AVERAGES)]
    Merge(merge::MergeArgs),
    /// Write a model, or a run with all its state, in another form
    Export(export::ExportArgs),
    /// Make a directory of an exported model or run; a run goes on there
    Import(import::ImportArgs),
    /// Write a model or an adapter to a repository of the hub, with a card
    Push(push::PushArgs),
    /// Complete a prompt
    #[command(after_help = SAMPLING_ORDER)]
    Generate(generate::GenerateArgs),
    /// Show step by step how a masked predictor filled a text, from what `generate` or `chat` wrote with --json --show-steps
    Replay(replay::ReplayArgs),
    /// Talk with a model
    #[command(after_help = SAMPLING_ORDER)]
    Chat(chat::ChatArgs),
    /// Log-probability of each token of a text, bits per byte
    Score(score::ScoreArgs),
    /// How good a model is: C-Eval, CMMLU, MMLU, ARC, OpenBookQA, PIQA and others, held-out texts, pairs of answers
    #[command(after_help = eval::NOTES)]
    Eval(Box<eval::EvalArgs>),
    /// Answer the clients of OpenAI and Ollama over HTTP, and serve the page from the same port
    #[command(after_help = SAMPLING_ORDER)]
    Serve(serve::ServeArgs),
    /// List runs with what they come from; compare their settings, draw their losses
    Runs(runs::RunsArgs),
    /// One HTML file about runs and what their models write: curves, lineage, settings, data, evaluations, cost
    Report(report::ReportArgs),
    /// What this machine and this build can do, and what will be used
    Doctor(doctor::DoctorArgs),
    /// Parameters, memory and time of a run, before anything runs
    Plan(plan::PlanArgs),
    /// Tokens per second: train, prefill, decode
    Bench(bench::BenchArgs),
    /// Completions for a shell, and pages of the manual
    Completions(completions::CompletionsArgs),
}

/// Flags of the command surface that wait for their issue.
const FLAGS_NOT_BUILT: [&str; 2] = ["--sync-every", "--tf32"];

/// What was asked for, in words, and the settings that came of it.
pub struct Invocation {
    /// The command line as typed.
    pub words: String,
    /// All settings of the verb, with those of `--config` and of a resumed run.
    pub settings: toml::Table,
    /// The flags that were said, on the command line or in `--config`, by their long names.
    pub said: Vec<String>,
    /// Those of them that stand on the command line itself.
    pub typed: Vec<String>,
    /// What `--like` set.
    pub recipe: Option<Applied>,
}

impl Invocation {
    /// What a run keeps: the command line, and below it all settings.
    pub fn record(&self, settings: &toml::Table) -> String {
        format!("# {}\n{settings}", self.words.replace('\n', " "))
    }
}

/// Parses the arguments and runs the verb.
///
/// # Errors
/// Whatever ends the command early.
pub fn run(args: Vec<OsString>) -> Result<(), Failure> {
    refuse_not_built(&args)?;
    let (typed_args, args) = (args.clone(), teacher_answers::as_verb(args));
    let words: Vec<_> = typed_args.iter().map(|word| word.to_string_lossy()).collect();
    let words = words.join(" ");
    let command = command();
    let (_, typed) = config_file::settings_of(&command, &args).unwrap_or_default();
    let mut expanded = config_file::expand(&command, args.clone(), &AdapterArgs::flags())?;
    let recipe = like::apply(&command, &mut expanded)?;
    let (settings, said) = config_file::settings_of(&command, &expanded).unwrap_or_default();
    let parsed = command.clone().try_get_matches_from(expanded.clone());
    let matches = parsed.map_err(|e| as_typed(&command, args, e))?;
    check_requirements(&command, &expanded, &matches)?;
    let Cli { everywhere, verb } = Cli::from_arg_matches(&matches)?;
    hub::install(everywhere.output());
    let invocation = Invocation { words, settings, said, typed, recipe };
    match verb {
        Verb::SampleData(args) => sample_data::run(&args, &everywhere),
        Verb::Quickstart(args) => quickstart::run(&args, &everywhere, &invocation),
        Verb::Run(args) => run_file::run(&args, &everywhere, &invocation),
        Verb::Tokenizer(verb) => tokenizer::run(verb, &everywhere),
        Verb::Data(verb) => data::run(verb, &everywhere),
        Verb::Pretrain(args) => train::run(Stage::Pretrain, &args, &everywhere, &invocation),
        Verb::Lora(args) if !args.adapter.lora => {
            Err(Failure::Usage("`lora` is `sft --lora`; without an adapter it is `kindling sft`".into()))
        }
        Verb::Sft(args) | Verb::Lora(args) => train::run(Stage::Sft, &args, &everywhere, &invocation),
        Verb::Dpo(args) => train::run(Stage::Dpo, &args, &everywhere, &invocation),
        Verb::Distill(args) => train::run(Stage::Distill, &args, &everywhere, &invocation),
        Verb::Reason(args) => train::run(Stage::Reason, &args, &everywhere, &invocation),
        Verb::Grpo(args) => train::run(Stage::Grpo, &args, &everywhere, &invocation),
        Verb::TeacherAnswers(args) => teacher_answers::run(args, &everywhere, &invocation.said),
        Verb::Convert(args) => convert::run(&args, &everywhere, &invocation.said),
        Verb::Merge(args) => merge::run(&args, &everywhere),
        Verb::Export(args) => export::export(&args, &everywhere),
        Verb::Import(args) => import::import(&args, &everywhere, &invocation),
        Verb::Push(args) => push::run(&args, &everywhere),
        Verb::Generate(args) => generate::run(args, models(&matches), &everywhere, &invocation.said),
        Verb::Replay(args) => replay::run(&args, &everywhere),
        Verb::Chat(args) => chat::run(args, &everywhere, &invocation.said),
        Verb::Score(args) => score::run(&args, &everywhere),
        Verb::Eval(args) => eval::run(&args, &models(&matches), &everywhere, &invocation.said),
        Verb::Serve(args) => serve::run(&args, &everywhere, &invocation.said),
        Verb::Runs(args) => runs::run(args, &everywhere),
        Verb::Report(args) => report::run(&args, &everywhere),
        Verb::Doctor(args) => doctor::run(&args, &everywhere),
        Verb::Plan(args) => plan::run(&args, &everywhere),
        Verb::Bench(args) => bench::run(&args, &everywhere),
        Verb::Completions(args) => completions::run(&args, &everywhere),
    }
}

/// All models that a verb was given.
fn models(matches: &ArgMatches) -> Vec<PathBuf> {
    let given = matches.subcommand().map(|(_, verb)| verb.try_get_many("model"));
    given.and_then(|models| models.ok().flatten()).into_iter().flatten().cloned().collect()
}

/// What is wrong with a command line, in terms of what was typed: the usage that clap shows with it would else name every
/// flag of a settings file.
fn as_typed(command: &clap::Command, typed: Vec<OsString>, error: clap::Error) -> clap::Error {
    match command.clone().try_get_matches_from(typed) {
        Err(own) if own.kind() == error.kind() => own,
        _ => error,
    }
}

/// Says of a promised flag that it is still to come, instead of calling it unknown.
fn refuse_not_built(args: &[OsString]) -> Result<(), Failure> {
    let words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    let mut flags = words.map(|word| word.split('=').next().unwrap_or(word));
    match flags.find(|flag| FLAGS_NOT_BUILT.contains(flag)) {
        Some(name) => {
            Err(Failure::Usage(format!("`{name}` is not built yet; `kindling --help` lists what is")))
        }
        None => Ok(()),
    }
}

/// The command with the defaults of each training verb in its help.
pub fn command() -> clap::Command {
    // Verbs that compare read the first --model as all verbs do, and the others for themselves.
    let several = |model: clap::Arg, use_of: &str| adding(model, use_of).action(clap::ArgAction::Append);
    let beside = "with --demo a second one writes beside the first";
    let compared = "a second one is compared with the first, question by question";
    let adapted = "it is the last --model's: with the same model given twice, before and after";
    let command = with_negative_numbers(Cli::command())
        .mut_subcommand("generate", |verb| verb.mut_arg("model", |model| several(model, beside)))
        .mut_subcommand("eval", |verb| {
            let verb = verb.mut_arg("model", |model| several(model, compared));
            verb.mut_arg("adapter", |adapter| adding(adapter, adapted))
        });
    RunKind::verbs()
        .fold(command, |command, (verb, kind)| command.mut_subcommand(verb, |verb| with_defaults(verb, kind)))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use kindling::train::TrainConfig;

    use super::*;

    fn parse(line: &str) -> TrainArgs {
        let words = ["kindling"].into_iter().chain(line.split(' ')).chain(["--data", "x"]);
        let matches = command().try_get_matches_from(words).unwrap();
        match Cli::from_arg_matches(&matches).unwrap().verb {
            Verb::Pretrain(args) | Verb::Sft(args) | Verb::Lora(args) => args,
            Verb::Dpo(args) | Verb::Distill(args) | Verb::Reason(args) | Verb::Grpo(args) => args,
            _ => panic!("another verb"),
        }
    }

    #[test]
    fn the_command_is_sound_and_defaults_differ_by_stage_and_by_what_trains() {
        command().debug_assert();
        // Of two settings with one name clap finds only one; it says so where debug assertions are on.
        for verb in command().get_subcommands() {
            let names: Vec<_> = verb.get_arguments().map(clap::Arg::get_id).collect();
            let twice: Vec<_> =
                (1..names.len()).filter(|&i| names[..i].contains(&names[i])).map(|i| names[i]).collect();
            assert!(twice.is_empty(), "{}: {twice:?}", verb.get_name());
        }
        for &stage in Stage::value_variants() {
            let (whole, adapter) = (parse(stage.name()), parse(&format!("{} --lora", stage.name())));
            assert_eq!((whole.train, whole.adapter.lora), (TrainConfig::of(stage), false));
            assert_eq!((adapter.train, adapter.adapter.lora), (TrainConfig::of_adapter(stage), true));
        }
        let whole = parse("sft --lora=false");
        assert_eq!((whole.train, whole.adapter.lora), (TrainConfig::of(Stage::Sft), false));
        for line in ["lora", "lora --lora", "lora --lora=true"] {
            let lora = parse(line);
            assert_eq!(
                (lora.train, lora.adapter.lora),
                (TrainConfig::of_adapter(Stage::Sft), true),
                "{line}"
            );
        }
    }

    #[test]
    fn what_is_said_wins_over_an_adapters_defaults() {
        for line in ["sft --lora --epochs 3 --lora-rank 2", "sft --epochs 3 --lora-rank 2 --lora"] {
            let args = parse(line);
            let expected = TrainConfig { epochs: 3.0, ..TrainConfig::of_adapter(Stage::Sft) };
            assert_eq!((args.train, args.adapter.shape.rank), (expected, 2), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_of_what_was_typed() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let typed = words("kindling lora --resume --out run --overwrite");
        let expanded = [typed.clone(), words("--lora-rank=16 --epochs=40.0")].concat();
        let told = |args: Vec<OsString>| {
            let error = command().try_get_matches_from(args).unwrap_err();
            as_typed(&command(), typed.clone(), error).to_string()
        };
        let message = told(expanded);
        assert!(message.contains("'--overwrite'") && !message.contains("epochs"), "{message}");
        // What is wrong with a file alone is told as it is.
        let message = told(words("kindling lora --out run --lora-rank=wide"));
        assert!(message.contains("wide"), "{message}");
    }

    #[test]
    fn help_tells_the_defaults_of_both_where_they_differ() {
        let help = |verb: &str| {
            let mut command = command();
            let help = command.find_subcommand_mut(verb).unwrap().render_help().to_string();
            help.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        for (verb, epochs) in [
            ("pretrain", "--steps replaces it [with --lora: 4.0] [default: 1.0]"),
            ("sft", "--steps replaces it [with --lora: 40.0] [default: 2.0]"),
            ("lora", "--steps replaces it [default: 40.0]"),
        ] {
            assert!(help(verb).contains(epochs), "{}", help(verb));
        }
        assert!(!help("lora").contains("with --lora"), "{}", help("lora"));
        for (verb, shown) in [("dpo", true), ("sft", false), ("lora", false), ("pretrain", false)] {
            assert_eq!(help(verb).contains("--label-smoothing"), shown, "{verb}");
        }
        for (verb, shown) in [("distill", true), ("sft", false), ("dpo", false)] {
            assert_eq!(help(verb).contains("--kd-temperature"), shown, "{verb}");
        }
        for (verb, shown) in [("reason", true), ("sft", false), ("distill", false)] {
            assert_eq!(help(verb).contains("--tag-weight"), shown, "{verb}");
        }
        for (verb, flags, hidden) in [
            (
                "grpo",
                "--reward --max-new-tokens --reference --eval-answers --think-tags",
                "--beta --tag-weight",
            ),
            ("distill", "--max-new-tokens --on-policy", "--reward --reference"),
            ("dpo", "--reference --beta", "--max-new-tokens --group-size"),
        ] {
            let shown = |flag: &str| help(verb).contains(&format!("{flag} "));
            assert!(flags.split(' ').all(shown) && !hidden.split(' ').any(shown), "{verb}: {}", help(verb));
        }
    }
}
