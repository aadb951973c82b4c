//! Rows into examples: documents become text and an end token, conversations go through the template, to be answered or
//! to be a document themselves, and a preference pair gives the examples of its two answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Example;
use crate::data::{RowOrigin, Turns, WarningCount, not_of_kind};
use crate::error::{Error, Result};
use crate::text::{Conversation, Preference, Row, RowKind};
use crate::tokenizer::{RenderWarning, Rendered, TagWeight, Tokenizer, cut_text};
use crate::told::{Counted, Told, told};

/// What a stage trains on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Every token of a text is a target.
    Documents,
    /// The assistant's tokens are targets.
    Conversations,
    /// The tokens of two answers to one prompt are targets, of an example each.
    Preferences,
}

impl Content {
    /// Which rows it is made of.
    pub fn row_kind(self) -> RowKind {
        match self {
            Self::Documents => RowKind::Document,
            Self::Conversations => RowKind::Conversation,
            Self::Preferences => RowKind::Preference,
        }
    }

    /// Examples of a row, which stay together.
    pub fn group(self) -> usize {
        match self {
            Self::Documents | Self::Conversations => 1,
            Self::Preferences => 2,
        }
    }
}

/// Turns rows into examples.
#[derive(Clone)]
pub struct Encoder {
    tokenizer: Arc<Tokenizer>,
    content: Content,
    /// Tokens of a conversation that are enough.
    tokens: usize,
    /// What becomes of conversations among documents.
    turns: Turns,
    /// Tokens of a prompt at most; of a longer one the beginning is left out. 0 sets no limit.
    prompt: usize,
    /// Tags of answers that think first, which count more.
    tags: Option<TagWeight>,
}

impl Encoder {
    /// An encoder for one kind of content.
    pub fn new(tokenizer: Arc<Tokenizer>, content: Content) -> Self {
        Self { tokenizer, content, tokens: usize::MAX, turns: Turns::Refused, prompt: 0, tags: None }
    }

    /// The same for rows of which conversations are treated like this, as [`Dataset::turns`](crate::data::Dataset::turns)
    /// says.
    pub fn with_turns(mut self, turns: Turns) -> Self {
        self.turns = turns;
        self
    }

    /// The same, for rows of at most `tokens` tokens: a conversation is rendered whole, but of a longer one no more
    /// is tokenised than fills them, and shows that it is longer.
    pub fn for_rows_of(mut self, tokens: usize) -> Self {
        // A row has one token more, its last target.
        self.tokens = tokens.saturating_add(2);
        self
    }

    /// The same, where the prompt of a pair has at most `tokens` tokens and a longer one loses its beginning, in both
    /// examples alike; 0 sets no limit.
    pub fn with_prompts_of(mut self, tokens: usize) -> Self {
        self.prompt = tokens;
        self
    }

    /// The same for answers that think first: they stand between these tags, which count more.
    pub fn with_tags(mut self, tags: Option<TagWeight>) -> Self {
        self.tags = tags;
        self
    }

    /// Tokens that there are.
    pub(super) fn vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    /// Examples of a row.
    pub(super) fn group(&self) -> usize {
        self.content.group()
    }

    /// Whether there is the template that it needs, if it needs one.
    pub(super) fn has_template(&self) -> bool {
        let renders = self.content != Content::Documents || self.turns == Turns::Rendered;
        !renders || self.tokenizer.check_chat_template().is_ok()
    }

