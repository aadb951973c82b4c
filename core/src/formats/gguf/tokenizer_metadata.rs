//! From Hugging Face's `tokenizer.json` and `tokenizer_config.json` to a GGUF file's metadata, as llama.cpp's
//! `convert_hf_to_gguf.py` writes byte-level BPE.

use serde_json::Value as Json;

use super::pre_tokenizer::PreTokenizer;
use super::tokenizer::{CHAT_TEMPLATE, CHAT_TEMPLATES};
use super::vocabulary::{TOKENIZER, kind, placeholder};
use super::{Array, Metadata, MetadataValue, sentencepiece_metadata};
use crate::error::{Error, Result};
use crate::tokenizer::Around;
use crate::told::told;

/// Roles: GGUF, Hugging Face.
const ROLES: [(&str, &str); 4] =
    [("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")];

/// The files of a checkpoint that its tokenizer depends on; absent ones are null.
pub struct TokenizerSource<'a> {
    /// `tokenizer.json`.
    pub tokenizer: &'a Json,
    /// `tokenizer_config.json`.
    pub config: &'a Json,
    /// `config.json`, for the ids that `tokenizer_config.json` does not name.
    pub model: &'a Json,
    /// `generation_config.json`, for further ends of a text.
    pub generation: &'a Json,
}

impl TokenizerSource<'_> {
    /// Adds the tokenizer to a file's metadata; `vocab_size` is the number of rows of the embedding.
    ///
    /// # Errors
    /// A tokenizer that is no BPE, or cuts or merges in a way that GGUF does not express; more tokens than rows.
    pub fn write(&self, vocab_size: u64, metadata: &mut Metadata) -> Result<()> {
        let (model, decoder) = (&self.tokenizer["model"], &self.tokenizer["decoder"]);
        let bytes = model["byte_fallback"] == true;
        if model["type"] != "BPE" || !bytes && decoder["type"] != "ByteLevel" {
            return Err(Error::Checkpoint(told!(
                "gguf.tokenizer_type",
                "tokenizer.json has a model of the type {model} and a decoder of the type {decoder}; byte-level and SentencePiece \
                BPE can be written to GGUF",
                model = model["type"],
                decoder = decoder["type"]
            )));
        }
        check_merging(model)?;
        let (tokens, mut kinds) = self.tokens(vocab_size)?;
        let mut roles = self.roles(&tokens);
        let around = Around::of(&self.tokenizer["post_processor"]);
        for (role, ids) in [("bos", &around.before), ("eos", &around.behind)] {
            let adds = adds(role, ids, &mut roles)?;
            metadata.insert(format!("{TOKENIZER}add_{role}_token"), MetadataValue::Bool(adds));
        }
        for (role, id) in &roles {
            metadata.insert(format!("{TOKENIZER}{role}_token_id"), MetadataValue::U32(*id));
        }
        write_templates(&self.config["chat_template"], metadata);
        let merges = self.merges()?;
        if bytes {
            let unknown = roles.iter().find(|(role, _)| *role == "unknown").map(|(_, id)| *id);
            sentencepiece_metadata::kinds(model, unknown, &tokens, &mut kinds);
        }
        metadata.insert(format!("{TOKENIZER}tokens"), MetadataValue::Array(Array::Texts(tokens)));
        metadata.insert(format!("{TOKENIZER}token_type"), MetadataValue::Array(Array::I32(kinds)));
        if bytes {
            return sentencepiece_metadata::write(self.tokenizer, &merges, metadata);
        }
        let merges = merges.into_iter().map(|[left, right]| format!("{left} {right}")).collect();
        let pre = PreTokenizer::of_json(self.tokenizer)?;
        metadata.insert(format!("{TOKENIZER}merges"), MetadataValue::Array(Array::Texts(merges)));
        metadata.insert(format!("{TOKENIZER}model"), MetadataValue::Text("gpt2".into()));
        metadata.insert(format!("{TOKENIZER}pre"), MetadataValue::Text(pre.name().into()));
        Ok(())
    }

    /// Tokens by id, with their types; ids without a token get placeholders up to the embedding's rows.
    fn tokens(&self, vocab_size: u64) -> Result<(Vec<String>, Vec<i32>)> {
        let rows = usize::try_from(vocab_size).unwrap_or(usize::MAX);
        let mut tokens: Vec<Option<(String, i32)>> = Vec::new();
        let mut set = |id: Option<u64>, text: &str, kind: i32| {
            let id = id.and_then(|id| usize::try_from(id).ok()).filter(|&id| id < rows).ok_or_else(|| {
                Error::Checkpoint(told!(
                    "gguf.id_large",
                    "tokenizer.json: '{text}' has no id below {rows}, the size of the model's vocabulary; use the \
                    tokenizer that the model was trained with",
                    text,
                    rows
                ))
            })?;
            tokens.resize(tokens.len().max(id + 1), None);
            tokens[id] = Some((text.to_string(), kind));
            Ok::<_, Error>(())
        };
        let vocab = self.tokenizer["model"]["vocab"].as_object();
        for (text, id) in vocab.into_iter().flatten() {
            set(id.as_u64(), text, kind::NORMAL)?;
        }
        for token in self.added() {
            let kind = if token["special"] == true { kind::CONTROL } else { kind::USER_DEFINED };
            set(token["id"].as_u64(), token["content"].as_str().unwrap_or_default(), kind)?;
        }
        if tokens.is_empty() {
            return Err(Error::Checkpoint(told!("gguf.no_vocabulary", "tokenizer.json has no vocabulary")));
        }
        tokens.resize(rows, None);
        let filled = tokens.into_iter().enumerate();
        Ok(filled.map(|(id, token)| token.unwrap_or_else(|| (placeholder(id), kind::UNUSED))).unzip())
    }

    fn added(&self) -> impl Iterator<Item = &Json> {
        self.tokenizer["added_tokens"].as_array().into_iter().flatten()
    }

    /// Merges as pairs; older files hold a pair as one text with a space.
    fn merges(&self) -> Result<Vec<[&str; 2]>> {
        let merges = self.tokenizer["model"]["merges"].as_array().into_iter().flatten();
        let pairs = merges.map(|merge| match merge {
            Json::String(pair) => pair.split_once(' ').map(|(left, right)| [left, right]),
            pair => Some([pair[0].as_str()?, pair[1].as_str()?]),
        });
        // GGUF has pairs as one text, so that no part may hold a space; in both alphabets none does.
        let pairs = pairs.map(|pair| pair.filter(|pair| pair.iter().all(|part| !part.contains(' '))));
        pairs.collect::<Option<_>>().ok_or_else(|| {
            Error::Checkpoint(told!("gguf.merge_no_pair", "tokenizer.json: a merge is no pair"))
        })
    }

    /// The special ids: of the tokenizer, else of the model; a second end of a text as the end of a turn.
    fn roles(&self, tokens: &[String]) -> Vec<(&'static str, u32)> {
        let id_of =
            |text: &str| tokens.iter().position(|token| token == text).and_then(|id| u32::try_from(id).ok());
        let known = |id: &Json| {
            id.as_u64().and_then(|id| u32::try_from(id).ok()).filter(|&id| (id as usize) < tokens.len())
        };
        let mut roles = Vec::new();
        for (role, key) in ROLES {
            let token = &self.config[key];
            let token = token.as_str().or(token["content"].as_str());
            let model = &self.model[format!("{key}_id")];
            let id =
                token.and_then(id_of).or_else(|| known(if model.is_array() { &model[0] } else { model }));
            roles.extend(id.map(|id| (role, id)));
        }
        let eos = roles.iter().find(|(role, _)| *role == "eos").map(|(_, id)| *id);
        let ends = [&self.generation["eos_token_id"], &self.model["eos_token_id"]];
        let mut ends = ends
            .into_iter()
            .flat_map(|ids| ids.as_array().into_iter().flatten().chain([ids]).filter_map(known));
        if let Some(eos) = eos {
            roles.extend(ends.find(|&end| end != eos).map(|end| ("eot", end)));
        }
        roles
    }
}

