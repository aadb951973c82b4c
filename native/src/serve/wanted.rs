//! Which model answers a request, with which adapters.

use kindling::api::Adapters;

use super::names::{Named, Names};
use super::refusal::Refusal;

/// A model with adapters, as the engine keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What the engine calls it: its name, where it has one.
    pub key: String,
    /// The model.
    pub base: String,
    /// The adapters beside it, each with how much of it acts.
    pub adapters: Vec<(String, f64)>,
}

impl Wanted {
    /// A model without adapters.
    pub fn plain(base: &str) -> Self {
        Self { key: base.into(), base: base.into(), adapters: Vec::new() }
    }

    /// What a name stands for.
    pub fn of(named: &Named) -> Self {
        match &named.base {
            Some(base) => Self {
                key: named.name.clone(),
                base: base.clone(),
                adapters: vec![(named.name.clone(), 1.0)],
            },
            None => Self::plain(&named.name),
        }
    }

    /// A model with adapters of its own choice. A single one that acts as it was trained is what its name stands for.
    fn mixed(base: &str, adapters: Vec<(String, f64)>) -> Self {
        let key = match adapters.as_slice() {
            [] => base.to_string(),
            [(name, strength)] if *strength == 1.0 => name.clone(),
            // No name has a space in it.
            several => several
                .iter()
                .fold(base.to_string(), |key, (name, strength)| format!("{key} {name}={strength}")),
        };
        Self { key, base: base.into(), adapters }
    }
}

impl Names {
    /// What a request means by its model and its adapters.
    ///
    /// # Errors
    /// No such model; adapters that are not the model's.
    pub fn wanted(&self, model: &str, adapters: &Adapters) -> Result<Wanted, Refusal> {
        let listed = self.find(Some(model)).ok_or_else(|| Refusal::no_model(model, &self.texts()))?;
        let wanted = Wanted::of(&listed.named);
        let chosen = match adapters {
            Adapters::Active => return Ok(wanted),
            Adapters::Base => return Ok(Wanted::plain(&wanted.base)),
            Adapters::Only(chosen) => chosen,
        };
        let mut found: Vec<(String, f64)> = Vec::new();
        for one in chosen {
            let own = self.find(Some(&one.name)).filter(|own| own.named.base.as_ref() == Some(&wanted.base));
            let own = own.ok_or_else(|| {
                let message = format!("'{}' has no adapter '{}' here", wanted.base, one.name);
                Refusal::not_found("model_not_found", message).about("adapters")
            })?;
            if found.iter().any(|(name, _)| *name == own.named.name) {
                let message = format!("the adapter '{}' is named twice", one.name);
                return Err(Refusal::bad("invalid_value", message).about("adapters"));
            }
            found.push((own.named.name, one.strength));
        }
        Ok(Wanted::mixed(&wanted.base, found))
    }
}

#[cfg(test)]
mod tests {
    use kindling::api::AdapterUse;

    use super::*;

    #[test]
    fn a_request_means_a_name_or_a_mixture_of_its_own() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_string()).collect::<Vec<_>>();
        let names = Names::new(&texts(&["a=x", "b=y"]), &texts(&["one=z", "two=w", "other@b=v"])).unwrap();
        let only = |list: &[(&str, f64)]| {
            let uses = list.iter().map(|&(name, strength)| AdapterUse { name: name.into(), strength });
            Adapters::Only(uses.collect())
        };
        let key = |model, adapters: &Adapters| names.wanted(model, adapters).map(|wanted| wanted.key);
        let keys = [
            key("", &Adapters::Active),
            key("one", &Adapters::Active),
            key("one", &Adapters::Base),
            key("b", &only(&[])),
            key("a", &only(&[("two", 1.0)])),
            key("one", &only(&[("two", 1.0), ("one", 0.5)])),
        ];
        let expected = ["a", "one", "a", "b", "two", "a two=1 one=0.5"];
        assert_eq!(keys.map(Result::unwrap), expected);
        let wanted = names.wanted("one", &Adapters::Active).unwrap();
        assert_eq!((wanted.base.as_str(), &wanted.adapters[..]), ("a", &[("one".to_string(), 1.0)][..]));
        for (model, adapters) in [
            ("none", Adapters::Active),
            ("a", only(&[("other", 1.0)])),
            ("a", only(&[("one", 1.0), ("one", 2.0)])),
        ] {
            assert!(names.wanted(model, &adapters).is_err(), "{model} {adapters:?}");
        }
    }
}
