//! Pasted tables: cells of a spreadsheet with tabs between them, and CSV with commas or semicolons.

use serde_json::{Map, Value};

use super::names::Side;
use super::pasted::{Candidate, PasteFault, PasteForm, PasteProblem, pair};
use crate::data::record::{check_header, name_of_two};
use crate::text::{RowShape, preference_keys};
use crate::told::Told;

/// What may stand between two columns; a full-width comma only where the names of columns are known, for texts hold it.
const DELIMITERS: [char; 4] = ['\t', ',', ';', FULL_WIDTH];
const FULL_WIDTH: char = '，';

/// One row of a table.
struct Record {
    line: u64,
    fields: Vec<String>,
    /// Whether a field opens a quote that is never closed.
    is_open: bool,
}

/// How the names in a table's first row are read.
pub(super) enum Header {
    /// The columns' names, as the reader of rows knows them.
    Named(Vec<String>),
    /// There are names, and they do not say which column is which.
    Odd,
    /// It is a row like the others.
    None,
}

impl Header {
    /// What the cells of a first row are.
    pub(super) fn of(cells: &[String]) -> Self {
        let names: Vec<String> = cells.iter().map(|cell| cell.trim().to_lowercase()).collect();
        if check_header(&names).is_ok() && name_of_two(&names).is_none() {
            return Self::Named(names);
        }
        let sides: Vec<Option<Side>> = names.iter().map(|name| Side::of(name)).collect();
        let of = |side: Side| sides.iter().filter(move |found| **found == Some(side)).count();
        match (of(Side::Question), of(Side::Answer)) {
            (0, 0) => Self::None,
            // A name of a whole shape is there twice, or two shapes are.
            (1, 1) if !is_ambiguous(&names) => Self::Named(translated(names, &sides)),
            _ => Self::Odd,
        }
    }
}

fn is_ambiguous(names: &[String]) -> bool {
    RowShape::find(|key| names.iter().any(|name| name == key), Told::default).is_ok()
}

/// The names with those of the question and the answer in the words that the reader of rows knows.
fn translated(names: Vec<String>, sides: &[Option<Side>]) -> Vec<String> {
    let named = names.into_iter().zip(sides).map(|(name, side)| match side {
        Some(Side::Question) => "question".to_string(),
        Some(Side::Answer) => "answer".to_string(),
        None => name,
    });
    named.collect()
}

/// The rows of a table whose first row names its columns; `None` where the text is none.
pub(super) fn named(text: &str) -> Option<(PasteForm, Vec<Candidate>)> {
    DELIMITERS.into_iter().find_map(|delimiter| {
        let records = records(text, delimiter);
        let (first, others) = records.split_first()?;
        match Header::of(&first.fields) {
            Header::Named(names) if names.len() > 1 || !others.is_empty() => {
                let form = if delimiter == '\t' && names.len() > 1 { PasteForm::Tsv } else { PasteForm::Csv };
                Some((form, named_rows(&names, others)))
            }
            _ => None,
        }
    })
}

/// The rows of a table without known names: two columns are a question and its answer.
pub(super) fn unnamed(text: &str) -> Option<(PasteForm, Vec<Candidate>)> {
    DELIMITERS.into_iter().find_map(|delimiter| {
        let records = records(text, delimiter);
        let form = if delimiter == '\t' { PasteForm::Tsv } else { PasteForm::Csv };
        is_table(delimiter, &records).then(|| (form, unnamed_rows(&records)))
    })
}

/// Whether records without known names of columns are a table all the same.
fn is_table(delimiter: char, records: &[Record]) -> bool {
    let Some(first) = records.first() else { return false };
    let width = first.fields.len();
    let of = |width: usize| records.iter().filter(|record| record.fields.len() == width).count();
    match delimiter {
        FULL_WIDTH => false,
        '\t' => records.iter().any(|record| record.fields.len() > 1),
        _ if width > 1 && matches!(Header::of(&first.fields), Header::Odd) => true,
        // Prose has commas, too, but not in every line the same number.
        _ => 2 * of(2) >= records.len() || (width > 2 && records.len() > 1 && of(width) == records.len()),
    }
}

