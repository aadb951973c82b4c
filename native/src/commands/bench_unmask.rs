//! `bench --unmask`: how fast a masked predictor writes, beside the causal model of the same shape.

use burn::tensor::Device;
use kindling::bench::{Writing, measure_writing};
use kindling::error::Error;
use kindling::model::{DiffusionConfig, ModelConfig, Transformer};
use kindling::sample::UnmaskConfig;
use serde_json::json;

use crate::cli::Everywhere;
use crate::failure::Failure;

/// Tokens of the prompt, and as many new ones.
const TOKENS: usize = 64;
/// Tokens of a block.
const BLOCK: usize = 32;
/// Steps of all new tokens. Two fill a block at once: the most that a threshold can give.
const STEPS: [usize; 5] = [2, 8, 16, 32, 64];

/// What is measured: the size by name, where, for how long.
pub struct UnmaskBench<'a> {
    pub preset: &'a str,
    pub device: &'a Device,
    /// The device as it is told.
    pub place: String,
    pub seconds: f64,
}

impl UnmaskBench<'_> {
    /// Measures causal decoding, then unmasking with every position seeing every position, and in blocks behind a cache. The
    /// weights have learned nothing: speed says nothing of what is written, and how many steps a threshold saves depends on
    /// the model.
    pub fn run(&self, config: &ModelConfig, everywhere: &Everywhere) -> Result<(), Failure> {
        let context = config.context();
        if context < 2 * TOKENS {
            return Err(Error::Config(vec![
                format!(
                    "--unmask writes {TOKENS} tokens behind as many, and the context of {} holds {context}; take a longer \
                     preset",
                    self.preset
                )
                .into(),
            ])
            .into());
        }
        let causal = self.measure(config, UnmaskConfig::default(), everywhere)?;
        self.tell("causal", &causal, causal.tokens_per_second, everywhere);
        for (name, block_length) in [("bidirectional", None), ("block", Some(BLOCK))] {
            let mask_token_id = config.vocab_size.saturating_sub(1) as u32;
            let diffusion = DiffusionConfig { mask_token_id, block_length, shift_logits: true };
            let config = ModelConfig { diffusion: Some(diffusion), ..config.clone() };
            for steps in STEPS {
                let unmask =
                    UnmaskConfig { steps: Some(steps), block_length: Some(BLOCK), ..UnmaskConfig::default() };
                let writing = self.measure(&config, unmask, everywhere)?;
                self.tell(name, &writing, causal.tokens_per_second, everywhere);
            }
        }
        Ok(())
    }

    fn measure(
        &self,
        config: &ModelConfig,
        unmask: UnmaskConfig,
        everywhere: &Everywhere,
    ) -> Result<Writing, Failure> {
        let model = Transformer::init(config, 0, self.device)?.with_dtype(everywhere.dtype.burn());
        Ok(pollster::block_on(measure_writing(&model, unmask, [TOKENS; 2], self.seconds))?)
    }

    fn tell(&self, attention: &str, writing: &Writing, causal: f64, everywhere: &Everywhere) {
        let output = everywhere.output();
        let times = writing.tokens_per_second / causal;
        output.json(&json!({
            "what": "unmask", "device": self.place, "preset": self.preset, "attention": attention,
            "block_length": BLOCK, "prompt": TOKENS, "new": TOKENS, "steps": writing.steps,
            "tokens_per_second": writing.tokens_per_second, "times_causal": times,
        }));
        output.line(&format!(
            "{attention}, {} steps: {:.0} tokens/s, {times:.2} × causal decoding",
            writing.steps, writing.tokens_per_second
        ));
    }
}
