//! The whole model: ids in, logits out.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::{DType, Device, Int, Tensor, TensorData, module};

use super::low_rank::without_graph;
use super::noise::EmbeddingNoise;
use super::recomputed::{cut_behind, recomputed};
use super::saved::Saved;
use super::tape::Tape;
use super::{
    ActivationCheckpointing, Balance, Block, KvCache, Linear, ModelConfig, RmsNorm, Rope, Trace, Weight,
};
use crate::device::is_processor;
use crate::kernels::{
    Activations, Angles, AttentionBlocks, AttentionMask, among_threads, few_rows_transposed, in_dtype,
    multiply, multiply_transposed,
};

/// Embedding, blocks and final norm; the fields are named as in Hugging Face checkpoints.
#[derive(Module, Debug)]
pub(super) struct Backbone {
    pub(super) embed_tokens: Embedding,
    pub(super) layers: Vec<Block>,
    pub(super) norm: RmsNorm,
}

/// A table of token vectors.
#[derive(Module, Debug)]
pub(super) struct Embedding {
    /// Dense: `[vocab, hidden]`.
    pub(super) weight: Weight,
    /// As [`Linear::writes`].
    #[module(skip)]
    pub(super) writes: bool,
}

impl Embedding {
    /// `[batch, seq]` → `[batch, seq, hidden]`.
    fn rows(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        match &self.weight {
            Weight::Dense(table) => module::embedding(table.val(), tokens),
            Weight::Quantized(table) => table.matrix.rows(tokens),
        }
    }

    /// Products with all rows: `[n, hidden]` → `[n, vocab]`.
    fn products(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.weight {
            Weight::Dense(table) => {
                let table = in_dtype(table.val(), x.dtype());
                if self.writes { few_rows_transposed(x, table) } else { multiply_transposed(x, table) }
            }
            Weight::Quantized(table) => table.matrix.multiply(x),
        }
    }
}

/// A decoder-only transformer of the Llama family.
#[derive(Module, Debug)]
pub struct Transformer {
    pub(super) model: Backbone,
    pub(super) lm_head: Option<Linear>,
    pub(super) saved: Saved,
    #[module(skip)]
    pub(super) rope: Rope,
    #[module(skip)]
    pub(super) config: ModelConfig,
    #[module(skip)]
    pub(super) dtype: DType,
    /// What training does to the embeddings; nothing outside of it.
    #[module(skip)]
    pub(super) noise: EmbeddingNoise,
    #[module(skip)]
    pub(super) checkpointing: ActivationCheckpointing,
    /// What matrices in few bits are multiplied by while it writes.
    #[module(skip)]
    pub(super) activations: Activations,
    /// What the backward pass of a part of a step computes again.
    #[module(skip)]
    pub(super) tape: Option<Tape>,
}

impl Transformer {
    /// The shape it was built with.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The same model computing in `dtype` (weights stay f32).
    pub fn with_dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// The same model whose matrices in few bits meet such activations while it writes: see [`Self::writing`].
    pub fn with_activations(mut self, activations: Activations) -> Self {
        self.activations = activations;
        self
    }

    /// The same model as it takes the tokens that it wrote itself: by products of few rows, with the activations that
    /// [`Self::with_activations`] chose. What it reads, scores or learns from is computed as it always is.
    pub fn writing(&self) -> Self {
        let mut writing = self.clone();
        let table = &mut writing.model.embed_tokens;
        table.writes = true;
        table.weight.set_activations(self.activations);
        for (_, linear) in writing.linears_mut() {
            linear.writes = true;
            linear.weight.set_activations(self.activations);
        }
        writing
    }

    /// Whether it writes less exactly than it reads, so that what it wrote does not stand for what it would have read.
    pub(crate) fn writes_inexactly(&self) -> bool {
        self.activations != Activations::Exact && is_processor(&self.device()) && self.is_quantized()
    }

    /// The same model whose answers end with any of these tokens.
    pub fn with_end_ids(mut self, ids: Vec<u32>) -> Self {
        self.config.eos_token_ids = ids;
        self
    }

    /// The model without the adapters beside its layers, without dropout and without a graph: what it was before it was
    /// trained, where adapters alone were. Nothing is copied.
    pub fn base(&self) -> Self {
        let mut base = self.valid().outside_of_training();
        base.linears_mut().into_iter().for_each(|(_, linear)| linear.lora.clear());
        base.saved = Saved::default();
        base
    }

