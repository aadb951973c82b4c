//! What an evaluation gives: each question with its judgement, and shares with their intervals.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Judgement, Paired, Share, Task, TextResult, judged};
use crate::data::RowOrigin;

/// A question that was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its subject; empty where a set has none.
    pub subject: String,
    /// Its number in the subject, from 0.
    pub id: usize,
    /// Where it stands.
    pub origin: RowOrigin,
    /// The natural log-likelihood of each choice; none where an answer was written.
    pub log_likelihoods: Vec<f64>,
    /// Which choice was taken, and which by characters.
    pub judgement: Option<Judgement>,
    /// Which choice is right.
    pub gold: usize,
    /// What a written answer was taken for.
    pub answer: Option<String>,
    /// Whether it is right, in both ways of the task's [`Task::metrics`].
    pub right: [bool; 2],
    /// Tokens that were cut away at its beginning.
    pub cut: usize,
    /// Whether it stands in the training data, where that was looked for.
    pub in_training: Option<bool>,
}

impl Item {
    /// A question whose choices have so many characters each and these log-likelihoods.
    pub fn of_choices(
        (subject, id, origin): (&str, usize, &RowOrigin),
        (gold, characters): (usize, &[usize]),
        log_likelihoods: Vec<f64>,
        cut: usize,
    ) -> Self {
        let judgement = judged(&log_likelihoods, characters);
        let Judgement { chosen, chosen_norm } = judgement;
        Self {
            subject: subject.to_string(),
            id,
            origin: origin.clone(),
            log_likelihoods,
            judgement: Some(judgement),
            gold,
            answer: None,
            right: [chosen == gold, chosen_norm == gold],
            cut,
            in_training: None,
        }
    }

    /// A question whose answer was written.
    pub fn of_answer(
        (subject, id, origin): (&str, usize, &RowOrigin),
        answer: String,
        right: [bool; 2],
    ) -> Self {
        Self {
            subject: subject.to_string(),
            id,
            origin: origin.clone(),
            log_likelihoods: Vec::new(),
            judgement: None,
            gold: 0,
            answer: Some(answer),
            right,
            cut: 0,
            in_training: None,
        }
    }

    /// A line of `--items`.
    pub fn to_json(&self, task: Task) -> Value {
        let mut line = json!({
            "task": task.name(), "subject": self.subject, "id": self.id, "source": self.origin.source,
            "line": self.origin.line,
        });
        let second = task.metrics().1;
        if let Some(judgement) = self.judgement {
            line["log_likelihoods"] = json!(self.log_likelihoods);
            line["chosen"] = json!(judgement.chosen);
            if second.is_some() {
                line["chosen_norm"] = json!(judgement.chosen_norm);
            }
            line["gold"] = json!(self.gold);
        }
        if let Some(answer) = &self.answer {
            line["answer"] = json!(answer);
        }
        line["right"] = json!(self.right[0]);
        if let Some(second) = second {
            line[second] = json!(self.right[1]);
        }
        if self.cut > 0 {
            line["tokens_cut"] = json!(self.cut);
        }
        if let Some(found) = self.in_training {
            line["in_training"] = json!(found);
        }
        line
    }
}

/// The shares of a set or a subject: of the task's first metric, and of its second.
pub type Shares = [Share; 2];

/// What a task gave for one model.
#[derive(Clone, Debug)]
pub struct TaskResult {
    /// The task.
    pub task: Task,
    /// Examples before each question.
    pub shots: usize,
    /// Every question, in order; none of held-out texts.
    pub items: Vec<Item>,
    /// Held-out texts.
    pub texts: Option<TextResult>,
    /// Questions too short to be looked for in training data, where they were looked for.
    pub short: Option<usize>,
}

impl TaskResult {
    /// The shares of all questions: subjects count by their size, as in the harness's groups.
    pub fn shares(&self) -> Shares {
        shares(self.items.iter())
    }

    /// The same without questions that stand in the training data; none where they were not looked for.
    pub fn shares_of_unseen(&self) -> Option<Shares> {
        let looked = self.items.iter().any(|item| item.in_training.is_some());
        looked.then(|| shares(self.items.iter().filter(|item| item.in_training != Some(true))))
    }

    /// The shares of each subject.
    pub fn per_subject(&self) -> BTreeMap<&str, Shares> {
        let mut subjects: BTreeMap<&str, Shares> = BTreeMap::new();
        for item in self.items.iter().filter(|item| !item.subject.is_empty()) {
            let shares = subjects.entry(&item.subject).or_default();
            shares.iter_mut().zip(item.right).for_each(|(share, right)| share.add(right));
        }
        subjects
    }

    /// How another model answered the same questions, in both metrics; none where they are others.
    pub fn paired(&self, other: &Self) -> Option<[Paired; 2]> {
        let place = |item: &Item| (item.subject.clone(), item.id, item.origin.clone());
        let same = self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(|(a, b)| place(a) == place(b));
        if !same || self.items.is_empty() {
            return None;
        }
        let mut paired = [Paired::default(); 2];
        for (first, second) in self.items.iter().zip(&other.items) {
            for (metric, paired) in paired.iter_mut().enumerate() {
                paired.add(first.right[metric], second.right[metric]);
            }
        }
        Some(paired)
    }

