//! `bench`: tokens per second of training, reading and writing.

use burn::tensor::Device;
use clap::Args;
use kindling::bench::{What, matmul_flops, measure};
use kindling::device::{OpenDevice, is_processor};
use kindling::error::Error;
use kindling::kernels::{Activations, AttentionBlocks, Quantization};
use kindling::model::{
    ActivationCheckpointing, ExpertSettings, ModelConfig, Transformer, fresh_weights, preset,
};
use serde_json::json;

use super::bench_unmask::UnmaskBench;
use super::{WRITING, check_activations, doctor, open_device};
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::output;

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
    /// Rows
    #[arg(long, default_value_t = 4)]
    pub batch_size: usize,
    /// Tokens a row
    #[arg(long, default_value_t = 256)]
    pub max_seq_len: usize,
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
    let config = args.experts.shape(preset(&args.preset)?.config(None))?;
    check(args, config.context())?;
    if args.unmask {
        let (preset, place) = (&args.preset, device.choice.to_string());
        let bench = UnmaskBench { preset, device: &device.device, place, seconds: args.seconds };
        return bench.run(&config, everywhere);
    }
    let twin = config.dense_twin().filter(|_| args.beside_dense);
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
        let own = bench.measure(what, &config, None)?;
        if let Some(twin) = &twin {
            bench.measure(what, twin, Some(own))?;
        }
    }
    Ok(())
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
    fn measure(&self, what: What, config: &ModelConfig, mixture: Option<f64>) -> Result<f64, Failure> {
        let (args, output) = (self.args, self.everywhere.output());
        let place = match what {
            What::Train | What::Lora => self.device.device.clone().autodiff(),
            What::Prefill | What::Decode => self.device.device.clone(),
        };
        let model = fresh(config, args.weights, &place)?.with_dtype(self.everywhere.dtype.burn());
        let activations = args.activations.unwrap_or(WRITING);
        let model = model.with_activations(activations).with_checkpointing(args.activation_checkpointing);
        let model = model.with_attention_blocks(blocks(args.attention_block));
        let batch = if what == What::Decode { 1 } else { args.batch_size };
        let m = pollster::block_on(measure(what, model, [batch, args.max_seq_len], args.seconds))?;
        let share = m.flops_per_second / self.peak;
        let dtype = format!("{:?}", self.everywhere.dtype).to_lowercase();
        let memory = peak_memory(&self.device.device);
        let mut result = json!({
            "what": m.what, "device": self.device.choice.to_string(), "dtype": dtype, "preset": args.preset,
            "batch": m.batch, "seq": m.seq, "steps": m.steps, "elapsed_s": m.elapsed_s,
            "tokens_per_second": m.tokens_per_second, "peak_memory_bytes": memory,
            "flops_per_second": m.flops_per_second, "share_of_peak": share,
        });
        if let Some(bits) = args.weights {
            result["weights"] = json!(bits);
            if what == What::Decode && is_processor(&self.device.device) {
                result["activations"] = json!(activations);
            }
        }
        let strategy = args.activation_checkpointing;
        if strategy != ActivationCheckpointing::None && matches!(what, What::Train | What::Lora) {
            result["activation_checkpointing"] = json!(strategy);
        }
        if let Some(block) = args.attention_block {
            result["attention_block"] = json!(block);
        }
        let cost = mixture.map(|mixture| m.tokens_per_second / mixture);
        if let Some(cost) = cost {
            result["dense_twin"] = json!(true);
            result["mixture_costs"] = json!(cost);
        }
        output.json(&result);
        output.line(&format!(
            "{what:?}{}: {:.0} tokens/s ({} × {}, {dtype}, {}), {:.1} GFLOP/s, {:.0} % of a matrix product's speed",
            if cost.is_some() { ", dense" } else { "" },
            m.tokens_per_second,
            m.batch,
            m.seq,
            self.device.choice,
            m.flops_per_second / 1e9,
            share * 100.0
        ));
        if let Some(cost) = cost {
            output.line(&format!("  the mixture costs {cost:.2} × as much"));
        }
        if let Some(memory) = memory {
            output.say(&format!("  peak memory {}", output::bytes(memory)));
        }
        Ok(m.tokens_per_second)
    }
}

fn blocks(said: Option<usize>) -> AttentionBlocks {
    match said {
        None => AttentionBlocks::ByLength,
        Some(0) => AttentionBlocks::Whole,
        Some(block) => AttentionBlocks::Of(block),
    }
}

/// A model that has learned nothing: its speed is the same.
fn fresh(
    config: &ModelConfig,
    weights: Option<Quantization>,
    place: &Device,
) -> Result<Transformer, Failure> {
    let mut source = fresh_weights(config, 0);
    Ok(match weights {
        Some(bits) => Transformer::build_quantized(config, bits, place, &mut source)?,
        None => Transformer::build(config, place, &mut source)?,
    })
}

/// Refuses sizes that no model has.
fn check(args: &BenchArgs, context: usize) -> Result<(), Failure> {
    let mut problems = Vec::new();
    if args.weights.is_some() && args.what.contains(&What::Train) {
        problems.push("--weights holds matrices that do not train; measure lora, prefill or decode".into());
    }
    let trains =
        args.what.is_empty() || args.what.iter().any(|what| matches!(what, What::Train | What::Lora));
    if args.activation_checkpointing != ActivationCheckpointing::None && !trains {
        problems.push(
            "--activation-checkpointing acts in training alone; measure train or lora, or leave it out"
                .into(),
        );
    }
    if args.batch_size == 0 {
        problems.push("--batch-size is 0; it must be at least 1".into());
    }
    if !(1..=context).contains(&args.max_seq_len) {
        problems.push(
            format!("--max-seq-len is {}; {} holds 1 to {context} positions", args.max_seq_len, args.preset)
                .into(),
        );
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems).into()) }
}

/// Memory held on a graphics device, or the process's own peak on the processor.
fn peak_memory(device: &Device) -> Option<u64> {
    device.memory_pool_usage().map(|usage| usage.bytes_reserved).or_else(doctor::peak_resident)
}
