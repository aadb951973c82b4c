//! `generate`: completes a prompt.

use std::io::{Read, stdin};

use clap::Args;
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::sample::{Flow, Generation, GenerationRequest, SamplingConfig, UnmaskConfig, Writer, Written};
use kindling::tokenizer::Tokenizer;

use super::prompts::{self, PromptRows};
use super::{ModelArgs, sampling_of, use_template};
use crate::cli::Everywhere;
use crate::date::Date;
use crate::failure::Failure;
use crate::interrupt;
use crate::model_files::tokenizer_remedy;
use crate::output::Output;

/// Flags of `generate`.
#[derive(Args)]
pub struct GenerateArgs {
    /// Which model
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text to go on from; `-` reads it from stdin
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
    /// Which rows of --data, and how they are read
    #[command(flatten)]
    pub rows: PromptRows,
    /// How tokens are chosen
    #[command(flatten)]
    pub sampling: SamplingConfig,
}

/// Openings in both languages, for a first look at a model.
const DEMO_PROMPTS: [&str; 6] =
    ["Once upon a time", "The little fox", "My name is", "从前有一只", "今天天气", "人工智能是"];

/// Runs the verb; `said` are the flags that were given.
pub fn run(mut args: GenerateArgs, everywhere: &Everywhere, said: &[String]) -> Result<(), Failure> {
    let output = everywhere.output();
    check(&args.sampling)?;
    if args.data.is_empty() {
        args.rows.refuse()?;
    }
    let prompts = if args.data.is_empty() { prompts(&args)? } else { Vec::new() };
    let (model, tokenizer) = args.model.open(everywhere)?;
    args.sampling = sampling_of(&args.sampling, &model, said, output);
    let args = &args;
    if prompts.is_empty() && args.data.is_empty() {
        let generation = complete(&model, tokenizer.as_ref(), &args.tokens, args, output)?;
        return show(&generation, output);
    }
    let mut tokenizer = tokenizer.ok_or_else(|| {
        Error::Checkpoint(
            format!(
                "{}: there is no tokenizer.json; give ids with --tokens, or {}",
                args.model.model.display(),
                tokenizer_remedy(&args.model.model)
            )
            .into(),
        )
    })?;
    if !args.data.is_empty() {
        use_template(&mut tokenizer, args.rows.chat_template.as_deref())?;
        args.rows.date.unwrap_or_else(Date::today).set(&mut tokenizer);
        return prompts::run(args, &model, &tokenizer, output);
    }
    for prompt in prompts {
        let ids = tokenizer.encode_document(&prompt)?;
        output.piece(&prompt);
        let generation = complete(&model, Some(&tokenizer), &ids, args, output)?;
        show(&generation, output)?;
    }
    Ok(())
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

fn complete(
    model: &Transformer,
    tokenizer: Option<&Tokenizer>,
    prompt: &[u32],
    args: &GenerateArgs,
    output: Output,
) -> Result<Generation, Failure> {
    interrupt::listen();
    let mut writer = Writer::new(model, prompt.len().saturating_add(args.sampling.max_new_tokens));
    let ends = &model.config().eos_token_ids;
    let ends = tokenizer.map_or_else(|| ends.clone(), |tokenizer| tokenizer.end_ids(ends));
    let request = GenerationRequest {
        prompt,
        reuse: 0,
        end_ids: &ends,
        tokenizer,
        config: &args.sampling,
        unmask: UnmaskConfig::default(),
    };
    let context = model.config().context();
    if let Some(most) = writer.bound_by(&request).filter(|most| *most > 0) {
        output.warn(&format!(
            "the model's context of {context} tokens holds the {} of the prompt and {most} new ones, not the {} of \
             --max-new-tokens; the answer ends there at the latest",
            prompt.len(),
            args.sampling.max_new_tokens
        ));
    }
    let mut on = |written: Written| {
        if let Written::Piece(piece) = written {
            output.piece(piece.text);
        }
        if interrupt::asked() { Flow::Stop } else { Flow::Continue }
    };
    Ok(pollster::block_on(writer.write(&request, &mut on))?)
}

fn show(generation: &Generation, output: Output) -> Result<(), Failure> {
    output.json(generation);
    output.line("");
    if let Some(speed) = generation.decode_tokens_per_second {
        output.say(&format!("{} tokens, {speed:.1} tokens/s", generation.tokens.len()));
    }
    if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(()) }
}
