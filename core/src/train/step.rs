//! One optimizer step: some batches forward and backward, clipping, AdamW.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use super::losses::Losses;
use crate::batch::Batch;
use crate::device::is_processor;
use crate::loss::{Metric, Objective, StepTotals};
use crate::model::Transformer;
use crate::optim::{AdamW, NamedGradients};
use crate::platform::{map_in_threads, threads};

/// What a step leaves on the device, to be read back when it is reported.
pub(crate) struct StepTensors {
    /// Mean loss, `[1]`; of the lesson alone, where rows are mixed in that are kept.
    pub loss: Tensor<1>,
    /// Gradient norm before clipping, `[1]`.
    pub grad_norm: Tensor<1>,
    /// What the objective reports beside the loss, of every part of the step.
    pub metrics: Vec<Metric>,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepSettings {
    /// From the schedule.
    pub learning_rate: f64,
    /// Largest global norm of the gradient; 0 leaves it alone.
    pub grad_clip: f64,
    /// Seed of what dropout drops.
    pub dropout_seed: u64,
    /// What the loss is multiplied by before the backward pass, and the gradients are divided by after it.
    pub loss_scale: f64,
}

/// A step computed and not yet taken.
pub(crate) struct Step {
    pub tensors: StepTensors,
    gradients: NamedGradients,
    settings: StepSettings,
}

impl Step {
    /// Loss and gradients of `batches` (micro-batches of one optimizer step). The loss is divided by the weight of all
    /// of them together, so that many small batches equal one big one exactly.
    pub(crate) fn of(
        model: &Transformer,
        objective: &dyn Objective,
        batches: &[Batch],
        settings: StepSettings,
    ) -> Self {
        let weight: f64 = batches.iter().map(|batch| objective.weight(batch)).sum();
        let weight = if weight > 0.0 { weight } else { 1.0 };
        let divided = divide(model, batches);
        let totals = StepTotals { weight, counts: count(model, objective, &divided, settings.dropout_seed) };
        let mut gradients = NamedGradients::default();
        let mut losses = Losses::default();
        let mut metrics = Vec::new();
        for (batch, shares) in batches.iter().zip(divided) {
            for part in backward(model, objective, shares, &totals, settings) {
                gradients.add(part.gradients);
                metrics.extend(part.metrics);
                losses.add(part.loss, batch.kept);
            }
        }
        if settings.loss_scale != 1.0 {
            gradients = gradients.scale(1.0 / settings.loss_scale);
        }
        let zero = || Tensor::zeros([1], &model.device().inner());
        let grad_norm = gradients.norm().unwrap_or_else(zero);
        let kept: f64 = batches.iter().filter(|batch| batch.kept).map(|batch| objective.weight(batch)).sum();
        let (loss, keep_loss) = losses.means(weight, kept);
        metrics.extend(keep_loss);
        let loss = loss.unwrap_or_else(zero);
        Self { tensors: StepTensors { loss, grad_norm, metrics }, gradients, settings }
    }

    /// Clips and takes it.
    pub(crate) fn take(self, model: Transformer, optimizer: &mut AdamW) -> (Transformer, StepTensors) {
        let Self { tensors, gradients, settings } = self;
        let gradients = match settings.grad_clip > 0.0 {
            true => gradients.clip(&tensors.grad_norm, settings.grad_clip),
            false => gradients,
        };
        (optimizer.step(model, gradients, settings.learning_rate), tensors)
    }
}

/// Rows of a batch that are computed together.
struct Share {
    rows: Batch,
    /// The place of the first among the step's rows.
    first_row: usize,
}

/// The shares of each batch. The processor's threads take some of its rows each, which keeps them busy where one small
/// product after the other would not; a graphics device takes it whole.
fn divide(model: &Transformer, batches: &[Batch]) -> Vec<Vec<Share>> {
    let parts = if is_processor(&model.device()) { threads() } else { 1 };
    let mut first_row = 0;
    let mut share = |rows: Batch| {
        let share = Share { rows, first_row };
        first_row += share.rows.batch;
        share
    };
    batches.iter().map(|batch| batch.split(parts).into_iter().map(&mut share).collect()).collect()
}

/// What the objective must know of the whole step, added up over it; nothing for most. The model's forward pass is run for
/// it once more, without a graph and under the same noise, so that it counts what the losses then meet.
fn count(
    model: &Transformer,
    objective: &dyn Objective,
    divided: &[Vec<Share>],
    dropout_seed: u64,
) -> Vec<Tensor<1>> {
    let Some(counter) = objective.step_counts(model) else { return Vec::new() };
    let model = model.valid();
    let mut sums: Vec<Tensor<1>> = Vec::new();
    for shares in divided {
        let prepare = |share| (share, model.clone());
        let prepared: Vec<(&Share, Transformer)> = shares.iter().map(prepare).collect();
        let counted = map_in_threads(prepared, |(share, model)| {
            counter.counts(&model.with_dropout(dropout_seed, share.first_row), &share.rows)
        });
        for counts in counted {
            sums = match sums.is_empty() {
                true => counts,
                false => sums.into_iter().zip(counts).map(|(sum, count)| sum + count).collect(),
            };
        }
    }
    sums
}

/// What some rows of a batch bring to a step.
struct Part {
    loss: Tensor<1>,
    gradients: NamedGradients,
    metrics: Vec<Metric>,
}

/// Loss and gradients of a batch's shares.
fn backward(
    model: &Transformer,
    objective: &dyn Objective,
    shares: Vec<Share>,
    totals: &StepTotals,
    settings: StepSettings,
) -> Vec<Part> {
    let part = |(rows, model): (Batch, Transformer)| {
        let loss = objective.part_loss(&model, &rows, totals);
        let sum = loss.sum / totals.weight;
        let mut grads = match settings.loss_scale == 1.0 {
            true => sum.backward(),
            false => (sum.clone() * settings.loss_scale).backward(),
        };
        let gradients = NamedGradients::collect(&model, &mut grads);
        Part { loss: sum.inner(), gradients, metrics: loss.metrics }
    };
    let prepare = |Share { rows, first_row }| {
        // Leaves of its own give each part a graph of its own, which no other thread locks.
        let model = model.clone().map(&mut FreshLeaves).with_dropout(settings.dropout_seed, first_row);
        (rows, model)
    };
    let prepared = shares.into_iter().map(prepare).collect();
    map_in_threads(prepared, part)
}

struct FreshLeaves;

impl ModuleMapper for FreshLeaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trains = param.is_require_grad();
        param.map(|weight| Tensor::from_inner(weight.inner()).set_require_grad(trains))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::AttentionMask;
    use crate::loss::{Loss, NextToken, StepCounts, cross_entropy};
    use crate::model::{Experts, ModelConfig, Trace, preset};
    use burn::tensor::{Device, TensorData};

