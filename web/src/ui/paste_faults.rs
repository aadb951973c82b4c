//! What is wrong with a pasted line, and what a paste is, in the page's words.

use kindling::data::{PasteFault, PasteForm};

use super::engine;
use crate::format::fill;
use crate::language::Text;

/// What is wrong, without a full stop.
pub fn sentence(fault: &PasteFault, t: &Text) -> String {
    let t = &t.rows;
    match fault {
        PasteFault::Unrecognised => t.unrecognised.into(),
        PasteFault::Json { column } => fill(t.broken_json, &[&column.to_string()]),
        PasteFault::Unclosed => t.unclosed.into(),
        PasteFault::Columns { found } => {
            let found: Vec<String> = found.iter().map(|name| format!("“{name}”")).collect();
            fill(t.odd_columns, &[&found.join(" ")])
        }
        PasteFault::Fields { found, named } => fill(t.odd_fields, &[&found.to_string(), &named.to_string()]),
        PasteFault::NoQuestion => t.lone_answer.into(),
        PasteFault::NoAnswer => t.lone_question.into(),
        PasteFault::EmptyQuestion => t.empty_question.into(),
        PasteFault::EmptyAnswer => t.empty_answer.into(),
        PasteFault::Outside => t.outside.into(),
        PasteFault::OnlyText => t.only_text.into(),
        PasteFault::Row(why) => engine::spoken(&why.into()),
    }
}

/// What the form is called.
pub fn form_name(form: PasteForm, t: &Text) -> &'static str {
    match form {
        PasteForm::Json => t.rows.json,
        PasteForm::Csv => t.rows.csv,
        PasteForm::Tsv => t.rows.tsv,
        PasteForm::Markdown => t.rows.markdown,
        PasteForm::Dialogue => t.rows.dialogue,
        PasteForm::Text => "",
    }
}
