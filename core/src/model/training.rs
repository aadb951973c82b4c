//! What a model does while it trains and at no other time: noise, and activations that are computed again.

use burn::tensor::{Gradients, Tensor};

use super::block::BlockDropout;
use super::dropout::DropoutKey;
use super::noise::{EmbeddingNoise, Neftune};
use super::tape::Tape;
use super::{ActivationCheckpointing, Noise, Transformer};

/// The first number of the attentions' noise; dense layers, whose adapters may drop their inputs, count from 0.
const ATTENTIONS: u64 = 1 << 31;
/// The first number of what layers drop of what they add, two for each.
const HALVES: u64 = 3 << 30;
/// The numbers of the embeddings' noise.
const EMBEDDINGS: u64 = (1 << 32) - 2;
const NEFTUNE: u64 = (1 << 32) - 1;

impl Transformer {
    /// The same model whose training keeps activations by this strategy.
    pub fn with_checkpointing(mut self, strategy: ActivationCheckpointing) -> Self {
        self.checkpointing = strategy;
        self
    }

    /// Switches noise on: `first_row` is the batch's place among the step's rows, and `lengths` are the tokens of the
    /// example at each place of it, for NEFTune alone.
    pub(crate) fn with_noise(mut self, noise: Noise, first_row: usize, lengths: Vec<u32>) -> Self {
        let key = |number: u64| DropoutKey::new(noise.seed, number, first_row);
        for (i, (_, linear)) in (0..).zip(self.linears_mut()) {
            for path in linear.lora.iter_mut().filter(|path| path.dropout > 0.0) {
                path.dropout_key = Some(key(i));
            }
        }
        let (everywhere, attention) = self.config.dropped(noise.dropout);
        for (i, block) in (0..).zip(&mut self.model.layers) {
            block.self_attn.dropout = attention;
            block.self_attn.dropout_key = (attention > 0.0).then(|| key(ATTENTIONS + i));
            let [attention, feed_forward] = [0, 1].map(|half| key(HALVES + 2 * i + half));
            block.dropped =
                (everywhere > 0.0).then_some(BlockDropout { share: everywhere, attention, feed_forward });
        }
        self.noise = EmbeddingNoise {
            neftune: (noise.neftune > 0.0).then(|| Neftune::new(noise.neftune, key(NEFTUNE), lengths)),
            dropped: (everywhere > 0.0).then(|| (key(EMBEDDINGS), everywhere)),
        };
        self
    }

    /// Begins to keep what the backward pass of one pass forward, or of several, computes again.
    pub(crate) fn with_tape(mut self) -> Self {
        let tape = match self.checkpointing {
            ActivationCheckpointing::None => None,
            _ => Some(Tape::default()),
        };
        if self.checkpointing == ActivationCheckpointing::FineGrained {
            self.model.layers.iter_mut().for_each(|block| block.self_attn.tape = tape.clone());
        }
        self.tape = tape;
        self
    }

    /// Takes what a backward pass found, and gives the scalar whose backward pass goes on, `[1]`; `None` where none does.
    pub(crate) fn rewind(&self, grads: &mut Gradients) -> Option<Tensor<1>> {
        self.tape.as_ref()?.rewind(grads)
    }

    /// Without noise, and with nothing to compute again.
    pub(super) fn outside_of_training(mut self) -> Self {
        self.noise = EmbeddingNoise::default();
        self.tape = None;
        for block in &mut self.model.layers {
            block.dropped = None;
            block.self_attn.dropout_key = None;
            block.self_attn.tape = None;
        }
        self
    }
}
