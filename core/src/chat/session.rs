//! A conversation that is fitted into the context and reuses what the model has seen.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::sample::{
    Autoregressive, Flow, Generation, GenerationRequest, SamplingConfig, UnmaskConfig, Writer, Written,
};
use crate::text::{Conversation, Message};
use crate::tokenizer::Tokenizer;
use crate::told::told;

/// The ids of a conversation that fit the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatPrompt {
    /// The rendered conversation, open for the assistant's turn.
    pub ids: Vec<u32>,
    /// How many of the oldest messages were left out.
    pub dropped: usize,
}

/// One answer of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatAnswer {
    /// What the model said, and how fast.
    pub generation: Generation,
    /// How many of the oldest messages were forgotten before it.
    pub dropped: usize,
}

/// How an answer is written.
#[derive(Clone, Copy)]
pub struct AnswerSettings<'a> {
    /// Reads and writes the model's ids; its chat template opens the answer.
    pub tokenizer: &'a Tokenizer,
    /// The model's end-of-sequence ids.
    pub end_ids: &'a [u32],
    /// How tokens are chosen.
    pub sampling: &'a SamplingConfig,
    /// How masks are filled; a causal model takes the default alone.
    pub unmask: UnmaskConfig,
}

/// A conversation that goes on.
#[derive(Clone, Debug, Default)]
pub struct ChatSession {
    system: Option<String>,
    messages: Vec<Message>,
    history: Option<usize>,
    /// Variables for the chat template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
    /// The ids that the model's cache holds.
    fed: Vec<u32>,
    /// Answers since the last reset; each draws with a seed of its own.
    answers: u64,
}

impl ChatSession {
    /// An empty conversation. `history` is the number of earlier messages that a prompt may hold; without it,
    /// as many as the context takes. Refuses an odd number: a question and its answer belong together.
    pub fn new(system: Option<String>, history: Option<usize>) -> Result<Self> {
        if let Some(odd) = history.filter(|history| history % 2 == 1) {
            return Err(Error::Config(vec![format!(
                "--history is {odd}, but it must be even, because a question and its answer are kept together \
                 (use {} or {})",
                odd - 1,
                odd + 1
            ).into()]));
        }
        Ok(Self { system, history, ..Self::default() })
    }

