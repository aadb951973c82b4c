//! What the weights of an adapter are called in a model's walk over its weights.

use crate::model::NamedTensor;

/// Between a layer's name and a half's: of the path that trains, and of the one that takes its start away.
const TRAINED: &str = ".lora.0.";
pub(super) const START: &str = ".lora.1.";

/// The modules that an adapter may have whole, by the last parts of their names.
pub(super) const MODULES: [&str; 2] = [EMBEDDING, HEAD];
pub(super) const EMBEDDING: &str = "embed_tokens";
pub(super) const HEAD: &str = "lm_head";
/// Before their names.
const SAVED: &str = "saved.";

/// The name of one half of a layer's path, where training has one adapter.
pub(crate) fn path(layer: &str, half: char) -> String {
    format!("{layer}{TRAINED}{half}")
}

/// The same of a layer's magnitudes.
pub(crate) fn magnitude_path(layer: &str) -> String {
    format!("{layer}{TRAINED}magnitude")
}

/// Parts weights from those that their paths began with, which get their names.
pub(super) fn part(weights: Vec<NamedTensor>) -> (Vec<NamedTensor>, Vec<NamedTensor>) {
    let (start, weights): (Vec<_>, Vec<_>) = weights.into_iter().partition(|w| w.name.contains(START));
    let renamed = |w: NamedTensor| NamedTensor { name: w.name.replace(START, TRAINED), ..w };
    (weights, start.into_iter().map(renamed).collect())
}

/// The name that a half has beside the path that takes its start away.
pub(super) fn of_start(name: &str) -> String {
    name.replace(TRAINED, START)
}

/// One of [`MODULES`] as PEFT's settings may have it.
pub(crate) fn known_module(name: &str) -> Option<&'static str> {
    let last = name.strip_prefix("model.").unwrap_or(name);
    MODULES.into_iter().find(|known| *known == last)
}

/// The name of such a module's weight.
pub(crate) fn module_path(module: &str) -> String {
    format!("{SAVED}{module}")
}

/// The module whose whole weight this is.
pub(crate) fn whole_module(name: &str) -> Option<&'static str> {
    known_module(name.strip_prefix(SAVED)?)
}