    const ALPHA: f64 = 0.7;
    const PER_TOKEN: usize = 2;

    /// Next-token prediction, and MiniMind's balance loss `α Σ_layers Σ_e P_e · f_e` over all tokens of the step: `P_e` is
    /// their mean probability of expert e, `f_e` the share of their choices that fell on it, times the experts.
    struct Balanced;

    impl Objective for Balanced {
        fn weight(&self, batch: &Batch) -> f64 {
            batch.weight()
        }

        fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
            let (logits, trace) = traced(model, batch);
            let mut sum = cross_entropy(logits, &batch.targets, &batch.weights);
            for (routing, chosen) in trace.routing.unwrap().into_iter().zip(&totals.counts) {
                let choices = chosen.clone().sum();
                let products = over_tokens(routing.probabilities, batch) * chosen.clone();
                let factor = ALPHA * (chosen.dims()[0] * PER_TOKEN) as f64;
                // What the step's weight divides again.
                sum = sum + products.sum() / choices.square() * factor * totals.weight;
            }
            Loss { sum, metrics: Vec::new() }
        }

        fn step_counts(&self, model: &Transformer) -> Option<&dyn StepCounts> {
            let counter: &dyn StepCounts = self;
            model.config().experts.is_some().then_some(counter)
        }
    }

    impl StepCounts for Balanced {
        fn counts(&self, model: &Transformer, batch: &Batch) -> Vec<Tensor<1>> {
            let (_, trace) = traced(model, batch);
            trace.routing.unwrap().into_iter().map(|routing| over_tokens(routing.chosen, batch)).collect()
        }
    }

    fn traced(model: &Transformer, batch: &Batch) -> (Tensor<3>, Trace) {
        let mut trace = Trace::of_routing();
        let ids = batch.inputs_tensor(&model.device());
        let logits = model.forward_traced(ids, &AttentionMask::causal(batch.seq, 0), &mut trace);
        (logits, trace)
    }

    /// `[batch, seq, experts]`, summed over the tokens that are no padding → `[experts]`.
    fn over_tokens(values: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let experts = values.dims()[2];
        let read: Vec<f32> = batch.segments.iter().map(|&segment| segment.min(1) as f32).collect();
        let read = TensorData::new(read, [batch.batch, batch.seq, 1]);
        let read = Tensor::<3>::from_data(read, &values.device());
        (values * read).sum_dim(0).sum_dim(1).reshape([experts])
    }

    fn model(experts: bool, attention_dropout: f64) -> Transformer {
        let experts = experts.then(|| Experts {
            count: 4,
            per_token: PER_TOKEN,
            shared: 1,
            intermediate_size: 8,
            normalize: true,
            layers: vec![true; 2],
        });
        let config = ModelConfig {
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 4,
            max_position_embeddings: 32,
            initializer_range: 0.2,
            embedding_range: 0.2,
            attention_dropout,
            experts,
            ..preset("nano").unwrap().config(Some(32))
        };
        Transformer::init(&config, 5, &Device::flex().autodiff()).unwrap()
    }

    /// Rows of unequal length and weight.
    fn rows() -> Vec<Batch> {
        let row = |i: u32| {
            let mut batch = Batch::new(6);
            let length = [7, 4, 6, 5][i as usize];
            let ids: Vec<u32> = (0..length).map(|place| (place * 7 + i * 11 + place * place) % 32).collect();
            let weights: Vec<f32> = (0..length).map(|place| [0.0, 1.0, 0.5][(place % 3) as usize]).collect();
            batch.push(&ids, &weights, &vec![1; ids.len()]);
            batch
        };
        (0..4).map(row).collect()
    }

    fn together(rows: &[Batch]) -> Batch {
        let mut all = Batch { batch: rows.len(), ..Batch::new(6) };
        for row in rows {
            all.inputs.extend(&row.inputs);
            all.targets.extend(&row.targets);
            all.weights.extend(&row.weights);
            all.segments.extend(&row.segments);
        }
        all
    }

    /// Loss and gradients, sorted by name.
    type Found = (f32, Vec<(String, Vec<f32>)>);

    fn found(loss: Tensor<1>, gradients: NamedGradients) -> Found {
        let values = |tensor: Tensor<1>| tensor.into_data().iter::<f32>().collect::<Vec<f32>>();
        let mut gradients: Vec<_> =
            gradients.into_inner().into_iter().map(|(name, gradient)| (name, values(gradient))).collect();
        gradients.sort_by(|a, b| a.0.cmp(&b.0));
        (values(loss)[0], gradients)
    }

    /// The same on `threads` threads, with the noise of `seed`.
    fn step(model: &Transformer, batches: &[Batch], threads: usize, seed: u64) -> Found {
        let settings =
            StepSettings { learning_rate: 0.1, grad_clip: 0.0, dropout_seed: seed, loss_scale: 1.0 };
        let (model, batches) = (model.clone(), batches.to_vec());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(move || {
            let step = Step::of(&model, &Balanced, &batches, settings);
            found(step.tensors.loss, step.gradients)
        })
    }

    fn assert_close(a: &Found, b: &Found) {
        assert!((a.0 - b.0).abs() < 1e-6 * b.0.abs(), "{} {}", a.0, b.0);
        assert_eq!(a.1.len(), b.1.len());
        for ((name, one), (other_name, other)) in a.1.iter().zip(&b.1) {
            assert_eq!(name, other_name);
            let apart = one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let largest = other.iter().map(|value| value.abs()).fold(1.0, f32::max);
            assert!(apart < 1e-6 * largest, "{name}: {apart} of {largest}");
        }
    }

    #[test]
    fn a_loss_over_the_whole_step_does_not_depend_on_how_it_is_divided() {
        let (model, rows) = (model(true, 0.0), rows());
        let one = [together(&rows)];
        let all = &one[0];
        // Straight from the formula, in one graph.
        let (logits, trace) = traced(&model, all);
        let mut loss = cross_entropy(logits, &all.targets, &all.weights) / all.weight();
        let plain = loss.clone().inner();
        for routing in trace.routing.unwrap() {
            let tokens = all.tokens() as f64;
            let probability = over_tokens(routing.probabilities, all) / tokens;
            let chosen = over_tokens(routing.chosen, all) / (tokens * PER_TOKEN as f64) * 4.0;
            loss = loss + (probability * chosen).sum() * ALPHA;
        }
        let mut grads = loss.backward();
        let direct = found(loss.inner(), NamedGradients::collect(&model, &mut grads));
        // Two layers of a loss that is α where all experts are alike.
        assert!(direct.0 - plain.into_scalar::<f32>() > 1.5 * ALPHA as f32);
        assert!(direct.1.iter().any(|(name, _)| name == "model.layers.1.mlp.gate.weight"));
        for threads in [1, 2, 3] {
            assert_close(&step(&model, &one, threads, 1), &direct);
            assert_close(&step(&model, &rows, threads, 1), &direct);
            assert_close(&step(&model, &all.split(2), threads, 1), &direct);
        }
        let alone = Balanced.loss(&model, all);
        assert!((alone.sum.into_scalar::<f32>() / all.weight() as f32 - direct.0).abs() < 1e-5);
        assert!(Balanced.step_counts(&self::model(false, 0.0)).is_none());
        assert!(NextToken.step_counts(&model).is_none());
    }

    #[test]
    fn dropped_attention_does_not_depend_on_how_a_step_is_divided() {
        for experts in [false, true] {
            let (model, plain, rows) = (model(experts, 0.3), self::model(experts, 0.0), rows());
            let all = [together(&rows)];
            let whole = step(&model, &all, 1, 7);
            for threads in [1, 2] {
                assert_close(&step(&model, &all, threads, 7), &whole);
                assert_close(&step(&model, &rows, threads, 7), &whole);
            }
            let without = step(&plain, &all, 1, 7);
            assert!((without.0 - whole.0).abs() > 1e-4, "dropout acts");
            assert!((step(&model, &all, 1, 8).0 - whole.0).abs() > 1e-4, "the seed names what is dropped");
            // Measured without noise, both are one model.
            let loss = |model: &Transformer| NextToken.loss(&model.valid(), &all[0]).sum.into_scalar::<f32>();
            assert_eq!(loss(&model), loss(&plain));
        }
    }
}
