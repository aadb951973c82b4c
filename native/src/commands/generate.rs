//! `generate`: completes a prompt.

use std::io::{Read, stdin};
use std::path::PathBuf;

use clap::Args;
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::sample::{Canvas, HOLE_TOKENS, SamplingConfig, canvas_of, has_holes, unescaped};
use kindling::tokenizer::Tokenizer;

use super::generated_file::GeneratedBy;
use super::prompt_rows::{PromptRows, check_room};
use super::prompts::Continuing;
use super::row_file::{made_by, refuse_own_source};
use super::writing::{self, ToWrite, UnmaskArgs, Writing};
use super::{ModelArgs, prompts, sampling_of, use_template};
use crate::cli::Everywhere;
use crate::date::Date;
use crate::failure::Failure;
use crate::model_files::tokenizer_remedy;
use crate::output::Output;

/// Flags of `generate`.
#[derive(Args)]
pub struct GenerateArgs {
    /// Which model
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text to go on from; `-` reads it from stdin. A model that predicts masked tokens fills its holes, which are three
    /// underscores and more (behind a backslash they are text)
    #[arg(long, conflicts_with_all = ["tokens", "demo"])]
    pub prompt: Option<String>,
    /// The ids to go on from, as they are
    #[arg(long, value_delimiter = ',', conflicts_with = "demo")]
    pub tokens: Vec<u32>,
    /// Run the built-in Chinese and English prompts
    #[arg(long)]
    pub demo: bool,
    /// Files, directories, globs, hub:owner/name or - for the standard input whose rows are prompts (repeatable):
    /// {"prompt": TEXT}, {"messages": […]}, {"question": TEXT} and others. The Nth draws with --seed + N - 1; a row may
    /// bring settings of its own (temperature, max_new_tokens, …)
    #[arg(long, conflicts_with_all = ["prompt", "tokens", "demo"])]
    pub data: Vec<String>,
    /// Write what is made of the rows of --data into this file, a line each as --json shows it, and not to the screen; an
    /// interrupted command goes on there with --resume
    #[arg(long, requires = "data")]
    pub out: Option<PathBuf>,
    /// Go on where the rows in --out end
    #[arg(long, requires = "out", conflicts_with = "overwrite")]
    pub resume: bool,
    /// Replace the rows in --out
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// Which rows of --data, and how they are read
    #[command(flatten)]
    pub rows: PromptRows,
    /// How tokens are chosen
    #[command(flatten)]
    pub sampling: SamplingConfig,
    /// How a model that predicts masked tokens writes
    #[command(flatten)]
    pub unmask: UnmaskArgs,
    /// Tokens of each hole in a prompt
    #[arg(long, default_value_t = HOLE_TOKENS as u32, value_parser = clap::value_parser!(u32).range(1..))]
    pub hole_tokens: u32,
}

/// Openings in both languages, for a first look at a model.
const DEMO_PROMPTS: [&str; 6] =
    ["Once upon a time", "The little fox", "My name is", "从前有一只", "今天天气", "人工智能是"];

/// Runs the verb; `said` are the flags that were given.
pub fn run(mut args: GenerateArgs, everywhere: &Everywhere, said: &[String]) -> Result<(), Failure> {
    let output = everywhere.output();
    writing::check(&args.sampling, &args.unmask.settings)?;
    if args.data.is_empty() {
        args.rows.refuse()?;
    }
    let prompts = if args.data.is_empty() { prompts(&args)? } else { Vec::new() };
    let before = made_before(&args)?;
    let (model, mut tokenizer, fingerprint) = match args.out {
        Some(_) => args.model.open_known(everywhere)?,
        None => {
            let (model, tokenizer) = args.model.open(everywhere)?;
            (model, tokenizer, String::new())
        }
    };
    writing::refuse_idle(&model, said)?;
    args.sampling = sampling_of(&args.sampling, &model, said, output);
    let args = &args;
    if tokenizer.is_none() && args.tokens.is_empty() {
        return Err(no_tokenizer(args).into());
    }
    if let Some(tokenizer) = tokenizer.as_mut().filter(|_| !args.data.is_empty()) {
        use_template(tokenizer, args.rows.chat_template.as_deref())?;
        // The day of the first rows is that of all.
        let begun = before.and_then(|before| before.date.parse().ok());
        let date = args.rows.date.or(begun).unwrap_or_else(Date::today);
        date.set(tokenizer);
        let made = args.out.as_ref().map(|_| GeneratedBy {
            model: fingerprint,
            numbers: format!("{:?} {:?}", everywhere.dtype, args.model.weights),
            sampling: args.sampling.clone(),
            unmask: args.unmask.settings,
            show_steps: args.unmask.show_steps,
            date: date.to_string(),
            prompts: String::new(),
        });
        return prompts::run(args, &Continuing { model: &model, tokenizer, made, output }, said);
    }
    let prompts = Asked::all(args, prompts, &model, tokenizer.as_ref())?;
    tell_of_holes(&prompts, &model, said, output)?;
    let (tokenizer, show_steps) = (tokenizer.as_ref(), args.unmask.show_steps);
    let writing = Writing { model: &model, tokenizer, show_steps, output };
    for prompt in &prompts {
        let asked = prompt.to_write(args);
        writing.show(&asked, &writing.write(&asked)?)?;
    }
    Ok(())
}

