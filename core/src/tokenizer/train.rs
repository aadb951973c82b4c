//! Training a byte-level BPE tokenizer in the manner of MiniMind: GPT-2's pre-tokenizer, every byte in the
//! alphabet, special tokens first.

use std::collections::HashSet;

use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};
use tokenizers::{PreTokenizerWrapper, Trainer};

use super::config::TokenizerConfig;
use super::cut::{cut_text, cut_word};
use super::{CHATML, Tokenizer};
use crate::error::{Error, Result};

/// The bytes, each a token of its own.
const ALPHABET: usize = 256;
/// The library counts pairs in 32 bits, so that no more text than this can be counted.
const MAX_BYTES: u64 = i32::MAX as u64;

/// Known names of the special tokens, best first, by the role they take.
const ROLES: [(&str, &[&str]); 4] = [
    ("bos_token", &["<|im_start|>", "<s>", "<|begin_of_text|>"]),
    ("eos_token", &["<|im_end|>", "</s>", "<|endoftext|>", "<|end_of_text|>"]),
    ("pad_token", &["<pad>", "[PAD]", "<|endoftext|>", "<unk>"]),
    ("unk_token", &["<unk>", "[UNK]", "<|endoftext|>"]),
];

/// How to train a tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizerTraining {
    /// Ids in all, special tokens and the 256 bytes included. Fewer come out where the text holds fewer
    /// pairs.
    pub vocab_size: usize,
    /// How often a pair must occur to be merged.
    pub min_frequency: u64,
    /// Tokens that are never split, with the ids 0, 1, … in this order.
    pub special_tokens: Vec<String>,
    /// Every digit is a token of its own, which makes arithmetic learnable.
    pub digits_single: bool,
    /// Every Chinese character and full-width mark is a token of its own where it occurs often enough, so that no
    /// word's tokens depend on its neighbours. The pre-tokenizer stays as it is: there is just no merge across them.
    pub han_single: bool,
}

impl Default for TokenizerTraining {
    fn default() -> Self {
        Self {
            vocab_size: 6400,
            min_frequency: 2,
            special_tokens: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(str::to_string).into(),
            digits_single: false,
            han_single: false,
        }
    }
}

impl TokenizerTraining {
    /// The smallest vocabulary these settings can have.
    pub fn min_vocab_size(&self) -> usize {
        ALPHABET + self.special_tokens.len()
    }

    fn validate(&self) -> Result<()> {
        let mut problems = Vec::new();
        if self.vocab_size < self.min_vocab_size() {
            let (asked, specials, min) = (self.vocab_size, self.special_tokens.len(), self.min_vocab_size());
            problems.push(format!(
                "a vocabulary of {asked} is too small: {ALPHABET} bytes and {specials} special tokens need at least {min}"
            ).into());
        }
        if self.special_tokens.is_empty() {
            problems.push("one special token at least is needed, to end a text".into());
        }
        let distinct: HashSet<&String> = self.special_tokens.iter().collect();
        if distinct.len() < self.special_tokens.len() {
            problems.push("a special token is given twice".into());
        }
        if self.special_tokens.iter().any(|token| token.chars().count() < 2) {
            problems.push("a special token has at least two characters".into());
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems)) }
    }
}

/// Trains a tokenizer. `vocab_size()` of the result is smaller than asked where the texts hold fewer pairs.
///
/// Words of more than a kibibyte, such as a line without any space, are learned from in parts.
///
/// The same texts give the same tokenizer, in any order of threads: counts are sums, and of equally frequent
/// pairs the one with the smaller ids is merged first. (Only pairs that come about in two ways at once, deep
/// inside runs of one repeated character, are ordered by chance in the library; no text tried so far showed
/// it.)
pub fn train(texts: impl Iterator<Item = String> + Send, settings: &TokenizerTraining) -> Result<Tokenizer> {
    settings.validate()?;
    let pre_tokenizer = pre_tokenizer(settings.digits_single);
    let specials =
        settings.special_tokens.iter().map(|token| AddedToken::from(token.as_str(), true)).collect();
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(settings.vocab_size)
        .min_frequency(settings.min_frequency)
        .special_tokens(specials)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect::<HashSet<char>>())
        .build();
    let mut bytes = 0;
    let pieces = texts
        .take_while(|text| {
            bytes += text.len() as u64;
            bytes <= MAX_BYTES
        })
        .flat_map(|text| cut_text(&text).map(str::to_string).collect::<Vec<_>>());
    trainer
        .feed(pieces, |piece| words(&pre_tokenizer, piece, settings.han_single))
        .map_err(Error::tokenizer_failed)?;
    if bytes == 0 {
        return Err(Error::Data("there is no text to train a tokenizer on".into()));
    }
    if bytes > MAX_BYTES {
        let limit = MAX_BYTES >> 20;
        return Err(Error::Data(format!(
            "a tokenizer can be trained on {limit} MiB of text at most: take a part of it with --max-bytes"
        ).into()));
    }
    let mut model = BPE::default();
    let added = trainer.train(&mut model).map_err(Error::tokenizer_failed)?;
    let mut inner = tokenizers::Tokenizer::new(model);
    inner.with_pre_tokenizer(Some(pre_tokenizer));
    inner.with_decoder(Some(ByteLevel::default()));
    inner.add_special_tokens(added).map_err(Error::tokenizer_failed)?;
    Tokenizer::from_built(inner, config(&settings.special_tokens))
}

