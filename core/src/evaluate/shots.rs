//! Which examples stand before a question: those that lm-evaluation-harness 0.4.13 takes, in its order.

use super::{Question, ShotRule};
use crate::error::{Error, Result};
use crate::random::PythonRandom;
use crate::told::{Counted, told};

/// The harness's `--seed` of few-shot examples.
const SEED: u32 = 1234;

/// Gives each question of a subject its examples, question after question: drawn ones depend on how many were drawn before.
pub struct Shots<'a> {
    pool: &'a [Question],
    count: usize,
    rule: ShotRule,
    random: PythonRandom,
}

impl<'a> Shots<'a> {
    /// So many examples each, out of a pool.
    ///
    /// # Errors
    /// A pool that is too small.
    pub fn new(pool: &'a [Question], count: usize, rule: ShotRule) -> Result<Self> {
        let needed = count + usize::from(rule.without_itself && count > 0);
        if pool.len() < needed {
            return Err(Error::Data(told!(
                "eval.few_shots",
                "{count} {needed} to choose from, and there are {found}; give fewer with --shots, or more rows with \
                 --shots-data",
                count = Counted::new(
                    count as u64,
                    ["example before each question needs", "examples before each question need"]
                ),
                needed = Counted::new(needed as u64, ["row", "rows"]),
                found = pool.len()
            )));
        }
        Ok(Self { pool, count, rule, random: PythonRandom::new(SEED) })
    }

    /// The examples of the next question.
    ///
    /// # Errors
    /// Too few that differ from it.
    pub fn next(&mut self, question: &Question) -> Result<Vec<&'a Question>> {
        if self.count == 0 {
            return Ok(Vec::new());
        }
        let pool = self.pool;
        let is_other = |shot: &&Question| !self.rule.without_itself || shot.row != question.row;
        if self.rule.first {
            return self.enough(pool.iter().filter(is_other).take(self.count).collect());
        }
        let drawn = self.count + usize::from(self.rule.without_itself);
        let places = self.random.sample(pool.len(), drawn);
        let shots = places.iter().map(|&place| &pool[place]);
        let shots: Vec<&Question> = shots.filter(is_other).take(self.count).collect();
        if shots.len() == self.count {
            return Ok(shots);
        }
        // The question stands there several times: drawn again among the others.
        let others: Vec<&Question> = pool.iter().filter(is_other).collect();
        let places = self.random.sample(others.len(), self.count);
        self.enough(places.into_iter().map(|place| others[place]).collect())
    }

    fn enough(&self, shots: Vec<&'a Question>) -> Result<Vec<&'a Question>> {
        if shots.len() == self.count {
            return Ok(shots);
        }
        Err(Error::Data(told!(
            "eval.few_other_shots",
            "a question has {found} examples that differ from it, and {count} are to stand before it; give fewer with \
             --shots",
            found = shots.len(),
            count = self.count
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(number: usize) -> Question {
        let text = number.to_string();
        Question { openings: vec![text.clone()], endings: Vec::new(), gold: 0, stem: text.clone(), row: text }
    }

    fn numbers(shots: &[&Question]) -> Vec<usize> {
        shots.iter().map(|shot| shot.row.parse().unwrap()).collect()
    }

    #[test]
    fn examples_are_the_first_or_those_that_python_draws() {
        let pool: Vec<Question> = (0..100).map(question).collect();
        let rule = |first, without_itself| ShotRule { first, without_itself };
        let mut first = Shots::new(&pool, 3, rule(true, false)).unwrap();
        assert_eq!(numbers(&first.next(&pool[1]).unwrap()), [0, 1, 2]);
        // As `random.Random(1234).sample(range(100), 5)` and the next one.
        let mut drawn = Shots::new(&pool, 5, rule(false, false)).unwrap();
        assert_eq!(numbers(&drawn.next(&pool[0]).unwrap()), [99, 56, 14, 0, 11]);
        assert_ne!(numbers(&drawn.next(&pool[0]).unwrap()), [99, 56, 14, 0, 11]);
        // One more is drawn, and the question itself goes.
        let mut others = Shots::new(&pool, 4, rule(false, true)).unwrap();
        assert_eq!(numbers(&others.next(&pool[56]).unwrap()), [99, 14, 0, 11]);
        let mut others = Shots::new(&pool, 4, rule(false, true)).unwrap();
        assert_eq!(numbers(&others.next(&pool[50]).unwrap()), [99, 56, 14, 0]);
    }

    #[test]
    fn a_question_that_stands_there_several_times_is_drawn_around() {
        let pool = [question(1), question(1), question(1), question(2)];
        let rule = ShotRule { first: false, without_itself: true };
        let mut shots = Shots::new(&pool, 1, rule).unwrap();
        assert!((0..9).all(|_| numbers(&shots.next(&pool[0]).unwrap()) == [2]));
        let mut two = Shots::new(&pool, 2, rule).unwrap();
        assert!(two.next(&pool[0]).unwrap_err().to_string().contains("has 1 examples that differ"));
        assert!(Shots::new(&pool, 4, rule).is_err() && Shots::new(&[], 0, rule).is_ok());
    }
}
