//! Whether two tokenizers mean the same by their ids: what one model writes, the other can read.

use sha2::{Digest, Sha256};

use super::Tokenizer;
use crate::error::{Error, Result};
use crate::told::told;

/// Digits of a vocabulary's name: two of a billion are unlikely to share one.
const DIGITS: usize = 32;

impl Tokenizer {
    /// A name for what the ids mean, which another vocabulary does not have: the first digits of SHA-256 over all tokens.
    pub fn vocabulary_hash(&self) -> String {
        let mut hash = Sha256::new();
        for id in 0..self.vocab_size as u32 {
            let token = self.inner.id_to_token(id);
            let bytes = token.as_deref().unwrap_or_default().as_bytes();
            hash.update([u8::from(token.is_some())]);
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hash.finalize().iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
    }

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
    fn a_vocabulary_has_a_name_of_its_own_whatever_its_template() {
        let [mut own, other] =
            ["the cat sat on the mat. ", "zzz yyy zzz yyy "].map(|text| tokenizer(text, 265));
        let name = own.vocabulary_hash();
        assert_eq!((name.len(), &name), (DIGITS, &own.clone().vocabulary_hash()));
        assert_ne!(name, other.vocabulary_hash());
        assert_ne!(name, own.with_mask_token().unwrap().0.vocabulary_hash());
        own.set_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}").unwrap();
        assert_eq!(name, own.vocabulary_hash());
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