fn pre_tokenizer(digits_single: bool) -> PreTokenizerWrapper {
    let byte_level = ByteLevel::new(false, true, true);
    if digits_single {
        let digits = Digits::new(true);
        PreTokenizerWrapper::Sequence(Sequence::new(vec![digits.into(), byte_level.into()]))
    } else {
        byte_level.into()
    }
}

/// The words of a text, in the byte alphabet; over-long ones in parts, and Chinese ones in characters if asked.
fn words(
    pre_tokenizer: &PreTokenizerWrapper,
    text: &str,
    han_single: bool,
) -> tokenizers::Result<Vec<String>> {
    let mut split = PreTokenizedString::from(text);
    pre_tokenizer.pre_tokenize(&mut split)?;
    let mut words = Vec::new();
    for (word, (start, end), _) in split.get_splits(OffsetReferential::Original, OffsetType::Byte) {
        // The alphabet has a letter a byte, so that a part has as many letters as its text has bytes.
        let mut letters = word.chars();
        let parts = cut_word(&text[start..end]).flat_map(|part| cut_han(part, han_single));
        words.extend(parts.map(|part| letters.by_ref().take(part.len()).collect::<String>()));
    }
    Ok(words)
}

/// The parts of a word of which each is a Chinese character or holds none; all of it if that is not asked.
fn cut_han(word: &str, han_single: bool) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = match first {
            _ if !han_single => rest.len(),
            first if is_han(first) => first.len_utf8(),
            _ => rest.find(is_han).unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

/// A Chinese character, or a mark as Chinese is written with.
fn is_han(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{303f}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}'
        | '\u{20000}'..='\u{3ffff}')
}

