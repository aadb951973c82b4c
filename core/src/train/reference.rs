//! A reference that is asked once: its log-probability of every example, found again by what the example holds, so that
//! neither order nor packing matters.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::DType;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::asked::{ask_rows, in_parts, keys, parts_of, rows_of};
use super::{BatchSource, Job, Pending, Run};
use crate::batch::{Batch, LoaderState};
use crate::error::{Error, Result};
use crate::loss::sequence_log_probs;
use crate::model::{RopeScaling, Transformer, read};
use crate::told::told;

/// What log-probabilities belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceTies {
    /// The fingerprint of the weights that gave them.
    pub model: String,
    /// The fingerprint of the rows.
    pub data: String,
    /// The type that was computed in.
    pub dtype: String,
    /// A hash of what makes tokens of the rows (tokenizer, template, date and lengths), and of how their positions are
    /// stretched.
    pub settings: String,
}

impl ReferenceTies {
    /// Those of a run that begins; `model` is the fingerprint of what it begins with, `rope` how its positions are stretched.
    ///
    /// # Errors
    /// A tokenizer that cannot be written.
    pub fn of(job: &Job, model: &str, dtype: DType, rope: &RopeScaling) -> Result<Self> {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (name, bytes) in job.tokenizer.to_files()? {
            part(name.as_bytes());
            part(&bytes);
        }
        part(job.printed_date().unwrap_or_default().as_bytes());
        let (config, prompt) = (&job.config, job.objective.longest_prompt());
        part(format!("{} {:?} {prompt}", config.max_seq_len, config.too_long).as_bytes());
        if *rope != RopeScaling::Default {
            part(format!("{rope:?}").as_bytes());
        }
        let settings = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let data = job.dataset.fingerprint();
        Ok(Self { model: model.to_string(), data, dtype: format!("{dtype:?}"), settings })
    }
}

/// Log-probabilities of examples under a reference.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceLogProbs {
    /// What they belong to.
    pub ties: ReferenceTies,
    /// The sum over an example's weighed targets in nats, by a hash of the example.
    pub known: BTreeMap<u128, f32>,
    /// Whether all examples were asked about.
    pub whole: bool,
}

impl ReferenceLogProbs {
    /// Those of no example yet.
    pub fn unasked(ties: ReferenceTies) -> Self {
        Self { ties, known: BTreeMap::new(), whole: false }
    }

    /// Refuses those of another model or other rows; what makes tokens of the rows is a run's own, and stays.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, ties: &ReferenceTies) -> Result<()> {
        let short = |hash: &str| hash.get(..12).unwrap_or(hash).to_string();
        let own = &self.ties;
        let differs = if own.model != ties.model {
            told!(
                "reference.other_model",
                "the weights {theirs}, and this run began with {own}",
                theirs = short(&own.model),
                own = short(&ties.model)
            )
        } else if own.data != ties.data {
            told!("reference.other_data", "other rows than these")
        } else if own.dtype != ties.dtype {
            told!(
                "reference.other_dtype",
                "a model that computes in {theirs}, and this run computes in {own}",
                theirs = own.dtype,
                own = ties.dtype
            )
        } else {
            return Ok(());
        };
        Err(Error::Checkpoint(told!(
            "reference.other",
            "the cached log-probabilities of the reference are those of {differs}; give the run what it began with, or begin \
             it again with --overwrite, which computes them anew",
            differs
        )))
    }

    /// Those of a batch's examples, in order.
    ///
    /// # Errors
    /// An example that was not among those that were computed.
    fn of(&self, batch: &Batch) -> Result<Vec<f32>> {
        let known = |key: u128| {
            self.known.get(&key).copied().ok_or_else(|| {
                Error::Checkpoint(told!(
                    "reference.missing",
                    "the cached log-probabilities of the reference lack one of the rows {rows}: it was read or rendered \
                     otherwise when they were computed; remove the run's training/reference.bin, and begin it again with \
                     --overwrite",
                    rows = rows_of(batch)
                ))
            })
        };
        keys(batch).into_iter().map(known).collect()
    }
}