fn unnamed_rows(records: &[Record]) -> Vec<Candidate> {
    let Some(first) = records.first() else { return Vec::new() };
    let width = records.iter().map(|record| record.fields.len()).max().unwrap_or_default();
    let all_wider = records.iter().all(|record| record.fields.len() > 2);
    if matches!(Header::of(&first.fields), Header::Odd) || (width > 2 && all_wider) {
        let found = first.fields.clone();
        return vec![Candidate { line: first.line, row: Err(PasteFault::Columns { found }) }];
    }
    named_rows(&["question".to_string(), "answer".to_string()], records)
}

fn named_rows(names: &[String], records: &[Record]) -> Vec<Candidate> {
    let row = |record: &Record| match record.is_open {
        true => Err(PasteFault::Unclosed),
        false => object(names, &record.fields),
    };
    records.iter().map(|record| Candidate { line: record.line, row: row(record) }).collect()
}

/// The cells of a row under the names of their columns; blank cells behind the last name are none.
pub(super) fn object(names: &[String], cells: &[String]) -> Result<Value, PasteFault> {
    let [named, found] = [names, cells].map(filled);
    let width = names.len().min(cells.len());
    if width < named || width < found {
        return Err(PasteFault::Fields { found: cells.len().max(found), named });
    }
    let mut object = Map::new();
    for (number, (name, cell)) in (1..).zip(names.iter().zip(cells)) {
        match name.as_str() {
            "" if cell.trim().is_empty() => {}
            // It has no name, and must not be lost unseen.
            "" => drop(object.insert(format!("column {number}"), Value::String(cell.clone()))),
            name => drop(object.insert(name.to_string(), Value::String(cell.clone()))),
        }
    }
    Ok(Value::Object(object))
}

/// How many cells there are up to the last one that holds something.
fn filled(cells: &[String]) -> usize {
    cells.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |last| last + 1)
}

/// The rows of a table that hold something.
fn records(text: &str, delimiter: char) -> Vec<Record> {
    let (mut at, mut line, mut records) = (0, 1, Vec::new());
    while at < text.len() {
        let (record, length) = record(&text[at..], line, delimiter);
        line += text[at..at + length].matches('\n').count() as u64;
        at += length;
        if filled(&record.fields) > 0 {
            records.push(record);
        }
    }
    records
}

/// The record that a text begins with, and its length with the line end.
fn record(text: &str, line: u64, delimiter: char) -> (Record, usize) {
    let (mut at, mut record) = (0, Record { line, fields: Vec::new(), is_open: false });
    loop {
        let (field, length, is_open) = field(&text[at..], delimiter);
        // A cell of a spreadsheet may begin with a quote that is just one.
        record.is_open |= is_open && delimiter != '\t';
        record.fields.push(field);
        at += length;
        match text[at..].chars().next() {
            Some(sign) if sign == delimiter => at += sign.len_utf8(),
            Some(sign) => return (record, at + sign.len_utf8()),
            None => return (record, at),
        }
    }
}

/// The field that a text begins with, its length up to a delimiter or a line end, and whether it opens a quote that is not
/// closed.
fn field(text: &str, delimiter: char) -> (String, usize, bool) {
    let ends = |sign: char| sign == delimiter || sign == '\n';
    let blank = text.len() - text.trim_start_matches(' ').len();
    if let Some(inside) = text[blank..].strip_prefix('"')
        && let Some((field, length)) = quoted(inside, ends)
    {
        return (field, blank + 1 + length, false);
    }
    let length = text.find(ends).unwrap_or(text.len());
    let field = text[..length].trim();
    (field.to_string(), length, field.starts_with('"') && field.matches('"').count() % 2 == 1)
}

/// What stands before the closing quote, and its length with what follows up to the field's end; `None` where what looks
/// like a quoted field is none.
fn quoted(text: &str, ends: impl Fn(char) -> bool) -> Option<(String, usize)> {
    let mut from = 0;
    loop {
        let quote = from + text[from..].find('"')?;
        let behind = &text[quote + 1..];
        if behind.starts_with('"') {
            from = quote + 2;
            continue;
        }
        let end = behind.trim_start_matches(' ');
        let is_end = end.chars().next().is_none_or(ends);
        return is_end.then(|| (text[..quote].replace("\"\"", "\""), text.len() - end.len()));
    }
}