/// Whether what the post-processor puts on one side of a text is the token of this role; where nothing has the role, it
/// gets it. GGUF knows nothing else around a text.
fn adds(role: &'static str, ids: &[u32], roles: &mut Vec<(&'static str, u32)>) -> Result<bool> {
    let known = roles.iter().find(|(own, _)| *own == role).map(|(_, id)| *id);
    match (ids, known) {
        ([], _) => Ok(false),
        ([id], Some(known)) if *id == known => Ok(true),
        ([id], None) => {
            roles.push((role, *id));
            Ok(true)
        }
        _ => Err(Error::Checkpoint(told!(
            "gguf.post_processor",
            "tokenizer.json: its post_processor puts the tokens {ids} around a text, where GGUF knows one {role} token; \
            export to Hugging Face's layout instead",
            ids = format!("{ids:?}"),
            role
        ))),
    }
}

/// Writes the chat template, where there are several by name `default` or the only one, and the others as
/// `gguf-py` does.
fn write_templates(json: &Json, metadata: &mut Metadata) {
    let named = match json {
        Json::String(text) => vec![("default", text.as_str())],
        Json::Array(list) => {
            let list = list.iter();
            list.filter_map(|entry| Some((entry["name"].as_str()?, entry["template"].as_str()?))).collect()
        }
        _ => Vec::new(),
    };
    let is_default = |name: &str| name == "default" || named.len() == 1;
    let mut names = Vec::new();
    for (name, template) in &named {
        let mut key = CHAT_TEMPLATE.to_string();
        if !is_default(name) {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            let name: String = name.chars().map(plain).collect();
            key += &format!(".{name}");
            names.push(name);
        }
        metadata.insert(key, MetadataValue::Text((*template).to_string()));
    }
    if !names.is_empty() {
        metadata.insert(CHAT_TEMPLATES, MetadataValue::Array(Array::Texts(names)));
    }
}

