//! Words in place of what a conversation holds beside its texts: those that a rendering does not show tell what the
//! template leaves out, and those that it shows twice what it prints twice.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::render_warning::RenderWarning;
use crate::text::{FUNCTION_CALL, Message, REASONING_KEYS, TOOL_CALLS, function_of_mut};

/// Arguments of a call, as text, that say nothing.
const NO_ARGUMENTS: [&str; 3] = ["", "{}", "null"];

/// What a rendering does not show.
#[derive(Default)]
pub(super) struct Missing {
    /// Of which kind.
    pub(super) kinds: BTreeSet<RenderWarning>,
    /// The messages of which it shows none.
    pub(super) messages: BTreeSet<usize>,
}

/// What a word is put in place of.
struct Place {
    message: usize,
    kind: RenderWarning,
    /// The word of what it is a part of: a call that is left out as a whole misses its arguments, too.
    whole: Option<usize>,
}

/// The words and their places.
pub(super) struct Probes {
    /// How each begins; its number follows.
    word: String,
    places: Vec<Place>,
}

impl Probes {
    /// No words yet, and none to come that stands in this text.
    pub(super) fn unused_in(text: &str) -> Self {
        let unused = (0..).map(|i| format!("probe{i}n")).find(|word| !text.contains(word.as_str()));
        Self { word: unused.unwrap_or_default(), places: Vec::new() }
    }

    /// Whether no word was put anywhere.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Puts words into a message.
    pub(super) fn put_into(&mut self, index: usize, message: &mut Message) {
        for key in [TOOL_CALLS, FUNCTION_CALL] {
            match message.extra.get_mut(key) {
                Some(Value::Array(calls)) => {
                    calls.iter_mut().for_each(|call| self.put_into_call(index, call))
                }
                Some(call) => self.put_into_call(index, call),
                None => {}
            }
        }
        for key in REASONING_KEYS {
            if let Some(value) = message.extra.get_mut(key)
                && says_something(value)
            {
                *value = self.next(index, RenderWarning::ReasoningLeftOut, None).into();
            }
        }
    }

    /// Gives the call of a tool another name, and other values to its arguments.
    fn put_into_call(&mut self, index: usize, call: &mut Value) {
        let Value::Object(function) = function_of_mut(call) else { return };
        let name = self.places.len();
        let word = self.next(index, RenderWarning::ToolCallLeftOut, None);
        function.insert("name".to_string(), word.into());
        match function.get_mut("arguments") {
            Some(arguments @ Value::Object(_)) => self.put_into_values(index, name, arguments),
            Some(Value::String(text)) if !NO_ARGUMENTS.contains(&text.trim()) => {
                // Text that is no JSON is one value.
                let mut values: Value = serde_json::from_str(text)
                    .ok()
                    .filter(|values: &Value| values.is_object())
                    .unwrap_or_else(|| Map::from_iter([("value".to_string(), Value::from(""))]).into());
                self.put_into_values(index, name, &mut values);
                *text = values.to_string();
            }
            _ => {}
        }
    }

