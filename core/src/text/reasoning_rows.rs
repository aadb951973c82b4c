//! Rows that think in other forms, as answers between tags.

use super::conversation::{Conversation, Message, REASONING_KEYS};
use super::json::is_blank;
use super::reasoning::{Tags, parse_reasoning};

/// What GSM8K writes between the steps and the result, at the beginning of the last line.
const RESULT: &str = "####";

impl Tags {
    /// A conversation whose answers stand between the tags: where they do already, as they are; an answer with
    /// `reasoning_content` beside it, one of which the thinking alone has tags, as R1's own, and one that ends in GSM8K's
    /// `#### 42` get them. What has neither, and a turn that calls tools, stays as it is.
    pub fn put_in(&self, conversation: &Conversation) -> Conversation {
        let mut conversation = conversation.clone();
        for message in conversation.messages.iter_mut().filter(|message| message.is_assistant()) {
            if let Some(content) = self.content(message) {
                REASONING_KEYS.iter().for_each(|key| drop(message.extra.shift_remove(*key)));
                message.content = content;
            }
        }
        conversation
    }

    /// Whether the last answer of a conversation keeps the format.
    pub fn are_kept_by(&self, conversation: &Conversation) -> bool {
        let last = conversation.messages.iter().rfind(|message| message.is_assistant());
        last.is_some_and(|last| parse_reasoning(&last.content, self).keeps_format())
    }

    /// What an answer becomes, where it has another form.
    fn content(&self, message: &Message) -> Option<String> {
        let text = message.content.trim();
        if message.calls_tools() || is_blank(text) {
            return None;
        }
        let [thinks, answers] = [&self.think, &self.answer].map(|pair| text.contains(&*pair.open));
        match reasoning(message) {
            Some(reasoning) if !thinks && !answers => return Some(self.written(reasoning.trim(), text)),
            Some(reasoning) if !thinks => {
                return Some(format!("{}\n{text}", self.think.around(reasoning.trim())));
            }
            Some(_) => return None,
            None if answers => return None,
            None => {}
        }
        let own = text.strip_prefix(&*self.think.open).and_then(|rest| rest.split_once(&*self.think.close));
        let steps =
            || text.rsplit_once('\n').and_then(|(steps, last)| Some((steps, last.strip_prefix(RESULT)?)));
        let (thinking, answer) = own.or_else(|| if thinks { None } else { steps() })?;
        (!is_blank(answer)).then(|| self.written(thinking.trim(), answer.trim()))
    }
}

/// The reasoning beside an answer, where it is one text, under whatever keys.
fn reasoning(message: &Message) -> Option<&str> {
    let texts = REASONING_KEYS.iter().filter_map(|key| message.extra.get(*key)?.as_str());
    let mut texts = texts.filter(|text| !is_blank(text));
    let first = texts.next()?;
    texts.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Row, parse_row};
    use serde_json::{Value, json};

    /// The last message of a row between the tags.
    fn last(row: Value) -> Message {
        let Row::Conversation(conversation) = parse_row(&row).unwrap().row else { panic!("{row}") };
        Tags::default().put_in(&conversation).messages.pop().unwrap()
    }

    #[test]
    fn thinking_and_answers_of_other_forms_get_their_tags() {
        let whole = "<think>\n3+4=7\n</think>\n<answer>\n7\n</answer>";
        for row in [
            json!({"question": "3+4", "answer": whole}),
            json!({"question": "3+4", "answer": "<think>3+4=7</think>\n\n7"}),
            json!({"question": "3+4", "answer": "3+4=7\n#### 7"}),
            json!({"instruction": "3+4", "output": "7", "reasoning_content": "3+4=7"}),
            json!({"问题": "3+4", "答案": "7", "reasoning": "3+4=7\n"}),
            json!({"question": "3+4", "answer": "<answer>\n7\n</answer>", "thinking": "3+4=7"}),
            json!([{"role": "user", "content": "3+4"}, {"role": "assistant", "content": "7", "reasoning_content": "3+4=7"}]),
            json!([{"role": "user", "content": "3+4"}, {"role": "assistant", "content": [
                {"type": "reasoning", "value": "3+4=7"}, {"type": "text", "value": "7"}]}]),
        ] {
            let message = last(row.clone());
            assert_eq!((message.content.as_str(), message.extra.len()), (whole, 0), "{row}");
        }
    }

    #[test]
    fn what_does_not_think_stays_as_it_is() {
        for text in ["7", "<think>a", "a\n####", "<think>a</think>", "#### 7", "<answer>7</answer>"] {
            let message = last(json!({"question": "3+4", "answer": text}));
            assert_eq!(message.content, text);
        }
        let calls = json!([{"function": {"name": "add", "arguments": {}}}]);
        let row = json!([{"role": "user", "content": "3+4"},
            {"role": "assistant", "content": "", "reasoning_content": "a tool", "tool_calls": calls}]);
        let message = last(row);
        assert!(message.content.is_empty() && message.extra.contains_key("reasoning_content"));
    }

    #[test]
    fn two_different_thoughts_are_left_to_the_template() {
        let row = json!({"question": "q", "answer": "a", "reasoning": "b", "thinking": "c"});
        let message = last(row);
        assert_eq!((message.content.as_str(), message.extra.len()), ("a", 2));
    }

    #[test]
    fn the_last_answer_says_whether_the_tags_are_kept() {
        let tags = Tags::default();
        let of = |texts: &[&str]| {
            let turns =
                texts.iter().flat_map(|text| [Message::new("user", "q"), Message::new("assistant", text)]);
            Conversation::new(turns.collect())
        };
        let whole = tags.written("a", "7");
        assert!(tags.are_kept_by(&of(&["7", &whole])));
        assert!(!tags.are_kept_by(&of(&[&whole, "7"])));
        assert!(!tags.are_kept_by(&of(&[])));
    }
}
