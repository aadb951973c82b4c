//! `doctor --warm`: a device's kernels compiled, tuned and kept before a run waits for them.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Args;
use kindling::bench::{Load, Measurement, What, measure};
use kindling::device::{OpenDevice, is_processor};
use kindling::error::Error;
use kindling::kernels::Quantization;
use kindling::model::{ModelConfig, preset};
use kindling::platform::now;
use kindling::told::Told;
use kindling::train::{Stage, TrainConfig};
use serde_json::json;

use super::fresh;
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::output;

/// New tokens that are written: a few, because each asks for the same kernels.
const NEW_TOKENS: usize = 32;

/// Flags that say what is warmed.
#[derive(Args)]
pub struct WarmArgs {
    /// Compile and tune the device's kernels now and keep them, so that no run of these sizes waits for them: a model with
    /// fresh weights trains, reads and writes
    #[arg(long)]
    pub warm: bool,
    /// A published size to warm (repeatable) [default: nano]
    #[arg(long, requires = "warm")]
    pub preset: Vec<String>,
    /// A model whose shape to warm: a checkpoint in any form that `generate` reads (repeatable)
    #[arg(long, requires = "warm")]
    pub model: Vec<PathBuf>,
    /// What to warm (repeatable) [default: train, prefill and decode; with --weights the last two]
    #[arg(long, value_enum, requires = "warm")]
    pub what: Vec<What>,
    /// Rows of a step [default: that of `pretrain`, 16]
    #[arg(long, requires = "warm")]
    pub batch_size: Option<usize>,
    /// Tokens of a row, and of a prompt [default: that of `pretrain`, 256]
    #[arg(long, requires = "warm")]
    pub max_seq_len: Option<usize>,
    /// Hold the matrices in few bits [default: as f32]
    #[arg(long, value_enum, requires = "warm")]
    pub weights: Option<Quantization>,
}

/// What will be warmed: settings that hold, before anything is told or done.
pub struct Warming<'a> {
    args: &'a WarmArgs,
    shapes: Vec<(String, ModelConfig)>,
    whats: Vec<What>,
    device: &'a OpenDevice,
    /// Where kernels are kept; none for the processor, whose kernels are part of this program.
    folder: Option<PathBuf>,
}

impl<'a> Warming<'a> {
    /// Looks at what was asked for.
    ///
    /// # Errors
    /// Sizes that no model has; a build that keeps no kernels.
    pub fn new(args: &'a WarmArgs, device: &'a OpenDevice) -> Result<Self, Failure> {
        let (shapes, whats) = (args.shapes()?, args.whats());
        args.check(&shapes, &whats)?;
        let folder = if is_processor(&device.device) { None } else { Some(kept_in()?) };
        Ok(Self { args, shapes, whats, device, folder })
    }

    /// Warms, and tells what it took and what was kept.
    ///
    /// # Errors
    /// A device that fails.
    pub fn run(&self, everywhere: &Everywhere) -> Result<(), Failure> {
        let (output, device) = (everywhere.output(), self.device.choice.to_string());
        let Some(folder) = &self.folder else {
            output.json(&json!({"event": "warm", "device": device, "kernels": 0}));
            output.line("  nothing to warm: on the processor the kernels are part of this program");
            return Ok(());
        };
        let (before, began) = (held(folder), now());
        let all = self.shapes.len() * self.whats.len();
        let passes = self.shapes.iter().flat_map(|shape| self.whats.iter().map(move |&what| (shape, what)));
        for (i, ((name, config), what)) in passes.enumerate() {
            output.say(&format!("  warming {} of {all}: {} of {name} …", i + 1, word(what)));
            let had = held(folder);
            let m = self.args.pass(what, config, &self.device.device, everywhere)?;
            let kept = held(folder).saturating_sub(had);
            tell(&m, name, &device, kept, everywhere);
        }
        let (seconds, after) = (now() - began, held(folder));
        let kept = after.saturating_sub(before);
        output.json(&json!({
            "event": "warm", "device": device, "seconds": seconds, "kept_bytes": kept, "held_bytes": after,
            "folder": folder,
        }));
        output.line(&format!(
            "  warm after {}: {} kept now, {} in all in {}",
            output::duration(seconds),
            output::bytes(kept),
            output::bytes(after),
            folder.display()
        ));
        Ok(())
    }
}

/// One pass: its first time beside the ones behind it.
fn tell(m: &Measurement, name: &str, device: &str, kept: u64, everywhere: &Everywhere) {
    let (output, then) = (everywhere.output(), m.elapsed_s / m.steps as f64);
    output.json(&json!({
        "event": "warmed", "what": m.what, "shape": name, "device": device, "batch": m.batch, "seq": m.seq,
        "first_s": m.first_s, "then_s": then, "kept_bytes": kept,
    }));
    output.line(&format!(
        "  {} of {name}, {} × {}: {:.1} s at first, {then:.3} s from then on, {} kept",
        word(m.what),
        m.batch,
        m.new_tokens.unwrap_or(m.seq),
        m.first_s,
        output::bytes(kept)
    ));
}

fn word(what: What) -> String {
    format!("{what:?}").to_lowercase()
}

impl WarmArgs {
    /// What was asked for, by name.
    fn shapes(&self) -> Result<Vec<(String, ModelConfig)>, Failure> {
        let mut shapes = Vec::new();
        for name in &self.preset {
            shapes.push((name.clone(), preset(name)?.config(None)));
        }
        for path in &self.model {
            let config = BesideModel::default().open(path)?.config;
            shapes.push((path.display().to_string(), config));
        }
        if shapes.is_empty() {
            shapes.push(("nano".into(), preset("nano")?.config(None)));
        }
        Ok(shapes)
    }

