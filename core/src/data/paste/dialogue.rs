//! Pasted questions and answers behind words such as `Q:` and `A:`, `问：` and `答：`.

use serde_json::json;

use super::names::Side;
use super::pasted::{Candidate, PasteFault};

const COLONS: [char; 2] = [':', '：'];

/// What one side says, and the line where it begins.
struct Turn {
    side: Side,
    line: u64,
    text: String,
}

/// The rows of a text; `None` where no question of it is answered. What stands before the first question is told as such.
pub(super) fn rows(text: &str) -> Option<Vec<Candidate>> {
    let (mut rows, mut turns) = (Vec::new(), Vec::<Turn>::new());
    for (line, words) in (1..).zip(text.lines()) {
        match (marked(words), turns.last_mut()) {
            (Some((side, words)), _) => turns.push(Turn { side, line, text: words.to_string() }),
            (None, Some(turn)) => {
                turn.text.push('\n');
                turn.text.push_str(words);
            }
            (None, None) if words.trim().is_empty() => {}
            (None, None) => rows.push(Candidate { line, row: Err(PasteFault::Outside) }),
        }
    }
    turns.iter_mut().for_each(|turn| turn.text = turn.text.trim().to_string());
    let turns = parted(turns);
    let has = |side: Side| turns.iter().any(|turn| turn.side == side);
    let begins = rows.is_empty() && turns.first().is_some_and(|turn| turn.side == Side::Question);
    if !has(Side::Question) || !(begins || has(Side::Answer)) {
        return None;
    }
    rows.extend(paired(&turns));
    Some(rows)
}

/// Each question with the answer behind it.
fn paired(turns: &[Turn]) -> Vec<Candidate> {
    let fault = |turn: &Turn, fault| Candidate { line: turn.line, row: Err(fault) };
    let (mut rows, mut rest) = (Vec::new(), turns);
    while let [turn, more @ ..] = rest {
        rest = more;
        rows.push(match (turn.side, more) {
            (Side::Answer, _) => fault(turn, PasteFault::NoQuestion),
            (Side::Question, [answer, more @ ..]) if answer.side == Side::Answer => {
                rest = more;
                match (turn.text.is_empty(), answer.text.is_empty()) {
                    (true, _) => fault(turn, PasteFault::EmptyQuestion),
                    (_, true) => fault(answer, PasteFault::EmptyAnswer),
                    _ => {
                        let row = json!({ "question": turn.text, "answer": answer.text });
                        Candidate { line: turn.line, row: Ok(row) }
                    }
                }
            }
            (Side::Question, _) => fault(turn, PasteFault::NoAnswer),
        });
    }
    rows
}

/// The side that a line says to begin, and what follows: `Q:`, `**Question 3:**`, `1. 问：`, `- A：`.
fn marked(line: &str) -> Option<(Side, &str)> {
    let (head, words) = line.split_once(COLONS)?;
    let is_ornament = |sign: char| sign.is_whitespace() || "*_#>-•".contains(sign);
    let numbered = head.trim_start_matches(is_ornament);
    let unnumbered = numbered.trim_start_matches(|sign: char| sign.is_ascii_digit());
    let name = match unnumbered.strip_prefix(['.', ')', '、', '）']) {
        Some(name) if unnumbered.len() < numbered.len() => name.trim_start_matches(is_ornament),
        _ => numbered,
    };
    let name = name.trim_end_matches(|sign: char| is_ornament(sign) || sign.is_ascii_digit());
    let side = Side::of(name)?;
    Some((side, without_stars(head, words)))
}

/// The words behind a head without the stars that belong to both: `**Q:** …` and `**Q: …**`.
fn without_stars<'a>(head: &str, words: &'a str) -> &'a str {
    for stars in ["**", "__", "*", "_"] {
        // Stars that the head closes itself leave the words alone.
        if head.trim_start().starts_with(stars) && !head.trim_end().ends_with(stars) {
            let inner = words.strip_prefix(stars).or_else(|| words.trim_end().strip_suffix(stars));
            return inner.unwrap_or(words);
        }
    }
    words
}

