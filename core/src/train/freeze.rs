//! Parts of a model that a run leaves as they are.

use super::{Job, Plan};
use crate::model::{ModelConfig, Part, is_of_layer};
use crate::told::{Told, told};

/// How many of a model's parameters there are, how many of them train, and how many of the others are in matrices of layers.
struct Trained {
    parameters: u64,
    trained: u64,
    frozen_matrices: u64,
}

impl Trained {
    /// Of a model of which these parts are frozen.
    fn beside(frozen: &[Part], model: &ModelConfig) -> Self {
        let mut counted = Self { parameters: 0, trained: 0, frozen_matrices: 0 };
        for (name, shape) in model.weight_shapes() {
            let count = shape.iter().product::<usize>() as u64;
            counted.parameters += count;
            match frozen.iter().any(|part| part.has(&name)) {
                true if is_of_layer(&name) => counted.frozen_matrices += count,
                true => {}
                false => counted.trained += count,
            }
        }
        counted
    }
}

impl Job {
    /// What of the parts that are to be frozen does not hold beside this model.
    pub(super) fn freeze_problems(&self, model: &ModelConfig) -> Vec<Told> {
        let frozen = &self.config.freeze;
        if frozen.is_empty() {
            return Vec::new();
        }
        if self.adapter.is_some() {
            return vec![told!(
                "freeze.adapter",
                "--freeze does not act beside an adapter, which trains while the whole model is frozen; leave it out"
            )];
        }
        let names: Vec<String> = model.weight_shapes().into_iter().map(|(name, _)| name).collect();
        let absent = frozen.iter().filter(|part| !names.iter().any(|name| part.has(name)));
        let mut problems: Vec<Told> = absent.map(|part| absent_part(*part)).collect();
        let of_layers = |name: &&String| is_of_layer(name) && !frozen.iter().any(|part| part.has(name));
        if self.config.options.muon && !names.iter().any(|name| of_layers(&name)) {
            problems.push(told!(
                "freeze.muon",
                "--muon trains the matrices of the layers, and --freeze {parts} leaves none of them; leave one out",
                parts = listed(frozen)
            ));
        }
        if problems.is_empty() && Trained::beside(frozen, model).trained == 0 {
            problems.push(told!(
                "freeze.nothing",
                "--freeze {parts} leaves nothing that trains; leave a part out",
                parts = listed(frozen)
            ));
        }
        problems
    }

    /// Reckons with parts that do not train: they have neither gradients nor moments, and of the three passes over a weight
    /// the one that makes its gradient is left out; their average is not kept, and Muon spares nothing of them. What an adapter
    /// began as is there, too.
    pub(super) fn plan_frozen(&self, plan: &mut Plan, model: &ModelConfig) {
        if let Some(adapter) = &self.adapter {
            plan.state_bytes += size_of::<f32>() as u64 * adapter.parameters_of_start();
            return;
        }
        let Trained { parameters, trained, frozen_matrices } = Trained::beside(&self.config.freeze, model);
        let (frozen, options) = (parameters - trained, &self.config.options);
        let spared = if options.muon { frozen_matrices } else { 0 };
        plan.trained -= frozen;
        plan.state_bytes -= size_of::<f32>() as u64 * ((3 + u64::from(options.ema > 0.0)) * frozen - spared);
        plan.flops *= 1.0 - frozen as f64 / parameters.max(1) as f64 / 3.0;
    }

    /// Which part of the model trains, where some of it does not.
    pub(super) fn freeze_remark(&self, frozen: &[Part], model: &ModelConfig) -> Option<Told> {
        if frozen.is_empty() || self.adapter.is_some() {
            return None;
        }
        let Trained { parameters, trained, .. } = Trained::beside(frozen, model);
        let tied = model.tie_word_embeddings && frozen.contains(&Part::Embedding);
        Some(told!(
            "freeze.trains",
            "{trained} of {parameters} parameters train; frozen: {parts}{tied}",
            trained,
            parameters,
            parts = listed(frozen),
            tied = if tied {
                told!("freeze.tied", " (which is the output projection, too)")
            } else {
                Told::default()
            }
        ))
    }
}

fn absent_part(part: Part) -> Told {
    match part {
        Part::Head => told!(
            "freeze.tied_head",
            "--freeze names head, and this model's output projection is its embedding; --freeze embedding freezes both"
        ),
        part => told!(
            "freeze.absent",
            "--freeze names {part}, which this model does not have; leave it out",
            part = part.name()
        ),
    }
}

fn listed(parts: &[Part]) -> String {
    parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(",")
}
