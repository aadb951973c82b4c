//! `bench`: tokens per second of training, reading and writing.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Args;
use kindling::bench::{Load, Measurement, What, matmul_flops, measure};
use kindling::checkpoint::Checkpoint;
use kindling::device::{OpenDevice, is_processor};
use kindling::error::Error;
use kindling::kernels::{Activations, AttentionBlocks, Quantization};
use kindling::model::{ActivationCheckpointing, ExpertSettings, ModelConfig, Transformer, preset};
use serde_json::{Value, json};

use super::bench_unmask::UnmaskBench;
use super::{WRITING, check_activations, doctor, fresh, load, open_device};
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::output;

/// Most rows at a time: those of a training step.
const MOST_ROWS: usize = 1 << 20;

/// Flags of `bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// What to measure; everything without it (repeatable)
    #[arg(long, value_enum)]
    pub what: Vec<What>,
    /// Measure how fast a masked predictor of the size writes in 2 to 64 steps, beside the causal model, and nothing else
    #[arg(long, conflicts_with_all = ["what", "weights", "beside_dense", "attention_block", "activation_checkpointing"])]
    pub unmask: bool,
    /// The published size to measure, such as nano, micro or minimind2-small (any other word lists all)
    #[arg(long, default_value = "nano")]
    pub preset: String,
    /// Measure a model of your own: a checkpoint in any form that `generate` reads
    #[arg(long, conflicts_with_all = ["preset", "unmask", "beside_dense"])]
    pub model: Option<PathBuf>,
    /// Rows, in training and in reading
    #[arg(long, default_value_t = 4)]
    pub batch_size: usize,
    /// Tokens a row, in training and in reading
    #[arg(long, default_value_t = 256)]
    pub max_seq_len: usize,
    /// Rows that are written at a time, where decoding is measured
    #[arg(long, default_value_t = 1, conflicts_with = "unmask")]
    pub decode_batch_size: usize,
    /// New tokens of each of them
    #[arg(long, default_value_t = 32, conflicts_with = "unmask")]
    pub new_tokens: usize,
    /// Queries that attention takes at a time; 0 takes all of a row [default: as training and reading do, all of a short
    /// row and so many of a long one]
    #[arg(long)]
    pub attention_block: Option<usize>,
    /// Hold the matrices in few bits [default: as f32]; training them is not measured
    #[arg(long, value_enum)]
    pub weights: Option<Quantization>,
    /// What those are multiplied by on the processor where decoding is measured [default: 8-bits]
    #[arg(long, value_enum, requires = "weights")]
    pub activations: Option<Activations>,
    /// Measure a mixture of experts beside the dense shape whose tokens meet as many weights
    #[arg(long)]
    pub beside_dense: bool,
    /// The routed layers of a mixture of experts
    #[command(flatten, next_help_heading = "Experts")]
    pub experts: ExpertSettings,
    /// Which layers compute their activations again in the backward pass, where training is measured
    #[arg(long, value_enum, default_value = "none")]
    pub activation_checkpointing: ActivationCheckpointing,
    /// Seconds a measurement, at least
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
}

/// Runs the verb.
pub fn run(args: &BenchArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let device = open_device(everywhere)?;
    check_activations(args.activations, &device.device)?;
    let source = Source::of(args)?;
    let config = source.config();
    check(args, config.context())?;
    if args.unmask {
        let (preset, place) = (&args.preset, device.choice.to_string());
        let bench = UnmaskBench { preset, device: &device.device, place, seconds: args.seconds };
        return bench.run(config, everywhere);
    }
    let twin = config.dense_twin().filter(|_| args.beside_dense).map(Box::new).map(Source::Fresh);
    if args.beside_dense && twin.is_none() {
        return Err(Failure::Usage(format!(
            "--beside-dense compares a mixture whose layers are all routed, and {} is none; add --num-experts 4",
            args.preset
        )));
    }
    let peak = pollster::block_on(matmul_flops(&device.device));
    let bench = Bench { args, everywhere, device: &device, peak };
    let all = [What::Train, What::Prefill, What::Decode];
    let possible = if args.weights.is_some() { &all[1..] } else { &all };
    for &what in if args.what.is_empty() { possible } else { &args.what } {
        let own = bench.measure(what, &source, None)?;
        if let Some(twin) = &twin {
            bench.measure(what, twin, Some(own))?;
        }
    }
    Ok(())
}

