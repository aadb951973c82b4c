//! Constrained decoding by `llguidance`: an answer that follows a JSON schema, or calls a function.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::json;

use super::ApiError;
use super::call_grammar::{behind_tag, only_calls, with_blanks};
use super::served::{Constrainer, Wanted};
use super::splitter::CALL_TAGS;
use crate::error::{Error, Result};
use crate::panics::caught;
use crate::sample::Constraint;
use crate::tokenizer::Tokenizer;

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

impl Constrainer for Grammars {
    fn constraint(&self, wanted: &Wanted<'_>, param: &str) -> Result<Box<dyn Constraint>, ApiError> {
        let grammar = grammar(wanted, param)?;
        let refused = |why: String| {
            let message = format!("Invalid '{param}': it cannot be held to: {}.", short(&why));
            ApiError::invalid(param, message)
        };
        let parser = caught(|| self.factory.create_parser(grammar)).map_err(refused)?;
        let parser = parser.map_err(|why| refused(format!("{why:#}")))?;
        let grammar = Grammar { matcher: Matcher::new(Ok(parser)), has_end: self.has_end };
        if !matches!(wanted, Wanted::LaterCalls { .. }) {
            return Ok(Box::new(grammar));
        }
        let tokens = self.factory.tok_env().clone();
        Ok(Box::new(LaterCalls { tokens, behind_tag: grammar.matcher, call: None, tail: Vec::new() }))
    }
}

/// The constraint of one answer.
struct Grammar {
    matcher: Matcher,
    has_end: bool,
}

