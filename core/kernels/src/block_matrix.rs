//! A matrix in blocks on the processor: multiplied from its quants by a few rows, unpacked for many.

use std::sync::Arc;

use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_backend::ops::FloatTensorOps;
use burn_flex::{Flex, FlexTensor};

use super::blocks::{BLOCK, QuantBlock, Quantization, encode_q4_0, encode_q8_0};
use super::chunks::for_each_chunk;
use super::host::{HostOp, Kept};

/// Partial sums side by side, in a fixed order everywhere.
const LANES: usize = BLOCK / 2;
/// Rows of activations up to which unpacking the whole matrix costs more than it gains.
const FEW: usize = 8;
/// Products that one task makes at least, so that starting it pays.
const TASK: usize = 64 * 1024;

/// The blocks of all rows.
#[derive(Debug)]
pub(super) struct BlockMatrix {
    pub(super) columns: usize,
    /// One a block.
    scales: Vec<f32>,
    quants: Quants,
}

#[derive(Debug)]
enum Quants {
    Eight(Vec<[i8; BLOCK]>),
    Four(Vec<[u8; BLOCK / 2]>),
}

impl BlockMatrix {
    /// Puts rows of `columns` values into blocks. `None` where those are no whole blocks, or a value is too large or no
    /// number.
    pub(super) fn encode(values: &[f32], columns: usize, bits: Quantization) -> Option<Self> {
        if !columns.is_multiple_of(BLOCK) || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let (blocks, _) = values.as_chunks();
        let (scales, quants) = match bits {
            Quantization::Q8_0 => {
                let (scales, quants): (Vec<_>, Vec<_>) = blocks.iter().map(encode_q8_0).unzip();
                (scales, Quants::Eight(quants))
            }
            Quantization::Q4_0 => {
                let (scales, quants): (Vec<_>, Vec<_>) = blocks.iter().map(encode_q4_0).unzip();
                (scales, Quants::Four(quants))
            }
        };
        let scales: Vec<f32> = scales.into_iter().map(half::f16::to_f32).collect();
        scales.iter().all(|scale| scale.is_finite()).then_some(Self { columns, scales, quants })
    }

    /// Unpacks a row.
    #[inline(always)]
    pub(super) fn unpack(&self, row: usize, values: &mut [f32]) {
        let first = row * self.columns / BLOCK;
        for (i, values) in values.as_chunks_mut().0.iter_mut().enumerate() {
            match &self.quants {
                Quants::Eight(blocks) => blocks[first + i].unpack(values),
                Quants::Four(blocks) => blocks[first + i].unpack(values),
            }
            let scale = self.scales[first + i];
            values.iter_mut().for_each(|value| *value *= scale);
        }
    }