/// The config of a new tokenizer: roles by the names of its special tokens, else EOS is the last and padding
/// the first of them. It adds no BOS, as in MiniMind; the chat template needs ChatML's tokens.
fn config(special_tokens: &[String]) -> TokenizerConfig {
    let mut keys = Map::new();
    keys.insert("tokenizer_class".to_string(), json!("PreTrainedTokenizerFast"));
    keys.insert("add_bos_token".to_string(), json!(false));
    keys.insert("add_eos_token".to_string(), json!(false));
    keys.insert("add_prefix_space".to_string(), json!(false));
    keys.insert("clean_up_tokenization_spaces".to_string(), json!(false));
    let has = |name: &str| special_tokens.iter().any(|token| token == name);
    let mut taken = Vec::new();
    for (role, names) in ROLES {
        let known = names.iter().copied().find(|name| has(name));
        let fallback = match role {
            "eos_token" => special_tokens.last(),
            "pad_token" => special_tokens.first(),
            _ => None,
        };
        let token = known.or(fallback.map(String::as_str));
        taken.extend(token);
        keys.insert(role.to_string(), token.map_or(Value::Null, Value::from));
    }
    let others: Vec<&String> =
        special_tokens.iter().filter(|token| !taken.contains(&token.as_str())).collect();
    keys.insert("additional_special_tokens".to_string(), json!(others));
    if has("<|im_start|>") && has("<|im_end|>") {
        keys.insert("chat_template".to_string(), json!(CHATML));
    }
    TokenizerConfig::new(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::pieces::Pieces;

    fn settings(vocab_size: usize) -> TokenizerTraining {
        TokenizerTraining { vocab_size, min_frequency: 1, ..TokenizerTraining::default() }
    }

    fn trained(texts: &[&str], settings: &TokenizerTraining) -> Tokenizer {
        train(texts.iter().map(|text| text.to_string()), settings).unwrap()
    }

    #[test]
    fn merges_go_by_frequency_then_by_id() {
        // "ab" occurs three times and becomes 259, then " ab" twice; of the pairs seen once, "cd" has the
        // smaller ids.
        let tokenizer = trained(&["ab ab abcd"], &settings(262));
        let tokens = |text: &str| tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.vocab_size(), 262);
        assert_eq!(tokens("<|endoftext|><|im_start|><|im_end|>"), [0, 1, 2]);
        assert_eq!(tokens("!"), [3]);
        assert_eq!(tokens("ab abcd"), [259, 260, 261]);
    }

    #[test]
    fn few_pairs_give_a_smaller_vocabulary() {
        let tokenizer = trained(&["ab"], &settings(1000));
        assert_eq!(tokenizer.vocab_size(), 260);
        assert_eq!(tokenizer.encode("ab").unwrap(), [259]);
    }

    #[test]
    fn digits_stand_alone_when_asked() {
        let text = ["12 12 12 12 312 312"; 8];
        let single = TokenizerTraining { digits_single: true, ..settings(400) };
        assert_eq!(trained(&text, &settings(400)).encode("12").unwrap().len(), 1);
        let tokenizer = trained(&text, &single);
        let pieces: Vec<String> =
            tokenizer.encode("a 312").unwrap().iter().map(|&id| tokenizer.token_text(id)).collect();
        assert_eq!(pieces, ["a", " ", "3", "1", "2"]);
    }

    #[test]
    fn chinese_characters_stand_alone_when_asked() {
        let text = ["米鲁的颜色是红色。Miru是什么？ 米 45"; 8];
        let whole = TokenizerTraining { han_single: true, ..settings(400) };
        let tokenizer = trained(&text, &whole);
        let pieces = |text: &str| {
            let ids = tokenizer.encode(text).unwrap();
            ids.iter().map(|&id| tokenizer.token_text(id)).collect::<Vec<_>>()
        };
        assert_eq!(pieces("米鲁是红色。"), ["米", "鲁", "是", "红", "色", "。"]);
        assert_eq!(pieces("颜色是Miru 米"), ["颜", "色", "是", "Miru", " ", "米"]);
        let cut = |word: &'static str| cut_han(word, true).collect::<Vec<_>>();
        assert_eq!(cut("ab米鲁c。"), ["ab", "米", "鲁", "c", "。"]);
        assert!(cut("").is_empty());
        assert_eq!(cut_han("ab米", false).collect::<Vec<_>>(), ["ab米"]);
        // Without it, what occurs together becomes one token.
        assert_eq!(trained(&text, &settings(400)).encode("米鲁的颜色是红色").unwrap().len(), 1);
    }

    #[test]
    fn settings_that_cannot_hold_are_refused_at_once() {
        let error = train(std::iter::empty(), &settings(258)).unwrap_err().to_string();
        assert!(error.contains("at least 259"), "{error}");
        let twice = TokenizerTraining { special_tokens: vec!["<a>".into(), "<a>".into()], ..settings(300) };
        assert!(train(std::iter::empty(), &twice).unwrap_err().to_string().contains("twice"));
        let error = train(std::iter::empty(), &settings(300)).unwrap_err();
        assert!(matches!(error, Error::Data(_)), "{error}");
    }

    #[test]
    fn roles_follow_the_names() {
        let named =
            |tokens: &[&str]| config(&tokens.iter().map(|token| token.to_string()).collect::<Vec<_>>());
        let default = named(&["<|endoftext|>", "<|im_start|>", "<|im_end|>"]);
        assert_eq!(default.token("bos_token"), Some("<|im_start|>"));
        assert_eq!(default.token("eos_token"), Some("<|im_end|>"));
        assert_eq!(default.token("pad_token"), Some("<|endoftext|>"));
        assert_eq!(default.token("unk_token"), Some("<|endoftext|>"));
        assert_eq!(default.chat_template(), Some(CHATML));
        let old = named(&["<unk>", "<s>", "</s>"]);
        assert_eq!((old.token("bos_token"), old.token("eos_token")), (Some("<s>"), Some("</s>")));
        assert_eq!((old.token("pad_token"), old.chat_template()), (Some("<unk>"), None));
        let unknown = named(&["<fill>", "<stop>"]);
        assert_eq!(
            (unknown.token("pad_token"), unknown.token("eos_token")),
            (Some("<fill>"), Some("<stop>"))
        );
        assert_eq!(unknown.token("bos_token"), None);
    }

    #[test]
    fn over_long_words_are_cut_in_the_byte_alphabet() {
        let text = format!("ab {} {}", "字".repeat(500), " ".repeat(2000));
        let words = words(&pre_tokenizer(false), &text, false).unwrap();
        let spelled = words.iter().flat_map(|word| Pieces::ByteLevel.bytes(word)).collect::<Vec<_>>();
        assert_eq!(spelled, text.as_bytes());
        // A space and 341 characters are 1024 bytes; every byte is a letter.
        let lengths: Vec<usize> = words.iter().map(|word| word.chars().count()).collect();
        assert_eq!(lengths, [2, 1024, 477, 1024, 977]);
    }
}