/// What is measured.
enum Source<'a> {
    /// A shape, with weights that have learned nothing: its speed is the same.
    Fresh(Box<ModelConfig>),
    /// A model, and where it lies.
    Opened(Box<Checkpoint>, &'a Path),
}

impl<'a> Source<'a> {
    fn of(args: &'a BenchArgs) -> Result<Self, Failure> {
        let Some(path) = &args.model else {
            let config = args.experts.shape(preset(&args.preset)?.config(None))?;
            return Ok(Self::Fresh(Box::new(config)));
        };
        if args.experts != ExpertSettings::default() {
            return Err(Failure::Usage(
                "settings of experts shape a new model; leave them out beside --model, or name a --preset"
                    .into(),
            ));
        }
        let checkpoint = BesideModel::default().open(path)?;
        if checkpoint.config.diffusion.is_some() {
            return Err(Failure::Usage(format!(
                "{} is a masked predictor, which does not write token by token; name a causal model, or measure a size \
                 with --unmask",
                path.display()
            )));
        }
        Ok(Self::Opened(Box::new(checkpoint), path))
    }

    fn config(&self) -> &ModelConfig {
        match self {
            Self::Fresh(config) => config,
            Self::Opened(checkpoint, _) => &checkpoint.config,
        }
    }

    fn build(&self, weights: Option<Quantization>, place: &Device) -> Result<Transformer, Failure> {
        match self {
            Self::Fresh(config) => fresh(config, weights, place),
            Self::Opened(checkpoint, path) => load(checkpoint, weights, place, path),
        }
    }
}

/// What all measurements share.
struct Bench<'a> {
    args: &'a BenchArgs,
    everywhere: &'a Everywhere,
    device: &'a OpenDevice,
    /// Operations a second of a matrix product.
    peak: f64,
}

