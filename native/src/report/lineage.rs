//! Which run took which, and how each went.

use super::{Html, Part};
use crate::output::grouped;
use crate::runs::{FoundRun, Lineage, State};

/// A line for every run, below the one that it comes from.
pub fn lineage(lineage: &Lineage) -> Part {
    let head = Html::names([
        ("run", "训练"),
        ("stage", "阶段"),
        ("from", "来自"),
        ("steps", "步数"),
        ("loss", "损失"),
        ("best", "最低"),
        ("held out", "留出数据"),
        ("state", "状态"),
        ("begun", "开始于"),
    ]);
    let rows = lineage.tree().into_iter().map(|(run, drawn)| row(lineage, run, &drawn));
    let body = match lineage.runs.is_empty() {
        true => Html::paragraph("The models are of no run here.", "这些模型不属于这里的任何训练。"),
        false => Html::table(head, rows),
    };
    Part { id: "lineage", title: Html::both("Lineage", "来历"), body }
}

fn row(lineage: &Lineage, number: usize, drawn: &str) -> Vec<Html> {
    let run = &lineage.runs[number];
    let ((_, best), (held_out, _)) = (run.losses(), run.held_out());
    let loss = |loss: Option<f64>| Html::text(&loss.map_or("–".to_string(), |loss| format!("{loss:.4}")));
    let ends =
        run.history.ends().map_or("–".to_string(), |(first, last)| format!("{first:.4} → {last:.4}"));
    let total = run.total_steps.map_or(String::new(), |total| format!(" / {}", grouped(total)));
    let begun = run.begun.map_or(String::new(), |begun| begun.format("%Y-%m-%d %H:%M").to_string());
    let name =
        [Html::element("span", "tree", Html::text(drawn)), Html::text(&run.path.display().to_string())];
    vec![
        name.into_iter().collect(),
        Html::text(&run.verb()),
        Html::text(&lineage.model_name(number)),
        Html::text(&format!("{}{total}", grouped(run.history.step))),
        Html::text(&ends),
        loss(best),
        loss(held_out),
        state(run),
        Html::text(&begun),
    ]
}

fn state(run: &FoundRun) -> Html {
    match &run.state {
        State::Running => Html::both("running", "进行中"),
        State::Finished => Html::both("finished", "已完成"),
        State::Stopped => Html::both("stopped", "已停止"),
        State::Interrupted => Html::both("interrupted", "已中断"),
        State::Damaged(why) => Html::both(&format!("damaged: {why}"), &format!("已损坏：{why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::{LOG, SETTINGS};

    #[test]
    fn a_run_stands_below_its_parent_with_its_losses_and_a_name_does_not_act() {
        let place = tempfile::tempdir().unwrap();
        let run = |name: &str, settings: &str, log: &str| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.join("training")).unwrap();
            std::fs::write(path.join(SETTINGS), settings).unwrap();
            std::fs::write(path.join(LOG), log).unwrap();
            path
        };
        let steps = "{\"step\":1,\"loss\":4.5}\n{\"step\":2,\"loss\":3.25}\n";
        let base = run("<b>base", "stage = \"pretrain\"\npreset = \"nano\"\n", steps);
        let done = format!("{steps}{{\"event\":\"done\",\"step\":2,\"total_steps\":2}}\n");
        let child =
            run("sft", &format!("stage = \"sft\"\nmodel = {:?}\n", base.display().to_string()), &done);
        let part = lineage(&Lineage::of(vec![FoundRun::open(&child)]));
        let markup = part.body.markup();
        assert_eq!(markup.matches("<tr>").count(), 3, "a head, and the parent is found: {markup}");
        assert!(markup.contains("└ ") && markup.contains("4.5000 → 3.2500"), "{markup}");
        assert!(markup.contains("finished") && markup.contains("已中断"), "{markup}");
        assert!(!markup.contains("<b>base") && markup.contains("&lt;b&gt;base"));
        let none = lineage(&Lineage::of(Vec::new()));
        assert!(none.body.markup().contains("of no run"));
    }
}
