//! The gate of SwiGLU (Shazeer, 2020, <https://arxiv.org/abs/2002.05202>).

use burn::tensor::{Tensor, activation};

use super::host::{HostOp, Kept, input, run};
use super::slices::{exp, row_pairs, rows};

/// Values a row when the shape does not matter.
const ROW: usize = 256;

/// `silu(gate) · up`, element by element.
///
/// # Shapes
/// Both and the result are equal.
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    let shape = gate.dims();
    if let (Some(a), Some(b)) = (input(&gate), input(&up))
        && let Some(y) = run(SwiGlu, [a, b], shape)
    {
        return y;
    }
    activation::silu(gate) * up
}

#[derive(Clone, Debug)]
struct SwiGlu;

/// Rows of `ROW`, and what is left in one row of its own.
fn in_rows(len: usize, mut each: impl FnMut(usize, usize, usize)) {
    let whole = len / ROW * ROW;
    each(0, whole, ROW);
    if whole < len {
        each(whole, len, len - whole);
    }
}

impl HostOp<2> for SwiGlu {
    const KEPT: Kept = Kept::Inputs;

    fn forward(&self, [gate, up]: [&[f32]; 2]) -> Vec<f32> {
        let mut out = vec![0.0; gate.len()];
        in_rows(gate.len(), |start, end, width| {
            let (gate, up) = (&gate[start..end], &up[start..end]);
            rows(&mut out[start..end], width, |i, y| {
                let at = i * width;
                for ((y, &g), &u) in y.iter_mut().zip(&gate[at..at + width]).zip(&up[at..at + width]) {
                    *y = g / (1.0 + exp(-g)) * u;
                }
            });
        });
        out
    }

    /// With `s = sigmoid(gate)`: `dgate = g·up·s·(1 + gate·(1 − s))`, `dup = g·gate·s`.
    fn backward(&self, [gate, up]: [&[f32]; 2], _y: &[f32], grad: &[f32]) -> [Vec<f32>; 2] {
        let mut dgate = vec![0.0; gate.len()];
        let mut dup = vec![0.0; gate.len()];
        in_rows(gate.len(), |start, end, width| {
            let (gate, up, grad) = (&gate[start..end], &up[start..end], &grad[start..end]);
            row_pairs(&mut dgate[start..end], &mut dup[start..end], width, |i, dgate, dup| {
                let at = i * width..(i + 1) * width;
                let inputs = gate[at.clone()].iter().zip(&up[at.clone()]).zip(&grad[at]);
                for ((dgate, dup), ((&x, &u), &g)) in dgate.iter_mut().zip(dup).zip(inputs) {
                    let s = 1.0 / (1.0 + exp(-x));
                    *dgate = g * u * s * (1.0 + x * (1.0 - s));
                    *dup = g * x * s;
                }
            });
        });
        [dgate, dup]
    }
}
