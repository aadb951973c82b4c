//! Products of rows with a matrix of weights.

use burn::tensor::Tensor;

use super::host::{HostOp, Kept, input, run};
use super::matrix::{Matrix, product};

/// `x·w`.
///
/// # Shapes
/// `x [n, inputs]`, `w [inputs, outputs]` → `[n, outputs]`.
pub fn multiply(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    on_processor(&x, &w, false).unwrap_or_else(|| x.matmul(w))
}

/// `x·wᵀ`.
///
/// # Shapes
/// `x [n, inputs]`, `w [outputs, inputs]` → `[n, outputs]`.
pub fn multiply_transposed(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    on_processor(&x, &w, true).unwrap_or_else(|| x.matmul(w.transpose()))
}

fn on_processor(x: &Tensor<2>, w: &Tensor<2>, transposed: bool) -> Option<Tensor<2>> {
    let ([n, width], shape) = (x.dims(), w.dims());
    let [inputs, outputs] = if transposed { [shape[1], shape[0]] } else { shape };
    assert_eq!(width, inputs, "rows are as wide as the weights' inputs are many");
    let op = Dense { n, inputs, outputs, transposed };
    run(op, [input(x)?, input(w)?], [n, outputs])
}

#[derive(Clone, Debug)]
struct Dense {
    n: usize,
    inputs: usize,
    outputs: usize,
    /// Whether the weights stand `[outputs, inputs]`.
    transposed: bool,
}

impl Dense {
    /// The weights as `[inputs, outputs]`.
    fn weights<'a>(&self, w: &'a [f32]) -> Matrix<'a> {
        match self.transposed {
            true => Matrix::new(w, [self.outputs, self.inputs]).transposed(),
            false => Matrix::new(w, [self.inputs, self.outputs]),
        }
    }
}

impl HostOp<2> for Dense {
    const KEPT: Kept = Kept::Inputs;

    fn forward(&self, [x, w]: [&[f32]; 2]) -> Vec<f32> {
        product(Matrix::new(x, [self.n, self.inputs]), self.weights(w))
    }

    fn backward(&self, inputs: [&[f32]; 2], y: &[f32], grad: &[f32]) -> [Vec<f32>; 2] {
        self.backward_of([true; 2], inputs, y, grad)
    }

    /// `dx = g·wᵀ`, `dw = xᵀ·g`.
    fn backward_of(&self, wanted: [bool; 2], [x, w]: [&[f32]; 2], _y: &[f32], grad: &[f32]) -> [Vec<f32>; 2] {
        let grad = Matrix::new(grad, [self.n, self.outputs]);
        let x = Matrix::new(x, [self.n, self.inputs]);
        let dx = if wanted[0] { product(grad, self.weights(w).transposed()) } else { Vec::new() };
        let dw = match (wanted[1], self.transposed) {
            (true, true) => product(grad.transposed(), x),
            (true, false) => product(x.transposed(), grad),
            (false, _) => Vec::new(),
        };
        [dx, dw]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn numbers(shape: [usize; 2], device: &Device) -> Tensor<2> {
        let values = (0..shape[0] * shape[1]).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn read(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    /// Output and the gradients of both, of a sum of squares.
    fn passes(f: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>, shapes: [[usize; 2]; 2]) -> [Vec<f32>; 3] {
        let device = Device::flex().autodiff();
        let [x, w] = shapes.map(|shape| numbers(shape, &device).require_grad());
        let y = f(x.clone(), w.clone());
        let grads = y.clone().square().sum().backward();
        [y.inner(), x.grad(&grads).unwrap(), w.grad(&grads).unwrap()].map(read)
    }

    #[test]
    fn products_and_gradients_are_burns() {
        for [n, inputs, outputs] in [[1, 5, 3], [7, 16, 9], [40, 33, 70]] {
            let (x, w, turned) = ([n, inputs], [inputs, outputs], [outputs, inputs]);
            assert_eq!(passes(multiply, [x, w]), passes(Tensor::matmul, [x, w]));
            let found = passes(multiply_transposed, [x, turned]);
            let expected = passes(|x, w| x.matmul(w.transpose()), [x, turned]);
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{found} {expected}");
            }
        }
    }

    #[test]
    fn frozen_weights_cost_no_gradient_and_get_none() {
        let device = Device::flex().autodiff();
        let x = numbers([3, 4], &device).require_grad();
        let w = numbers([4, 2], &device);
        let grads = multiply(x.clone(), w.clone()).sum().backward();
        assert!(w.grad(&grads).is_none());
        let sums = read(w.inner().sum_dim(1).transpose());
        assert_eq!(read(x.grad(&grads).unwrap()), sums.repeat(3));
        let op = Dense { n: 1, inputs: 1, outputs: 1, transposed: false };
        assert_eq!(op.backward_of([true, false], [&[2.0], &[3.0]], &[], &[5.0]), [vec![15.0], vec![]]);
    }

    #[test]
    fn other_types_are_multiplied_by_the_backend() {
        let device = Device::flex();
        let double = |shape| numbers(shape, &device).cast(burn::tensor::DType::F64);
        let found = multiply(double([2, 3]), double([3, 2]));
        let expected = multiply(numbers([2, 3], &device), numbers([3, 2], &device));
        assert_eq!(found.dtype(), burn::tensor::DType::F64);
        for (found, expected) in read(found).iter().zip(read(expected)) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
