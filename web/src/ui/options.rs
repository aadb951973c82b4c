//! Groups of settings of any kind: numbers, switches, lists of which one or some are chosen, and words.

use serde_json::{Map, Value};

use super::dom::{El, choice, el, field};
use super::numbers::{Number, Numbers};
use super::speech::Speech;
use crate::language::{Language, Sentence, Text};
use crate::settings::{in_code, in_page, is_list_of, list_of, words_in, words_of};

/// A word for the engine and its name on the page.
pub type Choice = (&'static str, Sentence);

/// How a setting is given.
pub enum Kind {
    /// On or off; off is the engine's default.
    Switch,
    /// One of these, of which the first is the engine's default.
    One(&'static [Choice]),
    /// Any of these; none of them is the engine's default.
    Any(&'static [Choice]),
    /// Words with commas between them, each with one of these names before a colon.
    Words(&'static [Choice]),
}

/// A setting that is no number.
pub struct Setting {
    /// Its name for the engine.
    pub key: &'static str,
    /// Its name on the page.
    pub sentence: Sentence,
    /// How it is given.
    pub kind: Kind,
}

/// Fields for settings; what is as the engine has it is no value.
pub struct Options {
    /// The fields, in one box.
    pub group: El,
    /// Those of them that are numbers.
    pub numbers: Numbers,
    settings: Vec<Given>,
    speech: Speech,
}

/// A setting, what is shown of it, and where it is given: a field, or one for each of its words.
struct Given {
    setting: &'static Setting,
    place: El,
    inputs: Vec<El>,
}

impl Options {
    /// Builds fields; each has the id `prefix-key`, and those of single words `prefix-key-word`.
    pub fn build(speech: &Speech, prefix: &str, numbers: &[Number], settings: &'static [Setting]) -> Self {
        let numbers = Numbers::build(speech, prefix, numbers);
        let group = el("div").class("stack").child(&numbers.group);
        let given = |setting: &'static Setting| {
            let id = format!("{prefix}-{}", setting.key);
            let (place, inputs) = fields(setting, speech, &id);
            group.add(&place);
            Given { setting, place, inputs }
        };
        let settings = settings.iter().map(given).collect();
        Self { group, numbers, settings, speech: speech.clone() }
    }

    /// What was set.
    pub fn values(&self) -> Map<String, Value> {
        let mut values = self.numbers.values();
        let set =
            self.settings.iter().filter_map(|given| Some((given.setting.key.to_string(), given.value()?)));
        values.extend(set);
        values
    }

    /// Fills fields with what was set earlier.
    pub fn fill(&self, values: &Map<String, Value>) {
        self.numbers.fill(values);
        let t = self.speech.text();
        self.settings.iter().for_each(|given| given.fill(values.get(given.setting.key), t));
    }

    /// Shows what the engine takes where nothing is set.
    pub fn suggest(&self, defaults: &Map<String, Value>) {
        self.numbers.suggest(defaults);
        for given in &self.settings {
            let default = words_of(defaults.get(given.setting.key));
            if let (Kind::Words(names), Some(input)) = (&given.setting.kind, given.inputs.first()) {
                input.set("placeholder", &listed(&default, names, self.speech.text()));
            }
        }
    }

    /// Shows or hides a setting that is no number.
    pub fn show_setting(&self, key: &str, shown: bool) {
        let of_key = self.settings.iter().filter(|given| given.setting.key == key);
        of_key.for_each(|given| given.place.show(shown));
    }

    /// Whether there is a field for a setting of this value.
    pub fn reads(&self, key: &str, value: &Value) -> bool {
        let is_number = value.is_number() && self.numbers.input(key).is_some();
        is_number || self.settings.iter().any(|given| given.setting.key == key && given.reads(value))
    }
}

impl Given {
    fn value(&self) -> Option<Value> {
        let first = self.inputs.first()?;
        match &self.setting.kind {
            Kind::Switch => first.checked().then_some(Value::Bool(true)),
            Kind::One(all) => {
                let chosen = first.value();
                let is_default = all.first().is_none_or(|(default, _)| *default == chosen);
                (!is_default).then(|| chosen.into())
            }
            Kind::Any(all) => {
                let chosen = all.iter().zip(&self.inputs).filter(|(_, input)| input.checked());
                list_of(chosen.map(|((word, _), _)| *word))
            }
            // A Chinese keyboard types other colons.
            Kind::Words(names) => {
                let typed = first.value().replace('：', ":");
                let words: Vec<String> =
                    words_in(&typed).map(|word| in_code(word, &names_of(names))).collect();
                list_of(words.iter().map(String::as_str))
            }
        }
    }

    fn fill(&self, value: Option<&Value>, t: &'static Text) {
        let Some(first) = self.inputs.first() else { return };
        let words = words_of(value);
        match &self.setting.kind {
            Kind::Switch => first.set_checked(value.and_then(Value::as_bool).unwrap_or_default()),
            Kind::One(all) => choose(first, all, value.and_then(Value::as_str).unwrap_or_default()),
            Kind::Any(all) => {
                for ((word, _), input) in all.iter().zip(&self.inputs) {
                    input.set_checked(words.contains(word));
                }
            }
            Kind::Words(names) => first.set_value(&listed(&words, names, t)),
        }
    }

    fn reads(&self, value: &Value) -> bool {
        match &self.setting.kind {
            Kind::Switch => value.is_boolean(),
            Kind::One(all) => value.as_str().is_some_and(|word| is_one_of(all, word)),
            Kind::Any(all) => is_list_of(value, |word| is_one_of(all, word)),
            Kind::Words(_) => is_list_of(value, |_| true),
        }
    }
}

/// Words by their names in the language of now.
fn listed(words: &[&str], names: &[Choice], t: &'static Text) -> String {
    let names: Vec<_> = names.iter().map(|(word, name)| (name(t), *word)).collect();
    let said = words.iter().map(|word| in_page(word, &names));
    said.collect::<Vec<_>>().join(", ")
}

/// Names in every language, each with the word in code.
fn names_of(names: &[Choice]) -> Vec<(&'static str, &'static str)> {
    let in_language =
        |language: Language| names.iter().map(move |(word, name)| (name(language.text()), *word));
    [Language::English, Language::Chinese].into_iter().flat_map(in_language).collect()
}

fn is_one_of(all: &[Choice], word: &str) -> bool {
    all.iter().any(|(known, _)| *known == word)
}

/// The place of a setting, and the fields in it.
fn fields(setting: &Setting, speech: &Speech, id: &str) -> (El, Vec<El>) {
    let box_of = |id: &str| el("input").id(id).attr("type", "checkbox");
    match &setting.kind {
        Kind::Switch => {
            let input = box_of(id);
            (choice(speech, setting.sentence, &input), vec![input])
        }
        Kind::One(all) => {
            let list = select(speech, id, all);
            (field(speech, setting.sentence, &list), vec![list])
        }
        Kind::Any(all) => {
            let group = el("fieldset").class("segments").id(id);
            group.add(&el("legend").say(speech, setting.sentence));
            let inputs = all.iter().map(|(word, sentence)| {
                let input = box_of(&format!("{id}-{word}"));
                group.add(&choice(speech, *sentence, &input));
                input
            });
            let inputs = inputs.collect();
            (group, inputs)
        }
        Kind::Words(_) => {
            let input = el("input").id(id).attr("type", "text");
            (field(speech, setting.sentence, &input), vec![input])
        }
    }
}

/// A list of which one is chosen.
pub fn select(speech: &Speech, id: &str, choices: &[Choice]) -> El {
    choices.iter().fold(el("select").id(id), |list, (value, sentence)| {
        list.child(&el("option").attr("value", value).say(speech, *sentence))
    })
}

/// Chooses by a name in code; one that is unknown gives the first.
pub fn choose(list: &El, choices: &[Choice], value: &str) {
    let known = choices.iter().find(|(known, _)| *known == value);
    list.set_value(known.or(choices.first()).map_or("", |(known, _)| *known));
}
