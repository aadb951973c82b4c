//! Tables as CSV (RFC 4180).

use std::borrow::Cow;

/// A table, with the mark by which spreadsheets know UTF-8.
pub fn table(rows: &[Vec<String>]) -> String {
    let lines: String = rows.iter().map(|row| line(row) + "\r\n").collect();
    format!("\u{feff}{lines}")
}

/// Questions and answers under two names, which the library's reader of pasted text reads back as they are.
pub fn of_pairs(pairs: &[[String; 2]], names: [&str; 2]) -> String {
    let rows = pairs.iter().map(|pair| line(pair) + "\n");
    std::iter::once(line(&names.map(String::from)) + "\n").chain(rows).collect()
}

fn line(cells: &[String]) -> String {
    cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",")
}

/// In quotes where it holds what ends a cell, or has blanks around it, which a reader may take off.
fn cell(text: &str) -> Cow<'_, str> {
    match text.contains(['"', ',', '\n', '\r']) || text.trim() != text {
        true => format!("\"{}\"", text.replace('"', "\"\"")).into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let rows = [vec!["问题".to_string(), "mia".into()], vec!["a, b".into(), "say \"c\"\nd".into()]];
        assert_eq!(table(&rows), "\u{feff}问题,mia\r\n\"a, b\",\"say \"\"c\"\"\nd\"\r\n");
        let pairs = [["Who?", " Luma"], ["", "5\" nail"]].map(|pair| pair.map(String::from));
        assert_eq!(of_pairs(&pairs, ["q", "a"]), "q,a\nWho?,\" Luma\"\n,\"5\"\" nail\"\n");
        assert_eq!(of_pairs(&[], ["q", "a"]), "q,a\n");
    }
}
