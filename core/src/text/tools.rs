//! Tools and their calls, as data files spell them.

use serde_json::{Map, Value, json};

use super::conversation::{Message, TOOL_CALLS};
use super::json::{is_blank, kind, parse_json};
use crate::told::{Told, told};

/// The key of a single call before there were `tool_calls`.
pub const FUNCTION_CALL: &str = "function_call";

/// Reads a list of tools, which may be JSON text; an empty one is none.
///
/// # Errors
/// What stands there instead of a list.
pub(super) fn read_tools(value: Option<&Value>) -> Result<Option<Value>, Told> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if is_blank(text) => Ok(None),
        Some(Value::String(text)) => {
            let tools = parse_json(text).map_err(|why| told!("at", "{name}: {why}", name = "tools", why))?;
            match tools {
                Value::String(_) => Err(told!("tools.string", "tools must be a list, found a string")),
                tools => read_tools(Some(&tools)),
            }
        }
        Some(Value::Array(list)) if list.is_empty() => Ok(None),
        Some(tools @ Value::Array(_)) => Ok(Some(tools.clone())),
        Some(other) => Err(told!("tools.kind", "tools must be a list, found {found}", found = kind(other))),
    }
}

/// The descriptions of functions before there were `tools`, in the form of those.
pub(super) fn tools_of_functions(functions: &[Value]) -> Option<Value> {
    let tool = |function: &Value| json!({"type": "function", "function": function});
    (!functions.is_empty()).then(|| functions.iter().map(tool).collect())
}

/// Reads the calls among a message's keys. `tool_calls` given as JSON text (MiniMind's form) becomes a list, an empty
/// one is left out, and a `function_call` becomes the call that it means.
pub(super) fn read_tool_calls(message: &mut Message) -> Result<(), Told> {
    if let Some(calls) = message.extra.shift_remove(TOOL_CALLS)
        && let Some(calls) = parsed(TOOL_CALLS, calls)?
    {
        add_tool_call(message, calls)?;
    }
    match message.extra.shift_remove(FUNCTION_CALL) {
        Some(function) => read_function_call(message, function),
        None => Ok(()),
    }
}

/// A value that may be JSON text; `None` for a blank one.
fn parsed(key: &str, value: Value) -> Result<Option<Value>, Told> {
    match value {
        Value::String(text) if is_blank(&text) => Ok(None),
        Value::String(text) => {
            parse_json(&text).map(Some).map_err(|why| told!("at", "{name}: {why}", name = key, why))
        }
        value => Ok(Some(value)),
    }
}

fn read_function_call(message: &mut Message, function: Value) -> Result<(), Told> {
    let function = match parsed(FUNCTION_CALL, function)? {
        None => return Ok(()),
        // What is left of a struct whose every value is absent.
        Some(Value::Object(function)) if function.is_empty() => return Ok(()),
        Some(function @ Value::Object(_)) => function,
        Some(other) => {
            let form = "write it as {\"name\": …, \"arguments\": {…}}";
            return Err(told!(
                "tools.function",
                "{function_call} must be an object, found {found}; {form}",
                function_call = FUNCTION_CALL,
                found = kind(&other),
                form
            ));
        }
    };
    let mut call = json!({"type": "function", "function": function});
    read_arguments(&mut call);
    match message.extra.get(TOOL_CALLS).and_then(Value::as_array).map(Vec::as_slice) {
        None => add_tool_call(message, call),
        Some([one]) if function_of(one) == function_of(&call) => Ok(()),
        Some(_) => Err(told!(
            "tools.differ",
            "{calls} and {function_call} differ; keep one of them",
            calls = TOOL_CALLS,
            function_call = FUNCTION_CALL
        )),
    }
}

/// The function of a call or a tool: OpenAI's form holds it in `function`, others are it.
fn function_of(call: &Value) -> &Value {
    if is_wrapped(call) { &call["function"] } else { call }
}

/// The same, to be changed.
pub fn function_of_mut(call: &mut Value) -> &mut Value {
    if is_wrapped(call) { &mut call["function"] } else { call }
}

fn is_wrapped(call: &Value) -> bool {
    call.get("function").is_some_and(Value::is_object)
}

