//! The answer to a request, whole or in parts: what the engine tells goes in, what is sent comes out. Both are made of the
//! same deltas.

use serde::Serialize;

use super::ApiError;
use super::chat_answer::{ChatChunk, ChatCompletion, ChatShape, Usage};
use super::choice::{Choice, Delta, Gathered};
use super::completion_answer::{Completion, CompletionShape};
use super::ollama_answer::{BegunCall, OllamaAnswer, OllamaShape};
use super::served::Head;
use crate::sample::{BatchEvent, Generation, Piece};

/// A part of an answer: the data of one server-sent event, or a line of Ollama's.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Chunk {
    /// Of `/v1/chat/completions`.
    Chat(ChatChunk),
    /// Of `/v1/completions`.
    Completion(Completion),
    /// Of Ollama's endpoints.
    Ollama(OllamaAnswer),
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of `/v1/chat/completions`.
    Chat(ChatCompletion),
    /// Of `/v1/completions`.
    Completion(Completion),
    /// Of Ollama's endpoints.
    Ollama(OllamaAnswer),
}

/// Which endpoint answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Chat(ChatShape),
    Completion(CompletionShape),
    Ollama(OllamaShape),
}

/// What is known of a prompt.
#[derive(Clone, Debug, Default)]
pub(super) struct AnsweredPrompt {
    /// Its ids, where their likelihoods are told; else empty.
    pub ids: Vec<u32>,
    /// How many it has.
    pub tokens: usize,
    /// Its text, where the answer repeats it.
    pub echo: Option<String>,
}

/// One answer: its prompt and its state.
struct Answering {
    prompt: usize,
    choice: Choice,
    gathered: Gathered,
    begun: BegunCall,
}

/// Builds the answer to one request.
///
/// In order: [`Reply::begin`]; of each answer the prompt's logits, where its work asks for them, and [`Reply::prompt_end`];
/// its events or [`Reply::skip`]; [`Reply::finish`]. A stream sends what these return; a whole answer is [`Reply::whole`],
/// and then they return nothing.
pub struct Reply {
    shape: Shape,
    head: Head,
    stream: bool,
    prompts: Vec<AnsweredPrompt>,
    answers: Vec<Answering>,
}

impl Reply {
    /// A reply of so many answers to each prompt.
    pub(super) fn new(
        shape: Shape,
        head: Head,
        stream: bool,
        prompts: Vec<AnsweredPrompt>,
        choices: Vec<(usize, Choice)>,
    ) -> Self {
        let answering =
            |(prompt, choice)| Answering { prompt, choice, gathered: Gathered::default(), begun: None };
        Self { shape, head, stream, prompts, answers: choices.into_iter().map(answering).collect() }
    }

    /// Whether it is sent in parts.
    pub fn is_stream(&self) -> bool {
        self.stream
    }

    /// Whether all of its answers have ended.
    pub fn is_done(&self) -> bool {
        self.answers.iter().all(|answer| answer.choice.is_ended())
    }

