//! The card of a repository: its README.md, whose front matter the hub reads.

use std::fmt::Write;

use serde_json::Value;
use toml::Table;

use super::files::Kind;
use crate::hub::{self, Address, Site};
use crate::output::{bytes, grouped};
use crate::report::{Evaluated, Evaluation, Measure};
use crate::runs::{FoundRun, Kept, beside_defaults};

/// Settings that stand elsewhere in the card, or that say where something lies on this machine and who watched the run.
const ELSEWHERE: [&str; 20] = [
    "stage",
    "out",
    "date",
    "data",
    "model",
    "teacher",
    "tokenizer",
    "model-config",
    "chat-template",
    "process-data",
    "keep-data",
    "config",
    "like",
    "device",
    "tensorboard",
    "wandb",
    "csv",
    "metrics-port",
    "sample-every",
    "sample-prompt",
];

/// What a card is made of.
pub struct About<'a> {
    /// `owner/name`.
    pub repo: &'a str,
    /// What the repository holds.
    pub kind: Kind,
    /// The licence, as the hub names it.
    pub license: Option<&'a str>,
    /// The model that it was made of, where that is on the hub.
    pub base: Option<&'a str>,
    /// The model's settings.
    pub config: &'a Value,
    /// How many parameters the files hold.
    pub parameters: Option<u64>,
    /// Bytes of all files.
    pub size: u64,
    /// The run, where one lies there.
    pub run: Option<&'a FoundRun>,
    /// What the run kept.
    pub kept: &'a Kept,
    /// What was measured of it.
    pub evaluated: &'a Evaluated,
    /// What settings are where nobody says anything.
    pub defaults: &'a Table,
}

/// The card's text.
pub fn card(about: &About) -> String {
    let mut text = front_matter(about);
    let name = about.repo.split('/').next_back().unwrap_or(about.repo);
    let what = match about.kind {
        Kind::Model => "language model",
        Kind::Adapter => "LoRA adapter",
    };
    let _ = writeln!(text, "# {name}\n\nA {what} trained with Kindling.\n");
    text.push_str(&facts(about));
    text.push_str(&evaluation(about));
    text.push_str(&settings(about));
    text.push_str(&usage(about));
    text
}

/// A text as YAML reads it; JSON is a part of YAML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn front_matter(about: &About) -> String {
    let mut text = String::from("---\n");
    let mut key = |name: &str, value: &str| {
        let space = if value.starts_with('\n') { "" } else { " " };
        let _ = writeln!(text, "{name}:{space}{value}");
    };
    let library = if about.kind == Kind::Model { "transformers" } else { "peft" };
    key("library_name", library);
    if let Some(license) = about.license {
        key("license", &quoted(license));
    }
    if let Some(base) = about.base {
        key("base_model", &quoted(base));
    }
    if !is_diffusion(about) {
        key("pipeline_tag", "text-generation");
    }
    let sets: Vec<String> = data(about).iter().filter_map(|name| on_the_hub(name)).collect();
    let list =
        |items: &[String]| items.iter().map(|item| format!("\n- {}", quoted(item))).collect::<String>();
    if !sets.is_empty() {
        key("datasets", &list(&sets));
    }
    let verb = about.run.map(|run| run.verb().replace(" --", "-"));
    let diffusion = is_diffusion(about).then(|| "diffusion".to_string());
    let tags: Vec<String> = ["kindling".to_string()].into_iter().chain(verb).chain(diffusion).collect();
    key("tags", &list(&tags));
    text.push_str(&index(about));
    text.push_str("---\n\n");
    text
}

/// Whether the model fills masks.
fn is_diffusion(about: &About) -> bool {
    let is_llada = about.config["model_type"].as_str().is_some_and(|kind| kind.starts_with("llada"));
    is_llada || about.config["objective"] == "masked-diffusion"
}

/// The results as the hub's tables read them.
fn index(about: &About) -> String {
    let named = |result: &Evaluation| (result.task.clone(), result.measures.clone());
    let results: Vec<(String, Vec<Measure>)> = about.evaluated.results.iter().map(named).collect();
    if results.is_empty() {
        return String::new();
    }
    let mut text = format!("model-index:\n- name: {}\n  results:\n", quoted(about.repo));
    for (task, measures) in results {
        let task = quoted(&task);
        let _ = writeln!(
            text,
            "  - task:\n      type: text-generation\n    dataset:\n      name: {task}\n      type: {task}\n    metrics:"
        );
        for Measure { name, value, .. } in measures {
            let name = quoted(&name);
            let _ = writeln!(text, "    - type: {name}\n      name: {name}\n      value: {value}");
        }
    }
    text
}

