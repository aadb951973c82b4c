//! The JSON of a call as a model writes it, `{"name": …, "arguments": {…}}`, read while it grows.

/// What there is so far of a call's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CallText {
    /// The name, once it is whole.
    pub name: Option<String>,
    /// The bytes of the arguments so far.
    pub arguments: Option<std::ops::Range<usize>>,
    /// Whether the arguments are whole.
    pub arguments_end: bool,
    /// Where the object ends, once it does.
    pub end: Option<usize>,
    /// Whether this can be no call.
    pub broken: bool,
}

/// What a value of JSON is that begins at some place.
enum Value {
    Whole(usize),
    Begun,
    Broken,
}

/// Reads as much of a call as stands there. Its value under `parameters` counts as arguments, too: Llama writes it so.
pub(super) fn read_call(text: &str) -> CallText {
    let mut call = CallText::default();
    let bytes = text.as_bytes();
    let mut at = skip_blank(bytes, 0);
    match bytes.get(at) {
        None => return call,
        Some(b'{') => at += 1,
        Some(_) => return CallText { broken: true, ..call },
    }
    let mut first = true;
    loop {
        at = skip_blank(bytes, at);
        match bytes.get(at) {
            None => return call,
            Some(b'}') => return CallText { end: Some(at + 1), ..call },
            Some(b',') if !first => at = skip_blank(bytes, at + 1),
            Some(_) if first => {}
            Some(_) => return CallText { broken: true, ..call },
        }
        first = false;
        match read_entry(text, at, &mut call) {
            Some(next) => at = next,
            None => return call,
        }
    }
}

/// Reads a key and its value; returns where they end, or `None` where the text or the call does before.
fn read_entry(text: &str, at: usize, call: &mut CallText) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.get(at).is_some_and(|byte| *byte != b'"') {
        call.broken = true;
        return None;
    }
    let key = whole(end_of_value(bytes, at), call)?;
    let name: String = serde_json::from_str(&text[at..key]).unwrap_or_default();
    let colon = skip_blank(bytes, key);
    if bytes.get(colon).is_some_and(|byte| *byte != b':') {
        call.broken = true;
        return None;
    }
    let start = skip_blank(bytes, (colon + 1).min(bytes.len()));
    if start >= bytes.len() {
        return None;
    }
    let value = end_of_value(bytes, start);
    if ["arguments", "parameters"].contains(&name.as_str()) {
        let end = if let Value::Whole(end) = value { end } else { bytes.len() };
        call.arguments = Some(start..end);
        call.arguments_end = matches!(value, Value::Whole(_));
    }
    let end = whole(value, call)?;
    if name == "name" {
        match serde_json::from_str(&text[start..end]) {
            Ok(name) => call.name = Some(name),
            Err(_) => call.broken = true,
        }
    }
    Some(end)
}

fn whole(value: Value, call: &mut CallText) -> Option<usize> {
    match value {
        Value::Whole(end) => Some(end),
        Value::Begun => None,
        Value::Broken => {
            call.broken = true;
            None
        }
    }
}

fn skip_blank(bytes: &[u8], at: usize) -> usize {
    bytes[at.min(bytes.len())..]
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .map_or(bytes.len(), |n| at + n)
}

/// Where the value that begins at a place ends: brackets are counted, texts passed over.
fn end_of_value(bytes: &[u8], start: usize) -> Value {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    in_text = false;
                    if depth == 0 {
                        return Value::Whole(at + 1);
                    }
                }
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' if depth == 0 && at > start => return Value::Broken,
            b'"' => in_text = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Value::Whole(at + 1),
            b'}' | b']' if depth > 1 => depth -= 1,
            // A number or a word ends where what holds it goes on.
            b'}' | b']' | b',' if depth == 0 && at > start => return Value::Whole(at),
            b'}' | b']' | b',' | b':' if depth == 0 => return Value::Broken,
            byte if depth == 0 && byte.is_ascii_whitespace() => return Value::Whole(at),
            _ => {}
        }
    }
    Value::Begun
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_while_it_grows() {
        let text = r#" {"name": "warm\u0074h", "arguments": {"place": "O\"}ma", "days": [1, 2]}} x"#;
        let end = text.len() - 2;
        let arguments = text.find(r#"{"place"#).unwrap()..end - 1;
        let mut seen = 0;
        for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let call = read_call(&text[..at]);
            assert!(!call.broken, "{at}");
            assert_eq!(call.name.is_some(), at >= r#" {"name": "warm\u0074h""#.len(), "{at}");
            if let Some(found) = &call.arguments {
                assert_eq!(found.start, arguments.start);
                assert_eq!((found.end, call.arguments_end), (at.min(arguments.end), at >= arguments.end));
                seen += 1;
            }
            assert_eq!(call.end, (at >= end).then_some(end), "{at}");
        }
        assert!(seen > 20);
        assert_eq!(read_call(text).name.as_deref(), Some("warmth"));
    }

    #[test]
    fn other_orders_and_names_are_calls_too() {
        let call = read_call(r#"{"id": 7, "parameters": {}, "name": "f"}"#);
        assert_eq!((call.name.as_deref(), call.arguments, call.end), (Some("f"), Some(24..26), Some(40)));
        let call = read_call(r#"{"name": "f"}"#);
        assert_eq!((call.name.as_deref(), call.arguments, call.end), (Some("f"), None, Some(13)));
        let call = read_call(r#"{"name":"f","arguments":"{\"a\":1}"}"#);
        assert_eq!((call.arguments, call.arguments_end), (Some(24..35), true));
        assert_eq!(read_call("{}").end, Some(2));
    }

    #[test]
    fn what_is_no_call_is_told() {
        for text in [
            "f(1)",
            "[1]",
            "{name: 1}",
            r#"{"name" "f"}"#,
            r#"{"name": "f" "a"}"#,
            r#"{"name": 5, "#,
            r#"{"a": }"#,
        ] {
            assert!(read_call(text).broken, "{text}");
        }
        for text in ["", " ", "{", r#"{"na"#, r#"{"name": "#] {
            let call = read_call(text);
            assert!(!call.broken && call.end.is_none() && call.name.is_none(), "{text}");
        }
    }
}
