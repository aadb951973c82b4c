//! The token that ends the assistant's turns: where a model that was trained on them stops.

use super::{NOW, Tokenizer};
use crate::error::Result;
use crate::text::{Conversation, Message};

/// What is asked and answered to see how a turn ends.
const QUESTION: &str = "two";
const ANSWER: &str = "one";
/// The variable with which a template prints EOS.
const EOS: &str = "eos_token";
/// A day for the variable [`NOW`].
const ANY_DAY: &str = "2000-01-01";
/// The key of the templates.
const TEMPLATES: &str = "chat_template";

impl Tokenizer {
    /// The token that the chat template writes as a target behind the assistant's words; `None` where a turn ends in
    /// plain text, so that a model does not learn where to stop.
    ///
    /// # Errors
    /// No template, or one that refuses a question with its answer.
    pub fn turn_end(&self) -> Result<Option<u32>> {
        let messages = vec![Message::new("user", QUESTION), Message::new("assistant", ANSWER)];
        if self.template_variable(NOW).is_none() {
            // How a turn ends is the same on any day.
            let mut dated = self.clone();
            dated.set_template_variable(NOW, ANY_DAY.into());
            return dated.turn_end();
        }
        let (text, targets) = self.render_targets(&Conversation { messages, tools: None })?;
        let Some(said) = targets.last().map(|target| target.bytes.clone()) else { return Ok(None) };
        let words_end = text[said.clone()].rfind(ANSWER).map_or(0, |at| at + ANSWER.len());
        let tail = said.start + words_end..said.end;
        let (ids, offsets) = self.encode_with_offsets(&text)?;
        let behind = ids.into_iter().zip(offsets).rev();
        let mut behind = behind.filter(|(_, (start, _))| tail.contains(start)).map(|(id, _)| id);
        Ok(behind.find(|id| self.can_end(*id)))
    }

    /// The tokens after which an answer of a model is complete: the one that ends the template's turns, the model's own
    /// `ends` and the tokenizer's. What `ends` knows keeps its order, because programs look at the first.
    pub fn end_ids(&self, ends: &[u32]) -> Vec<u32> {
        // A template that refuses shows that when it is used.
        let turn = self.turn_end().ok().flatten().filter(|id| !ends.contains(id));
        let mut all = Vec::new();
        for id in turn.into_iter().chain(ends.iter().copied()).chain(self.stop_ids()) {
            if !all.contains(&id) {
                all.push(id);
            }
        }
        all
    }

    /// What a person should know of a model whose files told the ends `told`, and whose answers end with any of `ends`
    /// now; `None` where it gained none.
    pub fn gained_ends(&self, told: &[u32], ends: &[u32]) -> Option<String> {
        let gained = ends.iter().filter(|id| !told.contains(id));
        let gained: Vec<String> = gained.map(|id| format!("{} ({id})", self.token_text(*id))).collect();
        (!gained.is_empty()).then(|| {
            format!(
                "answers end with {}, too, as the tokenizer ends texts or the template its turns: config.json and \
                 generation_config.json list {ends:?} as eos_token_id, the model that this began with {told:?}",
                gained.join(" and ")
            )
        })
    }

    /// Makes a token the one that ends an answer, as other programs look it up. It stays as it is where the template
    /// prints `eos_token`, or the post-processor puts it behind a text: there it means something else.
    pub fn end_turns_with(&mut self, id: u32) {
        let printed = self.config.templates().iter().any(|(_, text)| text.contains(EOS));
        let token = self.inner.id_to_token(id).filter(|token| self.token_id(token) == Some(id));
        if let Some(token) =
            token.filter(|_| self.eos() != Some(id) && !printed && self.around.behind.is_empty())
        {
            self.config.insert(EOS, token.into());
        }
    }

