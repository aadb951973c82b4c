//! Means of whole tensors: of models' weights, and of the modules that adapters have whole.

use std::borrow::Cow;

use super::{Adapter, average_rules as rules, module_path};
use crate::error::Result;
use crate::model::NamedTensor;

/// A weighted mean of tensors that come one after the other. Equal ones have exactly themselves as their mean.
#[derive(Default)]
pub(crate) struct Mean {
    /// The mean so far.
    pub tensor: Option<NamedTensor>,
    weight: f64,
}

impl Mean {
    /// Takes one more of this weight, above 0.
    ///
    /// # Errors
    /// Both shapes, where it has another one than those before.
    pub fn add(
        &mut self,
        next: &NamedTensor,
        weight: f64,
    ) -> std::result::Result<(), (Vec<usize>, Vec<usize>)> {
        self.weight += weight;
        let share = weight / self.weight;
        let Some(mean) = &mut self.tensor else {
            self.tensor = Some(next.clone());
            return Ok(());
        };
        if mean.shape != next.shape {
            return Err((mean.shape.clone(), next.shape.clone()));
        }
        for (mean, &next) in mean.values.iter_mut().zip(&next.values) {
            *mean = (f64::from(*mean) + (f64::from(next) - f64::from(*mean)) * share) as f32;
        }
        Ok(())
    }
}

/// The means of the modules that all adapters have whole.
pub(super) fn of_modules(
    names: &[&str],
    adapters: &[Cow<'_, Adapter>],
    shares: &[f64],
) -> Result<Vec<NamedTensor>> {
    let mut means: Vec<NamedTensor> = Vec::new();
    for (module, _) in adapters.iter().flat_map(|adapter| adapter.modules()) {
        let name = module_path(module);
        if means.iter().any(|mean| mean.name == name) {
            continue;
        }
        let mut mean = Mean::default();
        for ((adapter, own), share) in names.iter().zip(adapters).zip(shares) {
            let found = own.modules().find(|(found, _)| *found == module);
            let tensor =
                found.map(|(_, tensor)| tensor).ok_or_else(|| rules::module_lacking(module, adapter))?;
            mean.add(tensor, *share)
                .map_err(|(one, other)| rules::module_shapes(module, adapter, &one, &other))?;
        }
        means.extend(mean.tensor);
    }
    Ok(means)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_grows_by_hand_and_other_shapes_are_refused() {
        let tensor = |values: &[f32]| NamedTensor {
            name: "x".into(),
            shape: vec![values.len()],
            values: values.to_vec(),
        };
        let mut mean = Mean::default();
        // (2·1 + 1·4 + 3·0.5) / 6 and (2·0.1 + 0.1 + 3·0.1) / 6
        for (values, weight) in [([1.0, 0.1], 2.0), ([4.0, 0.1], 1.0), ([0.5, 0.1], 3.0)] {
            mean.add(&tensor(&values), weight).unwrap();
        }
        assert_eq!(mean.add(&tensor(&[1.0]), 1.0), Err((vec![2], vec![1])));
        let found = mean.tensor.unwrap().values;
        assert!((found[0] - 1.25).abs() < 1e-6, "{found:?}");
        assert_eq!(found[1], 0.1, "what is equal stays as it is");
    }
}
