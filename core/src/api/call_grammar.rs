//! The text of calls as a grammar of Lark, for `llguidance`.

use serde_json::{Value, json};

use super::ApiError;
use super::splitter::CALL_TAGS;
use super::tools::Tool;

/// The key with which a schema speaks to llguidance itself.
const OPTIONS: &str = "x-guidance";
/// White space between the parts of a JSON text: a space, or a line and its indentation. More of it, which a small model
/// may write without end, says nothing.
const BLANK: &str = r" |\n {0,16}";

/// An answer that is a call of one of these functions, or several calls, a line apart.
///
/// # Errors
/// A schema that speaks to llguidance.
pub(super) fn only_calls(tools: &[&Tool], several: bool) -> Result<String, ApiError> {
    let more = if several { r#" ("\n" call)*"# } else { "" };
    let rules = rules(tools, &format!("{}\n", CALL_TAGS[0]))?;
    Ok(format!("start: call{more}\n{rules}"))
}

/// What follows the opening tag of a call of one of these functions. Arguments of those that are not strict are any object.
///
/// # Errors
/// As [`only_calls`].
pub(super) fn behind_tag(tools: &[&Tool]) -> Result<String, ApiError> {
    Ok(format!("start: BLANK? call\nBLANK: /[ \\n]{{1,4}}/\n{}", rules(tools, "")?))
}

/// A rule for each function; each schema stands by itself, so that its references hold.
fn rules(tools: &[&Tool], before: &str) -> Result<String, ApiError> {
    let names: Vec<String> = (0..tools.len()).map(|i| format!("call{i}")).collect();
    let mut rules = format!("call: {}\n", names.join(" | "));
    for (name, tool) in names.iter().zip(tools) {
        let before = format!("{before}{{\"name\": {}, \"arguments\": ", json!(tool.name));
        let behind = format!("}}\n{}", CALL_TAGS[1]);
        let schema = with_blanks(&tool.parameters, &tool.place)?;
        rules.push_str(&format!("{name}: {} %json {schema} {}\n", json!(before), json!(behind)));
    }
    Ok(rules)
}

/// A schema that says which white space may stand between its parts.
///
/// # Errors
/// A schema that says so itself.
pub(super) fn with_blanks(schema: &Value, param: &str) -> Result<Value, ApiError> {
    let mut schema = schema.clone();
    if let Value::Object(keys) = &mut schema {
        if keys.contains_key(OPTIONS) {
            let why = "its schema has the key x-guidance, which is this server's; leave it out";
            return Err(ApiError::unsupported(param, why));
        }
        keys.insert(OPTIONS.to_string(), json!({"whitespace_pattern": BLANK}));
    }
    Ok(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grammar_has_a_rule_for_each_function() {
        let tools = [Tool::new("now", json!({})), Tool::new("warmth", json!({"type": "object"}))];
        let tools: Vec<&Tool> = tools.iter().collect();
        let blank = r#""x-guidance":{"whitespace_pattern":" |\\n {0,16}"}"#;
        let expected = [
            r#"start: call ("\n" call)*"#.to_string(),
            "call: call0 | call1".to_string(),
            format!(
                r#"call0: "<tool_call>\n{{\"name\": \"now\", \"arguments\": " %json {{{blank}}} "}}\n</tool_call>""#
            ),
            format!(
                r#"call1: "<tool_call>\n{{\"name\": \"warmth\", \"arguments\": " %json {{"type":"object",{blank}}} "}}\n</tool_call>""#
            ),
        ];
        assert_eq!(only_calls(&tools, true).unwrap().lines().collect::<Vec<_>>(), expected);
        assert!(only_calls(&tools, false).unwrap().starts_with("start: call\n"));
        let behind = behind_tag(&tools[..1]).unwrap();
        assert!(
            behind.starts_with("start: BLANK? call\nBLANK: /[ \\n]{1,4}/\ncall: call0\ncall0: \"{"),
            "{behind}"
        );
    }
}
