//! Questions with choices: their ids, and which choice a model takes.

use super::{Chat, EvalConfig, Prompting, Question, Sequence, Shots, Task};
use crate::data::RowOrigin;
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;
use crate::told::told;

/// Questions that are asked behind the same examples.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Its name; empty where a set has no subjects.
    pub name: String,
    /// What is asked, with where it stands.
    pub questions: Vec<(RowOrigin, Question)>,
    /// What examples are chosen from.
    pub shots: Vec<Question>,
    /// Whether those are the questions themselves, because no others are there.
    pub shots_are_questions: bool,
}

impl Subject {
    /// Who gives the examples of its questions.
    ///
    /// # Errors
    /// Too few rows to choose from.
    pub fn shots_of(&self, task: Task, config: &EvalConfig) -> Result<Shots<'_>> {
        let mut rule = task.shot_rule();
        rule.without_itself |= self.shots_are_questions;
        Shots::new(&self.shots, config.shots_of(task), rule)
    }
}

/// The ids of every question of a subject, a sequence a choice.
///
/// # Errors
/// Too few examples, a template that refuses a question, a choice that cannot be judged, by the question's place.
pub fn sequences(
    task: Task,
    subject: &Subject,
    config: &EvalConfig,
    tokenizer: &Tokenizer,
    longest: usize,
) -> Result<Vec<Vec<Sequence>>> {
    let multiturn = config.fewshot_as_multiturn;
    let chat = config.apply_chat_template.then_some(Chat { tokenizer, multiturn });
    let prompting = Prompting::new(task, &subject.name, chat);
    let mut shots = subject.shots_of(task, config)?;
    let mut all = Vec::with_capacity(subject.questions.len());
    for (origin, question) in &subject.questions {
        let mut of_question = || -> Result<Vec<Sequence>> {
            let requests = prompting.requests(&shots.next(question)?, question)?;
            requests.iter().map(|request| request.ids(tokenizer, longest)).collect()
        };
        let named =
            |error: Error| Error::Data(told!("row.at", "{origin}: {reason}", origin, reason = error.told()));
        all.push(of_question().map_err(named)?);
    }
    Ok(all)
}

/// Which choices a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The likeliest one (`acc`).
    pub chosen: usize,
    /// The one that is likeliest a character (`acc_norm`).
    pub chosen_norm: usize,
}

/// The choices of the largest log-likelihood, and of the largest by characters; of equal ones the first. `acc_norm` leaves
/// the space before a choice uncounted, as the harness does.
pub fn judged(log_likelihoods: &[f64], characters: &[usize]) -> Judgement {
    let by_character: Vec<f64> =
        log_likelihoods.iter().zip(characters).map(|(value, &count)| value / count as f64).collect();
    Judgement { chosen: first_largest(log_likelihoods), chosen_norm: first_largest(&by_character) }
}

fn first_largest(values: &[f64]) -> usize {
    let larger = |best: usize, at: usize| if values[at] > values[best] { at } else { best };
    (0..values.len()).fold(0, larger)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evaluate::read_question;
    use crate::sample::fake::letters;

    #[test]
    fn long_choices_win_by_characters_and_ties_go_to_the_first() {
        // -4 and -6 in all; a character -2 and -1.
        let found = judged(&[-4.0, -6.0, -4.0], &[2, 6, 2]);
        assert_eq!(found, Judgement { chosen: 0, chosen_norm: 1 });
        assert_eq!(judged(&[-1.0, -1.0], &[1, 1]), Judgement { chosen: 0, chosen_norm: 0 });
    }

    #[test]
    fn what_cannot_be_asked_is_told_by_its_place() {
        let row = json!({"question": "abc", "choices": ["d", "E"], "answer": 0});
        let question = read_question(Task::Openbookqa, row.as_object().unwrap()).unwrap().0;
        let origin = RowOrigin { source: "a.jsonl".into(), line: 7 };
        let subject = Subject { questions: vec![(origin, question)], ..Subject::default() };
        // The letters' tokenizer has no token for E.
        let told = sequences(Task::Openbookqa, &subject, &EvalConfig::default(), &letters(None), 20);
        let told = told.unwrap_err().to_string();
        assert!(told.starts_with("a.jsonl:7: ' E' has 0 tokens"), "{told}");
        let shots = EvalConfig { shots: Some(1), ..EvalConfig::default() };
        let none = sequences(Task::Openbookqa, &subject, &shots, &letters(None), 20).unwrap_err();
        assert!(none.to_string().contains(" 1 row to choose from, and there are 0"), "{none}");
    }
}
