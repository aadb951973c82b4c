//! What a task gives in numbers, one after the other, for a table: of all, of each subject, and how two models differ.

use super::{Paired, Share, TaskResult};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share of questions, 0 to 1.
    Share,
    /// Bits.
    Bits,
    /// Perplexity a token.
    Perplexity,
}

/// A number that a task gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// What it is called.
    pub metric: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Of so many questions or texts.
    pub n: u64,
    /// It; NaN of no questions.
    pub value: f64,
    /// Its 95 % interval, where there is one.
    pub interval: Option<[f64; 2]>,
    /// Whether it is a bound: of a masked predictor's texts, which are at least as likely.
    pub at_most: bool,
}

impl Measure {
    /// A share of right answers.
    pub fn of_share(metric: &'static str, share: Share) -> Self {
        let (value, interval) = (share.value(), Some(share.interval()));
        Self { metric, unit: Unit::Share, n: share.n, value, interval, at_most: false }
    }
}

/// By how much a second model's number is larger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// What the number is called.
    pub metric: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// By so much.
    pub value: f64,
    /// Its 95 % interval, where there is one.
    pub interval: Option<[f64; 2]>,
    /// Which of them answered which questions right; none of texts.
    pub paired: Option<Paired>,
}

impl TaskResult {
    /// Its numbers.
    pub fn measures(&self) -> Vec<Measure> {
        let Some(texts) = &self.texts else { return self.measures_of(self.shares()) };
        let measure = |metric, unit, value, interval| Measure {
            metric,
            unit,
            n: texts.texts() as u64,
            value,
            interval,
            at_most: texts.is_bound,
        };
        vec![
            measure("bits_per_byte", Unit::Bits, texts.bits_per_byte(), texts.interval()),
            measure("perplexity", Unit::Perplexity, texts.perplexity(), None),
        ]
    }

    /// Those of each subject, by its name; none where a set has no subjects.
    pub fn measures_by_subject(&self) -> Vec<(&str, Vec<Measure>)> {
        self.per_subject().into_iter().map(|(name, shares)| (name, self.measures_of(shares))).collect()
    }

    fn measures_of(&self, [own, other]: [Share; 2]) -> Vec<Measure> {
        let (first, second) = self.task.metrics();
        let mut measures = vec![Measure::of_share(first, own)];
        measures.extend(second.map(|second| Measure::of_share(second, other)));
        measures
    }

    /// How another model differs on the same questions or texts; none where they are not the same.
    pub fn differences(&self, other: &Self) -> Option<Vec<Difference>> {
        if let Some((first, second)) = self.texts.as_ref().zip(other.texts.as_ref()) {
            let (value, interval) = first.paired(second)?;
            let (metric, unit) = ("bits_per_byte", Unit::Bits);
            return Some(vec![Difference { metric, unit, value, interval, paired: None }]);
        }
        let (first, second) = self.task.metrics();
        let of = |(metric, paired): (Option<&'static str>, Paired)| {
            let (value, interval) = (paired.difference(), Some(paired.interval()));
            Some(Difference { metric: metric?, unit: Unit::Share, value, interval, paired: Some(paired) })
        };
        Some([Some(first), second].into_iter().zip(self.paired(other)?).filter_map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::RowOrigin;
    use crate::evaluate::{Item, Task, TextResult};

    fn result(task: Task, right: &[[bool; 2]]) -> TaskResult {
        let item = |(id, right): (usize, &[bool; 2])| {
            let origin = RowOrigin { source: "a.csv".into(), line: id as u64 + 1 };
            let subject = if id == 0 { "lamps" } else { "birds" };
            Item::of_answer((subject, id, &origin), String::new(), *right)
        };
        let items = right.iter().enumerate().map(item).collect();
        TaskResult { task, shots: 0, items, texts: None, short: None }
    }

    #[test]
    fn a_task_gives_both_of_its_shares_of_all_and_of_each_subject() {
        let found = result(Task::ArcEasy, &[[true, false], [true, true], [false, false], [false, false]]);
        let [acc, norm] = found.measures()[..] else { panic!("two") };
        assert_eq!((acc.metric, acc.n, acc.value, acc.unit), ("acc", 4, 0.5, Unit::Share));
        assert_eq!((norm.metric, norm.value), ("acc_norm", 0.25));
        // Wilson's interval of 1 of 4.
        let [low, high] = norm.interval.unwrap();
        assert!((low - 0.045_59).abs() < 5e-5 && (high - 0.699_36).abs() < 5e-5, "{low} to {high}");
        let subjects = found.measures_by_subject();
        let first = |at: usize| (subjects[at].0, subjects[at].1[0].n, subjects[at].1[0].value);
        assert_eq!((first(0), first(1)), (("birds", 3, 1.0 / 3.0), ("lamps", 1, 1.0)));
        assert_eq!(result(Task::Mmlu, &[[true, true]]).measures().len(), 1, "it has one metric");
    }

    #[test]
    fn two_models_differ_by_what_each_alone_answers_right() {
        let before = result(Task::ArcEasy, &[[true, true], [false, true], [false, false], [true, false]]);
        let after = result(Task::ArcEasy, &[[true, true], [true, false], [true, false], [false, false]]);
        let found = before.differences(&after).unwrap();
        let [acc, norm] = found[..] else { panic!("two") };
        // Two are gained and one is lost of four.
        assert_eq!((acc.metric, acc.value, norm.value), ("acc", 0.25, -0.25));
        let paired = acc.paired.unwrap();
        assert_eq!((paired.both, paired.first_only, paired.second_only, paired.neither), (1, 1, 2, 0));
        assert_eq!(acc.interval, Some(paired.interval()));
        assert_eq!(before.differences(&result(Task::ArcEasy, &[[true, true]])), None);
    }

    #[test]
    fn texts_give_bits_and_perplexity() {
        let texts = |bits: f64| {
            let mut texts = TextResult::new(true);
            texts.add(bits * std::f64::consts::LN_2, 4, 4);
            TaskResult { task: Task::HeldOut, texts: Some(texts), ..result(Task::HeldOut, &[]) }
        };
        let [bits, perplexity] = texts(8.0).measures()[..] else { panic!("two") };
        assert_eq!(
            (bits.metric, bits.value, bits.interval, bits.at_most),
            ("bits_per_byte", 2.0, None, true)
        );
        assert!((perplexity.value - 4.0).abs() < 1e-9 && perplexity.unit == Unit::Perplexity);
        let found = texts(8.0).differences(&texts(4.0)).unwrap();
        assert_eq!((found.len(), found[0].value, found[0].interval), (1, -1.0, None));
    }
}