    /// Takes over how another tokenizer of the same vocabulary talks: its chat templates, and what ends an answer.
    pub fn talk_as(&mut self, other: &Self) {
        if let Some(templates) = other.config.get(TEMPLATES).filter(|_| !other.config.templates().is_empty())
        {
            self.config.insert(TEMPLATES, templates.clone());
            if let Some(eos) = other.config.token(EOS).filter(|eos| self.token_id(eos).is_some()) {
                self.config.insert(EOS, eos.into());
            }
        }
        self.compile_templates();
    }

    /// Whether a token is never split and is no mere white space: only such a token ends something.
    fn can_end(&self, id: u32) -> bool {
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder();
        added.get(&id).is_some_and(|token| !token.content.trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TokenizerTraining, train};

    const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                          {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    /// Its special tokens are 0 to 3; `<stop>` is EOS.
    fn tokenizer(template: &str) -> Tokenizer {
        let special_tokens =
            ["<|endoftext|>", "<stop>", "<|im_start|>", "<|im_end|>"].map(str::to_string).into();
        let settings = TokenizerTraining { vocab_size: 300, special_tokens, ..TokenizerTraining::default() };
        let mut tokenizer = train(std::iter::once("one two".repeat(9)), &settings).unwrap();
        tokenizer.config.insert(EOS, "<stop>".into());
        tokenizer.set_chat_template(template).unwrap();
        tokenizer
    }

    #[test]
    fn the_end_of_a_turn_is_the_last_token_that_is_never_split() {
        for (template, end) in [
            (CHATML, Some(3)),
            ("{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}\n{% endfor %}", Some(1)),
            ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", None),
            ("{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content }} ###\n{% endfor %}", None),
            // The blocks leave the end out, so that nobody learns it.
            (
                "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>{% endfor %}",
                None,
            ),
            (
                "{% for m in messages %}{% generation %}{{ m.content }}<|im_end|>\n{% endgeneration %}{% endfor %}",
                Some(3),
            ),
        ] {
            assert_eq!(tokenizer(template).turn_end().unwrap(), end, "{template}");
        }
        assert!(tokenizer("{{ raise_exception('no') }}").turn_end().is_err());
    }

    #[test]
    fn an_answer_ends_with_any_of_the_ends() {
        assert_eq!(tokenizer(CHATML).end_ids(&[9, 1]), [3, 9, 1, 0]);
        assert_eq!(tokenizer(CHATML).end_ids(&[0, 3]), [0, 3, 1]);
        assert_eq!(tokenizer("{{ raise_exception('no') }}").end_ids(&[]), [1, 0]);
    }

    #[test]
    fn ends_that_a_model_gains_are_told_by_name() {
        let tokenizer = tokenizer(CHATML);
        assert_eq!(tokenizer.gained_ends(&[3, 0], &[0, 3]), None);
        let told = tokenizer.gained_ends(&[1], &[3, 1, 0]).unwrap();
        for part in ["<|im_end|> (3) and <|endoftext|> (0)", "list [3, 1, 0]", "began with [1]"] {
            assert!(told.contains(part), "{told}");
        }
    }

    #[test]
    fn the_end_becomes_eos_where_the_template_does_not_print_it() {
        let ended = |template: &str| {
            let mut tokenizer = tokenizer(template);
            tokenizer.end_turns_with(3);
            tokenizer.eos()
        };
        assert_eq!(ended(CHATML), Some(3));
        assert_eq!(ended(&format!("{CHATML}{{{{ eos_token }}}}")), Some(1));
    }

    #[test]
    fn a_tokenizer_talks_as_another_one() {
        let mut other = tokenizer(CHATML);
        other.end_turns_with(3);
        let mut base = tokenizer("{{ messages[0].content }}");
        base.talk_as(&other);
        assert_eq!(
            (base.chat_template(), base.eos(), base.turn_end().unwrap()),
            (Some(CHATML), Some(3), Some(3))
        );
        other.config.insert(TEMPLATES, serde_json::Value::Null);
        base.talk_as(&other);
        assert_eq!(base.chat_template(), Some(CHATML));
    }
}
