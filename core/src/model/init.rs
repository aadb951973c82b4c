//! Building a model: the same walk over its weights serves random initialisation and loading.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::noise::EmbeddingNoise;
use super::saved::Saved;
use super::transformer::{Backbone, Embedding};
use super::{
    ActivationCheckpointing, Attention, Block, Experts, FeedForward, Linear, Mlp, ModelConfig, Moe,
    Quantized, RmsNorm, Rope, Transformer, Weight,
};
use crate::error::{Error, Result};
use crate::kernels::{Activations, AttentionBlocks, Quantization, QuantizedMatrix};
use crate::random::Random;
use crate::told::told;

/// Gives a weight's values by Hugging Face name and shape (matrices `[out, in]`, row by row).
pub type WeightSource<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

impl Transformer {
    /// A model with [`fresh_weights`].
    ///
    /// # Errors
    /// A config that does not hold.
    pub fn init(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self> {
        Self::build(config, device, &mut fresh_weights(config, seed))
    }

    /// A model whose weights come from `source`.
    ///
    /// # Errors
    /// A config that does not hold, or what the source answers.
    pub fn build(config: &ModelConfig, device: &Device, source: &mut WeightSource) -> Result<Self> {
        Self::walk(config, Builder { config, device, source, bits: None, quantized: 0, outlines: false })
    }

    /// A model of this shape for plans, which costs nothing: its weights are zeros, made once something reads them.
    ///
    /// # Errors
    /// A config that does not hold.
    pub fn outline(config: &ModelConfig, device: &Device) -> Result<Self> {
        let source: &mut WeightSource = &mut |_, _| Ok(Vec::new());
        Self::walk(config, Builder { config, device, source, bits: None, quantized: 0, outlines: true })
    }

    /// The same with its matrices in few bits, each put into blocks as it comes. As llama.cpp has them: norms, biases
    /// and routers stay f32, and where matrices get 4 bits the output projection gets 8. Matrices whose rows are no
    /// whole blocks of 32 stay f32.
    ///
    /// # Errors
    /// As [`Self::build`]; a model without any matrix that has whole blocks.
    pub fn build_quantized(
        config: &ModelConfig,
        bits: Quantization,
        device: &Device,
        source: &mut WeightSource,
    ) -> Result<Self> {
        Self::walk(
            config,
            Builder { config, device, source, bits: Some(bits), quantized: 0, outlines: false },
        )
    }

    fn walk(config: &ModelConfig, mut builder: Builder) -> Result<Self> {
        config.validate()?;
        let hidden = config.hidden_size;
        let embed_tokens = builder.embedding("model.embed_tokens.weight", [config.vocab_size, hidden])?;
        let layers = (0..config.num_hidden_layers).map(|i| builder.block(i)).collect::<Result<_>>()?;
        let norm = builder.norm("model.norm", hidden)?;
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => Some(builder.linear("lm_head", hidden, config.vocab_size, false)?),
        };
        if builder.bits.is_some() && builder.quantized == 0 {
            return Err(Error::Model(told!(
                "model.no_blocks",
                "no matrix of this model has rows of whole blocks of 32 numbers (its width is {hidden}): it cannot be \
                held in few bits; leave --weights out",
                hidden
            )));
        }
        Ok(Self {
            model: Backbone { embed_tokens, layers, norm },
            lm_head,
            saved: Saved::default(),
            rope: Rope::new(config),
            config: config.clone(),
            dtype: DType::F32,
            noise: EmbeddingNoise::default(),
            checkpointing: ActivationCheckpointing::None,
            activations: Activations::Exact,
            tape: None,
        })
    }
}

impl Transformer {
    /// The same weights on the device with autodiff, all of them to be trained; nothing is copied.
    pub fn trainable(self) -> Self {
        self.map(&mut Trainable)
    }
}

struct Trainable;

impl ModuleMapper for Trainable {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weight| Tensor::from_inner(weight).require_grad())
    }
}