    /// One row's examples, as many as [`Content::group`] says: of a pair the chosen answer's first.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn examples(&self, row: &Row, origin: RowOrigin) -> Result<Vec<Example>> {
        match (self.content, row) {
            (Content::Preferences, Row::Preference(pair)) => {
                self.pair(pair, &origin).map_err(|error| of_row(error, &origin))
            }
            _ => Ok(vec![self.encode(row, origin)?]),
        }
    }

    /// The examples of both answers.
    fn pair(&self, pair: &Preference, origin: &RowOrigin) -> Result<Vec<Example>> {
        // A prompt that loses its beginning is tokenised whole.
        let tokens = if self.prompt > 0 { usize::MAX } else { self.tokens };
        let [chosen, rejected] =
            pair.conversations().map(|side| self.tokenizer.render_beginning(&side, tokens));
        let mut sides = [chosen?, rejected?];
        let prompt = sides.iter().map(prompt_tokens).min().unwrap_or_default();
        if self.prompt > 0 && prompt > self.prompt {
            sides.iter_mut().for_each(|side| lose_beginning(side, prompt - self.prompt));
        }
        let example =
            |Rendered { ids, weights, warnings }| Example { ids, weights, warnings, origin: origin.clone() };
        Ok(sides.map(example).into())
    }

    /// The example of a row that gives one.
    ///
    /// # Errors
    /// A row of the wrong kind, or one that the tokenizer or the template refuses; both with file and line. A template
    /// that uses what is not known is told as such.
    pub fn encode(&self, row: &Row, origin: RowOrigin) -> Result<Example> {
        let of_document =
            |(ids, warnings): (Vec<u32>, Vec<RenderWarning>)| (vec![1.0; ids.len()], ids, warnings);
        let encoded = match (self.content, row) {
            (Content::Documents, Row::Document(text)) => {
                self.document(text, false).map(|ids| of_document((ids, Vec::new())))
            }
            (Content::Documents, Row::Conversation(conversation)) if self.turns == Turns::Rendered => {
                self.rendered(conversation).map(of_document)
            }
            (Content::Conversations, Row::Conversation(conversation)) => self
                .conversation(conversation)
                .map(|rendered| (rendered.weights, rendered.ids, rendered.warnings)),
            (content, _) => {
                return Err(Error::Data(told!(
                    "row.at",
                    "{origin}: {reason}",
                    origin,
                    reason = not_of_kind(content.row_kind())
                )));
            }
        };
        let (weights, ids, warnings) = encoded.map_err(|error| of_row(error, &origin))?;
        Ok(Example { ids, weights, warnings, origin })
    }

    /// A conversation to be answered. Where tags are taught, its answers are put between them.
    fn conversation(&self, conversation: &Conversation) -> Result<Rendered> {
        let Some(weight) = &self.tags else {
            return self.tokenizer.render_beginning(conversation, self.tokens);
        };
        let tagged = weight.tags.put_in(conversation);
        let mut rendered = self.tokenizer.render_weighed(&tagged, self.tokens, Some(weight))?;
        if !weight.tags.are_kept_by(&tagged) {
            rendered.warnings.push(RenderWarning::WithoutTags);
        }
        Ok(rendered)
    }

    /// A whole conversation as a document: what the chat template makes of it.
    fn rendered(&self, conversation: &Conversation) -> Result<(Vec<u32>, Vec<RenderWarning>)> {
        let (text, warnings) = self.tokenizer.render_document(conversation)?;
        Ok((self.document(&text, true)?, warnings))
    }

    /// The text's tokens and the token that ends a document, which is not repeated where a text brings it by itself.
    fn document(&self, text: &str, may_end: bool) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        for (i, piece) in cut_text(text).enumerate() {
            let tokens = match i {
                0 => self.tokenizer.encode_document(piece)?,
                _ => self.tokenizer.encode(piece)?,
            };
            ids.extend(tokens);
        }
        let end = self.tokenizer.document_end();
        ids.extend(end.filter(|end| !may_end || ids.last() != Some(end)));
        Ok(ids)
    }
}

/// What went wrong, with the row that it went wrong at.
fn of_row(error: Error, origin: &RowOrigin) -> Error {
    match error {
        Error::UnknownInTemplate(why) => Error::UnknownInTemplate(told!(
            "template.unknown_first",
            "{why} (first for {origin})",
            why,
            origin
        )),
        error => Error::Data(told!("row.at", "{origin}: {reason}", origin, reason = error.told())),
    }
}

/// Tokens before the first target.
fn prompt_tokens(side: &Rendered) -> usize {
    side.weights.iter().take_while(|&&weight| weight == 0.0).count()
}

/// Leaves out the first tokens, which are the prompt's.
fn lose_beginning(side: &mut Rendered, tokens: usize) {
    side.ids.drain(..tokens);
    side.weights.drain(..tokens);
    side.warnings.push(RenderWarning::PromptCut);
}

/// What is odd about examples, by kind: in how many rows, and where first.
pub type RenderWarnings = BTreeMap<RenderWarning, WarningCount>;

/// What a person should know of them, a sentence each; `number` writes a count.
pub fn render_remarks(counts: &RenderWarnings, number: impl Fn(u64) -> String) -> Vec<Told> {
    let remark = |(kind, count): (&RenderWarning, &WarningCount)| {
        let kind = kind.told();
        told!(
            "data.odd",
            "{rows}: {kind} (the first: {first})",
            rows = Counted::written(number(count.rows), ["row", "rows"]),
            kind,
            first = count.first
        )
    };
    counts.iter().map(remark).collect()
}

