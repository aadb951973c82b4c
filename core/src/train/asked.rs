//! The walk over all rows of a run that asks a second model about each of them, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Job;
use crate::batch::{Batch, Loader, LoaderConfig};
use crate::device::is_processor;
use crate::error::Result;
use crate::model::Transformer;
use crate::platform::{breathe, map_in_threads, threads};

/// Asks about every example of a job that is not `known` yet: `ask` gives what is said of those of a batch, in order. `told`
/// hears after each batch how many rows are done, and says whether to go on. Gives whether all examples are known then.
///
/// # Errors
/// Rows that cannot be read or encoded; what `ask` refuses.
pub(super) async fn ask_rows<T>(
    job: &Job,
    known: &mut BTreeMap<u128, T>,
    told: &mut dyn FnMut(u64) -> bool,
    mut ask: impl AsyncFnMut(&Batch) -> Result<Vec<T>>,
) -> Result<bool> {
    let (mut batches, mut rows, mut goes_on) = (kept_rows_of(job), 0, true);
    while let Some(batch) = batches.next_batch()? {
        if !goes_on {
            return Ok(false);
        }
        let keys = keys(&batch);
        if keys.iter().any(|key| !known.contains_key(key)) {
            known.extend(keys.into_iter().zip(ask(&batch).await?));
        }
        rows += (batch.batch / batch.group) as u64;
        goes_on = told(rows);
        breathe().await;
    }
    Ok(true)
}

/// Into how many parts a batch is cut that this model reads.
pub(super) fn parts_of(model: &Transformer) -> usize {
    if is_processor(&model.device()) { threads() } else { 1 }
}

/// What a model says of each part of a batch, which are read at the same time.
pub(super) fn in_parts<T: Send>(
    model: &Transformer,
    parts: Vec<Batch>,
    read: impl Fn(&Transformer, &Batch) -> T + Sync,
) -> Vec<T> {
    let shares = parts.into_iter().map(|part| (part, model.clone())).collect();
    map_in_threads(shares, |(part, model)| read(&model, &part))
}

/// All rows of a job once, not packed: so every example fits that may be trained.
fn kept_rows_of(job: &Job) -> Loader {
    let (split, rows) = (job.split(), job.dataset.len());
    let config = LoaderConfig { packing: false, ..job.loader_config() };
    Loader::new(Arc::new(job.examples()), config, split.order().clone(), 0..rows, false)
}

/// The first rows of a batch, by file and line.
pub(super) fn rows_of(batch: &Batch) -> String {
    batch.origins.iter().take(8).map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// 128 bits of SHA-256 for each example of a batch, over what its log-probability depends on: all tokens up to its last
/// target, and how much each target counts.
pub(super) fn keys(batch: &Batch) -> Vec<u128> {
    let numbers = batch.example_numbers();
    let mut places: Vec<Vec<usize>> = vec![Vec::new(); batch.examples()];
    for (place, (&number, &segment)) in numbers.iter().zip(&batch.segments).enumerate() {
        if segment != 0 {
            places[number as usize].push(place);
        }
    }
    let key = |places: Vec<usize>| {
        let last = places.iter().rposition(|&place| batch.weights[place] != 0.0);
        let mut hash = Sha256::new();
        for &place in &places[..last.map_or(0, |last| last + 1)] {
            let (weight, input) = (batch.weights[place], batch.inputs[place]);
            let target = if weight == 0.0 { 0 } else { batch.targets[place] };
            [input, target, weight.to_bits()].iter().for_each(|number| hash.update(number.to_le_bytes()));
        }
        hash.finalize().iter().take(16).fold(0, |key, byte| (key << 8) | u128::from(*byte))
    };
    places.into_iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_known_whatever_stands_beside_and_behind_it() {
        let (ids, weights) = ([3, 1, 4, 1, 5], [0.0, 0.0, 1.0, 0.5, 0.0]);
        let mut alone = Batch::new(4);
        alone.push(&ids, &weights, &[1; 5]);
        let mut padded = Batch::new(9);
        padded.push(&[9, 9, 9], &[0.0, 1.0, 1.0], &[1; 3]);
        padded.push(&ids, &weights, &[1; 5]);
        let mut packed = Batch::new(9);
        packed.push(
            &[9, 9, 9, 3, 1, 4, 1, 5],
            &[0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.5, 0.0],
            &[1, 1, 1, 2, 2, 2, 2, 2],
        );
        let key = keys(&alone)[0];
        assert_eq!((keys(&padded)[1], keys(&packed)[1]), (key, key));
        assert_eq!(keys(&padded)[0], keys(&packed)[0]);
        for (ids, weights) in [
            ([3, 1, 4, 2, 5], weights),
            ([3, 1, 4, 1, 5], [0.0, 0.0, 1.0, 1.0, 0.0]),
            ([2, 1, 4, 1, 5], weights),
        ] {
            let mut other = Batch::new(4);
            other.push(&ids, &weights, &[1; 5]);
            assert_ne!(keys(&other)[0], key, "{ids:?} {weights:?}");
        }
        let mut behind = Batch::new(4);
        behind.push(&[3, 1, 4, 1, 7], &weights, &[1; 5]);
        assert_eq!(keys(&behind)[0], key, "what stands behind the last target is not looked at");
    }
}