/// FNV-1a: a fixed number for a name.
pub(crate) fn stream_of(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Fresh weights: normal with the config's two ranges, the two projections that write to the residual stream scaled
/// by `1/sqrt(2·layers)` (GPT-2), norms one, biases zero.
pub fn fresh_weights(config: &ModelConfig, seed: u64) -> impl FnMut(&str, &[usize]) -> Result<Vec<f32>> {
    let (std, embedding) = (config.initializer_range, config.embedding_range);
    let residual = std / ((2 * config.num_hidden_layers) as f64).sqrt();
    move |name, shape| {
        let count = shape.iter().product();
        if name.ends_with("norm.weight") {
            return Ok(vec![1.0; count]);
        }
        if name.ends_with(".bias") {
            return Ok(vec![0.0; count]);
        }
        let writes_stream = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
        let std = match name {
            "model.embed_tokens.weight" => embedding,
            _ if writes_stream => residual,
            _ => std,
        };
        // A stream a name: a weight's values do not depend on which others exist.
        let mut random = Random::new(seed, stream_of(name));
        Ok((0..count).map(|_| (random.normal() * std) as f32).collect())
    }
}

struct Builder<'a, 'b> {
    config: &'a ModelConfig,
    device: &'a Device,
    source: &'a mut WeightSource<'b>,
    bits: Option<Quantization>,
    /// Matrices that came into blocks.
    quantized: usize,
    /// Whether the source gives nothing, and weights are made where they are read.
    outlines: bool,
}

impl Builder<'_, '_> {
    fn parameter<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        match self.outlines {
            true => {
                let zeros = move |device: &Device, _| Tensor::zeros(shape, device);
                Param::uninitialized(ParamId::new(), zeros, self.device.clone(), true, shape.into())
            }
            false => Param::from_data(TensorData::new(values, shape), self.device),
        }
    }

    fn block(&mut self, index: usize) -> Result<Block> {
        let (config, name) = (self.config, format!("model.layers.{index}"));
        let hidden = config.hidden_size;
        Ok(Block {
            input_layernorm: self.norm(&format!("{name}.input_layernorm"), hidden)?,
            self_attn: self.attention(&format!("{name}.self_attn"))?,
            post_attention_layernorm: self.norm(&format!("{name}.post_attention_layernorm"), hidden)?,
            mlp: match config.experts.as_ref().filter(|experts| experts.layers[index]) {
                None => FeedForward::Dense(self.mlp(&format!("{name}.mlp"), config.intermediate_size)?),
                Some(experts) => FeedForward::Sparse(self.moe(&format!("{name}.mlp"), experts)?),
            },
            slides: config.sliding_window.as_ref().is_some_and(|sliding| sliding.layers[index]),
            dropped: None,
        })
    }

    fn mlp(&mut self, name: &str, inner: usize) -> Result<Mlp> {
        let hidden = self.config.hidden_size;
        Ok(Mlp {
            gate_proj: self.linear(&format!("{name}.gate_proj"), hidden, inner, false)?,
            up_proj: self.linear(&format!("{name}.up_proj"), hidden, inner, false)?,
            down_proj: self.linear(&format!("{name}.down_proj"), inner, hidden, false)?,
        })
    }

    fn moe(&mut self, name: &str, experts: &Experts) -> Result<Moe> {
        let gate = self.linear(&format!("{name}.gate"), self.config.hidden_size, experts.count, false)?;
        let mut group = |part: &str, count: usize| {
            let inner = experts.intermediate_size;
            (0..count).map(|i| self.mlp(&format!("{name}.{part}.{i}"), inner)).collect::<Result<Vec<_>>>()
        };
        Ok(Moe {
            gate,
            experts: group("experts", experts.count)?,
            shared_experts: group("shared_experts", experts.shared)?,
            per_token: experts.per_token,
            normalize: experts.normalize,
        })
    }

    fn attention(&mut self, name: &str) -> Result<Attention> {
        let config = self.config;
        let (hidden, head_dim, bias) = (config.hidden_size, config.head_dim, config.attention_bias);
        let output_bias = config.attention_output_bias;
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let norm = |builder: &mut Self, part: &str| match config.qk_norm {
            true => builder.norm(&format!("{name}.{part}"), head_dim).map(Some),
            false => Ok(None),
        };
        Ok(Attention {
            q_proj: self.linear(&format!("{name}.q_proj"), hidden, heads * head_dim, bias)?,
            k_proj: self.linear(&format!("{name}.k_proj"), hidden, kv_heads * head_dim, bias)?,
            v_proj: self.linear(&format!("{name}.v_proj"), hidden, kv_heads * head_dim, bias)?,
            o_proj: self.linear(&format!("{name}.o_proj"), heads * head_dim, hidden, output_bias)?,
            q_norm: norm(self, "q_norm")?,
            k_norm: norm(self, "k_norm")?,
            heads,
            kv_heads,
            dropout: config.attention_dropout,
            dropout_key: None,
            tape: None,
            blocks: AttentionBlocks::default(),
        })
    }

    /// The table of token vectors; where it is tied, it is the output projection too.
    fn embedding(&mut self, name: &str, shape: [usize; 2]) -> Result<Embedding> {
        let values = (self.source)(name, &shape)?;
        let weight = self.blocks(&values, shape, self.config.tie_word_embeddings);
        let weight = weight.unwrap_or_else(|| Weight::Dense(self.parameter(values, shape)));
        Ok(Embedding { weight, writes: false })
    }

    /// A matrix `[out, in]` in few bits, where that is asked for and its rows are whole blocks.
    fn blocks(&mut self, values: &[f32], shape: [usize; 2], output: bool) -> Option<Weight> {
        let bits = match self.bits? {
            Quantization::Q4_0 if output => Quantization::Q8_0,
            bits => bits,
        };
        let matrix = QuantizedMatrix::new(values, shape, bits, self.device)?;
        self.quantized += 1;
        Some(Weight::Quantized(Quantized { matrix }))
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let values = (self.source)(&format!("{name}.weight"), &[outputs, inputs])?;
        let blocks = match name.ends_with(".gate") {
            true => None,
            false => self.blocks(&values, [outputs, inputs], name == "lm_head"),
        };
        let weight = blocks.unwrap_or_else(|| {
            let values = if self.outlines { values } else { transpose(&values, outputs, inputs) };
            Weight::Dense(self.parameter(values, [inputs, outputs]))
        });
        let bias = match bias {
            true => {
                let values = (self.source)(&format!("{name}.bias"), &[outputs])?;
                Some(self.parameter(values, [outputs]))
            }
            false => None,
        };
        Ok(Linear { weight, bias, lora: Vec::new(), writes: false })
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<RmsNorm> {
        let values = (self.source)(&format!("{name}.weight"), &[width])?;
        Ok(RmsNorm { weight: self.parameter(values, [width]), eps: self.config.rms_norm_eps })
    }
}

/// `[rows, columns]` → `[columns, rows]`, in tiles that stay in the cache.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 32;
    let mut out = vec![0.0; values.len()];
    for r0 in (0..rows).step_by(TILE) {
        for c0 in (0..columns).step_by(TILE) {
            for r in r0..(r0 + TILE).min(rows) {
                for c in c0..(c0 + TILE).min(columns) {
                    out[c * rows + r] = values[r * columns + c];
                }
            }
        }
    }
    out
}
