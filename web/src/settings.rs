//! Settings as requests and lessons have them: lists of words, and what joins them.

use serde_json::{Map, Value};

/// The words of a list; none where the value is no list.
pub fn words_of(value: Option<&Value>) -> Vec<&str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Words as a list; nothing where there is no word.
pub fn list_of<'a>(words: impl Iterator<Item = &'a str>) -> Option<Value> {
    let list: Vec<Value> = words.map(Value::from).collect();
    (!list.is_empty()).then(|| list.into())
}

/// The words of a line, with commas between them.
pub fn words_in(line: &str) -> impl Iterator<Item = &str> {
    line.split([',', '，', '、']).map(str::trim).filter(|word| !word.is_empty())
}

/// A word `name:rest` with the word in code in the place of the name; `names` are pairs of both. A word of another name
/// stays.
pub fn in_code(word: &str, names: &[(&str, &str)]) -> String {
    renamed(word, |name| names.iter().find(|(own, _)| *own == name).map(|(_, code)| *code))
}

/// The same the other way round.
pub fn in_page(word: &str, names: &[(&str, &str)]) -> String {
    renamed(word, |code| names.iter().find(|(_, own)| *own == code).map(|(name, _)| *name))
}

fn renamed<'a>(word: &str, other: impl Fn(&str) -> Option<&'a str>) -> String {
    let (name, rest) = word.split_at(word.find(':').unwrap_or(word.len()));
    other(name.trim()).map_or_else(|| word.to_string(), |other| format!("{other}{rest}"))
}

/// Whether the value is a list of words of which each `is_known`.
pub fn is_list_of(value: &Value, is_known: impl Fn(&str) -> bool) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(|word| word.as_str().is_some_and(&is_known)))
}

/// Whether a number of these is above 0; none where it is not there.
pub fn is_above_zero(settings: &Map<String, Value>, key: &str) -> Option<bool> {
    settings.get(key).and_then(Value::as_f64).map(|number| number > 0.0)
}

/// Adds settings to a part of a request that is there; a list is joined to the one before, and names nothing twice.
pub fn add(request: &mut Map<String, Value>, part: &str, settings: Map<String, Value>) {
    let Some(own) = request.get_mut(part).and_then(Value::as_object_mut) else { return };
    for (key, value) in settings {
        let joined = match (own.get(&key).and_then(Value::as_array), value) {
            (Some(list), Value::Array(more)) => {
                let new = more.into_iter().filter(|word| !list.contains(word));
                Value::from(list.iter().cloned().chain(new).collect::<Vec<_>>())
            }
            (_, value) => value,
        };
        own.insert(key, joined);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_are_a_list_and_back() {
        let line = " answer:1, tags:2..0.5@0.3，、repetition ";
        let list = list_of(words_in(line)).unwrap();
        assert_eq!(list, json!(["answer:1", "tags:2..0.5@0.3", "repetition"]));
        assert_eq!(words_of(Some(&list)).join(", "), "answer:1, tags:2..0.5@0.3, repetition");
        assert_eq!(list_of(words_in(" , ")), None);
        assert_eq!((words_of(Some(&json!("mlp"))), words_of(None)), (vec![], vec![]));
    }

    #[test]
    fn a_word_has_its_name_in_code_and_on_the_page() {
        let names = [("答案", "answer"), ("标签", "tags"), ("tags", "tags")];
        for (page, code) in
            [("答案:1", "answer:1"), ("标签 :2..0.5@0.3", "tags:2..0.5@0.3"), ("答案", "answer")]
        {
            assert_eq!(in_code(page, &names), code);
        }
        for same in ["月亮:1", "tags:0.5", ":1", ""] {
            assert_eq!(in_code(same, &names), same);
        }
        assert_eq!(in_page("tags:0.5", &names), "标签:0.5");
        assert_eq!(in_page("moon:1", &names), "moon:1");
    }

    #[test]
    fn a_list_holds_known_words_alone() {
        let known = |word: &str| ["mlp", "norm"].contains(&word);
        for (value, is) in [
            (json!(["norm"]), true),
            (json!(["norm", "moon"]), false),
            (json!([1]), false),
            (json!("mlp"), false),
        ] {
            assert_eq!(is_list_of(&value, known), is, "{value}");
        }
    }

    #[test]
    fn a_number_is_above_zero_or_not_there() {
        let settings = json!({ "early-stop": 3, "val-split": 0, "ema": 0.5, "muon": true });
        let is = |key: &str| is_above_zero(settings.as_object().unwrap(), key);
        let all = ["early-stop", "val-split", "ema", "muon", "seed"].map(is);
        assert_eq!(all, [Some(true), Some(false), Some(true), None, None]);
    }

    #[test]
    fn settings_join_a_part_that_is_there() {
        let settings = |value: Value| value.as_object().unwrap().clone();
        let mut request = settings(json!({ "config": { "steps": 4, "freeze": ["mlp"] } }));
        add(&mut request, "config", settings(json!({ "ema": 0.9, "freeze": ["mlp", "norm"], "steps": 5 })));
        add(&mut request, "dpo", settings(json!({ "length-normalise": true })));
        let joined = json!({ "config": { "steps": 5, "freeze": ["mlp", "norm"], "ema": 0.9 } });
        assert_eq!(Value::from(request), joined);
    }
}
