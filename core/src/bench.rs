//! Speed, measured honestly: after warm-up, the device synchronised, on batches of real shape.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::Serialize;

use crate::adapter::{Adapter, AdapterConfig, LoraConfig};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::loss::NextToken;
use crate::model::{KvCache, Noise, Transformer, read};
use crate::optim::{AdamW, AdamWConfig};
use crate::platform::now;
use crate::random::Random;
use crate::sample::{Flow, GenerationRequest, SamplingConfig, UnmaskConfig, Writer, Written};
use crate::told::told;
use crate::train::{Step, StepSettings};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum What {
    /// Forward, backward and optimizer.
    Train,
    /// The same for a low-rank adapter of the default settings.
    Lora,
    /// Reading a prompt.
    Prefill,
    /// One new token at a time.
    Decode,
}

impl What {
    /// Whether it asks for gradients.
    pub fn trains(self) -> bool {
        matches!(self, Self::Train | Self::Lora)
    }
}

/// The shape of what a repetition computes.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Rows.
    pub batch: usize,
    /// Tokens a row, in training and in reading.
    pub seq: usize,
    /// New tokens a row, in decoding.
    pub new_tokens: usize,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// What was measured.
    pub what: What,
    /// Rows.
    pub batch: usize,
    /// Tokens a row.
    pub seq: usize,
    /// New tokens of each row and repetition, where decoding was measured.
    pub new_tokens: Option<usize>,
    /// Seconds of the warm-up, in which a graphics device compiles and tunes its kernels.
    pub first_s: f64,
    /// Repetitions, warm-up aside.
    pub steps: usize,
    /// Seconds of all repetitions.
    pub elapsed_s: f64,
    /// Tokens of all rows a second.
    pub tokens_per_second: f64,
    /// Floating-point operations a second, counted from the shapes.
    pub flops_per_second: f64,
}

/// Measures `what` for at least `seconds` after one warm-up.
///
/// # Errors
/// A device that cannot be read.
pub async fn measure(what: What, model: Transformer, load: Load, seconds: f64) -> Result<Measurement> {
    let Load { batch, seq, new_tokens } = load;
    let config = model.config().clone();
    let forward_flops = config.training_flops_per_token(seq) / 3.0;
    let mut bench = Bench::new(what, model, load)?;
    let began = now();
    bench.step().await?;
    let first_s = now() - began;
    let (started, mut steps) = (now(), 0);
    while steps < 2 || now() - started < seconds {
        bench.step().await?;
        steps += 1;
    }
    let elapsed_s = now() - started;
    let (tokens, flops) = match what {
        What::Train => (batch * seq, 3.0 * forward_flops),
        What::Lora => (batch * seq, 2.0 * forward_flops),
        What::Prefill => (batch * seq, forward_flops),
        What::Decode => (batch * new_tokens, forward_flops),
    };
    let tokens_per_second = (steps * tokens) as f64 / elapsed_s;
    let flops_per_second = tokens_per_second * flops;
    let new_tokens = (what == What::Decode).then_some(new_tokens);
    Ok(Measurement {
        what,
        batch,
        seq,
        new_tokens,
        first_s,
        steps,
        elapsed_s,
        tokens_per_second,
        flops_per_second,
    })
}

/// How fast a model writes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Writing {
    /// Passes that chose new tokens, of one answer: as many as there are tokens where it is causal.
    pub steps: usize,
    /// New tokens a second, the reading of the prompt included.
    pub tokens_per_second: f64,
}

