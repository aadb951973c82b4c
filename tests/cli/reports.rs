//! `report`: what stands in the page, that nothing in it acts, and whose place it takes.

use serde_json::Value;

use crate::place::{Place, SHORT};

/// A chain of pretraining, fine-tuning and preferences below `runs`; the middle one has a name that is markup.
fn place() -> Place {
    let place = Place::with_model();
    let pair = |i: usize| {
        format!("{{\"prompt\": \"Is {i} a number?\", \"chosen\": \"It is.\", \"rejected\": \"No idea.\"}}\n")
    };
    place.write("pairs.jsonl", (0..20).map(pair).collect::<String>());
    place.write("<i>rows.jsonl", place.read("chat.jsonl"));
    let new =
        "pretrain --data docs.jsonl --model-config tiny.json --tokenizer tok --val-split 0.1 --eval-every 2";
    place.run(&format!("{new} {SHORT} --out runs/base")).ok();
    let short = "--steps 2 --batch-size 2 --max-seq-len 64 --log-every 1";
    place
        .run(&format!(
            "sft --model runs/base --data <i>rows.jsonl {short} --learning-rate 0.002 --out runs/<b>sft"
        ))
        .ok();
    place.run(&format!("dpo --model runs/<b>sft --data pairs.jsonl {short} --out runs/dpo")).ok();
    place
}

/// Checks that nothing in a page acts or is fetched; gives the page.
fn harmless(place: &Place, file: &str) -> String {
    let html = place.text(file);
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
    for acts in [
        "<script",
        "<i>",
        "<b>",
        "<img",
        "<iframe",
        "<link",
        "http:",
        "https:",
        "url(",
        "javascript:",
        " onerror=",
    ] {
        assert!(!html.contains(acts), "{acts}");
    }
    html
}

/// The part of a page under a name.
fn part<'a>(html: &'a str, id: &str) -> &'a str {
    let begin = html.find(&format!("<section id=\"{id}\">")).unwrap_or_else(|| panic!("no {id}"));
    let rest = &html[begin..];
    &rest[..rest.find("</section>").unwrap()]
}

#[test]
fn a_run_is_reported_on_with_those_that_it_comes_from() {
    let place = place();
    place.write(
        "runs/dpo/eval.jsonl",
        "{\"task\":\"ceval\",\"n\":40,\"correct\":11,\"accuracy\":0.275,\"ci95\":[0.16,0.43]}\nnot json\n",
    );
    place.write("other.jsonl", "{\"task\":\"<i>arc\",\"accuracy\":0.25}\n");
    let told = place.run("report runs/dpo --eval other.jsonl --max-new-tokens 3 --json").ok().result();
    let runs: Vec<&str> = told["runs"].as_array().unwrap().iter().map(|run| run.as_str().unwrap()).collect();
    assert_eq!(runs, ["runs/dpo", "runs/<b>sft", "runs/base"]);
    assert_eq!((told["out"].as_str(), told["evaluations"].as_u64()), (Some("report.html"), Some(2)));
    assert_eq!(told["models"], serde_json::json!(["runs/dpo"]));
    let html = harmless(&place, "report.html");
    let lineage = part(&html, "lineage");
    assert!(
        lineage.contains("└ ") && lineage.contains("runs/&lt;b&gt;sft") && lineage.contains("已完成"),
        "{lineage}"
    );
    let curves = part(&html, "curves");
    let stages: Vec<usize> =
        ["<h3>pretrain", "<h3>sft", "<h3>dpo"].map(|stage| curves.find(stage).unwrap()).into();
    assert!(stages.is_sorted(), "the stages stand in their order");
    assert!(curves.contains(">reward_margin<") && curves.contains("held out"));
    let settings = part(&html, "settings");
    let (changed, rest) = settings.split_at(settings.rfind("<details>").unwrap());
    assert!(
        changed.contains("learning-rate") && changed.contains("0.002") && rest.contains("sft-weight"),
        "{settings}"
    );
    let data = part(&html, "data");
    let fingerprint = place.json("runs/dpo/training/progress.json")["data"].as_str().unwrap().to_string();
    assert!(data.contains(&fingerprint) && data.contains("&lt;i&gt;rows.jsonl"), "{data}");
    assert_eq!(place.json("runs/base/training/data.json")["report"]["usable"], 200);
    let evaluations = part(&html, "evaluations");
    assert!(
        evaluations.contains("27.5 %")
            && evaluations.contains("16.0 % – 43.0 %")
            && evaluations.contains("&lt;i&gt;arc")
    );
    assert!(evaluations.contains("1 line is no result"), "{evaluations}");
    let samples = part(&html, "samples");
    assert_eq!(samples.matches("class=\"answer\"").count() as u64, told["prompts"].as_u64().unwrap());
    assert!(samples.contains("你是谁？") && !samples.contains("<mark>"), "{samples}");
    let cost = part(&html, "cost");
    assert!(cost.contains("all together") && cost.contains("合计"), "{cost}");
    let machine = part(&html, "machine");
    assert!(machine.contains("1–2") && machine.contains("1–3") && machine.contains("cpu"), "{machine}");
    assert!(machine.contains("this report") && !machine.contains("not recorded"), "{machine}");
}