    /// The system message.
    pub fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// Adds a message: a question before [`ChatSession::prompt`], or a turn of an earlier conversation.
    pub fn push(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// Forgets the conversation; the system message stays.
    pub fn reset(&mut self) {
        self.messages.clear();
        self.answers = 0;
    }

    /// Uses another system message, or none; the conversation stays.
    pub fn set_system(&mut self, system: Option<String>) {
        self.system = system;
    }

    /// Renders the conversation with the tokenizer's chat template. The oldest turns, a question and what
    /// follows it, are left out until the prompt and `max_new_tokens` fit `context`; the system message and
    /// the last question stay. At most half of the context is kept free.
    ///
    /// Refuses a last question that alone is longer than the context.
    pub fn prompt(&self, tokenizer: &Tokenizer, context: usize, max_new_tokens: usize) -> Result<ChatPrompt> {
        let room = context - max_new_tokens.min(context / 2);
        self.fit(context, room, |conversation| tokenizer.render_prompt(conversation, &self.variables))
    }

    fn fit(
        &self,
        context: usize,
        room: usize,
        render: impl Fn(&Conversation) -> Result<Vec<u32>>,
    ) -> Result<ChatPrompt> {
        let mut dropped = self.beyond_history();
        loop {
            let ids = render(&self.conversation(dropped))?;
            if ids.len() <= room {
                return Ok(ChatPrompt { ids, dropped });
            }
            match self.next_question(dropped + 1) {
                Some(next) => dropped = next,
                // Nothing is left to drop, but there may be room for a short answer.
                None if ids.len() <= context => return Ok(ChatPrompt { ids, dropped }),
                None => {
                    let tokens = ids.len();
                    return Err(Error::Data(told!(
                        "chat.message_long",
                        "this message alone takes {tokens} tokens, the system message included, but the \
                         model's context holds {context}: shorten it",
                        tokens,
                        context
                    )));
                }
            }
        }
    }

    /// How many of the oldest messages the history limit leaves out.
    fn beyond_history(&self) -> usize {
        let Some(history) = self.history else { return 0 };
        let earlier = self.messages.len().saturating_sub(1);
        match earlier.saturating_sub(history) {
            0 => 0,
            beyond => self.next_question(beyond).unwrap_or(beyond),
        }
    }

    /// The place of the first question at `from` or after it.
    fn next_question(&self, from: usize) -> Option<usize> {
        (from..self.messages.len()).find(|&i| self.messages[i].role == "user")
    }

    /// The system message and all messages but the first `dropped`.
    fn conversation(&self, dropped: usize) -> Conversation {
        let system = self.system.iter().map(|text| Message::new("system", text));
        let messages = system.chain(self.messages[dropped..].iter().cloned()).collect();
        Conversation { messages, tools: None }
    }

    /// Says `text` to the model and returns its answer, which is told to `on` as it comes. `writer` keeps its cache
    /// from answer to answer, or comes with an empty one. After an error the conversation is as it was before.
    pub async fn answer(
        &mut self,
        writer: &mut Writer<impl Autoregressive>,
        settings: AnswerSettings<'_>,
        text: &str,
        on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<ChatAnswer> {
        self.push(Message::new("user", text));
        let answer = self.generate(writer, settings, on).await;
        match &answer {
            Ok(answer) => {
                self.push(Message::new("assistant", &answer.generation.text));
                self.messages.drain(..answer.dropped);
                self.answers += 1;
            }
            Err(_) => {
                self.messages.pop();
            }
        }
        answer
    }

    async fn generate(
        &mut self,
        writer: &mut Writer<impl Autoregressive>,
        AnswerSettings { tokenizer, end_ids, sampling, unmask }: AnswerSettings<'_>,
        on: &mut dyn FnMut(Written) -> Flow,
    ) -> Result<ChatAnswer> {
        let ChatPrompt { ids, dropped } =
            self.prompt(tokenizer, writer.context(), sampling.max_new_tokens)?;
        // Taken out, so that nothing is reused after a generation that failed midway.
        let fed = std::mem::take(&mut self.fed);
        let reuse = common_prefix(&fed, &ids).min(writer.position());
        let config = SamplingConfig { seed: sampling.seed.wrapping_add(self.answers), ..sampling.clone() };
        let tokenizer = Some(tokenizer);
        let request = GenerationRequest { prompt: &ids, reuse, end_ids, tokenizer, config: &config, unmask };
        let generation = writer.write(&request, on).await?;
        self.fed = ids;
        self.fed.extend(&generation.tokens);
        self.fed.truncate(writer.position());
        Ok(ChatAnswer { generation, dropped })
    }
}

/// How many ids `old` and `new` share from the start: what the model's cache need not be fed again.
pub fn common_prefix(old: &[u32], new: &[u32]) -> usize {
    old.iter().zip(new).take_while(|(old, new)| old == new).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::FinishReason;
    use crate::sample::fake::{Counting, letters, ready};

    /// `s:…;u:…;a:…;` and an open `a:`.
    const TEMPLATE: &str = "{% for m in messages %}{{ m['role'][:1] }}:{{ m['content'] }};{% endfor %}\
                            {% if add_generation_prompt %}a:{% endif %}";

    fn settings<'a>(
        tokenizer: &'a Tokenizer,
        sampling: &'a SamplingConfig,
        end_ids: &'a [u32],
    ) -> AnswerSettings<'a> {
        AnswerSettings { tokenizer, end_ids, sampling, unmask: UnmaskConfig::default() }
    }

    /// A session with turns of one question and one answer each, and a last question.
    fn session(history: Option<usize>, turns: usize) -> ChatSession {
        let mut session = ChatSession::new(Some("sys".to_string()), history).unwrap();
        for turn in 0..turns {
            session.push(Message::new("user", &format!("q{turn}")));
            session.push(Message::new("assistant", &format!("a{turn}")));
        }
        session.push(Message::new("user", "last"));
        session
    }

    /// Ten ids a message, and the contents that were rendered.
    fn fit(session: &ChatSession, context: usize, room: usize) -> Result<(usize, usize, Vec<String>)> {
        let contents = std::cell::RefCell::new(Vec::new());
        let prompt = session.fit(context, room, |conversation| {
            let messages = &conversation.messages;
            *contents.borrow_mut() = messages.iter().map(|message| message.content.clone()).collect();
            Ok(vec![0; 10 * messages.len()])
        })?;
        Ok((prompt.ids.len(), prompt.dropped, contents.into_inner()))
    }

    #[test]
    fn the_oldest_turns_go_until_the_prompt_fits() {
        // The system message, three turns of two and the last question: 80 ids.
        let session = session(None, 3);
        assert_eq!(fit(&session, 200, 80).unwrap().1, 0);
        let expected = ["sys", "q1", "a1", "q2", "a2", "last"].map(String::from).to_vec();
        assert_eq!(fit(&session, 200, 79).unwrap(), (60, 2, expected));
        let expected = ["sys", "last"].map(String::from).to_vec();
        assert_eq!(fit(&session, 200, 39).unwrap(), (20, 6, expected.clone()));
        // What cannot be dropped is kept as long as the context holds it.
        assert_eq!(fit(&session, 20, 10).unwrap(), (20, 6, expected));
        let message = fit(&session, 19, 10).unwrap_err().to_string();
        assert!(message.contains("20 tokens") && message.contains("holds 19"), "{message}");
    }

