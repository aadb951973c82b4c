//! Answers: chat, completion, scores.

use kindling::chat::{ChatPrompt, ChatSession, common_prefix};
use kindling::model::Transformer;
use kindling::sample::{
    Decoder, Flow, Generation, GenerationRequest, Piece, SamplingConfig, UnmaskConfig, Writer, Written,
    log_probability, scored_bytes,
};
use kindling::text;
use kindling::tokenizer::Tokenizer;
use kindling::told::{Told, told};
use serde_json::{Map, Value};

use super::messages::chat::{self, Alternative, ChatAnswer, Message, TokenLogprob};
use super::messages::run::EngineEvent as Event;
use super::port::Port;
use super::state::{Answer, Engine, Talking, Who};

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

    /// Answers a conversation; what the model has seen of it before is not fed again.
    pub async fn chat(
        &self,
        messages: Vec<Message>,
        sampling: Map<String, Value>,
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
        let (talking, sampling) = (self.talking(who)?, self.sampling(&sampling)?);
        let prompt = render(messages, &talking.tokenizer, context, sampling.max_new_tokens)?;
        let acts = matches!(who, Who::Active);
        let held = if acts { self.talk.replace(None) } else { None };
        let (mut writer, fed) = match held {
            Some(held) => held,
            None => (Writer::new(&self.answering(who)?, context), Vec::new()),
        };
        let reuse = common_prefix(&fed, &prompt.ids);
        let generation = self.stream(&mut writer, &prompt.ids, reuse, &talking, &sampling, top, port).await?;
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
        sampling: Map<String, Value>,
        port: &Port,
    ) -> Result<Answer, Told> {
        self.choices.settle().await;
        let (talking, sampling) = (self.talking(Who::Active)?, self.sampling(&sampling)?);
        let ids = match (prompt, tokens) {
            (_, Some(ids)) => ids,
            (Some(text), None) => talking.tokenizer.encode_document(&text).map_err(Told::from)?,
            (None, None) => {
                return Err(told!(
                    "generate.nothing",
                    "there is nothing to go on from; give a prompt or tokens"
                ));
            }
        };
        let context = ids.len().saturating_add(sampling.max_new_tokens);
        let mut writer = Writer::new(&self.answering(Who::Active)?, context);
        let generation = self.stream(&mut writer, &ids, 0, &talking, &sampling, None, port).await?;
        Answer::new(chat::Generation::from(generation))
    }

    #[allow(clippy::too_many_arguments)]
    async fn stream(
        &self,
        writer: &mut Writer,
        ids: &[u32],
        reuse: usize,
        talking: &Talking,
        sampling: &SamplingConfig,
        top: Option<usize>,
        port: &Port,
    ) -> Result<Generation, Told> {
        let tokenizer = talking.tokenizer.as_ref();
        let request = GenerationRequest {
            prompt: ids,
            reuse,
            end_ids: &talking.ends,
            tokenizer: Some(tokenizer),
            config: sampling,
            unmask: UnmaskConfig::default(),
        };
        let tell = |piece: Piece| {
            let logprob =
                piece.token.zip(top).map(|((id, logits), top)| describe(tokenizer, id, logits, top));
            port.tell(&Event::Token { text: piece.text.to_string(), logprob });
        };
        let mut on = |written: Written| {
            if let Written::Piece(piece) = written {
                tell(piece);
            }
            if self.cancelled.borrow().contains(&port.run) { Flow::Stop } else { Flow::Continue }
        };
        let generation = writer.write(&request, &mut on).await.map_err(Told::from);
        self.cancelled.borrow_mut().remove(&port.run);
        generation
    }

    /// The log-probability of each token of a text or of ids.
    pub async fn score(
        &self,
        text: Option<String>,
        tokens: Option<Vec<u32>>,
        add_bos: bool,
        logits: bool,
    ) -> Result<Answer, Told> {
        self.choices.settle().await;
        let model = self.opened()?;
        let told = |e: kindling::error::Error| e.told();
        let (ids, bytes) = match (text, tokens) {
            (_, Some(ids)) => (ids, None),
            (Some(text), None) => {
                let mut ids = model.tokenizer.encode_whole(&text).map_err(told)?;
                if let Some(bos) = model.tokenizer.bos().filter(|bos| add_bos && ids.first() != Some(bos)) {
                    ids.insert(0, bos);
                }
                let bytes = scored_bytes(&model.tokenizer, &ids).map_err(told)?;
                (ids, Some(bytes))
            }
            (None, None) => {
                return Err(told!("score.nothing", "there is nothing to score; give a text or tokens"));
            }
        };
        let mut decoder = Decoder::new(&self.answering(Who::Active)?, ids.len());
        Answer::new(chat::Score::from(decoder.score(&ids, bytes, logits).await.map_err(told)?))
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
    let mut writer = Writer::new(model, prompt.len().saturating_add(sampling.max_new_tokens));
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

fn describe(tokenizer: &Tokenizer, id: u32, logits: &[f32], top: usize) -> TokenLogprob {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let top = top.min(order.len());
    let likely = |id: &u32| -logits[*id as usize];
    if top > 0 && top < order.len() {
        order.select_nth_unstable_by(top - 1, |a, b| likely(a).total_cmp(&likely(b)));
    }
    order.truncate(top);
    order.sort_by(|a, b| likely(a).total_cmp(&likely(b)));
    let alternative = |id: u32| Alternative {
        token: tokenizer.token_text(id),
        id,
        logprob: Some(log_probability(logits, id)),
    };
    TokenLogprob {
        token: tokenizer.token_text(id),
        id,
        logprob: Some(log_probability(logits, id)),
        top_logprobs: order.into_iter().map(alternative).collect(),
    }
}
