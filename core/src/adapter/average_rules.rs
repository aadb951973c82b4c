//! Which adapters have a mean: those of one base, of the same shapes, whose changes add up; and what the mean's settings are.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::whole::{Pair, by_target};
use super::{Adapter, Fingerprint, LoraConfig, Scope, path};
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// The way out where changes do not add up.
const MERGE_FIRST: &str = "merge each into its base with `kindling merge --model BASE --adapter ADAPTER --out MERGED`, and \
                           average the merged models with `kindling merge --average --model MERGED --model OTHER --out DIR`";

/// Refuses what has no mean with any other.
///
/// # Errors
/// DoRA, tensors of the base that were not compared, values that are no numbers.
pub(super) fn refuse_alone(name: &str, adapter: &Adapter) -> Result<()> {
    let refused = |why: Told| Err(Error::Checkpoint(why));
    if adapter.config.lora.dora {
        return refused(told!(
            "average.dora",
            "'{name}' is an adapter with DoRA, which rescales whole rows of the base, so that a mean of several is no adapter; \
             {merge_first}",
            name,
            merge_first = MERGE_FIRST
        ));
    }
    if let Some(copy) = adapter.copies.first() {
        return refused(told!(
            "average.copies",
            "'{name}' brings {tensor} of its own, which nobody compared with the base's; name the base with --model, or save the \
             adapter again with save_pretrained(DIR, save_embedding_layers=False)",
            name,
            tensor = copy.name
        ));
    }
    let mut tensors = adapter.weights.iter().chain(&adapter.start);
    match tensors.find(|tensor| tensor.values.iter().any(|x| !x.is_finite())) {
        Some(tensor) => refused(told!(
            "average.values",
            "'{name}' has values in {tensor} that are no numbers (NaN or infinite), and so would the mean; leave it out",
            name,
            tensor = tensor.name
        )),
        None => adapter
            .check()
            .map_err(|error| Error::Checkpoint(told!("at", "{name}: {why}", name, why = error.told()))),
    }
}

