//! Words in place of what a conversation holds beside its texts: those that a rendering does not show tell what the
//! template leaves out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

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
    /// The word that must be shown for this one to be missed: a call that is left out misses its arguments, too.
    within: Option<usize>,
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

    /// Gives the call of a tool another name, and other arguments where it has any.
    fn put_into_call(&mut self, index: usize, call: &mut Value) {
        let Value::Object(function) = function_of_mut(call) else { return };
        let name = self.places.len();
        let word = self.next(index, RenderWarning::ToolCallLeftOut, None);
        function.insert("name".to_string(), word.into());
        let mut word = || self.next(index, RenderWarning::CallArgumentsLeftOut, Some(name));
        match function.get_mut("arguments") {
            Some(Value::Object(values)) if !values.is_empty() => {
                let word = Value::from(word());
                values.values_mut().for_each(|value| *value = word.clone());
            }
            Some(Value::String(text)) if !NO_ARGUMENTS.contains(&text.trim()) => {
                *text = json!({"value": word()}).to_string();
            }
            _ => {}
        }
    }

    /// Gives a tool another description, and its parameters other names.
    pub(super) fn put_into_tool(&mut self, tool: &mut Value) {
        let Value::Object(function) = function_of_mut(tool) else { return };
        if let Some(description) = function.get_mut("description")
            && says_something(description)
        {
            *description = self.next(0, RenderWarning::ToolDescriptionLeftOut, None).into();
        }
        let properties =
            function.get_mut("parameters").and_then(|parameters| parameters.get_mut("properties"));
        if let Some(Value::Object(properties)) = properties
            && !properties.is_empty()
        {
            let word = self.next(0, RenderWarning::ToolParametersLeftOut, None);
            let values = std::mem::take(properties).into_iter().map(|(_, value)| value);
            *properties = values.enumerate().map(|(i, value)| (format!("{word}{i}"), value)).collect();
        }
    }

    fn next(&mut self, message: usize, kind: RenderWarning, within: Option<usize>) -> String {
        self.places.push(Place { message, kind, within });
        format!("{}{}e", self.word, self.places.len() - 1)
    }

    /// What those were put in place of that do not stand in a text.
    pub(super) fn missing(&self, text: &str) -> Missing {
        let behind = text.split(self.word.as_str()).skip(1);
        let numbers = behind.filter_map(|behind| behind.split_once('e')?.0.parse::<usize>().ok());
        let seen: BTreeSet<usize> = numbers.filter(|&number| number < self.places.len()).collect();
        let mut missing = Missing::default();
        for (number, place) in self.places.iter().enumerate() {
            if !seen.contains(&number) && place.within.is_none_or(|call| seen.contains(&call)) {
                missing.kinds.insert(place.kind);
            }
        }
        let printed: BTreeSet<usize> = seen.iter().map(|&number| self.places[number].message).collect();
        let holders = self.places.iter().map(|place| place.message);
        missing.messages = holders.filter(|message| !printed.contains(message)).collect();
        missing
    }
}

fn says_something(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_shown_name_what_they_stand_for() {
        use RenderWarning::{CallArgumentsLeftOut, ReasoningLeftOut, ToolCallLeftOut};
        let call = json!({"function": {"name": "f", "arguments": {"a": 1, "b": [2]}}});
        let mut message = Message::new("assistant", "x");
        message.extra.insert("tool_calls".into(), json!([call, {"name": "g", "arguments": "{}"}]));
        message.extra.insert("thinking".into(), "t".into());
        let mut probes = Probes::unused_in("probe0n stands here");
        probes.put_into(3, &mut message);
        let calls = &message.extra["tool_calls"];
        assert_eq!(
            calls,
            &json!([
                {"function": {"name": "probe1n0e", "arguments": {"a": "probe1n1e", "b": "probe1n1e"}}},
                {"name": "probe1n2e", "arguments": "{}"},
            ])
        );
        let missing = |text: &str| {
            let Missing { kinds, messages } = probes.missing(text);
            (kinds.into_iter().collect::<Vec<_>>(), messages.len())
        };
        assert_eq!(missing("probe1n0eprobe1n1e probe1n2e probe1n3e"), (vec![], 0));
        assert_eq!(missing("probe1n0e probe1n2e probe1n3e"), (vec![CallArgumentsLeftOut], 0));
        assert_eq!(missing("probe1n1e probe1n2e"), (vec![ToolCallLeftOut, ReasoningLeftOut], 0));
        assert_eq!(missing("probe1n77e probe1nxe"), (vec![ToolCallLeftOut, ReasoningLeftOut], 1));
    }

    #[test]
    fn the_parts_of_a_tool_are_told_apart() {
        let properties = json!({"city": {"type": "string"}, "day": {"type": "string"}});
        let function = json!({"name": "f", "description": "d", "parameters": {"properties": properties}});
        for mut tool in [function.clone(), json!({"type": "function", "function": function})] {
            let mut probes = Probes::unused_in("");
            probes.put_into_tool(&mut tool);
            let text = tool.to_string();
            assert!(text.contains("probe0n1e0") && text.contains("probe0n1e1"), "{text}");
            assert!(probes.missing(&text).kinds.is_empty());
            let kinds = probes.missing("probe0n0e").kinds;
            assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [RenderWarning::ToolParametersLeftOut]);
        }
        let mut bare = json!({"name": "f", "description": " ", "parameters": {"properties": {}}});
        let mut probes = Probes::unused_in("");
        probes.put_into_tool(&mut bare);
        assert!(probes.is_empty());
    }
}