/// What changes how pieces are merged and has no place in GGUF is unset.
fn check_merging(model: &Json) -> Result<()> {
    let unset = |value: &Json| value.is_null() || *value == "" || value.as_f64() == Some(0.0);
    let keys = ["dropout", "continuing_subword_prefix", "end_of_word_suffix"];
    match keys.into_iter().find(|key| !unset(&model[key])) {
        None => Ok(()),
        Some(key) => Err(Error::Checkpoint(told!(
            "gguf.tokenizer_key",
            "tokenizer.json's model has the {key} {value}, for which GGUF has no place; export to Hugging Face's layout \
            instead",
            key,
            value = model[key]
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tokenizer() -> Json {
        json!({
            "added_tokens": [
                {"id": 4, "content": "<s>", "special": true}, {"id": 5, "content": "<t>", "special": false},
            ],
            "normalizer": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}},
            },
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 4}, "merges": ["a b"]},
        })
    }

    fn write(tokenizer: &Json, config: &Json, rows: u64) -> Result<Metadata> {
        let model = json!({"eos_token_id": [4, 2], "pad_token_id": 9});
        let source = TokenizerSource { tokenizer, config, model: &model, generation: &Json::Null };
        let mut metadata = Metadata::default();
        source.write(rows, &mut metadata).map(|()| metadata)
    }

    #[test]
    fn byte_level_tokenizers_are_written_as_llama_cpp_does() {
        let named = json!([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]);
        // The post-processor decides, as in transformers.
        let config = json!({"bos_token": {"content": "<s>"}, "add_bos_token": false, "chat_template": named});
        let metadata = write(&tokenizer(), &config, 7).unwrap();
        let tokens = metadata.texts("tokenizer.ggml.tokens").unwrap().unwrap();
        assert_eq!(tokens, ["a", "b", "ab", "[PAD3]", "<s>", "<t>", "[PAD6]"]);
        assert_eq!(metadata.integers("tokenizer.ggml.token_type").unwrap().unwrap(), [1, 1, 1, 5, 3, 4, 5]);
        assert_eq!(metadata.texts("tokenizer.ggml.merges").unwrap().unwrap(), ["a b"]);
        for (key, id) in
            [("bos", Some(4)), ("eos", Some(4)), ("eot", Some(2)), ("padding", None), ("unknown", None)]
        {
            assert_eq!(metadata.integer(&format!("tokenizer.ggml.{key}_token_id")).unwrap(), id, "{key}");
        }
        assert_eq!(metadata.text("tokenizer.ggml.pre").unwrap(), Some("gpt-2"));
        assert_eq!(metadata.flag("tokenizer.ggml.add_bos_token").unwrap(), Some(true));
        assert_eq!(metadata.flag("tokenizer.ggml.add_eos_token").unwrap(), Some(false));
        assert_eq!(metadata.text("tokenizer.chat_template").unwrap(), Some("d"));
        assert_eq!(metadata.texts("tokenizer.chat_templates").unwrap().unwrap(), ["tool_use"]);
        assert_eq!(metadata.text("tokenizer.chat_template.tool_use").unwrap(), Some("t"));
    }

    #[test]
    fn what_stands_around_a_text_is_a_role_or_refused() {
        let with = |before: Json| {
            let mut tokenizer = tokenizer();
            tokenizer["post_processor"]["special_tokens"]["<s>"]["ids"] = before;
            write(&tokenizer, &Json::Null, 7)
        };
        let metadata = with(json!([5])).unwrap();
        assert_eq!(metadata.integer("tokenizer.ggml.bos_token_id").unwrap(), Some(5));
        assert_eq!(metadata.flag("tokenizer.ggml.add_bos_token").unwrap(), Some(true));
        assert_eq!(with(json!([])).unwrap().flag("tokenizer.ggml.add_bos_token").unwrap(), Some(false));
        assert!(with(json!([4, 5])).unwrap_err().to_string().contains("the tokens [4, 5] around a text"));
    }

    #[test]
    fn merges_of_both_generations_are_read_and_others_refused() {
        let with = |key: &str, value: Json| {
            let mut tokenizer = tokenizer();
            tokenizer["model"][key] = value;
            write(&tokenizer, &Json::Null, 7).map_err(|e| e.to_string())
        };
        assert_eq!(with("merges", json!([["a", "b"]])), with("merges", json!(["a b"])));
        for merge in [json!("ab"), json!("a b c"), json!(["a", "b c"]), json!(["a"]), json!(1)] {
            assert!(with("merges", json!([merge])).unwrap_err().contains("no pair"));
        }
        assert!(with("type", json!("WordPiece")).unwrap_err().contains("\"WordPiece\""));
        assert!(with("byte_fallback", json!(true)).unwrap_err().contains("another way than Llama's"));
        assert!(with("dropout", json!(0.1)).unwrap_err().contains("has the dropout 0.1"));
        assert!(
            with("end_of_word_suffix", json!("</w>")).unwrap_err().contains("end_of_word_suffix \"</w>\"")
        );
        assert!(with("continuing_subword_prefix", json!("")).is_ok() && with("dropout", json!(0.0)).is_ok());
        assert!(with("vocab", json!({"a": 7})).unwrap_err().contains("'a' has no id below 7"));
        assert!(
            write(&tokenizer(), &Json::Null, 5).unwrap_err().to_string().contains("'<t>' has no id below 5")
        );
    }
}