    fn whats(&self) -> Vec<What> {
        match (self.what.is_empty(), self.weights) {
            (false, _) => self.what.clone(),
            (true, Some(_)) => vec![What::Prefill, What::Decode],
            (true, None) => vec![What::Train, What::Prefill, What::Decode],
        }
    }

    fn load(&self, what: What) -> Load {
        let usual = TrainConfig::of(Stage::Pretrain);
        let seq = self.max_seq_len.unwrap_or(usual.max_seq_len);
        let rows = self.batch_size.unwrap_or(usual.batch_size);
        // One person's prompt and answer, as `generate` and `chat` have them.
        let batch = if what.trains() { rows } else { 1 };
        Load { batch, seq, new_tokens: NEW_TOKENS }
    }

    /// Refuses sizes that no model has, all of them at once.
    fn check(&self, shapes: &[(String, ModelConfig)], whats: &[What]) -> Result<(), Failure> {
        let mut problems: Vec<Told> = Vec::new();
        if self.weights.is_some() && whats.contains(&What::Train) {
            problems.push("--weights holds matrices that do not train; warm lora, prefill or decode".into());
        }
        if self.batch_size == Some(0) {
            problems.push("--batch-size is 0; it must be at least 1".into());
        }
        for (name, config) in shapes {
            let (load, context) = (self.load(What::Train), config.context());
            if !(1..=context).contains(&load.seq) {
                let problem = format!("--max-seq-len is {}; {name} holds 1 to {context} positions", load.seq);
                problems.push(problem.into());
            }
            if config.diffusion.is_some() {
                let problem = format!("{name} is a masked predictor, and causal models are warmed alone");
                problems.push(problem.into());
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems).into()) }
    }

    /// The work itself, three times: what fusion and tuning ask for shows itself in the first two.
    fn pass(
        &self,
        what: What,
        config: &ModelConfig,
        device: &Device,
        everywhere: &Everywhere,
    ) -> Result<Measurement, Failure> {
        let place = if what.trains() { device.clone().autodiff() } else { device.clone() };
        let model = fresh(config, self.weights, &place)?.with_dtype(everywhere.dtype.burn());
        let mut load = self.load(what);
        load.new_tokens = load.new_tokens.min(config.context());
        Ok(pollster::block_on(measure(what, model, load, 0.0))?)
    }
}

/// The folder in which this build keeps kernels.
#[cfg(feature = "persistence")]
fn kept_in() -> Result<PathBuf, Failure> {
    crate::kernel_cache::folder().ok_or_else(|| {
        Failure::Usage(
            "--warm keeps kernels on disk, and there is no home; name a folder with KINDLING_CACHE".into(),
        )
    })
}

#[cfg(not(feature = "persistence"))]
fn kept_in() -> Result<PathBuf, Failure> {
    Err(Failure::Usage(
        "--warm would leave nothing behind: this build keeps no kernels; build with `cargo build --release -p native \
         --features vulkan`, metal or cuda"
            .into(),
    ))
}

#[cfg(feature = "persistence")]
fn held(folder: &Path) -> u64 {
    crate::kernel_cache::size(folder)
}

#[cfg(not(feature = "persistence"))]
fn held(_folder: &Path) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use kindling::device::DeviceChoice;

    fn args() -> WarmArgs {
        WarmArgs {
            warm: true,
            preset: Vec::new(),
            model: Vec::new(),
            what: Vec::new(),
            batch_size: None,
            max_seq_len: None,
            weights: None,
        }
    }

    #[test]
    fn what_is_warmed_is_what_runs_ask_for() {
        let usual = args();
        assert_eq!(usual.whats(), [What::Train, What::Prefill, What::Decode]);
        assert_eq!(usual.shapes().unwrap()[0].0, "nano");
        let (train, read) = (usual.load(What::Train), usual.load(What::Prefill));
        assert_eq!((train.batch, train.seq, read.batch, read.seq), (16, 256, 1, 256));
        let bits = WarmArgs { weights: Some(Quantization::Q8_0), batch_size: Some(3), ..args() };
        assert_eq!(bits.whats(), [What::Prefill, What::Decode]);
        assert_eq!(bits.load(What::Lora).batch, 3);
    }

    #[test]
    fn sizes_that_no_model_has_are_refused_together() {
        let wrong = WarmArgs {
            preset: vec!["nano".into(), "micro".into()],
            what: vec![What::Train],
            batch_size: Some(0),
            max_seq_len: Some(4096),
            weights: Some(Quantization::Q4_0),
            ..args()
        };
        let failure = wrong.check(&wrong.shapes().unwrap(), &wrong.whats()).unwrap_err();
        let Failure::Usage(message) = failure else { panic!("{failure:?}") };
        for part in ["--weights", "--batch-size is 0", "nano holds 1 to 1024", "micro holds 1 to 1024"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn a_pass_does_the_work_three_times() {
        let device = OpenDevice::open(DeviceChoice::Cpu).unwrap().device;
        let small = WarmArgs { batch_size: Some(2), max_seq_len: Some(8), ..args() };
        let config = preset("nano").unwrap().config(Some(64));
        let everywhere = Everywhere {
            device: DeviceChoice::Cpu,
            dtype: crate::cli::Dtype::F32,
            json: false,
            quiet: true,
            verbose: false,
        };
        for what in small.whats() {
            let m = small.pass(what, &config, &device, &everywhere).unwrap();
            assert_eq!((m.steps, m.seq), (2, 8), "{what:?}, behind the first");
        }
    }
}
