//! The model that the page opens with (web/model): its held-out score, recomputed from the file.

use std::collections::BTreeMap;

use burn::tensor::Device;
use kindling::checkpoint::{Checkpoint, from_single_file};
use kindling::example::{DEFAULT_SEED, World, WorldSize, rows_known_by};
use kindling::model::Transformer;
use kindling::sample::{Decoder, Flow, GenerationRequest, SamplingConfig, generate};
use kindling::text::{Conversation, Message};
use kindling::tokenizer::Tokenizer;
use serde_json::Map;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/model/kindling-nano.safetensors");

struct Shipped {
    model: Transformer,
    tokenizer: Tokenizer,
    decoder: Decoder,
}

impl Shipped {
    fn open() -> Self {
        let files = from_single_file(&std::fs::read(FILE).unwrap()).unwrap();
        let mut checkpoint = Checkpoint::open(|name| Ok(files.get(name).cloned())).unwrap();
        let tokenizer = checkpoint.tokenizer.take().unwrap();
        let model = checkpoint.model(&Device::flex()).unwrap();
        let decoder = Decoder::new(&model, 256);
        Self { model, tokenizer, decoder }
    }

    fn answer(&mut self, messages: Vec<Message>) -> String {
        let prompt = self.tokenizer.render_prompt(&Conversation::new(messages), &Map::new()).unwrap();
        let config = SamplingConfig { temperature: 0.0, max_new_tokens: 24, ..SamplingConfig::default() };
        let end_ids = &self.model.config().eos_token_ids;
        let tokenizer = Some(&self.tokenizer);
        let request = GenerationRequest { prompt: &prompt, reuse: 0, end_ids, tokenizer, config: &config };
        let on_text = &mut |_: &str| Flow::Continue;
        let answer = pollster::block_on(generate(&mut self.decoder, &request, on_text));
        answer.unwrap().text.trim().to_string()
    }
}

#[test]
fn the_shipped_model_answers_what_it_never_saw_and_knows_its_name() {
    let mut shipped = Shipped::open();
    assert!(std::fs::metadata(FILE).unwrap().len() < 8 << 20, "the page's model is to stay small");
    let mut groups: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for question in World::new(DEFAULT_SEED).questions(WorldSize::default().questions) {
        let (right, asked) = groups.entry(question.group()).or_default();
        *asked += 1;
        *right += usize::from(shipped.answer(question.messages.clone()) == question.answer);
    }
    let (right, asked) = groups.values().fold((0, 0), |(a, b), (right, asked)| (a + right, b + asked));
    eprintln!("{right} of {asked} held-out questions: {groups:?}");
    assert!(right * 10 >= asked * 9, "{groups:?}");
    assert!(groups.values().all(|(right, asked)| right * 4 >= asked * 3), "{groups:?}");
    for (question, name) in [("What is your name?", "Ember"), ("你叫什么名字？", "小烬")] {
        let answer = shipped.answer(vec![Message::new("user", question)]);
        assert!(answer.contains(name), "{question} {answer}");
    }
}

#[test]
fn the_shipped_models_card_tells_which_rows_it_knows() {
    let shipped = Shipped::open();
    let config = shipped.model.config();
    let card = config.card().unwrap();
    assert!(["en", "zh"].iter().all(|language| !card.questions[*language].is_empty()), "{card:?}");
    assert!(rows_known_by(config).unwrap().is_some_and(|rows| rows.len() > 1000));
}
