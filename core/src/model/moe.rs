//! The routed feed-forward layer: of many experts each token gets a few (Shazeer et al., 2017,
//! <https://arxiv.org/abs/1701.06538>; as in Qwen3-MoE and MiniMind).

use burn::module::Module;
use burn::tensor::{DType, Int, Tensor, TensorData, activation};

use super::{Linear, Mlp, Routing, Trace};
use crate::kernels::{ExpertRows, host_values, in_dtype, take_rows, weigh_rows};

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
        let logits = in_dtype(self.gate.forward(x.clone()), DType::F32);
        let probabilities = activation::softmax(logits.clone(), 2);
        let rows = self.rows(&probabilities);
        let chosen = match &rows {
            Some(rows) => {
                let chosen = TensorData::new(rows.chosen(), probabilities.dims());
                Tensor::from_data(chosen, &probabilities.device())
            }
            None => largest(probabilities.clone(), self.per_token),
        };
        let weights = self.weights(probabilities.clone(), chosen.clone());
        if let Some(kept) = &mut trace.routing {
            kept.push(Routing { logits, probabilities, chosen });
        }
        let routed = match &rows {
            Some(rows) => self.sparse(x.clone(), weights, rows),
            None => self.masked(x.clone(), weights),
        };
        self.shared_experts.iter().fold(routed, |sum, expert| sum + expert.forward(x.clone()))
    }

    /// Which tokens each expert gets, where that is known without waiting for a device: on the processor. What adapters
    /// drop has its place in the whole sequence, so then every expert sees all of it.
    fn rows(&self, probabilities: &Tensor<3>) -> Option<ExpertRows> {
        if self.experts.iter().any(Mlp::drops) {
            return None;
        }
        let values = host_values(probabilities)?;
        Some(ExpertRows::choose(&values, self.experts.len(), self.per_token))
    }

    /// Softmax over all experts, zero but for the chosen, which sum to one where the model normalises.
    ///
    /// # Shapes
    /// Both `[batch, seq, experts]` → the same.
    fn weights(&self, probabilities: Tensor<3>, chosen: Tensor<3>) -> Tensor<3> {
        let weights = probabilities * chosen;
        match self.normalize {
            true => weights.clone() / weights.sum_dim(2),
            false => weights,
        }
    }

    /// Every expert sees every token, so that nothing has to be read back from the device to divide them.
    fn masked(&self, x: Tensor<3>, weights: Tensor<3>) -> Tensor<3> {
        let weights = in_dtype(weights, x.dtype());
        let answers = self.experts.iter().enumerate();
        let answers = answers.map(|(i, expert)| expert.forward(x.clone()) * weights.clone().narrow(2, i, 1));
        let sum = answers.reduce(|sum, y| sum + y);
        sum.unwrap_or_else(|| x.zeros_like())
    }

    /// Every expert sees its own tokens alone.
    fn sparse(&self, x: Tensor<3>, weights: Tensor<3>, rows: &ExpertRows) -> Tensor<3> {
        let ([batch, seq, hidden], dtype) = (x.dims(), x.dtype());
        let trains = x.device().is_autodiff();
        let flat = in_dtype(x.clone(), DType::F32).reshape([batch * seq, hidden]);
        let (mut answers, mut places) = (Vec::new(), Vec::new());
        for (i, expert) in self.experts.iter().enumerate() {
            let mut own = rows.of(i);
            places.extend(own.iter().map(|&token| Some((token, i as u32))));
            if own.is_empty() && trains {
                // One token that counts nothing, so that its weights have gradients of zero and not none.
                own.push(0);
                places.push(None);
            }
            if own.is_empty() {
                continue;
            }
            let count = own.len();
            let own = take_rows(flat.clone(), own).reshape([1, count, hidden]);
            let answer = expert.forward(in_dtype(own, dtype));
            answers.push(in_dtype(answer, DType::F32).reshape([count, hidden]));
        }
        if answers.is_empty() {
            return x.zeros_like();
        }
        let weights = weights.reshape([batch * seq, self.experts.len()]);
        let sums = weigh_rows(Tensor::cat(answers, 0), weights, places);
        in_dtype(sums.reshape([batch, seq, hidden]), dtype)
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
        Linear { weight: Weight::Dense(weight), bias: None, lora: Vec::new(), writes: false }
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

    /// Numbers that look random, on a device with autodiff.
    fn some(shape: [usize; 2], seed: usize) -> Linear {
        let number = |i: usize| ((i * 37 + seed * 101 + i * i % 13) % 97) as f32 / 97.0 - 0.5;
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(number).collect();
        let weight = Param::from_data(TensorData::new(values, shape), &Device::flex().autodiff());
        Linear { weight: Weight::Dense(weight), bias: None, lora: Vec::new(), writes: false }
    }

    /// Four experts, of which the last is never chosen for inputs above zero.
    fn some_experts(per_token: usize, normalize: bool) -> Moe {
        let expert = |i: usize| Mlp {
            gate_proj: some([6, 5], 3 * i),
            up_proj: some([6, 5], 3 * i + 1),
            down_proj: some([5, 6], 3 * i + 2),
        };
        let mut gate: Vec<f32> = (0..24).map(|i| (i * 31 % 23) as f32 / 5.0 - 2.0).collect();
        gate.chunks_exact_mut(4).for_each(|row| row[3] = -9.0);
        let gate = Param::from_data(TensorData::new(gate, [6, 4]), &Device::flex().autodiff());
        let gate = Linear { weight: Weight::Dense(gate), bias: None, lora: Vec::new(), writes: false };
        let experts = (0..4).map(expert).collect();
        Moe { gate, experts, shared_experts: Vec::new(), per_token, normalize }
    }

    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    /// What it answers, and the gradients of the input and of all weights.
    fn answer(moe: &Moe, sparse: bool) -> Vec<Vec<f32>> {
        let x: Vec<f32> = (0..60).map(|i| ((i * 17 + 3) % 31) as f32 / 31.0 + 0.01).collect();
        let x =
            Tensor::<3>::from_data(TensorData::new(x, [2, 5, 6]), &Device::flex().autodiff()).require_grad();
        let probabilities = activation::softmax(moe.gate.forward(x.clone()), 2);
        let rows = moe.rows(&probabilities).unwrap();
        assert_eq!(numbers(largest(probabilities.clone(), moe.per_token)), rows.chosen());
        assert!((0..3).all(|expert| !rows.of(expert).is_empty()) && rows.of(3).is_empty());
        let chosen = Tensor::from_data(TensorData::new(rows.chosen(), [2, 5, 4]), &x.device());
        let weights = moe.weights(probabilities, chosen);
        let y = match sparse {
            true => moe.sparse(x.clone(), weights, &rows),
            false => moe.masked(x.clone(), weights),
        };
        let grads = (y.clone().square().sum() + y.clone().sum()).backward();
        let mut found = vec![numbers(y), numbers(x.grad(&grads).unwrap())];
        let experts = moe.experts.iter().flat_map(|e| [&e.gate_proj, &e.up_proj, &e.down_proj]);
        for linear in experts.chain([&moe.gate]) {
            let Weight::Dense(weight) = &linear.weight else { panic!() };
            found.push(numbers(weight.val().grad(&grads).expect("a gradient, of zeros where no token came")));
        }
        found
    }

    #[test]
    fn an_expert_that_sees_its_tokens_alone_answers_and_learns_the_same() {
        for (per_token, normalize) in [(1, false), (2, true), (2, false), (3, true)] {
            let moe = some_experts(per_token, normalize);
            let (sparse, masked) = (answer(&moe, true), answer(&moe, false));
            for (sparse, masked) in sparse.iter().zip(&masked) {
                assert_eq!(sparse.len(), masked.len());
                for (a, b) in sparse.iter().zip(masked) {
                    assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a} {b}");
                }
            }
            let learned = |gradient: &Vec<f32>| gradient.iter().any(|value| *value != 0.0);
            let learned: Vec<bool> = sparse[2..].iter().map(learned).collect();
            let expected = [vec![true; 9], vec![false; 3], vec![true]].concat();
            assert_eq!(learned, expected, "the three experts and the gate, but not the fourth expert");
        }
    }

    #[test]
    fn without_a_graph_an_expert_without_tokens_does_nothing() {
        let moe = some_experts(2, true);
        let x: Vec<f32> = (0..60).map(|i| ((i * 17 + 3) % 31) as f32 / 31.0 + 0.01).collect();
        let x = Tensor::<3>::from_data(TensorData::new(x, [2, 5, 6]), &Device::flex());
        let found = numbers(moe.valid().forward(x, &mut Trace::default()));
        for (a, b) in found.iter().zip(&answer(&moe, true)[0]) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
}
