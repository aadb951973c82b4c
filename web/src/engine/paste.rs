//! What a person pastes, as rows; and cells of a spreadsheet, as questions and answers.

use std::borrow::Cow;

use kindling::data::{PasteFault, PasteForm, PasteProblem, paste, spreadsheet_choices, spreadsheet_pairs};
use kindling::text::RowKind;
use kindling::told::{Told, told};

use super::messages::rows::{self, Cells, Pasted};
use super::protocol::File;
use super::state::Answer;

/// So many wrong lines are told of.
const MOST: usize = 100;

/// The rows of this kind in the text beside a call. The rows come beside the answer, as JSON lines.
///
/// # Errors
/// None that a text can cause.
pub fn read_rows(kind: RowKind, files: &[File]) -> Result<Answer, Told> {
    let pasted = paste(&text(files), kind);
    let answer = Answer::new(Pasted {
        form: pasted.form.into(),
        rows: pasted.rows.len() as f64,
        first: pasted.rows.first().and_then(|row| row.pair()),
        wrong: pasted.problems.len() as f64,
        problems: pasted.problems.iter().take(MOST).map(|wrong| problem(wrong, kind)).collect(),
    })?;
    let lines = || File { name: "pasted.jsonl".into(), bytes: pasted.jsonl().into_bytes() };
    let files = if pasted.rows.is_empty() { Vec::new() } else { vec![lines()] };
    Ok(Answer { files, ..answer })
}

/// The questions and answers of the text, if it is nothing but such.
///
/// # Errors
/// None that a text can cause.
pub fn read_pairs(files: &[File]) -> Result<Answer, Told> {
    Answer::new(paste(&text(files), RowKind::Conversation).pairs())
}

/// The questions and answers in cells of a spreadsheet, as the clipboard has them; with worse answers where those are asked
/// for.
///
/// # Errors
/// None that a text can cause.
pub fn read_cells(choices: bool, files: &[File]) -> Result<Answer, Told> {
    let (text, none) = (text(files), Cells { pairs: Vec::new(), worse: Vec::new(), odd: None });
    let found = match choices {
        true => spreadsheet_choices(&text).map(|rows| {
            let (pairs, worse) =
                rows.into_iter().map(|[asked, better, worse]| ([asked, better], worse)).unzip();
            Cells { pairs, worse, odd: None }
        }),
        false => spreadsheet_pairs(&text).map(|pairs| Cells { pairs, ..none.clone() }),
    };
    Answer::new(match found {
        Ok(found) => found,
        Err(PasteProblem { fault: PasteFault::Columns { .. }, .. }) if choices => {
            Cells { odd: Some((&no_choice()).into()), ..none }
        }
        Err(PasteProblem { fault: fault @ PasteFault::Columns { .. }, .. }) => {
            Cells { odd: Some(why(&fault)), ..none }
        }
        // Any other text with tabs in it.
        Err(_) => none,
    })
}

/// The text beside a call, which the page wrote as UTF-8.
fn text(files: &[File]) -> Cow<'_, str> {
    files.first().map_or_else(|| "".into(), |file| String::from_utf8_lossy(&file.bytes))
}

impl From<PasteForm> for rows::PasteForm {
    fn from(form: PasteForm) -> Self {
        match form {
            PasteForm::Json => Self::Json,
            PasteForm::Csv => Self::Csv,
            PasteForm::Tsv => Self::Tsv,
            PasteForm::Markdown => Self::Markdown,
            PasteForm::Dialogue => Self::Dialogue,
            PasteForm::Text => Self::Text,
        }
    }
}

/// What is wrong with a line among rows of this kind.
fn problem(wrong: &PasteProblem, kind: RowKind) -> rows::PasteProblem {
    let why = match (kind, &wrong.fault) {
        (RowKind::Preference, PasteFault::Unrecognised | PasteFault::Columns { .. }) => (&no_choice()).into(),
        (_, fault) => why(fault),
    };
    rows::PasteProblem { line: wrong.line as f64, why }
}

fn no_choice() -> Told {
    told!(
        "paste.no_choice",
        "no question with a better and a worse answer is found; name three columns “question”, “better answer” and \
         “worse answer”"
    )
}

fn why(fault: &PasteFault) -> super::messages::told::Told {
    (&sentence(fault)).into()
}

fn sentence(fault: &PasteFault) -> Told {
    match fault {
        PasteFault::Unrecognised => told!(
            "paste.unrecognised",
            "no question with an answer is found; put them into two columns, or behind Q: and A:"
        ),
        PasteFault::Json { column } => told!(
            "paste.json",
            "the JSON is broken at character {column}, where a quote, a comma or a bracket is missing or one too many",
            column
        ),
        PasteFault::Unclosed => {
            told!("paste.unclosed", "a quote or a bracket that opens here is never closed")
        }
        PasteFault::Columns { found } => {
            let columns = found.iter().map(|name| format!("“{name}”")).collect::<Vec<_>>().join(" ");
            told!(
                "paste.columns",
                "the columns {columns} do not tell which one is the question and which one the answer; call one “question” and one “answer”",
                columns
            )
        }
        PasteFault::Fields { found, named } => told!(
            "paste.fields",
            "{found} columns, and there should be {named}; a text that holds a comma needs quotes around it",
            found,
            named
        ),
        PasteFault::NoQuestion => told!("paste.no_question", "an answer without a question before it"),
        PasteFault::NoAnswer => told!("paste.no_answer", "a question without an answer"),
        PasteFault::EmptyQuestion => told!("paste.empty_question", "the question is empty"),
        PasteFault::EmptyAnswer => told!("paste.empty_answer", "the answer is empty"),
        PasteFault::Outside => {
            told!("paste.outside", "this line belongs to no question and no answer; take it out")
        }
        PasteFault::OnlyText => told!(
            "paste.only_text",
            "a text and no question with its answer; texts are learned by “Pretrain”, under “More ways”"
        ),
        PasteFault::Row(why) => why.clone(),
    }
}
