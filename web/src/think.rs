//! Tells a model's thoughts, `<think>…</think>`, from its answer.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// A stretch of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// What the model says.
    Said(&'a str),
    /// What it thinks; `true` once the thought has ended.
    Thought(&'a str, bool),
}

/// The stretches of an answer, also of one that is still being written. Blank stretches are left out.
pub fn parts(answer: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = answer;
    while let Some((before, after)) = rest.split_once(OPEN) {
        parts.push(Part::Said(before));
        let (thought, closed, after) = match after.split_once(CLOSE) {
            Some((thought, after)) => (thought, true, after),
            None => (without_begun(after, CLOSE), false, ""),
        };
        parts.push(Part::Thought(thought.trim(), closed));
        rest = after;
    }
    parts.push(Part::Said(without_begun(rest, OPEN)));
    parts.retain(
        |part| !matches!(part, Part::Said(text) | Part::Thought(text, true) if text.trim().is_empty()),
    );
    parts.into_iter().map(trimmed_start).collect()
}

/// Templates put blank lines between thought and answer.
fn trimmed_start(part: Part<'_>) -> Part<'_> {
    match part {
        Part::Said(text) => Part::Said(text.trim_start_matches('\n')),
        thought => thought,
    }
}

/// Without a tag that has only begun at the end, so that `<thi` does not flash up.
fn without_begun<'a>(text: &'a str, tag: &str) -> &'a str {
    // One character `<` alone is more often part of a formula.
    (2..tag.len()).rev().find_map(|length| text.strip_suffix(&tag[..length])).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::Part::{Said, Thought};
    use super::*;

    #[test]
    fn an_answer_without_thoughts_is_one_stretch() {
        assert_eq!(parts("Hello < you"), [Said("Hello < you")]);
        assert_eq!(parts(""), []);
    }

    #[test]
    fn thoughts_and_answers_are_told_apart() {
        assert_eq!(
            parts("<think>\nhm\n</think>\n\nYes.<think>so</think>"),
            [Thought("hm", true), Said("Yes."), Thought("so", true)]
        );
    }

    #[test]
    fn an_empty_thought_is_not_shown() {
        assert_eq!(parts("<think>\n\n</think>\nYes."), [Said("Yes.")]);
    }

    #[test]
    fn a_thought_is_open_while_it_is_written() {
        assert_eq!(parts("<think>"), [Thought("", false)]);
        assert_eq!(parts("<think>hm</thi"), [Thought("hm", false)]);
        assert_eq!(parts("Yes<th"), [Said("Yes")]);
    }
}
