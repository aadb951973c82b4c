//! What runs trained on: files, rows, the fingerprint, and what was odd.

use super::{Html, Part};
use crate::output::{bytes, grouped};
use crate::runs::Kept;

/// What a run trained on.
#[derive(Clone, Debug)]
pub struct RunData {
    /// The run's name.
    pub name: String,
    /// Its data as it was named, with the bytes of what is a file here now; `None` where its settings cannot be read.
    pub files: Option<Vec<(String, Option<u64>)>>,
    /// What it keeps of it.
    pub kept: Kept,
    /// What it warned of while it trained.
    pub warnings: Vec<String>,
}

/// The data of all runs.
pub fn data(runs: &[RunData]) -> Part {
    let body = runs.iter().map(of_run).collect();
    Part { id: "data", title: Html::both("Data", "数据"), body }
}

fn of_run(run: &RunData) -> Html {
    let kept = &run.kept;
    let mut all = Html::element("h3", "", Html::text(&run.name));
    let unknown = || Html::both("not recorded", "未记录");
    let count = |count: Option<u64>| count.map_or_else(unknown, |count| Html::text(&grouped(count)));
    let hash = |hash: &String| Html::element("span", "hash", Html::text(hash));
    let mut rows = vec![
        vec![Html::both("files", "文件"), files(run)],
        vec![Html::both("rows", "行数"), count(kept.rows)],
        vec![Html::both("full passes", "完整遍数"), count(kept.passes)],
        vec![
            Html::both("fingerprint of the rows", "数据指纹"),
            kept.fingerprint.as_ref().map_or_else(unknown, hash),
        ],
    ];
    let drawn = kept.drawn.iter();
    rows.extend(drawn.map(|(name, rows)| {
        vec![
            Html::both(&format!("rows read of {name}"), &format!("读取自 {name} 的行数")),
            Html::text(&grouped(*rows)),
        ]
    }));
    rows.extend(kept.rows_by_fate.iter().map(|(fate, rows)| vec![named(fate), Html::text(&grouped(*rows))]));
    all.push(Html::table(Html::names([("", ""), ("", "")]), rows));
    let sentences: Vec<&String> = kept.odd.iter().chain(&run.warnings).chain(&kept.unread).collect();
    if !sentences.is_empty() {
        all.push(Html::paragraph("Warnings:", "警告："));
        let items = sentences.into_iter().map(|told| Html::element("li", "", Html::text(told)));
        all.push(Html::element("ul", "", items.collect()));
    }
    all
}

fn files(run: &RunData) -> Html {
    let line = |(name, size): &(String, Option<u64>)| {
        let size = size.map_or(String::new(), |size| format!(" ({})", bytes(size)));
        Html::element("div", "", Html::text(&format!("{name}{size}")))
    };
    match run.files.as_deref() {
        None => Html::both("unknown: the settings cannot be read", "未知：无法读取设置"),
        Some([]) => Html::both("the generated example", "自带的示例数据"),
        Some(files) => files.iter().map(line).collect(),
    }
}

/// What became of rows that were not trained on as they are.
fn named(fate: &str) -> Html {
    let chinese = match fate {
        "cut" => "截断的行",
        "too long or without an answer" => "过长或没有回答而略去的行",
        "refused by the template" => "模板拒绝的行",
        "unusable" => "无法使用的行",
        "duplicates" => "重复的行",
        "outside of the lengths" => "长度不合要求的行",
        "in other languages" => "其他语言的行",
        other => other,
    };
    Html::both(&format!("rows: {fate}"), chinese)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_told_and_what_is_not_is_said_to_be_unknown() {
        let kept = Kept {
            rows: Some(12_000),
            fingerprint: Some("ab12".into()),
            rows_by_fate: [("cut", 7)].into(),
            drawn: [("<a>".to_string(), 5)].into(),
            odd: vec!["3 rows: <empty> turns".into()],
            ..Kept::default()
        };
        let run = RunData {
            name: "r".into(),
            files: Some(vec![("chat.jsonl".into(), Some(2_500_000)), ("hub:a/b".into(), None)]),
            kept,
            warnings: vec!["slow".into()],
        };
        let part = data(&[run]);
        let markup = part.body.markup();
        for told in [
            "12,000",
            "ab12",
            "chat.jsonl (2.5 MB)",
            "hub:a/b",
            "截断的行",
            "&lt;empty&gt;",
            "&lt;a&gt;",
            "<li>slow</li>",
        ] {
            assert!(markup.contains(told), "{told} in {markup}");
        }
        assert!(markup.contains("not recorded"), "the passes are not known");
        assert!(!markup.contains("<empty>") && !markup.contains("<a>"));
        let bare = RunData {
            name: "x".into(),
            files: Some(Vec::new()),
            kept: Kept::default(),
            warnings: Vec::new(),
        };
        let part = data(std::slice::from_ref(&bare));
        assert!(part.body.markup().contains("自带的示例数据") && !part.body.markup().contains("Warnings"));
        let part = data(&[RunData { files: None, ..bare }]);
        let unknown = part.body.markup();
        assert!(unknown.contains("未知：无法读取设置") && !unknown.contains("自带的示例数据"), "{unknown}");
    }
}
