//! A model's weights by their Hugging Face names, on the host.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::init::transpose;
use super::{Quantized, Transformer, Weight};
use crate::error::{Error, Result};
use crate::kernels::QuantizedMatrix;
use crate::told::told;

/// One weight, row by row, in the Hugging Face orientation (matrices `[out, in]`).
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The name in checkpoints.
    pub name: String,
    /// The shape in checkpoints.
    pub shape: Vec<usize>,
    /// The values, row by row.
    pub values: Vec<f32>,
}

impl Transformer {
    /// Reads all weights back from the device, adapters aside; those in few bits as the numbers that they stand for.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn weights(&self) -> Result<Vec<NamedTensor>> {
        let mut weights = self.read_back(|name| !is_adapters(name)).await?;
        for (name, matrix) in self.quantized() {
            weights.push(self.unpacked(name, &matrix).await?);
        }
        Ok(weights)
    }

    /// Reads one weight back, by its name in checkpoints; `None` where the model has none of this name.
    ///
    /// # Errors
    /// The device cannot be read.
    pub async fn weight(&self, name: &str) -> Result<Option<NamedTensor>> {
        let mut collector = Collector::default();
        self.each_weight(&mut collector);
        if let Some((name, dims, tensor)) = collector.found.into_iter().find(|(found, ..)| found == name) {
            return Ok(Some(to_named(name, &dims, read(tensor).await?)));
        }
        let Some((name, matrix)) = self.quantized().into_iter().find(|(found, _)| found == name) else {
            return Ok(None);
        };
        self.unpacked(name, &matrix).await.map(Some)
    }

    /// The numbers that a matrix in few bits stands for.
    async fn unpacked(&self, name: String, matrix: &QuantizedMatrix) -> Result<NamedTensor> {
        let [rows, columns] = matrix.shape();
        let values = read(matrix.dense(&self.device().inner()).reshape([rows * columns])).await?;
        Ok(NamedTensor { name, shape: vec![rows, columns], values })
    }

    /// Names and shapes of all weights as checkpoints have them, adapters aside.
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut collector = Collector::default();
        self.each_weight(&mut collector);
        let own = collector.found.into_iter().filter(|(name, ..)| !is_adapters(name));
        let own = own.map(|(name, mut dims, _)| {
            if dims.len() == 2 && is_linear(&name) {
                dims.reverse();
            }
            (name, dims)
        });
        own.chain(self.quantized().into_iter().map(|(name, matrix)| (name, matrix.shape().to_vec())))
            .collect()
    }

    /// Whether matrices are held in few bits.
    pub fn is_quantized(&self) -> bool {
        !self.quantized().is_empty()
    }

    /// How much less memory the weights take than in f32, in bytes.
    pub fn bytes_saved(&self) -> u64 {
        // Few rows are filled up to eight, which may take more than they save.
        let saved = |matrix: &QuantizedMatrix| {
            (4 * matrix.shape().iter().product::<usize>()).saturating_sub(matrix.bytes())
        };
        self.quantized().iter().map(|(_, matrix)| saved(matrix) as u64).sum()
    }

    /// The matrices in few bits.
    fn quantized(&self) -> Vec<(String, QuantizedMatrix)> {
        let found = |(name, weight): (String, &Weight)| match weight {
            Weight::Quantized(Quantized { matrix }) => Some((format!("{name}.weight"), matrix.clone())),
            Weight::Dense(_) => None,
        };
        let table = ("model.embed_tokens".to_string(), &self.model.embed_tokens.weight);
        let mut all: Vec<_> = found(table).into_iter().collect();
        let mut copy = self.clone();
        all.extend(copy.linears_mut().into_iter().filter_map(|(name, linear)| found((name, &linear.weight))));
        all
    }

    /// Reads the attached adapters' weights back, by their path: `<layer>.lora.<adapter>.a`, `.b` and `.magnitude`,
    /// `saved.embed_tokens` and `saved.lm_head`.
    ///
    /// # Errors
    /// The device cannot be read.
    pub(crate) async fn adapter_weights(&self) -> Result<Vec<NamedTensor>> {
        self.read_back(is_adapters).await
    }

    async fn read_back(&self, wanted: fn(&str) -> bool) -> Result<Vec<NamedTensor>> {
        let mut collector = Collector::default();
        self.each_weight(&mut collector);
        let mut weights = Vec::with_capacity(collector.found.len());
        for (name, dims, tensor) in collector.found.into_iter().filter(|(name, ..)| wanted(name)) {
            weights.push(to_named(name, &dims, read(tensor).await?));
        }
        Ok(weights)
    }
}

