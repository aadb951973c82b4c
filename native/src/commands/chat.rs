//! `chat`: a conversation on the terminal.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use kindling::chat::{AnswerSettings, CHAT_HELP, ChatAnswer, ChatCommand, ChatSession};
use kindling::error::Error;
use kindling::model::{ModelConfig, Transformer};
use kindling::sample::{
    FinishReason, Flow, Generation, GenerationRequest, SamplingConfig, UnmaskConfig, Writer, Written,
    check_unmask,
};
use kindling::tokenizer::{StreamDecoder, Tokenizer};
use serde_json::{Value, json};

use super::chat_lines::Lines;
use super::demo::{DemoArgs, kind_of};
use super::train_args::DATE;
use super::writing::{self, UnmaskArgs};
use super::{ModelArgs, sampling_of, use_template};
use crate::cli::Everywhere;
use crate::date::{Date, tell_unprinted};
use crate::failure::Failure;
use crate::folded::Folded;
use crate::interrupt;
use crate::model_files::tokenizer_remedy;
use crate::output::{self, Output};
use crate::unmasking::{Step, Unmasking};

/// Flags of `chat`.
#[derive(Args)]
pub struct ChatArgs {
    /// Which model
    #[command(flatten)]
    pub model: ModelArgs,
    /// The system message
    #[arg(long)]
    pub system: Option<String>,
    /// Keep at most this many earlier messages (an even number; all that fit without it)
    #[arg(long, conflicts_with = "demo")]
    pub history: Option<usize>,
    /// A Jinja chat template that replaces the tokenizer's own
    #[arg(long)]
    pub chat_template: Option<PathBuf>,
    /// One question, one answer, no conversation
    #[arg(long, conflicts_with = "demo")]
    pub prompt: Option<String>,
    /// The built-in questions
    #[command(flatten)]
    pub demo: DemoArgs,
    /// Ask a built-in question behind at most this many earlier messages (an even number), and not each for itself
    #[arg(long, default_value_t = 0, requires = "demo")]
    pub demo_history: usize,
    /// The day that chat templates with today's date print, as 2025-07-31 [default: today]
    #[arg(long, default_value_t = Date::today(), hide_default_value = true)]
    pub date: Date,
    /// How tokens are chosen
    #[command(flatten)]
    pub sampling: SamplingConfig,
    /// How a model that predicts masked tokens writes
    #[command(flatten)]
    pub unmask: UnmaskArgs,
}

struct Chat {
    model: ModelConfig,
    session: ChatSession,
    writer: Writer,
    tokenizer: Tokenizer,
    end_ids: Vec<u32>,
    sampling: SamplingConfig,
    unmask: UnmaskConfig,
    /// Whether every step of unmasking is told.
    show_steps: bool,
    /// Most positions that the model holds.
    context: usize,
    /// Most earlier messages that are kept, and the flag that says it.
    history: Option<(usize, &'static str)>,
    output: Output,
}

/// Runs the verb; `said` are the flags that were given.
pub fn run(mut args: ChatArgs, everywhere: &Everywhere, said: &[String]) -> Result<(), Failure> {
    writing::check(&args.sampling, &args.unmask.settings)?;
    if args.demo_history % 2 == 1 {
        return Err(Failure::Usage(format!(
            "--demo-history is {}, but it must be even, because a question and its answer are kept together",
            args.demo_history
        )));
    }
    let (model, tokenizer) = args.model.open(everywhere)?;
    writing::refuse_idle(&model, said)?;
    args.sampling = sampling_of(&args.sampling, &model, said, everywhere.output());
    let place = args.model.model.display();
    let mut tokenizer = tokenizer.ok_or_else(|| {
        let remedy = tokenizer_remedy(&args.model.model);
        let why = "there is no tokenizer.json, and no chat template without a tokenizer";
        Error::Template(format!("{place}: {why}; {remedy}").into())
    })?;
    use_template(&mut tokenizer, args.chat_template.as_deref())?;
    tokenizer.check_chat_template().map_err(|why| {
        Error::Template(format!("{place}: {why}; texts are completed with `generate`").into())
    })?;
    args.date.set(&mut tokenizer);
    if said.iter().any(|said| said == DATE) {
        tell_unprinted(&tokenizer);
    }
    let kind = match args.demo.demo_kind {
        None if args.demo.demo => {
            let ModelArgs { model: place, adapter, .. } = &args.model;
            Some(kind_of(place, adapter, model.config(), Some(&tokenizer)))
        }
        kind => kind,
    };
    let mut chat = Chat::new(&model, tokenizer, &args, everywhere.output())?;
    match (&args.prompt, kind) {
        (Some(prompt), _) => chat.answer(prompt),
        (None, Some(kind)) => {
            chat.check_unmask(args.unmask.settings)?;
            chat.ask(kind.questions())
        }
        (None, None) => {
            chat.check_unmask(args.unmask.settings)?;
            chat.converse()
        }
    }
}

impl Chat {
    fn new(
        model: &Transformer,
        tokenizer: Tokenizer,
        args: &ChatArgs,
        output: Output,
    ) -> Result<Self, Failure> {
        let history = match args.demo.demo {
            true => (args.demo_history > 0).then_some((args.demo_history, "--demo-history")),
            false => args.history.map(|messages| (messages, "--history")),
        };
        let session = ChatSession::new(args.system.clone(), history.map(|(messages, _)| messages))?;
        let context = model.config().context();
        let writer = Writer::new(model, context);
        let end_ids = tokenizer.end_ids(&model.config().eos_token_ids);
        let sampling = args.sampling.clone();
        if sampling.max_new_tokens > context {
            output.warn(&format!(
                "--max-new-tokens is {}, and the model's context holds {context} tokens, question and answer \
                 together; answers end there at the latest",
                sampling.max_new_tokens
            ));
        }
        let UnmaskArgs { settings: unmask, show_steps } = args.unmask;
        Ok(Self {
            model: model.config().clone(),
            session,
            writer,
            tokenizer,
            end_ids,
            sampling,
            unmask,
            show_steps,
            context,
            history,
            output,
        })
    }

