//! Rows out of whatever text a person pastes; its form is told by the text itself, and every row keeps its line.

mod dialogue;
mod json;
mod markdown;
mod names;
mod pasted;
mod table;

use std::borrow::Cow;

use self::pasted::Candidate;
use crate::text::RowKind;

pub use self::pasted::{PasteFault, PasteForm, PasteProblem, Pasted, PastedRow};
pub use self::table::{spreadsheet_choices, spreadsheet_pairs};

/// Reads what was pasted as rows of the kind that is asked for.
///
/// JSON may be lines, lists and printed over several lines, with commas too many; a table separates its columns by tabs,
/// commas or semicolons and names them in any of many languages, or has a question and an answer in two columns;
/// questions and answers may stand behind `Q:` and `A:` or their like. Where texts are asked for, conversations become
/// texts, and what is none of these is plain text.
pub fn paste(text: &str, wanted: RowKind) -> Pasted {
    let text = lines_ended(text);
    let (text, before) = unfenced(&text);
    let (form, mut candidates) = recognised(text, wanted);
    for candidate in &mut candidates {
        candidate.line += before;
    }
    Pasted::judged(form, candidates, wanted)
}

fn recognised(text: &str, wanted: RowKind) -> (PasteForm, Vec<Candidate>) {
    if json::is_json(text) {
        return (PasteForm::Json, json::rows(text));
    }
    // Names of columns go first: the cells below them may hold anything.
    if let Some(told) = table::named(text) {
        return told;
    }
    if wanted == RowKind::Document {
        return (PasteForm::Text, Vec::new());
    }
    let markdown = markdown::rows(text).map(|rows| (PasteForm::Markdown, rows));
    let dialogue = || dialogue::rows(text).map(|rows| (PasteForm::Dialogue, rows));
    markdown.or_else(dialogue).or_else(|| table::unnamed(text)).unwrap_or_else(|| {
        let line = 1 + text.chars().take_while(|c| c.is_whitespace()).filter(|c| *c == '\n').count() as u64;
        let lost =
            (!text.trim().is_empty()).then_some(Candidate { line, row: Err(PasteFault::Unrecognised) });
        (PasteForm::Text, lost.into_iter().collect())
    })
}

/// Without a byte order mark, and with line feeds as the only line ends.
fn lines_ended(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    match text.contains('\r') {
        true => text.replace("\r\n", "\n").replace('\r', "\n").into(),
        false => text.into(),
    }
}

