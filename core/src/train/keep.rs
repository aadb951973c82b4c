//! What a model knew before is kept: rows of it are mixed into every step of a run that teaches something else.

use std::sync::Arc;

use super::{Job, Progress};
use crate::batch::KeptRows;
use crate::data::Dataset;
use crate::told::{Told, told};

impl Job {
    /// The rows that are mixed in; `None` where there are none, or where they have no share.
    pub(super) fn kept_dataset(&self) -> Option<&Arc<Dataset>> {
        self.keep.as_ref().filter(|_| self.config.keep_share > 0.0)
    }

    /// What every step draws from, with the share that the run began with.
    pub(super) fn kept_rows(&self, share: f64) -> Option<KeptRows> {
        let dataset = self.keep.as_ref().filter(|_| share > 0.0)?;
        let config = self.loader_config();
        Some(KeptRows::new(Box::new(self.examples_of(dataset)), config.fit, share, config.seed))
    }

    /// Why no rows can be mixed in: pairs are compared, and a row that is kept is none.
    pub(super) fn keep_problem(&self) -> Option<Told> {
        let pairs = self.content().group() > 1;
        (pairs && self.config.keep_share > 0.0).then(|| {
            told!(
                "train.keep_pairs",
                "--keep-share does not act on pairs of answers, whose reference keeps the model near what it knew; leave it \
                 out, or add --sft-weight"
            )
        })
    }

    /// What a person should know of the rows that are mixed in.
    pub(super) fn keep_remark(&self) -> Option<Told> {
        let dataset = self.kept_dataset()?;
        Some(told!(
            "train.keep",
            "so that the model keeps what it knows, {percent} % of every step are rows of that ({rows} to draw from); \
             --keep-share 0 takes none",
            percent = (100.0 * self.config.keep_share).round(),
            rows = dataset.len()
        ))
    }
}

impl Progress {
    /// Says that a run goes on with other rows to keep than it began with.
    pub(super) fn check_keep(&self, keep: Option<&Dataset>) -> Option<Told> {
        let now = keep.filter(|_| self.config.keep_share > 0.0).map(Dataset::fingerprint);
        match (&self.keep, now) {
            (before, now) if *before == now => None,
            (None, _) => Some(told!(
                "run.keep_begun",
                "the run began without rows to keep, and mixes some in from here on"
            )),
            (Some(_), None) => Some(told!(
                "run.keep_gone",
                "the rows that the run mixed in, so that the model keeps what it knew, are not at hand; it goes on \
                 without them, and not exactly as it would have"
            )),
            (Some(_), Some(_)) => Some(told!(
                "run.keep_other",
                "the rows that the run mixes in, so that the model keeps what it knew, are others now; it does not go on \
                 exactly as it would have"
            )),
        }
    }
}
