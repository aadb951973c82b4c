//! Rows that are tokens already: what prepared data and the caches of other programs give.

use serde::{Deserialize, Serialize};

use super::report::RowOrigin;
use crate::error::Result;
use crate::tokenizer::{RenderWarning, TagWeight};
use crate::told::{Told, told};

/// Tokens by the number of their row. Threads share it.
pub trait TokenRows: Send + Sync {
    /// How many rows there are.
    fn rows(&self) -> u64;

    /// The row of this number, from 0.
    ///
    /// # Errors
    /// Reading fails, or what is read is damaged.
    fn row(&self, row: u64) -> Result<TokenRow>;

    /// What the tokens were made with, where that is known.
    fn ties(&self) -> Option<&TokenTies> {
        None
    }
}

/// A row as tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRow {
    /// Its examples; of a row that cannot be used, none.
    pub examples: Vec<TokenExample>,
    /// Where the row stood.
    pub origin: RowOrigin,
}

/// An example as tokens: `weights[i]` says how much `ids[i]` counts as a target.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenExample {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Same length as `ids`.
    pub weights: Vec<f32>,
    /// What was odd about the row where it was rendered.
    pub warnings: Vec<RenderWarning>,
}

/// What tokens depend on beside their rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTies {
    /// What they are made of: `documents`, `conversations` or `preferences`.
    pub content: String,
    /// A hash of the tokenizer.
    pub tokenizer: String,
    /// A hash of the chat templates and of the special tokens that they may print, where rows are rendered.
    pub template: Option<String>,
    /// The day that the template prints as today's, where it prints one.
    pub date: Option<String>,
    /// Tokens of a conversation that are kept, at most; texts are kept whole.
    pub max_seq_len: usize,
    /// Tokens of a pair's prompt, at most; 0 sets no limit.
    pub max_prompt_len: usize,
    /// The tags that answers stand between, and what their tokens weigh, where that is taught.
    #[serde(default)]
    pub tags: Option<TagWeight>,
}

impl TokenTies {
    /// Why a run that would make its tokens like `wanted` cannot take these: every difference, by name.
    pub fn problems(&self, wanted: &Self) -> Vec<Told> {
        let mut problems: Vec<Told> = Vec::new();
        if self.content != wanted.content {
            problems.push(
                told!(
                    "prepared.other_content",
                    "the prepared data is made of {theirs}, and this stage reads {own}; prepare it with the --stage that \
                     trains",
                    theirs = self.content,
                    own = wanted.content
                ),
            );
            return problems;
        }
        if self.tokenizer != wanted.tokenizer {
            problems.push(
                told!(
                    "prepared.other_tokenizer",
                    "the data was prepared with another tokenizer than the model's; prepare it again with --model naming this \
                     one"
                ),
            );
        }
        if self.template != wanted.template {
            problems.push(
                told!(
                    "prepared.other_template",
                    "the data was prepared with another chat template (or other special tokens) than the model's; prepare it \
                     again with this --model and its --chat-template"
                ),
            );
        }
        if self.date != wanted.date {
            let day = |date: &Option<String>| date.clone().unwrap_or_else(|| "none".into());
            problems.push(
                told!(
                    "prepared.other_day",
                    "the chat template printed the day {theirs} when the data was prepared, and this run's is {own}; give that \
                     day with --date, or prepare the data again",
                    theirs = day(&self.date),
                    own = day(&wanted.date)
                ),
            );
        }
        problems.extend(self.problems_of_settings(wanted));
        problems
    }

    /// The differences in lengths and tags.
    fn problems_of_settings(&self, wanted: &Self) -> Vec<Told> {
        let mut problems: Vec<Told> = Vec::new();
        let whole = self.content == "documents";
        if !whole && wanted.max_seq_len > self.max_seq_len {
            problems.push(
                told!(
                    "prepared.length_over",
                    "the data was prepared with --max-seq-len {theirs}, and this run takes {own}; take at most that, or prepare \
                     the data again",
                    theirs = self.max_seq_len,
                    own = wanted.max_seq_len
                ),
            );
        }
        if self.max_prompt_len != wanted.max_prompt_len {
            problems.push(
                told!(
                    "prepared.other_prompt_length",
                    "the data was prepared with --max-prompt-len {theirs}, and this run takes {own}; take the same",
                    theirs = self.max_prompt_len,
                    own = wanted.max_prompt_len
                ),
            );
        }
        if self.tags != wanted.tags {
            problems.push(
                told!(
                    "prepared.other_tags",
                    "the data was prepared {theirs}, and this run trains {own}; take the same --stage and tags, or prepare the \
                     data again",
                    theirs = with_tags(&self.tags),
                    own = with_tags(&wanted.tags)
                ),
            );
        }
        problems
    }
}

/// Tags and their weight in words.
fn with_tags(tags: &Option<TagWeight>) -> Told {
    match tags {
        Some(TagWeight { tags, factor }) => told!(
            "prepared.with_tags",
            "with the tags {think} and {answer} and --tag-weight {factor}",
            think = tags.think,
            answer = tags.answer,
            factor
        ),
        None => told!("prepared.without_tags", "without tags"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Tags;

    #[test]
    fn every_difference_is_named() {
        let ties = TokenTies {
            content: "conversations".into(),
            tokenizer: "a".into(),
            template: Some("b".into()),
            date: None,
            max_seq_len: 64,
            max_prompt_len: 0,
            tags: None,
        };
        let shorter = TokenTies { max_seq_len: 32, ..ties.clone() };
        assert_eq!(ties.problems(&ties), Vec::<Told>::new());
        assert_eq!(ties.problems(&shorter), Vec::<Told>::new(), "the beginning of a row is there");
        let other = TokenTies {
            tokenizer: "x".into(),
            template: None,
            date: Some("2025-01-01".into()),
            max_seq_len: 65,
            max_prompt_len: 8,
            tags: Some(TagWeight { tags: Tags::default(), factor: 7.0 }),
            ..ties.clone()
        };
        let problems = ties.problems(&other);
        for (problem, part) in problems.iter().zip([
            "another tokenizer",
            "another chat template",
            "the day none when",
            "--max-seq-len 64, and this run takes 65",
            "--max-prompt-len 0, and this run takes 8",
            "prepared without tags, and this run trains with the tags <think>...</think> and <answer>...</answer> and \
             --tag-weight 7;",
        ]) {
            assert!(problem.contains(part), "{problem}");
        }
        assert_eq!(problems.len(), 6);
        let texts = TokenTies { content: "documents".into(), ..ties.clone() };
        let longer = TokenTies { max_seq_len: 999, ..texts.clone() };
        assert_eq!(texts.problems(&longer), Vec::<Told>::new(), "texts are kept whole");
        assert!(
            texts.problems(&ties)[0].contains("is made of documents, and this stage reads conversations")
        );
    }
}