/// The turns, those of a question that no other turn answers parted where its answer stands in the same line:
/// `问：你是谁？答：我是露玛。`
fn parted(turns: Vec<Turn>) -> Vec<Turn> {
    let (mut all, mut rest) = (Vec::new(), turns.into_iter().peekable());
    while let Some(turn) = rest.next() {
        let is_answered = rest.peek().is_some_and(|next| next.side == Side::Answer);
        let parts = if turn.side == Side::Question && !is_answered { parts(&turn.text) } else { None };
        match parts {
            None => all.push(turn),
            Some((question, answer)) => {
                let line = turn.line + question.matches('\n').count() as u64;
                all.extend([
                    Turn { side: Side::Question, line: turn.line, text: question },
                    Turn { side: Side::Answer, line, text: answer },
                ]);
            }
        }
    }
    all
}

/// A question, and the answer behind a word that says so.
fn parts(text: &str) -> Option<(String, String)> {
    let is_end = |sign: char| sign.is_whitespace() || "?？.。!！;；".contains(sign);
    text.char_indices().filter(|(_, sign)| COLONS.contains(sign)).find_map(|(at, colon)| {
        let before = &text[..at];
        let (last, sign) = before.char_indices().rev().find(|(_, sign)| is_end(*sign))?;
        let (question, name) = before.split_at(last + sign.len_utf8());
        let answer = &text[at + colon.len_utf8()..];
        let is_answer = Side::of(name) == Some(Side::Answer);
        is_answer.then(|| (question.trim().to_string(), answer.trim().to_string()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn found(text: &str) -> Vec<(u64, Result<Value, PasteFault>)> {
        let rows = rows(text).expect("questions and answers");
        rows.into_iter().map(|candidate| (candidate.line, candidate.row)).collect()
    }

    fn pair(question: &str, answer: &str) -> Result<Value, PasteFault> {
        Ok(json!({"question": question, "answer": answer}))
    }

    #[test]
    fn every_way_to_mark_a_turn_is_known() {
        for text in [
            "Q: Who?\nA: Luma.",
            "q : Who?\na： Luma.\n",
            "**Q:** Who?\n**A:** Luma.",
            "**Q: Who?**\n\nA: Luma.",
            "Question 1: Who?\nAnswer 1: Luma.",
            "1. Q: Who?\n   A: Luma.",
            "### Frage: Who?\n- Antwort: Luma.",
            "User: Who?\nAssistant: Luma.",
            "1、问题：Who?\n答案：Luma.",
            "问：Who? 答：Luma.",
            "Q: Who? A: Luma.",
            "问：Who?\n答：Luma.",
        ] {
            assert_eq!(found(text), [(1, pair("Who?", "Luma."))], "{text}");
        }
    }

    #[test]
    fn turns_go_on_over_lines() {
        let text = "\nQ: Who\nare you?\nA:\nI am Luma: a lamp.\n\n* It is: so.\n\nQ: And?\nA: No.";
        let answer = "I am Luma: a lamp.\n\n* It is: so.";
        assert_eq!(found(text), [(2, pair("Who\nare you?", answer)), (9, pair("And?", "No."))]);
    }

    #[test]
    fn an_answer_below_goes_before_one_in_the_same_line() {
        assert_eq!(found("Q: What means A: b?\nA: Nothing."), [(1, pair("What means A: b?", "Nothing."))]);
    }

    #[test]
    fn what_lacks_its_other_side_is_named_by_its_line() {
        let text = "My lesson\nA: No.\nQ: One?\nQ: Two?\nA: 2\nA: two\nQ: Three?\nA:\nQ:\nA: 4\n问：五？";
        assert_eq!(
            found(text),
            [
                (1, Err(PasteFault::Outside)),
                (2, Err(PasteFault::NoQuestion)),
                (3, Err(PasteFault::NoAnswer)),
                (4, pair("Two?", "2")),
                (6, Err(PasteFault::NoQuestion)),
                (8, Err(PasteFault::EmptyAnswer)),
                (9, Err(PasteFault::EmptyQuestion)),
                (11, Err(PasteFault::NoAnswer)),
            ]
        );
    }

    #[test]
    fn colons_alone_mark_nothing() {
        for text in ["Note: this\nAside: that", "Answer: 5", "Once: upon a time", "a title\nQ: what?", ""] {
            assert!(rows(text).is_none(), "{text}");
        }
    }
}
