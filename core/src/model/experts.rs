//! Routed feed-forward layers: their sizes, and what keeps their gates in balance while they train.

use crate::told::{Told, told};

/// Known models have hundreds of experts a layer; a file may claim more.
const MOST_EXPERTS: usize = 1 << 20;
const MOST_SHARED: usize = 1 << 10;

/// A routed feed-forward layer: of many experts each token gets a few.
#[derive(Clone, Debug, PartialEq)]
pub struct Experts {
    /// Experts of a layer.
    pub count: usize,
    /// Experts of a token.
    pub per_token: usize,
    /// Experts that every token gets besides.
    pub shared: usize,
    /// Width inside each.
    pub intermediate_size: usize,
    /// Whether the weights of a token's experts are divided by their sum. With one expert a token that takes the
    /// gate's gradient away.
    pub normalize: bool,
    /// Which layers are routed; the others are dense.
    pub layers: Vec<bool>,
    /// What training adds to its loss.
    pub balance: Balance,
}

impl Experts {
    /// Weights of one layer of which `experts` count.
    pub(super) fn parameters(&self, hidden: u64, experts: usize) -> u64 {
        3 * hidden * self.intermediate_size as u64 * (experts + self.shared) as u64
            + self.count as u64 * hidden
    }

    /// Width of all experts together that one token meets.
    pub(super) fn active_width(&self) -> usize {
        self.intermediate_size.saturating_mul(self.per_token + self.shared)
    }

    /// Everything that does not hold, as sentences.
    pub(super) fn problems(&self) -> Vec<Told> {
        let mut problems = Vec::new();
        let sizes = [self.count, self.intermediate_size, self.per_token];
        if sizes.iter().any(|&size| size == 0 || size > MOST_EXPERTS) || self.shared > MOST_SHARED {
            problems.push(told!(
                "config.experts",
                "the routed experts' number, width and number a token must be at least 1"
            ));
        }
        if self.per_token > self.count {
            problems.push(told!(
                "config.experts_used",
                "num_experts_per_tok ({used}) is more than num_experts ({experts})",
                used = self.per_token,
                experts = self.count
            ));
        }
        problems.extend(self.balance.problems());
        problems
    }
}

/// What training adds to its loss so that gates use all of their experts, summed over the routed layers. The weights
/// have the names of the published settings; 0 leaves a term out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// Weight of DeepSeek's balance loss, which is 1 where all experts are used alike (MiniMind 1 and 2).
    pub aux_loss_alpha: f64,
    /// Whether that loss is taken of each sequence and averaged, or of all tokens of an optimizer step together.
    pub seq_aux: bool,
    /// Weight of the balance loss of all tokens of a step as MiniMind 3 and Qwen have it, which is the number of experts
    /// a token where all are used alike.
    pub router_aux_loss_coef: f64,
    /// Weight of the mean square of the gate's log-sum-exp, which keeps its logits small.
    pub router_z_loss_coef: f64,
}

impl Default for Balance {
    /// Nothing is added.
    fn default() -> Self {
        Self { aux_loss_alpha: 0.0, seq_aux: true, router_aux_loss_coef: 0.0, router_z_loss_coef: 0.0 }
    }
}

impl Balance {
    /// Weight of DeepSeek's loss of each sequence.
    pub fn of_sequences(&self) -> f64 {
        if self.seq_aux { self.aux_loss_alpha } else { 0.0 }
    }

    /// Weight of the loss of a whole step, by the definition of `router_aux_loss_coef`.
    pub fn of_step(&self, per_token: usize) -> f64 {
        let alpha = if self.seq_aux { 0.0 } else { self.aux_loss_alpha };
        self.router_aux_loss_coef + alpha / per_token as f64
    }

    /// Whether nothing is added.
    pub fn is_none(&self) -> bool {
        self.aux_loss_alpha == 0.0 && self.router_aux_loss_coef == 0.0 && self.router_z_loss_coef == 0.0
    }

    fn problems(&self) -> Vec<Told> {
        let named = [
            ("aux_loss_alpha", self.aux_loss_alpha),
            ("router_aux_loss_coef", self.router_aux_loss_coef),
            ("router_z_loss_coef", self.router_z_loss_coef),
        ];
        let wrong = named.into_iter().filter(|(_, value)| !(value.is_finite() && *value >= 0.0));
        wrong
            .map(|(name, value)| {
                told!("config.balance", "{name} is {value}; it must be 0 or more", name, value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_the_loss_go_to_sequences_or_to_the_step() {
        let balance = Balance { aux_loss_alpha: 0.1, router_aux_loss_coef: 0.01, ..Balance::default() };
        assert_eq!((balance.of_sequences(), balance.of_step(2)), (0.1, 0.01));
        let of_step = Balance { seq_aux: false, ..balance };
        assert_eq!((of_step.of_sequences(), of_step.of_step(2)), (0.0, 0.01 + 0.05));
        assert!(!balance.is_none() && Balance::default().is_none());
        let wrong = Balance { aux_loss_alpha: -1.0, router_z_loss_coef: f64::NAN, ..Balance::default() };
        let told: Vec<String> = wrong.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["aux_loss_alpha is -1; it must be 0 or more", "router_z_loss_coef is NaN; it must be 0 or more"]
        );
    }
}
