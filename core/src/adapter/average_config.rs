//! Settings of a mean of adapters or of models.

use serde::{Deserialize, Serialize};

use crate::told::{Told, told};

/// How several adapters, or several models, become one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct AverageConfig {
    /// How much each counts, in the order in which they are named, as 1,1,2 [default: all alike]
    #[cfg_attr(feature = "cli", arg(long, value_delimiter = ','))]
    pub weights: Vec<f64>,
    /// Cut the averaged adapter to this rank, by its leading singular values [default: the sum of the ranks, which is exact]
    #[cfg_attr(feature = "cli", arg(long))]
    pub rank: Option<usize>,
}

impl AverageConfig {
    /// Everything that does not hold for so many adapters or models, as sentences.
    pub fn problems(&self, count: usize) -> Vec<Told> {
        let mut problems = Vec::new();
        if count < 2 {
            problems.push(told!("average.few", "a mean is of two or more; {count} was named", count));
        }
        if !self.weights.is_empty() && self.weights.len() != count {
            problems.push(told!(
                "average.weights",
                "--weights has {weights} numbers for {count} that are averaged; give one for each, or leave it out",
                weights = self.weights.len(),
                count
            ));
        }
        let is_odd = |weight: &&f64| !(weight.is_finite() && **weight > 0.0);
        if let Some(weight) = self.weights.iter().find(is_odd) {
            problems.push(told!(
                "average.weight",
                "--weights holds {weight}; each must be above 0: leave out what should not count",
                weight
            ));
        }
        if let Some(rank) = self.rank.filter(|rank| !(1..=4096).contains(rank)) {
            problems.push(told!("average.rank", "--rank is {rank}; it must be 1 to 4096", rank));
        }
        problems
    }

    /// The shares of so many, which add up to 1.
    pub(crate) fn shares(&self, count: usize) -> Vec<f64> {
        let weights = if self.weights.is_empty() { vec![1.0; count] } else { self.weights.clone() };
        // Divided by the largest first, so that no sum is too large.
        let largest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let sum: f64 = weights.iter().map(|weight| weight / largest).sum();
        weights.iter().map(|weight| weight / largest / sum).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_by_hand_and_all_problems_come_at_once() {
        let shares = |weights: &[f64]| AverageConfig { weights: weights.to_vec(), rank: None }.shares(3);
        assert_eq!(shares(&[1.0, 1.0, 2.0]), [0.25, 0.25, 0.5]);
        assert_eq!(shares(&[]), [1.0 / 3.0; 3]);
        assert_eq!(shares(&[1e308, 1e308, 1e308]), [1.0 / 3.0; 3]);
        let bad = AverageConfig { weights: vec![1.0, -1.0, 2.0], rank: Some(0) };
        let told: Vec<String> = bad.problems(1).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told[2].contains("-1"), "{told:?}");
        assert!(AverageConfig::default().problems(2).is_empty());
    }
}
