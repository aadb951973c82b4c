//! A lesson's rows as the text that a person pastes, and back.

use serde_json::Value;

use super::Rows;

/// The rows as a text for the page's field: a line for each, or the text that they are.
pub fn lines(rows: &Rows) -> String {
    match rows {
        Rows::List(rows) => rows.iter().map(|row| format!("{row}\n")).collect(),
        Rows::Text(text) => text.clone(),
    }
}

/// The rows that a text of the page holds: JSON lines become a list, anything else stays as it is.
pub fn rows(text: &str) -> Rows {
    let whole = |line: &str| {
        let row: Value = serde_json::from_str(line).ok()?;
        (row.is_object() || row.is_array()).then_some(row)
    };
    let filled = text.lines().filter(|line| !line.trim().is_empty());
    match filled.map(whole).collect::<Option<Vec<_>>>() {
        Some(list) if !list.is_empty() => Rows::List(list),
        _ => Rows::Text(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_come_back_as_they_went() {
        let list = vec![
            json!({ "user": "a\nb", "assistant": "“c”" }),
            json!([{ "role": "user", "content": "d" }, { "role": "assistant", "content": "e" }]),
            json!({ "zebra": 0.1, "ant": 1e30, "text": "你好" }),
        ];
        assert_eq!(rows(&lines(&Rows::List(list.clone()))), Rows::List(list));
        for text in
            ["Once upon a time.\n\nThe end.", "{\"user\": 1}\nand then", "question,answer\na,b\n", "3\n4"]
        {
            assert_eq!(rows(text), Rows::Text(text.into()));
            assert_eq!(lines(&rows(text)), text);
        }
    }

    #[test]
    fn a_pretty_printed_list_stays_a_text() {
        let text = "[\n  {\"user\": \"a\", \"assistant\": \"b\"}\n]";
        assert_eq!(rows(text), Rows::Text(text.into()));
        assert_eq!(rows("\n{\"text\": \"a\"}\n\n"), Rows::List(vec![json!({ "text": "a" })]));
    }
}
