//! Tells what a model thinks from what it says, also in an answer that is still being written: what is shown folded, and
//! without its tags. The page compiles this file, too, and links nothing else of the library: it needs nothing.

/// The usual tags of an answer that thinks first: before and behind the thinking, and before and behind the answer.
pub const TAGS: [&str; 4] = ["<think>", "</think>", "<answer>", "</answer>"];

/// A stretch of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// What the model says.
    Said(&'a str),
    /// What it thinks; `true` once the thought has ended.
    Thought(&'a str, bool),
}

/// The stretches of an answer. Blank ones are left out; the tags around the answer are not shown. Where a template has
/// opened the thinking before the answer began, all before the closing tag is thought.
pub fn parts<'a>(answer: &'a str, tags: [&str; 4]) -> Vec<Part<'a>> {
    let [open, close, ..] = tags;
    let mut parts = Vec::new();
    let mut rest = match answer.split_once(close) {
        Some((thought, rest)) if !thought.contains(open) => {
            parts.push(Part::Thought(thought.trim(), true));
            rest
        }
        _ => answer,
    };
    while let Some((before, after)) = rest.split_once(open) {
        add_said(&mut parts, before, tags);
        let (thought, closed, after) = match after.split_once(close) {
            Some((thought, after)) => (thought, true, after),
            None => (without_begun(after, &[close]), false, ""),
        };
        parts.push(Part::Thought(thought.trim(), closed));
        rest = after;
    }
    add_said(&mut parts, without_begun(rest, &tags), tags);
    parts.retain(
        |part| !matches!(part, Part::Said(text) | Part::Thought(text, true) if text.trim().is_empty()),
    );
    parts
}

/// Adds what is said, parted where a tag of the answer stands. Templates and models put blank lines at the tags.
fn add_said<'a>(parts: &mut Vec<Part<'a>>, text: &'a str, tags: [&str; 4]) {
    let [_, _, open, close] = tags;
    for (i, stretch) in text.split(open).enumerate() {
        match stretch.split_once(close) {
            Some((answer, after)) => {
                parts.push(Part::Said(answer.trim_matches('\n')));
                parts.push(Part::Said(after.trim_start_matches('\n')));
            }
            None if i > 0 || !parts.is_empty() => parts.push(Part::Said(stretch.trim_start_matches('\n'))),
            None => parts.push(Part::Said(stretch)),
        }
    }
}

/// Without a tag that has only begun at the end, so that `<thi` does not flash up.
fn without_begun<'a>(text: &'a str, tags: &[&str]) -> &'a str {
    // One character `<` alone is more often part of a formula.
    let begun = |tag: &&str| {
        let ends = tag.char_indices().map(|(at, _)| at).filter(|at| *at >= 2);
        ends.rev().find_map(|end| text.strip_suffix(&tag[..end]))
    };
    tags.iter().filter_map(begun).min_by_key(|text| text.len()).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::Part::{Said, Thought};
    use super::*;

    fn of(answer: &str) -> Vec<Part<'_>> {
        parts(answer, TAGS)
    }

    #[test]
    fn an_answer_without_thoughts_is_one_stretch() {
        assert_eq!(of("Hello < you"), [Said("Hello < you")]);
        assert_eq!(of(""), []);
    }

    #[test]
    fn thoughts_and_answers_are_told_apart() {
        assert_eq!(
            of("<think>\nhm\n</think>\n\nYes.<think>so</think>"),
            [Thought("hm", true), Said("Yes."), Thought("so", true)]
        );
        assert_eq!(of("hm\n</think>\n\nYes."), [Thought("hm", true), Said("Yes.")]);
    }

    #[test]
    fn the_tags_of_the_answer_are_not_shown() {
        assert_eq!(
            of("<think>\n3+4=7\n</think>\n<answer>\n7\n</answer>"),
            [Thought("3+4=7", true), Said("7")]
        );
        assert_eq!(of("So: <answer>7</answer>\nGood?"), [Said("So: "), Said("7"), Said("Good?")]);
        assert_eq!(of("<answer>\n7"), [Said("7")], "also while it is written");
        assert_eq!(of("<think>a</think><answer>7</ans"), [Thought("a", true), Said("7")]);
    }

    #[test]
    fn an_empty_thought_is_not_shown() {
        assert_eq!(of("<think>\n\n</think>\nYes."), [Said("Yes.")]);
    }

    #[test]
    fn a_thought_is_open_while_it_is_written() {
        assert_eq!(of("<think>"), [Thought("", false)]);
        assert_eq!(of("<think>hm</thi"), [Thought("hm", false)]);
        assert_eq!(of("Yes<th"), [Said("Yes")]);
        assert_eq!(of("<think>a <answer> is"), [Thought("a <answer> is", false)]);
    }

    #[test]
    fn other_tags_are_other_words() {
        let tags = ["[思考]", "[/思考]", TAGS[2], TAGS[3]];
        assert_eq!(parts("[思考]嗯[/思", tags), [Thought("嗯", false)]);
        assert_eq!(parts("<think>", tags), [Said("<think>")]);
    }
}