/// Refuses what `--out` must not replace; what made the rows that are to go on there.
fn made_before(args: &GenerateArgs) -> Result<Option<GeneratedBy>, Failure> {
    let Some(out) = &args.out else { return Ok(None) };
    refuse_own_source(out, &args.data)?;
    if args.resume { Ok(made_by(out)?) } else { Ok(None) }
}

/// A prompt with its ids.
struct Asked {
    text: String,
    canvas: Canvas,
}

impl Asked {
    /// All that are to be written.
    fn all(
        args: &GenerateArgs,
        texts: Vec<String>,
        model: &Transformer,
        tokenizer: Option<&Tokenizer>,
    ) -> Result<Vec<Self>, Failure> {
        let mask = model.config().diffusion.as_ref().map(|diffusion| diffusion.mask_token_id);
        let Some(tokenizer) = tokenizer.filter(|_| args.tokens.is_empty()) else {
            return Ok(vec![Self { text: String::new(), canvas: Canvas::of_ids(&args.tokens, mask) }]);
        };
        let asked = |text: String| -> Result<Self, Failure> {
            let Some(mask) = mask else {
                let canvas = Canvas::of_ids(&tokenizer.encode_document(&text)?, None);
                return Ok(Self { text, canvas });
            };
            let canvas = canvas_of(&text, tokenizer, mask, args.hole_tokens as usize)?;
            check_room(&canvas, args.hole_tokens as usize, model.config().context())?;
            Ok(Self { text: unescaped(&text), canvas })
        };
        texts.into_iter().map(asked).collect()
    }

    fn to_write<'a>(&'a self, args: &'a GenerateArgs) -> ToWrite<'a> {
        ToWrite {
            text: &self.text,
            ids: &self.canvas.ids,
            canvas: Some(&self.canvas).filter(|canvas| !canvas.holes.is_empty()),
            sampling: &args.sampling,
            unmask: args.unmask.settings,
            alone: true,
        }
    }
}

/// Says what does not act of holes, and of settings beside them.
fn tell_of_holes(
    prompts: &[Asked],
    model: &Transformer,
    said: &[String],
    output: Output,
) -> Result<(), Failure> {
    let said = |flag: &str| said.iter().any(|said| said == flag);
    let holes = prompts.iter().any(|prompt| !prompt.canvas.holes.is_empty());
    if said("hole-tokens") && !holes {
        return Err(idle_hole_tokens());
    }
    if said("max-new-tokens") && holes {
        output
            .warn("--max-new-tokens does nothing here: the prompt's holes are filled, each of --hole-tokens");
    }
    if model.config().diffusion.is_none() && prompts.iter().any(|prompt| has_holes(&prompt.text)) {
        output.warn(
            "___ is text here, because this model writes from left to right; one that predicts masked tokens fills such \
             holes (`kindling convert --to diffusion`)",
        );
    }
    Ok(())
}

/// `--hole-tokens` without a hole.
pub(super) fn idle_hole_tokens() -> Failure {
    Failure::Usage("--hole-tokens acts on prompts with holes (___), and there is none".into())
}

fn no_tokenizer(args: &GenerateArgs) -> Error {
    Error::Checkpoint(
        format!(
            "{}: there is no tokenizer.json; give ids with --tokens, or {}",
            args.model.model.display(),
            tokenizer_remedy(&args.model.model)
        )
        .into(),
    )
}

/// Sampling settings that do not hold, all at once.
pub fn check(sampling: &SamplingConfig) -> Result<(), Failure> {
    match sampling.validate() {
        problems if problems.is_empty() => Ok(()),
        problems => Err(Error::Config(problems).into()),
    }
}

fn prompts(args: &GenerateArgs) -> Result<Vec<String>, Failure> {
    if args.demo {
        return Ok(DEMO_PROMPTS.map(String::from).to_vec());
    }
    match args.prompt.as_deref() {
        Some("-") => {
            let mut text = String::new();
            stdin().read_to_string(&mut text).map_err(|e| Error::Io { path: "stdin".into(), source: e })?;
            Ok(vec![text])
        }
        Some(text) => Ok(vec![text.to_string()]),
        None if args.tokens.is_empty() => Err(Failure::Usage(
            "there is nothing to go on from; give --prompt TEXT, --data FILE, --tokens 1,2,3 or --demo"
                .into(),
        )),
        None => Ok(Vec::new()),
    }
}
