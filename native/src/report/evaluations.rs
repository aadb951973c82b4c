//! The results of evaluations, a line for everything that was measured.

use super::results::{Evaluated, Evaluation, Measure};
use super::{Html, Part};
use crate::output::grouped;

/// The results of all runs, and what was not read.
pub fn evaluations(runs: &[Evaluated]) -> Part {
    let head = Html::names([
        ("run", "训练"),
        ("task", "任务"),
        ("questions", "题数"),
        ("measure", "指标"),
        ("value", "数值"),
        ("95 % interval", "95% 区间"),
        ("from", "来源"),
    ]);
    let results = || runs.iter().flat_map(|run| run.results.iter().map(|result| (run.name.as_str(), result)));
    let row = |run, result: &Evaluation| {
        result.measures.iter().map(|measure| row(run, result, measure)).collect::<Vec<_>>()
    };
    let mut body = match results().next() {
        None => Html::paragraph(
            "None lies beside the runs. `kindling eval --json` writes some; files called eval*.jsonl in a run's directory \
             are read.",
            "训练目录中没有评测结果。`kindling eval --json` 可写出结果；训练目录中名为 eval*.jsonl 的文件会被读取。",
        ),
        Some(_) => Html::table(head, results().flat_map(|(run, result)| row(run, result))),
    };
    let by = results().filter(|(_, result)| !result.subjects.is_empty());
    body.push(by.map(|(run, result)| by_subject(run, result)).collect());
    let unread = runs.iter().flat_map(|run| &run.unread);
    body.push(unread.map(|told| Html::element("p", "quiet", Html::text(told))).collect());
    Part { id: "evaluations", title: Html::both("Evaluations", "评测"), body }
}

fn row(run: &str, result: &Evaluation, measure: &Measure) -> Vec<Html> {
    let value = |value: f64| if measure.is_share { percent(value) } else { format!("{value:.4}") };
    let known = |text: Option<String>| Html::text(text.as_deref().unwrap_or("–"));
    vec![
        Html::text(result.model.as_deref().unwrap_or(run)),
        Html::text(&result.task),
        known(result.n.map(grouped)),
        Html::text(&measure.name),
        Html::text(&value(measure.value)),
        known(measure.ci95.map(|(low, high)| format!("{} – {}", value(low), value(high)))),
        Html::text(&result.source),
    ]
}

fn by_subject(run: &str, result: &Evaluation) -> Html {
    let row = |(name, share): &(String, f64)| vec![Html::text(name), Html::text(&percent(*share))];
    let head = Html::names([("subject", "科目"), ("right", "正确率")]);
    let name = format!("{} · {}", result.model.as_deref().unwrap_or(run), result.task);
    Html::folded(Html::text(&name), Html::table(head, result.subjects.iter().map(row)))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_has_a_line_and_shares_are_told_in_percent() {
        let measure = |name: &str, value: f64, ci95: Option<(f64, f64)>, is_share: bool| Measure {
            name: name.into(),
            value,
            ci95,
            is_share,
        };
        let result = Evaluation {
            source: "eval.jsonl".into(),
            task: "ceval".into(),
            model: None,
            n: Some(1346),
            measures: vec![
                measure("acc", 0.25, Some((0.2276, 0.2742)), true),
                measure("bits_per_byte", 1.5, None, false),
            ],
            subjects: vec![("<b>law".into(), 0.5)],
        };
        let run = Evaluated { name: "runs/a".into(), results: vec![result], unread: vec!["<i>: no".into()] };
        let part = evaluations(&[run]);
        let markup = part.body.markup();
        assert!(markup.contains("<td>25.0 %</td><td>22.8 % – 27.4 %</td>"), "{markup}");
        assert!(
            markup.contains("<td>1.5000</td><td>–</td>") && markup.contains("<td>1,346</td>"),
            "{markup}"
        );
        assert!(markup.contains("&lt;b&gt;law") && markup.contains("&lt;i&gt;: no"), "{markup}");
        assert!(!markup.contains("<b>") && !markup.contains("<i>"));
        assert!(evaluations(&[]).body.markup().contains("没有评测结果"));
    }
}
