//! What training adds to a loss so that the gates of a mixture of experts use all of their experts.
//!
//! With `s` the softmax of a gate over `E` experts of which a token gets `k`, in each routed layer:
//! * of each sequence (DeepSeekMoE, <https://arxiv.org/abs/2401.06066>, as MiniMind has it): `α · mean over sequences of
//!   Σ_e (E/k · mean_t chosen_te) · (mean_t s_te)`, which is α where all experts are used alike;
//! * of all tokens of an optimizer step together (Switch, <https://arxiv.org/abs/2101.03961>): `c · E · Σ_e (mean_t
//!   chosen_te) · (mean_t s_te)`, which is `c · k` there;
//! * the z-loss (ST-MoE, <https://arxiv.org/abs/2202.08906>): `z · mean_t (log Σ_e exp logit_te)²`.
//!
//! Padding counts in none. Rows that hold several examples hold as many sequences.

use burn::tensor::{Device, Tensor, TensorData};

use super::StepTotals;
use crate::batch::Batch;
use crate::kernels::AttentionMask;
use crate::model::{Balance, MaskedRows, Routing, Trace, Transformer};

/// How the tokens of a part of a step used the experts of one layer.
#[derive(Clone, Debug)]
pub struct ExpertUse {
    /// How many of them each expert got; no gradient flows through it, `[experts]`.
    pub chosen: Tensor<1>,
    /// The sum of each expert's probability over them, differentiable, `[experts]`.
    pub probability: Tensor<1>,
}

/// What the routed layers of a part of a step bring to its loss.
#[derive(Clone, Debug)]
pub struct Routed {
    /// Layer by layer.
    pub uses: Vec<ExpertUse>,
    /// What adds up over the parts of a step, differentiable, `[1]`.
    sum: Tensor<1>,
    /// What the product of counts and probabilities of the whole step is multiplied by.
    of_step: f64,
}

impl Routed {
    /// Whether [`Self::loss`] needs counts of the whole step.
    pub fn needs_counts(&self) -> bool {
        self.of_step != 0.0
    }

    /// What is added to the mean loss of the step, `[1]`: over its parts it adds up. `counts` are each layer's
    /// [`ExpertUse::chosen`] of the whole step; they are constants.
    pub fn loss(&self, counts: &[Tensor<1>]) -> Tensor<1> {
        if !self.needs_counts() {
            return self.sum.clone();
        }
        let product =
            |(own, chosen): (&ExpertUse, &Tensor<1>)| (own.probability.clone() * chosen.clone()).sum();
        let products = self.uses.iter().zip(counts).map(product);
        products.fold(self.sum.clone(), |sum, product| sum + product * self.of_step)
    }
}

/// Logits of a batch that is a part of a step, and what its routed layers bring; `None` for a dense model.
///
/// # Shapes
/// Logits `[batch, seq, vocab]`.
pub fn routed_logits(
    model: &Transformer,
    batch: &Batch,
    mask: &AttentionMask,
    totals: &StepTotals,
) -> (Tensor<3>, Option<Routed>) {
    let tokens = batch.inputs_tensor(&model.device());
    traced(model, batch, totals, |trace| model.forward_traced(tokens, mask, trace))
}

/// The same with logits of some positions only, as [`Transformer::forward_at`] numbers them: gates route all tokens.
///
/// # Shapes
/// Logits `[n, vocab]`.
pub(super) fn routed_logits_at(
    model: &Transformer,
    batch: &Batch,
    mask: &AttentionMask,
    places: &[u32],
    totals: &StepTotals,
) -> (Tensor<2>, Option<Routed>) {
    let tokens = batch.inputs_tensor(&model.device());
    traced(model, batch, totals, |trace| model.forward_at(tokens, mask, places, trace))
}

/// The same of the hidden tokens of a masked predictor, as [`Transformer::forward_masked`] takes them. Of a block model,
/// which reads its rows twice, the balance is that of the noised copy.
///
/// # Shapes
/// Logits `[n, vocab]`.
pub(super) fn masked_logits(
    model: &Transformer,
    batch: &Batch,
    rows: &MaskedRows<'_>,
    places: &[u32],
    totals: &StepTotals,
) -> (Tensor<2>, Option<Routed>) {
    traced(model, batch, totals, |trace| model.forward_masked(rows, places, trace))
}

