//! Groups of number fields whose placeholders are the engine's defaults; an empty field leaves a default
//! alone.

use serde_json::{Map, Value};
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::dom::{El, el, field};
use super::speech::Speech;
use crate::language::Sentence;

/// A number that a person may set.
pub struct Number {
    /// Its name for the engine.
    pub key: &'static str,
    /// Its name on the page.
    pub sentence: Sentence,
    /// Smallest and largest value and the step between, as HTML has them.
    pub range: [&'static str; 3],
}

impl Number {
    /// A number that a person may set.
    pub const fn new(key: &'static str, sentence: Sentence, range: [&'static str; 3]) -> Self {
        Self { key, sentence, range }
    }
}

/// Fields for numbers.
pub struct Numbers {
    /// The fields, in one box.
    pub group: El,
    fields: Vec<(&'static str, El)>,
}

impl Numbers {
    /// Builds fields; each has the id `prefix-key`.
    pub fn build(speech: &Speech, prefix: &str, numbers: &[Number]) -> Self {
        let group = el("div").class("fields");
        let fields = numbers.iter().map(|number| {
            let [min, max, step] = number.range;
            let input = el("input")
                .id(&format!("{prefix}-{}", number.key.replace('_', "-")))
                .attr("type", "number")
                .attr("inputmode", "decimal")
                .attr("min", min)
                .attr("max", max)
                .attr("step", step);
            group.add(&field(speech, number.sentence, &input));
            (number.key, input)
        });
        let fields = fields.collect();
        Self { group, fields }
    }

    /// The numbers that were set.
    pub fn values(&self) -> Map<String, Value> {
        let set =
            self.fields.iter().filter_map(|(key, input)| Some((key.to_string(), number(&input.value())?)));
        set.collect()
    }

    /// Fills fields with numbers set earlier.
    pub fn fill(&self, values: &Map<String, Value>) {
        for (key, input) in &self.fields {
            input.set_value(&values.get(*key).map(Value::to_string).unwrap_or_default());
        }
    }

    /// Shows what the engine takes where nothing is set; other fields stay as they are.
    pub fn suggest(&self, defaults: &Map<String, Value>) {
        for (key, input) in &self.fields {
            if let Some(default) = defaults.get(*key).filter(|default| !default.is_null()) {
                input.set("placeholder", &default.to_string());
            }
        }
    }

    /// Shows or hides the field of a number together with its name.
    pub fn show_field(&self, key: &str, shown: bool) {
        let label = self.input(key).and_then(|input| input.closest("label").ok().flatten());
        if let Some(label) = label.and_then(|label| label.dyn_into::<HtmlElement>().ok()) {
            label.set_hidden(!shown);
        }
    }

    /// The field of a number.
    pub fn input(&self, key: &str) -> Option<&El> {
        self.fields.iter().find(|field| field.0 == key).map(|field| &field.1)
    }
}

/// A whole number stays whole, because the engine's counts take nothing else.
fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from)).ok()
}
