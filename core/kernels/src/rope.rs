//! Turning pairs of a head by their position's angle.

use std::sync::Arc;

use burn::tensor::{Float, Tensor, TensorData};

use super::host::{HostOp, Kept, input, run};
use super::in_dtype;
use super::slices::rows;
use super::uploaded::Uploaded;

/// Cosines and sines of the positions of a row of tokens. Clones share them, and what was uploaded to a device.
#[derive(Clone, Debug)]
pub struct Angles {
    tables: Arc<Tables>,
    cos: Uploaded<4, Float>,
    sin: Uploaded<4, Float>,
}

/// `[positions, hd/2]` each, row by row: one row of tokens for all of a batch, or one each.
#[derive(Debug)]
struct Tables {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    /// Angles out of their cosines and sines.
    ///
    /// # Shapes
    /// `[seq, hd/2]` where all rows of a batch stand at the same positions, else `[batch, seq, hd/2]`.
    pub fn new(cos: Vec<f32>, sin: Vec<f32>) -> Self {
        let tables = Arc::new(Tables { cos, sin });
        Self { tables, cos: Uploaded::default(), sin: Uploaded::default() }
    }

    /// The cosines, row by row.
    pub fn cos(&self) -> &[f32] {
        &self.tables.cos
    }

    /// The sines, row by row.
    pub fn sin(&self) -> &[f32] {
        &self.tables.sin
    }
}

/// Turns the pairs `(x_i, x_{i + hd/2})` of every head.
///
/// # Shapes
/// `x [batch, seq, heads, hd]`, angles of `seq` positions, of each batch row or of all alike → as `x`.
pub fn rotate(x: Tensor<4>, angles: &Angles) -> Tensor<4> {
    let [_, seq, heads, head_dim] = x.dims();
    if let Some(a) = input(&x) {
        let op = Rotate { angles: angles.clone(), heads, head_dim };
        if let Some(y) = run(op, [a], x.dims()) {
            return y;
        }
    }
    let half = head_dim / 2;
    let shape = [angles.cos().len() / (seq * half), seq, 1, half];
    let table = |uploaded: &Uploaded<4, Float>, values: &[f32]| {
        let tensor = uploaded.get(&x.device(), shape, || TensorData::new(values.to_vec(), shape));
        in_dtype(tensor, x.dtype())
    };
    let (cos, sin) = (table(&angles.cos, angles.cos()), table(&angles.sin, angles.sin()));
    let (x1, x2) = (x.clone().narrow(3, 0, half), x.clone().narrow(3, half, half));
    let y1 = x1.clone() * cos.clone() - x2.clone() * sin.clone();
    let y2 = x2 * cos + x1 * sin;
    Tensor::cat(vec![y1, y2], 3)
}

#[derive(Clone, Debug)]
struct Rotate {
    angles: Angles,
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
            // The position's row of angles; one for all batch rows comes round again and again.
            let at = (i / self.heads * half) % self.angles.cos().len();
            let (cos, sin) = (&self.angles.cos()[at..at + half], &self.angles.sin()[at..at + half]);
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
    const KEPT: Kept = Kept::Nothing;

    fn forward(&self, [x]: [&[f32]; 1]) -> Vec<f32> {
        self.turn(x, false)
    }

    fn backward(&self, _x: [&[f32]; 1], _y: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        [self.turn(grad, true)]
    }
}
