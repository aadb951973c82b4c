//! The settings of runs: what was changed first, and of two runs what differs.

use super::{Html, Part};
use crate::runs::{Line, Setting};

/// The settings in which two runs differ.
#[derive(Clone, Debug)]
pub struct Differing {
    /// The runs' names.
    pub names: Vec<String>,
    /// What differs, with each run's value.
    pub lines: Vec<Line>,
    /// How many settings are the same.
    pub equal: usize,
}

/// All settings of runs by their names, those that differ between two of them first.
pub fn settings(runs: &[(String, Vec<Setting>)], differing: Option<&Differing>) -> Part {
    let mut body = differing.map(between).unwrap_or_default();
    body.push(runs.iter().map(|(name, settings)| of_run(name, settings)).collect());
    Part { id: "settings", title: Html::both("Settings", "设置"), body }
}

fn between(Differing { names, lines, equal }: &Differing) -> Html {
    let mut all = Html::element("h3", "", Html::both("What differs", "不同之处"));
    let head = [Html::both("setting", "设置")].into_iter().chain(names.iter().map(|name| Html::text(name)));
    let value = |value: &Option<String>| Html::text(value.as_deref().unwrap_or("–"));
    let rows = lines.iter().map(|(name, values)| {
        [Html::text(name)].into_iter().chain(values.iter().map(value)).collect::<Vec<_>>()
    });
    all.push(Html::table(head.collect(), rows));
    all.push(Html::paragraph(
        &format!("{equal} settings are the same."),
        &format!("其余 {equal} 项设置相同。"),
    ));
    all
}

fn of_run(name: &str, settings: &[Setting]) -> Html {
    let mut all = Html::element("h3", "", Html::text(name));
    if settings.is_empty() {
        all.push(Html::paragraph("Unknown: they cannot be read.", "未知：无法读取。"));
        return all;
    }
    let (changed, others): (Vec<&Setting>, Vec<&Setting>) =
        settings.iter().partition(|setting| setting.changed);
    let row = |setting: &&Setting| {
        let default = setting.default.as_deref().unwrap_or("–");
        vec![Html::text(&setting.name), Html::text(&setting.value), Html::text(default)]
    };
    let head = Html::names([("changed", "已更改"), ("value", "值"), ("default", "默认值")]);
    all.push(match changed.is_empty() {
        true => Html::paragraph("Nothing but the defaults.", "全部为默认值。"),
        false => Html::table(head, changed.iter().map(row)),
    });
    let row = |setting: &&Setting| vec![Html::text(&setting.name), Html::text(&setting.value)];
    let count = others.len();
    let name = Html::both(&format!("{count} more settings"), &format!("其余 {count} 项设置"));
    let others = Html::table(Html::names([("setting", "设置"), ("value", "值")]), others.iter().map(row));
    all.push(Html::folded(name, others));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_stands_first_and_what_differs_before_all() {
        let setting = |name: &str, value: &str, changed: bool| Setting {
            name: name.into(),
            value: value.into(),
            default: (!changed).then(|| value.into()),
            changed,
        };
        let own = vec![setting("batch-size", "8", false), setting("epochs", "<3>", true)];
        let differing = Differing {
            names: vec!["a".into(), "b".into()],
            lines: vec![("epochs".into(), vec![Some("3".into()), None])],
            equal: 7,
        };
        let part = settings(&[("runs/a".into(), own)], Some(&differing));
        let markup = part.body.markup();
        let place = |text: &str| markup.find(text).unwrap_or_else(|| panic!("{text} in {markup}"));
        assert!(place("What differs") < place("runs/a"));
        assert!(place("7 settings are the same") < place("&lt;3&gt;"));
        assert!(place("&lt;3&gt;") < place("batch-size"), "changed ones first");
        let unread = settings(&[("runs/b".into(), Vec::new())], None);
        assert!(unread.body.markup().contains("无法读取") && !unread.body.markup().contains("defaults"));
        assert!(place("<details>") < place("batch-size") && !markup.contains("<3>"));
        let same = settings(&[("b".into(), vec![setting("x", "1", false)])], None);
        assert!(same.body.markup().contains("Nothing but the defaults"));
    }
}