    /// The line of `eval --json`.
    pub fn to_json(&self) -> Value {
        let (first, second) = self.task.metrics();
        let mut line = json!({"task": self.task.name(), "metric": first});
        if let Some(texts) = &self.texts {
            let (nll, tokens, bytes) = texts.totals();
            let more = json!({
                "n": texts.texts(), "bits_per_byte": texts.bits_per_byte(), "ci95": texts.interval(),
                "perplexity": texts.perplexity(), "byte_perplexity": texts.byte_perplexity(),
                "nll": nll, "nll_is_bound": texts.is_bound, "tokens_scored": tokens, "bytes": bytes,
            });
            extend(&mut line, more);
            return line;
        }
        let [own, other] = self.shares();
        extend(&mut line, of_share(own));
        if let Some(second) = second {
            line[second] = of_share(other);
        }
        let subjects = self.per_subject().into_iter().map(|(name, [own, other])| {
            let mut shares = of_share(own);
            if let Some(second) = second {
                shares[second] = of_share(other);
            }
            (name.to_string(), shares)
        });
        line["per_subject"] = Value::Object(subjects.collect::<Map<_, _>>());
        line["shots"] = json!(self.shots);
        let cut = self.items.iter().filter(|item| item.cut > 0).count();
        if cut > 0 {
            line["cut"] = json!(cut);
        }
        if let (Some([unseen, _]), Some(short)) = (self.shares_of_unseen(), self.short) {
            let seen = own.n - unseen.n;
            line["in_training"] = json!({"seen": seen, "too_short": short, "unseen": of_share(unseen)});
        }
        line
    }
}

/// The keys of a share.
fn of_share(share: Share) -> Value {
    let accuracy = if share.n == 0 { Value::Null } else { json!(share.value()) };
    json!({"n": share.n, "correct": share.correct, "accuracy": accuracy, "ci95": share.interval()})
}

fn extend(line: &mut Value, more: Value) {
    if let (Value::Object(line), Value::Object(more)) = (line, more) {
        line.extend(more);
    }
}

fn shares<'a>(items: impl Iterator<Item = &'a Item>) -> Shares {
    let mut shares = Shares::default();
    for item in items {
        shares.iter_mut().zip(item.right).for_each(|(share, right)| share.add(right));
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question of three characters and of one, with these log-likelihoods; the second choice is right.
    fn item(subject: &str, id: usize, log_likelihoods: [f64; 2]) -> Item {
        let origin = RowOrigin { source: "a.csv".into(), line: id as u64 + 2 };
        Item::of_choices((subject, id, &origin), (1, &[3, 1]), log_likelihoods.to_vec(), 0)
    }

    fn result(items: Vec<Item>) -> TaskResult {
        TaskResult { task: Task::Ceval, shots: 0, items, texts: None, short: None }
    }

    #[test]
    fn shares_are_counted_over_all_and_by_subject() {
        // acc: right, right, wrong. By characters -2/3 is more than -1, -6/3 less than -1, -1/3 more than -2.
        let items = vec![
            item("lamps", 0, [-2.0, -1.0]),
            item("lamps", 1, [-6.0, -1.0]),
            item("birds", 0, [-1.0, -2.0]),
        ];
        let found = result(items);
        let json = found.to_json();
        assert_eq!((json["n"].as_u64(), json["correct"].as_u64()), (Some(3), Some(2)));
        assert!((json["accuracy"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(json["acc_norm"]["correct"], 1);
        assert_eq!(json["per_subject"]["lamps"]["correct"], 2);
        assert_eq!(json["per_subject"]["birds"]["acc_norm"]["accuracy"], 0.0);
        let line = found.items[0].to_json(Task::Ceval);
        assert_eq!(
            (&line["chosen"], &line["chosen_norm"], &line["right"]),
            (&json!(1), &json!(0), &json!(true))
        );
        assert_eq!((&line["acc_norm"], &line["gold"]), (&json!(false), &json!(1)));
    }

    #[test]
    fn two_models_are_compared_question_by_question() {
        let first = result(vec![item("", 0, [-2.0, -1.0]), item("", 1, [-1.0, -2.0])]);
        let second = result(vec![item("", 0, [-2.0, -1.0]), item("", 1, [-3.0, -2.0])]);
        let [acc, _] = first.paired(&second).unwrap();
        assert_eq!(acc, Paired { both: 1, first_only: 0, second_only: 1, neither: 0 });
        let other = result(vec![item("", 0, [-2.0, -1.0])]);
        assert_eq!(first.paired(&other), None);
    }

    #[test]
    fn questions_that_were_trained_on_are_counted_apart() {
        let mut items = vec![item("", 0, [-2.0, -1.0]), item("", 1, [-1.0, -2.0])];
        assert_eq!(result(items.clone()).shares_of_unseen(), None);
        items[0].in_training = Some(true);
        items[1].in_training = Some(false);
        let found = TaskResult { short: Some(0), ..result(items) };
        let json = found.to_json();
        assert_eq!(
            (&json["in_training"]["seen"], &json["in_training"]["unseen"]["accuracy"]),
            (&json!(1), &json!(0.0))
        );
    }
}