/// Questions and answers out of cells of a spreadsheet, as the clipboard has them; either may be empty. A first row of
/// known names is none of them.
///
/// # Errors
/// What is wrong with the first row that is no question with its answer.
pub fn spreadsheet_pairs(text: &str) -> Result<Vec<[String; 2]>, PasteProblem> {
    let text = text.replace("\r\n", "\n");
    let Some((_, rows)) = named(&text).or_else(|| unnamed(&text)) else {
        return Err(PasteProblem { line: 1, fault: PasteFault::Unrecognised });
    };
    let read = |Candidate { line, row }: Candidate| {
        let pair = row.and_then(|value| pair(&value).ok_or(PasteFault::OnlyText));
        pair.map_err(|fault| PasteProblem { line, fault })
    };
    rows.into_iter().map(read).collect()
}

/// Questions with a better and a worse answer out of cells of a spreadsheet; any of them may be empty, and a third column
/// need not be there. A first row of known names is none of them, and tells which column is which.
///
/// # Errors
/// A text that is no cells, or cells in more than three columns that are not named.
pub fn spreadsheet_choices(text: &str) -> Result<Vec<[String; 3]>, PasteProblem> {
    let text = text.replace("\r\n", "\n");
    let records = records(&text, '\t');
    let Some(first) = records.first().filter(|_| is_table('\t', &records)) else {
        return Err(PasteProblem { line: 1, fault: PasteFault::Unrecognised });
    };
    let named = choice_columns(&first.fields);
    if let Some(wide) = records.iter().find(|record| named.is_none() && filled(&record.fields) > 3) {
        let fault = PasteFault::Columns { found: wide.fields.clone() };
        return Err(PasteProblem { line: wide.line, fault });
    }
    let columns = named.unwrap_or([Some(0), Some(1), Some(2)]);
    let rows = records.iter().skip(usize::from(named.is_some()));
    let cell = |record: &Record, at: Option<usize>| at.and_then(|at| record.fields.get(at)).cloned();
    Ok(rows.map(|record| columns.map(|at| cell(record, at).unwrap_or_default())).collect())
}