/// The base that all belong to, and its name.
///
/// # Errors
/// Two that are known to belong to different ones.
pub(super) fn same_base(
    adapters: &[(String, Adapter)],
    remarks: &mut Vec<Told>,
) -> Result<(Option<Fingerprint>, Option<String>)> {
    let known: Vec<(&str, &Fingerprint)> = adapters
        .iter()
        .filter_map(|(name, adapter)| Some((name.as_str(), adapter.config.base.as_ref()?)))
        .collect();
    for (index, (second, other)) in known.iter().enumerate() {
        // Some tell more of their base than others, so that each is compared with all.
        for (first, base) in &known[..index] {
            refuse_other((first, base), (second, other))?;
        }
    }
    let told_base = |(_, base): &&(&str, &Fingerprint)| base.reading().is_some();
    let base = known.iter().find(told_base).or(known.first()).map(|(_, base)| (*base).clone());
    let unknown: Vec<&str> = adapters
        .iter()
        .filter(|(_, adapter)| adapter.config.base.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    let names: BTreeSet<&str> =
        adapters.iter().filter_map(|(_, adapter)| adapter.config.base_name.as_deref()).collect();
    if !unknown.is_empty() && names.len() > 1 {
        remarks.push(told!(
            "average.names",
            "'{adapters}' say by a name alone which base they belong to, and the bases are called {names}; they are taken for one",
            adapters = unknown.join("', '"),
            names = names.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    let base_name = adapters.iter().find_map(|(_, adapter)| adapter.config.base_name.clone());
    Ok((base, base_name))
}

fn refuse_other((first, base): (&str, &Fingerprint), (second, other): (&str, &Fingerprint)) -> Result<()> {
    if base.check(other, None).is_ok() {
        return Ok(());
    }
    Err(Error::Checkpoint(match base.hex() == other.hex() {
        false => told!(
            "average.bases",
            "'{first}' belongs to the weights {base} and '{second}' to {other}; adapters of different bases have no mean: \
             average those of one",
            first,
            base = base.short(),
            second,
            other = other.short()
        ),
        true => told!(
            "average.reading",
            "'{first}' and '{second}' belong to the same weights in models that read otherwise, one of them as a masked \
             predictor; they have no mean: average those of one",
            first,
            second
        ),
    }))
}

/// Refuses a path of other sizes than the first one of its layer.
///
/// # Errors
/// Both sizes, `[outputs, inputs]`.
pub(super) fn same_shape(layer: &str, name: &str, first: &Pair, next: &Pair) -> Result<()> {
    let size = |pair: &Pair| [pair.b.shape[0], pair.a.shape[1]];
    if size(first) == size(next) {
        return Ok(());
    }
    Err(Error::Checkpoint(told!(
        "average.shapes",
        "'{name}' changes '{layer}' as a matrix of {own}, the adapters before it as one of {other}; adapters of different \
         bases have no mean: average those of one",
        name,
        layer,
        own = format!("{:?}", size(next)),
        other = format!("{:?}", size(first))
    )))
}

/// Tells which layers an adapter leaves as they are that another one changes.
pub(super) fn tell_missing(
    names: &[&str],
    adapters: &[Cow<'_, Adapter>],
    layers: &[&str],
    remarks: &mut Vec<Told>,
) {
    for (name, adapter) in names.iter().zip(adapters) {
        let has = |layer: &str| adapter.weights.iter().any(|tensor| tensor.name == path(layer, 'a'));
        let missing: BTreeSet<&str> = layers.iter().copied().filter(|layer| !has(layer)).collect();
        if !missing.is_empty() {
            remarks.push(told!(
                "average.missing",
                "'{name}' has no path for {layers}; there it counts as no change",
                name,
                layers = by_target(&missing)
            ));
        }
    }
}

/// A module that not all have whole.
pub(super) fn module_lacking(module: &str, adapter: &str) -> Error {
    Error::Checkpoint(told!(
        "average.module",
        "not all of the adapters have '{module}' whole (modules_to_save): '{adapter}' has not, and what the base has there is \
         not known; {merge_first}",
        module,
        adapter,
        merge_first = MERGE_FIRST
    ))
}

/// Whole modules of different shapes.
pub(super) fn module_shapes(module: &str, adapter: &str, one: &[usize], other: &[usize]) -> Error {
    Error::Checkpoint(told!(
        "average.module_shapes",
        "'{adapter}' has '{module}' whole in the shape {other}, the adapters before it in {one}; adapters of different bases or \
         vocabularies have no mean: average those of one",
        adapter,
        module,
        one = format!("{one:?}"),
        other = format!("{other:?}")
    ))
}

/// The mean's settings: of scale 1 everywhere, for the layers that any of them is for.
pub(super) fn settings(adapters: &[Cow<'_, Adapter>], ranks: &BTreeMap<&str, usize>) -> LoraConfig {
    let all: Vec<&LoraConfig> = adapters.iter().map(|adapter| &adapter.config.lora).collect();
    let rank = ranks.values().max().copied().unwrap_or(1);
    let others = ranks.iter().filter(|(_, own)| **own != rank);
    let others: Vec<(String, usize)> = others.map(|(layer, own)| (layer.replace('.', r"\."), *own)).collect();
    let (targets, scope) = selection(&all, ranks);
    let first = all.first();
    let dropout = first.map(|lora| lora.dropout).filter(|own| all.iter().all(|lora| lora.dropout == *own));
    LoraConfig {
        rank,
        alpha: rank as f64,
        dropout: dropout.unwrap_or_default(),
        targets,
        modules_to_save: first.map(|lora| lora.modules_to_save.clone()).unwrap_or_default(),
        scope: Scope {
            alphas: others.iter().map(|(layer, own)| (layer.clone(), *own as f64)).collect(),
            ranks: others,
            ..scope
        },
        ..LoraConfig::default()
    }
}

/// Which layers have a path: as all of them say it, or as the names of all, or, where patterns differ, one by one.
fn selection(all: &[&LoraConfig], ranks: &BTreeMap<&str, usize>) -> (Vec<String>, Scope) {
    let scope = |lora: &LoraConfig| Scope { ranks: Vec::new(), alphas: Vec::new(), ..lora.scope.clone() };
    let said = |lora: &LoraConfig| {
        let names: BTreeSet<String> = lora.target_names().into_iter().collect();
        (names, scope(lora))
    };
    let Some(first) = all.first().map(|lora| said(lora)) else { return (Vec::new(), Scope::default()) };
    if all.iter().all(|lora| said(lora) == first) {
        return (all.first().map(|lora| lora.target_names()).unwrap_or_default(), first.1);
    }
    if all.iter().all(|lora| scope(lora) == Scope::default()) {
        let names: BTreeSet<String> = all.iter().flat_map(|lora| lora.target_names()).collect();
        return (names.into_iter().collect(), Scope::default());
    }
    (ranks.keys().map(ToString::to_string).collect(), Scope::default())
}
