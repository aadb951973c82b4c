//! The pictures of runs: their losses in one, and one for everything else that any of them logs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Axis, Chart, Line};
use crate::runs::{Curve, History};

/// How slowly full lines follow what was logged, where nobody says it.
pub const SMOOTHING: f64 = 0.9;

/// The pictures of runs.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// The losses.
    pub loss: Chart,
    /// The rest, by name.
    pub others: Vec<Chart>,
}

impl Drawn {
    /// Of runs with these names; `smoothing` is at least 0 and below 1.
    pub fn of(runs: &[(&str, &History)], axis: Axis, smoothing: f64) -> Self {
        let lines = |curves: &dyn Fn(&History) -> (Curve, Curve)| -> Vec<Line> {
            let all = runs.iter().enumerate().flat_map(|(number, &(name, history))| {
                let (curve, held_out) = curves(history);
                Line::all(number, name, &curve, &held_out, smoothing)
            });
            all.collect()
        };
        let chart = |name: &str, lines: Vec<Line>, size: (f64, f64)| {
            let (title, height_name) = (name.to_string(), name.to_string());
            Chart { title, height_name, lines, axis, size }
        };
        let losses = lines(&|history| (history.loss.clone(), history.held_out.clone()));
        let of_metrics = |history: &History, name: &str| {
            let of = |curves: &BTreeMap<String, Curve>| curves.get(name).cloned().unwrap_or_default();
            (of(&history.metrics), of(&history.held_out_metrics))
        };
        let others = metric_names(runs).into_iter().map(|name| {
            let lines = lines(&|history| of_metrics(history, name));
            chart(name, lines, (360.0, 220.0))
        });
        Self { others: others.collect(), loss: chart("loss", losses, (960.0, 420.0)) }
    }
}

/// Everything that any of them logs beside the loss.
fn metric_names<'a>(runs: &[(&str, &'a History)]) -> BTreeSet<&'a str> {
    let of = |(_, history): &(&str, &'a History)| {
        let names = history.metrics.keys().chain(history.held_out_metrics.keys());
        names.map(String::as_str).collect::<Vec<&'a str>>()
    };
    runs.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_run_logs_is_drawn_with_all_that_log_it() {
        let one = History::of("{\"step\":1,\"loss\":2.0,\"lr\":0.1}\n{\"step\":2,\"loss\":1.0,\"lr\":0.2}\n");
        let two = History::of(
            "{\"step\":1,\"loss\":3.0,\"lr\":0.3}\n{\"event\":\"eval\",\"step\":1,\"loss\":2.5,\"reward\":0.5}\n",
        );
        let drawn = Drawn::of(&[("one", &one), ("two", &two)], Axis::Linear, 0.0);
        let titles: Vec<&str> = drawn.others.iter().map(|chart| chart.title.as_str()).collect();
        assert_eq!(titles, ["lr", "reward"]);
        let runs = |chart: &Chart| chart.lines.iter().map(|line| line.run).collect::<Vec<_>>();
        assert_eq!((runs(&drawn.loss), runs(&drawn.others[0])), (vec![0, 1, 1], vec![0, 1]));
        assert_eq!(runs(&drawn.others[1]), [1], "only what was measured");
        assert_eq!(drawn.loss.lines[0].curve, [(1.0, 2.0), (2.0, 1.0)]);
    }
}
