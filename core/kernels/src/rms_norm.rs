//! Root-mean-square normalisation (Zhang & Sennrich, 2019, <https://arxiv.org/abs/1910.07467>).

use burn::tensor::Tensor;

use super::host::{HostOp, Kept, input, run};
use super::slices::{rows, sum};

/// Rows whose weight gradients are added by one task; fixed, so that the order of the sum is.
const ROWS_A_TASK: usize = 128;

/// `y = x / sqrt(mean(x²) + eps) · weight`, over the last dimension, in f32.
///
/// # Shapes
/// `x [.., width]`, `weight [width]` → as `x`.
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, eps: f64) -> Tensor<D> {
    let shape = x.dims();
    if let (Some(a), Some(b)) = (input(&x), input(&weight))
        && let Some(y) = run(RmsNorm { eps: eps as f32 }, [a, b], shape)
    {
        return y;
    }
    let scale = (x.clone().square().mean_dim(D - 1) + eps).sqrt();
    x / scale * weight.unsqueeze()
}

#[derive(Clone, Debug)]
struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    /// `1 / sqrt(mean(x²) + eps)`
    #[inline(always)]
    fn scale(&self, x: &[f32]) -> f32 {
        1.0 / (sum(x.len(), |i| x[i] * x[i]) / x.len() as f32 + self.eps).sqrt()
    }
}

impl HostOp<2> for RmsNorm {
    const KEPT: Kept = Kept::Inputs;

    fn forward(&self, [x, weight]: [&[f32]; 2]) -> Vec<f32> {
        let width = weight.len();
        let mut out = vec![0.0; x.len()];
        rows(&mut out, width, |i, y| {
            let x = &x[i * width..][..width];
            let scale = self.scale(x);
            for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * scale * w;
            }
        });
        out
    }

    /// With `n = x·scale`: `dx = scale·(g·w − n·mean(g·w·n))`, `dw = Σ_rows g·n`.
    fn backward(&self, [x, weight]: [&[f32]; 2], _y: &[f32], grad: &[f32]) -> [Vec<f32>; 2] {
        let width = weight.len();
        let mut dx = vec![0.0; x.len()];
        rows(&mut dx, width, |i, dx| {
            let (x, g) = (&x[i * width..][..width], &grad[i * width..][..width]);
            let scale = self.scale(x);
            let mean = sum(width, |j| g[j] * weight[j] * x[j]) * scale * scale / width as f32;
            for (((dx, &x), &g), &w) in dx.iter_mut().zip(x).zip(g).zip(weight) {
                *dx = scale * (g * w - x * mean);
            }
        });
        let count = x.len() / width;
        let tasks = count.div_ceil(ROWS_A_TASK);
        let mut parts = vec![0.0; tasks * width];
        rows(&mut parts, width, |task, part| {
            for i in task * ROWS_A_TASK..((task + 1) * ROWS_A_TASK).min(count) {
                let (x, g) = (&x[i * width..][..width], &grad[i * width..][..width]);
                let scale = self.scale(x);
                for ((part, &x), &g) in part.iter_mut().zip(x).zip(g) {
                    *part += g * x * scale;
                }
            }
        });
        let mut dw = vec![0.0; width];
        for part in parts.chunks_exact(width) {
            dw.iter_mut().zip(part).for_each(|(total, part)| *total += part);
        }
        [dx, dw]
    }
}