/// The data as a card names it: an address whole, a file or a directory by its last name.
fn data(about: &About) -> Vec<String> {
    about.run.map(|run| run.data().into_iter().map(plain).collect()).unwrap_or_default()
}

/// A text without the place that it names on this machine.
fn plain(text: &str) -> String {
    match hub::is_address(text) || !text.contains(['/', '\\']) {
        true => text.to_string(),
        false => {
            let trimmed = text.trim_end_matches(['/', '\\']);
            trimmed.rsplit(['/', '\\']).next().unwrap_or(trimmed).to_string()
        }
    }
}

/// The name of a data set of the hub.
fn on_the_hub(data: &str) -> Option<String> {
    let address = hub::is_address(data).then(|| Address::parse(data).ok())??;
    (address.site == Site::HuggingFace).then_some(address.repo)
}

/// A table of two columns.
fn facts(about: &About) -> String {
    let mut text = String::from("| | |\n|---|---|\n");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | {} |", cell(&value));
    };
    if let Some(count) = about.parameters {
        line("parameters", format!("{} ({} of files)", grouped(count), bytes(about.size)));
    }
    if let Some(kind) = about.config["model_type"].as_str() {
        let number = |key: &str| about.config[key].as_u64().map_or("?".into(), grouped);
        let size = ["num_hidden_layers", "hidden_size", "vocab_size"].map(number);
        line("form", format!("{kind}, {} layers of {}, {} tokens", size[0], size[1], size[2]));
    }
    if let Some(base) = about.base {
        line("made of", base.to_string());
    }
    let Some(run) = about.run else {
        text.push_str("\nNo record of its training lies beside it.\n\n");
        return text;
    };
    line("stage", run.verb());
    let data = data(about);
    line("data", if data.is_empty() { "Kindling's generated example".into() } else { data.join(", ") });
    if let Some(rows) = about.kept.rows {
        line("rows", grouped(rows));
    }
    line("steps", grouped(run.history.step));
    if let Some(tokens) = about.kept.tokens {
        line("tokens read", grouped(tokens));
    }
    if let (Some(last), _) = run.losses() {
        line("last loss", format!("{last:.4}"));
    }
    if let (_, Some(best)) = run.held_out() {
        line("best held-out loss", format!("{best:.4}"));
    }
    text.push('\n');
    text
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn evaluation(about: &About) -> String {
    if about.evaluated.results.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "## Evaluation\n\n| task | questions | measure | value | 95 % interval |\n|---|---|---|---|---|\n",
    );
    for result in &about.evaluated.results {
        for measure in &result.measures {
            let interval = measure.ci95.map_or("–".into(), |(low, high)| format!("{low:.4} – {high:.4}"));
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.4} | {interval} |",
                cell(&result.task),
                result.n.map_or("–".into(), grouped),
                cell(&measure.name),
                measure.value
            );
        }
    }
    text.push('\n');
    text
}

/// The settings that were changed.
fn settings(about: &About) -> String {
    let Some(run) = about.run else { return String::new() };
    let all = beside_defaults(&run.settings, about.defaults);
    let changed: Vec<_> =
        all.iter().filter(|setting| setting.changed && !ELSEWHERE.contains(&setting.name.as_str())).collect();
    if changed.is_empty() {
        return String::new();
    }
    let mut text =
        String::from("## Settings\n\nOthers are Kindling's defaults.\n\n| setting | value |\n|---|---|\n");
    for setting in changed {
        // Each by itself: a place may have blanks in its name.
        let value = match run.settings.get(&setting.name) {
            Some(toml::Value::Array(values)) => {
                values.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), plain)).collect()
            }
            _ => vec![plain(&setting.value)],
        };
        let _ = writeln!(text, "| {} | {} |", cell(&setting.name), cell(&value.join(" ")));
    }
    text.push('\n');
    text
}

