//! What one pass over rows holds, counted by encoding them as training will.

use std::collections::HashMap;

use super::pack::{NextFit, tokens_of};
use super::{
    ExampleSource, Found, Loader, LoaderConfig, RenderWarnings, count_warnings_of_row, render_remarks,
};
use crate::error::Result;
use crate::platform::{map_in_threads, threads};
use crate::told::{Counted, Told, told};

/// Tokens and pieces of the rows that were looked at, and what is odd about these rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// Rows looked at.
    pub rows: u64,
    /// Pieces of at most a row's length that they give: one a row, more of a long text, none of a row left out.
    pub pieces: u64,
    /// Tokens of all pieces.
    pub tokens: u64,
    /// Tokens of the longest piece.
    pub longest: usize,
    /// Rows that lose their end; texts that go on in another piece are not among them.
    pub cut: u64,
    /// Rows left out: too long, or without anything to learn.
    pub dropped: u64,
    /// Rows that cannot be used and are left out, and why the first cannot.
    pub unusable: (u64, Option<Told>),
    /// What shows where rows are rendered.
    pub warnings: RenderWarnings,
    /// Packed, where a row's examples belong together: which row has how many tokens.
    groups: Vec<(u64, usize)>,
}

impl Survey {
    /// Looks at these rows, on all threads.
    ///
    /// # Errors
    /// Data that cannot be read or encoded.
    pub fn of(source: &dyn ExampleSource, config: &LoaderConfig, rows: &[u64]) -> Result<Self> {
        // Dealt out in turns: the threads then read near each other, where the file's block is at hand.
        let threads = threads().clamp(1, rows.len().max(1));
        let part = |thread: usize| rows.iter().copied().skip(thread).step_by(threads).collect();
        let parts: Vec<Vec<u64>> = (0..threads).map(part).collect();
        let counted = map_in_threads(parts, |rows: Vec<u64>| Self::of_part(source, config, &rows));
        let mut sum = Self::default();
        for part in counted {
            sum.add(part?);
        }
        Ok(sum)
    }

    fn of_part(source: &dyn ExampleSource, config: &LoaderConfig, rows: &[u64]) -> Result<Self> {
        let mut sum = Self::default();
        for &row in rows {
            sum.rows += 1;
            match source.examples(row)? {
                Found::Unusable(reason) => {
                    sum.unusable.0 += 1;
                    sum.unusable.1.get_or_insert(reason);
                }
                Found::Examples(examples) => {
                    count_warnings_of_row(&examples, &mut sum.warnings);
                    match config.fit_all(examples)? {
                        None => sum.dropped += 1,
                        Some((examples, cut)) => {
                            sum.cut += u64::from(cut);
                            if config.packing && source.group() > 1 {
                                sum.groups.push((row, tokens_of(&examples)));
                            }
                            examples.iter().for_each(|example| sum.add_example(example.ids.len(), config));
                        }
                    }
                }
            }
        }
        // Rows that belong together count as one.
        sum.pieces /= source.group() as u64;
        Ok(sum)
    }

    /// Adds the tokens of an example: packed they follow each other, else each piece repeats the last of the one before.
    fn add_example(&mut self, tokens: usize, config: &LoaderConfig) {
        let seq = config.fit.seq_len;
        let pieces = tokens.saturating_sub(1).div_ceil(seq.max(1)).max(1);
        self.pieces += pieces as u64;
        self.tokens += (tokens + if config.packing { 0 } else { pieces - 1 }) as u64;
        self.longest = self.longest.max(tokens.min(seq.saturating_add(1)));
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.pieces += other.pieces;
        self.tokens += other.tokens;
        self.longest = self.longest.max(other.longest);
        self.cut += other.cut;
        self.dropped += other.dropped;
        self.unusable.0 += other.unusable.0;
        self.unusable.1 = self.unusable.1.take().or(other.unusable.1);
        self.groups.extend(other.groups);
        for (kind, count) in other.warnings {
            self.warnings.entry(kind).and_modify(|known| known.rows += count.rows).or_insert(count);
        }
    }

    /// Batches of so many passes of a loader over rows of this kind; exact where all of them were looked at, but for a
    /// last pass that is a part of one and holds rows of other lengths.
    pub fn batches(&self, loader: &Loader, passes: f64) -> f64 {
        let config = loader.config();
        let of_all = |count: f64| count * loader.rows() as f64 / self.rows.max(1) as f64;
        let batches_of = |rows: f64| (rows / config.batch_size as f64).ceil();
        match config.packing {
            true if !self.groups.is_empty() => batches_of(of_all(self.rows_of_groups(loader, passes))),
            // Rows share their border tokens, and passes follow each other in one row.
            true => batches_of((passes * of_all(self.tokens as f64) - 1.0) / config.fit.seq_len as f64),
            false => {
                let (end, pieces) = (loader.walk().end_of(passes), of_all(self.pieces as f64));
                let part = end.position as f64 / loader.rows().max(1) as f64;
                end.epoch as f64 * batches_of(pieces) + batches_of(pieces * part)
            }
        }
    }

    /// Packed rows that the groups fill in the order in which they will come, which decides how much room is left over.
    fn rows_of_groups(&self, loader: &Loader, passes: f64) -> f64 {
        let tokens: HashMap<u64, usize> = self.groups.iter().copied().collect();
        let mut fit = NextFit::new(loader.config().fit.seq_len);
        let known = loader.walk().rows_of(passes).filter_map(|row| tokens.get(&row));
        known.filter(|&&tokens| fit.opens_row(tokens)).count() as f64
    }

    /// Tokens of a piece on average.
    pub fn mean_tokens(&self) -> f64 {
        self.tokens as f64 / self.pieces.max(1) as f64
    }

    /// What a person should know of the rows before they are trained on, a sentence each.
    pub fn remarks(&self) -> Vec<Told> {
        let mut remarks = render_remarks(&self.warnings, |count| count.to_string());
        if let (count @ 1.., Some(first)) = &self.unusable {
            remarks.push(told!(
                "data.unrendered",
                "{count} (the first: {first})",
                count = Counted::new(
                    *count,
                    ["row cannot be rendered and is left out", "rows cannot be rendered and are left out"]
                ),
                first
            ));
        }
        let (cut, dropped) = (self.cut, self.dropped);
        if cut > 0 {
            let words = [
                "row is longer than --max-seq-len and is cut",
                "rows are longer than --max-seq-len and are cut",
            ];
            remarks.push(told!("data.cut", "{cut}", cut = Counted::new(cut, words)));
        }
        if dropped > 0 {
            remarks.push(told!(
                "data.dropped",
                "{dropped} left out: too long, or without anything to learn",
                dropped = Counted::new(dropped, ["row is", "rows are"])
            ));
        }
        let looked_at = Counted::new(self.rows, ["row", "rows"]);
        let of_all = |remark: Told| told!("data.of_rows", "of {looked_at}, {remark}", looked_at, remark);
        remarks.into_iter().map(of_all).collect()
    }
}