/// Counts what is odd about the row of these examples, each kind once.
pub fn count_warnings_of_row(examples: &[Example], counts: &mut RenderWarnings) {
    let Some(first) = examples.first() else { return };
    let kinds: BTreeSet<RenderWarning> =
        examples.iter().flat_map(|example| example.warnings.iter().copied()).collect();
    for kind in kinds {
        let none = || WarningCount { rows: 0, first: first.origin.to_string() };
        counts.entry(kind).or_insert_with(none).rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::example;
    use crate::text::Message;
    use crate::tokenizer::{TokenizerTraining, train};

    #[test]
    fn a_conversation_among_documents_is_refused_or_rendered_and_trained_whole() {
        let mut tokenizer = train(std::iter::once("one two".into()), &TokenizerTraining::default()).unwrap();
        let messages =
            vec![Message::new("user", "one"), Message { weight: 0.0, ..Message::new("assistant", "two") }];
        let row = Row::Conversation(Conversation::new(messages));
        let origin = || RowOrigin { source: "a".into(), line: 3 };
        for (template, text) in [
            ("{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}", "user:one;assistant:two;"),
            ("{% for m in messages %}{{ m.content }}{% endfor %}<|endoftext|>", "onetwo"),
        ] {
            tokenizer.set_chat_template(template).unwrap();
            let encoder = Encoder::new(Arc::new(tokenizer.clone()), Content::Documents).for_rows_of(2);
            let refused = encoder.encode(&row, origin()).unwrap_err().to_string();
            assert!(refused.starts_with("a:3: a conversation, where pretraining reads texts"), "{refused}");
            let encoder = encoder.with_turns(Turns::Rendered);
            let rendered = encoder.encode(&row, origin()).unwrap();
            let document = encoder.encode(&Row::Document(text.into()), origin()).unwrap();
            assert_eq!((&rendered.ids, &rendered.weights), (&document.ids, &document.weights), "{text}");
            assert_eq!(rendered.weights, vec![1.0; rendered.ids.len()]);
            assert_eq!(rendered.ids.last().copied(), tokenizer.document_end());
        }
    }

    #[test]
    fn warnings_are_counted_with_their_first_place() {
        let mut counts = RenderWarnings::new();
        (0..2).for_each(|_| count_warnings_of_row(&[example(&[1.0])], &mut counts));
        let count = WarningCount { rows: 2, first: "a:1".into() };
        assert_eq!(counts, RenderWarnings::from([(RenderWarning::TextLeftOut, count)]));
        count_warnings_of_row(&[example(&[1.0]), example(&[0.5])], &mut counts);
        assert_eq!(counts[&RenderWarning::TextLeftOut].rows, 3, "two examples of one row");
    }

    #[test]
    fn a_pair_gives_two_examples_whose_prompt_may_lose_its_beginning() {
        let mut tokenizer = train(std::iter::once("a b c q".into()), &TokenizerTraining::default()).unwrap();
        tokenizer.set_chat_template("{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}").unwrap();
        let tokenizer = Arc::new(tokenizer);
        let message = |role: &str, content: &str| Message::new(role, content);
        let prompt = vec![
            message("user", "cccc"),
            Message { weight: 0.0, ..message("assistant", "b") },
            message("user", "q"),
        ];
        let (chosen, rejected) = (vec![message("assistant", "a")], vec![message("assistant", "bb")]);
        let row = Row::Preference(Preference { prompt, chosen, rejected, tools: None });
        let origin = || RowOrigin { source: "a".into(), line: 3 };
        let encoder = Encoder::new(Arc::clone(&tokenizer), Content::Preferences).for_rows_of(99);
        let texts = |encoder: &Encoder| -> Vec<[String; 2]> {
            let examples = encoder.examples(&row, origin()).unwrap();
            let decode = |ids: Vec<u32>| tokenizer.decode(&ids, false).unwrap();
            let of = |example: &Example| {
                let targets = example.ids.iter().zip(&example.weights).filter(|(_, weight)| **weight == 1.0);
                [decode(example.ids.clone()), decode(targets.map(|(&id, _)| id).collect())]
            };
            examples.iter().map(of).collect()
        };
        let end = "<|im_end|>";
        let whole = |answer: &str| [format!("cccc{end}b{end}q{end}{answer}{end}"), format!("{answer}{end}")];
        assert_eq!(texts(&encoder), [whole("a"), whole("bb")]);
        assert!(encoder.encode(&row, origin()).unwrap_err().to_string().contains("no pair of answers"));
        let short = encoder.clone().with_prompts_of(3);
        let cut = |answer: &str| [format!("{end}q{end}{answer}{end}"), format!("{answer}{end}")];
        assert_eq!(texts(&short), [cut("a"), cut("bb")]);
        let examples = short.examples(&row, origin()).unwrap();
        assert!(examples.iter().all(|example| example.warnings == [RenderWarning::PromptCut]));
        assert_eq!(texts(&encoder.with_prompts_of(99)), [whole("a"), whole("bb")]);
    }
}