fn usage(about: &About) -> String {
    let repo = about.repo;
    match about.kind {
        Kind::Model => format!("## Use\n\n```sh\nkindling chat --model hub:{repo}\n```\n"),
        Kind::Adapter => {
            let base = about.base.unwrap_or("BASE");
            format!("## Use\n\n```sh\nkindling chat --model hub:{base} --adapter hub:{repo}\n```\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(place: &std::path::Path) -> FoundRun {
        let training = place.join("training");
        std::fs::create_dir_all(&training).unwrap();
        let settings = "stage = \"sft\"\ndata = [\"/home/me/secret/chats.jsonl\", \"hub:owner/rows/a.jsonl\"]\n\
            epochs = 3.0\nbatch-size = 8\nval-data = [\"/home/Jane Doe/my rows.jsonl\", \"/home/b.jsonl\"]\n\
            csv = \"m.csv\"\nsample-prompt = [\"Whom did Jane ask?\"]\nrewards = \"/home/me/r|x.json\"\nmodel = \"/home/me/base\"\nout = \"/home/me/o\"\n";
        std::fs::write(training.join("settings.toml"), settings).unwrap();
        std::fs::write(place.join("log.jsonl"), "{\"step\":5,\"loss\":1.23456}\n").unwrap();
        FoundRun::open(place)
    }

    #[test]
    fn a_card_tells_of_the_run_and_of_no_place_of_this_machine() {
        let place = tempfile::tempdir().unwrap();
        let run = run(place.path());
        let measure =
            Measure { name: "accuracy".into(), value: 0.25, ci95: Some((0.2, 0.3)), is_share: true };
        let result = Evaluation {
            task: "ceval".into(),
            n: Some(1346),
            measures: vec![measure],
            ..Evaluation::default()
        };
        let evaluated = Evaluated { results: vec![result], ..Evaluated::default() };
        let text = card(&About {
            repo: "me/talk",
            kind: Kind::Model,
            license: Some("apache-2.0"),
            base: Some("owner/base"),
            config: &serde_json::json!({"model_type": "qwen3", "num_hidden_layers": 4, "hidden_size": 128, "vocab_size": 6400}),
            parameters: Some(1_500_000),
            size: 6_000_000,
            run: Some(&run),
            kept: &Kept { rows: Some(12_000), ..Kept::default() },
            evaluated: &evaluated,
            defaults: &"epochs = 2\nbatch-size = 8".parse().unwrap(),
        });
        let expected = "---\nlibrary_name: transformers\nlicense: \"apache-2.0\"\nbase_model: \"owner/base\"\n\
            pipeline_tag: text-generation\ndatasets:\n- \"owner/rows\"\ntags:\n- \"kindling\"\n- \"sft\"\nmodel-index:\n\
            - name: \"me/talk\"\n  results:\n  - task:\n      type: text-generation\n    dataset:\n      name: \"ceval\"\n      \
            type: \"ceval\"\n    metrics:\n    - type: \"accuracy\"\n      name: \"accuracy\"\n      value: 0.25\n---\n\n# talk\n";
        assert!(text.starts_with(expected), "{text}");
        for told in [
            "| parameters | 1,500,000 (6.0 MB of files) |",
            "| form | qwen3, 4 layers of 128, 6,400 tokens |",
            "| data | chats.jsonl, hub:owner/rows/a.jsonl |",
            "| rows | 12,000 |",
            "| last loss | 1.2346 |",
            "| ceval | 1,346 | accuracy | 0.2500 | 0.2000 – 0.3000 |",
            "| epochs | 3.0 |",
            "| rewards | r\\|x.json |",
            "| val-data | my rows.jsonl b.jsonl |",
            "kindling chat --model hub:me/talk",
        ] {
            assert!(text.contains(told), "{told} in {text}");
        }
        assert!(
            ["/home", "secret", "batch-size", "Jane", "m.csv"].iter().all(|part| !text.contains(part)),
            "{text}"
        );
    }

    #[test]
    fn an_adapter_without_a_run_says_so() {
        let text = card(&About {
            repo: "me/ad",
            kind: Kind::Adapter,
            license: None,
            base: Some("me/base"),
            config: &Value::Null,
            parameters: None,
            size: 0,
            run: None,
            kept: &Kept::default(),
            evaluated: &Evaluated::default(),
            defaults: &Table::new(),
        });
        assert!(text.starts_with("---\nlibrary_name: peft\nbase_model: \"me/base\"\n"), "{text}");
        assert!(text.contains("No record of its training") && text.contains("--adapter hub:me/ad"), "{text}");
    }
}
