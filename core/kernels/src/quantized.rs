//! Matrices in blocks of few bits, on any device. They never train; a gradient passes through them to what stands
//! below.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor, TensorData, module};

use super::activations::Activations;
use super::block_matrix::{BlockMatrix, Multiply};
use super::blocks::{BLOCK, Quantization};
use super::encoded::EncodedBlocks;
use super::host::{input, run};
use super::{in_dtype, is_processor};

/// A matrix `[rows, columns]` in blocks along its rows.
#[derive(Clone, Debug)]
pub struct QuantizedMatrix {
    bits: Quantization,
    shape: [usize; 2],
    writes: Option<Activations>,
    held: HeldOn,
}

#[derive(Clone, Debug)]
enum HeldOn {
    /// Our own code multiplies it.
    Processor(Arc<BlockMatrix>),
    /// burn's quantized tensor, without autodiff, becomes a dense one while it is used.
    Device(Box<Tensor<2>>),
}

impl QuantizedMatrix {
    /// Puts values, row by row, into blocks. `None` where rows are no whole blocks, or a value is too large or no
    /// number: such a matrix stays as it is.
    pub fn new(values: &[f32], shape: [usize; 2], bits: Quantization, device: &Device) -> Option<Self> {
        let [_, columns] = shape;
        let blocks = EncodedBlocks::new(values, columns, bits)?;
        let held = match is_processor(device) {
            true => HeldOn::Processor(Arc::new(BlockMatrix::new(&blocks, shape))),
            false => HeldOn::Device(Box::new(blocks.upload(shape, &device.clone().inner()))),
        };
        Some(Self { bits, shape, writes: None, held })
    }

    /// Makes it one that answers are written with, which meets such activations: on the processor a row then gives what it
    /// gives alone, whatever stands beside it. Other devices always take exact ones.
    pub fn set_activations(&mut self, activations: Activations) {
        self.writes = Some(activations);
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The memory that it takes.
    pub fn bytes(&self) -> usize {
        match &self.held {
            HeldOn::Processor(blocks) => blocks.bytes(),
            HeldOn::Device(_) => {
                let blocks = self.shape[0] * self.shape[1] / BLOCK;
                blocks * (size_of::<f32>() + self.bits.bytes())
            }
        }
    }

    /// `y = x·Wᵀ`, in `x`'s dtype. A gradient passes as if activations were exact.
    ///
    /// # Shapes
    /// `x [n, columns]` → `[n, rows]`.
    pub fn multiply(&self, x: Tensor<2>) -> Tensor<2> {
        let (dtype, [n, _]) = (x.dtype(), x.dims());
        if let HeldOn::Processor(matrix) = &self.held
            && let Some(x) = input(&in_dtype(x.clone(), DType::F32))
        {
            let multiply = Multiply { matrix: matrix.clone(), writes: self.writes };
            if let Some(y) = run(multiply, [x], [n, self.shape[0]]) {
                return in_dtype(y, dtype);
            }
        }
        let weight = self.dense(&x.device());
        x.matmul(in_dtype(weight, dtype).transpose())
    }

    /// Some rows.
    ///
    /// # Shapes
    /// `ids [batch, n]` → `[batch, n, columns]`, in f32.
    pub fn rows(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let HeldOn::Processor(blocks) = &self.held else {
            let table = self.dense(&ids.device());
            return module::embedding(table, ids);
        };
        let ([batch, n], device) = (ids.dims(), ids.device());
        // On the processor nothing has to be waited for.
        let ids: Vec<usize> = ids.into_data().iter::<i64>().map(|id| id as usize).collect();
        let columns = blocks.columns();
        let mut values = vec![0.0; ids.len() * columns];
        for (id, row) in ids.into_iter().zip(values.chunks_exact_mut(columns)) {
            blocks.unpack(id, row);
        }
        Tensor::from_data(TensorData::new(values, [batch, n, columns]), &device)
    }

    /// The matrix in f32 `[rows, columns]`, on a device with or without autodiff.
    pub fn dense(&self, device: &Device) -> Tensor<2> {
        let dense = match &self.held {
            HeldOn::Processor(blocks) => {
                let values = TensorData::new(blocks.dense(), self.shape);
                return Tensor::from_data(values, device);
            }
            HeldOn::Device(weight) => (**weight).clone().dequantize(),
        };
        if device.is_autodiff() { Tensor::from_inner(dense) } else { dense }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 2] = [5, 96];

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect()
    }