#[test]
fn two_models_write_to_the_same_prompts_and_what_differs_is_marked() {
    let place = place();
    let line =
        "report --model runs/<b>sft --model runs/dpo --out two.html --language zh --max-new-tokens 6 --json";
    let told = place.run(line).ok().result();
    assert_eq!(told["models"], serde_json::json!(["runs/<b>sft", "runs/dpo"]));
    let html = harmless(&place, "two.html");
    assert!(
        html.contains("id=\"language-zh\" aria-label=\"中文\" autocomplete=\"off\" checked"),
        "{}",
        &html[..3000]
    );
    let samples = part(&html, "samples");
    // The questions of a chat model, which both can be asked.
    assert!(
        samples.contains("<th>runs/&lt;b&gt;sft</th><th>runs/dpo</th>") && samples.contains("灯塔"),
        "{samples}"
    );
    assert_eq!(samples.matches("class=\"answer\"").count() as u64, 2 * told["prompts"].as_u64().unwrap());
    let settings = part(&html, "settings");
    assert!(settings.find("What differs").unwrap() < settings.find("<h3>runs/base").unwrap());
    assert!(settings.contains("<td>stage</td><td>sft</td><td>dpo</td>"), "{settings}");
    // A pretrained model beside them goes on from texts, and so do they.
    place.run("report --model runs/base --model runs/dpo --out texts.html --max-new-tokens 3").ok();
    let html = harmless(&place, "texts.html");
    assert!(part(&html, "samples").contains("Once upon a time"));
    place.run("report --model model --model model --model model").expect(2, &["--model is said 3 times"]);
}

#[test]
fn only_a_report_gives_way_and_only_where_that_is_asked_for() {
    let place = place();
    let line = "report runs/base --no-samples --out r.html";
    let told = place.run(&format!("{line} --json")).ok().result();
    assert_eq!((told["prompts"].as_u64(), &told["models"]), (Some(0), &Value::Array(Vec::new())));
    let html = place.text("r.html");
    assert!(!html.contains("id=\"samples\"") && !html.contains("this report"));
    place.run(line).expect(2, &["r.html already holds a report; add --overwrite"]);
    assert_eq!(place.text("r.html"), html);
    place.run(&format!("{line} --overwrite")).ok();
    place.run("runs plot runs/base --out curves.html").ok();
    for out in ["docs.jsonl", "runs/base", "curves.html"] {
        let before = place.contents("runs/base");
        let line = format!("report runs/base --no-samples --overwrite --out {out}");
        place.run(&line).expect(2, &["is no file that `report` wrote"]);
        assert_eq!(place.contents("runs/base"), before);
    }
    assert_eq!(place.text("docs.jsonl").lines().count(), 200);
}

#[test]
fn what_is_not_there_is_named() {
    let place = place();
    place.run("report").expect(2, &["there is nothing to report on"]);
    place.run("report docs.jsonl").expect(2, &["docs.jsonl: there is no run here"]);
    place.run("report --model nowhere").expect(1, &["nowhere"]);
    place
        .run("report runs/base --eval nowhere.jsonl")
        .expect(2, &["--eval nowhere.jsonl: there is no such file"]);
    place.write("none.jsonl", "");
    for file in ["docs.jsonl", "none.jsonl"] {
        let line = format!("report runs/base --no-samples --eval {file}");
        place.run(&line).expect(2, &[&format!("--eval {file}: it holds no result"), "eval --json"]);
    }
    // Where nothing can be written, that is told before a model writes its answers.
    let below = place.run("report runs/base --out docs.jsonl/r.html").expect(1, &["docs.jsonl"]);
    assert!(!below.stderr.contains("writes to"), "{below}");
    assert!(!place.exists("report.html"));
    // A run whose model is gone is reported on without it; one that is asked to write is needed.
    place.remove("runs/dpo/config.json");
    place.run("report runs/dpo --out gone.html").expect(0, &["no samples: runs/dpo: "]);
    assert!(part(&harmless(&place, "gone.html"), "samples").contains("config.json"));
    place.run("report --model runs/dpo --out needed.html").expect(1, &["config.json"]);
    assert!(!place.exists("needed.html"));
    // A model that is no run has samples alone.
    place.remove("model/training");
    place.run("report --model model --max-new-tokens 2 --out alone.html").ok();
    let html = harmless(&place, "alone.html");
    assert!(part(&html, "lineage").contains("of no run") && !html.contains("id=\"curves\""));
    assert!(part(&html, "machine").contains("this report"));
}

#[test]
fn of_a_run_whose_settings_are_damaged_nothing_is_made_up() {
    let place = place();
    place.write("runs/base/training/settings.toml", "no settings");
    place.run("report runs/base --no-samples --out r.html").ok();
    let html = harmless(&place, "r.html");
    assert!(part(&html, "lineage").contains("training/settings.toml is damaged"));
    let (settings, data) = (part(&html, "settings"), part(&html, "data"));
    assert!(settings.contains("they cannot be read") && !settings.contains("Nothing but the defaults"));
    assert!(data.contains("the settings cannot be read") && !data.contains("the generated example"));
}

#[test]
fn a_chain_is_reported_on_by_its_stages() {
    let place = Place::with_model();
    place.write(
        "chain.toml",
        "[[stage]]\nverb = \"pretrain\"\ndata = [\"docs.jsonl\"]\nmodel-config = \"tiny.json\"\ntokenizer = \"tok\"\n\
             steps = 1\nbatch-size = 2\nmax-seq-len = 32\n\n[[stage]]\nverb = \"sft\"\ndata = [\"chat.jsonl\"]\nsteps = 1\n\
             batch-size = 2\nmax-seq-len = 64\n",
    );
    place.run("run chain.toml --out chain").ok();
    let told = place.run("report chain --max-new-tokens 2 --json").ok().result();
    let runs: Vec<&str> = told["runs"].as_array().unwrap().iter().map(|run| run.as_str().unwrap()).collect();
    assert_eq!(runs, ["chain/pretrain", "chain/sft"]);
    assert_eq!(told["models"], serde_json::json!(["chain/sft"]));
}
