//! What objectives report beside their loss, added up until it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

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

    /// What a rank tells the others of them: names, sums and weights, whose bits go as they are, whatever they say.
    pub(super) fn told(&self) -> MetricsTold {
        self.0
            .iter()
            .map(|(name, (sum, weight))| (name.to_string(), sum.to_bits(), weight.to_bits()))
            .collect()
    }

    /// Adds what a rank told.
    pub(super) fn hear(&mut self, told: MetricsTold) {
        for (name, sum, weight) in told {
            let (total, weights) = self.0.entry(lasting(&name)).or_default();
            *total += f64::from_bits(sum);
            *weights += f64::from_bits(weight);
        }
    }

    /// Sums and weights, by name.
    pub(super) fn into_sums(self) -> BTreeMap<&'static str, (f64, f64)> {
        self.0
    }

    /// Each sum divided by its weight; not a number where nothing was weighed.
    pub(super) fn means(&self) -> BTreeMap<&'static str, f64> {
        self.0.iter().map(|(&name, &(sum, weight))| (name, sum / weight)).collect()
    }
}

/// Metrics as ranks tell them each other.
pub(super) type MetricsTold = Vec<(String, u64, u64)>;

/// A name that stays, as those of metrics do. Another rank's may not have come up here; there are as many as the code has.
fn lasting(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    match names.get(name) {
        Some(&known) => known,
        None => {
            let new: &'static str = name.to_string().leak();
            names.insert(new);
            new
        }
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

    #[test]
    fn what_ranks_tell_adds_up_whatever_it_is() {
        let (mut own, mut sum) = (Metrics::default(), Metrics::default());
        let metric =
            |sum: f32| Metric { name: "margin", sum: Tensor::full([1], sum, &Device::flex()), weight: 2.0 };
        pollster::block_on(own.add(vec![metric(3.0), metric(4.0)])).unwrap();
        sum.hear(own.told());
        sum.hear(vec![
            ("margin".into(), 5f64.to_bits(), 1f64.to_bits()),
            ("lost".into(), f64::NAN.to_bits(), 0),
        ]);
        let sums = sum.into_sums();
        assert_eq!((sums.len(), sums["margin"]), (2, (12.0, 5.0)));
        assert!(sums["lost"].0.is_nan());
        assert_eq!(lasting("margin").as_ptr(), lasting("margin").as_ptr());
    }
}
