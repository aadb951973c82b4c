//! What a stage reads: texts or conversations.

use super::options::DataOptions;
use crate::text::{Parsed, RowKind};

/// The row as the kind that is asked for.
///
/// # Errors
/// It is of the other kind.
pub(super) fn as_asked(parsed: Parsed, options: &DataOptions) -> Result<Parsed, String> {
    let parsed = if options.join_turns { parsed.joined() } else { parsed };
    match (options.kind, parsed.row.kind()) {
        (Some(RowKind::Document), RowKind::Conversation) => {
            Err("a conversation, where pretraining reads texts; join its turns with --join-turns, use `sft`, or give \
                 rows with a \"text\" field"
                .to_string())
        }
        (Some(RowKind::Conversation), RowKind::Document) => {
            Err("a text, where fine-tuning reads conversations; use `pretrain`, or rows with \"conversations\", \
                 \"messages\" or a prompt and its answer"
                .to_string())
        }
        _ => Ok(parsed),
    }
}

#[cfg(test)]
mod tests {
    use crate::data::DataOptions;
    use crate::data::dataset::tests::{MIXED, open, refusal, rows, skipping};
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
            DataOptions { kind: Some(RowKind::Document), join_turns: true, ..DataOptions::default() };
        let data = open(&[("a.jsonl", &format!("{row}{{\"text\": \"t\"}}\n"))], options).unwrap();
        assert_eq!(rows(&data), ["a.jsonl:1 q\na", "a.jsonl:2 t"]);
        let report = data.report();
        assert_eq!((report.documents, report.conversations, report.bytes_of_text), (2, 0, 4));
        assert_eq!(report.warnings[&RowWarning::JoinedWithoutWeights].rows, 1);
    }
}
