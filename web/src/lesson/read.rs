//! Reads a lesson's file: strict in what it takes, and every key that nothing reads is named.

use serde_json::Value;

use super::keys::{Keys, one_line, text_of};
use super::problem::{Problem, Wanted};
use super::read_settings::settings_of;
use super::{
    Lesson, MARK, MOST_BYTES, MOST_QUESTION, MOST_QUESTIONS, MOST_ROWS, MOST_TEXT, MOST_TITLE, Rows, VERSION,
    Version, Words,
};
use crate::language::Language;

/// A file that was read.
#[derive(Debug)]
pub struct Opened {
    /// What it holds.
    pub lesson: Lesson,
    /// Keys that nothing reads, such as `settings.colour`.
    pub unused: Vec<String>,
}

/// Reads a lesson.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn read(bytes: &[u8]) -> Result<Opened, Problem> {
    if bytes.len() > MOST_BYTES {
        return Err(Problem::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Problem::NotJson { line: error.line(), column: error.column() })?;
    let Value::Object(map) = value else { return Err(Problem::NoLesson) };
    let mut file = Keys { path: String::new(), map };
    match file.take(MARK) {
        None => return Err(Problem::NoLesson),
        Some(found) if found != VERSION => {
            return Err(Problem::OtherVersion { found: found.to_string() });
        }
        Some(_) => (),
    }
    let mut unused = Vec::new();
    let title = each(file.needed("title")?, "title", &mut unused, |value, path| {
        text_of(value, path, MOST_TITLE, true)
    })?;
    let rows = each(file.needed("rows")?, "rows", &mut unused, rows_of)?;
    let about = file
        .take("text")
        .map(|value| each(value, "text", &mut unused, |value, path| text_of(value, path, MOST_TEXT, false)));
    let questions = file.take("questions").map(|value| each(value, "questions", &mut unused, questions_of));
    let said = Said {
        title,
        rows,
        text: about.transpose()?.unwrap_or(Each::Same(String::new())),
        questions: questions.transpose()?.unwrap_or(Each::Same(Vec::new())),
    };
    let settings = file.take("settings").map(|value| settings_of(value, &mut unused));
    let settings = settings.transpose()?.unwrap_or_default();
    file.rest(&mut unused);
    Ok(Opened { lesson: Lesson { words: said.words()?, settings }, unused })
}

/// The same in every language, or one for each: English and Chinese.
enum Each<T> {
    Same(T),
    By([Option<T>; 2]),
}

impl<T: Clone> Each<T> {
    fn has(&self, language: usize) -> bool {
        matches!(self, Self::By(both) if both[language].is_some())
    }

    /// What stands there for a language.
    fn pick(&self, language: usize) -> Option<T> {
        match self {
            Self::Same(same) => Some(same.clone()),
            Self::By(both) => both[language].clone(),
        }
    }
}

fn each<T>(
    value: Value,
    path: &str,
    unused: &mut Vec<String>,
    read: impl Fn(Value, &str) -> Result<T, Problem>,
) -> Result<Each<T>, Problem> {
    if !value.is_object() {
        return read(value, path).map(Each::Same);
    }
    let mut keys = Keys::of(value, path)?;
    let mut one = |key: &str| keys.take(key).map(|value| read(value, &format!("{path}.{key}"))).transpose();
    let both = [one("en")?, one("zh")?];
    keys.rest(unused);
    match both {
        [None, None] => Err(Problem::Missing { key: format!("{path}.en") }),
        both => Ok(Each::By(both)),
    }
}

/// What the lesson says, by key and language.
struct Said {
    title: Each<String>,
    rows: Each<Rows>,
    text: Each<String>,
    questions: Each<Vec<String>>,
}

impl Said {
    fn words(&self) -> Result<Words, Problem> {
        let has = |language| {
            let words = self.title.has(language) || self.text.has(language);
            words || self.rows.has(language) || self.questions.has(language)
        };
        Ok(match [has(0), has(1)] {
            [true, true] => Words::Both(Box::new([self.version(0)?, self.version(1)?])),
            [_, chinese] => Words::One(self.version(usize::from(chinese))?),
        })
    }