    /// The same model without a graph, to be asked many times: what depends on its weights alone is computed once.
    pub(crate) fn settled(&self) -> Self {
        let mut settled = self.valid();
        let device = settled.device();
        settled.linears_mut().into_iter().for_each(|(_, linear)| linear.settle(&device));
        settled
    }

    /// The same model whose attention takes so many queries at a time.
    pub fn with_attention_blocks(mut self, blocks: AttentionBlocks) -> Self {
        self.model.layers.iter_mut().for_each(|block| block.self_attn.blocks = blocks);
        self
    }

    /// The same model whose training adds this to its loss; nothing where no layer is routed.
    pub fn with_balance(mut self, balance: Balance) -> Self {
        if let Some(experts) = &mut self.config.experts {
            experts.balance = balance;
        }
        self
    }

    /// The type that products run in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Where the weights live.
    pub fn device(&self) -> Device {
        self.model.norm.weight.val().device()
    }

    /// Logits of every position.
    ///
    /// # Shapes
    /// `tokens [batch, seq]` → `[batch, seq, vocab]` in f32. The mask decides whether it is causal.
    pub fn forward(&self, tokens: Tensor<2, Int>, mask: &AttentionMask) -> Tensor<3> {
        self.forward_traced(tokens, mask, &mut Trace::default())
    }

    /// The same, and what `trace` asks for.
    pub fn forward_traced(
        &self,
        tokens: Tensor<2, Int>,
        mask: &AttentionMask,
        trace: &mut Trace,
    ) -> Tensor<3> {
        let x = self.hidden(tokens, mask, trace);
        self.logits(x)
    }

    /// Logits of some positions only: a vocabulary for each position is often the largest tensor there is. `places` number
    /// the tokens of all sequences, one after the other; `trace` has all of them.
    ///
    /// # Shapes
    /// `tokens [batch, seq]`, `n` places → `[n, vocab]` in f32.
    pub fn forward_at(
        &self,
        tokens: Tensor<2, Int>,
        mask: &AttentionMask,
        places: &[u32],
        trace: &mut Trace,
    ) -> Tensor<2> {
        let x = self.hidden(tokens, mask, trace);
        self.logits_of(x, places.iter().map(|&place| place as i32).collect())
    }

