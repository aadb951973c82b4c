//! An answer as a terminal shows it: of a thought only that there is one and how long, and of an answer its text without
//! the tags around it.

use kindling::text::{Part, TAGS, parts};

/// Dim, and as before.
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// An answer that is still being written.
#[derive(Default)]
pub struct Folded {
    answer: String,
    /// What stands on the terminal of it.
    shown: String,
    /// Tokens of each thought.
    tokens: Vec<usize>,
    /// Tokens of all.
    taken: usize,
}

impl Folded {
    /// Takes the text that became final with one token, and gives what is to be written now.
    pub fn push(&mut self, text: &str) -> String {
        self.answer.push_str(text);
        // A tag may begin so.
        let seen = self.answer.strip_suffix('<').unwrap_or(&self.answer);
        let parts = parts(seen, TAGS);
        let ended = parts.iter().filter(|part| matches!(part, Part::Thought(_, true))).count();
        let thinks = matches!(parts.last(), Some(Part::Thought(thought, false)) if !thought.is_empty());
        if self.tokens.len() < ended {
            // A template opened it, so that all up to here is thought.
            self.tokens.resize(ended, self.taken);
        }
        self.tokens.resize(ended + usize::from(thinks), 0);
        if let Some(tokens) = self.tokens.last_mut().filter(|_| thinks) {
            *tokens += 1;
        }
        self.taken += 1;
        let shown = self.drawn(&parts);
        self.show(shown)
    }

    /// The answer is whole: gives what was held back of it.
    pub fn finish(&mut self) -> String {
        let shown = self.drawn(&parts(&self.answer, TAGS));
        self.show(shown)
    }

    /// All of it, as it stands on the terminal; white space behind it may lead to nothing.
    fn drawn(&self, parts: &[Part]) -> String {
        let (mut all, mut tokens) = (String::new(), self.tokens.iter());
        for part in parts {
            if !all.is_empty() && !all.ends_with('\n') {
                all.push('\n');
            }
            match part {
                Part::Said(text) => all.push_str(text),
                Part::Thought("", _) => {}
                Part::Thought(_, ended) => {
                    all += &format!("{DIM}thinking…{PLAIN}");
                    let tokens = tokens.next().copied().unwrap_or_default();
                    if *ended {
                        let words = if tokens == 1 { "token" } else { "tokens" };
                        all += &format!("{DIM} {tokens} {words}{PLAIN}\n");
                    }
                }
            }
        }
        all.trim_end().to_string()
    }

    /// What is to be written so that all of this stands there.
    fn show(&mut self, all: String) -> String {
        let rest = match all.strip_prefix(&self.shown) {
            Some(rest) => rest.to_string(),
            // What was said turns out to be thought: a template opened the thinking.
            None => format!("\n{all}"),
        };
        self.shown = all;
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written at each token, and at the end.
    fn written(tokens: &[&str]) -> Vec<String> {
        let mut folded = Folded::default();
        let mut all: Vec<String> = tokens.iter().map(|token| folded.push(token)).collect();
        all.push(folded.finish());
        all.into_iter().map(|text| text.replace(DIM, "(").replace(PLAIN, ")")).collect()
    }

    #[test]
    fn a_thought_is_a_line_and_the_answer_stands_below_it() {
        let tokens = ["<think>", "3+4", "=", "7", "</think>", "\n<", "answer>\n", "7", "\n</answer>"];
        let expected = ["", "(thinking…)", "", "", "( 3 tokens)", "", "", "\n7", "", ""];
        assert_eq!(written(&tokens), expected);
    }

    #[test]
    fn plain_answers_are_as_they_were_said() {
        assert_eq!(written(&["Hel", "lo ", "you", " <", " me"]).concat(), "Hello you < me");
        assert_eq!(written(&["a\n", "\nb"]).concat(), "a\n\nb");
        assert_eq!(written(&["a <"]), ["a", " <"]);
    }

    #[test]
    fn an_empty_thought_is_not_there_and_an_open_one_at_the_end_is() {
        assert_eq!(written(&["<think>", "\n", "</think>\n", "Yes"]).concat(), "Yes");
        assert_eq!(written(&["<think>", "hm"]).concat(), "(thinking…)");
    }

    #[test]
    fn thinking_that_the_template_opened_is_found_at_its_end() {
        assert_eq!(written(&["hm", "</think>", "Yes"]), ["hm", "\n(thinking…)( 1 token)", "\nYes", ""]);
    }
}
