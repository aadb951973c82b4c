//! Dynamic loss scaling for f16 (Micikevicius et al., 2018, <https://arxiv.org/abs/1710.03740>), with the constants of
//! PyTorch's `GradScaler`: small gradients, which f16 cannot hold, are lifted, and a step that overflows is left out.

use serde::{Deserialize, Serialize};

use crate::told::{Counted, Told, told};

/// Good steps after which the factor doubles.
const GROWTH_INTERVAL: u64 = 2000;
/// Below it no gradient could still be lifted into f16's range: the model itself is broken.
const LEAST: f64 = 1.0 / 1024.0;

/// The factor and what led to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// What the loss is multiplied by before the backward pass.
    pub factor: f64,
    /// Steps taken since the factor last changed.
    pub good_steps: u64,
    /// Steps that overflowed and were left out.
    pub skipped: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { factor: 65_536.0, good_steps: 0, skipped: 0 }
    }
}

impl LossScale {
    /// Whether a step with this gradient norm is taken; sets the factor of the next one.
    pub fn take(&mut self, grad_norm: f64) -> bool {
        if !grad_norm.is_finite() {
            *self = Self { factor: self.factor / 2.0, good_steps: 0, skipped: self.skipped + 1 };
            return false;
        }
        self.good_steps += 1;
        if self.good_steps == GROWTH_INTERVAL {
            *self = Self { factor: self.factor * 2.0, good_steps: 0, ..*self };
        }
        true
    }

    /// What a person should know of it; nothing where no step was left out.
    pub fn remark(&self) -> Option<Told> {
        let Self { factor, skipped, .. } = self;
        (*skipped > 0).then(|| {
            told!(
                "train.overflow",
                "{skipped} left out because float16 overflowed; loss scale {factor}",
                skipped = Counted::new(*skipped, ["step", "steps"]),
                factor
            )
        })
    }

    /// Whether steps still can be taken.
    pub fn holds(&self) -> bool {
        self.factor >= LEAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_halves_and_a_long_calm_doubles() {
        let mut scale = LossScale::default();
        assert!(scale.take(1.0) && !scale.take(f64::INFINITY) && !scale.take(f64::NAN));
        assert_eq!(scale, LossScale { factor: 16_384.0, good_steps: 0, skipped: 2 });
        let told = "2 steps left out because float16 overflowed; loss scale 16384";
        assert_eq!((scale.remark().as_deref(), LossScale::default().remark()), (Some(told), None));
        assert!((0..1999).all(|_| scale.take(0.5)));
        assert_eq!(scale.factor, 16_384.0);
        assert!(scale.take(0.5));
        assert_eq!(scale, LossScale { factor: 32_768.0, good_steps: 0, skipped: 2 });
    }

    #[test]
    fn endless_overflow_is_no_scaling_problem() {
        let mut scale = LossScale::default();
        let steps = (0..).take_while(|_| !scale.take(f64::NAN) && scale.holds()).count();
        assert_eq!(steps, 26, "2^16 to 2^-10");
    }
}
