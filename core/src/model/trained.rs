//! The weights that train, as flat values on their device.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use super::{AtWeight, Path, Transformer};

impl Transformer {
    /// What trains, flat and outside of the graph, by name.
    pub(crate) fn trained(&self) -> Vec<(String, Tensor<1>)> {
        let mut trained = Trained::default();
        self.each_weight(&mut trained);
        trained.0
    }

    /// The same model with these values in place of the weights of their names, which go on training.
    pub(crate) fn with_trained(self, values: HashMap<String, Tensor<1>>) -> Self {
        self.map(&mut Replaced { values, path: Path::default() })
    }
}

#[derive(Default)]
struct Trained(Vec<(String, Tensor<1>)>);

impl AtWeight for Trained {
    fn at<const D: usize>(&mut self, name: String, weight: &Param<Tensor<D>>) {
        if weight.is_require_grad() {
            let weight = weight.val();
            let count = weight.shape().num_elements();
            self.0.push((name, weight.inner().reshape([count])));
        }
    }
}

struct Replaced {
    values: HashMap<String, Tensor<1>>,
    path: Path,
}

impl ModuleMapper for Replaced {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.values.remove(&self.path.name()) else {
            return param;
        };
        param.map(|weight| Tensor::from_inner(values.reshape(weight.shape())).require_grad())
    }
}
