//! Hanging slice code into burn's autodiff graph on the processor.

use std::fmt::Debug;

use burn::tensor::{DType, Shape, Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::NoCheckpointing;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_backend::tensor::FloatTensor;
use burn_flex::{Flex, FlexTensor};

/// The autodiff graph of the processor.
pub(super) type Graph = Autodiff<Flex, NoCheckpointing>;

/// What an operation's backward pass reads of the forward pass; the rest is not kept in memory until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Neither inputs nor output.
    Nothing,
    /// The inputs.
    Inputs,
    /// The output.
    Output,
}

/// An operation on slices: `N` inputs, one output.
pub(super) trait HostOp<const N: usize>: Clone + Send + Debug + 'static {
    /// What [`HostOp::backward`] reads; slices of the rest are empty there.
    const KEPT: Kept;

    /// Computes the output.
    fn forward(&self, inputs: [&[f32]; N]) -> Vec<f32>;

    /// The gradients of the inputs, from what is kept of inputs and output, and the output's gradient.
    fn backward(&self, inputs: [&[f32]; N], output: &[f32], grad: &[f32]) -> [Vec<f32>; N];

    /// The same, where only some are asked for; what the others hold is not read.
    fn backward_of(
        &self,
        _wanted: [bool; N],
        inputs: [&[f32]; N],
        output: &[f32],
        grad: &[f32],
    ) -> [Vec<f32>; N] {
        self.backward(inputs, output, grad)
    }
}

/// A float tensor on the processor, inside the autodiff graph or not.
pub(super) enum Input {
    Graph(FloatTensor<Graph>),
    Plain(FlexTensor),
}

/// The tensor as the slice code takes it; `None` on another device or in another type.
pub(super) fn input<const D: usize>(tensor: &Tensor<D>) -> Option<Input> {
    if tensor.dtype() != DType::F32 {
        return None;
    }
    match tensor.clone().try_into_primitive::<Graph>() {
        Ok(node) => Some(Input::Graph(node)),
        Err(_) => tensor.clone().try_into_primitive::<Flex>().ok().map(Input::Plain),
    }
}

/// A copy of a tensor's values, row by row; `None` on another device or in another type.
pub fn host_values<const D: usize>(tensor: &Tensor<D>) -> Option<Vec<f32>> {
    let values = match input(tensor)? {
        Input::Graph(node) => node.primitive().to_contiguous(),
        Input::Plain(tensor) => tensor.to_contiguous(),
    };
    values.as_slice().map(<[f32]>::to_vec)
}

/// What `f` makes of the values of tensors outside of any graph, in the shape of the first; `None` on another device or in
/// another type.
pub(super) fn on_slices<const N: usize, const D: usize>(
    tensors: [&Tensor<D>; N],
    f: impl FnOnce([&[f32]; N]) -> Vec<f32>,
) -> Option<Tensor<D>> {
    let shape = tensors.first()?.dims();
    let plain = |tensor: &Tensor<D>| match input(tensor)? {
        Input::Plain(tensor) => Some(tensor.to_contiguous()),
        Input::Graph(_) => None,
    };
    let plain: Vec<FlexTensor> = tensors.into_iter().map_while(plain).collect();
    let values = f(slices(&<[FlexTensor; N]>::try_from(plain).ok()?)?);
    Some(Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(values, shape))))
}

/// Runs an operation and, inside the graph, records its backward pass. `None` where the inputs do not stand
/// together.
pub(super) fn run<const N: usize, const D: usize>(
    op: impl HostOp<N>,
    inputs: [Input; N],
    shape: [usize; D],
) -> Option<Tensor<D>> {
    let mut nodes = Vec::new();
    let mut plain = Vec::new();
    for input in inputs {
        match input {
            Input::Graph(node) => nodes.push(node),
            Input::Plain(tensor) => plain.push(tensor.to_contiguous()),
        }
    }
    if let Ok(plain) = <[FlexTensor; N]>::try_from(plain) {
        return Some(Tensor::from_primitive::<Flex>(forward(&op, &plain, shape)?));
    }
    let nodes = <[FloatTensor<Graph>; N]>::try_from(nodes).ok()?;
    let plain = nodes.each_ref().map(|node| node.primitive().to_contiguous());
    let output = forward(&op, &plain, shape)?;
    let guards = nodes.each_ref().map(|node| node.node());
    let recorded = match Recorded(op.clone()).prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(State::new(op, plain, &output), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    };
    Some(Tensor::from_primitive::<Graph>(recorded))
}

fn forward<const N: usize, const D: usize>(
    op: &impl HostOp<N>,
    inputs: &[FlexTensor; N],
    shape: [usize; D],
) -> Option<FlexTensor> {
    Some(FlexTensor::from_data(TensorData::new(op.forward(slices(inputs)?), shape)))
}

/// The values of contiguous tensors.
pub(super) fn slices<const N: usize>(tensors: &[FlexTensor; N]) -> Option<[&[f32]; N]> {
    let slices: Vec<&[f32]> = tensors.iter().map_while(FlexTensor::as_slice).collect();
    slices.try_into().ok()
}

/// The backward step of an operation.
#[derive(Debug)]
struct Recorded<Op>(Op);

/// What it needs of the forward pass.
#[derive(Clone, Debug)]
struct State<Op, const N: usize> {
    op: Op,
    shapes: [Shape; N],
    inputs: Option<[FlexTensor; N]>,
    output: Option<FlexTensor>,
}

impl<Op: HostOp<N>, const N: usize> State<Op, N> {
    fn new(op: Op, inputs: [FlexTensor; N], output: &FlexTensor) -> Self {
        let shapes = inputs.each_ref().map(|input| input.layout().shape().clone());
        let inputs = (Op::KEPT == Kept::Inputs).then_some(inputs);
        let output = (Op::KEPT == Kept::Output).then(|| output.clone());
        Self { op, shapes, inputs, output }
    }
}

impl<Op: HostOp<N>, const N: usize> Backward<Flex, N> for Recorded<Op> {
    type State = State<Op, N>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let State { op, shapes, inputs, output } = ops.state;
        let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
        // All were made contiguous f32 on the way in, so every slice is there.
        let inputs = match &inputs {
            Some(inputs) => slices(inputs),
            None => Some([[].as_slice(); N]),
        };
        let output = match &output {
            Some(output) => output.as_slice(),
            None => Some([].as_slice()),
        };
        let (Some(inputs), Some(output), Some(grad)) = (inputs, output, grad.as_slice()) else { return };
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = op.backward_of(wanted, inputs, output, grad);
        for ((parent, shape), gradient) in ops.parents.into_iter().zip(shapes).zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, FlexTensor::from_data(TensorData::new(gradient, shape)));
            }
        }
    }
}