    #[test]
    fn the_history_limit_keeps_whole_turns() {
        for (history, dropped) in
            [(None, 0), (Some(6), 0), (Some(8), 0), (Some(4), 2), (Some(2), 4), (Some(0), 6)]
        {
            assert_eq!(fit(&session(history, 3), 200, 200).unwrap().1, dropped, "{history:?}");
        }
        let message = ChatSession::new(None, Some(3)).unwrap_err().to_string();
        assert!(message.contains("use 2 or 4"), "{message}");
    }

    #[test]
    fn a_conversation_that_opens_with_the_assistant_is_cut_at_questions_only() {
        let mut session = session(None, 1);
        session.messages.insert(0, Message::new("assistant", "hello"));
        let (_, dropped, contents) = fit(&session, 200, 49).unwrap();
        assert_eq!((dropped, contents.join(" ").as_str()), (1, "sys q0 a0 last"));
    }

    #[test]
    fn half_of_the_context_is_the_most_that_is_kept_free() {
        let tokenizer = letters(Some(TEMPLATE));
        let mut session = ChatSession::new(None, None).unwrap();
        for (role, content) in [("user", "abc"), ("assistant", "de"), ("user", "f")] {
            session.push(Message::new(role, content));
        }
        // u:abc; a:de; u:f; a: have 6 + 5 + 4 + 2 ids.
        let sizes = |context, new| {
            let prompt = session.prompt(&tokenizer, context, new).unwrap();
            (prompt.ids.len(), prompt.dropped)
        };
        assert_eq!(sizes(20, 3), (17, 0));
        assert_eq!(sizes(20, 4), (6, 2));
        assert_eq!(sizes(34, 1000), (17, 0));
        assert_eq!(sizes(33, 1000), (17, 0));
        assert_eq!(sizes(32, 1000), (6, 2));
    }

    #[test]
    fn answers_join_the_conversation_and_only_new_ids_are_fed() {
        let tokenizer = letters(Some(TEMPLATE));
        let config = SamplingConfig { temperature: 0.0, max_new_tokens: 50, ..SamplingConfig::default() };
        let mut writer = Writer::Causal(Counting::new(100));
        let mut session = ChatSession::new(None, None).unwrap();
        let mut ask = |text: &str| {
            let mut on = |_: Written| Flow::Continue;
            // The model counts on from ':', the last letter: a, b, until the end id of c.
            let answer = session.answer(&mut writer, settings(&tokenizer, &config, &[2]), text, &mut on);
            ready(answer).unwrap()
        };
        let first = ask("xy");
        assert_eq!(
            (first.generation.text.as_str(), first.generation.finish_reason),
            ("ab", FinishReason::Stop)
        );
        let second = ask("z");
        assert_eq!(tokenizer.decode(&second.generation.prompt_tokens, true).unwrap(), "u:xy;a:ab;u:z;a:");
        assert_eq!(session.messages.len(), 4);
        // The second prompt's first nine ids, "u:xy;a:ab", were in the cache already.
        let Writer::Causal(model) = writer else { panic!("the model is causal") };
        let fed = model.calls.iter().rfind(|ids| ids.len() > 1).unwrap();
        assert_eq!(tokenizer.decode(fed, true).unwrap(), ";u:z;a:");
    }

    #[test]
    fn after_an_error_the_conversation_is_as_it_was() {
        let tokenizer = letters(Some(TEMPLATE));
        let mut session = ChatSession::new(Some("s".to_string()), None).unwrap();
        let long = "x".repeat(100);
        let config = SamplingConfig::default();
        let mut writer = Writer::Causal(Counting::new(50));
        let mut on = |_: Written| Flow::Continue;
        let answer = session.answer(&mut writer, settings(&tokenizer, &config, &[]), &long, &mut on);
        assert!(ready(answer).is_err());
        assert!(session.messages.is_empty());
    }

    #[test]
    fn reset_keeps_the_system_message_and_a_new_one_keeps_the_conversation() {
        let mut session = session(None, 1);
        session.set_system(Some("new".to_string()));
        assert_eq!(fit(&session, 200, 200).unwrap().2.join(" "), "new q0 a0 last");
        session.set_system(None);
        assert_eq!(fit(&session, 200, 200).unwrap().2.join(" "), "q0 a0 last");
        session.set_system(Some("sys".to_string()));
        session.reset();
        assert_eq!((session.messages.len(), session.system()), (0, Some("sys")));
    }

    #[test]
    fn the_common_prefix_ends_at_the_first_difference() {
        assert_eq!(common_prefix(&[1, 2, 3], &[1, 2, 4, 3]), 2);
        assert_eq!(common_prefix(&[1, 2], &[1, 2, 3]), 2);
        assert_eq!(common_prefix(&[], &[1]), 0);
    }
}
