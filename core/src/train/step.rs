//! One optimizer step: some batches forward and backward, clipping, AdamW.

use burn::tensor::Tensor;

use super::expert_load::ExpertLoad;
use super::parts::{Share, backward, count, divide, forward, used};
use super::step_sums::StepSums;
use crate::batch::Batch;
use crate::error::Result;
use crate::loss::{Metric, Objective, StepTotals};
use crate::model::{Noise, Transformer};
use crate::optim::{AdamW, NamedGradients};
use crate::ranks::{BUCKET, Ranks};

/// The key under which what the gates add is reported.
const AUX_LOSS: &str = "aux_loss";

/// What a step leaves on the device, to be read back when it is reported.
pub(crate) struct StepTensors {
    /// Mean loss, `[1]`; of the lesson alone, where rows are mixed in that are kept, and without what gates add.
    pub loss: Tensor<1>,
    /// What the draws brought of the weight that this loss is divided by; 1 where nothing is drawn.
    pub drawn: f64,
    /// Gradient norm before clipping, `[1]`.
    pub grad_norm: Tensor<1>,
    /// What the objective reports beside the loss, of every part of the step.
    pub metrics: Vec<Metric>,
    /// The tokens of each expert.
    pub load: ExpertLoad,
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepSettings {
    /// From the schedule.
    pub learning_rate: f64,
    /// Largest global norm of the gradient; 0 leaves it alone.
    pub grad_clip: f64,
    /// What is drawn at random.
    pub noise: Noise,
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
    /// of them together, so that many small batches equal one big one exactly. Several ranks, which all have the same batches,
    /// compute their own rows each, and all get what one process would.
    ///
    /// # Errors
    /// Of several ranks alone: a device that cannot be read, ranks that cannot be reached, or whose batches are others.
    pub(crate) async fn of(
        model: &Transformer,
        objective: &dyn Objective,
        batches: &[Batch],
        settings: StepSettings,
        ranks: Option<&dyn Ranks>,
    ) -> Result<Self> {
        let totals = StepTotals::of(batches.iter().map(|batch| objective.weight(batch)).sum(), batches);
        let divided = divide(model, batches, ranks);
        let (mut sums, load) =
            parts_of(model, objective, (batches, divided), &totals, settings, ranks).await?;
        if settings.loss_scale != 1.0 {
            sums.gradients = sums.gradients.scale(1.0 / settings.loss_scale);
        }
        if let Some(ranks) = ranks {
            sums = sums.over(ranks, model, batches, BUCKET).await?;
        }
        let StepSums { gradients, losses, mut metrics, added } = sums;
        metrics.extend(added.map(|sum| Metric { name: AUX_LOSS, sum, weight: 1.0 }));
        let zero = || Tensor::zeros([1], &model.device().inner());
        let grad_norm = gradients.norm().unwrap_or_else(zero);
        let kept: f64 = batches.iter().filter(|batch| batch.kept).map(|batch| objective.weight(batch)).sum();
        let (loss, keep_loss) = losses.means(totals.weight, kept);
        metrics.extend(keep_loss);
        let loss = loss.unwrap_or_else(zero);
        let drawn = drawn(objective, batches);
        Ok(Self { tensors: StepTensors { loss, drawn, grad_norm, metrics, load }, gradients, settings })
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

/// The shares of a step forward and backward: their sums, and how they use the experts, of which those of all ranks count.
async fn parts_of(
    model: &Transformer,
    objective: &dyn Objective,
    (batches, divided): (&[Batch], Vec<Vec<Share>>),
    totals: &StepTotals,
    settings: StepSettings,
    ranks: Option<&dyn Ranks>,
) -> Result<(StepSums, ExpertLoad)> {
    let (experts, device) = (model.config().experts.as_ref(), model.device().inner());
    let counts = match count(model, objective, &divided, totals, settings.noise) {
        Some(counts) => Some(counts.over(ranks, experts, &device).await?),
        None => None,
    };
    let (mut sums, mut load) = (StepSums::default(), ExpertLoad::default());
    for (batch, shares) in batches.iter().zip(divided) {
        let parts = forward(model, objective, shares, totals, settings.noise);
        let used = used(&parts).over(ranks, experts, &device).await?;
        let counts = counts.as_ref().unwrap_or(&used);
        for part in backward(parts, counts, totals.weight, settings.loss_scale) {
            sums.gradients.add(part.gradients);
            sums.metrics.extend(part.metrics);
            sums.losses.add(part.loss, batch.kept);
            sums.added = match (sums.added.take(), part.added) {
                (Some(sum), Some(added)) => Some(sum + added),
                (sum, added) => sum.or(added),
            };
        }
        load.add(used);
    }
    Ok((sums, load))
}

/// What the draws of a step's lesson brought of its weight.
fn drawn(objective: &dyn Objective, batches: &[Batch]) -> f64 {
    let lesson = || batches.iter().filter(|batch| !batch.kept);
    let weight: f64 = lesson().map(|batch| objective.weight(batch)).sum();
    let drawn: f64 = lesson().map(|batch| objective.drawn(batch)).sum();
    if weight > 0.0 { drawn / weight } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::kernels::AttentionMask;
    use crate::loss::{Loss, NextToken, Routed, cross_entropy};
    use crate::model::{Balance, Experts, ModelConfig, Trace, preset};
    use burn::module::Module;
    use burn::tensor::{Device, TensorData};

    const PER_TOKEN: usize = 2;
    /// Weights of the balance of sequences or of the step, and of the z-loss, large enough to be seen.
    const OF_SEQUENCES: Balance =
        Balance { aux_loss_alpha: 0.7, seq_aux: true, router_aux_loss_coef: 0.0, router_z_loss_coef: 0.0 };
    const OF_STEP: Balance = Balance { seq_aux: false, router_z_loss_coef: 0.05, ..OF_SEQUENCES };

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
            balance: OF_STEP,
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
        let noise = Noise { seed, ..Noise::default() };
        let settings = StepSettings { learning_rate: 0.1, grad_clip: 0.0, noise, loss_scale: 1.0 };
        let (model, batches) = (model.clone(), batches.to_vec());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(move || {
            let step = pollster::block_on(Step::of(&model, &NextToken, &batches, settings, None)).unwrap();
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
    fn the_balance_of_a_whole_step_does_not_depend_on_how_it_is_divided() {
        let (model, rows) = (model(true, 0.0), rows());
        let one = [together(&rows)];
        let all = &one[0];
        // Straight from the formulas, in one graph.
        let (logits, trace) = traced(&model, all);
        let plain = cross_entropy(logits, &all.targets, &all.weights) / all.weight();
        let mut loss = plain.clone();
        for routing in trace.routing.unwrap() {
            let tokens = all.tokens() as f64;
            let probability = over_tokens(routing.probabilities, all) / tokens;
            let chosen = over_tokens(routing.chosen, all) / (tokens * PER_TOKEN as f64) * 4.0;
            let z = over_tokens(routing.logits.exp().sum_dim(2).log().square(), all) / tokens;
            loss =
                loss + (probability * chosen).sum() * OF_STEP.aux_loss_alpha + z * OF_STEP.router_z_loss_coef;
        }
        let added = (loss.clone() - plain.clone()).inner().into_scalar::<f32>();
        let mut grads = loss.backward();
        let direct = found(plain.inner(), NamedGradients::collect(&model, &mut grads));
        // Two layers of a loss that is its weight where all experts are alike.
        assert!(added > 1.5 * OF_STEP.aux_loss_alpha as f32);
        assert!(direct.1.iter().any(|(name, _)| name == "model.layers.1.mlp.gate.weight"));
        for threads in [1, 2, 3] {
            assert_close(&step(&model, &one, threads, 1), &direct);
            assert_close(&step(&model, &rows, threads, 1), &direct);
            assert_close(&step(&model, &all.split(2), threads, 1), &direct);
        }
        let alone = NextToken.loss(&model, all);
        assert!((alone.sum.into_scalar::<f32>() / all.weight() as f32 - direct.0).abs() < 1e-5);
        let routed = alone.routed.unwrap();
        let counts: Vec<_> = routed.uses.iter().map(|own| own.chosen.clone()).collect();
        assert!((routed.loss(&counts).into_scalar::<f32>() - added).abs() < 1e-5);
        assert!(NextToken.loss(&self::model(false, 0.0), all).routed.is_none());
    }

    /// Next-token prediction that counts how often its loss was computed, and how often its routing alone.
    #[derive(Default)]
    struct Counting {
        losses: AtomicUsize,
        routings: AtomicUsize,
    }

    impl Objective for Counting {
        fn weight(&self, batch: &Batch) -> f64 {
            batch.weight()
        }

        fn part_loss(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Loss {
            self.losses.fetch_add(1, Ordering::Relaxed);
            NextToken.part_loss(model, batch, totals)
        }

        fn routed(&self, model: &Transformer, batch: &Batch, totals: &StepTotals) -> Option<Routed> {
            self.routings.fetch_add(1, Ordering::Relaxed);
            NextToken.part_loss(model, batch, totals).routed
        }
    }

    #[test]
    fn what_counts_the_experts_of_a_step_computes_no_loss_twice() {
        let noise = Noise::default();
        let settings = StepSettings { learning_rate: 0.1, grad_clip: 0.0, noise, loss_scale: 1.0 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let taken = |model: Transformer, batches: Vec<Batch>| {
            let counting = Counting::default();
            let step = || pollster::block_on(Step::of(&model, &counting, &batches, settings, None)).map(drop);
            pool.install(step).unwrap();
            (counting.losses.into_inner(), counting.routings.into_inner())
        };
        assert_eq!(taken(model(true, 0.0), rows()), (4, 4));
        assert_eq!(taken(model(true, 0.0), vec![together(&rows())]), (1, 0), "its own counts are enough");
        assert_eq!(taken(model(false, 0.0), rows()), (4, 0));
    }

    #[test]
    fn the_balance_of_sequences_does_not_depend_on_how_a_step_is_divided() {
        let (model, rows) = (model(true, 0.0).with_balance(OF_SEQUENCES), rows());
        let one = [together(&rows)];
        let whole = step(&model, &one, 1, 1);
        for threads in [1, 2, 3] {
            assert_close(&step(&model, &one, threads, 1), &whole);
            assert_close(&step(&model, &rows, threads, 1), &whole);
        }
        let without = step(&model.with_balance(Balance::default()), &one, 1, 1);
        assert_eq!(without.0, whole.0, "what is added is no part of the reported loss");
        let gate = |found: &Found| {
            found.1.iter().find(|(name, _)| name == "model.layers.1.mlp.gate.weight").unwrap().1.clone()
        };
        assert!(gate(&without).iter().zip(gate(&whole)).any(|(a, b)| (a - b).abs() > 1e-4), "but it acts");
    }

    #[test]
    fn what_is_added_and_the_load_of_each_expert_are_reported() {
        let (model, rows) = (model(true, 0.0), rows());
        let settings =
            StepSettings { learning_rate: 0.1, grad_clip: 0.0, noise: Noise::default(), loss_scale: 1.0 };
        for batches in [vec![together(&rows)], rows] {
            let step = pollster::block_on(Step::of(&model, &NextToken, &batches, settings, None));
            let tensors = step.unwrap().tensors;
            let [added] = &tensors.metrics[..] else { panic!("one metric") };
            assert_eq!((added.name, added.weight), (AUX_LOSS, 1.0));
            assert!(added.sum.clone().into_scalar::<f32>() > 1.0);
            let tokens: usize = batches.iter().map(Batch::tokens).sum();
            assert_eq!(tensors.load.layers().len(), 2);
            for layer in tensors.load.layers() {
                assert_eq!(layer.clone().sum().into_scalar::<f32>(), (tokens * PER_TOKEN) as f32);
            }
        }
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