    /// Asks questions one after the other, each for itself where no history is kept.
    fn ask(&mut self, questions: &[&str]) -> Result<(), Failure> {
        for question in questions {
            if self.history.is_none() {
                self.session.reset();
            }
            self.output.line(&format!("> {question}"));
            self.output.json(&json!({"role": "user", "content": question}));
            // One that cannot be answered does not keep the others from it.
            match self.answer(question) {
                Err(Failure::Work(error)) => self.output.warn(&error.to_string()),
                other => other?,
            }
        }
        Ok(())
    }

    fn converse(&mut self) -> Result<(), Failure> {
        let mut lines = Lines::open()?;
        let typed = lines.are_typed();
        if typed {
            self.output.say("/help lists the commands, Ctrl-C ends an answer, Ctrl-D the conversation");
        }
        loop {
            let Some(line) = lines.read()? else { return Ok(()) };
            match ChatCommand::parse(&line) {
                ChatCommand::Quit => return Ok(()),
                ChatCommand::Nothing => {}
                ChatCommand::Help => self.output.say(CHAT_HELP),
                ChatCommand::Reset => self.session.reset(),
                ChatCommand::System(system) => self.session.set_system(system),
                ChatCommand::Steps(steps) => self.unmask(UnmaskConfig { steps, ..self.unmask }),
                ChatCommand::Threshold(threshold) => self.unmask(UnmaskConfig { threshold, ..self.unmask }),
                ChatCommand::Unknown(command) => {
                    self.output.say(&format!("there is no {command}; /help lists what there is"))
                }
                ChatCommand::Say(text) => self.reply(&text, typed)?,
            }
        }
    }

    /// Answers a question; one that cannot be answered does not end the conversation, nor does a Ctrl-C where it is typed.
    fn reply(&mut self, text: &str, typed: bool) -> Result<(), Failure> {
        let answered = self.answer(text);
        interrupt::rest();
        match answered {
            Err(Failure::Work(error)) => self.output.warn(&error.to_string()),
            Err(Failure::Usage(message)) => self.output.warn(&message),
            Err(Failure::Interrupted) if typed && interrupt::take_back() => {}
            other => other?,
        }
        Ok(())
    }

    /// Fills masks as a person asks from now on, where there are masks and the settings hold.
    fn unmask(&mut self, settings: UnmaskConfig) {
        if self.model.diffusion.is_none() {
            return self.output.say("this model writes from left to right and fills no masks");
        }
        let why = match self.check_unmask(settings) {
            Ok(()) => return self.unmask = settings,
            Err(Error::Config(problems)) => problems.join("; "),
            Err(error) => error.to_string(),
        };
        self.output.say(&format!("{why}; the settings stay as they were"));
    }

    /// Refuses settings of masks that do not hold for answers of the length that is asked for, behind a short prompt.
    fn check_unmask(&self, unmask: UnmaskConfig) -> Result<(), Error> {
        let Some(diffusion) = &self.model.diffusion else { return Ok(()) };
        // Most blocks, and so most steps, are needed where the prompt leaves one place of its last block.
        let places = diffusion.block_length.unwrap_or(0).min(self.context).saturating_sub(1).max(1);
        let prompt = vec![u32::from(diffusion.mask_token_id == 0); places];
        let request = GenerationRequest {
            prompt: &prompt,
            reuse: 0,
            end_ids: &self.end_ids,
            tokenizer: Some(&self.tokenizer),
            config: &self.sampling,
            unmask,
        };
        check_unmask(&self.model, &request, false)
    }

