//! `--like NAME`: what a known training sets, behind what the command line and a settings file say.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::Command;
use kindling::train::{RECIPES, Recipe};
use serde_json::json;
use toml::{Table, Value};

use crate::config_file::{add, settings_of};
use crate::failure::Failure;
use crate::output::Output;
use crate::run_kind::RunKind;

/// The flag's name.
const LIKE: &str = "like";
/// The size of a new model, which only pretraining makes.
const PRESET: &str = "preset";
/// Flags that say where a model comes from, or its size.
const MODELS: [&str; 3] = ["model", "model-config", PRESET];

/// What a recipe set, and what it left as it was said.
pub struct Applied {
    recipe: &'static Recipe,
    /// Settings that are the recipe's now, each with its value.
    set: Vec<(String, String)>,
    /// Those that were said, each with the recipe's value.
    kept: Vec<(String, String)>,
}

/// Adds what `--like` brings to a command line; `None` where it is not said, or where a run goes on, which keeps what it
/// has.
///
/// # Errors
/// A name that is not known, or not for this verb, with those that are.
pub fn apply(command: &Command, args: &mut Vec<OsString>) -> Result<Option<Applied>, Failure> {
    let Some((settings, said)) = settings_of(command, args) else { return Ok(None) };
    let Some(name) = settings.get(LIKE).map(text) else { return Ok(None) };
    let Some(kind) =
        RunKind::of_settings(&settings, "").filter(|_| !said.iter().any(|said| said == "resume"))
    else {
        return Ok(None);
    };
    let verb = kind.command();
    let recipe = Recipe::of(&name, &verb).ok_or_else(|| unknown(&name, &verb))?;
    let mut table: Table =
        recipe.settings().map(|(flag, value)| (flag.to_string(), Value::String(value.to_string()))).collect();
    let has = |flag: &str| said.iter().any(|said| said == flag);
    if verb == "pretrain" && !MODELS.into_iter().any(has) {
        table.insert(PRESET.to_string(), recipe.preset.into());
    }
    if has("steps") {
        // They count in the place of the passes.
        table.remove("epochs");
    }
    let added: BTreeSet<String> =
        add(command, args, &table, &format!("--{LIKE} {name}"))?.into_iter().collect();
    let named = table.iter().map(|(flag, value)| (flag.clone(), text(value)));
    let (set, kept) = named.partition(|(flag, _)| added.contains(flag));
    Ok(Some(Applied { recipe, set, kept }))
}

fn unknown(name: &str, verb: &str) -> Failure {
    let verbs: Vec<&str> = RunKind::verbs().map(|(verb, _)| verb).collect();
    let built = RECIPES.iter().filter(|recipe| verbs.contains(&recipe.verb));
    let names: BTreeSet<&str> = built.clone().map(|recipe| recipe.like).collect();
    let list: Vec<String> = names
        .iter()
        .map(|name| {
            let own = built.clone().filter(|recipe| recipe.like == *name);
            format!("{name} ({})", own.map(|recipe| recipe.verb).collect::<Vec<_>>().join(", "))
        })
        .collect();
    let what = match names.contains(name) {
        true => format!("--{LIKE} {name} tells nothing of `{verb}`"),
        false => format!("--{LIKE} knows no '{name}'"),
    };
    Failure::Usage(format!("{what}; known are {}", list.join("; ")))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

impl Applied {
    /// Says what was set, and what was not, because it was said.
    pub fn tell(&self, name: &str, kind: RunKind, output: Output) {
        let listed = |settings: &[(String, String)]| {
            settings.iter().map(|(flag, value)| format!("--{flag} {value}")).collect::<Vec<_>>().join(" ")
        };
        let (verb, source) = (kind.command(), self.recipe.source);
        let set =
            if self.set.is_empty() { "nothing, all of it was said".to_string() } else { listed(&self.set) };
        output.say(&format!("--{LIKE} {name} sets for {verb} ({source}): {set}"));
        if !self.kept.is_empty() {
            output.say(&format!("what you said stays, in the place of its {}", listed(&self.kept)));
        }
        let values = |settings: &[(String, String)]| {
            let pairs = settings.iter().map(|(flag, value)| (flag.clone(), value.clone().into()));
            serde_json::Value::Object(pairs.collect())
        };
        output.json(&json!({
            "event": "recipe", "like": name, "source": source, "set": values(&self.set), "kept": values(&self.kept),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn applied(line: &str) -> (Option<Applied>, Table) {
        let command = command();
        let mut args: Vec<OsString> =
            ["kindling"].into_iter().chain(line.split(' ')).map(OsString::from).collect();
        let applied = apply(&command, &mut args).unwrap();
        command.clone().try_get_matches_from(&args).unwrap();
        (applied, settings_of(&command, &args).unwrap().0)
    }

    #[test]
    fn every_recipe_of_a_verb_that_is_built_holds_flags_of_it() {
        let verbs: BTreeSet<&str> = RunKind::verbs().map(|(verb, _)| verb).collect();
        for recipe in RECIPES.iter().filter(|recipe| verbs.contains(recipe.verb)) {
            let line = format!("{} --like {} --data x", recipe.verb, recipe.like);
            let (applied, settings) = applied(&line);
            assert!(applied.unwrap().kept.is_empty(), "{line}");
            for (flag, value) in recipe.settings() {
                let set = match &settings[flag] {
                    Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
                    one => text(one),
                };
                let number = |text: &str| text.parse::<f64>().ok();
                let equal = number(&set).is_some() && number(&set) == number(value);
                assert!(set == value || equal, "{line}: --{flag} {set}, not {value}");
            }
        }
    }

    #[test]
    fn what_is_said_wins_and_a_new_model_gets_its_size() {
        let (applied, settings) = self::applied("pretrain --like minimind3 --data x --epochs 7");
        assert_eq!(
            (settings["preset"].as_str(), text(&settings["epochs"])),
            (Some("minimind3"), "7".to_string())
        );
        assert_eq!(applied.unwrap().kept, [("epochs".to_string(), "2".to_string())]);
        let (applied, settings) = self::applied("pretrain --like minimind3 --data x --model m --steps 9");
        assert!(!settings.contains_key("preset"));
        assert!(applied.unwrap().set.iter().all(|(flag, _)| flag != "epochs"));
        let (applied, settings) = self::applied("sft --lora --like minigpt --data x --model m");
        assert_eq!((text(&settings["lora-rank"]), applied.unwrap().recipe.verb), ("8".to_string(), "lora"));
    }

    #[test]
    fn nothing_is_set_unasked_or_where_a_run_goes_on() {
        assert!(applied("sft --data x --model m").0.is_none());
        assert!(applied("sft --like minigpt --resume --out run").0.is_none());
        assert!(applied("doctor").0.is_none());
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        let refused = |line: &str| {
            let mut args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            match apply(&command(), &mut args) {
                Err(Failure::Usage(message)) => message,
                _ => panic!("{line} was not refused"),
            }
        };
        let message = refused("kindling sft --data x --like gpt5");
        assert!(
            message.starts_with("--like knows no 'gpt5'; known are minigpt (pretrain, sft, dpo, lora); "),
            "{message}"
        );
        let message = refused("kindling dpo --data x --like tiny-llm");
        assert!(
            message.starts_with("--like tiny-llm tells nothing of `dpo`") && message.contains("spongebob"),
            "{message}"
        );
    }
}
