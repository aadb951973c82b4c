//! `generate`: completes a prompt.

use std::io::{Read, stdin};

use clap::Args;
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::sample::{Decoder, Flow, Generation, GenerationRequest, SamplingConfig, generate};
use kindling::tokenizer::Tokenizer;

use super::ModelArgs;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::interrupt;
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
    /// How tokens are chosen
    #[command(flatten)]
    pub sampling: SamplingConfig,
}

/// Openings in both languages, for a first look at a model.
const DEMO_PROMPTS: [&str; 6] =
    ["Once upon a time", "The little fox", "My name is", "从前有一只", "今天天气", "人工智能是"];

/// Runs the verb.
pub fn run(args: &GenerateArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    check(&args.sampling)?;
    let prompts = prompts(args)?;
    let (model, tokenizer) = args.model.open(everywhere)?;
    if prompts.is_empty() {
        let generation = complete(&model, tokenizer.as_ref(), &args.tokens, args, output)?;
        return show(&generation, output);
    }
    let tokenizer = tokenizer.ok_or_else(|| {
        Error::Checkpoint(format!(
            "{}: there is no tokenizer.json; give ids with --tokens",
            args.model.model.display()
        ))
    })?;
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
            "there is nothing to go on from; give --prompt TEXT, --tokens 1,2,3 or --demo".into(),
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
    let mut decoder = Decoder::new(model, prompt.len() + args.sampling.max_new_tokens);
    let request = GenerationRequest {
        prompt,
        reuse: 0,
        end_ids: &model.config().eos_token_ids,
        tokenizer,
        config: &args.sampling,
    };
    let mut on_text = |text: &str| {
        output.piece(text);
        if interrupt::asked() { Flow::Stop } else { Flow::Continue }
    };
    Ok(pollster::block_on(generate(&mut decoder, &request, &mut on_text))?)
}

fn show(generation: &Generation, output: Output) -> Result<(), Failure> {
    output.json(generation);
    output.line("");
    if let Some(speed) = generation.decode_tokens_per_second {
        output.say(&format!("{} tokens, {speed:.1} tokens/s", generation.tokens.len()));
    }
    if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(()) }
}
