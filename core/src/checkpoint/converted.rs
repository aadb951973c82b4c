//! A checkpoint that is written with another shape or in another type. Its weights are read and written one by one, so
//! that a model of any size converts.

use super::Checkpoint;
use crate::error::Result;
use crate::formats::{FileSink, Files, ShardedWeights, StoredFloat, directory_texts};
use crate::model::{ModelConfig, WeightSource};
use crate::tokenizer::Tokenizer;
use crate::told::Told;

/// The weights that have a row for each token.
pub(super) const TABLES: [&str; 2] = ["model.embed_tokens.weight", "lm_head.weight"];

/// The mask token's row in the tables of tokens, and how many rows belong to the tokens before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaskRow {
    pub(super) row: usize,
    pub(super) tokens: usize,
}

/// A checkpoint that is to be written with another shape or in another type.
pub struct Converted<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    /// The shape.
    pub config: ModelConfig,
    /// The tokenizer, where the checkpoint has one.
    pub tokenizer: Option<Tokenizer>,
    /// What a person should know of what changed.
    pub remarks: Vec<Told>,
    /// What is put in, where the model gets a mask token.
    pub(super) mask: Option<MaskRow>,
}

impl Converted<'_> {
    /// Writes the files of the directory, weights of the type `float` in files of at most `most` bytes. No more is held of
    /// the weights than one of them in f32.
    ///
    /// # Errors
    /// What `sink` says; weights that are missing, damaged or beyond the type.
    pub fn write(&self, float: StoredFloat, most: u64, sink: &mut FileSink) -> Result<()> {
        for (name, bytes) in directory_texts(&self.config, float.name(), self.tokenizer.as_ref())? {
            sink(&name, &bytes)?;
        }
        let weights = ShardedWeights::new(self.config.weight_shapes(), float, most);
        self.checkpoint.with_weights(|read| {
            weights.write(&mut |name, shape, take| self.pieces(read, name, shape, take), sink)
        })
    }

    /// All files at once, the weights in one of them.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn files(&self, float: StoredFloat) -> Result<Files> {
        let mut files = Files::new();
        self.write(float, u64::MAX, &mut |name, bytes| {
            files.entry(name.to_string()).or_default().extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(files)
    }

    /// A weight's values in order, those of the mask token among them.
    fn pieces(
        &self,
        read: &mut WeightSource,
        name: &str,
        shape: &[usize],
        take: &mut dyn FnMut(&[f32]) -> Result<()>,
    ) -> Result<()> {
        let Some(MaskRow { row, tokens }) = self.mask.filter(|_| TABLES.contains(&name)) else {
            return take(&read(name, shape)?);
        };
        let width = self.config.hidden_size;
        let values = read(name, &[self.checkpoint.config.vocab_size, width])?;
        let (before, behind) = values.split_at(row * width);
        take(before)?;
        take(&mean(&values[..tokens * width], width))?;
        // The row that stood there, if there was one, is nobody's.
        take(behind.get(width..).unwrap_or_default())
    }
}

/// The mean of rows.
pub(super) fn mean(values: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; width];
    let mut rows = 0_u32;
    for row in values.chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        rows += 1;
    }
    sums.into_iter().map(|sum| (sum / f64::from(rows.max(1))) as f32).collect()
}
