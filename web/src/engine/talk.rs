//! Answers: chat, completion.

use kindling::chat::{ChatPrompt, ChatSession, common_prefix};
use kindling::model::Transformer;
use kindling::sample::{Flow, Generation, GenerationRequest, SamplingConfig, UnmaskConfig, Writer, Written};
use kindling::text;
use kindling::tokenizer::Tokenizer;
use kindling::told::{Told, told};
use serde_json::{Map, Value};

use super::data::merged;
use super::messages::chat::{self, ChatAnswer, Message};
use super::port::Port;
use super::protocol::Choosing;
use super::state::{Answer, Engine, Who};
use super::writing::Writing;

impl Engine {
    /// The settings of an answer: what was asked, else what the open model's `generation_config.json` has, else the
    /// defaults.
    ///
    /// # Errors
    /// A value of another type.
    pub fn sampling(&self, asked: &Map<String, Value>) -> Result<SamplingConfig, Told> {
        let model = self.model.borrow();
        let none = Map::new();
        let generation = model.as_ref().map_or(&none, |model| &model.base.config().generation);
        SamplingConfig::of_request(generation, asked)
    }

    /// How who answers writes, by a request's settings.
    ///
    /// # Errors
    /// A setting that cannot be used; log-probabilities of a masked predictor.
    pub fn writing<'a>(
        &self,
        who: Who<'_>,
        choosing: &Choosing,
        top: Option<usize>,
        port: &'a Port,
    ) -> Result<Writing<'a>, Told> {
        if top.is_some() && self.opened()?.base.config().diffusion.is_some() {
            return Err(told!(
                "chat.logprobs_masked",
                "logprobs tells how likely each next token was, and this model fills masked tokens in any order; leave it \
                 out, its steps tell how sure it was"
            ));
        }
        let sampling = self.sampling(&choosing.sampling)?;
        let unmask = merged(UnmaskConfig::default(), choosing.unmask.clone())?;
        Ok(Writing { talking: self.talking(who)?, sampling, unmask, top, port })
    }

    /// Answers a conversation; what the model has seen of it before is not fed again.
    pub async fn chat(
        &self,
        messages: Vec<Message>,
        choosing: &Choosing,
        who: Who<'_>,
        top: Option<usize>,
        port: &Port,
    ) -> Result<Answer, Told> {
        match who {
            Who::Active => self.choices.settle().await,
            Who::Only(named) => self.bring(named).await?,
            Who::Base => (),
        }
        let (context, epoch) = (self.opened()?.base.config().context(), self.epoch());
        let writing = self.writing(who, choosing, top, port)?;
        let prompt = render(messages, &writing.talking.tokenizer, context, writing.sampling.max_new_tokens)?;
        let acts = matches!(who, Who::Active);
        let held = if acts { self.talk.replace(None) } else { None };
        let (mut writer, fed) = match held {
            Some(held) => held,
            None => (Writer::new(&self.answering(who)?, context), Vec::new()),
        };
        let reuse = common_prefix(&fed, &prompt.ids);
        let generation = self.stream(&mut writer, &writing.request(&prompt.ids, reuse), &writing).await?;
        // What answered may have changed meanwhile; then this cache belongs to what is gone.
        if acts && self.epoch() == epoch {
            let mut fed = prompt.ids;
            fed.extend(&generation.tokens);
            fed.truncate(writer.position());
            self.talk.replace(Some((writer, fed)));
        }
        Answer::new(ChatAnswer {
            text: generation.text,
            finish_reason: generation.finish_reason.into(),
            prompt_tokens: generation.prompt_tokens.len() as u32,
            completion_tokens: generation.tokens.len() as u32,
            tokens_per_second: generation.decode_tokens_per_second,
            dropped_messages: prompt.dropped as u32,
        })
    }

    /// Continues a text or ids.
    pub async fn complete(
        &self,
        prompt: Option<String>,
        tokens: Option<Vec<u32>>,
        choosing: &Choosing,
        port: &Port,
    ) -> Result<Answer, Told> {
        self.choices.settle().await;
        let writing = self.writing(Who::Active, choosing, None, port)?;
        let ids = match (prompt, tokens) {
            (_, Some(ids)) => ids,
            (Some(text), None) => writing.talking.tokenizer.encode_document(&text).map_err(Told::from)?,
            (None, None) => {
                return Err(told!(
                    "generate.nothing",
                    "there is nothing to go on from; give a prompt or tokens"
                ));
            }
        };
        let room = ids.len() + writing.sampling.max_new_tokens;
        let mut writer = Writer::new(&self.answering(Who::Active)?, room);
        let generation = self.stream(&mut writer, &writing.request(&ids, 0), &writing).await?;
        Answer::new(chat::Generation::from(generation))
    }

    async fn stream(
        &self,
        writer: &mut Writer,
        request: &GenerationRequest<'_>,
        writing: &Writing<'_>,
    ) -> Result<Generation, Told> {
        let written = writer.write(request, &mut self.hearing(writing)).await;
        self.cancelled.borrow_mut().remove(&writing.port.run);
        written.map_err(Told::from)
    }

    /// Passes on what is written until the page wants no more of it.
    pub fn hearing<'a>(&'a self, writing: &'a Writing<'a>) -> impl FnMut(Written<'_>) -> Flow + 'a {
        move |written: Written<'_>| {
            writing.tell(&written);
            if self.cancelled.borrow().contains(&writing.port.run) { Flow::Stop } else { Flow::Continue }
        }
    }
}

/// The most likely answer to one question, of so many tokens at most; a model that does not chat goes on from it.
///
/// # Errors
/// The device cannot be read, or the question is longer than the model's context.
pub async fn ask(
    model: &Transformer,
    tokenizer: &Tokenizer,
    question: &str,
    most: usize,
) -> Result<String, Told> {
    let told = |e: kindling::error::Error| e.told();
    let turns = vec![Message { role: "user".into(), content: question.into() }];
    let sampling = SamplingConfig { temperature: 0.0, max_new_tokens: most, ..SamplingConfig::default() };
    let context = model.config().context();
    let prompt = match tokenizer.chat_template() {
        Some(_) => render(turns, tokenizer, context, sampling.max_new_tokens)?.ids,
        None => tokenizer.encode_document(question).map_err(told)?,
    };
    let mut writer = Writer::new(model, prompt.len() + sampling.max_new_tokens);
    let end_ids = &tokenizer.end_ids(&model.config().eos_token_ids);
    let request = GenerationRequest {
        prompt: &prompt,
        reuse: 0,
        end_ids,
        tokenizer: Some(tokenizer),
        config: &sampling,
        unmask: UnmaskConfig::default(),
    };
    let answer = writer.write(&request, &mut |_| Flow::Continue).await.map_err(told)?;
    Ok(answer.text)
}

fn render(
    turns: Vec<Message>,
    tokenizer: &Tokenizer,
    context: usize,
    answer: usize,
) -> Result<ChatPrompt, Told> {
    if !turns.iter().any(|turn| turn.role == "user") {
        return Err(told!("chat.no_user", "the conversation holds no message of the user"));
    }
    let system = turns.iter().find(|turn| turn.role == "system").map(|turn| turn.content.clone());
    let mut session = ChatSession::new(system, None).map_err(Told::from)?;
    for turn in turns.iter().filter(|turn| turn.role != "system") {
        session.push(text::Message::new(&turn.role, &turn.content));
    }
    session.prompt(tokenizer, context, answer).map_err(Told::from)
}