/// Where a first row names them, the places of the question, of the better or only answer, and of the worse one.
fn choice_columns(cells: &[String]) -> Option<[Option<usize>; 3]> {
    let names: Vec<String> = cells.iter().map(|cell| cell.trim().to_lowercase()).collect();
    let at = |wanted: &str| names.iter().position(|name| name == wanted);
    let side = |side: Side| names.iter().position(|name| Side::of(name) == Some(side));
    let [better, worse] = match preference_keys(|key| at(key).is_some()) {
        Some([better, worse]) => [at(better), at(worse)],
        None => [side(Side::Answer), None],
    };
    Some([Some(side(Side::Question)?), Some(better?), worse])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(u64, Result<[String; 2], PasteFault>)> {
        let (_, rows) = named(text).or_else(|| unnamed(text)).expect("a table");
        let pair = |row: Candidate| (row.line, row.row.map(|value| pair(&value).expect("a pair")));
        rows.into_iter().map(pair).collect()
    }

    fn good(line: u64, question: &str, answer: &str) -> (u64, Result<[String; 2], PasteFault>) {
        (line, Ok([question.to_string(), answer.to_string()]))
    }

    fn columns(names: &[&str]) -> PasteFault {
        PasteFault::Columns { found: names.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn quotes_hold_delimiters_line_ends_and_quotes() {
        let text = "q, a\n\"x, \"\"y\"\"\", \"one\ntwo\" \n\n5\" nail,z\n";
        assert_eq!(found(text), [good(2, "x, \"y\"", "one\ntwo"), good(5, "5\" nail", "z")]);
        let cells = "\"one\ntwo \"\"2\"\"\"\tyes\n\"Hi\" she said\t\"5 apples\n \t\n\tno";
        assert_eq!(
            found(cells),
            [good(1, "one\ntwo \"2\"", "yes"), good(3, "\"Hi\" she said", "\"5 apples"), good(5, "", "no")]
        );
    }

    #[test]
    fn columns_may_have_any_names_and_any_order() {
        for text in [
            "Answer,Question,id\nLuma.,Who?,7",
            "编号,问题,答案,,\n7,Who?,Luma.,,\n",
            "Вопрос;Ответ\nWho?;Luma.",
            "Input\tOutput\nWho?\tLuma.",
            "提问，回答\nWho?，Luma.",
        ] {
            assert_eq!(found(text), [good(2, "Who?", "Luma.")], "{text}");
        }
        assert_eq!(
            found("Who?,Luma.\n你是谁？,\"露玛，灯\""),
            [good(1, "Who?", "Luma."), good(2, "你是谁？", "露玛，灯")]
        );
    }

    #[test]
    fn unknown_ambiguous_and_missing_columns_are_named() {
        for (text, line, fault) in [
            ("id,animal,food\n1,Poru,kelp\n2,Miru,moss", 1, columns(&["id", "animal", "food"])),
            ("\nquestion,note\nx,y", 2, columns(&["question", "note"])),
            ("问题,答案,回答\n1,2,3", 1, columns(&["问题", "答案", "回答"])),
            ("q,a,a\n1,2,3", 1, columns(&["q", "a", "a"])),
            ("q,a\nx,y,z", 2, PasteFault::Fields { found: 3, named: 2 }),
            ("q,a\nx", 2, PasteFault::Fields { found: 1, named: 2 }),
            ("q,a\nx,\"never closed", 2, PasteFault::Unclosed),
        ] {
            assert_eq!(found(text), [(line, Err(fault))], "{text}");
        }
    }

    #[test]
    fn a_cell_without_a_name_is_kept_under_its_number() {
        let names = ["q", "", "a", ""].map(String::from);
        let row = |cells: [&str; 4]| object(&names, &cells.map(String::from)).unwrap();
        assert_eq!(row(["x", "", "y", ""]).to_string(), r#"{"q":"x","a":"y"}"#);
        assert_eq!(
            row(["x", "n", "y", "m"]).to_string(),
            r#"{"q":"x","column 2":"n","a":"y","column 4":"m"}"#
        );
    }

    #[test]
    fn prose_is_no_table() {
        for text in ["One sentence.", "c, d, e\nf\ng, h, i, j", "one；two", "甲，乙\n丙，丁"] {
            assert!(named(text).or_else(|| unnamed(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn cells_of_a_spreadsheet_may_be_empty() {
        let pair = |question: &str, answer: &str| [question.to_string(), answer.to_string()];
        let pairs = spreadsheet_pairs("问题\t答案\r\n谁？\t\r\n\t露玛\r\n");
        assert_eq!(pairs, Ok(vec![pair("谁？", ""), pair("", "露玛")]));
        assert_eq!(
            spreadsheet_pairs("1\tPoru\tkelp"),
            Err(PasteProblem { line: 1, fault: columns(&["1", "Poru", "kelp"]) })
        );
    }

    #[test]
    fn cells_of_a_spreadsheet_may_be_choices() {
        let choice =
            |question: &str, better: &str, worse: &str| [question, better, worse].map(str::to_string);
        let two = vec![choice("Who?", "Luma.", "Nobody."), choice("", "x", "")];
        for text in [
            "Who?\tLuma.\tNobody.\r\n\tx\t\r\n",
            "question\tbetter answer\tworse answer\nWho?\tLuma.\tNobody.\n\tx",
            "rejected\tnote\tchosen\tPrompt\nNobody.\t1\tLuma.\tWho?\n\t2\tx\t",
            "问题\t更好的回答\t更差的回答\nWho?\tLuma.\tNobody.\n\tx\t",
        ] {
            assert_eq!(spreadsheet_choices(text), Ok(two.clone()), "{text}");
        }
        for text in ["Who?\tLuma.", "answer\tquestion\nLuma.\tWho?"] {
            assert_eq!(spreadsheet_choices(text), Ok(vec![choice("Who?", "Luma.", "")]), "{text}");
        }
        let wide = PasteProblem { line: 2, fault: columns(&["a", "b", "c", "d"]) };
        assert_eq!(spreadsheet_choices("Who?\tLuma.\tNobody.\na\tb\tc\td"), Err(wide));
        let none = PasteProblem { line: 1, fault: PasteFault::Unrecognised };
        assert_eq!(spreadsheet_choices("One sentence, and no cells."), Err(none));
    }
}
