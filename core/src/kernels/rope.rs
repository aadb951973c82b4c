//! Turning pairs of a head by their position's angle.

use burn::tensor::Tensor;

use super::host::{HostOp, input, run};
use super::slices::rows;

/// Cosines and sines of consecutive positions, `[positions, hd/2]` each.
#[derive(Clone, Debug)]
pub struct Angles {
    /// Row by row.
    pub cos: Vec<f32>,
    /// Row by row.
    pub sin: Vec<f32>,
}

/// Turns the pairs `(x_i, x_{i + hd/2})` of every head.
///
/// # Shapes
/// `x [batch, seq, heads, hd]`, angles of `seq` positions → as `x`.
pub fn rotate(x: Tensor<4>, angles: &Angles) -> Tensor<4> {
    let [_, seq, heads, head_dim] = x.dims();
    if let Some(a) = input(&x) {
        let op = Rotate { angles: angles.clone(), seq, heads, head_dim };
        if let Some(y) = run(op, [a], x.dims()) {
            return y;
        }
    }
    let half = head_dim / 2;
    let table = |values: &[f32]| {
        let data = burn::tensor::TensorData::new(values.to_vec(), [1, seq, 1, half]);
        Tensor::<4>::from_data(data, &x.device()).cast(x.dtype())
    };
    let (cos, sin) = (table(&angles.cos), table(&angles.sin));
    let (x1, x2) = (x.clone().narrow(3, 0, half), x.clone().narrow(3, half, half));
    let y1 = x1.clone() * cos.clone() - x2.clone() * sin.clone();
    let y2 = x2 * cos + x1 * sin;
    Tensor::cat(vec![y1, y2], 3)
}

#[derive(Clone, Debug)]
struct Rotate {
    angles: Angles,
    seq: usize,
    heads: usize,
    head_dim: usize,
}

impl Rotate {
    /// Turns by the angle, or back by it.
    fn turn(&self, x: &[f32], back: bool) -> Vec<f32> {
        let (head_dim, half) = (self.head_dim, self.head_dim / 2);
        let sign = if back { -1.0 } else { 1.0 };
        let mut out = vec![0.0; x.len()];
        rows(&mut out, head_dim, |i, y| {
            let at = i / self.heads % self.seq * half;
            let (cos, sin) = (&self.angles.cos[at..at + half], &self.angles.sin[at..at + half]);
            let (x1, x2) = x[i * head_dim..][..head_dim].split_at(half);
            let (y1, y2) = y.split_at_mut(half);
            for j in 0..half {
                let sin = sin[j] * sign;
                y1[j] = x1[j] * cos[j] - x2[j] * sin;
                y2[j] = x2[j] * cos[j] + x1[j] * sin;
            }
        });
        out
    }
}

impl HostOp<1> for Rotate {
    fn forward(&self, [x]: [&[f32]; 1]) -> Vec<f32> {
        self.turn(x, false)
    }

    fn backward(&self, _x: [&[f32]; 1], _y: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        [self.turn(grad, true)]
    }
}