/// Reads a flat tensor.
///
/// # Errors
/// The device cannot be read.
pub(crate) async fn read(tensor: Tensor<1>) -> Result<Vec<f32>> {
    let data = tensor.into_data_async().await;
    let data = data.map_err(|e| {
        Error::Device(told!("device.unreadable", "the device could not be read: {e}", e = format!("{e:?}")))
    })?;
    Ok(data.iter::<f32>().collect())
}

/// Turns a parameter's own layout into the checkpoint's: dense layers are stored `[in, out]`.
pub(crate) fn to_named(name: String, dims: &[usize], values: Vec<f32>) -> NamedTensor {
    match dims {
        [inputs, outputs] if is_linear(&name) => {
            let values = transpose(&values, *inputs, *outputs);
            NamedTensor { name, shape: vec![*outputs, *inputs], values }
        }
        _ => NamedTensor { name, shape: dims.to_vec(), values },
    }
}

/// The other way: checkpoint values into the parameter's layout.
pub(crate) fn from_named(tensor: &NamedTensor) -> Vec<f32> {
    match tensor.shape.as_slice() {
        [outputs, inputs] if is_linear(&tensor.name) => transpose(&tensor.values, *outputs, *inputs),
        _ => tensor.values.clone(),
    }
}

/// Whether a weight is a matrix that is stored `[in, out]`.
pub(crate) fn is_linear(name: &str) -> bool {
    name.ends_with("_proj.weight")
        || name.ends_with(".gate.weight")
        || ["lm_head.weight", "saved.lm_head"].contains(&name)
        || (name.contains(".lora.") && !name.ends_with(".magnitude"))
}

/// Whether a weight is an adapter's: of a low-rank path, or of a module of its own.
fn is_adapters(name: &str) -> bool {
    name.contains(".lora.") || name.starts_with("saved.")
}

/// Whether a matrix stands inside a layer and is no router.
pub(crate) fn is_of_layer(name: &str) -> bool {
    name.starts_with("model.layers.") && name.ends_with("_proj.weight") && !is_adapters(name)
}

/// Walks over parameters and keeps their dotted path.
#[derive(Default)]
pub(crate) struct Path(Vec<String>);

impl Path {
    /// Enters a field; an enum's variant has no place in the names of checkpoints.
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.push(name.to_string());
        }
    }

    pub(crate) fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.pop();
        }
    }

    pub(crate) fn name(&self) -> String {
        self.0.join(".")
    }
}

/// What a walk over a model's weights does at each of them.
pub(crate) trait AtWeight {
    /// A weight in its own layout, by its dotted path.
    fn at<const D: usize>(&mut self, name: String, weight: &Param<Tensor<D>>);
}

impl Transformer {
    /// Walks over all weights, in the order in which the model holds them.
    pub(crate) fn each_weight(&self, at: &mut impl AtWeight) {
        self.visit(&mut WeightVisitor { path: Path::default(), at });
    }
}

struct WeightVisitor<'a, A> {
    path: Path,
    at: &'a mut A,
}

impl<A: AtWeight> ModuleVisitor for WeightVisitor<'_, A> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.exit(container);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.at.at(self.path.name(), param);
    }
}

/// Names, shapes in the model's own layout, and flat values without a graph.
#[derive(Default)]
struct Collector {
    found: Vec<(String, Vec<usize>, Tensor<1>)>,
}

impl AtWeight for Collector {
    fn at<const D: usize>(&mut self, name: String, weight: &Param<Tensor<D>>) {
        let tensor = weight.val();
        let dims = tensor.dims().to_vec();
        let count = dims.iter().product::<usize>();
        let tensor = if tensor.device().is_autodiff() { tensor.inner() } else { tensor };
        self.found.push((name, dims, tensor.reshape([count])));
    }
}
