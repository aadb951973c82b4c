//! What objectives report beside their loss, added up until it is read.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::loss::Metric;
use crate::model::read;

/// Sums and weights by name.
#[derive(Debug, Default)]
pub(super) struct Metrics(BTreeMap<&'static str, (f64, f64)>);

impl Metrics {
    /// Adds metrics, read back from the device.
    ///
    /// # Errors
    /// The device cannot be read.
    pub(super) async fn add(&mut self, metrics: Vec<Metric>) -> Result<()> {
        for Metric { name, sum, weight } in metrics {
            let value = read(sum).await?.first().copied().map_or(f64::NAN, f64::from);
            let (total, weights) = self.0.entry(name).or_default();
            *total += value;
            *weights += weight;
        }
        Ok(())
    }

    /// Each sum divided by its weight; not a number where nothing was weighed.
    pub(super) fn means(&self) -> BTreeMap<&'static str, f64> {
        self.0.iter().map(|(&name, &(sum, weight))| (name, sum / weight)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tensor};

    #[test]
    fn a_metric_is_the_mean_over_all_its_parts() {
        let metric =
            |name, sum: f32, weight| Metric { name, sum: Tensor::full([1], sum, &Device::flex()), weight };
        let mut metrics = Metrics::default();
        pollster::block_on(metrics.add(vec![metric("margin", 3.0, 2.0), metric("aux", 1.0, 1.0)])).unwrap();
        pollster::block_on(metrics.add(vec![metric("margin", 6.0, 1.0)])).unwrap();
        assert_eq!(metrics.means(), BTreeMap::from([("aux", 1.0), ("margin", 3.0)]));
    }
}
