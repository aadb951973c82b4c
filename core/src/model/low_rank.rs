//! The path that LoRA trains beside a frozen dense layer (Hu et al., 2021, <https://arxiv.org/abs/2106.09685>), and DoRA's,
//! which also sets the length of each output's weights (Liu et al., 2024, <https://arxiv.org/abs/2402.09353>).

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::dropout::DropoutKey;
use crate::kernels::{in_dtype, multiply};

/// Weights that are all zero have no direction: their length is taken for this.
const SHORTEST: f32 = 1e-12;

/// `s·B(A·dropout(x))`: two thin products, so that neither `B·A` nor a gradient of its shape is ever built. With
/// magnitudes `m` the layer's weights `W` become `m/‖W + s·B·A‖ · (W + s·B·A)`, a norm for each output; as in PEFT the
/// norm counts as a constant.
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[in, rank]`.
    pub a: Param<Tensor<2>>,
    /// `[rank, out]`; zeros at the beginning, so that training starts from the base exactly.
    pub b: Param<Tensor<2>>,
    /// `[out]`; `None` for a path without DoRA.
    pub magnitude: Option<Param<Tensor<1>>>,
    /// `alpha / rank`.
    pub scale: f64,
    /// What the difference to the base's output is multiplied by.
    pub strength: f64,
    /// Share of the inputs that training drops.
    pub dropout: f64,
    /// `m/‖W + s·B·A‖`, `[out]`, where nothing trains.
    #[module(skip)]
    fixed: Option<Tensor<1>>,
    /// Which inputs those are; `None` outside of training.
    #[module(skip)]
    pub(super) dropout_key: Option<DropoutKey>,
}

impl LowRank {
    /// A path of full strength whose dropout is off until training switches it on.
    pub fn new(a: Param<Tensor<2>>, b: Param<Tensor<2>>, scale: f64, dropout: f64) -> Self {
        Self { a, b, magnitude: None, scale, strength: 1.0, dropout, fixed: None, dropout_key: None }
    }

    /// The same with this strength.
    pub fn with_strength(self, strength: f64) -> Self {
        Self { strength, ..self }
    }

    /// The same with magnitudes `[out]`, for a layer whose weights `[in, out]` `base` gives in f32 and without a graph.
    /// Where nothing trains, the norm is computed now and never again.
    pub fn with_magnitude(self, magnitude: Param<Tensor<1>>, base: impl FnOnce() -> Tensor<2>) -> Self {
        let trains = magnitude.val().device().is_autodiff();
        let path = Self { magnitude: Some(magnitude), ..self };
        if trains { path } else { path.settled(base) }
    }

    /// The same, whose norm is computed now and never again: it does not train any more.
    pub(super) fn settled(self, base: impl FnOnce() -> Tensor<2>) -> Self {
        Self { fixed: self.factor(base), ..self }
    }

    /// What it adds to the layer's output.
    ///
    /// # Shapes
    /// `x [batch·seq, in]`, the rows of each of `batch` sequences together; `plain`, the products of the inputs with the
    /// layer's own weights, and what `product` gives of others → `[batch·seq, out]`. `base` gives the layer's weights.
    pub(super) fn change(
        &self,
        x: Tensor<2>,
        batch: usize,
        plain: &Tensor<2>,
        product: impl FnOnce(Tensor<2>) -> Tensor<2>,
        base: impl FnOnce() -> Tensor<2>,
    ) -> Tensor<2> {
        let dropped = self.dropout_key.filter(|_| self.dropout > 0.0);
        let x = match dropped {
            Some(key) => key.drop(x, self.dropout, batch),
            None => x,
        };
        let Some(factor) = self.factor(base) else {
            return self.low(x) * (self.scale * self.strength);
        };
        // Taken off in f32: half types hardly tell a factor near 1 from it.
        let beyond = in_dtype(factor.clone() - 1.0, x.dtype()).unsqueeze::<2>();
        let factor = in_dtype(factor, x.dtype()).unsqueeze::<2>();
        let low = self.low(x.clone()) * self.scale;
        // As in PEFT the layer's own weights see the dropped inputs in this difference, too.
        let own = if dropped.is_some() { product(x) } else { plain.clone() };
        let change = own * beyond + low * factor;
        if self.strength == 1.0 { change } else { change * self.strength }
    }

    fn low(&self, x: Tensor<2>) -> Tensor<2> {
        let dtype = x.dtype();
        multiply(multiply(x, in_dtype(self.a.val(), dtype)), in_dtype(self.b.val(), dtype))
    }

    /// `m/‖W + s·B·A‖`, `[out]`.
    fn factor(&self, base: impl FnOnce() -> Tensor<2>) -> Option<Tensor<1>> {
        let magnitude = self.magnitude.as_ref()?.val();
        if let Some(fixed) = &self.fixed {
            return Some(fixed.clone());
        }
        let [a, b] = [&self.a, &self.b].map(|half| without_graph(half.val()));
        let weight = base() + a.matmul(b) * self.scale;
        let [_, outputs] = weight.dims();
        let norm = weight.square().sum_dim(0).sqrt().reshape([outputs]).clamp_min(SHORTEST);
        let norm = if magnitude.device().is_autodiff() { Tensor::from_inner(norm) } else { norm };
        Some(magnitude / norm)
    }
}

/// The same values as a constant, on the device without autodiff.
pub(super) fn without_graph<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() { tensor.inner() } else { tensor }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::model::{Linear, Weight};

    fn parameter<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
        Param::from_data(TensorData::new(values.to_vec(), shape), device)
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-6 * expected.abs().max(1.0), "{found} {expected}");
        }
    }

    /// `W = [[3, 1], [0, 2]]` by rows of outputs, a bias `(10, 20)`, and beside it `s = 2` and `B·A = [[0, 3/2], [1/2, 0]]`:
    /// `W + s·B·A` is `[[3, 4], [1, 2]]`, whose rows have the lengths 5 and √5.
    fn layer(magnitude: Option<[f32; 2]>, device: &Device) -> Linear {
        let weight = Weight::Dense(parameter(&[3.0, 0.0, 1.0, 2.0], [2, 2], device));
        let bias = Some(parameter(&[10.0, 20.0], [2], device));
        let a = parameter(&[0.0, 0.5, 1.5, 0.0], [2, 2], device);
        let b = parameter(&[1.0, 0.0, 0.0, 1.0], [2, 2], device);
        let linear = Linear { weight, bias, lora: Vec::new(), writes: false };
        let path = LowRank::new(a, b, 2.0, 0.0);
        let path = match magnitude {
            Some(m) => {
                path.with_magnitude(parameter(&m, [2], device), || linear.dense(&device.clone().inner()))
            }
            None => path,
        };
        Linear { lora: vec![path], ..linear }
    }

    fn forward(linear: &Linear, x: [f32; 2]) -> Vec<f32> {
        let device = match &linear.weight {
            Weight::Dense(weight) => weight.val().device(),
            Weight::Quantized(_) => Device::flex(),
        };
        values(linear.forward(Tensor::from_data(TensorData::new(x.to_vec(), [1, 1, 2]), &device)))
    }

    #[test]
    fn a_layer_with_magnitudes_by_hand() {
        // x = (1, 2): W + s·B·A gives (11, 5).
        for device in [Device::flex(), Device::flex().autodiff()] {
            close(&forward(&layer(None, &device), [1.0, 2.0]), &[21.0, 25.0]);
            // Magnitudes of 10 and √5 double the first output alone; the bias stays as it is.
            let root = 5.0f32.sqrt();
            let linear = layer(Some([10.0, root]), &device);
            close(&forward(&linear, [1.0, 2.0]), &[32.0, 25.0]);
            // Of half strength half of the difference to the base's output (5, 4) is added.
            let path = linear.lora[0].clone().with_strength(0.5);
            let half = Linear { lora: vec![path], ..linear };
            close(&forward(&half, [1.0, 2.0]), &[10.0 + (22.0 + 5.0) / 2.0, 20.0 + (5.0 + 4.0) / 2.0]);
        }
    }

    #[test]
    fn gradients_by_hand_take_the_norm_as_a_constant() {
        let device = Device::flex().autodiff();
        let linear = layer(Some([10.0, 5.0f32.sqrt()]), &device);
        let x = Tensor::<3>::from_data(TensorData::new(vec![1.0f32, 2.0], [1, 1, 2]), &device);
        let grads = linear.forward(x).sum().backward();
        let path = &linear.lora[0];
        // ∂y/∂m = (W + s·B·A)x / ‖·‖ = (11/5, 5/√5).
        let magnitude = path.magnitude.as_ref().unwrap().val().grad(&grads).unwrap();
        close(&values(magnitude), &[2.2, 5.0f32.sqrt()]);
        // With factors (2, 1) and s = 2: ∂/∂A[i, r] = 2·x_i·Σ_o f_o·B[r, o], ∂/∂B[r, o] = 2·(xA)_r·f_o; xA = (3, 1/2).
        close(&values(path.a.val().grad(&grads).unwrap()), &[4.0, 2.0, 8.0, 4.0]);
        close(&values(path.b.val().grad(&grads).unwrap()), &[12.0, 6.0, 2.0, 1.0]);
    }

    #[test]
    fn a_settled_layer_gives_what_it_gave() {
        let layer = layer(Some([10.0, 5.0f32.sqrt()]), &Device::flex().autodiff());
        let mut settled = layer.valid();
        assert!(settled.lora[0].fixed.is_none());
        settled.settle(&Device::flex());
        close(&values(settled.lora[0].fixed.clone().unwrap()), &[2.0, 1.0]);
        close(&forward(&settled, [1.0, 2.0]), &forward(&layer, [1.0, 2.0]));
    }

    #[test]
    fn weights_of_no_length_give_numbers() {
        let device = Device::flex();
        let zeros = || parameter(&[0.0; 4], [2, 2], &device);
        let linear = Linear { weight: Weight::Dense(zeros()), bias: None, lora: Vec::new(), writes: false };
        let path = LowRank::new(zeros(), zeros(), 1.0, 0.0);
        let path = path.with_magnitude(parameter(&[0.0, 1.0], [2], &device), || linear.dense(&device));
        close(&forward(&Linear { lora: vec![path], ..linear }, [1.0, 2.0]), &[0.0, 0.0]);
    }
}
