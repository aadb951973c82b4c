//! How likely continuations are: those of a question together, several questions in a pass.

use super::Sequence;
use crate::error::{Error, Result};
use crate::kernels::token_log_probs;
use crate::model::{Branches, Transformer, read};
use crate::platform::{ENOUGH_TOKENS, MOST_NUMBERS, give_way};
use crate::sample::{Flow, LikelihoodConfig, MaskedScorer, check_ids};
use crate::told::told;

/// Questions in one pass at most: more of them only wait for the longest.
const MOST_ROWS: usize = 16;

/// A model that is asked how likely continuations are.
pub struct ContinuationScorer {
    model: Transformer,
    /// What asks a masked predictor.
    masked: Option<MaskedScorer>,
    most_rows: usize,
}

/// What was judged by one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Questions.
    pub groups: usize,
    /// Tokens that were read.
    pub tokens: usize,
}

impl ContinuationScorer {
    /// Of a model that predicts the next token, exactly; of a masked predictor by hiding parts of the continuation, as
    /// `likelihood` says.
    ///
    /// # Errors
    /// Settings that do not hold.
    pub fn new(model: &Transformer, likelihood: LikelihoodConfig) -> Result<Self> {
        let is_masked = model.config().diffusion.is_some();
        let masked = is_masked.then(|| MaskedScorer::new(model, likelihood)).transpose()?;
        Ok(Self { model: model.settled(), masked, most_rows: MOST_ROWS })
    }

    /// The same with at most so many questions in a pass.
    pub fn with_rows(mut self, rows: usize) -> Self {
        self.most_rows = rows.max(1);
        self
    }

    /// The natural log-likelihood of each sequence's judged ids behind its others, group by group; sequences of a group
    /// should begin alike. `on` is told of every pass and may end it: then nothing is given.
    ///
    /// # Errors
    /// Ids outside the vocabulary, more than the context, a likelihood that is no number, a device that cannot be read.
    pub async fn score(
        &self,
        groups: &[Vec<Sequence>],
        on: &mut dyn FnMut(Judged) -> Flow,
    ) -> Result<Option<Vec<Vec<f64>>>> {
        let mut found = vec![Vec::new(); groups.len()];
        // Long ones first: what does not fit into memory shows at once, and rows of a pass are about as long.
        let mut order: Vec<usize> = (0..groups.len()).collect();
        let longest = |number: &usize| groups[*number].iter().map(|sequence| sequence.ids.len()).max();
        order.sort_by_key(|number| std::cmp::Reverse(longest(number)));
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let (pass, tokens) = match &self.masked {
                Some(masked) => {
                    let number = rest[0];
                    found[number] = self.masked_group(masked, &groups[number], number).await?;
                    (1, groups[number].iter().map(|sequence| sequence.ids.len()).sum::<usize>())
                }
                None => {
                    let rows: Vec<Row> = self.rows(groups, rest)?;
                    let tokens = rows.iter().map(|row| row.branches.len()).sum::<usize>();
                    for (number, values) in rest.iter().zip(self.pass(&rows).await?) {
                        found[*number] = values;
                    }
                    (rows.len(), tokens)
                }
            };
            check_finite(rest[..pass].iter().flat_map(|number| &found[*number]))?;
            rest = &rest[pass..];
            give_way().await;
            if on(Judged { groups: pass, tokens }) == Flow::Stop {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    /// The first groups that are read in one pass, at least one.
    fn rows<'a>(&self, groups: &'a [Vec<Sequence>], order: &[usize]) -> Result<Vec<Row<'a>>> {
        let config = self.model.config();
        let (heads, vocab) = (config.num_attention_heads, config.vocab_size);
        let mut rows: Vec<Row> = Vec::new();
        let (mut longest, mut logits) = (0, 0);
        for &number in order.iter().take(self.most_rows) {
            let row = Row::of(&groups[number], self.model.shares_beginnings());
            for sequence in row.sequences {
                check_ids(&sequence.ids, vocab)?;
            }
            longest = longest.max(row.branches.len());
            logits += row.judged() * vocab;
            let count = rows.len() + 1;
            // Attention scores of a layer, and logits.
            let fits = longest * count <= ENOUGH_TOKENS
                && longest * longest * heads * count <= MOST_NUMBERS
                && logits <= MOST_NUMBERS;
            if count > 1 && !fits {
                break;
            }
            rows.push(row);
        }
        Ok(rows)
    }

    async fn pass(&self, rows: &[Row<'_>]) -> Result<Vec<Vec<f64>>> {
        let len = rows.iter().map(|row| row.branches.len()).max().unwrap_or(0);
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (number, row) in rows.iter().enumerate() {
            for (branch, sequence) in row.sequences.iter().enumerate() {
                let from = sequence.ids.len() - sequence.judged;
                for at in from..sequence.ids.len() {
                    // The token before predicts it.
                    places.push((number * len + row.branches.place(branch, at - 1)) as u32);
                    targets.push(sequence.ids[at]);
                }
            }
        }
        if places.is_empty() {
            return Ok(rows.iter().map(|row| vec![0.0; row.sequences.len()]).collect());
        }
        let branches: Vec<Branches> = rows.iter().map(|row| row.branches.clone()).collect();
        let logits = self.model.forward_branches(&branches, &places);
        let [tokens, vocab] = logits.dims();
        let log_probs = token_log_probs(logits.reshape([1, tokens, vocab]), &targets).reshape([tokens]);
        let mut log_probs = read(log_probs).await?.into_iter();
        let mut sum =
            |sequence: &Sequence| log_probs.by_ref().take(sequence.judged).map(f64::from).sum::<f64>();
        Ok(rows.iter().map(|row| row.sequences.iter().map(&mut sum).collect()).collect())
    }

    /// Choices of a question have the same parts hidden, as far as they are as long.
    async fn masked_group(
        &self,
        scorer: &MaskedScorer,
        group: &[Sequence],
        number: usize,
    ) -> Result<Vec<f64>> {
        let mut values = Vec::with_capacity(group.len());
        for sequence in group {
            // A causal model need not read the last token, a masked predictor needs a place for it.
            let ids = &sequence.ids[sequence.ids.len().saturating_sub(self.model.config().context())..];
            let from = ids.len().saturating_sub(sequence.judged);
            let weights: Vec<f32> = (0..ids.len()).map(|at| if at < from { 0.0 } else { 1.0 }).collect();
            values.push(-scorer.likelihood(ids, &weights, number as u64).await?.nll);
        }
        Ok(values)
    }
}

/// A question in a pass.
struct Row<'a> {
    sequences: &'a [Sequence],
    branches: Branches,
}

