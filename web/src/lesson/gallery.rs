//! The lessons that come with the page.

use crate::language::Sentence;

/// A lesson that comes with the page.
pub struct Shown {
    /// Its file is `lessons/NAME.json`.
    pub name: &'static str,
    /// Its title.
    pub title: Sentence,
    /// What it shows.
    pub about: Sentence,
}

/// The lessons that come with the page.
pub static GALLERY: [Shown; 5] = [
    Shown { name: "identity", title: |t| t.lessons.identity, about: |t| t.lessons.identity_about },
    Shown { name: "animal", title: |t| t.lessons.animal, about: |t| t.lessons.animal_about },
    Shown { name: "arithmetic", title: |t| t.lessons.arithmetic, about: |t| t.lessons.arithmetic_about },
    Shown { name: "style", title: |t| t.lessons.style, about: |t| t.lessons.style_about },
    Shown { name: "overfitting", title: |t| t.lessons.overfitting, about: |t| t.lessons.overfitting_about },
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::language::Language;
    use crate::lesson::{Lesson, Rows, blocks, read};

    /// Names of the gallery's files, with what the page says of them.
    fn gallery() -> Vec<(String, Lesson)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/lessons");
        let open = |name: &str| {
            let bytes = std::fs::read(format!("{folder}/{name}.json")).unwrap();
            let opened = read(&bytes).unwrap();
            assert_eq!(opened.unused, Vec::<String>::new(), "{name}");
            (name.to_string(), opened.lesson)
        };
        GALLERY.iter().map(|shown| open(shown.name)).collect()
    }

    #[test]
    fn the_gallery_speaks_both_languages_and_is_called_what_it_is() {
        for ((name, lesson), shown) in gallery().iter().zip(&GALLERY) {
            assert!(lesson.is_in_both(), "{name}");
            for language in [Language::English, Language::Chinese] {
                let version = lesson.version(language);
                assert_eq!(version.title, (shown.title)(language.text()), "{name}");
                assert!(version.questions.len() >= 4 && blocks(&version.text).len() >= 3, "{name}");
                let Rows::List(rows) = &version.rows else { panic!("{name} has no list of rows") };
                let answered = |row: &Value| row["user"].is_string() && row["assistant"].is_string();
                assert!(rows.iter().all(answered), "{name}");
            }
            assert_eq!(read(lesson.to_json().as_bytes()).unwrap().lesson, *lesson, "{name}");
        }
    }

    #[test]
    fn every_gallery_lesson_asks_what_it_taught_and_what_it_did_not() {
        for (name, lesson) in gallery() {
            for language in [Language::English, Language::Chinese] {
                let version = lesson.version(language);
                let Rows::List(rows) = &version.rows else { panic!("{name} has no list of rows") };
                let taught = |question: &&String| rows.iter().any(|row| row["user"] == question.as_str());
                let count = version.questions.iter().filter(taught).count();
                assert!(count > 0 && count < version.questions.len(), "{name}: {count}");
            }
        }
    }
}
