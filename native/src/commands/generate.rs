//! `generate`: completes a prompt.

use std::io::{Read, stdin};
use std::path::PathBuf;

use clap::Args;
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::sample::{Canvas, HOLE_TOKENS, SamplingConfig, UnmaskConfig, canvas_of, has_holes, unescaped};
use kindling::tokenizer::Tokenizer;

use super::demo::{DemoArgs, kind_of, sees_both_sides};
use super::generated_file::GeneratedBy;
use super::prompt_rows::{PromptRows, check_room};
use super::prompts::Continuing;
use super::row_file::{made_by, refuse_own_source};
use super::writing::{self, ToWrite, UnmaskArgs, Writing};
use super::{ModelArgs, generate_beside, prompts, sampling_of, use_template};
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
    /// The text to go on from; `-` reads it from stdin, without the end of its last line. A model that predicts masked tokens fills its holes, which are three
    /// underscores and more (behind a backslash they are text)
    #[arg(long, conflicts_with_all = ["tokens", "demo"])]
    pub prompt: Option<String>,
    /// The ids to go on from, as they are
    #[arg(long, value_delimiter = ',', conflicts_with = "demo")]
    pub tokens: Vec<u32>,
    /// The built-in prompts
    #[command(flatten)]
    pub demo: DemoArgs,
    /// Files, directories, globs, hub:owner/name, ms:owner/name or - for the standard input whose rows are prompts (repeatable):
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

/// Runs the verb with the models that were named; `said` are the flags that were given.
pub fn run(
    mut args: GenerateArgs,
    models: Vec<PathBuf>,
    everywhere: &Everywhere,
    said: &[String],
) -> Result<(), Failure> {
    let output = everywhere.output();
    writing::check(&args.sampling, &args.unmask.settings)?;
    if args.data.is_empty() {
        args.rows.refuse()?;
    }
    if models.len() > 1 {
        return generate_beside::run(&args, &models, everywhere, said);
    }
    let mut prompts = if args.data.is_empty() { prompts(&args)? } else { Vec::new() };
    let before = made_before(&args)?;
    let (model, mut tokenizer, fingerprint) = match args.out {
        Some(_) => args.model.open_known(everywhere)?,
        None => {
            let (model, tokenizer) = args.model.open(everywhere)?;
            (model, tokenizer, String::new())
        }
    };
    if args.demo.demo {
        let (model, config) = (&args.model, model.config());
        let own = kind_of(&model.model, &model.adapter, config, tokenizer.as_ref());
        let texts = args.demo.demo_kind.unwrap_or(own).openings(sees_both_sides(config));
        prompts = texts.iter().map(ToString::to_string).collect();
    }
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
            numbers: args.model.numbers(everywhere.dtype),
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
    let writing = Writing::new(&model, tokenizer.as_ref(), args.unmask.show_steps, output);
    for prompt in &prompts {
        let asked = prompt.with(&args.sampling, args.unmask.settings, true);
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
pub(super) struct Asked {
    /// As people read it.
    pub text: String,
    /// Its ids, with masks in its holes.
    pub canvas: Canvas,
}

impl Asked {
    /// A text that a model with this tokenizer is to write on, its holes filled where the model has masks.
    pub fn of(
        text: String,
        model: &Transformer,
        tokenizer: &Tokenizer,
        hole_tokens: usize,
    ) -> Result<Self, Failure> {
        let Some(diffusion) = &model.config().diffusion else {
            let canvas = Canvas::of_ids(&tokenizer.encode_document(&text)?, None);
            return Ok(Self { text, canvas });
        };
        let canvas = canvas_of(&text, tokenizer, diffusion, hole_tokens)?;
        check_room(&canvas, hole_tokens, model.config().context())?;
        Ok(Self { text: unescaped(&text), canvas })
    }

    /// It as it is written out with these settings.
    pub fn with<'a>(
        &'a self,
        sampling: &'a SamplingConfig,
        unmask: UnmaskConfig,
        alone: bool,
    ) -> ToWrite<'a> {
        ToWrite {
            text: &self.text,
            ids: &self.canvas.ids,
            canvas: Some(&self.canvas).filter(|canvas| !canvas.holes.is_empty()),
            sampling,
            unmask,
            alone,
        }
    }

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
        let of = |text: String| Self::of(text, model, tokenizer, args.hole_tokens as usize);
        texts.into_iter().map(of).collect()
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
        tell_idle_length(output);
    }
    if model.config().diffusion.is_none() && prompts.iter().any(|prompt| has_holes(&prompt.text)) {
        output.warn(
            "___ is text here, because this model writes from left to right; one that predicts masked tokens fills such \
             holes (`kindling convert --to diffusion`)",
        );
    }
    Ok(())
}

/// `--max-new-tokens` beside holes.
pub(super) fn tell_idle_length(output: Output) {
    output.warn(
        "--max-new-tokens does nothing where the prompt has holes: they are filled, each of --hole-tokens",
    );
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
    match args.prompt.as_deref() {
        Some("-") => {
            let mut text = String::new();
            stdin().read_to_string(&mut text).map_err(|e| Error::Io { path: "stdin".into(), source: e })?;
            // What ends the last line belongs to the pipe: `echo` writes one, and the model would go on behind it.
            let line = |text: &str| text.strip_suffix('\r').unwrap_or(text).to_string();
            Ok(vec![text.strip_suffix('\n').map_or_else(|| text.clone(), line)])
        }
        Some(text) => Ok(vec![text.to_string()]),
        None if args.tokens.is_empty() && !args.demo.demo => Err(Failure::Usage(
            "there is nothing to go on from; give --prompt TEXT, --data FILE, --tokens 1,2,3 or --demo"
                .into(),
        )),
        None => Ok(Vec::new()),
    }
}