    fn answer(&mut self, text: &str) -> Result<(), Failure> {
        interrupt::listen();
        let output = self.output;
        // Whoever reads a pipe gets the answer as it is.
        let mut folded = (std::io::stdout().is_terminal() && !output.verbose).then(Folded::default);
        let mut steps = matches!(self.writer, Writer::Masked(_))
            .then(|| Unmasking::new(Some(&self.tokenizer), output, self.show_steps));
        // What masks become is folded once it is whole: its pieces are no tokens.
        let streams = !steps.as_ref().is_some_and(|steps| steps.is_seen() || folded.is_some());
        let mut on = |written: Written| {
            match (written, &mut steps, &mut folded) {
                (Written::Piece(piece), _, Some(folded)) if streams => output.piece(&folded.push(piece.text)),
                (Written::Piece(piece), _, None) if streams => output.piece(piece.text),
                (Written::Step(step), Some(steps), _) => steps.push(&step),
                _ => {}
            }
            if interrupt::asked() { Flow::Stop } else { Flow::Continue }
        };
        let settings = AnswerSettings {
            tokenizer: &self.tokenizer,
            end_ids: &self.end_ids,
            sampling: &self.sampling,
            unmask: self.unmask,
        };
        let answer = self.session.answer(&mut self.writer, settings, text, &mut on);
        let answer = pollster::block_on(answer);
        let steps = steps.and_then(Unmasking::finish);
        let answer = answer?;
        if !streams {
            show_whole(&answer.generation, &self.tokenizer, folded.as_mut(), output)?;
        }
        folded.iter_mut().for_each(|folded| output.piece(&folded.finish()));
        output.line("");
        output.json(&shown(&answer, steps, &self.tokenizer));
        self.remark(&answer);
        if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(()) }
    }

    /// Says what was forgotten, what ended the answer, and how fast it came.
    fn remark(&self, answer: &ChatAnswer) {
        let output = self.output;
        if answer.dropped > 0 {
            let kept = |(messages, flag)| format!("{flag} keeps {messages}, and ");
            let history = self.history.map_or(String::new(), kept);
            output.say(&format!(
                "({} forgotten: {history}the model's context holds {} tokens)",
                output::counted(
                    answer.dropped as u64,
                    ["of the oldest messages is", "of the oldest messages are"]
                ),
                self.context
            ));
        }
        let new = answer.generation.tokens.len();
        if answer.generation.finish_reason == FinishReason::Length && new < self.sampling.max_new_tokens {
            output.warn(&format!(
                "the answer ends here because the model's context of {} tokens is full; /reset makes room",
                self.context
            ));
        }
        if let Some(speed) = answer.generation.decode_tokens_per_second {
            let new = output::counted(new as u64, ["token", "tokens"]);
            output.say(&format!("({new}, {speed:.1} tokens/s)"));
        }
    }
}

/// An answer as programs see it; one with steps has what `replay` reads, under the names that `generate` gives it.
fn shown(answer: &ChatAnswer, steps: Option<Vec<Step>>, tokenizer: &Tokenizer) -> Value {
    let ChatAnswer { generation, dropped } = answer;
    let mut shown = json!({
        "role": "assistant", "content": generation.text, "finish_reason": generation.finish_reason,
        "dropped_messages": dropped, "decode_tokens_per_second": generation.decode_tokens_per_second,
    });
    if let Some(steps) = steps {
        shown["prompt_tokens"] = json!(generation.prompt_tokens);
        shown["tokens"] = json!(generation.tokens);
        shown["text"] = json!(generation.text);
        shown["steps"] = json!(steps);
        shown["vocabulary"] = json!(tokenizer.vocabulary_hash());
    }
    shown
}

/// Shows an answer that is whole; where thoughts are folded, token by token, because they are counted.
fn show_whole(
    generation: &Generation,
    tokenizer: &Tokenizer,
    folded: Option<&mut Folded>,
    output: Output,
) -> Result<(), Failure> {
    let Some(folded) = folded else {
        output.piece(&generation.text);
        return Ok(());
    };
    let (mut decoder, mut rest) = (StreamDecoder::continuing(tokenizer, true), generation.text.as_str());
    for &id in &generation.tokens {
        // A stop string ends the text before its tokens.
        let (new, later) = rest.split_at(rest.floor_char_boundary(decoder.push(id)?.len()));
        output.piece(&folded.push(new));
        rest = later;
    }
    output.piece(&folded.push(rest));
    Ok(())
}
