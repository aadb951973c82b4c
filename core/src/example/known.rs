//! What a model of this world knows: rows to keep while it learns something else, and the card that says so.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::json;

use super::{DEFAULT_SEED, Kind, Language, Question, World};
use crate::data::{DataOptions, Dataset, Memory, Source};
use crate::error::Result;
use crate::model::{ModelCard, ModelConfig};
use crate::text::{Conversation, Message, RowKind};

/// Conversations of which the beginnings are kept.
const DRAWN: usize = 3000;
/// Messages of such a beginning: two turns. Longer ones would take most of a step of a few rows.
const LONGEST: usize = 4;
/// Questions of these kinds come first on the card: they show best what such a model is.
const SHOWN_FIRST: [Kind; 3] = [Kind::Identity, Kind::Facts, Kind::Arithmetic];
/// What is told of such a model, by language.
const ABOUT: [(Language, &str); 2] = [
    (
        Language::En,
        "A small model that knows a made-up world: its animals, places and things. It adds and subtracts small numbers, \
         and remembers what was said in the conversation.",
    ),
    (
        Language::Zh,
        "一个小模型，熟悉一个虚构的世界：那里的动物、地点和物品。它会算小数目的加减法，也记得对话里说过的话。",
    ),
];

/// The beginnings of conversations of the default world, as rows that a model of it knows.
///
/// # Errors
/// None that its own rows give.
pub fn known_rows() -> Result<Arc<Dataset>> {
    static ROWS: OnceLock<Arc<Dataset>> = OnceLock::new();
    if let Some(rows) = ROWS.get() {
        return Ok(Arc::clone(rows));
    }
    let chats = World::new(DEFAULT_SEED).conversations(DRAWN);
    let line = |chat: &Conversation| format!("{}\n", json!({ "messages": beginning(chat) }));
    let lines = chats.iter().map(line).collect::<String>();
    let source: Arc<dyn Source> = Arc::new(Memory::new("known.jsonl", lines));
    let options = DataOptions { kind: Some(RowKind::Conversation), ..DataOptions::default() };
    let rows = Arc::new(Dataset::open(vec![source], options)?);
    Ok(Arc::clone(ROWS.get_or_init(|| rows)))
}

/// The first turns.
fn beginning(chat: &Conversation) -> &[Message] {
    &chat.messages[..LONGEST.min(chat.messages.len())]
}

/// The card of a model that learned the default world.
///
/// # Errors
/// As [`known_rows`].
pub fn card() -> Result<ModelCard> {
    let about =
        ABOUT.iter().map(|(language, text)| (code(*language).to_string(), text.to_string())).collect();
    let mut questions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = Vec::new();
    let mut all = World::new(DEFAULT_SEED).questions(1);
    all.sort_by_key(place_on_card);
    for question in all {
        // One of each kind, of those that begin a conversation.
        let ([first], false) =
            (question.messages.as_slice(), seen.contains(&(question.language, question.kind)))
        else {
            continue;
        };
        seen.push((question.language, question.kind));
        questions.entry(code(question.language).into()).or_default().push(first.content.clone());
    }
    Ok(ModelCard { about, questions, world: Some(known_rows()?.fingerprint()), parent: None })
}

/// The place of a question's kind on the card; the others stay in their order behind those that come first.
fn place_on_card(question: &Question) -> usize {
    SHOWN_FIRST.iter().position(|kind| *kind == question.kind).unwrap_or(SHOWN_FIRST.len())
}

/// The rows to keep of a model whose card says that it learned the world that is generated here: another version of it
/// has other rows.
///
/// # Errors
/// As [`known_rows`].
pub fn rows_known_by(config: &ModelConfig) -> Result<Option<Arc<Dataset>>> {
    let Some(world) = config.card().and_then(|card| card.world) else { return Ok(None) };
    let rows = known_rows()?;
    Ok((rows.fingerprint() == world).then_some(rows))
}

fn code(language: Language) -> &'static str {
    match language {
        Language::En => "en",
        Language::Zh => "zh",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Transformer, preset};
    use crate::text::Row;
    use burn::tensor::Device;

    #[test]
    fn known_rows_are_beginnings_of_conversations_of_the_world() {
        let rows = known_rows().unwrap();
        assert_eq!(rows.len(), DRAWN as u64);
        let said = World::new(DEFAULT_SEED).conversations(DRAWN);
        for (row, chat) in rows.iter().zip(&said) {
            let (row, _) = row.unwrap();
            assert!(matches!(&row, Row::Conversation(kept) if kept.messages == beginning(chat)), "{row:?}");
            assert_eq!(beginning(chat).len(), LONGEST);
        }
        assert!(Arc::ptr_eq(&rows, &known_rows().unwrap()), "they are made once");
    }

    #[test]
    fn a_card_tells_questions_in_both_languages_that_no_row_holds() {
        let card = card().unwrap();
        for language in ["en", "zh"] {
            let questions = &card.questions[language];
            assert!(questions.len() >= 2 && !card.about[language].is_empty(), "{questions:?}");
        }
        let chats = World::new(DEFAULT_SEED).conversations(500);
        let firsts: Vec<&str> = chats.iter().map(|chat| chat.messages[0].content.as_str()).collect();
        assert!(card.questions.values().flatten().all(|question| !firsts.contains(&question.as_str())));
    }

    #[test]
    fn a_card_begins_with_who_it_is_a_fact_and_a_sum() {
        let card = card().unwrap();
        let asked = World::new(DEFAULT_SEED).questions(1);
        for questions in card.questions.values() {
            let kind = |text: &String| {
                asked
                    .iter()
                    .find(|question| question.messages[0].content == *text)
                    .map(|question| question.kind)
            };
            let kinds: Vec<Option<Kind>> = questions.iter().map(kind).collect();
            assert_eq!(kinds[..3], SHOWN_FIRST.map(Some), "{questions:?}");
            assert_eq!(kinds.len(), Kind::ALL.len() - 1, "a follow-up begins no conversation: {questions:?}");
        }
    }

    #[test]
    fn only_this_world_is_known() {
        let config = ModelConfig { num_hidden_layers: 1, ..preset("nano").unwrap().config(Some(8)) };
        let model = Transformer::init(&config, 1, &Device::flex()).unwrap();
        let known = |model: &Transformer| rows_known_by(model.config()).unwrap().map(|rows| rows.len());
        assert_eq!(known(&model), None);
        let card = card().unwrap();
        let model = model.with_card(&card);
        assert_eq!(known(&model), Some(known_rows().unwrap().len()));
        let older = ModelCard { world: Some("of another version".into()), ..card };
        assert_eq!(known(&model.with_card(&older)), None);
    }
}
