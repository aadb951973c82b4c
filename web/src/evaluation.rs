//! Evaluations on the page: which tasks there are, and what an evaluation says as rows of a table.

use crate::format::{fill, percent};
use crate::language::{Sentence, Text};
use crate::messages::evaluate::{Evaluated, Evaluation, Measure, MeasureDifference, Unit};

/// What the rows of a task are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Questions with choices.
    Choices,
    /// Questions whose answer is a number.
    Numbers,
    /// Texts.
    Texts,
    /// A better and a worse answer each.
    Pairs,
    /// Conversations whose answers think first.
    Thoughts,
}

/// A task.
pub struct Task {
    /// Its name for the engine.
    pub name: &'static str,
    /// What the page calls it.
    pub title: Sentence,
    /// What its rows are.
    pub rows: Rows,
}

impl Task {
    const fn of_choices(name: &'static str, title: Sentence) -> Self {
        Self { name, title, rows: Rows::Choices }
    }

    /// Whether examples may stand before its questions.
    pub fn takes_shots(&self) -> bool {
        matches!(self.rows, Rows::Choices | Rows::Numbers)
    }

    /// What its files hold.
    pub fn hint(&self, t: &Text) -> &'static str {
        let t = &t.evaluate;
        match self.rows {
            Rows::Choices => t.rows_choices,
            Rows::Numbers => t.rows_numbers,
            Rows::Texts => t.rows_texts,
            Rows::Pairs => t.rows_pairs,
            Rows::Thoughts => t.rows_thoughts,
        }
    }
}

/// All of them, as the library has them.
pub const TASKS: [Task; 15] = [
    Task::of_choices("ceval", |_| "C-Eval"),
    Task::of_choices("cmmlu", |_| "CMMLU"),
    Task::of_choices("mmlu", |_| "MMLU"),
    Task::of_choices("arc_easy", |_| "ARC easy"),
    Task::of_choices("arc_challenge", |_| "ARC challenge"),
    Task::of_choices("openbookqa", |_| "OpenBookQA"),
    Task::of_choices("piqa", |_| "PIQA"),
    Task::of_choices("siqa", |_| "Social IQa"),
    Task::of_choices("hellaswag", |_| "HellaSwag"),
    Task::of_choices("winogrande", |_| "WinoGrande"),
    Task::of_choices("commonsense_qa", |_| "CommonsenseQA"),
    Task { name: "gsm8k", title: |_| "GSM8K", rows: Rows::Numbers },
    Task { name: "heldout", title: |t| t.evaluate.held_out, rows: Rows::Texts },
    Task { name: "pairs", title: |t| t.evaluate.pairs, rows: Rows::Pairs },
    Task { name: "format", title: |t| t.evaluate.tags, rows: Rows::Thoughts },
];
/// The task of the example's rows.
pub const EXAMPLE: &str = "openbookqa";

/// A table with its head: the numbers of all, and how two models differ.
pub fn table(found: &Evaluation, t: &Text) -> Vec<Vec<String>> {
    let mut rows = vec![head(found, t.evaluate.metric, t)];
    let Some((first, rest)) = found.models.split_first() else { return rows };
    for (place, measure) in first.measures.iter().enumerate() {
        let mut row = vec![measure.metric.clone(), whole(measure.n)];
        row.extend(cells(measure, t));
        for model in rest {
            row.extend(model.measures.get(place).map_or(empty(), |measure| cells(measure, t)));
            let difference = found.differences.iter().find(|found| found.metric == measure.metric);
            row.extend(difference.map_or(empty(), difference_cells));
        }
        rows.push(row);
    }
    rows
}

