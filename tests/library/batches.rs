//! Batches of made-up examples: each pass gives everything once, in as many batches as were counted before.

use std::sync::Arc;

use kindling::batch::{
    Batch, Content, Example, ExampleSource, Fit, Found, Loader, LoaderConfig, LoaderState, Survey, TooLong,
};
use kindling::data::{Permutation, RowOrigin};
use kindling::error::Result;

/// Rows of examples of given lengths. The ids of example `m` of row `r` count up from `(group · r + m) · 4096`.
struct Made {
    rows: Vec<Vec<usize>>,
    group: usize,
}

impl ExampleSource for Made {
    fn rows(&self) -> u64 {
        self.rows.len() as u64
    }

    fn examples(&self, row: u64) -> Result<Found> {
        let example = |(member, &length): (usize, &usize)| {
            let first = ((self.group * row as usize + member) * 4096) as u32;
            Example {
                ids: (first..first + length as u32).collect(),
                weights: vec![1.0; length],
                warnings: Vec::new(),
                origin: RowOrigin { source: "made.jsonl".into(), line: row + 1 },
            }
        };
        Ok(Found::Examples(self.rows[row as usize].iter().enumerate().map(example).collect()))
    }

    fn group(&self) -> usize {
        self.group
    }
}

fn texts(lengths: impl Iterator<Item = usize>) -> Arc<Made> {
    Arc::new(Made { rows: lengths.map(|length| vec![length]).collect(), group: 1 })
}

/// Rows of two examples of 2 to 20 tokens each.
fn pairs(rows: usize) -> Arc<Made> {
    let length = |i: usize| 2 + i * i * 7 % 19;
    Arc::new(Made { rows: (0..rows).map(|i| vec![length(i), length(i + 5)]).collect(), group: 2 })
}

fn config(content: Content, seq: usize, batch_size: usize, packing: bool) -> LoaderConfig {
    LoaderConfig { batch_size, fit: Fit::new(content, seq, TooLong::Cut), packing, seed: 3 }
}

fn loader(source: &Arc<Made>, config: &LoaderConfig, endless: bool) -> Loader {
    let rows = source.rows();
    Loader::new(Arc::<Made>::clone(source), config.clone(), Permutation::new(rows, 9, 0), 0..rows, endless)
}

fn survey(source: &Arc<Made>, config: &LoaderConfig) -> Survey {
    Survey::of(&**source, config, &(0..source.rows()).collect::<Vec<_>>()).unwrap()
}

fn all(mut loader: Loader) -> Vec<Batch> {
    let batches = std::iter::from_fn(|| loader.next_batch().unwrap()).collect();
    assert_eq!(loader.next_batch().unwrap(), None, "it stays at its end");
    batches
}

/// The targets that count, sorted.
fn targets(batches: &[Batch]) -> Vec<u32> {
    let of = |batch: &Batch| {
        let weighed = batch.targets.iter().zip(&batch.weights).filter(|(_, weight)| **weight > 0.0);
        weighed.map(|(&target, _)| target).collect::<Vec<_>>()
    };
    let mut targets: Vec<u32> = batches.iter().flat_map(of).collect();
    targets.sort_unstable();
    targets
}

/// Each row's tokens but the first.
fn expected_targets(source: &Made) -> Vec<u32> {
    let of = |(row, lengths): (usize, &Vec<usize>)| {
        let first = (row * 4096) as u32;
        first + 1..first + lengths[0] as u32
    };
    source.rows.iter().enumerate().flat_map(of).collect()
}

/// Saves after every few batches, and goes on from each save as the loader itself does.
fn resumes(make: impl Fn() -> Loader, batches: usize) {
    let mut whole = make();
    let mut saves: Vec<(LoaderState, Vec<Option<Batch>>)> = Vec::new();
    for i in 0..batches {
        if i % 5 == 0 {
            let saved = serde_json::to_string(&whole.state()).unwrap();
            saves.push((serde_json::from_str(&saved).unwrap(), Vec::new()));
        }
        let batch = whole.next_batch().unwrap();
        saves.iter_mut().filter(|(_, next)| next.len() < 7).for_each(|(_, next)| next.push(batch.clone()));
    }
    for (i, (saved, next)) in saves.into_iter().enumerate() {
        let mut resumed = make();
        resumed.restore(saved.clone()).unwrap();
        assert_eq!(resumed.state(), saved, "save {i}");
        for batch in next {
            assert_eq!(resumed.next_batch().unwrap(), batch, "behind save {i}");
        }
    }
}

#[test]
fn a_text_that_is_cut_fills_batches_across_windows_and_texts() {
    // Rows of 8 tokens in batches of 3: the 3000 tokens are far more than a window, and nothing comes out even.
    let source = texts((0..30).map(|i| if i == 7 { 3000 } else { 2 + i * i * 13 % 90 }));
    let config = config(Content::Documents, 8, 3, false);
    let batches = all(loader(&source, &config, false));
    let pieces: usize = source.rows.iter().map(|lengths| (lengths[0] - 1).div_ceil(8)).sum();
    assert_eq!(batches.len(), pieces.div_ceil(3));
    assert!(batches.iter().filter(|batch| batch.batch < 3).count() <= 1, "only the last is short");
    assert_eq!(targets(&batches), expected_targets(&source));
    let endless = || loader(&source, &config, true);
    assert_eq!(survey(&source, &config).batches(&endless(), 1.0), batches.len() as f64);
    resumes(endless, 2 * batches.len() + 9);
}

