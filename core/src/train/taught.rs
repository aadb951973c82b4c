//! A teacher that is asked once: its likeliest tokens at every target, found again by what the example holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::asked::{ask_rows, in_parts, keys, parts_of, rows_of};
use super::{Job, ReferenceTies, Run};
use crate::batch::{Batch, TopTokens};
use crate::error::{Error, Result};
use crate::loss::target_logits;
use crate::model::{ModelConfig, Transformer, read};
use crate::told::{Told, told};

/// What the tokens of a teacher belong to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherTies {
    /// Its weights, the rows, the type that was computed in, and what makes tokens of the rows.
    pub asked: ReferenceTies,
    /// Tokens of each target.
    pub top_k: usize,
    /// Tokens that teacher and student both have.
    pub vocab: usize,
    /// What its logits were divided by.
    pub temperature: f64,
}

impl TeacherTies {
    /// Whether what belongs to these is also that of `ties`. What makes tokens of the rows is a run's own, and stays where it
    /// goes on.
    pub fn are_those_of(&self, ties: &Self, goes_on: bool) -> bool {
        let settings = if goes_on { &self.asked.settings } else { &ties.asked.settings };
        let asked = ReferenceTies { settings: settings.clone(), ..ties.asked.clone() };
        *self == Self { asked, ..ties.clone() }
    }
}

/// The likeliest tokens of a teacher.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherTokens {
    /// What they belong to.
    pub ties: TeacherTies,
    /// Of each example, by a hash of it, those of its targets that count.
    pub known: BTreeMap<u128, TopTokens>,
    /// Whether all examples were asked about.
    pub whole: bool,
}

impl TeacherTokens {
    /// Those of no example yet.
    pub fn unasked(ties: TeacherTies) -> Self {
        Self { ties, known: BTreeMap::new(), whole: false }
    }

    /// Those of a batch's targets, in order.
    ///
    /// # Errors
    /// An example that was not among those that were asked about.
    fn of(&self, batch: &Batch) -> Result<TopTokens> {
        let mut all = TopTokens::new(self.ties.top_k, self.ties.vocab);
        for key in keys(batch) {
            let known = self.known.get(&key).ok_or_else(|| missing(batch))?;
            all.extend(known);
        }
        match all.targets() == batch.targets_counted() {
            true => Ok(all),
            false => Err(missing(batch)),
        }
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> u64 {
        let of = |top: &TopTokens| 4 * (top.ids.len() + top.log_probs.len());
        self.known.values().map(|top| of(top) as u64).sum()
    }
}

fn missing(batch: &Batch) -> Error {
    Error::Checkpoint(told!(
        "taught.missing",
        "what was kept of the teacher lacks one of the rows {rows}: it was read or rendered otherwise when the teacher was asked; \
         remove the run's training/teacher.bin, and begin it again with --overwrite",
        rows = rows_of(batch)
    ))
}

impl Job {
    /// What the tokens of a teacher belong to, whose weights have this fingerprint, beside a student of this shape. `None` where
    /// the teacher is asked in every step.
    ///
    /// # Errors
    /// A tokenizer that cannot be written.
    pub fn teacher_ties(
        &self,
        teacher: &Transformer,
        fingerprint: &str,
        student: &ModelConfig,
    ) -> Result<Option<TeacherTies>> {
        let Some(kept) = self.objective.kept_of_teacher() else { return Ok(None) };
        let asked = ReferenceTies::of(self, fingerprint, teacher.dtype(), &teacher.config().rope_scaling)?;
        let vocab = kept.vocab.min(student.vocab_size);
        Ok(Some(TeacherTies { asked, top_k: kept.top_k, vocab, temperature: kept.temperature }))
    }

    /// Asks a teacher about every target of the data that is not `begun` yet, those that are held out too; `told` hears how
    /// many rows are done, and says whether to go on.
    ///
    /// # Errors
    /// Data that cannot be read or encoded; a device that cannot be read; a logit that is no number.
    pub async fn teacher_tokens(
        &self,
        teacher: &Transformer,
        begun: TeacherTokens,
        told: &mut dyn FnMut(u64) -> bool,
    ) -> Result<TeacherTokens> {
        let teacher = teacher.base();
        let TeacherTokens { ties, mut known, .. } = begun;
        let whole = ask_rows(self, &mut known, told, async |batch: &Batch| -> Result<Vec<TopTokens>> {
            let parts = batch.split(parts_of(&teacher)).into_iter().filter(|part| part.targets_counted() > 0);
            let mut top = TopTokens::new(ties.top_k, ties.vocab);
            for logits in in_parts(&teacher, parts.collect(), target_logits) {
                let [targets, width] = logits.dims();
                for row in read(logits.reshape([targets * width])).await?.chunks(width) {
                    if !top.push(row, ties.temperature) {
                        return Err(not_finite(batch));
                    }
                }
            }
            let mut at = 0;
            let of_example = |targets: usize| {
                at += targets;
                top.of_targets(at - targets..at)
            };
            Ok(targets_of_examples(batch).into_iter().map(of_example).collect())
        });
        let whole = whole.await?;
        Ok(TeacherTokens { ties, known, whole })
    }