    /// The parts that come before anything else.
    pub fn begin(&mut self) -> Vec<Chunk> {
        match self.shape {
            Shape::Chat(shape) if self.stream => {
                (0..self.answers.len()).map(|index| Chunk::Chat(shape.first(&self.head, index))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Takes the logits of a position of an answer's prompt, in order, all of them.
    pub fn prompt_logits(&mut self, index: usize, position: usize, logits: &[f32]) {
        if let Some(answer) = self.answers.get_mut(index) {
            answer.choice.prompt_logits(&self.prompts[answer.prompt].ids, position, logits);
        }
    }

    /// Ends an answer's prompt: where it is repeated, it is told now. To be called for each answer before its events.
    pub fn prompt_end(&mut self, index: usize) -> Vec<Chunk> {
        let Some(answer) = self.answers.get_mut(index) else { return Vec::new() };
        match self.prompts[answer.prompt].echo.clone() {
            Some(text) => {
                let delta = answer.choice.prompt(text);
                self.told(index, vec![delta])
            }
            None => Vec::new(),
        }
    }

    /// Takes an event of one of the answers.
    ///
    /// # Errors
    /// Why the engine cannot go on with it; the others of the request are of no use then.
    pub fn event(&mut self, index: usize, event: &BatchEvent<'_>) -> Result<Vec<Chunk>, ApiError> {
        match event {
            BatchEvent::Piece { piece, .. } => Ok(self.piece(index, piece)),
            BatchEvent::Done { generation, .. } => Ok(self.done(index, generation)),
            BatchEvent::Failed { error, .. } => Err(ApiError::of(error)),
        }
    }

    /// Takes what a token brought to one of the answers.
    pub fn piece(&mut self, index: usize, piece: &Piece<'_>) -> Vec<Chunk> {
        let Some(answer) = self.answers.get_mut(index) else { return Vec::new() };
        let deltas = answer.choice.piece(piece);
        self.told(index, deltas)
    }

    /// Takes the end of one of the answers.
    pub fn done(&mut self, index: usize, generation: &Generation) -> Vec<Chunk> {
        let Some(answer) = self.answers.get_mut(index) else { return Vec::new() };
        let deltas = answer.choice.end(generation);
        self.told(index, deltas)
    }

    /// Ends an answer for which nothing new was asked.
    pub fn skip(&mut self, index: usize) -> Vec<Chunk> {
        let Some(answer) = self.answers.get_mut(index) else { return Vec::new() };
        let delta = answer.choice.skip();
        self.told(index, vec![delta])
    }

    /// The parts that come behind all others, without the `[DONE]` of the transport.
    pub fn finish(&mut self) -> Vec<Chunk> {
        if !self.stream {
            return Vec::new();
        }
        let usage = self.usage();
        let last = match self.shape {
            Shape::Chat(shape) => shape.last(&self.head, usage).map(Chunk::Chat),
            Shape::Completion(shape) => shape.last(&self.head, usage).map(Chunk::Completion),
            Shape::Ollama(shape) => self.answers.is_empty().then(|| Chunk::Ollama(shape.loaded(&self.head))),
        };
        last.into_iter().collect()
    }

    /// The whole answer.
    pub fn whole(mut self) -> Answer {
        let usage = self.usage();
        let prompt = self.prompts.first().map_or(0, |prompt| prompt.tokens);
        let mut gathered: Vec<Gathered> = self.answers.drain(..).map(|answer| answer.gathered).collect();
        match self.shape {
            Shape::Chat(shape) => Answer::Chat(shape.whole(&self.head, gathered, usage)),
            Shape::Completion(shape) => Answer::Completion(shape.whole(&self.head, gathered, usage)),
            Shape::Ollama(shape) => Answer::Ollama(match gathered.pop() {
                Some(answer) => shape.whole(&self.head, prompt, answer),
                None => shape.loaded(&self.head),
            }),
        }
    }

    /// What the answers took so far.
    pub fn usage(&self) -> Usage {
        let prompts = self.prompts.iter().map(|prompt| prompt.tokens).sum();
        let endings = self.answers.iter().filter_map(|answer| answer.gathered.ending);
        Usage::new(prompts, endings.map(|ending| ending.tokens).sum())
    }

    /// Sends deltas on, or keeps them for the whole answer.
    fn told(&mut self, index: usize, deltas: Vec<Delta>) -> Vec<Chunk> {
        let (shape, head) = (self.shape, &self.head);
        let Some(answer) = self.answers.get_mut(index) else { return Vec::new() };
        let prompt = self.prompts[answer.prompt].tokens;
        let mut chunks = Vec::new();
        for delta in deltas {
            if !self.stream {
                answer.gathered.add(delta);
                continue;
            }
            answer.gathered.ending = answer.gathered.ending.or(delta.ending);
            chunks.extend(match shape {
                Shape::Chat(shape) => shape.part(head, index, delta).map(Chunk::Chat),
                Shape::Completion(shape) => Some(Chunk::Completion(shape.part(head, index, delta))),
                Shape::Ollama(shape) => shape.part(head, prompt, &mut answer.begun, delta).map(Chunk::Ollama),
            });
        }
        chunks
    }
}
