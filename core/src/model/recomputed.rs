//! Layers at which a backward pass ends and goes on: those that keep their input alone, and are computed again, and others
//! beside them.

use burn::module::Module;
use burn::tensor::Tensor;

use super::tape::Tape;
use super::{Block, Routing, Trace};
use crate::kernels::{Angles, AttentionMask};

/// A layer that keeps its input alone; what `trace` asks for of routing is a leaf, too.
pub(super) fn recomputed(
    tape: &Tape,
    block: &Block,
    x: Tensor<3>,
    angles: &Angles,
    mask: &AttentionMask,
    trace: &mut Trace,
) -> Tensor<3> {
    let routes = trace.routing.is_some();
    let (y, routing) = pass(&block.valid(), x.clone().inner(), angles, mask, routes);
    let (block, angles, mask) = (block.clone(), angles.clone(), mask.clone());
    let again = move || {
        let (y, routing) = pass(&block, x, &angles, &mask, routes);
        differentiable(&y, &routing)
    };
    let leaves = tape.record(differentiable(&y, &routing), Box::new(again));
    let chosen = routing.into_iter().map(|layer| Tensor::from_inner(layer.chosen)).collect();
    handed_on(leaves, chosen, trace).unwrap_or_else(|| Tensor::from_inner(y))
}

/// A layer that keeps its activations, and whose graph ends at what it gives: a loss of its gates must not go back through it
/// before the stream does.
pub(super) fn cut_behind(
    tape: &Tape,
    block: &Block,
    x: Tensor<3>,
    angles: &Angles,
    mask: &AttentionMask,
    trace: &mut Trace,
) -> Tensor<3> {
    let (y, routing) = pass(block, x, angles, mask, trace.routing.is_some());
    let leaves = tape.cut_together(differentiable(&y, &routing));
    let chosen = routing.into_iter().map(|layer| layer.chosen).collect();
    handed_on(leaves, chosen, trace).unwrap_or(y)
}

/// Gives the leaf of a layer's output, the first one, and leaves those of its routing in the trace.
fn handed_on(leaves: Vec<Tensor<3>>, chosen: Vec<Tensor<3>>, trace: &mut Trace) -> Option<Tensor<3>> {
    let mut leaves = leaves.into_iter();
    let y = leaves.next();
    if let Some(kept) = &mut trace.routing {
        for chosen in chosen {
            let (Some(logits), Some(probabilities)) = (leaves.next(), leaves.next()) else { break };
            kept.push(Routing { logits, probabilities, chosen });
        }
    }
    y
}

/// A layer's output, and its routing where that is asked for.
fn pass(
    block: &Block,
    x: Tensor<3>,
    angles: &Angles,
    mask: &AttentionMask,
    routes: bool,
) -> (Tensor<3>, Vec<Routing>) {
    let mut trace = if routes { Trace::of_routing() } else { Trace::default() };
    let y = block.forward(x, angles, mask, None, &mut trace);
    (y, trace.routing.unwrap_or_default())
}

/// What gradients flow through, in one order.
fn differentiable(y: &Tensor<3>, routing: &[Routing]) -> Vec<Tensor<3>> {
    let routed = routing.iter().flat_map(|layer| [layer.logits.clone(), layer.probabilities.clone()]);
    [y.clone()].into_iter().chain(routed).collect()
}