    /// What does not stand beside a teacher that is asked once.
    pub(super) fn kept_teacher_problems(&self, student: &ModelConfig) -> Vec<Told> {
        let Some(kept) = self.objective.kept_of_teacher() else { return Vec::new() };
        let (top_k, tokens) = (kept.top_k, kept.vocab.min(student.vocab_size));
        let checks = [
            (
                (1..=tokens).contains(&top_k),
                told!(
                    "taught.top_k",
                    "--teacher-top-k is {top_k}, and the vocabulary has {tokens} tokens; take 1 to that many",
                    top_k,
                    tokens
                ),
            ),
            (
                !self.config.packing,
                told!(
                    "taught.packing",
                    "--packing cuts rows at other places in every pass, and a teacher that is asked once (--teacher-top-k) read \
                     them whole; add --packing false"
                ),
            ),
            (
                self.config.keep_share == 0.0,
                told!(
                    "taught.keep_share",
                    "--keep-share mixes in rows that a teacher which is asked once (--teacher-top-k) has not seen; leave one of \
                     both out"
                ),
            ),
        ];
        checks.into_iter().filter(|(holds, _)| !holds).map(|(_, problem)| problem).collect()
    }
}

/// How many targets count in each example of a batch.
fn targets_of_examples(batch: &Batch) -> Vec<usize> {
    let mut targets = vec![0; batch.examples()];
    for ((&number, &segment), &weight) in
        batch.example_numbers().iter().zip(&batch.segments).zip(&batch.weights)
    {
        if let Some(targets) = targets.get_mut(number as usize) {
            *targets += usize::from(segment != 0 && weight != 0.0);
        }
    }
    targets
}

fn not_finite(batch: &Batch) -> Error {
    Error::Diverged(told!(
        "taught.not_finite",
        "what the teacher says of one of the rows {rows} is no number: the model is damaged, or it lies outside of what its type \
         holds; compute in f32",
        rows = rows_of(batch)
    ))
}

impl Run {
    /// The same run, whose batches bring what was kept of its teacher, those that are held out too.
    #[must_use]
    pub fn with_teacher_tokens(self, known: Arc<TeacherTokens>) -> Self {
        self.bringing(Arc::new(move |batch: &mut Batch| -> Result<()> {
            batch.taught = Some(known.of(batch)?);
            Ok(())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_counted_by_example_and_what_was_not_asked_about_is_named() {
        let mut batch = Batch::new(6);
        batch.push(&[9, 9, 9, 3, 1, 4], &[0.0, 1.0, 1.0, 0.0, 0.0, 0.5], &[1, 1, 1, 2, 2, 2]);
        batch.push(&[3, 1], &[0.0, 0.0], &[1; 2]);
        assert_eq!(targets_of_examples(&batch), [2, 1, 0]);
        let asked =
            ReferenceTies { model: "m".into(), data: "d".into(), dtype: "F32".into(), settings: "s".into() };
        let ties = TeacherTies { asked, top_k: 1, vocab: 4, temperature: 1.0 };
        let mut known = TeacherTokens::unasked(ties);
        // A run that takes another one's place finds its file again.
        let told = known.of(&batch).unwrap_err().to_string();
        assert!(
            told.contains("lacks one of the rows") && told.contains("remove the run's training/"),
            "{told}"
        );
        let mut all = TopTokens::new(1, 4);
        (0..3).for_each(|i| assert!(all.push(&[0.0, i as f32, 0.5, 0.0], 1.0)));
        let mut at = 0;
        for (key, targets) in keys(&batch).into_iter().zip([2, 1, 0]) {
            known.known.insert(key, all.of_targets(at..at + targets));
            at += targets;
        }
        assert_eq!(known.of(&batch).unwrap(), all);
        assert_eq!(known.bytes(), 4 * 3 * (1 + 2));
        let later = ReferenceTies { settings: "t".into(), ..known.ties.asked.clone() };
        let later = TeacherTies { asked: later, ..known.ties.clone() };
        assert!(known.ties.are_those_of(&later, true) && !known.ties.are_those_of(&later, false));
        let warmer = TeacherTies { temperature: 1.5, ..later };
        assert!(!known.ties.are_those_of(&warmer, true));
    }
}
