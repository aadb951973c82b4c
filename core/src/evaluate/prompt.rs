//! What a model is asked: few-shot examples before the question, as plain text or through the chat template.

use super::python::strip_end;
use super::{Question, Task};
use crate::error::{Error, Result};
use crate::text::{Conversation, Message};
use crate::tokenizer::Tokenizer;
use crate::told::told;

/// Between a question and its answer, and behind the answer of an example.
const BEFORE_ANSWER: &str = " ";
const BEHIND_EXAMPLE: &str = "\n\n";

/// A text and what may follow it; how likely that is behind the text is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What stands before.
    pub context: String,
    /// What is judged.
    pub continuation: String,
}

/// The chat template, where it is applied.
#[derive(Clone, Copy, Debug)]
pub struct Chat<'a> {
    /// The tokenizer whose template it is.
    pub tokenizer: &'a Tokenizer,
    /// Whether each example is a turn of its own; else all are one message.
    pub multiturn: bool,
}

/// How the questions of a subject are asked.
#[derive(Clone, Debug)]
pub struct Prompting<'a> {
    description: String,
    chat: Option<Chat<'a>>,
}

/// A message, and what stands behind it in plain text.
#[derive(Clone, Debug)]
struct Turn {
    role: &'static str,
    text: String,
    behind: &'static str,
}

impl<'a> Prompting<'a> {
    /// Of a subject, with the chat template where there is one.
    pub fn new(task: Task, subject: &str, chat: Option<Chat<'a>>) -> Self {
        Self { description: task.description(subject), chat }
    }

    /// The requests of a question, one a choice, behind these examples.
    ///
    /// # Errors
    /// A chat template that refuses the conversation, with the description and without.
    pub fn requests(&self, shots: &[&Question], question: &Question) -> Result<Vec<Request>> {
        let before = self.before(shots);
        let contexts: Vec<String> =
            question.openings.iter().map(|opening| self.context(&before, opening)).collect::<Result<_>>()?;
        let delimiter = if self.chat.is_some() { "" } else { BEFORE_ANSWER };
        let request = |number: usize| {
            let context = &contexts[if contexts.len() == 1 { 0 } else { number }];
            let continuation = format!("{delimiter}{}", question.choice(number).1);
            Request { context: context.clone(), continuation }
        };
        Ok((0..question.choices()).map(request).collect())
    }

    /// What an answer is written behind.
    ///
    /// # Errors
    /// As [`Prompting::requests`].
    pub fn opening(&self, shots: &[&Question], question: &Question) -> Result<String> {
        self.context(&self.before(shots), question.choice(0).0)
    }

    fn before(&self, shots: &[&Question]) -> Vec<Turn> {
        let mut turns = Vec::new();
        if !self.description.is_empty() {
            turns.push(Turn { role: "system", text: self.description.clone(), behind: "" });
        }
        for shot in shots {
            let (opening, ending) = shot.choice(shot.gold);
            turns.push(Turn { role: "user", text: opening.to_string(), behind: BEFORE_ANSWER });
            turns.push(Turn { role: "assistant", text: ending.to_string(), behind: BEHIND_EXAMPLE });
        }
        turns
    }

    fn context(&self, before: &[Turn], opening: &str) -> Result<String> {
        let mut turns = before.to_vec();
        turns.push(Turn { role: "user", text: opening.to_string(), behind: "" });
        let Some(chat) = self.chat else { return Ok(joined(&turns)) };
        if !chat.multiturn {
            let of_user = turns.iter().position(|turn| turn.role != "system").unwrap_or(0);
            let text = joined(&turns.split_off(of_user));
            turns.push(Turn { role: "user", text, behind: "" });
        }
        let render = |turns: &[Turn]| {
            let messages = turns.iter().map(|turn| Message::new(turn.role, &turn.text)).collect();
            chat.tokenizer.render_text(&Conversation::new(messages), true)
        };
        match render(&turns) {
            // Some templates know no system message; the harness leaves it out then.
            Err(Error::Template(_)) if turns.iter().any(|turn| turn.role == "system") => {
                turns.retain(|turn| turn.role != "system");
                render(&turns)
            }
            rendered => rendered,
        }
    }
}

fn joined(turns: &[Turn]) -> String {
    turns.iter().flat_map(|turn| [turn.text.as_str(), turn.behind]).collect()
}

/// The ids of a request, of which the last are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Context and continuation.
    pub ids: Vec<u32>,
    /// Ids of the continuation, at the end.
    pub judged: usize,
    /// Ids at the beginning that were cut away because the context holds no more.
    pub cut: usize,
}

