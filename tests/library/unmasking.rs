//! Masked predictors write: the ids of LLaDA's sampler in plain PyTorch (tests/golden/unmask/make.py), and conversations.

use std::path::Path;

use burn::tensor::Device;
use kindling::chat::{AnswerSettings, ChatSession};
use kindling::checkpoint::Checkpoint;
use kindling::model::{DiffusionConfig, ModelConfig, Transformer};
use kindling::sample::{Flow, GenerationRequest, Remasking, SamplingConfig, UnmaskConfig, Writer, Written};
use serde::Deserialize;

use crate::tiny;

#[derive(Deserialize)]
struct Golden {
    mask: u32,
    prompt: Vec<u32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    settings: Settings,
    tokens: Vec<u32>,
}

/// What differs from 16 tokens, one a step, in one block.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    steps: usize,
    block: usize,
    temperature: f64,
    cfg: f64,
    remasking: String,
    forbidden: Vec<u32>,
    shift: bool,
    seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let remasking = "low_confidence".to_string();
        let forbidden = Vec::new();
        Self {
            steps: 16,
            block: 16,
            temperature: 0.0,
            cfg: 0.0,
            remasking,
            forbidden,
            shift: false,
            seed: 42,
        }
    }
}

impl Settings {
    fn sampling(&self) -> SamplingConfig {
        SamplingConfig {
            temperature: self.temperature,
            top_k: 0,
            top_p: 1.0,
            seed: self.seed,
            max_new_tokens: 16,
            ignore_eos: true,
            ..SamplingConfig::default()
        }
    }

    fn unmask(&self) -> UnmaskConfig {
        let remasking = match self.remasking.as_str() {
            "low_confidence" => Remasking::LowConfidence,
            "random" => Remasking::Random,
            other => panic!("{other}"),
        };
        UnmaskConfig {
            steps: Some(self.steps),
            block_length: Some(self.block),
            remasking,
            cfg_scale: self.cfg,
            ..UnmaskConfig::default()
        }
    }
}

#[test]
fn ids_are_those_of_lladas_sampler_in_plain_pytorch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let golden = std::fs::read(folder.join("unmask/expected.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&golden).unwrap();
    let read = |name: &str| Ok(std::fs::read(folder.join("families/qwen3").join(name)).ok());
    let mut checkpoint = Checkpoint::open(read).unwrap();
    assert_eq!(golden.cases.len(), 11);
    for Case { name, settings, tokens } in &golden.cases {
        let shift_logits = settings.shift;
        checkpoint.config.diffusion =
            Some(DiffusionConfig { mask_token_id: golden.mask, block_length: None, shift_logits });
        let model = checkpoint.model(&Device::flex()).unwrap();
        let (config, unmask) = (settings.sampling(), settings.unmask());
        let request = GenerationRequest {
            prompt: &golden.prompt,
            reuse: 0,
            end_ids: &settings.forbidden,
            tokenizer: None,
            config: &config,
            unmask,
        };
        let mut counts = Vec::new();
        let mut on = |written: Written| {
            if let Written::Step(step) = written {
                counts.push(step.filled.len());
            }
            Flow::Continue
        };
        let generation = pollster::block_on(Writer::new(&model, 64).write(&request, &mut on)).unwrap();
        assert_eq!(generation.tokens, *tokens, "{name}");
        assert_eq!((counts.len(), counts.iter().sum::<usize>()), (settings.steps, 16), "{name}");
    }
}

fn model(block_length: Option<usize>, vocab: usize) -> Transformer {
    let diffusion = DiffusionConfig { mask_token_id: vocab as u32, block_length, shift_logits: true };
    let config =
        ModelConfig { max_position_embeddings: 256, diffusion: Some(diffusion), ..tiny::config(vocab + 1) };
    Transformer::init(&config, 3, &Device::flex()).unwrap()
}

/// Three answers of a conversation, by a writer that lasts or by a new one each time.
fn conversation(model: &Transformer, lasts: bool) -> Vec<String> {
    let tokenizer = tiny::tokenizer();
    let sampling = SamplingConfig { temperature: 0.8, max_new_tokens: 13, ..SamplingConfig::default() };
    let end_ids = tokenizer.end_ids(&[]);
    let settings = AnswerSettings {
        tokenizer: &tokenizer,
        end_ids: &end_ids,
        sampling: &sampling,
        unmask: UnmaskConfig { steps: Some(9), ..UnmaskConfig::default() },
    };
    let mut session = ChatSession::new(None, None).unwrap();
    let mut writer = Writer::new(model, 256);
    let mut answers = Vec::new();
    for question in ["the cat", "sat on", "the log?"] {
        if !lasts {
            writer = Writer::new(model, 256);
        }
        let mut streamed = String::new();
        let mut on = |written: Written| {
            if let Written::Piece(piece) = written {
                streamed += piece.text;
            }
            Flow::Continue
        };
        let answer = pollster::block_on(session.answer(&mut writer, settings, question, &mut on)).unwrap();
        assert_eq!(answer.generation.text, streamed);
        answers.push(streamed);
    }
    answers
}

#[test]
fn a_conversation_does_not_depend_on_what_is_kept_of_it() {
    let vocab = tiny::tokenizer().vocab_size();
    for block_length in [None, Some(2), Some(8), Some(50)] {
        let model = model(block_length, vocab);
        let answers = conversation(&model, true);
        assert_eq!(answers, conversation(&model, false), "{block_length:?}");
        assert!(answers.iter().any(|answer| !answer.is_empty()));
    }
}
