//! Constrained decoding by `llguidance`: an answer that follows a JSON schema, or calls a function.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::ApiError;
use super::call_grammar::{behind_tag, only_calls, with_blanks};
use super::schema_depth::check_depth;
use super::served::{Constrainer, Wanted};
use super::splitter::CALL_TAGS;
use crate::error::{Error, Result};
use crate::panics::caught;
use crate::sample::Constraint;
use crate::tokenizer::Tokenizer;
use crate::told::told;

/// Longest message of the library that is passed on, in characters.
const LONGEST_REASON: usize = 300;
/// A text of JSON to see whether tokens spell it.
const SAMPLE: &str = "{\"a b\": [1, \"é\"]}";

/// A tokenizer's tokens as a tree of bytes, which all constraints of its model share.
pub struct Grammars {
    factory: ParserFactory,
    /// Whether the model has a token that ends an answer.
    has_end: bool,
}

impl Grammars {
    /// Reads a tokenizer; `end_ids` end an answer.
    ///
    /// # Errors
    /// A tokenizer whose tokens do not spell texts byte by byte.
    pub fn new(tokenizer: &Tokenizer, end_ids: &[u32]) -> Result<Self> {
        check_spelling(tokenizer)?;
        let vocab = tokenizer.vocab_size();
        let words: Vec<Vec<u8>> = (0..vocab as u32).map(|id| word(tokenizer, id)).collect();
        let ends: Vec<u32> = end_ids.iter().copied().filter(|id| (*id as usize) < vocab).collect();
        let info = TokRxInfo::new(vocab as u32, ends.first().copied().unwrap_or(INVALID_TOKEN));
        let made = caught(|| -> Result<ParserFactory, String> {
            let mut tree = TokTrie::from(&info, &words);
            if !ends.is_empty() {
                tree = tree.with_eos_tokens(&ends);
            }
            let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(tree));
            let mut factory = ParserFactory::new_simple(&tokens).map_err(|why| why.to_string())?;
            factory.quiet().limits_mut().verbose_errors = false;
            Ok(factory)
        });
        let factory = made.flatten().map_err(|why| {
            Error::Tokenizer(
                format!("answers of this model cannot be held to a form: {}", short(&why)).into(),
            )
        })?;
        Ok(Self { factory, has_end: !ends.is_empty() })
    }
}

impl Grammars {
    /// What holds a text to a grammar, once it is sure that the text can begin.
    fn matcher(&self, grammar: TopLevelGrammar, param: &str) -> Result<Matcher, ApiError> {
        let made = caught(|| -> Result<Matcher, String> {
            let parser = self.factory.create_parser(grammar).map_err(|why| format!("{why:#}"))?;
            let mut matcher = Matcher::new(Ok(parser));
            matcher.compute_mask_or_eos().map_err(|why| format!("{why:#}"))?;
            Ok(matcher)
        });
        made.flatten().map_err(|why| refused(param, &why))
    }
}

impl Constrainer for Grammars {
    fn constraint(&self, wanted: &Wanted<'_>, param: &str) -> Result<Box<dyn Constraint>, ApiError> {
        if let Wanted::Calls { tools, .. } | Wanted::LaterCalls { tools } = wanted {
            // Each by itself: the one that cannot be held to is named, and before a word is written.
            for tool in tools {
                self.matcher(of_schema(&tool.parameters, &tool.place)?, &tool.place)?;
            }
        }
        let matcher = self.matcher(grammar(wanted, param)?, param)?;
        let grammar = Grammar { matcher, has_end: self.has_end, param: param.to_string() };
        if !matches!(wanted, Wanted::LaterCalls { .. }) {
            return Ok(Box::new(grammar));
        }
        let tokens = self.factory.tok_env().clone();
        Ok(Box::new(LaterCalls { tokens, behind_tag: grammar, call: None, tail: Vec::new() }))
    }
}

/// The constraint of one answer.
#[derive(Clone)]
struct Grammar {
    matcher: Matcher,
    has_end: bool,
    /// The field that asked for it.
    param: String,
}

impl Grammar {
    /// What the rest of a schema does not let through, which only shows on the way: the request's fault, as any other of it.
    fn failed(&self, why: &str) -> Error {
        let (param, reason) = (&self.param, reason(why));
        Error::Data(told!(
            "sampling.form",
            "Invalid '{param}': the answer cannot be held to it any longer: {reason}; change that part of the schema, or leave \
             it out",
            param,
            reason
        ))
    }
}