    /// Puts a word in place of each value, deep inside.
    fn put_into_values(&mut self, index: usize, call: usize, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.values_mut().for_each(|value| self.put_into_values(index, call, value))
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.put_into_values(index, call, value)),
            // Templates may leave out an absent value.
            Value::Null => {}
            value => *value = self.next(index, RenderWarning::CallArgumentsLeftOut, Some(call)).into(),
        }
    }

    /// Gives a tool another name and description, and its parameters other names, descriptions and values.
    pub(super) fn put_into_tool(&mut self, tool: &mut Value) {
        let Value::Object(function) = function_of_mut(tool) else { return };
        let name = self.places.len();
        let word = self.next(0, RenderWarning::ToolLeftOut, None);
        function.insert("name".to_string(), word.into());
        self.put_into_description(function, RenderWarning::ToolDescriptionLeftOut, name);
        if let Some(Value::Object(parameters)) = function.get_mut("parameters") {
            self.put_into_schema(parameters, name);
        }
    }

    fn put_into_description(&mut self, fields: &mut Map<String, Value>, kind: RenderWarning, whole: usize) {
        if let Some(description) = fields.get_mut("description")
            && says_something(description)
        {
            *description = self.next(0, kind, Some(whole)).into();
        }
    }

    /// Gives the properties of a JSON schema other names, and what they hold other words; those that must be given keep
    /// being the same ones.
    fn put_into_schema(&mut self, schema: &mut Map<String, Value>, whole: usize) {
        let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
        let mut renamed = Map::new();
        for (key, mut property) in std::mem::take(properties) {
            let name = self.places.len();
            let word = self.next(0, RenderWarning::ToolParametersLeftOut, Some(whole));
            if let Value::Object(fields) = &mut property {
                self.put_into_property(fields, name);
            }
            rename(schema.get_mut("required"), &key, &word);
            renamed.insert(word, property);
        }
        schema.insert("properties".to_string(), renamed.into());
    }

    /// Puts words into the schema of one property.
    fn put_into_property(&mut self, fields: &mut Map<String, Value>, name: usize) {
        self.put_into_description(fields, RenderWarning::ParameterDescriptionLeftOut, name);
        if let Some(Value::Array(values)) = fields.get_mut("enum") {
            for value in values.iter_mut().filter(|value| says_something(value)) {
                *value = self.next(0, RenderWarning::ParameterValuesLeftOut, Some(name)).into();
            }
        }
        self.put_into_schema(fields, name);
        if let Some(Value::Object(items)) = fields.get_mut("items") {
            self.put_into_property(items, name);
        }
    }

    fn next(&mut self, message: usize, kind: RenderWarning, whole: Option<usize>) -> String {
        self.places.push(Place { message, kind, whole });
        format!("{}{}e", self.word, self.places.len() - 1)
    }

    /// How often each word stands in a text.
    fn counts(&self, text: &str) -> Vec<usize> {
        let behind = text.split(self.word.as_str()).skip(1);
        let numbers = behind.filter_map(|behind| behind.split_once('e')?.0.parse::<usize>().ok());
        let mut counts = vec![0; self.places.len()];
        for number in numbers {
            if let Some(count) = counts.get_mut(number) {
                *count += 1;
            }
        }
        counts
    }

    /// What those were put in place of that do not stand in a text.
    pub(super) fn missing(&self, text: &str) -> Missing {
        let seen: Vec<bool> = self.counts(text).into_iter().map(|count| count > 0).collect();
        // Whether it or a part of it is seen; parts have greater numbers than what they are parts of.
        let mut in_part = seen.clone();
        for (number, place) in self.places.iter().enumerate().rev() {
            if let Some(whole) = place.whole {
                in_part[whole] |= in_part[number];
            }
        }
        let mut missing = Missing::default();
        for (number, place) in self.places.iter().enumerate() {
            if !seen[number] && place.whole.is_none_or(|whole| in_part[whole]) {
                missing.kinds.insert(if in_part[number] { without_name(place.kind) } else { place.kind });
            }
        }
        let printed: BTreeSet<usize> = (0..seen.len())
            .filter(|&number| seen[number])
            .map(|number| self.places[number].message)
            .collect();
        let holders = self.places.iter().map(|place| place.message);
        missing.messages = holders.filter(|message| !printed.contains(message)).collect();
        missing
    }

    /// The messages of which something is shown whole more than once, in order: a call with all that it holds, or
    /// reasoning.
    pub(super) fn printed_twice(&self, text: &str) -> BTreeSet<usize> {
        let counts = self.counts(text);
        let mut twice: Vec<bool> = counts.iter().map(|&count| count > 1).collect();
        for (number, place) in self.places.iter().enumerate().rev() {
            if let Some(whole) = place.whole {
                twice[whole] &= twice[number];
            }
        }
        let wholes = self.places.iter().zip(twice).filter(|(place, twice)| place.whole.is_none() && *twice);
        wholes.map(|(place, _)| place.message).collect()
    }
}

/// What it means that only parts of something are shown, and not its name.
fn without_name(kind: RenderWarning) -> RenderWarning {
    match kind {
        RenderWarning::ToolCallLeftOut => RenderWarning::CallNameLeftOut,
        RenderWarning::ToolLeftOut => RenderWarning::ToolNameLeftOut,
        other => other,
    }
}

/// Gives a property its other name among those that must be given.
fn rename(required: Option<&mut Value>, key: &str, word: &str) {
    for name in required.and_then(Value::as_array_mut).into_iter().flatten() {
        if name.as_str() == Some(key) {
            *name = word.into();
        }
    }
}

/// The tools without saying which of their parameters must be given; `None` where none says so.
pub(super) fn without_required(tools: &Value) -> Option<Value> {
    let mut tools = tools.clone();
    let mut changed = false;
    for tool in tools.as_array_mut().into_iter().flatten() {
        let parameters = function_of_mut(tool).get_mut("parameters");
        if let Some(required) = parameters.and_then(|it| it.get_mut("required")?.as_array_mut()) {
            changed |= !required.is_empty();
            required.clear();
        }
    }
    changed.then_some(tools)
}

