//! Which adapters act in this tab, kept over a reload.

use std::cell::RefCell;

use super::fetch::asked;
use super::storage;
use crate::messages::model::AdapterInfo;

/// This tab's key for their names and strengths.
const KEY: &str = "kindling-acting";

/// Adapters that acted before the reload and wait for their model, with their strengths.
pub struct Acting(RefCell<Vec<(String, f64)>>);

impl Acting {
    /// Those that acted when the page was left; none where its address asks for an adapter, which acts alone.
    pub fn load() -> Self {
        let kept = storage::kept_by_tab(KEY).filter(|_| asked("adapter").is_none());
        let kept = kept.and_then(|text| serde_json::from_str(&text).ok());
        Self(RefCell::new(kept.unwrap_or_default()))
    }

    /// Of the adapters of this browser those that are to act again. They wait no longer, nor do those that are gone.
    pub fn take(&self, known: &[AdapterInfo]) -> Vec<AdapterInfo> {
        let mut back = Vec::new();
        self.0.borrow_mut().retain(|(name, strength)| {
            let Some(adapter) = known.iter().find(|adapter| adapter.name == *name) else { return false };
            let fits = adapter.fits && adapter.damaged.is_none();
            if fits {
                back.push(AdapterInfo { active: true, strength: *strength, ..adapter.clone() });
            }
            !fits
        });
        back
    }

    /// Keeps what acts now, and what still waits.
    pub fn keep(&self, known: &[AdapterInfo]) {
        let acts = known.iter().filter(|adapter| adapter.active);
        let acts = acts.map(|adapter| (adapter.name.clone(), adapter.strength));
        let all: Vec<_> = acts.chain(self.0.borrow().iter().cloned()).collect();
        storage::keep_by_tab(KEY, &serde_json::to_string(&all).unwrap_or_default());
    }
}