/// Adds one call, or each one of a list.
///
/// # Errors
/// What stands there instead of a call.
pub(super) fn add_tool_call(message: &mut Message, call: Value) -> Result<(), Told> {
    let mut calls = match call {
        Value::Array(list) => list,
        Value::Object(_) => vec![call],
        other => return Err(no_call(&other)),
    };
    if let Some(wrong) = calls.iter().find(|call| !call.is_object()) {
        return Err(no_call(wrong));
    }
    if calls.is_empty() {
        return Ok(());
    }
    calls.iter_mut().for_each(read_arguments);
    match message.extra.get_mut(TOOL_CALLS) {
        Some(Value::Array(list)) => list.append(&mut calls),
        _ => drop(message.extra.insert(TOOL_CALLS.to_string(), Value::Array(calls))),
    }
    Ok(())
}

fn no_call(found: &Value) -> Told {
    told!(
        "tools.call",
        "a tool call must be an object, found {found}; write it as {{\"name\": …, \"arguments\": {{…}}}}",
        found = kind(found)
    )
}

/// Arguments that are the JSON text of an object become the object: templates print them as JSON, which would put a
/// text into quotes.
fn read_arguments(call: &mut Value) {
    let Some(arguments) = function_of_mut(call).get_mut("arguments") else { return };
    let object = arguments.as_str().and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    if let Some(object) = object {
        *arguments = Value::Object(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The calls of a message with these keys.
    fn calls(keys: Value) -> Result<Value, Told> {
        let mut message = Message::new("assistant", "");
        message.extra = keys.as_object().unwrap().clone();
        read_tool_calls(&mut message)?;
        Ok(message.extra.remove("tool_calls").unwrap_or(Value::Null))
    }

    #[test]
    fn every_spelling_of_a_call_gives_objects() {
        let call = |arguments: Value| json!({"name": "f", "arguments": arguments});
        let wrapped = |call: Value| json!([{"type": "function", "function": call}]);
        let read = json!({"a": 1});
        for (keys, expected) in [
            (json!({"tool_calls": [call(read.clone())]}), json!([call(read.clone())])),
            (json!({"tool_calls": call(json!("{\"a\": 1}"))}), json!([call(read.clone())])),
            (json!({"tool_calls": wrapped(call(json!("{\"a\":1}")))}), wrapped(call(read.clone()))),
            (json!({"tool_calls": wrapped(call(json!("{}"))).to_string()}), wrapped(call(json!({})))),
            (json!({"function_call": call(json!("{\"a\": 1}"))}), wrapped(call(read.clone()))),
            (
                json!({"tool_calls": [call(read.clone())], "function_call": call(json!("{\"a\": 1}"))}),
                json!([call(read.clone())]),
            ),
            // What is no object stays as it is.
            (json!({"tool_calls": [call(json!("[1]"))]}), json!([call(json!("[1]"))])),
            (json!({"tool_calls": [call(json!("{"))]}), json!([call(json!("{"))])),
            (json!({"tool_calls": [call(json!({"a": null}))]}), json!([call(json!({"a": null}))])),
            (json!({"tool_calls": [], "function_call": {}}), Value::Null),
            (json!({"tool_calls": " ", "function_call": ""}), Value::Null),
        ] {
            assert_eq!(calls(keys.clone()), Ok(expected), "{keys}");
        }
    }

    #[test]
    fn what_is_no_call_is_named() {
        for (keys, reason) in [
            (
                json!({"tool_calls": 1}),
                "a tool call must be an object, found a number; write it as {\"name\": …, \"arguments\": {…}}",
            ),
            (
                json!({"function_call": ["f"]}),
                "function_call must be an object, found a list; write it as {\"name\": …, \"arguments\": {…}}",
            ),
            (
                json!({"tool_calls": [{"name": "f"}], "function_call": {"name": "g"}}),
                "tool_calls and function_call differ; keep one of them",
            ),
        ] {
            assert_eq!(calls(keys.clone()), Err(reason.into()), "{keys}");
        }
    }

    #[test]
    fn functions_are_tools() {
        let function = json!({"name": "f", "parameters": {}});
        let tools = tools_of_functions(std::slice::from_ref(&function));
        assert_eq!(tools, Some(json!([{"type": "function", "function": function}])));
        assert_eq!(tools_of_functions(&[]), None);
    }
}
