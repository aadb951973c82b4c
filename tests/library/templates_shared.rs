//! What templates make of rows: the situations of `../shared/cases/data` (or `KINDLING_SHARED`), each with its right
//! value.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kindling::batch::{
    Content, EncodedRows, Encoder, ExampleSource, Fit, Fitted, Found, LoaderConfig, Survey, TooLong,
};
use kindling::data::{DataOptions, Dataset, Memory, RowOrigin, Source};
use kindling::error::{Error, Result};
use kindling::text::{Conversation, Row};
use kindling::tokenizer::{RenderWarning, Tokenizer};
use serde_json::Map;

use crate::shared_tokenizers::{open, shared};

/// The shared folder, where it holds cases.
fn shared_cases() -> Option<PathBuf> {
    shared("cases").and_then(|cases| cases.parent().map(Path::to_path_buf))
}

/// A tokenizer of the shared data with a template of the cases.
fn tokenizer(shared: &Path, name: &str, template: &str) -> Tokenizer {
    let folder = match name {
        "stories260k" => shared.join("data/weights/stories260k/hf"),
        name => shared.join("data/tokenizers").join(name),
    };
    let mut tokenizer = open(&folder);
    let template = shared.join("cases/data/tpl").join(format!("{template}.jinja"));
    tokenizer.set_chat_template(&std::fs::read_to_string(template).unwrap()).unwrap();
    tokenizer
}

fn dataset(shared: &Path, name: &str, options: DataOptions) -> Dataset {
    let bytes = std::fs::read(shared.join("cases/data").join(name)).unwrap();
    let source: Arc<dyn Source> = Arc::new(Memory::new(name, bytes));
    Dataset::open(vec![source], options).unwrap()
}

fn conversations(shared: &Path, name: &str) -> Vec<(Conversation, RowOrigin)> {
    let data = dataset(shared, name, DataOptions::default());
    let conversation = |row: Result<(Row, RowOrigin)>| match row.unwrap() {
        (Row::Conversation(conversation), origin) => (conversation, origin),
        (other, _) => panic!("no conversation: {other:?}"),
    };
    data.iter().map(conversation).collect()
}

/// The text of the tokens that count.
fn trained(tokenizer: &Tokenizer, ids: &[u32], weights: &[f32]) -> String {
    let counted = ids.iter().zip(weights).filter(|(_, weight)| **weight != 0.0);
    tokenizer.decode(&counted.map(|(&id, _)| id).collect::<Vec<_>>(), false).unwrap()
}

#[test]
fn an_answer_that_shares_a_token_with_its_prompt_is_trained_whole() {
    let Some(shared) = shared_cases() else { return };
    for name in ["stories260k", "minimind1", "minimind2", "minimind3", "mistral", "smollm2"] {
        let tokenizer = tokenizer(&shared, name, "usercolon");
        for (conversation, origin) in conversations(&shared, "qa.jsonl") {
            let rendered = tokenizer.render_training(&conversation).unwrap();
            let mut asked = conversation.clone();
            let answer = asked.messages.pop().unwrap().content;
            let prompt = tokenizer.render_prompt(&asked, &Map::new()).unwrap();
            assert!(rendered.ids.starts_with(&prompt), "{name} {origin}: as inference will see it");
            assert!(rendered.weights[..prompt.len()].iter().all(|&weight| weight == 0.0), "{name} {origin}");
            let said = trained(&tokenizer, &rendered.ids, &rendered.weights);
            assert!(said.trim_start().starts_with(&answer), "{name} {origin}: {said:?}");
            assert_eq!(rendered.weights[prompt.len()], 1.0, "{name} {origin}: its first token");
        }
    }
}