impl Request {
    /// Its ids: context and continuation are tokenised together and parted where the context alone ends; spaces at the end
    /// of the context belong to the continuation. BOS stands before where the tokenizer puts it and the text does not bring
    /// it; before an empty context stands BOS or EOS. What is longer than the model's `longest` is cut at its beginning.
    ///
    /// # Errors
    /// What the tokenizer refuses; nothing that a continuation could stand behind; a continuation without a token of its
    /// own, or longer than the model holds.
    pub fn ids(&self, tokenizer: &Tokenizer, longest: usize) -> Result<Sequence> {
        let kept = strip_end(&self.context);
        let whole = format!("{}{}", self.context, self.continuation);
        let mut context = if kept.is_empty() { Vec::new() } else { tokenizer.encode_document(kept)? };
        let judged: Vec<u32> = if context.is_empty() {
            let mut ids = tokenizer.encode(&whole)?;
            let begin =
                tokenizer.bos().or_else(|| tokenizer.eos()).filter(|begin| ids.first() != Some(begin));
            match begin {
                Some(begin) => context.push(begin),
                None if ids.is_empty() => {}
                None => context.push(ids.remove(0)),
            }
            ids
        } else {
            tokenizer.encode_document(&whole)?.into_iter().skip(context.len()).collect()
        };
        let count = judged.len();
        if count == 0 || count > longest {
            return Err(Error::Data(told!(
                "eval.continuation",
                "'{continuation}' has {count} tokens of its own, and the model judges 1 to {longest} behind a text",
                continuation = crate::text::short(&self.continuation),
                count,
                longest
            )));
        }
        let mut ids = context;
        ids.extend(judged);
        // The last token is predicted and not read.
        let cut = ids.len().saturating_sub(longest + 1);
        Ok(Sequence { ids: ids.split_off(cut), judged: count, cut })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evaluate::read_question;
    use crate::sample::fake::letters;

    fn question(stem: &str, gold: usize) -> Question {
        let row = json!({"question": stem, "choices": ["ab", "c"], "answer": gold});
        read_question(Task::ArcEasy, row.as_object().unwrap()).unwrap().0
    }

    #[test]
    fn examples_stand_before_with_their_answers() {
        let (one, other, asked) = (question("x", 1), question("y", 0), question("z", 0));
        let requests = Prompting::new(Task::ArcEasy, "", None).requests(&[&one, &other], &asked).unwrap();
        let context = "Question: x\nAnswer: c\n\nQuestion: y\nAnswer: ab\n\nQuestion: z\nAnswer:";
        assert_eq!(requests[0], Request { context: context.into(), continuation: " ab".into() });
        assert_eq!((requests.len(), requests[1].continuation.as_str()), (2, " c"));
    }

    #[test]
    fn a_template_takes_turns_or_one_message() {
        let template = "{% for m in messages %}<{{ m['role'][:1] }}>{{ m['content'] }}{% endfor %}\
                        {% if add_generation_prompt %}<a>{% endif %}";
        let tokenizer = letters(Some(template));
        let (one, asked) = (question("x", 1), question("z", 0));
        let context = |multiturn: bool, task: Task| {
            let chat = Some(Chat { tokenizer: &tokenizer, multiturn });
            Prompting::new(task, "birds", chat).requests(&[&one], &asked).unwrap().remove(0)
        };
        let turns = context(true, Task::ArcEasy);
        assert_eq!(turns.context, "<u>Question: x\nAnswer:<a>c<u>Question: z\nAnswer:<a>");
        assert_eq!(turns.continuation, "ab");
        let message = context(false, Task::Mmlu).context;
        let description = Task::Mmlu.description("birds");
        assert_eq!(message, format!("<s>{description}<u>Question: x\nAnswer: c\n\nQuestion: z\nAnswer:<a>"));
    }

    #[test]
    fn context_and_continuation_are_parted_where_the_context_ends() {
        let tokenizer = letters(None);
        let ids = |context: &str, continuation: &str, longest: usize| {
            Request { context: context.into(), continuation: continuation.into() }.ids(&tokenizer, longest)
        };
        let encoded = |text: &str| tokenizer.encode(text).unwrap();
        let found = ids("ab", "cd", 9).unwrap();
        assert_eq!(found, Sequence { ids: encoded("abcd"), judged: 2, cut: 0 });
        let cut = ids("abc", "de", 3).unwrap();
        assert_eq!(cut, Sequence { ids: encoded("bcde"), judged: 2, cut: 1 });
        let none = ids("ab", "", 9).unwrap_err().to_string();
        assert!(none.contains("has 0 tokens of its own"), "{none}");
        assert!(ids("ab", "cdef", 3).is_err());
    }
}
