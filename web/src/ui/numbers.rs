//! Groups of number fields whose placeholders are the engine's defaults; an empty field leaves a default
//! alone, and one with what it does not take says so beside it.

use std::rc::Rc;

use serde_json::{Map, Value};
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::dom::{El, el, field, listen};
use super::engine::get;
use super::speech::Speech;
use crate::format::fill;
use crate::language::{Sentence, Text};
use crate::limits::{sentence, wrong};

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
    fields: Rc<Vec<Field>>,
    speech: Speech,
}

/// A field of a number, and where it says what is wrong with what stands in it.
struct Field {
    key: &'static str,
    range: [&'static str; 3],
    input: El,
    fault: El,
}

impl Field {
    fn check(&self, t: &Text) {
        let (text, is_word) =
            (self.input.value(), get(&get(&self.input, "validity"), "badInput").is_truthy());
        let wrong = wrong(&text, is_word, self.range);
        self.input.set("aria-invalid", if wrong.is_some() { "true" } else { "false" });
        self.fault.show(wrong.is_some());
        self.fault.write(&wrong.map(|wrong| sentence(wrong, &text, self.range, t)).unwrap_or_default());
    }
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
            let fault = el("span").class("bad fault").attr("aria-live", "polite").shown(false);
            group.add(&field(speech, number.sentence, &input).child(&fault));
            Field { key: number.key, range: number.range, input, fault }
        });
        let numbers =
            Self { fields: Rc::new(fields.collect()), speech: speech.clone(), group: group.clone() };
        for event in ["input", "change"] {
            let (checked, speech) = (Rc::clone(&numbers.fields), speech.clone());
            listen(&group, event, move |_| checked.iter().for_each(|field| field.check(speech.text())));
        }
        let (checked, spoken) = (Rc::clone(&numbers.fields), speech.clone());
        speech.follow(move || checked.iter().for_each(|field| field.check(spoken.text())));
        numbers
    }

    /// The numbers that were set.
    pub fn values(&self) -> Map<String, Value> {
        let set = self.fields.iter();
        let set = set.filter_map(|field| Some((field.key.to_string(), number(&field.input.value())?)));
        set.collect()
    }

    /// Fills fields with numbers set earlier.
    pub fn fill(&self, values: &Map<String, Value>) {
        for field in self.fields.iter() {
            field.input.set_value(&values.get(field.key).map(Value::to_string).unwrap_or_default());
            field.check(self.speech.text());
        }
    }

    /// Shows what the engine takes where nothing is set; other fields stay as they are.
    pub fn suggest(&self, defaults: &Map<String, Value>) {
        for field in self.fields.iter() {
            if let Some(default) = defaults.get(field.key).filter(|default| !default.is_null()) {
                field.input.set("placeholder", &default.to_string());
            }
        }
    }

    /// Shows that it is not known what is taken where nothing is set, but of some.
    pub fn suggest_nothing(&self, known: &[&str]) {
        for field in self.fields.iter().filter(|field| !known.contains(&field.key)) {
            field.input.set("placeholder", "");
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
        self.fields.iter().find(|field| field.key == key).map(|field| &field.input)
    }
}

/// The first field in a place that acts and holds what it does not take, and what to say of it by its name.
pub fn fault_in(place: &El, t: &Text) -> Option<(El, String)> {
    let found = place.query_selector_all("input[aria-invalid=true]").ok()?;
    let mut all = (0..found.length()).filter_map(|i| found.item(i)?.dyn_into::<HtmlElement>().ok());
    // What is hidden does not act, but for a whole tab that is out of sight.
    let acts = |input: &HtmlElement| input.closest("[hidden]:not(.panel)").ok().flatten().is_none();
    let input = El::from(all.find(acts)?);
    let label = input.closest("label").ok().flatten()?;
    let text = |part: &str| label.query_selector(part).ok().flatten().and_then(|part| part.text_content());
    let said = [text("span").unwrap_or_default(), text(".fault").unwrap_or_default()];
    Some((input, fill(t.limits.of_field, &said.each_ref().map(String::as_str))))
}

/// A whole number stays whole, because the engine's counts take nothing else.
fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from)).ok()
}
