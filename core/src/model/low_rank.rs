//! The path that LoRA trains beside a frozen dense layer (Hu et al., 2021, <https://arxiv.org/abs/2106.09685>).

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};

use crate::kernels::in_dtype;
use crate::platform::for_each_chunk;
use crate::random::Random;

/// `s · B(A·dropout(x))`: two thin products, so that neither `B·A` nor a gradient of its shape is ever built.
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[in, rank]`.
    pub a: Param<Tensor<2>>,
    /// `[rank, out]`; zeros at the beginning, so that training starts from the base exactly.
    pub b: Param<Tensor<2>>,
    /// `alpha / rank`, times the strength that was asked for.
    pub scale: f64,
    /// Share of the inputs that training drops.
    pub dropout: f64,
    /// Which inputs those are; `None` outside of training.
    #[module(skip)]
    pub(super) noise: Option<Noise>,
}

/// Names the random numbers of one layer in one step; a row's do not depend on how the batch is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    pub(super) seed: u64,
    pub(super) stream: u64,
}

impl LowRank {
    /// A path whose dropout is off until training switches it on.
    pub fn new(a: Param<Tensor<2>>, b: Param<Tensor<2>>, scale: f64, dropout: f64) -> Self {
        Self { a, b, scale, dropout, noise: None }
    }

    /// # Shapes
    /// `x [batch·seq, in]`, the rows of each of `batch` sequences together → `[batch·seq, out]`.
    pub(super) fn forward(&self, x: Tensor<2>, batch: usize) -> Tensor<2> {
        let dtype = x.dtype();
        let x = match self.noise {
            Some(noise) if self.dropout > 0.0 => {
                let kept = kept(noise, self.dropout, batch, x.dims());
                let kept = Tensor::from_data(TensorData::new(kept, x.dims()), &x.device());
                x * in_dtype(kept, dtype)
            }
            _ => x,
        };
        let narrow = x.matmul(in_dtype(self.a.val(), dtype));
        narrow.matmul(in_dtype(self.b.val(), dtype)) * self.scale
    }
}

/// For each input 0 where it is dropped, else `1 / (1 − share)`, row by row.
fn kept(noise: Noise, share: f64, batch: usize, [rows, width]: [usize; 2]) -> Vec<f32> {
    let mut values = vec![0.0; rows * width];
    let limit = (share * f64::from(u32::MAX)) as u32;
    let scale = (1.0 / (1.0 - share)) as f32;
    for_each_chunk(&mut values, rows * width / batch.max(1), |row, values| {
        let mut random = Random::new(noise.seed, noise.stream.wrapping_add(row as u64));
        for value in values {
            *value = if random.next_u32() < limit { 0.0 } else { scale };
        }
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_keeps_the_mean_and_does_not_depend_on_how_rows_are_divided() {
        let noise = |first_row: u64| Noise { seed: 3, stream: 7 + first_row };
        let all = kept(noise(0), 0.25, 4, [4 * 8, 64]);
        let dropped = all.iter().filter(|&&value| value == 0.0).count() as f64 / all.len() as f64;
        assert!((dropped - 0.25).abs() < 0.03, "{dropped}");
        assert!(all.iter().all(|&value| value == 0.0 || (value - 4.0 / 3.0).abs() < 1e-6));
        let halves = [kept(noise(0), 0.25, 2, [16, 64]), kept(noise(2), 0.25, 2, [16, 64])].concat();
        assert_eq!(all, halves);
    }
}
