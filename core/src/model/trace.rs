//! What a forward pass leaves behind beside its logits, where it is asked to.

use burn::tensor::Tensor;

/// Collects what is asked for, layer by layer; by default nothing, and then nothing is kept.
#[derive(Debug, Default)]
pub struct Trace {
    /// The choices of each routed feed-forward layer.
    pub routing: Option<Vec<Routing>>,
    /// What each block gives to the next, `[batch, seq, hidden]`.
    pub hidden: Option<Vec<Tensor<3>>>,
    /// The attention weights of each block, `[batch, heads, queries, keys]`.
    pub attention: Option<Vec<Tensor<4>>>,
}

/// How one layer divided its tokens among its experts.
#[derive(Clone, Debug)]
pub struct Routing {
    /// What the gate says of each expert, differentiable, in f32, `[batch, seq, experts]`.
    pub logits: Tensor<3>,
    /// The gate's softmax over the experts, differentiable, `[batch, seq, experts]`.
    pub probabilities: Tensor<3>,
    /// 1 where an expert was chosen for a token, else 0; without a gradient, `[batch, seq, experts]`.
    pub chosen: Tensor<3>,
}

impl Trace {
    /// Asks for the routing.
    pub fn of_routing() -> Self {
        Self { routing: Some(Vec::new()), ..Self::default() }
    }
}
