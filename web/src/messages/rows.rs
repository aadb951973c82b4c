//! Rows out of what a person pastes.

use super::told::Told;

messages! {
    /// The form that a pasted text has.
    enum PasteForm {
        /// JSON: lines, a list, or values one after the other.
        Json = "json",
        /// A table with commas or semicolons between its columns.
        Csv = "csv",
        /// A table with tabs, as spreadsheets give it.
        Tsv = "tsv",
        /// A table of Markdown.
        Markdown = "markdown",
        /// Questions and answers behind words such as `Q:` and `A:`.
        Dialogue = "dialogue",
        /// None of these.
        Text = "text",
    }

    /// What was read of a pasted text.
    struct Pasted {
        /// Its form.
        form: PasteForm,
        /// Rows that can be used; none of a plain text, which is all one.
        rows: f64,
        /// The first of them, where it is no more than a question and its answer.
        first: Option<[String; 2]>,
        /// Lines that have to be corrected.
        wrong: f64,
        /// The first hundred of them.
        problems: Vec<PasteProblem>,
    }

    /// What has to be corrected in a pasted text.
    struct PasteProblem {
        /// The line, from 1.
        line: f64,
        /// What is wrong there, without a full stop.
        why: Told,
    }

    /// What was read of cells of a spreadsheet.
    struct Cells {
        /// A question and its answer for each row, of which either may be empty; none where the text is no such cells.
        pairs: Vec<[String; 2]>,
        /// The worse answer of each row, where those are asked for.
        worse: Vec<String> = "Vec::is_empty",
        /// Why there are none although there are cells: their columns do not tell which is which.
        odd: Option<Told>,
    }
}