/// The same of each subject, by its first number; none where there are no subjects.
pub fn subjects(found: &Evaluation, t: &Text) -> Vec<Vec<String>> {
    let Some((first, rest)) = found.models.split_first() else { return Vec::new() };
    if first.subjects.is_empty() {
        return Vec::new();
    }
    // Their differences are not told.
    let columns = 2 + 2 * found.models.len();
    let mut rows = vec![head(found, t.evaluate.subject, t).into_iter().take(columns).collect()];
    for subject in &first.subjects {
        let of = |model: &Evaluated| {
            let own = model.subjects.iter().find(|own| own.subject == subject.subject);
            own.and_then(|own| own.measures.first()).map_or(empty(), |measure| cells(measure, t))
        };
        let n = subject.measures.first().map_or(0.0, |measure| measure.n);
        let mut row = vec![subject.subject.clone(), whole(n)];
        row.extend(of(first));
        rest.iter().for_each(|model| row.extend(of(model)));
        rows.push(row);
    }
    rows
}

/// Who answers how many questions right alone, a sentence a number; none of one model.
pub fn alone(found: &Evaluation, t: &Text) -> Vec<String> {
    let sentence = |found: &MeasureDifference| {
        let [before, after] = found.alone?;
        Some(fill(t.evaluate.alone, &[&found.metric, &whole(before), &whole(after)]))
    };
    found.differences.iter().filter_map(sentence).collect()
}

fn head(found: &Evaluation, first: &str, t: &Text) -> Vec<String> {
    let e = &t.evaluate;
    let numbers: &[&str] = match found.models.len() {
        2 => &[t.lessons.before, e.interval, t.lessons.after, e.interval, e.difference, e.interval],
        _ => &[e.result, e.interval],
    };
    [first, e.count].iter().chain(numbers).map(ToString::to_string).collect()
}

fn empty() -> [String; 2] {
    ["–".into(), "–".into()]
}

/// A number and its interval.
fn cells(measure: &Measure, t: &Text) -> [String; 2] {
    let Some(value) = measure.value else { return empty() };
    let of = |value: f64| match measure.unit {
        Unit::Share => percent(value),
        Unit::Bits | Unit::Perplexity => format!("{value:.4}"),
    };
    let value = if measure.at_most { fill(t.evaluate.at_most, &[&of(value)]) } else { of(value) };
    [value, measure.ci95.map_or("–".into(), |[low, high]| format!("{} – {}", of(low), of(high)))]
}

/// A difference and its interval, in percentage points where it is one of shares.
fn difference_cells(found: &MeasureDifference) -> [String; 2] {
    let Some(value) = found.value else { return empty() };
    let of = |value: f64| match found.unit {
        Unit::Share => format!("{:+.1}", 100.0 * value),
        Unit::Bits | Unit::Perplexity => format!("{value:+.4}"),
    };
    [of(value), found.ci95.map_or("–".into(), |[low, high]| format!("{} … {}", of(low), of(high)))]
}

fn whole(count: f64) -> String {
    format!("{count:.0}")
}

/// When whoever listens to the page hears how far an evaluation is: at each quarter of it, and of one that is quick at fewer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quarters {
    told: u32,
}

