//! What tokens depend on: the tokenizer, the template and the settings that make them.

use sha2::{Digest, Sha256};

use crate::batch::Content;
use crate::data::{TokenTies, Turns};
use crate::error::{Error, Result};
use crate::tokenizer::{NOW, Tokenizer};

/// The ties of tokens that this tokenizer makes of rows of a content, whose conversations are treated as `turns` says; no
/// tags are taught.
///
/// # Errors
/// A tokenizer that cannot be written.
pub fn ties_of(
    tokenizer: &Tokenizer,
    content: Content,
    turns: Turns,
    max_seq_len: usize,
    max_prompt_len: usize,
) -> Result<TokenTies> {
    let renders = content != Content::Documents || turns == Turns::Rendered;
    let files = tokenizer.to_files()?;
    let now = tokenizer.template_variable(NOW).filter(|_| renders && tokenizer.prints_date());
    Ok(TokenTies {
        content: name(content).to_string(),
        tokenizer: hash_of_tokenizer(tokenizer, &files)?,
        template: renders.then(|| hash_of_templates(tokenizer, &files)),
        date: now.and_then(|now| now.as_str()).map(String::from),
        max_seq_len,
        max_prompt_len,
        tags: None,
    })
}

/// The word of an index for a content.
fn name(content: Content) -> &'static str {
    match content {
        Content::Documents => "documents",
        Content::Conversations => "conversations",
        Content::Preferences => "preferences",
    }
}

fn hash_of_tokenizer(tokenizer: &Tokenizer, files: &[(String, Vec<u8>)]) -> Result<String> {
    let json = files.iter().find(|(name, _)| name == "tokenizer.json").map(|(_, bytes)| &bytes[..]);
    let json: serde_json::Value = serde_json::from_slice(json.unwrap_or_default())
        .map_err(|e| Error::Tokenizer(e.to_string().into()))?;
    // Spaces and line ends of the file change no token.
    let end = tokenizer.document_end().map_or(String::new(), |id| id.to_string());
    Ok(hash(&[json.to_string().as_bytes(), end.as_bytes()]))
}

fn hash_of_templates(tokenizer: &Tokenizer, files: &[(String, Vec<u8>)]) -> String {
    let templates: Vec<&(String, Vec<u8>)> =
        files.iter().filter(|(name, _)| name.ends_with(".jinja")).collect();
    let is_printed =
        |what: &str| templates.iter().any(|(_, text)| String::from_utf8_lossy(text).contains(what));
    let special =
        |name: &str, id: Option<u32>| if is_printed(name) { format!("{name} {id:?}") } else { String::new() };
    let specials = [
        special("bos_token", tokenizer.bos()),
        special("eos_token", tokenizer.eos()),
        special("pad_token", tokenizer.pad()),
    ];
    let texts = templates.iter().flat_map(|(name, text)| [name.as_bytes(), &text[..]]);
    hash(&texts.chain(specials.iter().map(|special| special.as_bytes())).collect::<Vec<_>>())
}

/// SHA-256 in hexadecimal digits over parts, each behind its length.
fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{TokenizerTraining, train};

    fn tokenizer(words: &str) -> Tokenizer {
        train(std::iter::once(words.repeat(9)), &TokenizerTraining::default()).unwrap()
    }

    #[test]
    fn ties_know_the_tokenizer_and_only_where_it_matters_the_template_and_the_day() {
        let mut own = tokenizer("one two");
        let of = |tokenizer: &Tokenizer, content: Content| {
            ties_of(tokenizer, content, Turns::Refused, 8, 0).unwrap()
        };
        let (texts, chats) = (of(&own, Content::Documents), of(&own, Content::Conversations));
        assert_eq!((texts.tokenizer == chats.tokenizer, &texts.template), (true, &None));
        assert_eq!(texts, of(&own.clone(), Content::Documents));
        assert_ne!(texts.tokenizer, of(&tokenizer("three one two"), Content::Documents).tokenizer);
        own.set_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}{{ eos_token }}").unwrap();
        assert_eq!(texts, of(&own, Content::Documents));
        let other = of(&own, Content::Conversations);
        assert_ne!(chats.template, other.template);
        own.set_template_variable(NOW, "2025-07-31".into());
        assert_eq!(of(&own, Content::Conversations).date, None, "no template prints it");
        own.set_chat_template("{{ strftime_now('%d') }}{% for m in messages %}{{ m.content }}{% endfor %}")
            .unwrap();
        assert_eq!(of(&own, Content::Conversations).date.as_deref(), Some("2025-07-31"));
        assert_eq!(of(&own, Content::Documents).date, None);
        assert_ne!(
            ties_of(&own, Content::Documents, Turns::Rendered, 8, 0).unwrap().template,
            None,
            "a conversation that is made a text is rendered, too"
        );
    }
}
