//! The trained examples that come with the page: adapters of the model that it opens with, and what was measured of each.

use std::collections::BTreeMap;

use crate::language::Sentence;

/// What `web/model/make` measured; tests/library/shipped_trained.rs measures it again.
const FIGURES: &str = include_str!("../model/trained/figures.json");

/// The files of each example, in PEFT's layout.
pub const FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// An adapter that comes with the page.
pub struct Trained {
    /// Its files are in `trained/NAME/`.
    pub name: &'static str,
    /// Its title.
    pub title: Sentence,
    /// What it learned.
    pub about: Sentence,
    /// What is asked before and after.
    pub question: Sentence,
    /// What was measured.
    pub measures: &'static [Measure],
}

/// A share that was measured before and after.
pub struct Measure {
    /// Its name among the figures.
    pub key: &'static str,
    /// What it is a share of.
    pub named: Sentence,
}

/// The examples that come with the page.
pub static TRAINED: [Trained; 2] = [
    Trained {
        name: "reasoning",
        title: |t| t.trained.reasoning,
        about: |t| t.trained.reasoning_about,
        question: |t| t.trained.reasoning_question,
        measures: &[
            Measure { key: "tags", named: |t| t.trained.tags },
            Measure { key: "sums", named: |t| t.trained.sums },
            Measure { key: "carried", named: |t| t.trained.carried },
            Measure { key: "others", named: |t| t.trained.others },
        ],
    },
    Trained {
        name: "preference",
        title: |t| t.trained.preference,
        about: |t| t.trained.preference_about,
        question: |t| t.trained.preference_question,
        measures: &[
            Measure { key: "invites", named: |t| t.trained.invites },
            Measure { key: "told", named: |t| t.trained.told },
            Measure { key: "goes_on", named: |t| t.trained.goes_on },
            Measure { key: "others", named: |t| t.trained.others },
        ],
    },
];

/// The shares before and after, by example and measure.
pub fn figures() -> BTreeMap<String, BTreeMap<String, [f64; 2]>> {
    // A test reads the same file.
    serde_json::from_str(FIGURES).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn every_measure_was_taken_and_every_figure_is_shown() {
        let figures = figures();
        assert_eq!(figures.len(), TRAINED.len());
        for shown in &TRAINED {
            let measured: Vec<&str> = figures[shown.name].keys().map(String::as_str).collect();
            let mut keys: Vec<&str> = shown.measures.iter().map(|measure| measure.key).collect();
            keys.sort_unstable();
            assert_eq!(keys, measured, "{}", shown.name);
            let shares = figures[shown.name].values().flatten();
            assert!(shares.into_iter().all(|share| (0.0..=1.0).contains(share)), "{}", shown.name);
        }
    }

    #[test]
    fn examples_and_measures_have_names_of_their_own_in_both_languages() {
        for text in [Language::English, Language::Chinese].map(Language::text) {
            for shown in &TRAINED {
                let mut said = vec![(shown.title)(text), (shown.about)(text), (shown.question)(text)];
                said.extend(shown.measures.iter().map(|measure| (measure.named)(text)));
                let count = said.len();
                said.sort_unstable();
                said.dedup();
                assert_eq!(said.len(), count, "{}", shown.name);
            }
        }
    }

    #[test]
    fn the_files_are_there_and_kept_without_a_network() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/model/trained");
        let kept = include_str!("../js/offline.js");
        for (shown, file) in TRAINED.iter().flat_map(|shown| FILES.map(|file| (shown, file))) {
            assert!(std::fs::metadata(format!("{folder}/{}/{file}", shown.name)).unwrap().len() > 100);
            assert!(kept.contains(&format!("\"./trained/{}/{file}\"", shown.name)), "{} {file}", shown.name);
        }
    }
}
