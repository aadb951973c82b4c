//! Pairs of answers: whether a model finds the better one likelier.

use super::Request;
use crate::error::{Error, Result};
use crate::text::{Conversation, Message, Preference};
use crate::tokenizer::Tokenizer;
use crate::told::told;

/// A pair as two continuations of one prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairOfAnswers {
    /// The worse answer, then the better one: of equally likely ones the first counts, and that is wrong.
    pub requests: [Request; 2],
    /// Characters of each.
    pub characters: [usize; 2],
}

impl PairOfAnswers {
    /// The place of the better one.
    pub const BETTER: usize = 1;
}

/// What a pair asks through the chat template: everything that the template writes behind the prompt.
///
/// # Errors
/// No chat template, or one that refuses the pair or writes another prompt before an answer than alone.
pub fn pair_requests(tokenizer: &Tokenizer, pair: &Preference) -> Result<PairOfAnswers> {
    let render = |messages: Vec<Message>, open: bool| {
        let conversation = Conversation { messages, tools: pair.tools.clone() };
        tokenizer.render_text(&conversation, open)
    };
    let context = render(pair.prompt.clone(), true)?;
    let request = |answer: &[Message]| -> Result<(Request, usize)> {
        let whole = render([&pair.prompt[..], answer].concat(), false)?;
        let Some(continuation) = whole.strip_prefix(&context) else {
            return Err(Error::Template(told!(
                "eval.pair_prompt",
                "the chat template writes a prompt differently where an answer follows, so the answer alone cannot be \
                 judged"
            )));
        };
        let characters = answer.iter().map(|message| message.content.chars().count()).sum::<usize>();
        let request = Request { context: context.clone(), continuation: continuation.to_string() };
        Ok((request, characters.max(1)))
    };
    let ((rejected, short), (chosen, long)) = (request(&pair.rejected)?, request(&pair.chosen)?);
    Ok(PairOfAnswers { requests: [rejected, chosen], characters: [short, long] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fake::letters;

    fn pair() -> Preference {
        let answer = |text: &str| vec![Message::new("assistant", text)];
        Preference {
            prompt: vec![Message::new("user", "ab")],
            chosen: answer("cd"),
            rejected: answer("e"),
            tools: None,
        }
    }

    #[test]
    fn both_answers_follow_the_same_prompt() {
        let template = "{% for m in messages %}{{ m['role'][:1] }}:{{ m['content'] }};{% endfor %}\
                        {% if add_generation_prompt %}a:{% endif %}";
        let found = pair_requests(&letters(Some(template)), &pair()).unwrap();
        let request = |text: &str| Request { context: "u:ab;a:".into(), continuation: text.into() };
        assert_eq!(found.requests, [request("e;"), request("cd;")]);
        assert_eq!(
            (found.characters, found.requests[PairOfAnswers::BETTER].continuation.as_str()),
            ([1, 2], "cd;")
        );
    }

    #[test]
    fn a_template_that_changes_the_prompt_is_refused() {
        let template = "{{ messages|length }}{% for m in messages %}{{ m['content'] }}{% endfor %}";
        let told = pair_requests(&letters(Some(template)), &pair()).unwrap_err().to_string();
        assert!(told.contains("writes a prompt differently"), "{told}");
        assert!(pair_requests(&letters(None), &pair()).is_err());
    }
}
