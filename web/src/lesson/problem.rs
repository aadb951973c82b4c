//! Why a file is no lesson, in the page's words.

use super::{BEGIN_NEW, MOST_BYTES, STAGES, VERSION};
use crate::format::{bytes, fill};
use crate::language::{Language, Sentence, Text};

/// What is wrong with a lesson's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is too large.
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It holds bytes that are no UTF-8.
    NotUtf8,
    /// It is no JSON.
    NotJson {
        /// Where that ends.
        line: usize,
        /// Likewise.
        column: usize,
    },
    /// It is JSON, and no lesson.
    NoLesson,
    /// It is of another version of the format.
    OtherVersion {
        /// What stands there.
        found: String,
    },
    /// A key is not there.
    Missing {
        /// Which.
        key: String,
    },
    /// A value is empty.
    Empty {
        /// Of which key.
        key: String,
    },
    /// A value is of another kind.
    Kind {
        /// Of which key.
        key: String,
        /// Of which kind it must be.
        wanted: Wanted,
    },
    /// A text is too long.
    TooLong {
        /// Of which key.
        key: String,
        /// Its characters.
        found: usize,
        /// The most.
        most: usize,
    },
    /// A list is too long.
    TooMany {
        /// Of which key.
        key: String,
        /// Its entries.
        found: usize,
        /// The most.
        most: usize,
    },
    /// A key says nothing in a language that others speak.
    LacksLanguage {
        /// Which key.
        key: String,
        /// Which language.
        language: Language,
    },
    /// A new model is named beside an adapter.
    PresetAdapts,
    /// A new model is named in a stage that goes on from a trained one.
    PresetOfStage {
        /// Which stage.
        stage: String,
    },
}

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A text.
    Text,
    /// A number.
    Number,
    /// An object.
    Object,
    /// A list of rows, or a text.
    Rows,
    /// An object or a list, as a row is.
    Row,
    /// A list of texts.
    Questions,
    /// The name of a stage.
    Stage,
    /// True, false, or an object of numbers.
    Adapter,
}

impl Problem {
    /// A value of another kind than it must be.
    pub fn kind(key: &str, wanted: Wanted) -> Self {
        Self::Kind { key: key.into(), wanted }
    }

    /// What a person reads: the fact, the limit, the remedy.
    pub fn sentence(&self, text: &'static Text) -> String {
        let t = &text.lessons;
        match self {
            Self::TooLarge { bytes: found } => {
                fill(t.too_large, &[&bytes(*found as f64), &bytes(MOST_BYTES as f64)])
            }
            Self::NotUtf8 => t.not_utf8.into(),
            Self::NotJson { line, column } => fill(t.not_json, &[&line.to_string(), &column.to_string()]),
            Self::NoLesson => t.no_lesson.into(),
            Self::OtherVersion { found } => fill(t.other_version, &[found, &VERSION.to_string()]),
            Self::Missing { key } => fill(t.missing, &[key]),
            Self::Empty { key } => fill(t.empty, &[key]),
            Self::Kind { key, wanted } => fill(t.wrong_kind, &[key, &wanted.sentence(text)]),
            Self::TooLong { key, found, most } => {
                fill(t.too_long, &[key, &found.to_string(), &most.to_string()])
            }
            Self::TooMany { key, found, most } => {
                fill(t.too_many, &[key, &found.to_string(), &most.to_string()])
            }
            Self::LacksLanguage { key, language } => {
                let own = if *language == Language::English { t.in_english } else { t.in_chinese };
                fill(t.lacks_language, &[key, own])
            }
            Self::PresetAdapts => t.preset_adapts.into(),
            Self::PresetOfStage { stage } => {
                let able = BEGIN_NEW.map(|stage| format!("“{stage}”")).join(" ");
                fill(t.preset_of_stage, &[stage, &able])
            }
        }
    }
}

impl Wanted {
    fn sentence(self, text: &'static Text) -> String {
        let kind: Sentence = match self {
            Self::Text => |t| t.lessons.kind_text,
            Self::Number => |t| t.lessons.kind_number,
            Self::Object => |t| t.lessons.kind_object,
            Self::Rows => |t| t.lessons.kind_rows,
            Self::Row => |t| t.lessons.kind_row,
            Self::Questions => |t| t.lessons.kind_questions,
            Self::Stage => |t| t.lessons.kind_stage,
            Self::Adapter => |t| t.lessons.kind_adapter,
        };
        fill(kind(text), &[&STAGES.map(|stage| format!("“{stage}”")).join(" ")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_with_its_place_in_both_languages() {
        let long = Problem::TooLong { key: "questions[3]".into(), found: 2001, most: 2000 };
        let stage = Problem::kind("settings.stage", Wanted::Stage);
        for language in [Language::English, Language::Chinese] {
            let said = long.sentence(language.text());
            assert!(["questions[3]", "2001", "2000"].iter().all(|part| said.contains(part)), "{said}");
            let said = stage.sentence(language.text());
            assert!(["settings.stage", "sft", "pretrain"].iter().all(|part| said.contains(part)), "{said}");
            let new = Problem::PresetOfStage { stage: "dpo".into() }.sentence(language.text());
            assert!(["preset", "dpo", "pretrain", "distill"].iter().all(|part| new.contains(part)), "{new}");
            let new = Problem::PresetAdapts.sentence(language.text());
            assert!(["preset", "\"adapter\": false"].iter().all(|part| new.contains(part)), "{new}");
            let broken = Problem::NotJson { line: 12, column: 34 }.sentence(language.text());
            assert!(broken.contains("12") && broken.contains("34"), "{broken}");
        }
        let large = Problem::TooLarge { bytes: 2_500_000 }.sentence(Language::English.text());
        assert!(large.contains("2.5 MB") && large.contains("1.0 MB"), "{large}");
    }
}
