//! What of a tokenizer has no place in a GGUF file, so that llama.cpp makes other tokens of some texts.

use serde_json::Value as Json;

use super::sentencepiece_metadata::byte_token;
use super::space_prefix::SpacePrefix;
use super::{Files, TOKENIZER, TOKENIZER_CONFIG};
use crate::told::{Told, told};

/// Where transformers 5 keeps the template.
const CHAT_TEMPLATE: &str = "chat_template.jinja";

/// What a person should know who exports these files to GGUF, a sentence each; nothing where all is said in the file.
pub fn tokenizer_warnings(files: &Files) -> Vec<Told> {
    let json = |name: &str| -> Json {
        files.get(name).and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default()
    };
    let tokenizer = json(TOKENIZER);
    let chats = !json(TOKENIZER_CONFIG)["chat_template"].is_null() || files.contains_key(CHAT_TEMPLATE);
    let found =
        [leading_space(&tokenizer), behind_special(&tokenizer, chats), edges(&tokenizer), bytes(&tokenizer)];
    found.into_iter().flatten().collect()
}

fn added(tokenizer: &Json) -> impl Iterator<Item = &Json> {
    tokenizer["added_tokens"].as_array().into_iter().flatten()
}

fn leading_space(tokenizer: &Json) -> Option<Told> {
    let metaspace = [SpacePrefix::Always, SpacePrefix::First].contains(&SpacePrefix::of_json(tokenizer)?);
    metaspace.then(|| {
        told!(
            "gguf.leading_space",
            "llama.cpp puts a space before every text, this tokenizer (Metaspace) only before one that begins with none: \
        texts that begin with a space have one more there"
        )
    })
}

/// Special tokens stand in the texts of chats; others that were added, in any text.
fn behind_special(tokenizer: &Json, chats: bool) -> Option<Told> {
    let inside = chats || added(tokenizer).any(|token| token["special"] != true);
    (inside && SpacePrefix::of_json(tokenizer) == Some(SpacePrefix::First)).then(|| {
        told!(
            "gguf.behind_special",
            "llama.cpp puts a space behind special tokens too, this tokenizer only at the start of a text (prepend_scheme \
        \"first\"): what stands behind them, as in chats, has one token more there than in training. Kindling reads \
        the .gguf as the tokenizer is; to have all alike, train with prepend_scheme \"always\" in tokenizer.json"
        )
    })
}

fn edges(tokenizer: &Json) -> Option<Told> {
    let has_edges = |token: &&Json| ["lstrip", "rstrip", "single_word"].iter().any(|key| token[*key] == true);
    let first = added(tokenizer).find(has_edges)?;
    Some(told!(
        "gguf.edges",
        "added tokens that take the blanks beside them, or are whole words only (lstrip, rstrip, single_word): {count}, {first} \
        first; GGUF does not say so, and a text with one gets other tokens there",
        count = added(tokenizer).filter(has_edges).count(),
        first = first["content"]
    ))
}

fn bytes(tokenizer: &Json) -> Option<Told> {
    let model = &tokenizer["model"];
    let missing = (0..=u8::MAX).filter(|byte| model["vocab"][byte_token(*byte)].is_null()).count();
    (model["byte_fallback"] == true && missing > 0).then(|| {
        told!(
            "gguf.bytes_missing",
            "the vocabulary lacks {missing} of the 256 tokens of bytes (<0x00> to <0xFF>): llama.cpp stops at a text \
            that needs one",
            missing
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(tokenizer: &Json, more: &[(&str, Json)]) -> String {
        let named = [(TOKENIZER, tokenizer.clone())];
        let bytes = |(name, json): &(&str, Json)| (name.to_string(), json.to_string().into_bytes());
        let files: Files = named.iter().chain(more).map(bytes).collect();
        tokenizer_warnings(&files).join("\n")
    }

    fn tokenizer(spaces: SpacePrefix) -> Json {
        let [normalizer, pre_tokenizer, decoder] = spaces.parts();
        let vocab: serde_json::Map<String, Json> = (0..=u8::MAX).map(|b| (byte_token(b), json!(b))).collect();
        json!({
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "decoder": decoder,
            "added_tokens": [{"id": 256, "content": "<s>", "special": true, "lstrip": false}],
            "model": {"type": "BPE", "byte_fallback": true, "vocab": vocab, "merges": []},
        })
    }

    #[test]
    fn what_llama_cpp_does_otherwise_is_told() {
        for spaces in [SpacePrefix::Everywhere, SpacePrefix::Never] {
            assert_eq!(told(&tokenizer(spaces), &[]), "");
        }
        let (always, first) = (tokenizer(SpacePrefix::Always), tokenizer(SpacePrefix::First));
        let template = [(TOKENIZER_CONFIG, json!({"chat_template": "{{ bos_token }}"}))];
        assert_eq!(told(&always, &template), told(&always, &[]));
        assert_eq!(told(&first, &[]), told(&always, &[]));
        assert!(told(&first, &[]).contains("texts that begin with a space"));
        for chats in [template, [(CHAT_TEMPLATE, json!("{{ bos_token }}"))]] {
            assert!(told(&first, &chats).contains("prepend_scheme \"first\""));
        }
        let mut marked = first;
        marked["added_tokens"][0]["special"] = json!(false);
        assert!(told(&marked, &[]).contains("behind special tokens"));
    }

    #[test]
    fn edges_and_missing_bytes_are_counted() {
        let mut json = tokenizer(SpacePrefix::Never);
        json["added_tokens"][0]["rstrip"] = json!(true);
        assert!(told(&json, &[]).contains("single_word): 1, \"<s>\" first"), "{}", told(&json, &[]));
        let mut json = tokenizer(SpacePrefix::Never);
        json["model"]["vocab"].as_object_mut().unwrap().remove("<0x0A>");
        assert!(told(&json, &[]).contains("lacks 1 of the 256"));
        json["model"]["byte_fallback"] = json!(false);
        assert_eq!(told(&json, &[]), "");
        assert_eq!(tokenizer_warnings(&Files::new()), Vec::<Told>::new());
    }
}
