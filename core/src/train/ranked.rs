//! A run of several ranks: what they have to agree about before the first step, what they want between two, and the state of
//! the optimizer that they share.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::listen::next_control;
use super::shard::{is_state, of_all, own_weights, spread};
use super::step::{Step, StepTensors};
use super::{Control, Listener, Run, Snapshot};
use crate::adapter::Fingerprint;
use crate::error::{Error, Result};
use crate::ranks::check_agreement;

/// The longest value that is compared as it is; of longer ones a hash is.
const PLAIN: usize = 200;

impl Run {
    /// Compares settings, data, weights and the optimizer's state with those of all other ranks.
    ///
    /// # Errors
    /// Every difference, with its rank; a device that cannot be read.
    pub(super) async fn agree(&self) -> Result<()> {
        let Some(ranks) = self.ranks.as_deref() else { return Ok(()) };
        let mut all = facts(&self.capture().await?)?;
        let flags = [
            ("the type that it computes in", format!("{:?}", self.model.dtype())),
            ("the step to stop after", format!("{:?}", self.stop_after)),
            ("--shard-optimizer", self.shard_optimizer.to_string()),
        ];
        all.extend(flags.map(|(name, value)| (name.to_string(), value)));
        check_agreement(ranks, &all)
    }

    /// What the listeners of all ranks want: a stop before a pause, a pause before a save. Also whether any of them paused.
    ///
    /// # Errors
    /// Ranks that cannot be reached.
    pub(super) async fn next_control(&self, listener: &mut dyn Listener) -> Result<(Control, bool)> {
        let (wanted, paused) = next_control(listener).await;
        let Some(ranks) = self.ranks.as_deref() else { return Ok((wanted, paused)) };
        let all = ranks.gather(vec![strength(wanted), u8::from(paused)])?;
        let most = |at: usize| all.iter().filter_map(|told| told.get(at)).max().copied().unwrap_or(0);
        let strongest = |control: &Control| strength(*control) == most(0);
        let wanted = [Control::Save, Control::Pause, Control::Stop].into_iter().find(strongest);
        let wanted = wanted.unwrap_or(Control::Continue);
        Ok((wanted, most(1) > 0))
    }

    /// From here on keeps this rank's part of the optimizer's state alone, where that is asked for.
    pub(super) fn shard(&mut self) {
        if let Some(ranks) = self.ranks.as_deref().filter(|_| self.shard_optimizer) {
            self.optimizer.keep(own_weights(&self.model, ranks));
        }
    }

    /// Clips and takes a step.
    ///
    /// # Errors
    /// Of several ranks that share the optimizer's state: a device that cannot be read, ranks that cannot be reached.
    pub(super) async fn take(mut self, step: Step) -> Result<(Self, StepTensors)> {
        let (model, tensors) = step.take(self.model, &mut self.optimizer);
        self.model = match (self.optimizer.own(), self.ranks.as_deref()) {
            (Some(own), Some(ranks)) => spread(own, model, ranks).await?,
            _ => model,
        };
        Ok((self, tensors))
    }

    /// The run as it stands, with the optimizer's state of all ranks.
    ///
    /// # Errors
    /// The device cannot be read; ranks that cannot be reached.
    pub(super) async fn capture(&self) -> Result<Snapshot> {
        let (adapter, copies) = (self.adapter.as_ref(), &self.copies);
        let mut snapshot =
            Snapshot::capture(&self.model, adapter, &self.optimizer, copies, &self.progress).await?;
        if let (Some(_), Some(ranks)) = (self.optimizer.own(), self.ranks.as_deref()) {
            let all = std::mem::take(&mut snapshot.optimizer).into_iter();
            let (own, copies): (Vec<_>, Vec<_>) = all.partition(is_state);
            snapshot.optimizer = of_all(ranks, own, &snapshot.weights)?;
            snapshot.optimizer.extend(copies);
        }
        Ok(snapshot)
    }
}

fn strength(control: Control) -> u8 {
    match control {
        Control::Continue => 0,
        Control::Save => 1,
        Control::Pause => 2,
        Control::Stop => 3,
    }
}

/// All that a run depends on, by name.
fn facts(snapshot: &Snapshot) -> Result<Vec<(String, String)>> {
    let unwritable = |e: serde_json::Error| Error::Data(e.into());
    let mut facts = vec![
        ("the version".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("the model's shape".to_string(), shortened(format!("{:?}", snapshot.model))),
        ("the adapter".to_string(), shortened(format!("{:?}", snapshot.adapter))),
        ("the weights".to_string(), Fingerprint::of(&snapshot.weights).hex().to_string()),
        ("the optimizer's state".to_string(), Fingerprint::of(&snapshot.optimizer).hex().to_string()),
    ];
    let Value::Object(mut progress) = serde_json::to_value(&snapshot.progress).map_err(unwritable)? else {
        return Ok(facts);
    };
    let config = progress.remove("config");
    let settings: Map<String, Value> =
        config.and_then(|config| config.as_object().cloned()).unwrap_or_default();
    facts.extend(
        settings.into_iter().map(|(key, value)| (format!("the setting {key}"), shortened(value.to_string()))),
    );
    let named =
        |(key, value): (String, Value)| (format!("{key} of its progress"), shortened(value.to_string()));
    facts.extend(progress.into_iter().map(named));
    Ok(facts)
}

/// A long value as its hash.
fn shortened(value: String) -> String {
    match value.len() {
        0..=PLAIN => value,
        _ => Sha256::digest(value.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_wish_wins() {
        let order = [Control::Continue, Control::Save, Control::Pause, Control::Stop];
        assert!(order.windows(2).all(|two| strength(two[0]) < strength(two[1])));
    }

    #[test]
    fn a_long_value_is_compared_by_its_hash() {
        let long = "x".repeat(PLAIN + 1);
        assert_eq!(shortened("8".into()), "8");
        assert_eq!(shortened(long.clone()).len(), 32);
        assert_ne!(shortened(long.clone()), shortened(long + "x"));
    }
}