/// What a pass forward gives, and what its routed layers bring.
fn traced<const D: usize>(
    model: &Transformer,
    batch: &Batch,
    totals: &StepTotals,
    forward: impl FnOnce(&mut Trace) -> Tensor<D>,
) -> (Tensor<D>, Option<Routed>) {
    let Some(experts) = &model.config().experts else {
        return (forward(&mut Trace::default()), None);
    };
    let mut trace = Trace::of_routing();
    let logits = forward(&mut trace);
    let layers = trace.routing.unwrap_or_default();
    (logits, Some(routed(&layers, experts.per_token, &experts.balance, batch, totals)))
}

/// The terms of some layers for a batch.
fn routed(
    layers: &[Routing],
    per_token: usize,
    balance: &Balance,
    batch: &Batch,
    totals: &StepTotals,
) -> Routed {
    let device = layers.first().map(|layer| layer.probabilities.device()).unwrap_or_default();
    let experts = layers.first().map_or(0, |layer| layer.probabilities.dims()[2]) as f64;
    let read = read(batch, &device);
    let mut sum = Tensor::<1>::zeros([1], &device);
    if balance.of_sequences() != 0.0 {
        let means = sequence_means(batch, &device);
        let factor = balance.of_sequences() * experts / (per_token as f64 * totals.sequences);
        for layer in layers {
            let mean = |values: &Tensor<3>| means.clone().matmul(values.clone());
            sum = sum + (mean(&layer.probabilities) * mean(&layer.chosen)).sum() * factor;
        }
    }
    if balance.router_z_loss_coef != 0.0 {
        for layer in layers {
            let squares = log_sum_exp(layer.logits.clone()).square() * read.clone();
            sum = sum + squares.sum() * (balance.router_z_loss_coef / totals.tokens);
        }
    }
    let over_tokens = |values: &Tensor<3>| {
        let experts = values.dims()[2];
        (values.clone() * read.clone()).sum_dim(0).sum_dim(1).reshape([experts])
    };
    let own = |layer: &Routing| ExpertUse {
        chosen: without_graph(over_tokens(&layer.chosen)),
        probability: over_tokens(&layer.probabilities),
    };
    let of_step = balance.of_step(per_token) * experts / (totals.tokens * totals.tokens);
    Routed { uses: layers.iter().map(own).collect(), sum, of_step }
}

/// 1 for a token, 0 for padding, `[batch, seq, 1]`.
fn read(batch: &Batch, device: &Device) -> Tensor<3> {
    let read: Vec<f32> = batch.segments.iter().map(|&segment| segment.min(1) as f32).collect();
    Tensor::from_data(TensorData::new(read, [batch.batch, batch.seq, 1]), device)
}

/// Matrices that take the mean over each sequence of a row, `[batch, sequences, seq]`; rows of zeros where a row has
/// fewer sequences than another.
fn sequence_means(batch: &Batch, device: &Device) -> Tensor<3> {
    let sequences = batch.sequences();
    let mut number = vec![0; batch.batch];
    let numbered = sequences.into_iter().map(|(row, places)| {
        number[row] += 1;
        (row, number[row] - 1, places)
    });
    let numbered: Vec<_> = numbered.collect();
    let most = number.iter().copied().max().unwrap_or(0).max(1);
    let mut means = vec![0.0; batch.batch * most * batch.seq];
    for (row, number, places) in numbered {
        let share = 1.0 / places.len() as f32;
        means[(row * most + number) * batch.seq..][places].fill(share);
    }
    Tensor::from_data(TensorData::new(means, [batch.batch, most, batch.seq]), device)
}

/// `log Σ_e exp logit_e`, `[batch, seq, experts]` → `[batch, seq, 1]`.
fn log_sum_exp(logits: Tensor<3>) -> Tensor<3> {
    // The largest is taken out, and is a constant: it cancels.
    let highest = logits.clone().detach().max_dim(2);
    (logits - highest.clone()).exp().sum_dim(2).log() + highest
}