/// Writes `new` tokens behind a prompt of `prompt` with whatever the model is, the likeliest ones, again and again for at
/// least `seconds` after one warm-up.
///
/// # Errors
/// Settings that are not for this model; a device that cannot be read.
pub async fn measure_writing(
    model: &Transformer,
    unmask: UnmaskConfig,
    [prompt, new]: [usize; 2],
    seconds: f64,
) -> Result<Writing> {
    let mask = model.config().diffusion.as_ref().map(|diffusion| diffusion.mask_token_id);
    let mut random = Random::new(0, 0);
    let mut id = || random.below(model.config().vocab_size as u64) as u32;
    let prompt: Vec<u32> =
        std::iter::repeat_with(&mut id).filter(|id| Some(*id) != mask).take(prompt).collect();
    let sampling = SamplingConfig { temperature: 0.0, max_new_tokens: new, ..SamplingConfig::default() };
    let request = GenerationRequest {
        prompt: &prompt,
        reuse: 0,
        end_ids: &[],
        tokenizer: None,
        config: &sampling,
        unmask,
    };
    let mut writer = Writer::new(model, prompt.len() + new);
    let (mut runs, mut steps, mut written, mut started) = (0, 0, 0, now());
    while runs < 3 || now() - started < seconds {
        steps = 0;
        let mut on = |heard: Written| {
            steps += match heard {
                Written::Step(_) => 1,
                Written::Piece(piece) => usize::from(piece.token.is_some()),
            };
            Flow::Continue
        };
        let generation = writer.write(&request, &mut on).await?;
        // The first run warms up.
        match runs {
            0 => started = now(),
            _ => written += generation.tokens.len(),
        }
        runs += 1;
    }
    Ok(Writing { steps, tokens_per_second: written as f64 / (now() - started).max(1e-9) })
}

struct Bench {
    what: What,
    model: Option<Transformer>,
    optimizer: AdamW,
    batch: Batch,
    new_tokens: usize,
    device: Device,
}

impl Bench {
    fn new(what: What, model: Transformer, load: Load) -> Result<Self> {
        let model = match what {
            What::Train => model,
            What::Lora => adapted(model)?,
            What::Prefill => model.valid(),
            What::Decode => model.valid().writing(),
        };
        let batch = random_batch(model.config().vocab_size as u64, load.batch, load.seq);
        let (device, new_tokens) = (model.device(), load.new_tokens);
        let optimizer = AdamW::new(AdamWConfig::default());
        Ok(Self { what, model: Some(model), optimizer, batch, new_tokens, device })
    }

    /// One repetition, waited for.
    async fn step(&mut self) -> Result<()> {
        let Some(model) = self.model.take() else {
            return Err(Error::Device("the model is gone".into()));
        };
        match self.what {
            What::Train | What::Lora => {
                let batches = std::slice::from_ref(&self.batch);
                let noise = Noise::default();
                let settings = StepSettings { learning_rate: 1e-4, grad_clip: 1.0, noise, loss_scale: 1.0 };
                let step = Step::of(&model, &NextToken, batches, settings, None).await?;
                let (model, tensors) = step.take(model, &mut self.optimizer);
                read(tensors.loss).await?;
                self.model = Some(model);
            }
            What::Prefill => {
                self.prefill(&model).await?;
                self.model = Some(model);
            }
            What::Decode => {
                self.decode(&model).await?;
                self.model = Some(model);
            }
        }
        self.device.sync().map_err(|e| {
            Error::Device(told!("device.failed", "the device failed: {e}", e = format!("{e:?}")))
        })
    }

    async fn prefill(&self, model: &Transformer) -> Result<KvCache> {
        let Batch { batch, seq, .. } = self.batch;
        let mut cache = KvCache::new(model.config(), batch, seq + self.new_tokens);
        let logits = model.forward_cached(self.batch.inputs_tensor(&self.device), &mut cache, 0..batch, true);
        read(logits.sum()).await?;
        Ok(cache)
    }

    /// From a short prompt, so that the cache's cost is a decoder's own.
    async fn decode(&self, model: &Transformer) -> Result<()> {
        let Batch { batch, .. } = self.batch;
        let mut cache = KvCache::new(model.config(), batch, self.new_tokens);
        for i in 0..self.new_tokens {
            let id = (i + 1) % model.config().vocab_size;
            let ids = TensorData::new(vec![id as i32; batch], [batch, 1]);
            let logits = model.forward_cached(
                Tensor::<2, Int>::from_data(ids, &self.device),
                &mut cache,
                0..batch,
                true,
            );
            read(logits.flatten::<1>(0, 2)).await?;
        }
        Ok(())
    }
}