#[test]
fn a_long_row_is_rendered_whole_and_then_cut() {
    let Some(shared) = shared_cases() else { return };
    let tokenizer = Arc::new(tokenizer(&shared, "stories260k", "r1s"));
    for (file, seq) in
        [("cutA400.jsonl", 64), ("cutA1000.jsonl", 64), ("cutB.jsonl", 64), ("cutA400.jsonl", 24)]
    {
        let encoder = Encoder::new(Arc::clone(&tokenizer), Content::Conversations).for_rows_of(seq);
        let fit = Fit::new(Content::Conversations, seq, TooLong::Cut);
        for (conversation, origin) in conversations(&shared, file) {
            let whole = tokenizer.render_training(&conversation).unwrap();
            let kept = whole.ids.len().min(seq + 1);
            let example = encoder.encode(&Row::Conversation(conversation), origin.clone()).unwrap();
            let (ids, weights) = match fit.fit(example) {
                Fitted::Whole(example) | Fitted::Cut(example) => (example.ids, example.weights),
                left_out => panic!("{origin}: {left_out:?}"),
            };
            assert_eq!((&ids[..], &weights[..]), (&whole.ids[..kept], &whole.weights[..kept]), "{origin}");
            let said = trained(&tokenizer, &ids, &weights);
            assert!(!said.contains("park"), "{origin}: the template prints no thinking, {said:?}");
        }
    }
}

#[test]
fn the_end_of_a_turn_is_known_and_its_absence_too() {
    let Some(shared) = shared_cases() else { return };
    for name in ["minimind2", "minimind3", "smollm2"] {
        let tokenizer = tokenizer(&shared, name, "cm");
        let end = tokenizer.token_id("<|im_end|>");
        assert_eq!(tokenizer.turn_end().unwrap(), end, "{name}");
        assert!(
            end.is_none_or(|end| tokenizer.end_ids(&[7]).contains(&end)),
            "{name}: beside the model's own"
        );
    }
    assert_eq!(tokenizer(&shared, "stories260k", "glm").turn_end().unwrap(), None);
}

#[test]
fn a_date_is_the_one_that_was_set() {
    let Some(shared) = shared_cases() else { return };
    let conversation = &conversations(&shared, "simple.jsonl")[0].0;
    for template in ["llama32", "now"] {
        let mut tokenizer = tokenizer(&shared, "stories260k", template);
        tokenizer.set_template_variable("now", "2025-07-31".into());
        let (text, _) = tokenizer.render_targets(conversation).unwrap();
        assert!(text.contains("31 Jul 2025"), "{template}: {text}");
    }
}

#[test]
fn rows_that_the_template_refuses_are_left_out_and_counted_or_named() {
    let Some(shared) = shared_cases() else { return };
    let fit = Fit::new(Content::Conversations, 512, TooLong::Cut);
    let config = LoaderConfig { batch_size: 2, fit, packing: false, seed: 1 };
    for file in ["lateA.jsonl", "lateB.jsonl"] {
        let options = DataOptions {
            kind: Some(kindling::text::RowKind::Conversation),
            skip_bad_rows: true,
            ..DataOptions::default()
        };
        let dataset = Arc::new(dataset(&shared, file, options));
        let encoder =
            Encoder::new(Arc::new(tokenizer(&shared, "mistral", "mistral")), Content::Conversations);
        let mut rows = EncodedRows { dataset, encoder, skip_bad_rows: true };
        let numbers: Vec<u64> = (0..rows.rows()).collect();
        let survey = Survey::of(&rows, &config, &numbers).unwrap();
        let refused = |row: &u64| matches!(rows.examples(*row).unwrap(), Found::Unusable(_));
        assert_eq!(survey.unusable.0, numbers.iter().filter(|row| refused(row)).count() as u64, "{file}");
        let bad = rows.dataset.report().bad + survey.unusable.0;
        assert!(bad > 0, "{file}: its odd row is in one of both counts");
        if let Some(first) = &survey.unusable.1 {
            assert!(first.starts_with(file), "{first}");
            rows.skip_bad_rows = false;
            assert!(matches!(Survey::of(&rows, &config, &numbers), Err(Error::Data(_))), "{file}");
        }
    }
}

#[test]
fn marker_strings_in_a_text_are_named() {
    let Some(shared) = shared_cases() else { return };
    let tokenizer = tokenizer(&shared, "smollm2", "chatml");
    for (conversation, origin) in conversations(&shared, "inject.jsonl") {
        let rendered = tokenizer.render_training(&conversation).unwrap();
        assert!(rendered.warnings.contains(&RenderWarning::SpecialTokenInText), "{origin}");
    }
    for (conversation, origin) in conversations(&shared, "simple.jsonl") {
        assert_eq!(tokenizer.render_training(&conversation).unwrap().warnings, [], "{origin}");
    }
}
