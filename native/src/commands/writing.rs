//! One prompt written out with whatever the checkpoint is: token by token, or mask by mask, as a person or a program wants
//! to see it.

use clap::Args;
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::sample::{
    Canvas, Flow, Generation, GenerationRequest, SamplingConfig, UnmaskConfig, Writer, Written, check_ids,
    check_unmask,
};
use kindling::tokenizer::Tokenizer;
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt;
use crate::output::{self, Output};
use crate::unmasking::{Step, Unmasking};

/// The flags that act on models which predict masked tokens, by their long names.
const OF_MASKS: [&str; 8] = [
    "steps",
    "block-length",
    "remasking",
    "cfg-scale",
    "threshold",
    "prefix-cache",
    "show-steps",
    "hole-tokens",
];

/// How a model that predicts masked tokens writes, and what is seen of it.
#[derive(Args)]
pub struct UnmaskArgs {
    /// How masks are filled
    #[command(flatten)]
    pub settings: UnmaskConfig,
    /// Tell every step of a model that predicts masked tokens: a line each, or `steps` in the JSON. Without it a terminal
    /// shows the text as it fills
    #[arg(long)]
    pub show_steps: bool,
}

/// Settings of sampling and of unmasking that do not hold, all at once.
///
/// # Errors
/// All of them.
pub fn check(sampling: &SamplingConfig, unmask: &UnmaskConfig) -> Result<(), Failure> {
    let problems: Vec<_> = sampling.validate().into_iter().chain(unmask.validate()).collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems).into()) }
}

/// Refuses flags that say how masks are filled where the model has none; `said` are those that were given.
///
/// # Errors
/// Their names.
pub fn refuse_idle(model: &Transformer, said: &[String]) -> Result<(), Failure> {
    let given = OF_MASKS.iter().filter(|flag| said.iter().any(|said| said == *flag));
    let given: Vec<String> = given.map(|flag| format!("--{flag}")).collect();
    if model.config().diffusion.is_some() || given.is_empty() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{} says how masked tokens are filled, and this model writes from left to right: leave it out, or take a model that \
         `kindling convert --to diffusion` made",
        given.join(", ")
    )))
}

/// A model that writes.
pub struct Writing<'a> {
    /// Which.
    pub model: &'a Transformer,
    /// Its tokenizer, without which ids are all there is.
    pub tokenizer: Option<&'a Tokenizer>,
    /// Whether every step of unmasking is told.
    pub show_steps: bool,
    /// Where it is shown.
    pub output: Output,
    /// What the ids of told steps mean, where a program reads them.
    vocabulary: Option<String>,
}

/// What is to be written, and how.
pub struct ToWrite<'a> {
    /// The prompt as people read it.
    pub text: &'a str,
    /// The prompt's ids.
    pub ids: &'a [u32],
    /// The same where it has holes, which are filled; else the prompt is gone on from.
    pub canvas: Option<&'a Canvas>,
    /// How tokens are chosen.
    pub sampling: &'a SamplingConfig,
    /// How masks are filled.
    pub unmask: UnmaskConfig,
    /// Whether the text is shown as it comes; one of many prompts is shown when it is done.
    pub alone: bool,
}

/// What was written, as programs see it.
#[derive(Serialize)]
pub struct Completion {
    /// The new ids and text; of a prompt with holes all of it.
    #[serde(flatten)]
    pub generation: Generation,
    /// What stands in each hole of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holes: Option<Vec<String>>,
    /// The steps, where they were to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Step>>,
    /// The vocabulary that their ids are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<String>,
    /// Whether prompt and text stand on stdout already.
    #[serde(skip)]
    pub shown: bool,
}

impl From<Generation> for Completion {
    fn from(generation: Generation) -> Self {
        Self { generation, holes: None, steps: None, vocabulary: None, shown: false }
    }
}

impl<'a> Writing<'a> {
    /// A model with its tokenizer, if it has one; `show_steps` whether every step of unmasking is told.
    pub fn new(
        model: &'a Transformer,
        tokenizer: Option<&'a Tokenizer>,
        show_steps: bool,
        output: Output,
    ) -> Self {
        let vocabulary = tokenizer.filter(|_| show_steps && output.json).map(Tokenizer::vocabulary_hash);
        Self { model, tokenizer, show_steps, output, vocabulary }
    }
}

