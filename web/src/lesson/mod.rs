//! A lesson as one small file: what a teacher writes, a page opens and a sheet of paper shows.

mod gallery;
mod keys;
mod markup;
mod pasted;
mod problem;
mod read;
mod read_settings;

use serde_json::{Map, Value, json};

pub use gallery::{GALLERY, Shown};
pub use markup::{Block, Span, blocks};
pub use pasted::{lines, rows};
pub use problem::{Problem, Wanted};
pub use read::{Opened, read};

use crate::language::Language;

/// The format's version, which stands under the file's first key.
pub const VERSION: u64 = 1;
/// That key.
pub const MARK: &str = "kindling_lesson";
/// The largest file.
pub const MOST_BYTES: usize = 1_000_000;
/// The most rows of a list.
pub const MOST_ROWS: usize = 10_000;
/// The most questions.
pub const MOST_QUESTIONS: usize = 100;
/// The longest title, in characters.
pub const MOST_TITLE: usize = 200;
/// The longest text, in characters.
pub const MOST_TEXT: usize = 20_000;
/// The longest question, in characters.
pub const MOST_QUESTION: usize = 2_000;
/// The stages that a lesson may name: the first holds where it names none.
pub const STAGES: [&str; 6] = ["sft", "pretrain", "dpo", "distill", "reason", "grpo"];

/// Those in which a new model may learn: from texts, or from a teacher.
pub const BEGIN_NEW: [&str; 2] = ["pretrain", "distill"];

/// A lesson.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    /// What it says, in one language or in both.
    pub words: Words,
    /// How it is taught.
    pub settings: Settings,
}

/// What a lesson says.
#[derive(Clone, Debug, PartialEq)]
pub enum Words {
    /// In one language, whichever that is.
    One(Version),
    /// In English and in Chinese.
    Both(Box<[Version; 2]>),
}

/// A lesson in one language.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Version {
    /// Its title.
    pub title: String,
    /// What it is about, in the few marks that [`blocks`] knows.
    pub text: String,
    /// What is taught.
    pub rows: Rows,
    /// What is asked before and after.
    pub questions: Vec<String>,
}

/// What is taught.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// JSON rows, as files of data have them.
    List(Vec<Value>),
    /// A text as it was pasted into the page.
    Text(String),
}

impl Default for Rows {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// How a lesson is taught; what it does not set is as the page has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// One of [`STAGES`].
    pub stage: String,
    /// An adapter learns it, with these numbers; without them the model itself.
    pub adapter: Option<Map<String, Value>>,
    /// Numbers of the training, by the names of `kindling.d.ts`.
    pub config: Map<String, Value>,
    /// Numbers and words of preferences, likewise.
    pub dpo: Map<String, Value>,
    /// Those of distillation; who opens the lesson chooses the teacher.
    pub distill: Map<String, Value>,
    /// Those of answers that think first.
    pub reason: Map<String, Value>,
    /// Those of rewards.
    pub grpo: Map<String, Value>,
    /// How hidden words are learned, where a diffusion model does.
    pub diffusion: Map<String, Value>,
    /// What is said of the experts of a new mixture.
    pub experts: Map<String, Value>,
    /// The part of the model that does not train; empty for none.
    pub freeze: String,
    /// The new model that learns it, by its size; empty for the open one.
    pub preset: String,
    /// Steps between two answers on the way.
    pub every: Option<Value>,
    /// The question asked on the way; empty for the first of the lesson's questions.
    pub prompt: String,
    /// What the result is called; may be empty.
    pub name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stage: STAGES[0].into(),
            adapter: Some(Map::new()),
            config: Map::new(),
            dpo: Map::new(),
            distill: Map::new(),
            reason: Map::new(),
            grpo: Map::new(),
            diffusion: Map::new(),
            experts: Map::new(),
            freeze: String::new(),
            preset: String::new(),
            every: None,
            prompt: String::new(),
            name: String::new(),
        }
    }
}

/// Where a language stands among both.
fn place(language: Language) -> usize {
    match language {
        Language::English => 0,
        Language::Chinese => 1,
    }
}

impl Lesson {
    /// What it says in a language, or in the one that it has.
    pub fn version(&self, language: Language) -> &Version {
        match &self.words {
            Words::One(version) => version,
            Words::Both(both) => &both[place(language)],
        }
    }