impl<'a> Row<'a> {
    fn of(sequences: &'a [Sequence], shared: bool) -> Self {
        // Nothing reads the last token.
        let read: Vec<&[u32]> =
            sequences.iter().map(|sequence| &sequence.ids[..sequence.ids.len() - 1]).collect();
        Self { sequences, branches: Branches::of(&read, shared) }
    }

    fn judged(&self) -> usize {
        self.sequences.iter().map(|sequence| sequence.judged).sum()
    }
}

fn check_finite<'a>(values: impl Iterator<Item = &'a f64>) -> Result<()> {
    match values.into_iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(Error::Model(told!(
            "eval.not_finite",
            "a log-likelihood is not finite: the model rules a token out, or its weights are damaged"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::model::{DiffusionConfig, tiny, tiny_model};
    use crate::sample::Decoder;

    fn sequence(ids: &[u32], judged: usize) -> Sequence {
        Sequence { ids: ids.to_vec(), judged, cut: 0 }
    }

    /// Questions of different lengths: letters, whole choices, openings that differ, one of a single token.
    fn groups() -> Vec<Vec<Sequence>> {
        vec![
            [7, 8, 9].map(|letter| sequence(&[3, 1, 4, 1, 5, letter], 1)).to_vec(),
            vec![sequence(&[2, 7, 1, 8, 2], 3), sequence(&[2, 7, 1], 1), sequence(&[2, 7, 1, 8, 2], 2)],
            vec![sequence(&[6, 4, 9, 9], 2), sequence(&[6, 5, 9, 9], 2)],
            vec![sequence(&[11, 12], 1)],
            vec![sequence(&[21, 22, 23, 24, 25, 26, 27, 28, 29, 30], 9)],
        ]
    }

    async fn alone(model: &Transformer, sequence: &Sequence) -> f64 {
        let score = Decoder::new(model, 32).score(&sequence.ids, None, false).await.unwrap();
        score.logprobs[sequence.ids.len() - sequence.judged..].iter().map(|value| value.unwrap()).sum()
    }

    #[test]
    fn together_equals_one_at_a_time() {
        let model = tiny_model(&Device::flex());
        let expected: Vec<Vec<f64>> = groups()
            .iter()
            .map(|group| group.iter().map(|one| pollster::block_on(alone(&model, one))).collect())
            .collect();
        for rows in [1, 2, 3, 16] {
            let scorer =
                ContinuationScorer::new(&model, LikelihoodConfig::default()).unwrap().with_rows(rows);
            let (mut passes, mut judged) = (0, 0);
            let mut on = |pass: Judged| {
                (passes, judged) = (passes + 1, judged + pass.groups);
                Flow::Continue
            };
            let found = pollster::block_on(scorer.score(&groups(), &mut on)).unwrap().unwrap();
            for (found, expected) in found.concat().iter().zip(expected.concat()) {
                assert!((found - expected).abs() < 1e-4, "{found} and {expected} with {rows} rows");
            }
            assert_eq!((passes, judged), (5_usize.div_ceil(rows), 5));
        }
    }

    #[test]
    fn a_listener_ends_it_and_unknown_ids_are_refused() {
        let model = tiny_model(&Device::flex());
        let scorer = ContinuationScorer::new(&model, LikelihoodConfig::default()).unwrap().with_rows(1);
        let stopped = pollster::block_on(scorer.score(&groups(), &mut |_| Flow::Stop)).unwrap();
        assert_eq!(stopped, None);
        let unknown = [vec![sequence(&[1, 99], 1)]];
        assert!(pollster::block_on(scorer.score(&unknown, &mut |_| Flow::Continue)).is_err());
    }

    #[test]
    fn a_masked_predictor_is_asked_by_its_likelihood() {
        let mut config = tiny(32);
        let diffusion = DiffusionConfig { mask_token_id: 31, block_length: None, shift_logits: false };
        config.diffusion = Some(diffusion);
        let model = Transformer::init(&config, 5, &Device::flex()).unwrap();
        let scorer = ContinuationScorer::new(&model, LikelihoodConfig::default()).unwrap();
        let groups = [vec![sequence(&[3, 1, 4], 1), sequence(&[3, 1, 5], 1)]];
        let found = pollster::block_on(scorer.score(&groups, &mut |_| Flow::Continue)).unwrap().unwrap();
        let masked = MaskedScorer::new(&model, LikelihoodConfig::default()).unwrap();
        let own = pollster::block_on(masked.likelihood(&[3, 1, 5], &[0.0, 0.0, 1.0], 0)).unwrap();
        assert!((found[0][1] + own.nll).abs() < 1e-9);
    }
}