impl Bench<'_> {
    /// Measures a shape and tells its tokens a second; a dense one beside the mixture that made so many.
    fn measure(&self, what: What, source: &Source, mixture: Option<f64>) -> Result<f64, Failure> {
        let (args, output) = (self.args, self.everywhere.output());
        let device = self.device.device.clone();
        let place = if what.trains() { device.autodiff() } else { device };
        let model = source.build(args.weights, &place)?.with_dtype(self.everywhere.dtype.burn());
        let activations = args.activations.unwrap_or(WRITING);
        let model = model.with_activations(activations).with_checkpointing(args.activation_checkpointing);
        let model = model.with_attention_blocks(blocks(args.attention_block));
        let batch = if what == What::Decode { args.decode_batch_size } else { args.batch_size };
        let load = Load { batch, seq: args.max_seq_len, new_tokens: args.new_tokens };
        let m = pollster::block_on(measure(what, model, load, args.seconds))?;
        let cost = mixture.map(|mixture| m.tokens_per_second / mixture);
        let memory = peak_memory(&self.device.device);
        let mut result = self.result(&m, source, memory);
        if let Some(cost) = cost {
            result["dense_twin"] = json!(true);
            result["mixture_costs"] = json!(cost);
        }
        output.json(&result);
        output.line(&format!(
            "{what:?}{}: {:.0} tokens/s ({} × {}, {}, {}), {:.1} GFLOP/s, {:.0} % of a matrix product's speed",
            if cost.is_some() { ", dense" } else { "" },
            m.tokens_per_second,
            m.batch,
            m.new_tokens.unwrap_or(m.seq),
            self.dtype(),
            self.device.choice,
            m.flops_per_second / 1e9,
            m.flops_per_second / self.peak * 100.0
        ));
        if let Some(cost) = cost {
            output.line(&format!("  the mixture costs {cost:.2} × as much"));
        }
        if let Some(memory) = memory {
            output.say(&format!("  peak memory {}", output::bytes(memory)));
        }
        Ok(m.tokens_per_second)
    }

    fn dtype(&self) -> String {
        format!("{:?}", self.everywhere.dtype).to_lowercase()
    }

    /// A measurement for programs, with the settings that shaped it.
    fn result(&self, m: &Measurement, source: &Source, memory: Option<u64>) -> Value {
        let args = self.args;
        let mut result = json!({
            "what": m.what, "device": self.device.choice.to_string(), "dtype": self.dtype(), "preset": args.preset,
            "batch": m.batch, "seq": m.seq, "first_s": m.first_s, "steps": m.steps, "elapsed_s": m.elapsed_s,
            "tokens_per_second": m.tokens_per_second, "peak_memory_bytes": memory,
            "flops_per_second": m.flops_per_second, "share_of_peak": m.flops_per_second / self.peak,
        });
        if let Source::Opened(_, path) = source {
            result["preset"] = json!(null);
            result["model"] = json!(path);
        }
        if let Some(new_tokens) = m.new_tokens {
            result["new_tokens"] = json!(new_tokens);
        }
        if let Some(bits) = args.weights {
            result["weights"] = json!(bits);
            if m.what == What::Decode && is_processor(&self.device.device) {
                result["activations"] = json!(args.activations.unwrap_or(WRITING));
            }
        }
        let strategy = args.activation_checkpointing;
        if strategy != ActivationCheckpointing::None && m.what.trains() {
            result["activation_checkpointing"] = json!(strategy);
        }
        if let Some(block) = args.attention_block {
            result["attention_block"] = json!(block);
        }
        result
    }
}

fn blocks(said: Option<usize>) -> AttentionBlocks {
    match said {
        None => AttentionBlocks::ByLength,
        Some(0) => AttentionBlocks::Whole,
        Some(block) => AttentionBlocks::Of(block),
    }
}

/// Refuses sizes that no model has.
fn check(args: &BenchArgs, context: usize) -> Result<(), Failure> {
    let mut problems = Vec::new();
    if args.weights.is_some() && args.what.contains(&What::Train) {
        problems.push("--weights holds matrices that do not train; measure lora, prefill or decode".into());
    }
    let trains = args.what.is_empty() || args.what.iter().any(|what| what.trains());
    if args.activation_checkpointing != ActivationCheckpointing::None && !trains {
        problems.push(
            "--activation-checkpointing acts in training alone; measure train or lora, or leave it out"
                .into(),
        );
    }
    let held = args.model.as_ref().map_or(args.preset.clone(), |path| path.display().to_string());
    let decodes = args.what.is_empty() || args.what.contains(&What::Decode);
    let read = ("--batch-size", args.batch_size, "--max-seq-len", args.max_seq_len);
    let written = ("--decode-batch-size", args.decode_batch_size, "--new-tokens", args.new_tokens);
    for (rows_flag, rows, length_flag, length) in
        [Some(read), decodes.then_some(written)].into_iter().flatten()
    {
        if !(1..=MOST_ROWS).contains(&rows) {
            problems.push(format!("{rows_flag} is {rows}; it must be 1 to {MOST_ROWS}").into());
        }
        if !(1..=context).contains(&length) {
            problems.push(format!("{length_flag} is {length}; {held} holds 1 to {context} positions").into());
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems).into()) }
}

/// Memory held on a graphics device, or the process's own peak on the processor.
fn peak_memory(device: &Device) -> Option<u64> {
    device.memory_pool_usage().map(|usage| usage.bytes_reserved).or_else(doctor::peak_resident)
}
