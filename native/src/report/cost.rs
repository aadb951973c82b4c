//! What runs took, and the machines that it took it of.

use super::{Html, Part};
use crate::output::{bytes, duration, grouped};
use crate::runs::{FoundRun, Kept};
use crate::sessions::Session;

/// Time, tokens, speed and memory of runs and of all together.
pub fn cost(runs: &[(&FoundRun, &Kept)]) -> Part {
    let head = Html::names([
        ("run", "训练"),
        ("steps", "步数"),
        ("time", "时间"),
        ("tokens", "词元"),
        ("tokens/s", "词元/秒"),
        ("peak memory", "内存峰值"),
    ]);
    let row = |(run, kept): &(&FoundRun, &Kept)| {
        let (name, seconds) = (run.path.display().to_string(), run.history.seconds);
        cells(Html::text(&name), run.history.step, seconds, kept.tokens, kept.peak_memory())
    };
    let mut rows: Vec<Vec<Html>> = runs.iter().map(row).collect();
    if runs.len() > 1 {
        let (steps, seconds) =
            (runs.iter().map(|(run, _)| run.history.step), runs.iter().map(|(run, _)| run.history.seconds));
        let tokens: Option<u64> = runs.iter().map(|(_, kept)| kept.tokens).sum();
        let peak = runs.iter().filter_map(|(_, kept)| kept.peak_memory()).max();
        rows.push(cells(Html::both("all together", "合计"), steps.sum(), seconds.sum(), tokens, peak));
    }
    let mut body = Html::table(head, rows);
    body.push(Html::paragraph(
        "Time is that of training steps and what belongs to them, all processes of a run together; tokens are without \
         padding. Peak memory is the most that the process held of the machine's memory, not of a graphics card's.",
        "时间为训练步骤及其附属工作的用时，一次训练的所有进程合计；词元不含填充。内存峰值指进程占用的主机内存，不含显卡内存。",
    ));
    Part { id: "cost", title: Html::both("Cost", "成本"), body }
}

fn cells(name: Html, steps: u64, seconds: f64, tokens: Option<u64>, peak: Option<u64>) -> Vec<Html> {
    let known = |text: Option<String>| {
        text.map_or_else(|| Html::both("not recorded", "未记录"), |text| Html::text(&text))
    };
    let speed =
        tokens.filter(|_| seconds > 0.0).map(|tokens| grouped((tokens as f64 / seconds).round() as u64));
    vec![
        name,
        Html::text(&grouped(steps)),
        Html::text(&duration(seconds)),
        known(tokens.map(grouped)),
        known(speed),
        known(peak.map(bytes)),
    ]
}

/// The machines of runs; `here` is the one that the report was written on, where models wrote for it.
pub fn machine(runs: &[(&FoundRun, &Kept)], here: Option<&Session>) -> Part {
    let head = Html::names([
        ("run", "训练"),
        ("steps", "步数"),
        ("begun", "开始于"),
        ("device", "设备"),
        ("processor", "处理器"),
        ("threads", "线程"),
        ("memory", "内存"),
        ("system", "系统"),
        ("version", "版本"),
    ]);
    let mut rows = Vec::new();
    for (run, kept) in runs {
        let name = Html::text(&run.path.display().to_string());
        rows.extend(kept.sessions.iter().map(|session| {
            let steps = format!("{}–{}", grouped(session.from_step + 1), grouped(session.to_step));
            of_session(name.clone(), Html::text(&steps), session)
        }));
        if kept.sessions.is_empty() {
            rows.push(vec![name, Html::both("not recorded", "未记录")]);
        }
    }
    if let Some(here) = here {
        rows.push(of_session(Html::both("this report", "本报告"), Html::both("samples", "样例"), here));
    }
    Part { id: "machine", title: Html::both("Machine", "机器"), body: Html::table(head, rows) }
}

fn of_session(name: Html, steps: Html, session: &Session) -> Vec<Html> {
    let device = match &session.device_name {
        Some(name) => format!("{} ({name})", session.device),
        None => session.device.clone(),
    };
    // To the minute, without the offset of the clock.
    let begun = session.begun.get(..16).unwrap_or(&session.begun).replace('T', " ");
    vec![
        name,
        steps,
        Html::text(&begun),
        Html::text(&device),
        Html::text(session.processor.as_deref().unwrap_or("–")),
        Html::text(&session.threads.to_string()),
        Html::text(&bytes(session.memory_bytes)),
        Html::text(&session.system),
        Html::text(&session.version),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::{LOG, SETTINGS};

    fn session(from_step: u64, to_step: u64) -> Session {
        Session {
            begun: "2026-11-28T09:30:15.5+00:00".into(),
            version: "0.1.0".into(),
            system: "linux x86_64".into(),
            processor: Some("A <fast> one".into()),
            threads: 2,
            memory_bytes: 8_000_000_000,
            device: "cpu".into(),
            device_name: None,
            from_step,
            to_step,
            peak_memory_bytes: Some(512_000_000),
        }
    }

    #[test]
    fn costs_are_added_up_and_machines_named() {
        let place = tempfile::tempdir().unwrap();
        let run = |name: &str, seconds: f64| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.join("training")).unwrap();
            std::fs::write(path.join(SETTINGS), "stage = \"sft\"\n").unwrap();
            std::fs::write(path.join(LOG), format!("{{\"step\":50,\"loss\":1.0,\"elapsed_s\":{seconds}}}\n"))
                .unwrap();
            FoundRun::open(&path)
        };
        let (one, two) = (run("one", 20.0), run("two", 40.0));
        let kept =
            |tokens: u64, sessions: Vec<Session>| Kept { tokens: Some(tokens), sessions, ..Kept::default() };
        let (first, second) = (kept(1000, vec![session(0, 20), session(20, 50)]), kept(2000, Vec::new()));
        let runs = [(&one, &first), (&two, &second)];
        let part = cost(&runs);
        let markup = part.body.markup();
        // 1000 tokens in 20 s and 2000 in 40 s are 50 a second, and so are both together.
        assert_eq!(markup.matches("<td>50</td>").count(), 2 + 3, "{markup}");
        assert!(
            markup.contains("<td>3,000</td>")
                && markup.contains("<td>1m 00s</td>")
                && markup.contains("512.0 MB")
        );
        assert!(markup.contains("<td>100</td>"), "steps: {markup}");
        let part = machine(&runs, Some(&session(0, 0)));
        let markup = part.body.markup();
        assert!(markup.contains("1–20") && markup.contains("21–50") && markup.contains("this report"));
        assert!(markup.contains("2026-11-28 09:30<") && markup.contains("A &lt;fast&gt; one"));
        assert_eq!(markup.matches("not recorded").count(), 1, "of the second run");
    }
}
