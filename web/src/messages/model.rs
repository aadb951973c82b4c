//! What is open and what is kept: device, models, adapters, settings.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::diffusion::Diffusion;
use super::told::Told;

messages! {
    /// What computes.
    struct DeviceInfo {
        /// Which kind it is.
        kind: DeviceKind,
        /// Its name.
        name: String,
        /// Why WebGPU is not used, where it was asked for.
        notice: Option<String> = "Option::is_none",
        /// The same as a word.
        reason: Option<NoWebGpu> = "Option::is_none",
    }

    /// A graphics card, or the processor.
    enum DeviceKind {
        /// The graphics card, by WebGPU.
        Webgpu = "webgpu",
        /// The processor, by WebAssembly.
        Cpu = "cpu",
    }

    /// Why there is no WebGPU: the browser does not know it, gives no adapter, or cannot open its device.
    enum NoWebGpu {
        /// The browser does not know it.
        NoWebgpu = "no-webgpu",
        /// It knows it and gives no graphics adapter.
        NoAdapter = "no-adapter",
        /// The device cannot be opened.
        Failed = "failed",
    }

    /// What matrices are held as: 32-bit floats, or GGUF's blocks of 8 or 4 bits, which answer and carry adapters but do
    /// not train themselves.
    enum WeightsAs {
        /// 32-bit floats.
        F32 = "f32",
        /// Blocks of 8 bits.
        Q8_0 = "q8_0",
        /// Blocks of 4 bits.
        Q4_0 = "q4_0",
    }

    /// What the weights of a .gguf file become.
    enum GgufWeights {
        /// 32-bit floats.
        F32 = "f32",
        /// 16-bit floats.
        F16 = "f16",
        /// The upper half of 32-bit floats.
        Bf16 = "bf16",
        /// Blocks of 8 bits.
        Q8_0 = "q8_0",
        /// Blocks of 4 bits.
        Q4_0 = "q4_0",
    }

    /// The open model.
    struct ModelInfo {
        /// Its name.
        name: String,
        /// Number of weights.
        parameters: f64,
        /// Number of blocks.
        layers: u32,
        /// Width.
        hidden: u32,
        /// Number of ids.
        vocabulary: u32,
        /// Longest sequence.
        context: u32,
        /// Whether the tokenizer has a chat template.
        chat: bool,
        /// What its matrices are held as.
        weights: WeightsAs,
        /// What is odd about its files and how it was read: keys and tensors that nothing reads.
        warnings: Vec<String>,
        /// The same with codes and values.
        notes: Vec<Told>,
        /// What its maker tells of it, in `generation_config.json` under `kindling`.
        card: Option<ModelCard> = "Option::is_none",
        /// What makes it a masked predictor; missing where it predicts the next token.
        diffusion: Option<Diffusion> = "Option::is_none",
        /// Why it cannot go home as .gguf; missing where it can.
        no_gguf: Option<Told> = "Option::is_none",
    }

    /// What a model's maker tells of it, by language (`en`, `zh`).
    struct ModelCard {
        /// What it knows.
        about: BTreeMap<String, String>,
        /// Questions to try.
        questions: BTreeMap<String, Vec<String>>,
        /// The fingerprint of rows of the generated world that it knows.
        world: Option<String> = "Option::is_none",
        /// The name of the model that it was converted from.
        parent: Option<String> = "Option::is_none",
    }

    /// A model kept in this browser.
    struct KeptModel {
        /// Its name.
        name: String,
        /// Its size.
        bytes: f64,
        /// Whether it can teach the open model: it predicts the next token, of the same tokens. Of GGUF files that is not told.
        teaches: bool,
        /// What is damaged, so that it cannot be opened.
        damaged: Option<Told> = "Option::is_none",
    }

    /// An adapter in this browser, of whatever model.
    struct AdapterInfo {
        /// Its name, which no other has.
        name: String,
        /// The width of its paths.
        rank: u32,
        /// Number of weights.
        parameters: f64,
        /// Whether it acts.
        active: bool,
        /// What its scale is multiplied by.
        strength: f64,
        /// The name of the model that it belongs to.
        base: Option<String>,
        /// Whether that is the open model.
        fits: bool,
        /// Whether it is kept in this browser: not where there was no room, or another tab removed it.
        kept: bool,
        /// When it was made or added, in milliseconds since 1970; 0 where that is damaged.
        made: f64,
        /// What is damaged, so that it cannot be opened.
        damaged: Option<Told> = "Option::is_none",
    }

    /// The mean of several adapters, which is one of them now.
    struct AveragedAdapter {
        /// Its name.
        name: String,
        /// What a person should know of how it came about.
        notes: Vec<Told>,
        /// What the smaller rank cost, as a share of the whole; missing where the mean is exact.
        error: Option<f64> = "Option::is_none",
    }

    /// What holds where a request names nothing else.
    struct Defaults {
        /// How a stage trains, with or without an adapter.
        config: Map<String, Value> as "TrainConfig",
        /// How an adapter is made.
        lora: Map<String, Value> as "LoraConfig",
        /// How preferences are learned.
        dpo: Map<String, Value> as "DpoConfig",
        /// How a student learns from a teacher.
        distill: Map<String, Value> as "DistillConfig",
        /// How answers that think first are learned.
        reason: Map<String, Value> as "ReasonConfig",
        /// How rewards are learned from.
        grpo: Map<String, Value> as "GrpoConfig",
        /// How the next token is chosen.
        sampling: Map<String, Value> as "Required<Omit<Sampling, \"max_completion_tokens\">>",
        /// How a masked predictor fills its masks; null is for what only the request or the model can tell.
        unmask: Map<String, Value> as "UnmaskDefaults",
    }
}
