//! Questions whose answers think first, between tags: sums and differences in steps, of which some carry a ten, and facts
//! that lead to others.

use super::arithmetic::{self, Problem};
use super::question::Language;
use super::{World, distinct, facts};
use crate::random::Random;
use crate::text::Tags;

/// A sum or difference that no row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnseenSum {
    /// What is asked.
    pub question: String,
    /// The right result.
    pub result: String,
    /// Whether a ten is carried or borrowed, which answers without steps never learn.
    pub carries: bool,
}

impl World {
    /// Distinct questions with their answers between tags.
    pub(super) fn reasoned(&self, count: usize) -> Vec<(String, String)> {
        let mut random = Random::new(self.seed, 7);
        distinct(
            count,
            |(question, _): &(String, String)| question.clone(),
            |i| {
                let language = Language::ALL[i % 2];
                let [question, thinking, answer] = match i / 2 % 6 {
                    0 => facts::by_another(self.seed, language, &mut random),
                    kind => arithmetic::in_steps(language, kind <= 3, &mut random),
                };
                (question, Tags::default().written(&thinking, &answer))
            },
        )
    }

    /// Every sum and difference that no row of any world holds, asked in English and Chinese in turn.
    pub fn unseen_sums() -> Vec<UnseenSum> {
        let problems = Problem::unseen().into_iter().zip(Language::ALL.into_iter().cycle());
        let asked = |(problem, language): (Problem, Language)| UnseenSum {
            question: problem.asked(language),
            result: problem.result().to_string(),
            carries: problem.changes_tens(),
        };
        problems.map(asked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::WorldSize;
    use crate::text::parse_reasoning;

    #[test]
    fn all_rows_keep_the_tags_and_steps_end_in_the_result() {
        let rows = World::new(1).reasoned(600);
        assert_eq!(rows.len(), 600);
        let mut carried = 0;
        for (question, answer) in &rows {
            let parts = parse_reasoning(answer, &Tags::default());
            assert!(parts.keeps_format(), "{question} {answer}");
            let (thinking, result) = (parts.thinking.unwrap(), parts.answer.unwrap());
            let last = thinking.lines().last().unwrap();
            assert!(last.trim_end_matches(['.', '。']).ends_with(result), "{question} {answer}");
            carried += usize::from(thinking.matches('=').count() == 3);
        }
        assert!((250..400).contains(&carried), "{carried}");
    }

    #[test]
    fn unseen_sums_are_asked_in_both_languages_and_by_no_row() {
        let (sums, rows) = (World::unseen_sums(), World::new(1).reasoned(3000));
        let asked: Vec<&str> = sums.iter().map(|sum| sum.question.as_str()).collect();
        assert_eq!(asked[..2], ["What is 19+4?", "19-4等于几？"]);
        assert_eq!((sums[0].result.as_str(), sums[1].result.as_str()), ("23", "15"));
        assert_eq!((sums[0].carries, sums[1].carries), (true, false));
        assert!(rows.iter().all(|(question, _)| !asked.contains(&question.as_str())));
    }

    #[test]
    fn there_are_as_many_rows_as_are_written() {
        let count = WorldSize::default().conversations / 3;
        assert_eq!(World::new(1).reasoned(count).len(), count);
    }
}