    /// Logits of some places of what the last block gave: `[batch, seq, hidden]`, `n` places → `[n, vocab]`.
    pub(crate) fn logits_of(&self, x: Tensor<3>, places: Vec<i32>) -> Tensor<2> {
        let ([batch, seq, hidden], n) = (x.dims(), places.len());
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [n]), &x.device());
        let x = x.reshape([batch * seq, hidden]).select(0, places).reshape([1, n, hidden]);
        self.logits(x).reshape([n, self.config.vocab_size])
    }

    /// What the last block gives for every position, `[batch, seq, hidden]`.
    fn hidden(&self, tokens: Tensor<2, Int>, mask: &AttentionMask, trace: &mut Trace) -> Tensor<3> {
        let [_, seq] = tokens.dims();
        self.hidden_at(tokens, &self.rope.angles(0, seq, seq), mask, trace)
    }

    /// The same of tokens that stand at such positions.
    pub(super) fn hidden_at(
        &self,
        tokens: Tensor<2, Int>,
        angles: &Angles,
        mask: &AttentionMask,
        trace: &mut Trace,
    ) -> Tensor<3> {
        let mut x = self.noise.apply(self.embed(tokens));
        let near = self.config.sliding_window.as_ref().map(|sliding| mask.within(sliding.window));
        // What is looked into is kept anyway.
        let tape = self.tape.as_ref().filter(|_| trace.hidden.is_none() && trace.attention.is_none());
        let fine = self.checkpointing == ActivationCheckpointing::FineGrained;
        if let Some(tape) = tape.filter(|_| fine) {
            x = tape.cut(x);
        }
        let routes = trace.routing.is_some();
        for (i, block) in self.model.layers.iter().enumerate() {
            let mask = near.as_ref().filter(|_| block.slides).unwrap_or(mask);
            x = match tape {
                Some(tape) if self.checkpointing.recomputes(i) => {
                    recomputed(tape, block, x, angles, mask, trace)
                }
                Some(tape) if fine || routes => cut_behind(tape, block, x, angles, mask, trace),
                _ => block.forward(x, angles, mask, None, trace),
            };
        }
        x
    }

    /// Causal logits of new positions of the sequences `rows`, whose past is in `cache`; they are added to it. The
    /// sequences may stand at different positions.
    ///
    /// # Shapes
    /// `tokens [rows, new]` → `[rows, new, vocab]`, or `[rows, 1, vocab]` with `last_only`.
    pub fn forward_cached(
        &self,
        tokens: Tensor<2, Int>,
        cache: &mut KvCache,
        rows: Range<usize>,
        last_only: bool,
    ) -> Tensor<3> {
        let pass = || self.pass_cached(tokens, cache, rows, last_only);
        if is_processor(&self.device()) { among_threads(pass) } else { pass() }
    }

    fn pass_cached(
        &self,
        tokens: Tensor<2, Int>,
        cache: &mut KvCache,
        rows: Range<usize>,
        last_only: bool,
    ) -> Tensor<3> {
        let [_, new] = tokens.dims();
        let places = cache.places(rows.clone(), new);
        let mask = AttentionMask::causal_rows(&places.starts, new, None);
        let angles = self.rope.angles_of_rows(&places.texts(), new);
        let mut x = self.embed(tokens);
        let sliding = self.config.sliding_window.as_ref();
        let near =
            sliding.map(|sliding| AttentionMask::causal_rows(&places.starts, new, Some(sliding.window)));
        for (block, layer) in self.model.layers.iter().zip(&mut cache.layers) {
            let mask = near.as_ref().filter(|_| block.slides).unwrap_or(&mask);
            x = block.forward(x, &angles, mask, Some((layer, &places)), &mut Trace::default());
        }
        cache.advance(rows, new);
        self.logits(if last_only { x.narrow(1, new - 1, 1) } else { x })
    }

    /// Every dense layer by its Hugging Face name, without `.weight`.
    pub(crate) fn linears_mut(&mut self) -> Vec<(String, &mut Linear)> {
        let mut all = Vec::new();
        for (i, block) in self.model.layers.iter_mut().enumerate() {
            let (attention, mlp) = (&mut block.self_attn, &mut block.mlp);
            let attention = [
                ("q_proj", &mut attention.q_proj),
                ("k_proj", &mut attention.k_proj),
                ("v_proj", &mut attention.v_proj),
                ("o_proj", &mut attention.o_proj),
            ];
            let name = |part: &str, linear: &str| format!("model.layers.{i}.{part}.{linear}");
            all.extend(attention.map(|(linear, weights)| (name("self_attn", linear), weights)));
            let mlp = mlp.linears_mut().into_iter();
            all.extend(mlp.map(|(linear, weights)| (name("mlp", &linear), weights)));
        }
        all.extend(self.lm_head.as_mut().map(|head| ("lm_head".to_string(), head)));
        all
    }

    /// Where an adapter's own modules go.
    pub(crate) fn saved_mut(&mut self) -> &mut Saved {
        &mut self.saved
    }

    /// The base's own weights of an end: of the output projection `[hidden, vocab]`, else `[vocab, hidden]`.
    pub(crate) fn end(&self, is_head: bool) -> Tensor<2> {
        let device = self.device();
        let plain = device.clone().inner();
        let table = || match &self.model.embed_tokens.weight {
            Weight::Dense(table) => without_graph(table.val()),
            Weight::Quantized(table) => table.matrix.dense(&plain),
        };
        let values = match (is_head, &self.lm_head) {
            (true, Some(head)) => head.dense(&plain),
            (true, None) => table().transpose(),
            (false, _) => table(),
        };
        if device.is_autodiff() { Tensor::from_inner(values) } else { values }
    }

    /// `[batch, seq]` → `[batch, seq, hidden]`.
    pub(super) fn embed(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let rows = match &self.saved.embed_tokens {
            Some(table) => module::embedding(table.val(), tokens),
            None => self.model.embed_tokens.rows(tokens),
        };
        in_dtype(rows, self.dtype)
    }

    /// `[batch, seq, hidden]` → `[batch, seq, vocab]`.
    fn logits(&self, x: Tensor<3>) -> Tensor<3> {
        let x = self.model.norm.forward(x);
        let [batch, seq, hidden] = x.dims();
        let logits = match (&self.saved.lm_head, &self.lm_head) {
            (None, Some(head)) => head.forward(x),
            (saved, _) => {
                let x = x.reshape([batch * seq, hidden]);
                let logits = match saved {
                    Some(head) => multiply(x.clone(), in_dtype(head.val(), x.dtype())),
                    None => self.model.embed_tokens.products(x),
                };
                logits.reshape([batch, seq, self.config.vocab_size])
            }
        };
        in_dtype(logits, DType::F32)
    }
}
