//! The token that ends the assistant's turns, where a model that was trained on them stops; and whether an answer is
//! asked for as it was trained.

use super::other_words::common_prefix;
use super::{NOW, Tokenizer};
use crate::error::Result;
use crate::text::{Conversation, Message};
use crate::told::{Told, told};

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
        if let Some(dated) = self.dated() {
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

    /// The same on some day, where none is set: how a turn begins and ends does not depend on it.
    fn dated(&self) -> Option<Self> {
        self.template_variable(NOW).is_none().then(|| {
            let mut dated = self.clone();
            dated.set_template_variable(NOW, ANY_DAY.into());
            dated
        })
    }

    /// How the template's generation prompt differs from what an answer is trained behind, as a sentence; `None` where an
    /// answer is asked for as it is trained.
    ///
    /// # Errors
    /// No template, or one that refuses a question with its answer.
    pub fn prompt_difference(&self) -> Result<Option<Told>> {
        if let Some(dated) = self.dated() {
            return dated.prompt_difference();
        }
        let mut conversation = Conversation::new(vec![Message::new("user", QUESTION)]);
        let render =
            |prompt: bool| self.template_for(&conversation)?.render(&conversation, prompt, &self.variables);
        let (question, asked) = (render(false)?, render(true)?);
        conversation.messages.push(Message::new("assistant", ANSWER));
        let (text, targets) = self.render_targets(&conversation)?;
        let Some(before) = targets.first().map(|target| &text[..target.bytes.start]) else { return Ok(None) };
        Ok((before != asked).then(|| difference(&question, before, &asked)))
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
    pub fn gained_ends(&self, told: &[u32], ends: &[u32]) -> Option<Told> {
        let gained = ends.iter().filter(|id| !told.contains(id));
        let gained: Vec<String> = gained.map(|id| format!("{} ({id})", self.token_text(*id))).collect();
        (!gained.is_empty()).then(|| {
            told!(
                "model.gained_ends",
                "answers end with {gained}, too, as the tokenizer ends texts or the template its turns: config.json and \
                 generation_config.json list {ends} as eos_token_id, the model that this began with {told}",
                gained = gained.join(" and "),
                ends = format!("{ends:?}"),
                told = format!("{told:?}")
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

/// Says how a question is answered in training and asked at inference: the text before the trained answer, and the one
/// with the generation prompt.
fn difference(question: &str, trained: &str, asked: &str) -> Told {
    let alike = told!(
        "template.alike",
        "let the template print the same before an answer and as its generation prompt (--chat-template FILE)"
    );
    if let Some(more) = asked.strip_prefix(trained) {
        let remedy = match more.to_lowercase().contains("think") {
            true => told!(
                "template.asks_to_reason",
                "it asks for reasoning: give the rows theirs as reasoning_content, or a template that asks for none"
            ),
            false => alike,
        };
        return told!(
            "template.prompt_goes_on",
            "the chat template's generation prompt goes on with {more}, which does not stand before a trained answer: the \
             model is asked in another way than it is trained; {remedy}",
            more = format!("{more:?}"),
            remedy
        );
    }
    let shared = match [trained, asked].iter().all(|text| text.starts_with(question)) {
        true => question.len(),
        false => common_prefix(trained, asked),
    };
    let [trained, asked] = [trained, asked].map(|text| format!("{:?}", &text[shared..]));
    told!(
        "template.prompt_differs",
        "answers are trained behind {trained}, and the chat template's generation prompt is {asked}: the model is asked in \
         another way than it is trained; {remedy}",
        trained,
        asked,
        remedy = alike
    )
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
    fn a_generation_prompt_that_no_answer_is_trained_behind_is_told() {
        let lines = |head: &str, prompt: &str| {
            format!(
                "{{% for m in messages %}}{{% if m.role == 'user' %}}Q: {{{{ m.content }}}}\n{{% else %}}{head}\
                 {{{{ m.content }}}}<|im_end|>\n{{% endif %}}{{% endfor %}}{{% if add_generation_prompt %}}{prompt}\
                 {{% endif %}}"
            )
        };
        let told = |template: &str| tokenizer(template).prompt_difference().unwrap();
        for template in [
            CHATML,
            &lines("A: ", "A:"),
            &lines("A: ", "A: "),
            &lines("", ""),
            &lines("A:<think></think>", "A:"),
        ] {
            assert_eq!(told(template), None, "{template}");
        }
        let other = told(&lines("A: ", "Answer: ")).unwrap();
        assert!(
            other.starts_with("answers are trained behind \"A: \", and") && other.contains("\"Answer: \""),
            "{other}"
        );
        let none = told(&lines("A: ", "")).unwrap();
        assert!(none.contains("behind \"A: \", and the chat template's generation prompt is \"\""), "{none}");
        let thinks = told(&lines("A: ", "A: <think>\n")).unwrap();
        assert!(
            thinks.contains("goes on with \"<think>\\n\"") && thinks.contains("reasoning_content"),
            "{thinks}"
        );
        assert!(told(&lines("A: ", "A: B")).unwrap().contains("goes on with \"B\""));
        assert!(tokenizer("{{ raise_exception('no') }}").prompt_difference().is_err());
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