#[test]
fn examples_that_belong_together_share_a_packed_row() {
    let source = pairs(41);
    let config = config(Content::Conversations, 40, 2, true);
    let batches = all(loader(&source, &config, false));
    let mut met = Vec::new();
    for (i, batch) in batches.iter().enumerate() {
        assert_eq!((batch.group, batch.members, batch.seq), (1, 2, 40));
        assert!(batch.batch == 2 || i + 1 == batches.len());
        for part in batch.split(2) {
            assert_eq!((part.batch, part.members), (1, 2));
            let mut rows: Vec<(u32, u32)> =
                part.segments.iter().zip(&part.inputs).map(|(&segment, &id)| (segment, id / 4096)).collect();
            rows.dedup();
            rows.retain(|(segment, _)| *segment != 0);
            assert!(rows.len().is_multiple_of(2) && rows.len() >= 2);
            for (number, pair) in rows.chunks(2).enumerate() {
                let [(first, chosen), (second, rejected)] = pair else { panic!("{rows:?}") };
                assert_eq!((*first, *second), (2 * number as u32 + 1, 2 * number as u32 + 2));
                assert_eq!((chosen % 2, *rejected), (0, chosen + 1), "the two of one row");
                met.push(chosen / 2);
            }
        }
    }
    let weight: f64 = batches.iter().map(Batch::weight).sum();
    let every: usize = source.rows.iter().flatten().map(|length| length - 1).sum();
    assert_eq!(weight, every as f64, "nothing is cut");
    assert!(batches.iter().any(|batch| batch.segments.contains(&4)), "rows hold several pairs");
    met.sort_unstable();
    assert_eq!(met, (0..41).collect::<Vec<u32>>());
    resumes(|| loader(&source, &config, true), 60);
}

#[test]
fn batches_of_groups_are_counted_in_the_order_in_which_they_come() {
    let source = pairs(41);
    for batch_size in [1, 3] {
        let config = config(Content::Conversations, 40, batch_size, true);
        let counted = survey(&source, &config);
        let once = loader(&source, &config, false);
        assert_eq!(counted.batches(&once, 1.0), all(once).len() as f64);
        for passes in [1.0, 2.0, 2.5] {
            let endless = loader(&source, &config, true);
            let expected = counted.batches(&endless, passes);
            assert_eq!(all(endless.ending_after(passes)).len() as f64, expected, "{passes}");
        }
    }
}

#[test]
fn a_group_longer_than_a_packed_row_is_refused_by_name_or_left_out() {
    let source = Arc::new(Made { rows: vec![vec![5, 6], vec![20, 21], vec![9, 9]], group: 2 });
    let cut = config(Content::Conversations, 31, 2, true);
    let told = "made.jsonl:2: its 2 examples belong together and have 41 tokens, but a packed row holds 32";
    let numbers = [0, 1, 2];
    let counted = Survey::of(&*source, &cut, &numbers).unwrap_err().to_string();
    let read = loader(&source, &cut, false).next_batch().unwrap_err().to_string();
    for message in [counted, read] {
        assert!(message.contains(told) && message.contains("--too-long drop"), "{message}");
    }
    let drop = LoaderConfig { fit: Fit { too_long: TooLong::Drop, ..cut.fit }, ..cut.clone() };
    let mut left = loader(&source, &drop, false);
    let batch = left.next_batch().unwrap().unwrap();
    assert_eq!((batch.batch, left.state().dropped), (1, 1));
    assert_eq!(survey(&source, &drop).dropped, 1);
    // In rows of their own they fit.
    let apart = LoaderConfig { packing: false, ..cut };
    let batches = all(loader(&source, &apart, false));
    assert!(batches.iter().all(|batch| (batch.group, batch.members) == (2, 2)));
    assert_eq!(batches.iter().map(|batch| batch.batch).sum::<usize>(), 6);
}

#[test]
fn a_loader_ends_after_its_passes() {
    let source = texts(std::iter::repeat_n(5, 20));
    for packing in [true, false] {
        let config = config(Content::Conversations, 16, 3, packing);
        let make = |passes: f64| loader(&source, &config, true).ending_after(passes);
        for (passes, rows) in [(0.3, 6), (1.0, 20), (1.5, 30), (2.0, 40)] {
            let batches = all(make(passes));
            let weight: f64 = batches.iter().map(Batch::weight).sum();
            assert_eq!(weight, f64::from(rows * 4), "packing {packing}, {passes} passes");
            let counted = survey(&source, &config).batches(&make(passes), passes);
            assert_eq!(counted, batches.len() as f64, "packing {packing}, {passes} passes");
        }
        assert_eq!(targets(&all(make(1.0))), expected_targets(&source));
        resumes(|| make(1.5), 12);
    }
}