impl Job {
    /// Asks a model for every example of the data that is not `begun` yet, those that are held out too; `told` hears how many
    /// rows are done, and says whether to go on.
    ///
    /// # Errors
    /// Data that cannot be read or encoded; a device that cannot be read; a log-probability that is no number.
    pub async fn reference_log_probs(
        &self,
        model: &Transformer,
        begun: ReferenceLogProbs,
        told: &mut dyn FnMut(u64) -> bool,
    ) -> Result<ReferenceLogProbs> {
        let model = model.base();
        let ReferenceLogProbs { ties, mut known, .. } = begun;
        let whole = ask_rows(self, &mut known, told, async |batch: &Batch| -> Result<Vec<f32>> {
            let mut values = Vec::with_capacity(batch.examples());
            for sum in in_parts(&model, batch.split(parts_of(&model)), sequence_log_probs) {
                values.extend(read(sum).await?);
            }
            match values.iter().all(|value| value.is_finite()) {
                true => Ok(values),
                false => Err(not_finite(batch)),
            }
        });
        let whole = whole.await?;
        Ok(ReferenceLogProbs { ties, known, whole })
    }
}

fn not_finite(batch: &Batch) -> Error {
    Error::Diverged(told!(
        "reference.not_finite",
        "the reference's log-probability of one of the rows {rows} is no number: the model is damaged, or they lie outside of \
         what its type holds; compute in f32",
        rows = rows_of(batch)
    ))
}

/// Adds to a batch what is known of its examples.
pub(super) type Adding = Arc<dyn Fn(&mut Batch) -> Result<()>>;

/// Batches with what was known of their examples before.
struct Bringing {
    batches: Box<dyn BatchSource>,
    add: Adding,
}

impl BatchSource for Bringing {
    fn next<'a>(&'a mut self, model: &'a Transformer) -> Pending<'a, Option<Batch>> {
        Box::pin(async {
            let Some(mut batch) = self.batches.next(model).await? else { return Ok(None) };
            (self.add)(&mut batch)?;
            Ok(Some(batch))
        })
    }

    fn state(&self) -> LoaderState {
        self.batches.state()
    }

    fn ended(&mut self) -> bool {
        self.batches.ended()
    }
}

impl Run {
    /// The same run, whose batches bring the reference's log-probabilities, those that are held out too.
    #[must_use]
    pub fn with_reference(self, known: Arc<ReferenceLogProbs>) -> Self {
        self.bringing(Arc::new(move |batch: &mut Batch| -> Result<()> {
            batch.reference = known.of(batch)?;
            Ok(())
        }))
    }

    /// The same run, to each of whose batches something is added, those that are held out too.
    pub(super) fn bringing(mut self, add: Adding) -> Self {
        let with = |batches: Box<dyn BatchSource>, add: &Adding| -> Box<dyn BatchSource> {
            Box::new(Bringing { batches, add: Arc::clone(add) })
        };
        self.batches = with(self.batches, &add);
        if let Some(held_out) = self.held_out.take() {
            self.held_out = Some(Box::new(move || with(held_out(), &add)));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ties() -> ReferenceTies {
        let text = |text: &str| text.to_string();
        ReferenceTies { model: text("m"), data: text("d"), dtype: text("F32"), settings: text("s") }
    }

    #[test]
    fn what_belongs_to_others_or_is_missing_is_refused_by_name() {
        let known = ReferenceLogProbs::unasked(ties());
        known.check(&ReferenceTies { settings: "other".into(), ..ties() }).unwrap();
        for (other, part) in [
            (ReferenceTies { model: "n".into(), ..ties() }, "the weights m, and this run began with n"),
            (ReferenceTies { data: "e".into(), ..ties() }, "other rows than these"),
            (
                ReferenceTies { dtype: "BF16".into(), ..ties() },
                "computes in F32, and this run computes in BF16",
            ),
        ] {
            let told = known.check(&other).unwrap_err().to_string();
            assert!(told.contains(part) && told.contains("--overwrite"), "{told}");
        }
        let mut batch = Batch::new(2);
        batch.push(&[1, 2], &[0.0, 1.0], &[1, 1]);
        let told = known.of(&batch).unwrap_err().to_string();
        assert!(
            told.contains("lack one of the rows") && told.contains("remove the run's training/"),
            "{told}"
        );
    }
}