fn without_graph(tensor: Tensor<1>) -> Tensor<1> {
    if tensor.device().is_autodiff() { tensor.inner() } else { tensor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32], shape: [usize; 3]) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    fn number(tensor: Tensor<1>) -> f32 {
        tensor.into_scalar::<f32>()
    }

    /// Two rows of three places and two experts, of which each token gets one. The first row holds sequences of two and
    /// of one token, the second one of two and padding, where the gate says whatever it likes.
    fn layer() -> (Batch, Routing) {
        let mut batch = Batch::new(3);
        batch.push(&[1, 2, 3], &[1.0; 3], &[1, 1, 2]);
        batch.push(&[4, 5], &[1.0; 2], &[1, 1]);
        let probabilities = [0.75, 0.25, 0.25, 0.75, 0.5, 0.5, 0.25, 0.75, 0.25, 0.75, 1.0, 0.0];
        let logits = probabilities.map(|p: f32| (2.0 * p).max(1e-30).ln());
        let chosen = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        let shape = [2, 3, 2];
        let [logits, probabilities, chosen] =
            [logits.as_slice(), &probabilities, &chosen].map(|values| tensor(values, shape));
        (batch, Routing { logits, probabilities, chosen })
    }

    fn terms(balance: Balance) -> (Routed, f32) {
        let (batch, layer) = layer();
        let totals = StepTotals::of(5.0, std::slice::from_ref(&batch));
        assert_eq!((totals.tokens, totals.sequences), (5.0, 3.0));
        // Two layers that are alike.
        let routed = routed(&[layer.clone(), layer], 1, &balance, &batch, &totals);
        let counts: Vec<_> = routed.uses.iter().map(|own| own.chosen.clone()).collect();
        let loss = number(routed.loss(&counts));
        (routed, loss)
    }

    fn close(found: f32, expected: f32) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }

    #[test]
    fn the_balance_of_sequences_by_hand() {
        // E/k = 2. First: chosen 1/2, 1/2 and means 1/2, 1/2: 2 · 1/2 = 1. Second: chosen 1, 0, means 1/2: 2 · 1/2 = 1.
        // Third: chosen 0, 1, means 1/4, 3/4: 2 · 3/4.
        let expected = 2.0 * 0.1 * (1.0 + 1.0 + 1.5) / 3.0;
        let (routed, loss) = terms(Balance { aux_loss_alpha: 0.1, ..Balance::default() });
        close(loss, expected);
        assert!(!routed.needs_counts());
    }

    #[test]
    fn the_balance_of_a_step_by_hand() {
        // Of five tokens two chose the first expert and three the second; the probabilities sum to 2 and 3.
        let expected = 2.0 * 2.0 * (2.0 * 2.0 + 3.0 * 3.0) / 25.0;
        for balance in [
            Balance { router_aux_loss_coef: 0.1, ..Balance::default() },
            Balance { aux_loss_alpha: 0.1, seq_aux: false, ..Balance::default() },
        ] {
            let (routed, loss) = terms(balance);
            close(loss, 0.1 * expected);
            assert!(routed.needs_counts());
            for own in &routed.uses {
                let chosen: Vec<f32> = own.chosen.clone().into_data().iter::<f32>().collect();
                assert_eq!(chosen, [2.0, 3.0]);
            }
        }
    }

    #[test]
    fn of_several_experts_a_token_the_two_weights_differ_by_their_number() {
        let (batch, layer) = layer();
        let all = Routing { chosen: layer.chosen.ones_like(), ..layer };
        let totals = StepTotals::of(5.0, std::slice::from_ref(&batch));
        let loss = |balance: Balance| {
            let routed = routed(std::slice::from_ref(&all), 2, &balance, &batch, &totals);
            number(routed.loss(&[routed.uses[0].chosen.clone()]))
        };
        // Every expert is used by every token: α, and twice the other weight.
        close(loss(Balance { aux_loss_alpha: 0.1, ..Balance::default() }), 0.1);
        close(loss(Balance { aux_loss_alpha: 0.1, seq_aux: false, ..Balance::default() }), 0.1);
        close(loss(Balance { router_aux_loss_coef: 0.1, ..Balance::default() }), 0.2);
    }

    #[test]
    fn the_z_loss_by_hand() {
        // Logits ln(2p): the log-sum-exp is ln 2 for every token.
        let (_, loss) = terms(Balance { router_z_loss_coef: 0.1, ..Balance::default() });
        close(loss, 2.0 * 0.1 * 2f32.ln().powi(2));
        let large = log_sum_exp(tensor(&[300.0, 300.0], [1, 1, 2]));
        assert!((number(large.reshape([1])) - (300.0 + 2f32.ln())).abs() < 1e-3);
    }

    #[test]
    fn without_weights_nothing_is_added() {
        let (routed, loss) = terms(Balance::default());
        assert_eq!((loss, routed.needs_counts()), (0.0, false));
    }
}
