//! Parts of a pass forward that are computed without a graph, and again with one when the backward pass comes to them.
//!
//! The graph is cut behind each part: what the part gives is a leaf for all that follows. The backward pass of the rest
//! ends in the leaf's gradient `g`; then the part is computed again from its inputs, which the tape holds, and the
//! backward pass of `Σ output · g` goes on through it to whatever the inputs came from.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Gradients, Tensor};

use crate::kernels::in_dtype;

/// Computes a part again, in the graph of its inputs.
type Again = Box<dyn FnOnce() -> Vec<Tensor<3>> + Send>;

/// The parts of one pass, in its order; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Tape(Arc<Mutex<Vec<Part>>>);

struct Part {
    /// What the rest of the pass computes with, and what the backward pass has found of each so far.
    leaves: Vec<(Tensor<3>, Option<Tensor<3>>)>,
    again: Again,
}

impl fmt::Debug for Tape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tape({})", self.parts().len())
    }
}

impl Tape {
    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a part whose `outputs` were computed without a graph; gives them as leaves.
    pub(super) fn record(&self, outputs: Vec<Tensor<3>>, again: Again) -> Vec<Tensor<3>> {
        let leaf = |output: Tensor<3>| Tensor::from_inner(output).require_grad();
        let leaves: Vec<Tensor<3>> = outputs.into_iter().map(leaf).collect();
        let kept = leaves.iter().map(|leaf| (leaf.clone(), None)).collect();
        self.parts().push(Part { leaves: kept, again });
        leaves
    }

    /// Cuts the graph without computing anything again: what follows ends here until all of its parts have come back, so that
    /// no backward pass goes on below with a part of the gradient.
    pub(super) fn cut(&self, x: Tensor<3>) -> Tensor<3> {
        self.cut_together(vec![x.clone()]).pop().unwrap_or(x)
    }

    /// The same of several, which go back at once: a graph that they share cannot be gone through twice.
    pub(super) fn cut_together(&self, outputs: Vec<Tensor<3>>) -> Vec<Tensor<3>> {
        let inner = outputs.iter().map(|output| output.clone().inner()).collect();
        self.record(inner, Box::new(move || outputs))
    }

    /// Takes what a backward pass found of the leaves, and gives the scalar whose backward pass goes on through the last
    /// part that is left, `[1]`; `None` once there is none.
    pub(crate) fn rewind(&self, grads: &mut Gradients) -> Option<Tensor<1>> {
        for part in self.parts().iter_mut() {
            for (leaf, sum) in &mut part.leaves {
                if let Some(found) = leaf.grad_remove(grads) {
                    *sum = Some(match sum.take() {
                        Some(sum) => sum + found,
                        None => found,
                    });
                }
            }
        }
        loop {
            let Part { leaves, again } = self.parts().pop()?;
            if leaves.iter().all(|(_, grad)| grad.is_none()) {
                continue;
            }
            let grads: Vec<Option<Tensor<3>>> = leaves.into_iter().map(|(_, grad)| grad).collect();
            let outputs = again().into_iter().zip(grads);
            // Gates are f32 in every model, and what a layer gives is of the type that the model computes in.
            let product = |(output, grad): (Tensor<3>, Option<Tensor<3>>)| {
                Some(in_dtype((output * Tensor::from_inner(grad?)).sum(), DType::F32))
            };
            let products = outputs.filter_map(product);
            let sum = products.reduce(|sum, product| sum + product)?;
            // Nothing trains in a frozen layer on a frozen embedding.
            if sum.is_tracked() {
                return Some(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn tensor(values: [f32; 2]) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values.to_vec(), [1, 1, 2]), &Device::flex().autodiff())
    }

    /// The gradients of both, through all that is computed again.
    fn gradients(tape: &Tape, loss: Tensor<1>, of: [&Tensor<3>; 2]) -> [Vec<f32>; 2] {
        let mut grads = loss.backward();
        let mut found = of.map(|tensor| tensor.grad_remove(&mut grads));
        while let Some(sum) = tape.rewind(&mut grads) {
            grads = sum.backward();
            for (found, tensor) in found.iter_mut().zip(of) {
                *found = tensor.grad_remove(&mut grads).or(found.take());
            }
        }
        found.map(|tensor| tensor.unwrap().into_data().iter::<f32>().collect())
    }

    #[test]
    fn a_part_beside_a_stream_that_goes_on_by_hand() {
        // loss = Σ s + w·s of s = x², the product computed again: dw = x², dx = 2x(1 + w).
        let (x, w) = (tensor([1.0, 2.0]).require_grad(), tensor([3.0, -1.0]).require_grad());
        let tape = Tape::default();
        let stream = tape.cut(x.clone().square());
        let (own, weight) = (stream.clone(), w.clone());
        let product = vec![stream.clone().inner() * w.clone().inner()];
        let product = tape.record(product, Box::new(move || vec![own * weight]));
        let [dw, dx] = gradients(&tape, (stream + product[0].clone()).sum(), [&w, &x]);
        assert_eq!((dw, dx), (vec![1.0, 4.0], vec![8.0, 0.0]));
    }

    #[test]
    fn outputs_that_share_a_graph_go_back_together_by_hand() {
        // loss = Σ s · ws of s = x²: dw = x⁴, dx = 4 w x³.
        let (x, w) = (tensor([1.0, 2.0]).require_grad(), tensor([3.0, -1.0]).require_grad());
        let tape = Tape::default();
        let s = x.clone().square();
        let outputs = tape.cut_together(vec![s.clone(), s * w.clone()]);
        let loss = (outputs[0].clone() * outputs[1].clone()).sum();
        let [dw, dx] = gradients(&tape, loss, [&w, &x]);
        assert_eq!((dw, dx), (vec![1.0, 16.0], vec![12.0, -32.0]));
    }

    #[test]
    fn outputs_of_two_types_go_back_together_by_hand() {
        // loss = Σ x · wx, the first in 16 bits: dw = x², dx = 2wx.
        let (x, w) = (tensor([1.0, 2.0]).require_grad(), tensor([3.0, -1.0]).require_grad());
        let tape = Tape::default();
        let outputs = tape.cut_together(vec![x.clone().cast(DType::BF16), x.clone() * w.clone()]);
        let loss = (outputs[0].clone().cast(DType::F32) * outputs[1].clone()).sum();
        let [dw, dx] = gradients(&tape, loss, [&w, &x]);
        assert_eq!((dw, dx), (vec![1.0, 4.0], vec![6.0, -4.0]));
    }

    #[test]
    fn gradients_through_two_parts_by_hand() {
        // loss = Σ (w · x²)², x² and w · x² each computed again: dw = 2 w x⁴, dx = 4 w² x³.
        let (x, w) = (tensor([1.0, 2.0]).require_grad(), tensor([3.0, -1.0]).require_grad());
        let tape = Tape::default();
        let own = x.clone();
        let squares = tape.record(vec![x.clone().inner().square()], Box::new(move || vec![own.square()]));
        let (inner, square, weight) = (squares[0].clone().inner(), squares[0].clone(), w.clone());
        let products = vec![inner * w.clone().inner()];
        let products = tape.record(products, Box::new(move || vec![square * weight]));
        let [dw, dx] = gradients(&tape, products[0].clone().square().sum(), [&w, &x]);
        assert_eq!(dw, [6.0, -32.0]);
        assert_eq!(dx, [36.0, 32.0]);
    }
}
