//! `chat`: a conversation on the terminal.

use std::io::{BufRead, IsTerminal, StdinLock};
use std::path::PathBuf;

use clap::Args;
use kindling::chat::{AnswerSettings, CHAT_HELP, ChatCommand, ChatSession};
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::sample::{FinishReason, Flow, SamplingConfig, UnmaskConfig, Writer, Written};
use kindling::tokenizer::Tokenizer;
use rustyline::error::ReadlineError;
use serde_json::json;

use super::generate::check;
use super::train_args::DATE;
use super::{ModelArgs, sampling_of, use_template};
use crate::cli::Everywhere;
use crate::date::{Date, tell_unprinted};
use crate::failure::Failure;
use crate::folded::Folded;
use crate::interrupt;
use crate::output::{self, Output};

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
    #[arg(long)]
    pub history: Option<usize>,
    /// A Jinja chat template that replaces the tokenizer's own
    #[arg(long)]
    pub chat_template: Option<PathBuf>,
    /// One question, one answer, no conversation
    #[arg(long)]
    pub prompt: Option<String>,
    /// The day that chat templates with today's date print, as 2025-07-31 [default: today]
    #[arg(long, default_value_t = Date::today(), hide_default_value = true)]
    pub date: Date,
    /// How tokens are chosen
    #[command(flatten)]
    pub sampling: SamplingConfig,
}

struct Chat {
    session: ChatSession,
    writer: Writer,
    tokenizer: Tokenizer,
    end_ids: Vec<u32>,
    sampling: SamplingConfig,
    /// Most positions that the model holds.
    context: usize,
    /// Most earlier messages that are kept.
    history: Option<usize>,
    output: Output,
}

/// Runs the verb; `said` are the flags that were given.
pub fn run(mut args: ChatArgs, everywhere: &Everywhere, said: &[String]) -> Result<(), Failure> {
    check(&args.sampling)?;
    let (model, tokenizer) = args.model.open(everywhere)?;
    args.sampling = sampling_of(&args.sampling, &model, said, everywhere.output());
    let place = args.model.model.display();
    let without =
        |why: &str| Error::Template(format!("{place}: {why}; texts are completed with `generate`").into());
    let mut tokenizer = tokenizer
        .ok_or_else(|| without("there is no tokenizer.json, and no chat template without a tokenizer"))?;
    use_template(&mut tokenizer, args.chat_template.as_deref())?;
    tokenizer.check_chat_template().map_err(|error| without(&error.to_string()))?;
    args.date.set(&mut tokenizer);
    if said.iter().any(|said| said == DATE) {
        tell_unprinted(&tokenizer);
    }
    let mut chat = Chat::new(&model, tokenizer, &args, everywhere.output())?;
    match &args.prompt {
        Some(prompt) => chat.answer(prompt),
        None => chat.converse(),
    }
}

/// Where the questions come from.
enum Lines {
    /// A terminal, with a history.
    Typed(Box<rustyline::DefaultEditor>),
    /// A pipe or a file, with the number of the last line.
    Piped(StdinLock<'static>, u64),
}

impl Lines {
    fn open() -> Result<Self, Failure> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(Self::Piped(stdin.lock(), 0));
        }
        let editor = rustyline::DefaultEditor::new().map_err(unreadable)?;
        Ok(Self::Typed(Box::new(editor)))
    }

    /// The next line without its end; `None` behind the last. A piped one that is not UTF-8 is read as far as it goes,
    /// and named.
    fn read(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Typed(editor) => match editor.readline("> ") {
                Ok(line) => {
                    let _ = editor.add_history_entry(&line);
                    Ok(Some(line))
                }
                Err(ReadlineError::Interrupted) => Err(Failure::Interrupted),
                Err(ReadlineError::Eof) => Ok(None),
                Err(error) => Err(unreadable(error).into()),
            },
            Self::Piped(stdin, number) => {
                let mut bytes = Vec::new();
                let read = stdin.read_until(b'\n', &mut bytes);
                if read.map_err(|e| Error::Io { path: "stdin".into(), source: e })? == 0 {
                    return Ok(None);
                }
                *number += 1;
                let text = String::from_utf8(bytes).unwrap_or_else(|error| {
                    output::warn(&format!(
                        "line {number} of the input is not UTF-8; what cannot be read of it is asked as \u{FFFD}"
                    ));
                    String::from_utf8_lossy(error.as_bytes()).into_owned()
                });
                Ok(Some(text.trim_end_matches(['\n', '\r']).to_string()))
            }
        }
    }
}

fn unreadable(error: ReadlineError) -> Error {
    Error::Data(format!("the terminal cannot be read: {error}").into())
}

impl Chat {
    fn new(
        model: &Transformer,
        tokenizer: Tokenizer,
        args: &ChatArgs,
        output: Output,
    ) -> Result<Self, Failure> {
        let session = ChatSession::new(args.system.clone(), args.history)?;
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
        Ok(Self { session, writer, tokenizer, end_ids, sampling, context, history: args.history, output })
    }

    fn converse(&mut self) -> Result<(), Failure> {
        let mut lines = Lines::open()?;
        if matches!(lines, Lines::Typed(_)) {
            self.output.say("/help lists the commands, Ctrl-D ends");
        }
        loop {
            let Some(line) = lines.read()? else { return Ok(()) };
            match ChatCommand::parse(&line) {
                ChatCommand::Quit => return Ok(()),
                ChatCommand::Nothing => {}
                ChatCommand::Help => self.output.say(CHAT_HELP),
                ChatCommand::Reset => self.session.reset(),
                ChatCommand::System(system) => self.session.set_system(system),
                ChatCommand::Unknown(command) => {
                    self.output.say(&format!("there is no {command}; /help lists what there is"))
                }
                // A question that cannot be answered does not end the conversation.
                ChatCommand::Say(text) => match self.answer(&text) {
                    Err(Failure::Work(error)) => self.output.warn(&error.to_string()),
                    other => other?,
                },
            }
        }
    }

    fn answer(&mut self, text: &str) -> Result<(), Failure> {
        interrupt::listen();
        let output = self.output;
        // Whoever reads a pipe gets the answer as it is.
        let mut folded = (std::io::stdout().is_terminal() && !output.verbose).then(Folded::default);
        let mut on = |written: Written| {
            if let Written::Piece(piece) = written {
                match &mut folded {
                    Some(folded) => output.piece(&folded.push(piece.text)),
                    None => output.piece(piece.text),
                }
            }
            if interrupt::asked() { Flow::Stop } else { Flow::Continue }
        };
        let settings = AnswerSettings {
            tokenizer: &self.tokenizer,
            end_ids: &self.end_ids,
            sampling: &self.sampling,
            unmask: UnmaskConfig::default(),
        };
        let answer = self.session.answer(&mut self.writer, settings, text, &mut on);
        let answer = pollster::block_on(answer)?;
        folded.iter_mut().for_each(|folded| output.piece(&folded.finish()));
        output.line("");
        output.json(&json!({
            "role": "assistant", "content": answer.generation.text, "finish_reason": answer.generation.finish_reason,
            "dropped_messages": answer.dropped, "decode_tokens_per_second": answer.generation.decode_tokens_per_second,
        }));
        if answer.dropped > 0 {
            let history =
                self.history.map_or(String::new(), |messages| format!("--history keeps {messages}, and "));
            output.say(&format!(
                "({} of the oldest messages are forgotten: {history}the model's context holds {} tokens)",
                answer.dropped, self.context
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
            output.say(&format!("({} tokens, {speed:.1} tokens/s)", answer.generation.tokens.len()));
        }
        if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(()) }
    }
}