    fn version(&self, language: usize) -> Result<Version, Problem> {
        let lacks = |key: &str| Problem::LacksLanguage {
            key: key.into(),
            language: if language == 0 { Language::English } else { Language::Chinese },
        };
        Ok(Version {
            title: self.title.pick(language).ok_or_else(|| lacks("title"))?,
            rows: self.rows.pick(language).ok_or_else(|| lacks("rows"))?,
            text: self.text.pick(language).ok_or_else(|| lacks("text"))?,
            questions: self.questions.pick(language).ok_or_else(|| lacks("questions"))?,
        })
    }
}

fn rows_of(value: Value, path: &str) -> Result<Rows, Problem> {
    match value {
        Value::String(text) if text.trim().is_empty() => Err(Problem::Empty { key: path.into() }),
        Value::String(text) => Ok(Rows::Text(text)),
        Value::Array(rows) if rows.is_empty() => Err(Problem::Empty { key: path.into() }),
        Value::Array(rows) if rows.len() > MOST_ROWS => {
            Err(Problem::TooMany { key: path.into(), found: rows.len(), most: MOST_ROWS })
        }
        // What a row must hold is the trainer's to say, by the same code as for every file.
        Value::Array(rows) => match rows.iter().position(|row| !row.is_object() && !row.is_array()) {
            Some(i) => Err(Problem::kind(&format!("{path}[{}]", i + 1), Wanted::Row)),
            None => Ok(Rows::List(rows)),
        },
        _ => Err(Problem::kind(path, Wanted::Rows)),
    }
}

