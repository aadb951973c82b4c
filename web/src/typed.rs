//! Rows that were typed, as lines of JSON: each stands in the line of its place, and a blank one is a blank line.

use serde_json::json;

/// Questions and answers, as texts or as conversations.
pub fn pairs(pairs: &[[String; 2]], texts: bool) -> String {
    let line = |[question, answer]: &[String; 2]| match (question.as_str(), answer.as_str()) {
        ("", "") => "\n".to_string(),
        _ if texts => format!("{}\n", json!({ "text": format!("{question}\n{answer}") })),
        _ => format!(
            "{}\n",
            json!({ "messages": [
                { "role": "user", "content": question },
                { "role": "assistant", "content": answer },
            ] })
        ),
    };
    pairs.iter().map(line).collect()
}

/// Questions, each with a better and a worse answer.
pub fn choices(rows: &[[String; 3]]) -> String {
    let line = |[question, better, worse]: &[String; 3]| match [question, better, worse]
        .iter()
        .all(|text| text.is_empty())
    {
        true => "\n".to_string(),
        false => format!("{}\n", json!({ "prompt": question, "chosen": better, "rejected": worse })),
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(texts: [&str; N]) -> [String; N] {
        texts.map(String::from)
    }

    #[test]
    fn each_row_stands_in_its_line() {
        let rows = [row(["a", "b"]), row(["", ""]), row(["c", "d"])];
        let chats = pairs(&rows, false);
        let lines: Vec<&str> = chats.lines().collect();
        assert_eq!((lines.len(), lines[1]), (3, ""));
        assert_eq!(
            lines[0],
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#
        );
        assert_eq!(pairs(&rows, true), "{\"text\":\"a\\nb\"}\n\n{\"text\":\"c\\nd\"}\n");
        let choices = choices(&[row(["", "", ""]), row(["q", "a", "b"])]);
        assert_eq!(choices, "\n{\"prompt\":\"q\",\"chosen\":\"a\",\"rejected\":\"b\"}\n");
    }
}