impl Constraint for Grammar {
    fn rule_out(&mut self, logits: &mut [f32]) -> Result<()> {
        let allowed = self.matcher.compute_mask_or_eos().map_err(|why| failed(&why.to_string()))?;
        for (id, logit) in logits.iter_mut().enumerate() {
            if id >= allowed.len() || !allowed.get(id) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    fn take(&mut self, id: u32) -> Result<bool> {
        self.matcher.consume_token(id).map_err(|why| failed(&why.to_string()))?;
        // Where no token can end the answer, it ends as soon as it may.
        let may_end = !self.has_end && self.matcher.is_accepting().map_err(|why| failed(&why.to_string()))?;
        Ok(self.matcher.is_stopped() || may_end)
    }
}

/// Lets every text through until a call begins, which it holds to its schema.
struct LaterCalls {
    /// The tokens' bytes.
    tokens: TokEnv,
    /// What may follow an opening tag.
    behind_tag: Matcher,
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
            let mut call = Grammar { matcher: self.behind_tag.clone(), has_end: true };
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

fn failed(why: &str) -> Error {
    Error::Model(format!("the answer cannot be held to its form any longer: {}", short(why)).into())
}

/// The grammar of what is wanted.
fn grammar(wanted: &Wanted, param: &str) -> Result<TopLevelGrammar, ApiError> {
    match wanted {
        Wanted::Json => {
            Ok(TopLevelGrammar::from_json_schema(with_blanks(&json!({"type": "object"}), param)?))
        }
        Wanted::Schema(schema) => Ok(TopLevelGrammar::from_json_schema(with_blanks(schema, param)?)),
        Wanted::Calls { tools, several } => Ok(TopLevelGrammar::from_lark(only_calls(tools, *several)?)),
        Wanted::LaterCalls { tools } => Ok(TopLevelGrammar::from_lark(behind_tag(tools)?)),
    }
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

#[cfg(test)]
mod tests {
    use super::super::tools::Tool;
    use super::*;
    use crate::tokenizer::{TokenizerTraining, train};

    fn tokenizer() -> Tokenizer {
        let settings = TokenizerTraining { vocab_size: 400, ..TokenizerTraining::default() };
        train(std::iter::once("{\"place\": \"Oma\", \"days\": [1, 2]}".to_string()), &settings).unwrap()
    }

    /// Whether a text may be written token by token, and whether it is complete then.
    fn takes(wanted: &Wanted, text: &str) -> (bool, bool) {
        let tokenizer = tokenizer();
        let end = tokenizer.eos().unwrap();
        let grammars = Grammars::new(&tokenizer, &[end]).unwrap();
        let mut constraint = grammars.constraint(wanted, "response_format").unwrap();
        // One more than the tokenizer has: models round their vocabulary up.
        let mut logits = vec![0.0; tokenizer.vocab_size() + 1];
        for id in tokenizer.encode(text).unwrap() {
            logits.fill(0.0);
            constraint.rule_out(&mut logits).unwrap();
            let unknown = logits.last().copied();
            assert!(matches!(wanted, Wanted::LaterCalls { .. }) || unknown == Some(f32::NEG_INFINITY));
            if logits[id as usize] != 0.0 {
                return (false, false);
            }
            if constraint.take(id).unwrap() {
                return (true, true);
            }
        }
        logits.fill(0.0);
        constraint.rule_out(&mut logits).unwrap();
        (true, logits[end as usize] == 0.0)
    }

    #[test]
    fn json_that_follows_its_schema_is_let_through_and_nothing_else() {
        let schema = json!({
            "type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["place", "days"], "additionalProperties": false,
        });
        let wanted = Wanted::Schema(&schema);
        assert_eq!(takes(&wanted, "{\"place\": \"Oma\", \"days\": 12}"), (true, true));
        assert_eq!(takes(&wanted, "{\"place\": \"Om"), (true, false), "not complete");
        assert!(!takes(&wanted, "{\"place\": \"Oma\"}").0, "a part is missing");
        assert_eq!(takes(&wanted, "{\"place\": 5"), (false, false));
        assert_eq!(takes(&wanted, "Sure: {"), (false, false));
        assert_eq!(takes(&Wanted::Json, "{\"any\": [1, {}]}"), (true, true));
        assert_eq!(takes(&Wanted::Json, "[1]"), (false, false));
    }

    #[test]
    fn calls_are_let_through_with_arguments_that_follow_their_schema() {
        let tools = [
            Tool::new(
                "warmth",
                json!({"type": "object", "properties": {"place": {"$ref": "#/$defs/p"}},
                "required": ["place"], "$defs": {"p": {"type": "string"}}}),
            ),
            Tool::new("now", json!({"type": "object"})),
        ];
        let wanted = |several| Wanted::Calls { tools: tools.iter().collect(), several };
        let call = "<tool_call>\n{\"name\": \"warmth\", \"arguments\": {\"place\": \"Oma\"}}\n</tool_call>";
        assert_eq!(takes(&wanted(false), call), (true, true));
        assert_eq!(takes(&wanted(true), &format!("{call}\n{call}")), (true, true));
        assert!(!takes(&wanted(false), &call.replace("\"Oma\"", "7")).0);
        assert!(!takes(&wanted(false), "<tool_call>\n{\"name\": \"rain").0);
        assert!(!takes(&wanted(false), "I would rather not.").0);
    }

    #[test]
    fn a_call_that_a_text_comes_to_is_held_to_its_schema() {
        let schema =
            json!({"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]});
        let tool = Tool::new("warmth", schema);
        let wanted = Wanted::LaterCalls { tools: vec![&tool] };
        let call = "<tool_call>\n{\"name\": \"warmth\", \"arguments\": {\"place\": \"Oma\"}}\n</tool_call>";
        assert_eq!(takes(&wanted, "{] any text"), (true, true));
        assert_eq!(takes(&wanted, &format!("I ask.\n{call}\n{call} so")), (true, true));
        assert_eq!(takes(&wanted, &format!("I ask. {}", &call[..40])), (true, false), "not within a call");
        assert!(!takes(&wanted, &format!("I ask. {}", call.replace("\"Oma\"", "7"))).0);
        assert!(!takes(&wanted, "So: <tool_call>{\"name\": \"rain").0);
    }

    #[test]
    fn a_schema_that_cannot_be_held_to_is_refused_by_its_message() {
        let tokenizer = tokenizer();
        let grammars = Grammars::new(&tokenizer, &[]).unwrap();
        for schema in [
            json!({"type": "array", "uniqueItems": true}),
            json!({"type": "nothing"}),
            json!({"$ref": "#/$defs/none"}),
            json!({"type": "object", "x-guidance": {"lenient": true}}),
        ] {
            let error = match grammars.constraint(&Wanted::Schema(&schema), "response_format") {
                Ok(_) => panic!("{schema} is taken"),
                Err(error) => error,
            };
            assert_eq!((error.status, error.param.as_deref()), (400, Some("response_format")), "{schema}");
            assert!(error.message.len() < 500, "{}", error.message);
        }
    }
}
