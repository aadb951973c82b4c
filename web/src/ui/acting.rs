//! Which adapters act in this tab, kept over a reload.

use std::cell::RefCell;

use super::fetch::asked;
use super::storage;
use crate::messages::model::AdapterInfo;

/// This tab's key for them and their strengths.
const KEY: &str = "kindling-acting";

/// Adapters that acted before the reload and wait for their model: when each was made, which no other shares (names go to
/// others once they are free), and its strength.
pub struct Acting(RefCell<Vec<(f64, f64)>>);

impl Acting {
    /// Those that acted when the page was left; none where its address asks for an adapter, which acts alone.
    pub fn load() -> Self {
        let kept = storage::kept_by_tab(KEY).filter(|_| asked("adapter").is_none());
        let kept = kept.and_then(|text| serde_json::from_str(&text).ok());
        Self(RefCell::new(kept.unwrap_or_default()))
    }

    /// Whether any waits.
    pub fn waits(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    /// Switches those of the adapters of this browser on that are to act again, and gives their names. They wait no longer,
    /// nor do those that are gone.
    pub fn wake(&self, known: &mut [AdapterInfo]) -> Vec<String> {
        let mut woken = Vec::new();
        self.0.borrow_mut().retain(|&(made, strength)| {
            let Some(adapter) = known.iter_mut().find(|adapter| adapter.made == made) else { return false };
            let fits = adapter.fits && adapter.damaged.is_none();
            if fits {
                (adapter.active, adapter.strength) = (true, strength);
                woken.push(adapter.name.clone());
            }
            !fits
        });
        woken
    }

    /// Keeps what acts now, and what still waits.
    pub fn keep(&self, known: &[AdapterInfo]) {
        let acts = known.iter().filter(|adapter| adapter.active);
        let acts = acts.map(|adapter| (adapter.made, adapter.strength));
        let all: Vec<_> = acts.chain(self.0.borrow().iter().copied()).collect();
        storage::keep_by_tab(KEY, &serde_json::to_string(&all).unwrap_or_default());
    }
}
