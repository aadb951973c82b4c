//! What the rows of data are to a stage: it reads rows of one kind, or learns from either form and takes the one that the
//! data has.

use super::{Job, Stage};
use crate::batch::Content;
use crate::data::{DataKind, Dataset, RowOrigin, Turns, not_of_kind};
use crate::error::{Error, Result};
use crate::text::RowKind;
use crate::told::told;

impl Stage {
    /// The only kind of rows that it reads; `None` where it learns from texts and from conversations, though not from both
    /// at once ([`Self::content_of`]).
    pub fn row_kind(self) -> Option<RowKind> {
        match self {
            Self::Pretrain => Some(RowKind::Document),
            Self::Sft | Self::Reason | Self::Grpo => Some(RowKind::Conversation),
            Self::Dpo => Some(RowKind::Preference),
            Self::Distill => None,
        }
    }

    /// What the rows of these data are to it. Where it learns from either form, texts are documents, as are conversations
    /// that become texts, and all else are conversations; [`Self::check_rows`] refuses what is neither.
    pub fn content_of(self, dataset: &Dataset) -> Content {
        match self.row_kind() {
            Some(RowKind::Document) => Content::Documents,
            Some(RowKind::Conversation) => Content::Conversations,
            Some(RowKind::Preference) => Content::Preferences,
            None if dataset.turns() == Turns::Rendered || dataset.kind() == DataKind::Documents => {
                Content::Documents
            }
            None => Content::Conversations,
        }
    }

    /// Refuses rows of another kind than the stage reads, and of two forms where it learns from one at a time.
    ///
    /// # Errors
    /// The first such row by file and line, with what to do; reading fails.
    pub fn check_rows(self, dataset: &Dataset) -> Result<()> {
        let (report, content) = (dataset.report(), self.content_of(dataset));
        let fits = match content {
            Content::Documents => {
                report.preferences == 0 && (report.conversations == 0 || dataset.turns() == Turns::Rendered)
            }
            Content::Conversations => report.documents + report.preferences == 0,
            Content::Preferences => report.documents + report.conversations == 0,
        };
        if fits {
            return Ok(());
        }
        if self.row_kind().is_none() && dataset.kind() == DataKind::Mixed {
            return self.refuse_both(dataset);
        }
        let wanted = content.row_kind();
        match first_row(dataset, |kind| kind != wanted)? {
            None => Ok(()),
            Some(origin) => {
                Err(Error::Data(told!("row.at", "{origin}: {reason}", origin, reason = not_of_kind(wanted))))
            }
        }
    }

    /// Names a row of each form.
    fn refuse_both(self, dataset: &Dataset) -> Result<()> {
        let text = first_row(dataset, |kind| kind == RowKind::Document)?;
        let conversation = first_row(dataset, |kind| kind == RowKind::Conversation)?;
        let (Some(text), Some(conversation)) = (text, conversation) else { return Ok(()) };
        Err(Error::Data(told!(
            "row.two_forms",
            "{text} is a text and {conversation} a conversation, and `{stage}` learns from one of these forms at a time; give \
             each a run of its own, or make texts of the conversations with --join-turns or --render-turns",
            text,
            conversation,
            stage = self.name()
        )))
    }
}

/// Where the first row of such a kind comes from.
fn first_row(dataset: &Dataset, of: impl Fn(RowKind) -> bool) -> Result<Option<RowOrigin>> {
    for row in dataset.iter() {
        let (row, origin) = row?;
        if of(row.kind()) {
            return Ok(Some(origin));
        }
    }
    Ok(None)
}

impl Job {
    /// What its rows are to its stage.
    pub fn content(&self) -> Content {
        self.stage.content_of(&self.dataset)
    }

    /// Refuses rows to be mixed in that the stage does not read, or that have another form than those of the data.
    pub(super) fn check_kept(&self) -> Result<()> {
        let Some(keep) = self.kept_dataset() else { return Ok(()) };
        self.stage.check_rows(keep)?;
        if self.stage.content_of(keep) == self.content() {
            return Ok(());
        }
        let Some(origin) = first_row(keep, |_| true)? else { return Ok(()) };
        Err(Error::Data(told!(
            "row.kept_form",
            "{origin}: a row to keep of another form than those of the data; mix texts in beside texts, and conversations \
             beside conversations",
            origin
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{DataOptions, Memory};

    const TEXT: &str = "{\"text\": \"the lamp\"}\n";
    const CHAT: &str = "{\"user\": \"q\", \"assistant\": \"a\"}\n";
    const PAIR: &str = "{\"prompt\": \"q\", \"chosen\": \"a\", \"rejected\": \"b\"}\n";

    fn open(text: &str, kind: Option<RowKind>, turns: Turns) -> Dataset {
        let options = DataOptions { kind, turns, ..DataOptions::default() };
        Dataset::open(vec![Arc::new(Memory::new("a.jsonl", text))], options).unwrap()
    }

    fn refusal(stage: Stage, dataset: &Dataset) -> String {
        stage.check_rows(dataset).err().map_or("taken".to_string(), |error| error.to_string())
    }

    #[test]
    fn a_stage_that_learns_from_either_form_takes_the_one_that_the_data_has() {
        let of = |text: &str, turns: Turns| {
            let dataset = open(text, Stage::Distill.row_kind(), turns);
            assert_eq!(refusal(Stage::Distill, &dataset), "taken", "{text}");
            Stage::Distill.content_of(&dataset)
        };
        assert_eq!(of(&TEXT.repeat(2), Turns::Refused), Content::Documents);
        assert_eq!(of(&CHAT.repeat(2), Turns::Refused), Content::Conversations);
        for turns in [Turns::Joined, Turns::Rendered] {
            assert_eq!(of(&format!("{CHAT}{TEXT}"), turns), Content::Documents);
            assert_eq!(of(CHAT, turns), Content::Documents);
        }
        let pairs = open(PAIR, Stage::Dpo.row_kind(), Turns::Refused);
        assert_eq!(Stage::Dpo.content_of(&pairs), Content::Preferences);
    }

    #[test]
    fn both_forms_at_once_are_refused_by_a_row_of_each() {
        let told = refusal(Stage::Distill, &open(&format!("{CHAT}{CHAT}{TEXT}"), None, Turns::Refused));
        for part in ["a.jsonl:3 is a text", "a.jsonl:1 a conversation", "`distill`", "--join-turns"] {
            assert!(told.contains(part), "{told}");
        }
        for (stage, text, part) in [
            (Stage::Pretrain, CHAT, "a.jsonl:1: a conversation, where pretraining reads texts"),
            (Stage::Sft, TEXT, "a.jsonl:1: a text, where fine-tuning reads conversations"),
            (Stage::Dpo, TEXT, "a.jsonl:1: no pair of answers"),
        ] {
            let told = refusal(stage, &open(text, None, Turns::Refused));
            assert!(told.starts_with(part), "{stage:?}: {told}");
        }
    }
}
