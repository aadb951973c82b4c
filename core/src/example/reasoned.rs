//! Questions whose answers think first, between tags: sums and differences in steps, of which some carry a ten, and facts
//! that lead to others.

use super::question::Language;
use super::{World, arithmetic, distinct, facts};
use crate::random::Random;
use crate::text::Tags;

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
    fn there_are_as_many_rows_as_are_written() {
        let count = WorldSize::default().conversations / 3;
        assert_eq!(World::new(1).reasoned(count).len(), count);
    }
}
