//! Building a model: the same walk over its weights serves random initialisation and loading.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::transformer::{Decoder, Embedding};
use super::{
    Attention, Block, Experts, FeedForward, Linear, Mlp, ModelConfig, Moe, RmsNorm, Rope, Transformer,
};
use crate::error::Result;
use crate::random::Random;

/// Gives a weight's values by Hugging Face name and shape (matrices `[out, in]`, row by row).
pub type WeightSource<'a> = dyn FnMut(&str, &[usize]) -> Result<Vec<f32>> + 'a;

impl Transformer {
    /// A model with fresh weights: normal with the config's two ranges, the two projections that
    /// write to the residual stream scaled by `1/sqrt(2·layers)` (GPT-2), norms one, biases zero.
    ///
    /// # Errors
    /// A config that does not hold.
    pub fn init(config: &ModelConfig, seed: u64, device: &Device) -> Result<Self> {
        let std = config.initializer_range;
        let residual = std / ((2 * config.num_hidden_layers) as f64).sqrt();
        Self::build(config, device, &mut |name, shape| {
            let count = shape.iter().product();
            if name.ends_with("norm.weight") {
                return Ok(vec![1.0; count]);
            }
            if name.ends_with(".bias") {
                return Ok(vec![0.0; count]);
            }
            let writes_stream = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
            let std = match name {
                "model.embed_tokens.weight" => config.embedding_range,
                _ if writes_stream => residual,
                _ => std,
            };
            // A stream a name: a weight's values do not depend on which others exist.
            let mut random = Random::new(seed, stream_of(name));
            Ok((0..count).map(|_| (random.normal() * std) as f32).collect())
        })
    }

    /// A model whose weights come from `source`.
    ///
    /// # Errors
    /// A config that does not hold, or what the source answers.
    pub fn build(config: &ModelConfig, device: &Device, source: &mut WeightSource) -> Result<Self> {
        config.validate()?;
        let mut builder = Builder { config, device, source };
        let hidden = config.hidden_size;
        let embedding = (builder.source)("model.embed_tokens.weight", &[config.vocab_size, hidden])?;
        let weight = builder.parameter(embedding, [config.vocab_size, hidden]);
        let layers = (0..config.num_hidden_layers).map(|i| builder.block(i)).collect::<Result<_>>()?;
        let norm = builder.norm("model.norm", hidden)?;
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => Some(builder.linear("lm_head", hidden, config.vocab_size, false)?),
        };
        Ok(Self {
            model: Decoder { embed_tokens: Embedding { weight }, layers, norm },
            lm_head,
            rope: Rope::new(config),
            config: config.clone(),
            dtype: DType::F32,
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

struct Builder<'a, 'b> {
    config: &'a ModelConfig,
    device: &'a Device,
    source: &'a mut WeightSource<'b>,
}

impl Builder<'_, '_> {
    fn parameter<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::from_data(TensorData::new(values, shape), self.device)
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
        })
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let values = (self.source)(&format!("{name}.weight"), &[outputs, inputs])?;
        let weight = self.parameter(transpose(&values, outputs, inputs), [inputs, outputs]);
        let bias = match bias {
            true => {
                let values = (self.source)(&format!("{name}.bias"), &[outputs])?;
                Some(self.parameter(values, [outputs]))
            }
            false => None,
        };
        Ok(Linear { weight, bias, lora: Vec::new() })
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