impl Constraint for Grammar {
    fn rule_out(&mut self, logits: &mut [f32]) -> Result<()> {
        let allowed = self.matcher.compute_mask_or_eos().map_err(|why| self.failed(&why.to_string()))?;
        for (id, logit) in logits.iter_mut().enumerate() {
            if id >= allowed.len() || !allowed.get(id) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    fn take(&mut self, id: u32) -> Result<bool> {
        self.matcher.consume_token(id).map_err(|why| self.failed(&why.to_string()))?;
        // Where no token can end the answer, it ends as soon as it may.
        let accepts = if self.has_end { Ok(false) } else { self.matcher.is_accepting() };
        let may_end = accepts.map_err(|why| self.failed(&why.to_string()))?;
        Ok(self.matcher.is_stopped() || may_end)
    }
}

/// Lets every text through until a call begins, which it holds to its schema.
struct LaterCalls {
    /// The tokens' bytes.
    tokens: TokEnv,
    /// What may follow an opening tag.
    behind_tag: Grammar,
    /// The call that is written now.
    call: Option<Grammar>,
    /// The last bytes outside of calls, in which a tag may have begun.
    tail: Vec<u8>,
}

impl Constraint for LaterCalls {
    fn rule_out(&mut self, logits: &mut [f32]) -> Result<()> {
        self.call.as_mut().map_or(Ok(()), |call| call.rule_out(logits))
    }

    fn take(&mut self, id: u32) -> Result<bool> {
        if let Some(call) = &mut self.call {
            if call.take(id)? {
                self.call = None;
            }
            return Ok(false);
        }
        let tree = self.tokens.tok_trie();
        if (id as usize) < tree.vocab_size() {
            self.tail.extend(tree.token(id));
        }
        let open = CALL_TAGS[0].as_bytes();
        if let Some(at) = self.tail.windows(open.len()).position(|bytes| bytes == open) {
            // The token that completes the tag may bring what follows it.
            let begun = self.tail.split_off(at + open.len());
            self.tail.clear();
            let mut call = Grammar { has_end: true, ..self.behind_tag.clone() };
            for id in self.tokens.tokenize_bytes(&begun) {
                call.take(id)?;
            }
            self.call = Some(call);
        }
        let begun = self.tail.len().saturating_sub(open.len() - 1);
        self.tail.drain(..begun);
        Ok(false)
    }
}

/// The grammar of what is wanted.
fn grammar(wanted: &Wanted, param: &str) -> Result<TopLevelGrammar, ApiError> {
    match wanted {
        Wanted::Json => of_schema(&json!({"type": "object"}), param),
        Wanted::Schema(schema) => of_schema(schema, param),
        Wanted::Calls { tools, several } => Ok(TopLevelGrammar::from_lark(only_calls(tools, *several)?)),
        Wanted::LaterCalls { tools } => Ok(TopLevelGrammar::from_lark(behind_tag(tools)?)),
    }
}

/// The grammar of a schema, which is not too deep to be compiled.
fn of_schema(schema: &Value, param: &str) -> Result<TopLevelGrammar, ApiError> {
    check_depth(schema).map_err(|why| refused(param, &why))?;
    Ok(TopLevelGrammar::from_json_schema(with_blanks(schema, param)?))
}

/// Why an answer cannot be held to a schema.
fn refused(param: &str, why: &str) -> ApiError {
    let reason = reason(why);
    let message = format!(
        "Invalid '{param}': an answer cannot be held to its schema: {reason}. Change that part of it, or leave it out."
    );
    ApiError::invalid(param, message)
}

/// What the library says, in words that a request's writer can act on.
fn reason(why: &str) -> String {
    if why.contains("NoExtensionBias") {
        let none =
            "nothing may stand here: a part of it refers to itself alone, or its parts contradict each other";
        return none.to_string();
    }
    if why.contains("Current row has") {
        return "more properties or alternatives stand at one place than can be followed".to_string();
    }
    short(why).trim_end_matches('.').to_string()
}

/// The bytes of a token. A special one is no text: behind llguidance's mark it fits no grammar of texts.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let bytes = tokenizer.token_bytes(id);
    if !tokenizer.is_special(id) || bytes.is_empty() {
        return bytes;
    }
    [&[TokTrie::SPECIAL_TOKEN_MARKER][..], &bytes].concat()
}

/// Refuses a tokenizer whose tokens, one after the other, are not the text.
fn check_spelling(tokenizer: &Tokenizer) -> Result<()> {
    let ids = tokenizer.encode(SAMPLE)?;
    let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.token_bytes(*id)).collect();
    if bytes.trim_ascii_start() == SAMPLE.as_bytes() {
        return Ok(());
    }
    let why = "answers of this model cannot be held to a form: its tokens do not spell a text byte by byte";
    Err(Error::Tokenizer(why.into()))
}

/// The beginning of the library's message, which may hold all of a grammar.
fn short(why: &str) -> String {
    let first = why.split("\n<").next().unwrap_or_default().trim();
    first.chars().take(LONGEST_REASON).collect::<String>().replace('\n', " ")
}