fn questions_of(value: Value, path: &str) -> Result<Vec<String>, Problem> {
    let Value::Array(list) = value else { return Err(Problem::kind(path, Wanted::Questions)) };
    if list.len() > MOST_QUESTIONS {
        return Err(Problem::TooMany { key: path.into(), found: list.len(), most: MOST_QUESTIONS });
    }
    let question = |(i, value): (usize, Value)| {
        text_of(value, &format!("{path}[{}]", i + 1), MOST_QUESTION, true).map(one_line)
    };
    list.into_iter().enumerate().map(question).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lesson::Settings;

    /// A lesson with this in the place of what it had there.
    fn with(key: &str, value: Value) -> Result<Opened, Problem> {
        let mut file = json!({
            "kindling_lesson": 1, "title": "Luma", "rows": [{ "user": "Who?", "assistant": "Luma." }],
        });
        file[key] = value;
        read(file.to_string().as_bytes())
    }

    #[test]
    fn a_lesson_of_one_language_is_everyones() {
        let opened = with("text", json!("Hello")).unwrap();
        let Words::One(version) = &opened.lesson.words else { panic!("{opened:?}") };
        assert_eq!((version.title.as_str(), version.text.as_str()), ("Luma", "Hello"));
        assert_eq!(version.rows, Rows::List(vec![json!({ "user": "Who?", "assistant": "Luma." })]));
        assert_eq!(opened.lesson.settings, Settings::default());
        let chinese = with("title", json!({ "zh": "露玛" })).unwrap().lesson;
        assert_eq!(chinese.version(Language::English).title, "露玛");
    }

    #[test]
    fn both_languages_share_what_stands_once() {
        let lesson = with("title", json!({ "en": "Luma", "zh": "露玛" })).unwrap().lesson;
        let [english, chinese] = [Language::English, Language::Chinese].map(|l| lesson.version(l).clone());
        assert_eq!((english.title.as_str(), chinese.title.as_str()), ("Luma", "露玛"));
        assert_eq!(english.rows, chinese.rows);
        let half = json!({
            "kindling_lesson": 1, "title": { "en": "Luma", "zh": "露玛" }, "rows": { "en": "Once." },
        });
        let lacks = Problem::LacksLanguage { key: "rows".into(), language: Language::Chinese };
        assert_eq!(read(half.to_string().as_bytes()).unwrap_err(), lacks);
    }

    #[test]
    fn unknown_keys_are_named_in_their_order() {
        assert_eq!(with("author", json!("me")).unwrap().unused, ["author"]);
        let settings = json!({ "b": 1, "sample": { "colour": 1 }, "a": 2 });
        assert_eq!(
            with("settings", settings).unwrap().unused,
            ["settings.sample.colour", "settings.b", "settings.a"]
        );
        assert_eq!(with("title", json!({ "en": "Luma", "fr": "Lune" })).unwrap().unused, ["title.fr"]);
    }

    #[test]
    fn what_is_no_lesson_is_told_apart() {
        assert_eq!(read(b"\xff\xfe").unwrap_err(), Problem::NotUtf8);
        assert_eq!(
            read(b"{\n  \"kindling_lesson\": 1,\n}").unwrap_err(),
            Problem::NotJson { line: 3, column: 1 }
        );
        for other in ["[]", "3", "{}", "{\"user\": \"a\"}"] {
            assert_eq!(read(other.as_bytes()).unwrap_err(), Problem::NoLesson, "{other}");
        }
        assert_eq!(with(MARK, json!(2)).unwrap_err(), Problem::OtherVersion { found: "2".into() });
        let large = vec![b' '; MOST_BYTES + 1];
        assert_eq!(read(&large).unwrap_err(), Problem::TooLarge { bytes: MOST_BYTES + 1 });
        assert!(
            read("\u{feff}{\"kindling_lesson\": 1, \"title\": \"a\", \"rows\": \"b\"}".as_bytes()).is_ok()
        );
    }

    #[test]
    fn wrong_values_are_refused_by_their_place() {
        let empty = |key: &str| Problem::Empty { key: key.into() };
        let cases = [
            ("title", json!(null), Problem::Missing { key: "title".into() }),
            ("title", json!(" "), empty("title")),
            ("title", json!({}), Problem::Missing { key: "title.en".into() }),
            ("title", json!({ "en": 3 }), Problem::kind("title.en", Wanted::Text)),
            ("text", json!(["a"]), Problem::kind("text", Wanted::Text)),
            ("rows", json!([]), empty("rows")),
            ("rows", json!(3), Problem::kind("rows", Wanted::Rows)),
            ("rows", json!([{ "text": "a" }, "b"]), Problem::kind("rows[2]", Wanted::Row)),
            ("questions", json!("Who?"), Problem::kind("questions", Wanted::Questions)),
            ("questions", json!(["Who?", ""]), empty("questions[2]")),
            ("settings", json!("fast"), Problem::kind("settings", Wanted::Object)),
            ("settings", json!({ "stage": "polish" }), Problem::kind("settings.stage", Wanted::Stage)),
            ("settings", json!({ "dpo": 8 }), Problem::kind("settings.dpo", Wanted::Object)),
            ("settings", json!({ "adapter": 8 }), Problem::kind("settings.adapter", Wanted::Adapter)),
            (
                "settings",
                json!({ "config": { "steps": "9" } }),
                Problem::kind("settings.config.steps", Wanted::Number),
            ),
        ];
        for (key, value, problem) in cases {
            assert_eq!(with(key, value.clone()).unwrap_err(), problem, "{key}: {value}");
        }
    }

    #[test]
    fn limits_are_told_with_what_was_found() {
        let long = Problem::TooLong { key: "title".into(), found: MOST_TITLE + 1, most: MOST_TITLE };
        assert_eq!(with("title", json!("题".repeat(MOST_TITLE + 1))).unwrap_err(), long);
        let many = Problem::TooMany { key: "questions".into(), found: 101, most: MOST_QUESTIONS };
        assert_eq!(with("questions", json!(vec!["Who?"; 101])).unwrap_err(), many);
        let rows = vec![json!({ "text": "a" }); MOST_ROWS + 1];
        let many = Problem::TooMany { key: "rows".into(), found: MOST_ROWS + 1, most: MOST_ROWS };
        assert_eq!(with("rows", rows.into()).unwrap_err(), many);
    }
}
