//! Whether questions stand in training data: runs of 13 words that both hold (Brown et al., 2020,
//! <https://arxiv.org/abs/2005.14165>, appendix C). A word is a run of letters and digits, in small letters; each Chinese,
//! Japanese or Korean character is one.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Words of a run.
pub const RUN: usize = 13;

/// Looks for the questions of an evaluation in texts.
#[derive(Clone, Debug)]
pub struct Contamination {
    /// Which questions hold a run.
    runs: HashMap<u64, Vec<usize>>,
    found: Vec<bool>,
    short: usize,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// For each question, whether a run of it stands in the training data.
    pub questions: Vec<bool>,
    /// Questions of fewer words than a run: they were not looked for.
    pub short: usize,
}

impl Contamination {
    /// Of these questions.
    pub fn of<'a>(questions: impl Iterator<Item = &'a str>) -> Self {
        let mut own = Self { runs: HashMap::new(), found: Vec::new(), short: 0 };
        for (number, question) in questions.enumerate() {
            own.found.push(false);
            let words = words(question);
            own.short += usize::from(words.len() < RUN);
            for run in words.windows(RUN) {
                let questions = own.runs.entry(hash(run)).or_default();
                if questions.last() != Some(&number) {
                    questions.push(number);
                }
            }
        }
        own
    }

    /// Looks into a text that a model was trained on.
    pub fn look_into(&mut self, text: &str) {
        if self.runs.is_empty() {
            return;
        }
        for run in words(text).windows(RUN) {
            for &number in self.runs.get(&hash(run)).into_iter().flatten() {
                self.found[number] = true;
            }
        }
    }

    /// What was found.
    pub fn found(self) -> Found {
        Found { questions: self.found, short: self.short }
    }
}

fn hash(run: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    run.hash(&mut hasher);
    hasher.finish()
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if !c.is_alphanumeric() || is_word(c) {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if is_word(c) {
            words.push(c.to_string());
        } else if c.is_alphanumeric() {
            word.push(c);
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Whether a character is a word of its own: kana, ideographs and hangul.
fn is_word(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_single_ideographs() {
        assert_eq!(
            words("The Lumo's 2 eggs, 露玛2号"),
            ["the", "lumo", "s", "2", "eggs", "露", "玛", "2", "号"]
        );
        assert!(words(" .,!").is_empty());
    }

    #[test]
    fn thirteen_words_in_common_are_found() {
        let question = "Which of the seven bridges of Tavi was built last by the miller and his sons?";
        let chinese = "露玛每天早上在河边的木屋里唱歌";
        let mut look = Contamination::of([question, chinese, "Too short to tell?"].into_iter());
        // Twelve of its words are not enough.
        look.look_into("which of the seven bridges of tavi was built last by the — river");
        assert_eq!(look.clone().found().questions, [false; 3]);
        look.look_into("He asked: WHICH of the seven bridges of Tavi was built last, by the miller!");
        look.look_into("他说，露玛每天早上在河边的木屋里！");
        let found = look.found();
        assert_eq!((found.questions, found.short), (vec![true, true, false], 1));
    }
}
