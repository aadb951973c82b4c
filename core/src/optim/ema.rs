//! An exponential moving average of the weights (Polyak & Juditsky, 1992): what is measured and kept in their place.

use std::collections::HashMap;

use burn::tensor::Tensor;

use crate::model::Transformer;

/// The average of what trains, in f32 beside it.
#[derive(Clone, Debug)]
pub struct Ema {
    decay: f64,
    values: HashMap<String, Tensor<1>>,
}

impl Ema {
    /// An average that begins at the weights as they are.
    pub fn new(model: &Transformer, decay: f64) -> Self {
        Self { decay, values: model.trained().into_iter().collect() }
    }

    /// Takes the weights in after `steps` steps in all: `average ← d · average + (1 − d) · weight`, with `d` from
    /// [`decay_at`].
    pub fn update(&mut self, model: &Transformer, steps: u64) {
        let decay = decay_at(self.decay, steps);
        for (name, weight) in model.trained() {
            if let Some(average) = self.values.get_mut(&name) {
                *average = average.clone() * decay + weight * (1.0 - decay);
            }
        }
    }

    /// The model with the average in place of its weights.
    pub fn model(&self, model: &Transformer) -> Transformer {
        model.clone().with_trained(self.values.clone())
    }

    /// Puts other values in place of the average.
    pub(crate) fn set(&mut self, values: HashMap<String, Tensor<1>>) {
        self.values = values;
    }
}

/// The decay after so many steps, `min(decay, (1 + t) / (10 + t))`: the weights that a run begins with weigh little soon
/// (TensorFlow's `ExponentialMovingAverage`, `torch_ema`).
fn decay_at(decay: f64, steps: u64) -> f64 {
    let t = steps as f64;
    decay.min((1.0 + t) / (10.0 + t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ModelConfig, preset};
    use burn::tensor::Device;

    fn model() -> Transformer {
        let config = ModelConfig {
            hidden_size: 8,
            intermediate_size: 8,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            num_key_value_heads: 2,
            head_dim: 4,
            ..preset("nano").unwrap().config(Some(16))
        };
        Transformer::init(&config, 5, &Device::flex().autodiff()).unwrap()
    }

    /// With this value everywhere.
    fn filled(value: f32) -> Transformer {
        let model = model();
        let values = model.trained().into_iter().map(|(name, tensor)| (name, tensor * 0.0 + value)).collect();
        model.with_trained(values)
    }

    fn value(model: &Transformer) -> f32 {
        let values: Vec<f32> = model
            .trained()
            .into_iter()
            .flat_map(|(_, tensor)| tensor.into_data().iter::<f32>().collect::<Vec<_>>())
            .collect();
        assert!(values.iter().all(|value| *value == values[0]));
        values[0]
    }

    #[test]
    fn three_steps_by_hand() {
        // 2/11 and 3/12 before 0.3 < 4/13: (2 · 1 + 9 · 3) / 11, then a quarter of it and 3/4 · 5, then 0.3 and 0.7 · 7.
        let mut ema = Ema::new(&filled(1.0), 0.3);
        let mut expected = 1.0;
        for (steps, weight, decay) in [(1, 3.0, 2.0 / 11.0), (2, 5.0, 0.25), (3, 7.0, 0.3)] {
            let model = filled(weight);
            ema.update(&model, steps);
            expected = decay * expected + (1.0 - decay) * weight;
            let averaged = ema.model(&model);
            assert!((value(&averaged) - expected).abs() < 1e-5, "{steps}: {expected}");
            assert_eq!(value(&model), weight, "the weights themselves stay");
            assert!(averaged.device().is_autodiff());
        }
        assert!((expected - 6.222_727).abs() < 1e-4, "{expected}");
    }
}