    fn matrix(bits: Quantization) -> QuantizedMatrix {
        QuantizedMatrix::new(&values(5 * 96), SHAPE, bits, &Device::flex()).unwrap()
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter().collect()
    }

    fn near(a: &[f32], b: &[f32], limit: f32) {
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= limit), "{a:?} {b:?}");
    }

    #[test]
    fn a_block_by_hand() {
        // 127 and its negative make the scale 1; the product with ones is the sum.
        let mut row = [0.0; BLOCK];
        (row[0], row[1], row[31]) = (127.0, -3.0, -127.0);
        let eight = QuantizedMatrix::new(&row, [1, BLOCK], Quantization::Q8_0, &Device::flex()).unwrap();
        let x = Tensor::<2>::ones([1, BLOCK], &Device::flex());
        assert_eq!(read(eight.multiply(x.clone())), [-3.0]);
        // 8 makes it -1: 8 and 4 are exact, and 7.4 is the nearest whole number.
        (row[0], row[1], row[31]) = (8.0, 4.0, -7.4);
        let four = QuantizedMatrix::new(&row, [1, BLOCK], Quantization::Q4_0, &Device::flex()).unwrap();
        assert_eq!(read(four.multiply(x)), [5.0]);
        assert_eq!(read(four.dense(&Device::flex()))[..2], [8.0, 4.0]);
    }

    #[test]
    fn errors_are_within_half_a_step() {
        for (bits, step) in [(Quantization::Q8_0, 1.0 / 127.0), (Quantization::Q4_0, 1.0 / 8.0)] {
            let dense = read(matrix(bits).dense(&Device::flex()));
            // The other end of 4 bits is a whole step away.
            near(&dense, &values(5 * 96), if bits == Quantization::Q4_0 { step } else { step * 0.51 });
        }
    }

    #[test]
    fn few_rows_and_many_multiply_as_the_dense_matrix_does() {
        for bits in [Quantization::Q8_0, Quantization::Q4_0] {
            let matrix = matrix(bits);
            for n in [1, 2, 7, 8, 9, 30] {
                let x = Tensor::<1>::from_floats(values(n * 96).as_slice(), &Device::flex()).reshape([n, 96]);
                let expected = x.clone().matmul(matrix.dense(&Device::flex()).transpose());
                near(&read(matrix.multiply(x)), &read(expected), 1e-4);
            }
            // More rows than are unpacked at a time, in panels that do not fill the last task, nor the last panel.
            let columns = 352;
            let large = values(150 * columns);
            let large = QuantizedMatrix::new(&large, [150, columns], bits, &Device::flex()).unwrap();
            let x = Tensor::<1>::from_floats(values(100 * columns).as_slice(), &Device::flex());
            let x = x.reshape([100, columns]);
            let expected = x.clone().matmul(large.dense(&Device::flex()).transpose());
            near(&read(large.multiply(x)), &read(expected), 1e-3);
        }
    }

    #[test]
    fn activations_in_8_bits_by_hand() {
        // The matrix has the scales 1 and 2, what it meets 1 and 0.5: there 2.5 becomes 2, and 63.25, which is 126.5 halves,
        // 126 of them.
        let mut w = [0.0; 2 * BLOCK];
        (w[0], w[1]) = (127.0, -3.0);
        (w[BLOCK], w[BLOCK + 1], w[2 * BLOCK - 1]) = (254.0, 10.0, 4.0);
        let mut x = [0.0; 2 * BLOCK];
        (x[0], x[1]) = (127.0, 2.5);
        (x[BLOCK], x[BLOCK + 1], x[2 * BLOCK - 1]) = (63.5, 1.0, -63.25);
        let device = Device::flex();
        let mut matrix = QuantizedMatrix::new(&w, [1, 2 * BLOCK], Quantization::Q8_0, &device).unwrap();
        matrix.set_activations(Activations::EightBits);
        let x = Tensor::<1>::from_floats(x.as_slice(), &device).reshape([1, 2 * BLOCK]);
        let second = 2.0 * 0.5 * (127.0 * 127.0 + 5.0 * 2.0 - 2.0 * 126.0);
        assert_eq!(read(matrix.multiply(x)), [127.0 * 127.0 - 3.0 * 2.0 + second]);
    }

    #[test]
    fn what_is_written_gives_alone_what_it_gives_among_others() {
        for (bits, activations) in [
            (Quantization::Q8_0, Activations::EightBits),
            (Quantization::Q8_0, Activations::Exact),
            (Quantization::Q4_0, Activations::EightBits),
            (Quantization::Q4_0, Activations::Exact),
        ] {
            let mut matrix = matrix(bits);
            matrix.set_activations(activations);
            let values = values(40 * 96);
            let of = |n: usize| {
                let x = Tensor::<1>::from_floats(&values[(40 - n) * 96..], &Device::flex());
                read(matrix.multiply(x.reshape([n, 96])))
            };
            let all = of(40);
            for n in 1..40 {
                assert_eq!(of(n), all[(40 - n) * 5..], "{bits:?} {activations:?} {n}");
            }
        }
    }

    #[test]
    fn activations_in_8_bits_are_off_by_less_than_half_a_step() {
        for bits in [Quantization::Q8_0, Quantization::Q4_0] {
            let exact = matrix(bits);
            let mut eight = exact.clone();
            eight.set_activations(Activations::EightBits);
            let values = values(20 * 96);
            let x = |rows: std::ops::Range<usize>| {
                Tensor::<1>::from_floats(&values[rows.start * 96..rows.end * 96], &Device::flex())
                    .reshape([rows.len(), 96])
            };
            let (all, exact) = (read(eight.multiply(x(0..20))), read(exact.multiply(x(0..20))));
            // Magnitudes are at most 1, so each activation is off by at most 0.5 / 127.
            let dense = read(eight.dense(&Device::flex()));
            let most: Vec<f32> = dense
                .chunks(96)
                .map(|row| row.iter().map(|w| w.abs()).sum::<f32>() * 0.501 / 127.0)
                .collect();
            let within = |i: usize| (all[i] - exact[i]).abs() <= most[i % 5];
            assert!((0..100).all(within), "{bits:?} {all:?} {exact:?}");
            assert!(all != exact);
            for n in [1, 3, 8, 9] {
                assert_eq!(
                    read(eight.multiply(x(2..2 + n))),
                    all[2 * 5..(2 + n) * 5],
                    "a row is what it is alone"
                );
            }
        }
    }

    #[test]
    fn what_is_no_number_is_not_hidden_by_8_bits() {
        let mut matrix = matrix(Quantization::Q8_0);
        matrix.set_activations(Activations::EightBits);
        let mut x = values(96);
        x[40] = f32::NAN;
        let x = Tensor::<1>::from_floats(x.as_slice(), &Device::flex()).reshape([1, 96]);
        assert!(read(matrix.multiply(x)).iter().all(|y| y.is_nan()));
    }

    #[test]
    fn what_was_in_blocks_comes_back_the_same() {
        for bits in [Quantization::Q8_0, Quantization::Q4_0] {
            let once = read(matrix(bits).dense(&Device::flex()));
            let again = QuantizedMatrix::new(&once, SHAPE, bits, &Device::flex()).unwrap();
            assert_eq!(read(again.dense(&Device::flex())), once);
        }
    }

    #[test]
    fn rows_are_looked_up() {
        let matrix = matrix(Quantization::Q4_0);
        let ids = Tensor::<2, Int>::from_ints([[4, 0]], &Device::flex());
        let dense = read(matrix.dense(&Device::flex()));
        assert_eq!(read(matrix.rows(ids)), [&dense[4 * 96..], &dense[..96]].concat());
    }

    #[test]
    fn gradients_pass_through_it() {
        let device = Device::flex().autodiff();
        let matrix = matrix(Quantization::Q8_0);
        for n in [2, 20] {
            let x = Tensor::<1>::from_floats(values(n * 96).as_slice(), &device).reshape([n, 96]);
            let gradient = |y: &dyn Fn(Tensor<2>) -> Tensor<2>| {
                let x = x.clone().detach().require_grad();
                let loss = y(x.clone()).square().sum();
                read(x.grad(&loss.backward()).unwrap())
            };
            let dense = matrix.dense(&device).transpose();
            near(&gradient(&|x| matrix.multiply(x)), &gradient(&|x| x.matmul(dense.clone())), 1e-2);
        }
    }

    #[test]
    fn what_does_not_fit_blocks_is_left_alone() {
        let put =
            |values: &[f32], shape| QuantizedMatrix::new(values, shape, Quantization::Q8_0, &Device::flex());
        assert!(put(&[1.0; 33], [1, 33]).is_none());
        assert!(put(&[f32::NAN; 32], [1, 32]).is_none());
        assert!(put(&[1e30; 32], [1, 32]).is_none());
    }
}
