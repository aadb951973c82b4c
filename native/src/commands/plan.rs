//! `plan`: what a run will need.

use std::path::PathBuf;

use clap::Args;
use kindling::bench::matmul_flops;
use kindling::model::{ActivationCheckpointing, ModelConfig, preset};
use kindling::train::{Plan, RowTokens, Stage, TrainConfig, TrainOptions};
use serde_json::json;

use super::{doctor, open_device};
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::output;

/// Flags of `plan`.
#[derive(Args)]
pub struct PlanArgs {
    /// A published size, such as nano, micro or minimind2-small (any other word lists all)
    #[arg(long, required_unless_present = "model")]
    pub preset: Option<String>,
    /// A checkpoint: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, hub:owner/name or ms:owner/name
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// Tokens to train on
    #[arg(long, default_value_t = 1_000_000)]
    pub tokens: u64,
    /// Rows in one forward pass
    #[arg(long, default_value_t = TrainConfig::of(Stage::Pretrain).batch_size)]
    pub batch_size: usize,
    /// Longest row in tokens
    #[arg(long, default_value_t = TrainConfig::of(Stage::Pretrain).max_seq_len)]
    pub max_seq_len: usize,
    /// Which layers compute their activations again in the backward pass
    #[arg(long, value_enum, default_value = "none")]
    pub activation_checkpointing: ActivationCheckpointing,
}

/// Runs the verb.
pub fn run(args: &PlanArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    let output = everywhere.output();
    let model = config(args)?;
    let base = TrainConfig::of(Stage::Pretrain);
    let activation_checkpointing = args.activation_checkpointing;
    let options = TrainOptions { activation_checkpointing, ..TrainOptions::default() };
    let config = TrainConfig { batch_size: args.batch_size, max_seq_len: args.max_seq_len, options, ..base };
    config.validate()?;
    let steps = args.tokens.div_ceil((args.batch_size * args.max_seq_len) as u64);
    let device = open_device(everywhere)?;
    let plan = Plan::new(&model, &config, steps, None, RowTokens::full(&config), &device.device);
    let seconds = plan.flops / (pollster::block_on(matmul_flops(&device.device)) / 3.0);
    let (free, _) = doctor::memory();
    output.json(&json!({
        "parameters": plan.parameters, "steps": plan.steps, "tokens": plan.tokens, "flops": plan.flops,
        "state_bytes": plan.state_bytes, "activation_bytes": plan.activation_bytes, "memory_free_bytes": free,
        "device": device.choice.to_string(), "seconds": seconds,
    }));
    output.line(&format!("parameters   {}", output::grouped(plan.parameters)));
    output.line(&format!(
        "steps        {} of {} × {} tokens",
        output::grouped(plan.steps),
        args.batch_size,
        args.max_seq_len
    ));
    output.line(&format!(
        "memory       {} (weights, gradients, optimizer {}; activations {}), {} free",
        output::bytes(plan.bytes()),
        output::bytes(plan.state_bytes),
        output::bytes(plan.activation_bytes),
        output::bytes(free)
    ));
    output.line(&format!("time         about {} on {}", output::duration(seconds), device.choice));
    Ok(())
}

fn config(args: &PlanArgs) -> Result<ModelConfig, Failure> {
    match &args.model {
        Some(path) => {
            let beside = BesideModel { preset: args.preset.clone(), ..BesideModel::default() };
            Ok(beside.open(path)?.config)
        }
        None => Ok(preset(args.preset.as_deref().unwrap_or_default())?.config(None)),
    }
}
