//! The routed feed-forward layer: of many experts each token gets a few (Shazeer et al., 2017,
//! <https://arxiv.org/abs/1701.06538>; as in Qwen3-MoE and MiniMind).

use burn::module::Module;
use burn::tensor::{DType, Int, Tensor, activation};

use super::{Linear, Mlp, Routing, Trace};
use crate::kernels::in_dtype;

/// Experts and their gate; the fields are named as in Hugging Face checkpoints.
#[derive(Module, Debug)]
pub struct Moe {
    pub(super) gate: Linear,
    pub(super) experts: Vec<Mlp>,
    /// Those that every token gets.
    pub(super) shared_experts: Vec<Mlp>,
    pub(super) per_token: usize,
    pub(super) normalize: bool,
}

impl Moe {
    /// `Σ w_e · expert_e(x)` over the chosen experts, plus the shared ones.
    ///
    /// # Shapes
    /// `x [batch, seq, hidden]` → the same.
    pub(super) fn forward(&self, x: Tensor<3>, trace: &mut Trace) -> Tensor<3> {
        let dtype = x.dtype();
        let (weights, routing) = self.route(in_dtype(self.gate.forward(x.clone()), DType::F32));
        if let Some(kept) = &mut trace.routing {
            kept.push(routing);
        }
        let weights = in_dtype(weights, dtype);
        // Every expert sees every token, so that nothing has to be read back from the device to divide them.
        let chosen = self
            .experts
            .iter()
            .enumerate()
            .map(|(i, expert)| expert.forward(x.clone()) * weights.clone().narrow(2, i, 1));
        let shared = self.shared_experts.iter().map(|expert| expert.forward(x.clone()));
        let sum = chosen.chain(shared).reduce(|sum, y| sum + y);
        sum.unwrap_or_else(|| x.zeros_like())
    }

    /// The weight of each expert for each token: softmax over all, zero but for the `per_token` largest, which sum to
    /// one where the model normalises.
    ///
    /// # Shapes
    /// `logits [batch, seq, experts]` → the same.
    fn route(&self, logits: Tensor<3>) -> (Tensor<3>, Routing) {
        let probabilities = activation::softmax(logits, 2);
        let chosen = largest(probabilities.clone(), self.per_token);
        let weights = probabilities.clone() * chosen.clone();
        let weights = match self.normalize {
            true => weights.clone() / weights.sum_dim(2),
            false => weights,
        };
        (weights, Routing { probabilities, chosen })
    }
}

/// 1 where a value is among the `count` largest of the last dimension, else 0.
fn largest(values: Tensor<3>, count: usize) -> Tensor<3> {
    let [batch, seq, width] = values.dims();
    // Choosing has no gradient.
    let autodiff = values.device().is_autodiff();
    let mut left = if autodiff { values.inner() } else { values };
    let places = Tensor::<1, Int>::arange(0..width as i64, &left.device());
    let places: Tensor<3, Int> = places.reshape([1, 1, width]).expand([batch, seq, width]);
    let mut chosen = left.zeros_like();
    for _ in 0..count.min(width) {
        let best = left.clone().argmax(2).expand([batch, seq, width]);
        let best = in_dtype(best.equal(places.clone()).float(), left.dtype());
        chosen = chosen + best.clone();
        // Below every probability.
        left = left - best * 2.0;
    }
    if autodiff { Tensor::from_inner(chosen) } else { chosen }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Weight;
    use burn::module::Param;
    use burn::tensor::{Device, TensorData};

    fn linear(values: Vec<f32>, shape: [usize; 2]) -> Linear {
        let weight = Param::from_data(TensorData::new(values, shape), &Device::flex());
        Linear { weight: Weight::Dense(weight), bias: None, lora: Vec::new() }
    }

    /// On one input: `down · silu(gate·x) · up·x`.
    fn expert(factor: f32) -> Mlp {
        Mlp {
            gate_proj: linear(vec![1.0], [1, 1]),
            up_proj: linear(vec![1.0], [1, 1]),
            down_proj: linear(vec![factor], [1, 1]),
        }
    }

    fn forward(per_token: usize, normalize: bool, shared: Vec<Mlp>) -> f32 {
        // The gate's logits for x = 1: ln 1, ln 2, ln 5, so probabilities 1/8, 2/8, 5/8.
        let gate = linear(vec![0.0, 2f32.ln(), 5f32.ln()], [1, 3]);
        let experts = vec![expert(100.0), expert(10.0), expert(1.0)];
        let moe = Moe { gate, experts, shared_experts: shared, per_token, normalize };
        let x = Tensor::<3>::from_data([[[1.0f32]]], &Device::flex());
        let mut trace = Trace::of_routing();
        let sum = moe.forward(x, &mut trace).into_data().iter::<f32>().sum();
        let chosen = trace.routing.unwrap()[0].chosen.clone();
        assert_eq!(chosen.into_data().iter::<f32>().sum::<f32>(), per_token as f32);
        sum
    }

    #[test]
    fn the_likeliest_experts_answer_with_their_weights() {
        // Every expert's own output for x = 1 is its factor times silu(1).
        let silu = 1.0 / (1.0 + (-1f32).exp());
        let close =
            |found: f32, expected: f32| assert!((found - expected * silu).abs() < 1e-4, "{found} {expected}");
        close(forward(1, false, vec![]), 5.0 / 8.0);
        close(forward(1, true, vec![]), 1.0);
        close(forward(2, false, vec![]), 5.0 / 8.0 + 10.0 * 2.0 / 8.0);
        close(forward(2, true, vec![]), (5.0 + 20.0) / 7.0);
        close(forward(3, true, vec![]), (5.0 + 20.0 + 100.0) / 8.0);
        close(forward(1, false, vec![expert(2.0), expert(3.0)]), 5.0 / 8.0 + 5.0);
    }

    #[test]
    fn equal_values_are_chosen_no_more_often_than_asked() {
        let values =
            Tensor::<3>::from_data([[[0.25f32, 0.25, 0.25, 0.25], [0.1, 0.4, 0.4, 0.1]]], &Device::flex());
        let rows: Vec<f32> = largest(values, 2).into_data().iter::<f32>().collect();
        assert_eq!(rows[..4].iter().sum::<f32>(), 2.0);
        assert_eq!(rows[4..], [0.0, 1.0, 1.0, 0.0]);
    }
}