    /// All rows.
    pub(super) fn dense(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.scales.len() * BLOCK];
        let rows_a_task = (TASK / self.columns.max(1)).max(1);
        for_each_chunk(&mut values, rows_a_task * self.columns.max(1), |task, values| {
            pulp::Arch::new().dispatch(|| {
                for (i, values) in values.chunks_exact_mut(self.columns).enumerate() {
                    self.unpack(task * rows_a_task + i, values);
                }
            });
        });
        values
    }

    fn rows(&self) -> usize {
        self.scales.len() * BLOCK / self.columns
    }

    /// All of it, `[rows, columns]`.
    fn tensor(&self) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(self.dense(), [self.rows(), self.columns]))
    }

    /// `x·Wᵀ` for at most [`FEW`] rows of `x`, from the packed quants.
    fn few(&self, x: &[f32]) -> Vec<f32> {
        let (n, rows) = (x.len() / self.columns, self.rows());
        // [rows, n], so that a task writes what lies together.
        let mut y = vec![0.0; rows * n];
        let rows_a_task = (TASK / (self.columns * n)).max(1);
        for_each_chunk(&mut y, rows_a_task * n, |task, y| {
            pulp::Arch::new().dispatch(|| {
                for (i, y) in y.chunks_exact_mut(n).enumerate() {
                    match &self.quants {
                        Quants::Eight(blocks) => self.row(blocks, task * rows_a_task + i, x, y),
                        Quants::Four(blocks) => self.row(blocks, task * rows_a_task + i, x, y),
                    }
                }
            });
        });
        if n == 1 { y } else { transposed(&y, rows, n) }
    }

    /// One row of the matrix with every row of `x`, four at a time.
    #[inline(always)]
    fn row<B: QuantBlock>(&self, blocks: &[B], row: usize, x: &[f32], y: &mut [f32]) {
        let width = self.columns / BLOCK;
        let blocks = &blocks[row * width..][..width];
        let scales = &self.scales[row * width..][..width];
        let four = y.len() / 4 * 4;
        for (y, x) in y[..four].as_chunks_mut::<4>().0.iter_mut().zip(x.chunks_exact(4 * self.columns)) {
            *y = dot(blocks, scales, x);
        }
        for (y, x) in y[four..].iter_mut().zip(x[four * self.columns..].chunks_exact(self.columns)) {
            [*y] = dot(blocks, scales, x);
        }
    }

    /// The same blocks as burn's quantized tensor: packed from the lowest bits of 32-bit words, then the scales.
    pub(super) fn upload(self, shape: [usize; 2], device: &Device) -> Tensor<2> {
        let (mut bytes, value) = match self.quants {
            Quants::Eight(blocks) => (
                blocks.into_flattened().into_iter().map(i8::cast_unsigned).collect::<Vec<u8>>(),
                QuantValue::Q8S,
            ),
            Quants::Four(blocks) => {
                let half = |quant: f32| (quant as i8).cast_unsigned();
                let pairs = |block: &[u8; BLOCK / 2]| {
                    let mut quants = [0.0; BLOCK];
                    block.unpack(&mut quants);
                    quants
                        .as_chunks::<2>()
                        .0
                        .iter()
                        .map(|&[a, b]| half(a) & 15 | half(b) << 4)
                        .collect::<Vec<u8>>()
                };
                (blocks.iter().flat_map(pairs).collect(), QuantValue::Q4F)
            }
        };
        bytes.extend(self.scales.iter().flat_map(|scale| scale.to_le_bytes()));
        let scheme = QuantScheme::default()
            .with_value(value)
            .with_store(QuantStore::PackedU32(0))
            .per_block([BLOCK as u8], ScaleDtype::F32);
        Tensor::from_data(TensorData::from_bytes_vec(bytes, shape, DType::QFloat(scheme)), device)
    }
}

/// A row's blocks times each of `N` rows of `x`.
#[inline(always)]
fn dot<B: QuantBlock, const N: usize>(blocks: &[B], scales: &[f32], x: &[f32]) -> [f32; N] {
    let columns = blocks.len() * BLOCK;
    let mut sums = [[0.0_f32; LANES]; N];
    let mut quants = [0.0; BLOCK];
    for (i, (block, &scale)) in blocks.iter().zip(scales).enumerate() {
        block.unpack(&mut quants);
        for (n, sums) in sums.iter_mut().enumerate() {
            let x = &x[n * columns + i * BLOCK..][..BLOCK];
            for lane in 0..LANES {
                sums[lane] += scale * (quants[lane] * x[lane] + quants[LANES + lane] * x[LANES + lane]);
            }
        }
    }
    sums.map(|lanes| lanes.into_iter().fold(0.0, |sum, lane| sum + lane))
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

/// `x·Wᵀ`.
#[derive(Clone, Debug)]
pub(super) struct Multiply(pub(super) Arc<BlockMatrix>);

impl HostOp<1> for Multiply {
    const KEPT: Kept = Kept::Nothing;

    fn forward(&self, [x]: [&[f32]; 1]) -> Vec<f32> {
        let blocks = &self.0;
        match x.len() / blocks.columns {
            0 => Vec::new(),
            n if n <= FEW => blocks.few(x),
            _ => product(x, Flex::float_swap_dims(blocks.tensor(), 0, 1)),
        }
    }

    /// `dx = g·W`.
    fn backward(&self, [_x]: [&[f32]; 1], _y: &[f32], grad: &[f32]) -> [Vec<f32>; 1] {
        [product(grad, self.0.tensor())]
    }
}

/// Rows, as wide as `matrix` is high, times `matrix`.
fn product(rows: &[f32], matrix: FlexTensor) -> Vec<f32> {
    let inner = matrix.layout().shape()[0];
    let x = TensorData::new(rows.to_vec(), [rows.len() / inner, inner]);
    let y = Flex::float_matmul(FlexTensor::from_data(x), matrix).to_contiguous();
    y.as_slice().map(<[f32]>::to_vec).unwrap_or_default()
}