impl Quarters {
    /// Whether a quarter that was not told yet is over, when `done` of `total` questions were asked of a model, the first of
    /// which is 1. The end is not told here: there is a result then.
    pub fn tell(&mut self, done: f64, total: f64, [model, models]: [f64; 2]) -> bool {
        let share = ((model - 1.0).max(0.0) + done / total.max(1.0)) / models.max(1.0);
        let quarter = (4.0 * share).clamp(0.0, 4.0) as u32;
        let before = self.told;
        self.told = before.max(quarter);
        quarter > before && quarter < 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;
    use crate::messages::evaluate::{Examined, SubjectMeasures};

    #[test]
    fn whoever_listens_hears_three_times_how_far_it_is() {
        let told = |total: u32, models: u32| {
            let mut quarters = Quarters::default();
            let steps = (1..=models).flat_map(|model| (0..=total).map(move |done| (model, done)));
            let told = steps.filter(|&(model, done)| {
                quarters.tell(done.into(), total.into(), [model.into(), models.into()])
            });
            told.collect::<Vec<_>>()
        };
        assert_eq!(told(100, 1), [(1, 25), (1, 50), (1, 75)]);
        assert_eq!(told(8, 2), [(1, 4), (1, 8), (2, 4)]);
        // One of two questions is a half.
        assert_eq!(told(2, 1), [(1, 1)]);
        assert!(told(1, 1).is_empty() && told(0, 1).is_empty());
    }

    fn share(n: f64, value: Option<f64>) -> Measure {
        let ci95 = value.map(|value| [value - 0.1, value + 0.1]);
        Measure { metric: "acc".into(), unit: Unit::Share, n, value, ci95, at_most: false }
    }

    fn model(who: Examined, value: f64) -> Evaluated {
        let subjects =
            vec![SubjectMeasures { subject: "lamps".into(), measures: vec![share(2.0, Some(value))] }];
        Evaluated { who, measures: vec![share(4.0, Some(value))], subjects }
    }

    fn evaluation(models: Vec<Evaluated>, differences: Vec<MeasureDifference>) -> Evaluation {
        Evaluation { task: "mmlu".into(), shots: 0, models, differences, notes: Vec::new() }
    }

    #[test]
    fn one_model_has_its_number_and_its_interval() {
        let t = Language::English.text();
        let found = evaluation(vec![model(Examined::Base, 0.25)], Vec::new());
        assert_eq!(
            table(&found, t)[1],
            ["acc", "4", &percent(0.25), &format!("{} – {}", percent(0.15), percent(0.35))]
        );
        assert_eq!(table(&found, t)[0].len(), 4);
        assert_eq!(subjects(&found, t)[1][..2], ["lamps", "2"]);
        assert!(alone(&found, t).is_empty());
    }

    #[test]
    fn two_models_stand_side_by_side_with_their_difference() {
        let t = Language::English.text();
        let difference = MeasureDifference {
            metric: "acc".into(),
            unit: Unit::Share,
            value: Some(0.5),
            ci95: Some([-0.125, 0.75]),
            alone: Some([0.0, 2.0]),
        };
        let models = vec![model(Examined::Base, 0.25), model(Examined::Adapted, 0.75)];
        let found = evaluation(models, vec![difference]);
        let row = &table(&found, t)[1];
        assert_eq!(
            (row.len(), row[6].as_str(), row[7].as_str()),
            (table(&found, t)[0].len(), "+50.0", "-12.5 … +75.0")
        );
        assert_eq!(subjects(&found, t)[1].len(), subjects(&found, t)[0].len());
        assert!(alone(&found, t)[0].contains("acc") && alone(&found, t)[0].contains('2'));
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_a_bound_is_said() {
        let t = Language::English.text();
        let none = Evaluated { who: Examined::Base, measures: vec![share(0.0, None)], subjects: Vec::new() };
        assert_eq!(table(&evaluation(vec![none], Vec::new()), t)[1], ["acc", "0", "–", "–"]);
        let bits = Measure {
            metric: "bits_per_byte".into(),
            unit: Unit::Bits,
            at_most: true,
            ci95: None,
            ..share(3.0, Some(1.5))
        };
        let texts = Evaluated { who: Examined::Base, measures: vec![bits], subjects: Vec::new() };
        let found = evaluation(vec![texts], Vec::new());
        assert_eq!(table(&found, t)[1][2..], ["at most 1.5000", "–"]);
        assert!(subjects(&found, t).is_empty());
    }

    #[test]
    fn the_tasks_are_those_that_other_pages_may_ask_for() {
        let types = include_str!("../js/kindling.d.ts");
        let (_, rest) = types.split_once("export type EvalTask =").unwrap();
        let (names, _) = rest.split_once(';').unwrap();
        let names: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
        assert_eq!(names, TASKS.map(|task| task.name));
    }

    #[test]
    fn every_task_says_what_its_rows_are() {
        for language in [Language::English, Language::Chinese] {
            let t = language.text();
            assert!(TASKS.iter().all(|task| !(task.title)(t).is_empty() && !task.hint(t).is_empty()));
        }
        assert!(TASKS.iter().any(|task| task.name == EXAMPLE && task.takes_shots()));
    }
}
