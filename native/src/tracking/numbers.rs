//! The names of a run's measures: those of Hugging Face's `Trainer` where it has them, behind `train/` and `eval/`.

use kindling::train::{HeldOut, StepLog};

use crate::commands::doctor::peak_resident;

/// Measures by name.
pub type Numbers = Vec<(String, f64)>;

/// What a report of steps tells.
pub fn of_step(log: &StepLog) -> Numbers {
    let mut all = vec![
        ("loss".to_string(), log.loss),
        ("learning_rate".to_string(), log.lr),
        ("grad_norm".to_string(), log.grad_norm),
        ("num_input_tokens_seen".to_string(), log.tokens as f64),
        ("tokens_per_second".to_string(), log.tokens_per_second),
    ];
    if let Some(scale) = log.loss_scale {
        all.push(("loss_scale".into(), scale.factor));
        all.push(("skipped_steps".into(), scale.skipped as f64));
    }
    all.extend(log.metrics.iter().map(|(name, value)| ((*name).to_string(), *value)));
    for (layer, shares) in log.expert_load.iter().enumerate() {
        let named = |(expert, share): (usize, &f64)| (format!("expert_load/{layer}/{expert}"), *share);
        all.extend(shares.iter().enumerate().map(named));
    }
    let mut all = behind("train", all);
    all.extend(peak_resident().map(|bytes| ("system/peak_memory_bytes".to_string(), bytes as f64)));
    all
}

/// What held-out rows tell.
pub fn of_held_out(held_out: &HeldOut) -> Numbers {
    let mut all = vec![("loss".to_string(), held_out.loss), ("targets".to_string(), held_out.targets as f64)];
    all.extend(held_out.bits_per_byte.map(|bits| ("bits_per_byte".to_string(), bits)));
    all.extend(held_out.metrics.iter().map(|(name, value)| ((*name).to_string(), *value)));
    behind("eval", all)
}

fn behind(group: &str, numbers: Numbers) -> Numbers {
    numbers.into_iter().map(|(name, value)| (format!("{group}/{name}"), value)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kindling::train::LossScale;

    use super::*;

    #[test]
    fn every_measure_has_a_name_of_its_own() {
        let log = StepLog {
            step: 3,
            loss: 2.5,
            lr: 0.001,
            grad_norm: 1.5,
            tokens: 640,
            tokens_per_second: 99.0,
            elapsed_s: 7.0,
            loss_scale: Some(LossScale { factor: 1024.0, good_steps: 2, skipped: 1 }),
            expert_load: vec![vec![1.25, 0.75]],
            metrics: BTreeMap::from([("kd_loss", 0.5)]),
        };
        let mut named = of_step(&log);
        named.retain(|(name, _)| name != "system/peak_memory_bytes");
        let expected = [
            ("train/loss", 2.5),
            ("train/learning_rate", 0.001),
            ("train/grad_norm", 1.5),
            ("train/num_input_tokens_seen", 640.0),
            ("train/tokens_per_second", 99.0),
            ("train/loss_scale", 1024.0),
            ("train/skipped_steps", 1.0),
            ("train/kd_loss", 0.5),
            ("train/expert_load/0/0", 1.25),
            ("train/expert_load/0/1", 0.75),
        ];
        assert_eq!(named, expected.map(|(name, value)| (name.to_string(), value)));
        let held_out = HeldOut {
            loss: 2.0,
            bits_per_byte: Some(0.9),
            targets: 50,
            metrics: BTreeMap::from([("masked_accuracy", 0.25)]),
        };
        let expected = [
            ("eval/loss", 2.0),
            ("eval/targets", 50.0),
            ("eval/bits_per_byte", 0.9),
            ("eval/masked_accuracy", 0.25),
        ];
        assert_eq!(of_held_out(&held_out), expected.map(|(name, value)| (name.to_string(), value)));
    }
}