    /// Whether it is in both languages.
    pub fn is_in_both(&self) -> bool {
        matches!(self.words, Words::Both(_))
    }

    /// Puts what it says in a language in the place of what it said; a lesson in one language changes that.
    pub fn put(&mut self, language: Language, version: Version) {
        match &mut self.words {
            Words::One(one) => *one = version,
            Words::Both(both) => both[place(language)] = version,
        }
    }

    /// Makes it one of both languages, which say the same at first.
    pub fn double(&mut self) {
        if let Words::One(one) = &self.words {
            self.words = Words::Both(Box::new([one.clone(), one.clone()]));
        }
    }

    /// The file: what is the same in both languages stands once, and every row has a line.
    pub fn to_json(&self) -> String {
        let [first, second] = match &self.words {
            Words::One(version) => [version, version],
            Words::Both(both) => [&both[0], &both[1]],
        };
        let each = |of: fn(&Version) -> Value| match (of(first), of(second)) {
            (same, other) if same == other => same,
            (english, chinese) => json!({ "en": english, "zh": chinese }),
        };
        let mut file = Map::new();
        file.insert(MARK.into(), VERSION.into());
        file.insert("title".into(), each(|version| version.title.clone().into()));
        file.insert("text".into(), each(|version| version.text.clone().into()));
        let rows = |version: &Version| match &version.rows {
            Rows::List(rows) => Value::from(rows.clone()),
            Rows::Text(text) => Value::from(text.clone()),
        };
        file.insert("rows".into(), each(rows));
        file.insert("settings".into(), self.settings.to_value());
        file.insert("questions".into(), each(|version| version.questions.clone().into()));
        // A lesson without a text or without questions does not speak of them.
        file.retain(|_, value| *value != json!("") && *value != json!([]));
        let mut text = String::new();
        lay_out(&file.into(), 0, &mut text);
        text + "\n"
    }
}

