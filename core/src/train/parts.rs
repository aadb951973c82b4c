//! The parts that an optimizer step is computed in: some rows of a batch each, forward and backward.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use super::expert_load::ExpertLoad;
use crate::batch::Batch;
use crate::device::is_processor;
use crate::loss::{Loss, Metric, Objective, StepTotals};
use crate::model::{Noise, Transformer};
use crate::optim::NamedGradients;
use crate::platform::{map_in_threads, threads};
use crate::ranks::Ranks;

/// Rows of a batch that are computed together.
pub(super) struct Share {
    pub rows: Batch,
    /// The place of the first among the step's rows.
    pub first_row: usize,
}

/// The shares of each batch. The processor's threads take some of its rows each, which keeps them busy where one small
/// product after the other would not; a graphics device takes it whole. Of several ranks each takes its own rows, divided in
/// the same way, and keeps their places among all, which name what is drawn for them; one without rows has no shares.
pub(super) fn divide(model: &Transformer, batches: &[Batch], ranks: Option<&dyn Ranks>) -> Vec<Vec<Share>> {
    let parts = if is_processor(&model.device()) { threads() } else { 1 };
    let mut before = 0;
    let shares = |batch: &Batch| {
        let mut first_row = before;
        before += batch.batch;
        let own = match ranks {
            None => batch.split(parts),
            Some(ranks) => {
                let of_ranks = batch.split(ranks.size());
                first_row += of_ranks.iter().take(ranks.rank()).map(|rows| rows.batch).sum::<usize>();
                of_ranks.get(ranks.rank()).map_or(Vec::new(), |own| own.split(parts))
            }
        };
        let share = |rows: Batch| {
            let share = Share { rows, first_row };
            first_row += share.rows.batch;
            share
        };
        own.into_iter().map(share).collect()
    };
    batches.iter().map(shares).collect()
}

/// A part of a step whose loss is computed, with the model whose graph it has.
pub(super) type Part = (Transformer, Loss);

/// Losses of a batch's shares, still in their graphs.
pub(super) fn forward(
    model: &Transformer,
    objective: &dyn Objective,
    shares: Vec<Share>,
    totals: &StepTotals,
    noise: Noise,
) -> Vec<Part> {
    let prepare = |Share { rows, first_row }| {
        // Leaves of its own give each part a graph of its own, which no other thread locks.
        let model = model.clone().map(&mut FreshLeaves);
        let model = model.with_noise(noise, first_row, lengths(&rows, noise)).with_tape();
        (rows, model)
    };
    let prepared: Vec<(Batch, Transformer)> = shares.into_iter().map(prepare).collect();
    map_in_threads(prepared, |(rows, model)| {
        let loss = objective.part_loss(&model, &rows, totals);
        (model, loss)
    })
}

/// The tokens of the example at each place, where the noise asks for them.
pub(super) fn lengths(rows: &Batch, noise: Noise) -> Vec<u32> {
    if noise.neftune > 0.0 { rows.example_lengths() } else { Vec::new() }
}

/// The tokens of each expert in some parts together.
pub(super) fn used(parts: &[Part]) -> ExpertLoad {
    let mut load = ExpertLoad::default();
    for routed in parts.iter().filter_map(|(_, loss)| loss.routed.as_ref()) {
        load.add(ExpertLoad::of(routed));
    }
    load
}

/// The tokens of each expert in the whole step, where the loss needs them and the step is made of several batches: their
/// forward passes are run once more, without graphs and under the same noise, and without a reference or a teacher. `None`
/// where a batch's own are enough.
pub(super) fn count(
    model: &Transformer,
    objective: &dyn Objective,
    divided: &[Vec<Share>],
    totals: &StepTotals,
    noise: Noise,
) -> Option<ExpertLoad> {
    let experts = model.config().experts.as_ref()?;
    if divided.len() < 2 || experts.balance.of_step(experts.per_token) == 0.0 {
        return None;
    }
    let model = model.valid();
    let mut load = ExpertLoad::default();
    for shares in divided {
        let prepared: Vec<(&Share, Transformer)> =
            shares.iter().map(|share| (share, model.clone())).collect();
        let parts = map_in_threads(prepared, |(share, model)| {
            let model = model.with_noise(noise, share.first_row, lengths(&share.rows, noise));
            objective.routed(&model, &share.rows, totals)
        });
        parts.iter().flatten().for_each(|routed| load.add(ExpertLoad::of(routed)));
    }
    Some(load)
}

/// What a part brings to a step.
pub(super) struct Brought {
    pub loss: Tensor<1>,
    /// What gates add to the loss.
    pub added: Option<Tensor<1>>,
    pub gradients: NamedGradients,
    pub metrics: Vec<Metric>,
}

/// Losses and gradients of parts, under the counts of the whole step.
pub(super) fn backward(parts: Vec<Part>, counts: &ExpertLoad, weight: f64, loss_scale: f64) -> Vec<Brought> {
    map_in_threads(parts, |(model, loss)| {
        let sum = loss.sum / weight;
        let added = loss.routed.map(|routed| routed.loss(counts.layers()));
        let whole = match &added {
            Some(added) => sum.clone() + added.clone(),
            None => sum.clone(),
        };
        let whole = if loss_scale == 1.0 { whole } else { whole * loss_scale };
        let gradients = gradients(&model, &whole);
        Brought { loss: sum.inner(), added: added.map(Tensor::inner), gradients, metrics: loss.metrics }
    })
}

/// The gradients of a loss, through all that is computed again on the way back, too.
fn gradients(model: &Transformer, loss: &Tensor<1>) -> NamedGradients {
    let mut grads = loss.backward();
    let mut found = NamedGradients::collect(model, &mut grads);
    while let Some(rest) = model.rewind(&mut grads) {
        grads = rest.backward();
        found.add(NamedGradients::collect(model, &mut grads));
    }
    found.in_order_of(model)
}

struct FreshLeaves;

impl ModuleMapper for FreshLeaves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trains = param.is_require_grad();
        param.map(|weight| Tensor::from_inner(weight.inner()).set_require_grad(trains))
    }
}
