//! The pictures of what runs logged: those of one stage together, because the losses of different ones do not compare.

use super::{Html, Part};
use crate::plot::{Axis, Drawn, SMOOTHING};
use crate::runs::History;

/// What a run logged.
#[derive(Clone, Copy, Debug)]
pub struct Logged<'a> {
    /// The run's name.
    pub name: &'a str,
    /// Its stage, as the verb that trained it.
    pub verb: &'a str,
    /// What it logged.
    pub history: &'a History,
}

/// Curves of all runs, stage by stage in the order in which these come.
pub fn curves(runs: &[Logged]) -> Part {
    let mut verbs: Vec<&str> = Vec::new();
    for run in runs {
        if !verbs.contains(&run.verb) {
            verbs.push(run.verb);
        }
    }
    let of_stage = |verb: &str| {
        let runs: Vec<&Logged> = runs.iter().filter(|run| run.verb == verb).collect();
        stage(verb, &runs)
    };
    let mut body = Html::paragraph(
        "Pale lines are as logged; full ones are their running mean. Dashed lines with dots are of held-out rows.",
        "浅色线是原始记录，实线是其滑动平均；带点的虚线是留出数据上的测量。",
    );
    body.push(verbs.into_iter().map(of_stage).collect());
    Part { id: "curves", title: Html::both("Curves", "曲线"), body }
}

fn stage(verb: &str, runs: &[&Logged]) -> Html {
    let mut all = Html::element("h3", "", Html::text(verb));
    let legend = runs.iter().enumerate().map(|(number, run)| Html::legend(number, Html::text(run.name)));
    all.push(Html::element("ul", "runs", legend.collect()));
    let silent = |run: &&&Logged| run.history.loss.is_empty() && run.history.held_out.is_empty();
    for run in runs.iter().filter(silent) {
        all.push(Html::paragraph(
            &format!("{}: no loss was logged.", run.name),
            &format!("{}：没有记录损失。", run.name),
        ));
    }
    if runs.iter().all(|run| silent(&run)) {
        return all;
    }
    let named: Vec<(&str, &History)> = runs.iter().map(|run| (run.name, run.history)).collect();
    let Drawn { loss, others } = Drawn::of(&named, Axis::Linear, SMOOTHING);
    all.push(Html::picture(&loss));
    all.push(Html::element("div", "small", others.iter().map(Html::picture).collect()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_stage_share_a_picture_and_stages_do_not() {
        let step = |loss: f64| History::of(&format!("{{\"step\":1,\"loss\":{loss},\"lr\":0.5}}\n"));
        let (one, two, three, silent) = (step(3.0), step(2.0), step(0.5), History::default());
        let run = |name: &'static str, verb: &'static str, history: &'static History| Logged {
            name,
            verb,
            history,
        };
        let leak = |history: History| -> &'static History { Box::leak(Box::new(history)) };
        let part = curves(&[
            run("<i>a", "sft", leak(one)),
            run("pair", "dpo", leak(three)),
            run("b", "sft", leak(two)),
            run("quiet", "dpo", leak(silent)),
        ]);
        let markup = part.body.markup();
        // A large picture and one of the learning rate for each of two stages.
        assert_eq!((markup.matches("<svg").count(), markup.matches("<h3>").count()), (4, 2), "{markup}");
        let sft = &markup[..markup.find("<h3>dpo").unwrap()];
        assert!(sft.contains("&lt;i&gt;a</li>") && sft.contains(">b</li>"), "{sft}");
        assert!(!markup.contains("<i>a") && markup.contains("quiet: no loss was logged."));
        assert!(!curves(&[]).body.markup().contains("<svg"));
    }
}
