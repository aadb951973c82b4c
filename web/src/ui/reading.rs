//! What the engine read of a pasted text: what it is, in the page's words, and its rows.

use wasm_bindgen::prelude::JsValue;

use super::engine::{self, Answer};
use crate::format::fill;
use crate::language::Text;
use crate::messages::rows::{PasteForm, Pasted};
use crate::messages::run::Stage;

/// So many characters of a line or a text are shown.
const SHOWN_CHARS: usize = 60;

/// What rows are read as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Texts.
    Texts,
    /// Questions and answers, or longer conversations.
    #[default]
    Conversations,
    /// Questions with a better and a worse answer.
    Choices,
    /// Questions and answers that think first.
    Thoughts,
}

impl Kind {
    /// A stage that reads such rows.
    pub fn stage(self) -> Stage {
        match self {
            Self::Texts => Stage::Pretrain,
            Self::Conversations => Stage::Sft,
            Self::Choices => Stage::Dpo,
            Self::Thoughts => Stage::Reason,
        }
    }
}

/// A text and what it holds.
pub struct Reading {
    /// The text.
    pub text: String,
    /// What its rows were read as.
    kind: Kind,
    /// What it holds.
    pub pasted: Pasted,
    /// Its rows as a file of JSON lines; null where it has none.
    lines: JsValue,
}

impl Reading {
    /// Has the engine read a text.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn of(text: String, kind: Kind) -> Answer<Self> {
        let (pasted, lines) = engine::read_rows(&text, kind.stage()).await?;
        Ok(Self { text, kind, pasted, lines })
    }

    /// A text in which there is nothing to read.
    pub fn blank(text: String, kind: Kind) -> Self {
        let pasted =
            Pasted { form: PasteForm::Text, rows: 0.0, first: None, wrong: 0.0, problems: Vec::new() };
        Self { text, kind, pasted, lines: JsValue::NULL }
    }

    /// Whether this text was read, and for this.
    pub fn is_of(&self, text: &str, kind: Kind) -> bool {
        self.kind == kind && self.text == text
    }

    fn is_plain(&self) -> bool {
        self.pasted.form == PasteForm::Text
    }

    /// Whether there is nothing to train on.
    pub fn is_empty(&self) -> bool {
        if self.is_plain() { self.text.trim().is_empty() } else { self.pasted.rows == 0.0 }
    }

    /// The rows as data for the engine, under this name and its ending.
    pub fn source(&self, name: &str) -> JsValue {
        match self.is_plain() {
            true => engine::file_of_text(&format!("{name}.txt"), &self.text),
            false => engine::renamed(&self.lines, &format!("{name}.jsonl")),
        }
    }

    /// The rows as a text, each in the line that it has in this one.
    pub fn rows(&self) -> String {
        if self.is_plain() { self.text.clone() } else { engine::text_of(&self.lines) }
    }

    /// What the text is, in a sentence.
    pub fn finding(&self, t: &Text) -> String {
        let Pasted { form, rows, first, wrong, .. } = &self.pasted;
        let (name, count) = (form_name(*form, t), rows.to_string());
        let found = match (*form, first) {
            _ if *rows == 0.0 && (self.is_empty() || self.kind != Kind::Texts) => String::new(),
            (PasteForm::Text, _) => fill(t.rows.found_plain, &[&self.text.chars().count().to_string()]),
            _ if self.kind == Kind::Texts => fill(t.rows.found_texts, &[&count, name]),
            _ if self.kind == Kind::Choices => fill(t.stages.found_choices, &[&count, name]),
            (_, Some([question, answer])) => {
                fill(t.rows.found_pairs, &[&count, name, &short(question), &short(answer)])
            }
            _ => fill(t.rows.found_rows, &[&count, name]),
        };
        let wrong = if *wrong > 0.0 { fill(t.rows.to_mend, &[&wrong.to_string()]) } else { String::new() };
        [found, wrong].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// What the form is called.
fn form_name(form: PasteForm, t: &Text) -> &'static str {
    match form {
        PasteForm::Json => t.rows.json,
        PasteForm::Csv => t.rows.csv,
        PasteForm::Tsv => t.rows.tsv,
        PasteForm::Markdown => t.rows.markdown,
        PasteForm::Dialogue => t.rows.dialogue,
        PasteForm::Text => "",
    }
}

/// The beginning of a text, on one line.
pub fn short(text: &str) -> String {
    let text = text.trim().replace('\n', " ");
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