fn says_something(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_that_are_not_shown_name_what_they_stand_for() {
        use RenderWarning::{CallArgumentsLeftOut, CallNameLeftOut, ReasoningLeftOut, ToolCallLeftOut};
        let call = json!({"function": {"name": "f", "arguments": {"a": 1, "b": [2, {"c": "x", "d": null}]}}});
        let mut message = Message::new("assistant", "x");
        message.extra.insert("tool_calls".into(), json!([call, {"name": "g", "arguments": "{}"}]));
        message.extra.insert("thinking".into(), "t".into());
        let mut probes = Probes::unused_in("probe0n stands here");
        probes.put_into(3, &mut message);
        let calls = &message.extra["tool_calls"];
        let arguments = json!({"a": "probe1n1e", "b": ["probe1n2e", {"c": "probe1n3e", "d": null}]});
        assert_eq!(
            calls,
            &json!([
                {"function": {"name": "probe1n0e", "arguments": arguments}},
                {"name": "probe1n4e", "arguments": "{}"},
            ])
        );
        let missing = |text: &str| {
            let Missing { kinds, messages } = probes.missing(text);
            (kinds.into_iter().collect::<Vec<_>>(), messages.len())
        };
        let all = "probe1n0eprobe1n1eprobe1n2eprobe1n3e probe1n4e probe1n5e";
        assert_eq!(missing(all), (vec![], 0));
        assert_eq!(missing(&all.replace("probe1n2e", "")), (vec![CallArgumentsLeftOut], 0), "one of three");
        assert_eq!(missing("probe1n0e probe1n4e probe1n5e"), (vec![CallArgumentsLeftOut], 0));
        assert_eq!(missing(&all.replace("probe1n0e", "")), (vec![CallNameLeftOut], 0));
        assert_eq!(missing("probe1n4e"), (vec![ToolCallLeftOut, ReasoningLeftOut], 0));
        assert_eq!(missing("probe1n77e probe1nxe"), (vec![ToolCallLeftOut, ReasoningLeftOut], 1));
    }

    #[test]
    fn arguments_as_text_stay_text() {
        for (text, expected) in [
            ("{\"a\": 1, \"b\": 2}", "{\"a\":\"probe0n1e\",\"b\":\"probe0n2e\"}"),
            ("now", "{\"value\":\"probe0n1e\"}"),
        ] {
            let mut message = Message::new("assistant", "");
            message.extra.insert("function_call".into(), json!({"name": "f", "arguments": text}));
            Probes::unused_in("").put_into(0, &mut message);
            assert_eq!(message.extra["function_call"]["arguments"], expected);
        }
    }

    #[test]
    fn a_call_is_twice_there_where_all_of_it_is() {
        let mut message = Message::new("assistant", "");
        message.extra.insert("tool_calls".into(), json!([{"name": "f", "arguments": {"a": 1, "b": 2}}]));
        let mut probes = Probes::unused_in("");
        probes.put_into(1, &mut message);
        let once = "probe0n0e probe0n1e probe0n2e";
        assert!(probes.printed_twice(once).is_empty());
        assert!(probes.printed_twice(&format!("{once} probe0n0e")).is_empty(), "its name alone");
        assert_eq!(probes.printed_twice(&once.repeat(2)), BTreeSet::from([1]));
    }

    #[test]
    fn the_parts_of_a_tool_are_told_apart() {
        use RenderWarning::{
            ParameterDescriptionLeftOut, ParameterValuesLeftOut, ToolDescriptionLeftOut, ToolLeftOut,
            ToolNameLeftOut, ToolParametersLeftOut,
        };
        let city = json!({"type": "string", "description": "c", "enum": ["x", "y"]});
        let days = json!({"type": "array", "items": {"type": "string", "description": "e"}});
        let parameters =
            json!({"type": "object", "properties": {"city": city, "days": days}, "required": ["days"]});
        let function = json!({"name": "f", "description": "d", "parameters": parameters});
        for mut tool in [function.clone(), json!({"type": "function", "function": function})] {
            let mut probes = Probes::unused_in("");
            probes.put_into_tool(&mut tool);
            let text = tool.to_string();
            assert!(text.contains("\"required\":[\"probe0n6e\"]"), "{text}");
            let missing = |text: &str| probes.missing(text).kinds.into_iter().collect::<Vec<_>>();
            let without = |words: &[usize]| {
                let gone = |text: String, word: &usize| text.replace(&format!("probe0n{word}e"), "");
                missing(&words.iter().fold(text.clone(), gone))
            };
            assert_eq!(missing(&text), []);
            assert_eq!(missing(""), [ToolLeftOut]);
            assert_eq!(without(&[0]), [ToolNameLeftOut]);
            assert_eq!(without(&[1]), [ToolDescriptionLeftOut]);
            assert_eq!(without(&[2, 3, 4, 5]), [ToolParametersLeftOut], "one of two");
            assert_eq!(without(&[3]), [ParameterDescriptionLeftOut]);
            assert_eq!(without(&[7]), [ParameterDescriptionLeftOut], "of the items");
            assert_eq!(without(&[5]), [ParameterValuesLeftOut], "one of two");
            let first = missing("probe0n0e");
            assert_eq!(first, [ToolDescriptionLeftOut, ToolParametersLeftOut], "and no parts of these");
        }
        let mut bare = json!({"name": "f", "description": " ", "parameters": {"properties": {}}});
        let mut probes = Probes::unused_in("");
        probes.put_into_tool(&mut bare);
        assert_eq!(probes.places.len(), 1, "its name");
    }

    #[test]
    fn what_must_be_given_can_be_taken_away() {
        let tools =
            |required: &[&str]| json!([{"function": {"name": "f", "parameters": {"required": required}}}]);
        assert_eq!(without_required(&tools(&["a"])), Some(tools(&[])));
        assert_eq!(without_required(&tools(&[])), None);
        assert_eq!(without_required(&json!([{"name": "f"}, "g"])), None);
    }
}
