//! What a model's maker tells of it: what it knows, questions to try, and which generated rows it learned.
//!
//! It stands as `kindling` among the settings of `generation_config.json`, which what is made of the model keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ModelConfig, Transformer};
use crate::told::{Told, told};

/// Its key among the settings of generation.
const KEY: &str = "kindling";

/// What is told of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelCard {
    /// What it knows, a sentence or two a language (`en`, `zh`).
    pub about: BTreeMap<String, String>,
    /// Questions to try, by language.
    pub questions: BTreeMap<String, Vec<String>>,
    /// The fingerprint of the rows of the generated world that it knows, as `example::known_rows` gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub world: Option<String>,
    /// The name of the model that it was converted or merged from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

impl ModelCard {
    /// The card in a `generation_config.json`, where there is one that can be read.
    pub fn of_generation(json: &[u8]) -> Option<Self> {
        let settings: Value = serde_json::from_slice(json).ok()?;
        Self::deserialize(settings.get(KEY)?).ok()
    }
}

impl ModelConfig {
    /// The model's card, where it has one that can be read.
    pub fn card(&self) -> Option<ModelCard> {
        ModelCard::deserialize(self.generation.get(KEY)?).ok()
    }

    /// The same model with this card.
    pub fn with_card(mut self, card: &ModelCard) -> Self {
        // Texts by text are always JSON.
        let card = serde_json::to_value(card).unwrap_or(Value::Null);
        self.generation.insert(KEY.into(), card);
        self
    }

    /// The same model, whose card says what it was made of; all else that the card tells stays, also what is not read
    /// here. What stands in a card's place and is none stays as it is.
    pub fn with_parent(mut self, parent: &str) -> Self {
        let card = self.generation.entry(KEY).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(card) = card {
            card.insert("parent".into(), parent.into());
        }
        self
    }

    /// What a person should know of a card that cannot be read.
    pub(crate) fn card_warning(&self) -> Option<Told> {
        let error = ModelCard::deserialize(self.generation.get(KEY)?).err()?;
        Some(told!(
            "model.card",
            "'{key}' in generation_config.json is no card of a model ({error}), and is not read",
            key = KEY,
            error
        ))
    }
}

impl Transformer {
    /// The same model with this card.
    pub fn with_card(mut self, card: &ModelCard) -> Self {
        self.config = self.config.with_card(card);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;
    use burn::tensor::Device;
    use serde_json::json;

    #[test]
    fn a_card_stays_with_the_model() {
        let config = ModelConfig { num_hidden_layers: 1, ..preset("nano").unwrap().config(Some(8)) };
        let model = Transformer::init(&config, 1, &Device::flex()).unwrap();
        assert_eq!((model.config().card(), model.config().card_warning()), (None, None));
        let card = ModelCard {
            about: [("en".to_string(), "It knows cats.".to_string())].into(),
            questions: [("zh".to_string(), vec!["猫呢？".to_string()])].into(),
            world: Some("ab12".into()),
            parent: None,
        };
        let model = model.with_card(&card);
        assert_eq!(model.config().card(), Some(card.clone()));
        let settings = serde_json::to_vec(&model.config().generation).unwrap();
        assert_eq!(ModelCard::of_generation(&settings), Some(card));
        assert_eq!(ModelCard::of_generation(b"{}").or(ModelCard::of_generation(b"[")), None);
        assert_eq!(model.config().card_warning(), None);
        assert_eq!(model.config().generation["kindling"]["about"]["en"], "It knows cats.");
    }

    #[test]
    fn a_card_may_lack_parts_and_one_that_is_none_is_told() {
        let with = |value: Value| {
            let mut config = preset("nano").unwrap().config(Some(8));
            config.generation.insert(KEY.into(), value);
            config
        };
        let part = with(json!({"about": {"en": "x"}, "other": 1})).card().unwrap();
        assert_eq!((part.about["en"].as_str(), part.questions.len(), part.world), ("x", 0, None));
        let converted = with(json!({"about": {"en": "x"}, "other": 1})).with_parent("my/first");
        assert_eq!(converted.card().unwrap().parent.as_deref(), Some("my/first"));
        let told = &converted.generation[KEY];
        assert_eq!(
            (&told["about"]["en"], &told["other"]),
            (&json!("x"), &json!(1)),
            "what is not read stays"
        );
        let fresh = preset("nano").unwrap().config(Some(8)).with_parent("a");
        let alone = ModelCard { parent: Some("a".into()), ..ModelCard::default() };
        assert_eq!(fresh.card(), Some(alone));
        assert_eq!(with(json!("a note")).with_parent("a").generation[KEY], "a note");
        let odd = with(json!({"about": "x"}));
        assert_eq!(odd.card(), None);
        assert!(odd.card_warning().unwrap().contains("'kindling' in generation_config.json"));
    }
}