fn adapted(model: Transformer) -> Result<Transformer> {
    let config = AdapterConfig { lora: LoraConfig::default(), base: None, base_name: None };
    Adapter::init(&model, config, 0)?.attach(model, 1.0)
}

/// Ids drawn evenly, every position a target.
fn random_batch(vocab: u64, batch: usize, seq: usize) -> Batch {
    let mut random = Random::new(0, 0);
    let mut filled = Batch::new(seq);
    for _ in 0..batch {
        let ids: Vec<u32> = (0..=seq).map(|_| random.below(vocab) as u32).collect();
        filled.push(&ids, &vec![1.0; seq + 1], &vec![1; seq + 1]);
    }
    filled
}

/// Speed of a plain matrix product on a device, for estimates; takes a fraction of a second.
pub async fn matmul_flops(device: &Device) -> f64 {
    const N: usize = 512;
    product(N, 1, device).await;
    let times = ((0.1 / product(N, 4, device).await.max(1e-6)) * 4.0).clamp(1.0, 1000.0) as usize;
    (2 * N * N * N * times) as f64 / product(N, times, device).await.max(1e-9)
}

/// Seconds of so many products of `[n, n]`, one after the other.
async fn product(n: usize, times: usize, device: &Device) -> f64 {
    let a = Tensor::<2>::ones([n, n], device);
    let started = now();
    let mut b = a.clone();
    for _ in 0..times {
        b = a.clone().matmul(b) * (1.0 / n as f64);
    }
    // A device that cannot be read shows itself in the work that follows; this is an estimate.
    let _ = read(b.sum()).await;
    now() - started
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DiffusionConfig, tiny};

    #[test]
    fn a_measurement_counts_the_tokens_of_its_load_after_a_warm_up() {
        let load = Load { batch: 2, seq: 8, new_tokens: 5 };
        for (what, tokens, new_tokens) in [
            (What::Train, 16, None),
            (What::Lora, 16, None),
            (What::Prefill, 16, None),
            (What::Decode, 10, Some(5)),
        ] {
            let place = Device::flex().autodiff();
            let model = Transformer::init(&tiny(32), 0, &place).unwrap();
            let m = pollster::block_on(measure(what, model, load, 0.0)).unwrap();
            assert_eq!((m.batch, m.seq, m.steps, m.new_tokens), (2, 8, 2, new_tokens), "{what:?}");
            assert!((m.tokens_per_second * m.elapsed_s - f64::from(2 * tokens)).abs() < 1e-6, "{what:?}");
            assert!(m.first_s > 0.0 && m.elapsed_s > 0.0, "{what:?}");
        }
    }

    #[test]
    fn writing_is_counted_in_steps_and_tokens() {
        let steps = |block_length: Option<Option<usize>>, steps: Option<usize>| {
            let diffusion = block_length.map(|block_length| DiffusionConfig {
                mask_token_id: 31,
                block_length,
                shift_logits: true,
            });
            let config = crate::model::ModelConfig { diffusion, ..tiny(32) };
            let model = Transformer::init(&config, 0, &Device::flex()).unwrap();
            let unmask = UnmaskConfig { steps, ..UnmaskConfig::default() };
            let writing = pollster::block_on(measure_writing(&model, unmask, [8, 16], 0.0)).unwrap();
            assert!(writing.tokens_per_second > 0.0);
            writing.steps
        };
        assert_eq!(steps(None, None), 16, "a token each");
        assert_eq!((steps(Some(None), Some(4)), steps(Some(Some(8)), Some(4))), (4, 4));
        assert_eq!(steps(Some(Some(8)), None), 16);
    }
}