impl Writing<'_> {
    /// Whether the model predicts masked tokens.
    fn is_masked(&self) -> bool {
        self.model.config().diffusion.is_some()
    }

    /// Writes one out; an interruption ends it with what there is.
    ///
    /// # Errors
    /// What [`Writer::write`] and [`Writer::infill`] refuse.
    pub fn write(&self, asked: &ToWrite) -> Result<Completion, Failure> {
        interrupt::listen();
        let ends = &self.model.config().eos_token_ids;
        let ends = self.tokenizer.map_or_else(|| ends.clone(), |tokenizer| tokenizer.end_ids(ends));
        let request = GenerationRequest {
            prompt: asked.ids,
            reuse: 0,
            end_ids: &ends,
            tokenizer: self.tokenizer,
            config: asked.sampling,
            unmask: asked.unmask,
        };
        self.check(&request, asked.canvas.is_some())?;
        let new = asked.canvas.map_or(asked.sampling.max_new_tokens, |_| 0);
        let mut writer = Writer::new(self.model, asked.ids.len().saturating_add(new));
        if asked.alone && asked.canvas.is_none() {
            self.tell_bound(&writer, &request);
        }
        let mut steps = self.is_masked().then(|| self.unmasking(asked));
        let streams =
            asked.alone && asked.canvas.is_none() && !steps.as_ref().is_some_and(Unmasking::is_seen);
        if streams {
            self.output.piece(asked.text);
        }
        let mut on = |written: Written| {
            match (written, &mut steps) {
                (Written::Piece(piece), _) if streams => self.output.piece(piece.text),
                (Written::Step(step), Some(steps)) => steps.push(&step),
                _ => {}
            }
            if interrupt::asked() { Flow::Stop } else { Flow::Continue }
        };
        let made = match asked.canvas {
            Some(_) => pollster::block_on(writer.infill(&request, &mut on)),
            None => pollster::block_on(writer.write(&request, &mut on)),
        };
        let steps = steps.and_then(Unmasking::finish);
        let vocabulary = self.vocabulary.clone().filter(|_| steps.is_some());
        let mut completion = Completion { steps, vocabulary, shown: streams, ..made?.into() };
        // What was interrupted is shorter, and which hole a token stands in is not known then.
        let whole = asked.canvas.filter(|canvas| canvas.ids.len() == completion.generation.tokens.len());
        if let (Some(canvas), Some(tokenizer)) = (whole, self.tokenizer) {
            let filled = canvas.filled(&completion.generation.tokens, tokenizer, &ends)?;
            completion.generation.text = filled.text;
            completion.holes = Some(filled.holes);
        }
        Ok(completion)
    }

    /// Refuses what cannot be written before any of it is shown.
    fn check(&self, request: &GenerationRequest, infill: bool) -> Result<(), Error> {
        let config = self.model.config();
        if self.is_masked() {
            return check_unmask(config, request, infill);
        }
        request.check(config.context())?;
        check_ids(request.prompt, config.vocab_size)
    }

    fn unmasking(&self, asked: &ToWrite) -> Unmasking<'_> {
        let steps = Unmasking::new(self.tokenizer, self.output, self.show_steps);
        match asked.canvas {
            Some(canvas) => {
                steps.within(asked.ids, |place| canvas.holes.iter().any(|hole| hole.contains(&place)))
            }
            None => steps.behind(asked.text),
        }
    }

    /// Says where the context ends an answer before its settings do.
    fn tell_bound(&self, writer: &Writer, request: &GenerationRequest) {
        if let Some(most) = writer.bound_by(request).filter(|most| *most > 0) {
            self.output.warn(&format!(
                "the model's context of {} tokens holds the {} of the prompt and {most} new ones, not the {} of \
                 --max-new-tokens; the answer ends there at the latest",
                self.model.config().context(),
                request.prompt.len(),
                request.config.max_new_tokens
            ));
        }
    }

    /// Shows what was written, as far as it was not yet, and how fast.
    ///
    /// # Errors
    /// An interruption.
    pub fn show(&self, asked: &ToWrite, made: &Completion) -> Result<(), Failure> {
        let output = self.output;
        output.json(made);
        if !made.shown {
            let before = if asked.canvas.is_none() { asked.text } else { "" };
            output.piece(&format!("{before}{}", made.generation.text));
        }
        output.line("");
        if let Some(speed) = made.generation.decode_tokens_per_second {
            let new = |canvas: &Canvas| canvas.holes.iter().map(ExactSizeIterator::len).sum();
            let tokens = asked.canvas.map_or(made.generation.tokens.len(), new);
            let tokens = output::counted(tokens as u64, ["token", "tokens"]);
            output.say(&format!("{tokens}, {speed:.1} tokens/s"));
        }
        if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(()) }
    }
}
