//! Whether two tokenizers mean the same by their ids: what one model writes, the other can read.

use super::Tokenizer;
use crate::error::{Error, Result};
use crate::told::told;

impl Tokenizer {
    /// Refuses a teacher's tokenizer in which an id of this one is another token. Ids behind this one's may mean anything.
    ///
    /// # Errors
    /// The first id that differs, with both tokens; the teacher by its `name`.
    pub fn check_same_tokens(&self, teacher: &Self, name: &str) -> Result<()> {
        let differs = |id: &u32| self.inner.id_to_token(*id) != teacher.inner.id_to_token(*id);
        let Some(id) = (0..self.vocab_size as u32).find(differs) else { return Ok(()) };
        let token = |tokenizer: &Self| match tokenizer.inner.id_to_token(id) {
            Some(_) => told!("distill.token", "\"{text}\"", text = tokenizer.token_text(id)),
            None => told!("distill.no_token", "no token"),
        };
        Err(Error::Model(told!(
            "distill.other_vocabulary",
            "the teacher {name} has another vocabulary ({theirs} tokens) than the model ({own}): id {id} is {their_token} \
             there and {own_token} here. Take a teacher of the same tokenizer, or let this one answer prompts with `distill \
             --generate` and fine-tune on its answers",
            name,
            theirs = teacher.vocab_size,
            own = self.vocab_size,
            id,
            their_token = token(teacher),
            own_token = token(self)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TokenizerTraining, train};

    fn tokenizer(text: &str, vocab_size: usize) -> Tokenizer {
        let settings = TokenizerTraining { vocab_size, ..TokenizerTraining::default() };
        train([text.repeat(9)].into_iter(), &settings).unwrap()
    }

    #[test]
    fn another_token_under_an_id_is_named_and_more_ids_are_no_harm() {
        let text = "the cat sat on the mat. the dog sat on the log. ";
        let (small, large, other) =
            (tokenizer(text, 265), tokenizer(text, 270), tokenizer("zzz yyy zzz yyy ", 265));
        small.check_same_tokens(&small, "small").unwrap();
        small.check_same_tokens(&large, "large").unwrap();
        let told = large.check_same_tokens(&small, "small").unwrap_err().to_string();
        assert!(told.contains("the teacher small") && told.contains("is no token there and \""), "{told}");
        let told = small.check_same_tokens(&other, "runs/other").unwrap_err().to_string();
        for part in ["runs/other has another vocabulary", "id 2", "distill --generate"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
