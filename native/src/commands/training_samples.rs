//! `--sample-every`: what a model writes while it trains, to the same prompts again and again, greedily.

use std::sync::Arc;

use burn::module::Module;
use kindling::demo::DemoKind;
use kindling::error::Result;
use kindling::model::Transformer;
use kindling::sample::SamplingConfig;
use kindling::tokenizer::Tokenizer;

use super::demo::{Opened, sees_both_sides};
use super::report_samples::{answer, write_on};
use crate::failure::Failure;
use crate::report::Answer;
use crate::tracking::{Sample, TrackingConfig};

/// Built-in prompts, where none are named.
const PROMPTS: usize = 3;
/// Tokens of a text.
const LONGEST: usize = 64;

/// What a model is asked on the way, and when.
pub struct TrainingSamples {
    every: u64,
    /// The step of the last time.
    last: u64,
    prompts: Vec<String>,
    kind: DemoKind,
    tokenizer: Arc<Tokenizer>,
}

impl TrainingSamples {
    /// For a run that is at a step and makes a model of a kind; `None` where nothing is asked.
    pub fn of(
        config: &TrackingConfig,
        kind: DemoKind,
        model: &Transformer,
        tokenizer: &Arc<Tokenizer>,
        step: u64,
    ) -> Option<Self> {
        let built_in = match kind.writes_on() {
            true => kind.openings(sees_both_sides(model.config())),
            false => kind.questions(),
        };
        let prompts = match config.sample_prompt.as_slice() {
            [] => built_in.iter().take(PROMPTS).map(ToString::to_string).collect(),
            named => named.to_vec(),
        };
        let tokenizer = Arc::clone(tokenizer);
        let every = config.samples_every();
        (every > 0).then(|| Self { every, last: step, prompts, kind, tokenizer })
    }

    /// Whether a step ends a stretch of so many steps, or lies behind its end.
    pub fn is_due(&self, step: u64) -> bool {
        step / self.every > self.last / self.every
    }

    /// What the model of a step writes; `None` where a person stops the run meanwhile.
    ///
    /// # Errors
    /// Whatever is no refusal of a single prompt.
    pub fn write(&mut self, step: u64, model: &Transformer) -> Result<Option<Vec<Sample>>> {
        self.last = step;
        let sampling = SamplingConfig {
            temperature: 0.0,
            repetition_penalty: 1.0,
            max_new_tokens: LONGEST,
            ..SamplingConfig::default()
        };
        let opened = Opened {
            name: String::new(),
            model: model.valid(),
            tokenizer: (*self.tokenizer).clone(),
            kind: self.kind,
        };
        let texts: Vec<&str> = self.prompts.iter().map(String::as_str).collect();
        let answers = match self.kind.writes_on() {
            true => write_on(&opened, &texts, &sampling),
            false => answer(&opened, &texts, &sampling),
        };
        let answers = match answers {
            Ok(answers) => answers,
            Err(Failure::Work(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let sample = |(prompt, answer): (&String, Answer)| {
            let text = match answer {
                Answer::Text(text, is_cut) => {
                    if is_cut {
                        text + "…"
                    } else {
                        text
                    }
                }
                Answer::Refused(why) => format!("({why})"),
            };
            Sample { prompt: prompt.clone(), text }
        };
        Ok(Some(self.prompts.iter().zip(answers).map(sample).collect()))
    }
}