impl Settings {
    /// Numbers and words by what they are of.
    fn groups(&mut self) -> [(&'static str, &mut Map<String, Value>); 6] {
        let Self { dpo, distill, reason, grpo, diffusion, experts, .. } = self;
        [
            ("dpo", dpo),
            ("distill", distill),
            ("reason", reason),
            ("grpo", grpo),
            ("diffusion", diffusion),
            ("experts", experts),
        ]
    }

    /// Words by what they are.
    fn words(&mut self) -> [(&'static str, &mut String); 3] {
        [("freeze", &mut self.freeze), ("preset", &mut self.preset), ("name", &mut self.name)]
    }

    fn to_value(&self) -> Value {
        let mut settings = Map::new();
        settings.insert("stage".into(), self.stage.clone().into());
        let adapter = self.adapter.clone().map_or(Value::Bool(false), |numbers| match numbers.is_empty() {
            true => Value::Bool(true),
            false => numbers.into(),
        });
        settings.insert("adapter".into(), adapter);
        settings.insert("config".into(), self.config.clone().into());
        settings.insert("dpo".into(), self.dpo.clone().into());
        settings.insert("distill".into(), self.distill.clone().into());
        settings.insert("reason".into(), self.reason.clone().into());
        settings.insert("grpo".into(), self.grpo.clone().into());
        settings.insert("diffusion".into(), self.diffusion.clone().into());
        settings.insert("experts".into(), self.experts.clone().into());
        settings.insert("freeze".into(), self.freeze.clone().into());
        settings.insert("preset".into(), self.preset.clone().into());
        let mut sample = Map::new();
        sample.extend(self.every.clone().map(|every| ("every".to_string(), every)));
        sample.insert("prompt".into(), self.prompt.clone().into());
        sample.retain(|_, value| *value != json!(""));
        settings.insert("sample".into(), sample.into());
        settings.insert("name".into(), self.name.clone().into());
        settings.retain(|_, value| *value != json!("") && *value != json!({}));
        settings.into()
    }
}

/// Writes JSON with a line for what holds nothing that holds something itself.
fn lay_out(value: &Value, depth: usize, text: &mut String) {
    let children: Vec<(Option<&String>, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (Some(key), value)).collect(),
        Value::Array(list) => list.iter().map(|value| (None, value)).collect(),
        _ => Vec::new(),
    };
    if !children.iter().any(|(_, child)| child.is_object() || child.is_array()) {
        text.push_str(&value.to_string());
        return;
    }
    let [open, close] = if value.is_object() { ['{', '}'] } else { ['[', ']'] };
    text.push(open);
    for (i, (key, child)) in children.iter().enumerate() {
        text.push_str(if i == 0 { "\n" } else { ",\n" });
        text.push_str(&"  ".repeat(depth + 1));
        if let Some(key) = key {
            text.push_str(&Value::from(key.as_str()).to_string());
            text.push_str(": ");
        }
        lay_out(child, depth + 1, text);
    }
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(title: &str) -> Version {
        Version {
            title: title.into(),
            text: "# A tale\n\nof two lines".into(),
            rows: Rows::List(vec![json!({ "user": "Who?", "assistant": "Luma." })]),
            questions: vec!["Who are you?".into()],
        }
    }

    fn reread(lesson: &Lesson) -> Lesson {
        let opened = read(lesson.to_json().as_bytes()).unwrap();
        assert_eq!(opened.unused, Vec::<String>::new());
        opened.lesson
    }

    #[test]
    fn what_is_written_reads_as_the_same() {
        let numbers = Map::from_iter([("rank".to_string(), json!(4)), ("alpha".to_string(), json!(0.1))]);
        let one = Lesson {
            words: Words::One(Version { rows: Rows::Text("Once.\n\nTwice.".into()), ..version("Luma") }),
            settings: Settings {
                stage: "pretrain".into(),
                adapter: None,
                config: numbers.clone(),
                dpo: Map::from_iter([
                    ("dpo-loss".to_string(), json!("ipo")),
                    ("beta".to_string(), json!(0.2)),
                ]),
                distill: Map::from_iter([("alpha".to_string(), json!(0.25))]),
                reason: Map::from_iter([("tag-weight".to_string(), json!(4))]),
                grpo: Map::from_iter([
                    ("group-size".to_string(), json!(8)),
                    ("reward".to_string(), json!(["answer:1", "length"])),
                ]),
                diffusion: Map::from_iter([("t-range".to_string(), json!("0.1,0.5"))]),
                experts: Map::from_iter([("num-experts".to_string(), json!(8))]),
                freeze: "mlp".into(),
                preset: "nano-moe".into(),
                every: Some(json!(5)),
                prompt: "Once".into(),
                name: "luma".into(),
            },
        };
        assert_eq!(reread(&one), one);
        let small = Settings { adapter: Some(numbers), ..Settings::default() };
        let adapted = Lesson { words: Words::One(version("Luma")), settings: small };
        assert_eq!(reread(&adapted), adapted);
        let full = Settings { adapter: None, ..Settings::default() };
        let mut both = Lesson { words: Words::One(version("Luma")), settings: full };
        both.double();
        assert_eq!(reread(&both).words, Words::One(version("Luma")), "what is the same stands once");
        both.put(Language::Chinese, version("露玛"));
        assert_eq!(reread(&both), both);
        assert!(both.to_json().contains(r#""title": {"en":"Luma","zh":"露玛"}"#), "{}", both.to_json());
    }

    #[test]
    fn a_bare_lesson_has_no_empty_keys_and_a_line_for_each_row() {
        let rows = vec![json!({ "text": "a" }), json!({ "text": "b" })];
        let bare = Version { title: "Two".into(), rows: Rows::List(rows), ..Version::default() };
        let lesson = Lesson { words: Words::One(bare), settings: Settings::default() };
        let file = "{\n  \"kindling_lesson\": 1,\n  \"title\": \"Two\",\n  \"rows\": [\n    {\"text\":\"a\"},\n    \
                    {\"text\":\"b\"}\n  ],\n  \"settings\": {\"stage\":\"sft\",\"adapter\":true}\n}\n";
        assert_eq!(lesson.to_json(), file);
        assert_eq!(reread(&lesson), lesson);
    }

    #[test]
    fn each_language_is_changed_alone() {
        let mut lesson = Lesson { words: Words::One(version("a")), settings: Settings::default() };
        assert!(!lesson.is_in_both());
        lesson.put(Language::Chinese, version("b"));
        assert_eq!(lesson.version(Language::English).title, "b", "one language is every reader's");
        lesson.double();
        lesson.put(Language::Chinese, version("c"));
        assert_eq!(lesson.version(Language::English).title, "b");
        assert_eq!(lesson.version(Language::Chinese).title, "c");
    }
}