/// What stands inside a Markdown fence around all of it, and how many lines stand before.
fn unfenced(text: &str) -> (&str, u64) {
    let whole = text.trim();
    let inside = whole.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    match inside.and_then(|inside| inside.split_once('\n')) {
        Some((language, inside)) if !language.contains('`') && !inside.contains("\n```") => {
            let blank = text.len() - text.trim_start().len();
            (inside, 1 + text[..blank].matches('\n').count() as u64)
        }
        _ => (text, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: RowKind = RowKind::Conversation;

    type Lines<T> = Vec<(u64, T)>;

    /// The form, the pairs with their lines, and the problems with theirs.
    fn read(text: &str) -> (PasteForm, Lines<String>, Lines<PasteFault>) {
        let pasted = paste(text, CHAT);
        let pair = |row: &PastedRow| {
            let [question, answer] = row.pair().expect("a question and its answer");
            (row.line, format!("{question}|{answer}"))
        };
        let problems = pasted.problems.iter().map(|problem| (problem.line, problem.fault.clone()));
        (pasted.form, pasted.rows.iter().map(pair).collect(), problems.collect())
    }

    fn expect(text: &str, form: PasteForm, pairs: &[(u64, &str)]) {
        let pairs = pairs.iter().map(|(line, pair)| (*line, pair.to_string())).collect();
        assert_eq!(read(text), (form, pairs, vec![]), "{text}");
    }

    #[test]
    fn each_form_is_told_by_the_text() {
        use PasteForm::{Csv, Dialogue, Json, Markdown, Tsv};
        let same = [(2, "Who?|Luma.")];
        for (text, form) in [
            ("\n{\"question\": \"Who?\", \"answer\": \"Luma.\"}", Json),
            ("question,answer\nWho?,Luma.", Csv),
            ("Frage;Antwort\nWho?;Luma.", Csv),
            ("问题，答案\nWho?，Luma.", Csv),
            ("Answer\tQuestion\nLuma.\tWho?", Tsv),
            ("\nQ: Who?\nA: Luma.", Dialogue),
        ] {
            expect(text, form, &same);
        }
        expect("| Question | Answer |\n|---|---|\n| Who? | Luma. |", Markdown, &[(3, "Who?|Luma.")]);
    }

    #[test]
    fn marks_of_windows_and_fences_of_markdown_are_taken_off() {
        let rows = [(1, "Who?|Luma."), (2, "And?|No.")];
        expect("\u{FEFF}Who?\tLuma.\r\nAnd?\tNo.\r\n", PasteForm::Tsv, &rows);
        expect("Who?\tLuma.\rAnd?\tNo.", PasteForm::Tsv, &rows);
        let fenced = "\n```json\n[{\"q\": \"Who?\",\n \"a\": \"Luma.\"}]\n```\n";
        expect(fenced, PasteForm::Json, &[(3, "Who?|Luma.")]);
    }

    #[test]
    fn what_has_no_question_is_refused_where_conversations_are_read() {
        for text in ["Once upon a time there was a lamp.", "\n\none\ntwo, three, four\n"] {
            let line = 1 + text.chars().take_while(|c| *c == '\n').count() as u64;
            assert_eq!(read(text), (PasteForm::Text, vec![], vec![(line, PasteFault::Unrecognised)]));
        }
        let texts = read("{\"text\": \"a\"}\n{\"q\": \"b\", \"a\": \"c\"}");
        assert_eq!(texts.1, [(2, "b|c".to_string())]);
        assert_eq!(texts.2, [(1, PasteFault::OnlyText)]);
        assert_eq!(read(" \n"), (PasteForm::Text, vec![], vec![]));
    }

    #[test]
    fn tables_of_two_answers_have_names_in_both_languages() {
        for (names, form, between) in [
            ("question,chosen,rejected", PasteForm::Csv, ","),
            ("Question\tBetter answer\tWorse answer", PasteForm::Tsv, "\t"),
            ("问题\t更好的回答\t更差的回答", PasteForm::Tsv, "\t"),
            ("提问，更好，更差", PasteForm::Csv, "，"),
        ] {
            let text = format!("{names}\n{}", ["Who?", "Luma.", "No."].join(between));
            let pasted = paste(&text, RowKind::Preference);
            assert_eq!((pasted.form, pasted.problems, pasted.rows.len()), (form, vec![], 1), "{text}");
            assert_eq!(pasted.rows[0].line, 2);
        }
        let told = paste("question,answer\nWho?,Luma.", RowKind::Preference).problems;
        assert!(
            matches!(&told[..], [PasteProblem { line: 2, fault: PasteFault::Row(why) }] if why.code() == "row.no_pair")
        );
    }

    #[test]
    fn texts_are_rows_or_plain_text() {
        let read = |text: &str| {
            let pasted = paste(text, RowKind::Document);
            assert_eq!(pasted.problems, []);
            (pasted.form, pasted.jsonl())
        };
        let joined = "{\"text\":\"Who?\\nLuma.\"}\n".to_string();
        assert_eq!(read("{\"q\": \"Who?\", \"a\": \"Luma.\"}"), (PasteForm::Json, joined.clone()));
        assert_eq!(read("question,answer\nWho?,Luma."), (PasteForm::Csv, format!("\n{joined}")));
        assert_eq!(read("text\nonce"), (PasteForm::Csv, "\n{\"text\":\"once\"}\n".to_string()));
        for text in
            ["Once, a lamp.\nIt shone, twice.", "Q: Who?\nA: Luma.", "[Chapter 1]\nThe lamp.", "a\tb\nc\td"]
        {
            assert_eq!(read(text), (PasteForm::Text, String::new()), "{text}");
        }
    }

    #[test]
    fn a_text_cut_anywhere_keeps_its_lines() {
        for text in [
            "\u{FEFF}[{\"q\": \"Who?\",\n\"a\": \"Lu\\nma\"},\n[\"x\", \"y\"], [{\"role\": \"user\"}],]\n{1}",
            "q,a\r\n\"x\"\"\n\",y\r\n,\n\"z\",\"\n",
            "| 问 | 答 |\n|---|:-:|\n| a\\|b | c<br>d |\n\nend",
            "**问1：** 谁？答：露玛\n1. Q: x\nA：\n\n- A: y",
            "```\nWho?\tLuma.\n\"a\nb\"\t\"c\n```",
        ] {
            let last = text.split('\n').count() as u64;
            for (end, _) in text.char_indices() {
                for wanted in [CHAT, RowKind::Document] {
                    let pasted = paste(&text[..end], wanted);
                    let rows: Vec<u64> = pasted.rows.iter().map(|row| row.line).collect();
                    let problems: Vec<u64> = pasted.problems.iter().map(|problem| problem.line).collect();
                    for lines in [rows, problems] {
                        assert!(
                            lines.is_sorted() && lines.iter().all(|line| (1..=last).contains(line)),
                            "{lines:?}"
                        );
                    }
                }
            }
        }
    }
}
