//! What a stage reads: texts, conversations or preference pairs.

use super::options::{DataOptions, Turns};
use crate::text::{Parsed, RowKind};
use crate::told::{Told, told};

/// The row as the kind that is asked for.
///
/// # Errors
/// It is of the other kind.
pub(super) fn as_asked(parsed: Parsed, options: &DataOptions) -> Result<Parsed, Told> {
    let parsed = match options.turns {
        Turns::Refused => parsed.with_keys_read(&options.template_keys),
        Turns::Joined => parsed.joined(),
        Turns::Rendered => return Ok(parsed.to_be_rendered().with_keys_read(&options.template_keys)),
    };
    match options.kind.filter(|wanted| *wanted != parsed.row.kind()) {
        Some(wanted) => Err(not_of_kind(wanted)),
        None => Ok(parsed),
    }
}

/// What to say of a row that is of the other kind than the one wanted.
pub(crate) fn not_of_kind(wanted: RowKind) -> Told {
    match wanted {
        RowKind::Document => {
            told!(
                "row.not_text",
                "a conversation, where pretraining reads texts; join its turns with --join-turns, render them through the \
             chat template with --render-turns, use `sft`, or give rows with a \"text\" field"
            )
        }
        RowKind::Conversation => {
            told!(
                "row.not_conversation",
                "a text, where fine-tuning reads conversations; use `pretrain`, or rows with \"conversations\", \
             \"messages\" or a prompt and its answer"
            )
        }
        RowKind::Preference => {
            told!(
                "row.not_preference",
                "no pair of answers, which preference training reads; give rows with a prompt, \"chosen\" and \"rejected\""
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::data::dataset::tests::{MIXED, open, refusal, rows, skipping};
    use crate::data::{DataOptions, Turns};
    use crate::text::{RowKind, RowWarning};

    #[test]
    fn rows_of_the_other_kind_are_bad_rows() {
        let of = |kind: RowKind| DataOptions { kind: Some(kind), ..skipping() };
        let documents = open(&[("a.jsonl", MIXED)], of(RowKind::Document)).unwrap();
        assert_eq!(rows(&documents), ["a.jsonl:1 one"]);
        assert_eq!((documents.report().bad, documents.report().usable), (2, 1));
        let why = &documents.report().bad_rows[1];
        assert!(
            why.starts_with("a.jsonl:3: a conversation, where pretraining") && why.contains("--join-turns")
        );
        assert!(why.contains("--render-turns"), "{why}");
        let conversations = open(&[("a.jsonl", MIXED)], of(RowKind::Conversation)).unwrap();
        assert_eq!(rows(&conversations), ["a.jsonl:3 three "]);
        let all = DataOptions { kind: Some(RowKind::Conversation), ..DataOptions::default() };
        let message = refusal(&[("a.jsonl", MIXED)], all);
        assert!(message.starts_with("2 of the data's rows"), "{message}");
        assert!(message.contains("a.jsonl:1: a text, where fine-tuning reads conversations"), "{message}");
    }

    #[test]
    fn turns_are_joined_where_that_is_asked() {
        let row = "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, \
                   {\"role\": \"assistant\", \"content\": \"a\", \"weight\": 0}]}\n";
        let options =
            DataOptions { kind: Some(RowKind::Document), turns: Turns::Joined, ..DataOptions::default() };
        let data = open(&[("a.jsonl", &format!("{row}{{\"text\": \"t\"}}\n"))], options).unwrap();
        assert_eq!(rows(&data), ["a.jsonl:1 q\na", "a.jsonl:2 t"]);
        let report = data.report();
        assert_eq!((report.documents, report.conversations, report.bytes_of_text), (2, 0, 4));
        assert_eq!(report.warnings[&RowWarning::JoinedWithoutWeights].rows, 1);
        assert_eq!((report.joined, data.idle_turns()), (1, None));
    }

    #[test]
    fn turns_that_are_to_be_rendered_stay_and_keys_that_a_template_reads_are_used() {
        let row =
            "{\"messages\": [{\"role\": \"user\", \"content\": \"q\", \"mood\": \"m\", \"note\": \"n\"}]}\n";
        let of = |turns: Turns| {
            let template_keys = ["mood".to_string()].into();
            let options =
                DataOptions { kind: Some(RowKind::Document), turns, template_keys, ..DataOptions::default() };
            open(&[("a.jsonl", &format!("{row}{{\"text\": \"t\"}}\n"))], options).unwrap()
        };
        let rendered = of(Turns::Rendered);
        let report = rendered.report();
        assert_eq!((report.documents, report.conversations, rendered.turns()), (1, 1, Turns::Rendered));
        assert_eq!(report.unused_keys.keys().collect::<Vec<_>>(), ["note of a message"]);
        assert!(report.warnings.is_empty(), "that it ends on the user is no fault of a text");
        assert_eq!(of(Turns::Joined).report().unused_keys.len(), 2, "no template reads joined turns");
    }

    #[test]
    fn turns_that_are_to_become_texts_are_missed_where_there_are_none() {
        for (turns, flag) in [(Turns::Joined, "--join-turns"), (Turns::Rendered, "--render-turns")] {
            let options = DataOptions { turns, ..DataOptions::default() };
            let told = open(&[("a.jsonl", "{\"text\": \"t\"}\n")], options).unwrap().idle_turns();
            assert!(told.is_some_and(|told| told.starts_with(flag)), "{told:?}");
        }
        let plain = open(&[("a.jsonl", "{\"text\": \"t\"}\n")], DataOptions::default()).unwrap();
        assert_eq!(plain.idle_turns(), None);
    }
}
