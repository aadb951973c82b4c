//! Several sources of data, each with a share of the rows that are drawn.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::told::Told;

/// A source as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceShare {
    /// What it is called where it is told of.
    pub name: String,
    /// How much of it is drawn, beside the shares of the others.
    pub share: f64,
    /// The data files that it consists of.
    pub files: usize,
}

/// A source of a mix.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct MixSource {
    /// What it is called where it is told of.
    pub name: String,
    /// Its share of all rows that are drawn: the sum of all is 1.
    pub share: f64,
    /// Its usable rows, which stand behind those of the source before it.
    pub rows: u64,
}

/// Sources with shares, in the order of their rows.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Mix {
    /// The sources.
    pub sources: Vec<MixSource>,
    /// The sum of the shares as they were given.
    pub given: f64,
}

/// The least share of all: below it a pass would be endless.
const LEAST_SHARE: f64 = 1e-6;

impl Mix {
    /// Shares whose sum is 1, of sources whose rows are still to be counted; `None` where nothing has a share.
    ///
    /// # Errors
    /// Shares that are not above 0, and sources that are named twice: all of them.
    pub(super) fn of(shares: &[SourceShare]) -> Result<Option<Self>> {
        let sum: f64 = shares.iter().map(|source| source.share).sum();
        let mut problems: Vec<Told> = Vec::new();
        for (number, SourceShare { name, share, .. }) in shares.iter().enumerate() {
            if !(*share > 0.0 && share.is_finite()) {
                problems.push(format!("{name}: the share is {share}; it must be a number above 0").into());
            } else if share / sum < LEAST_SHARE {
                problems.push(
                    format!("{name}: the share {share} is less than a millionth of all ({sum}); give more, or leave it out").into(),
                );
            }
            if shares[..number].iter().any(|before| before.name == *name) {
                problems
                    .push(format!("{name} is named twice; give it once, with the sum of its shares").into());
            }
        }
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        let source = |source: &SourceShare| MixSource {
            name: source.name.clone(),
            share: source.share / sum,
            rows: 0,
        };
        let mix = Self { sources: shares.iter().map(source).collect(), given: sum };
        Ok((!shares.is_empty()).then_some(mix))
    }

    /// At most so many rows of a source, where all together give `limit`.
    pub(super) fn limit_of(&self, source: usize, limit: u64) -> u64 {
        let share = self.sources.get(source).map_or(1.0, |source| source.share);
        ((limit as f64 * share).round() as u64).max(1)
    }

    /// Refuses a source of which no row is left.
    pub(super) fn check(&self) -> Result<()> {
        match self.sources.iter().find(|source| source.rows == 0) {
            Some(MixSource { name, .. }) => Err(Error::Data(
                format!("{name}: no usable row of this source is left for its share; leave it out, or mend its rows").into(),
            )),
            None => Ok(()),
        }
    }

    /// What the rows are with their shares, where `rows` is what they are alone.
    pub(super) fn fingerprint(&self, rows: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(rows);
        for source in &self.sources {
            hash.update(source.rows.to_le_bytes());
            hash.update(source.share.to_bits().to_le_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The source of a row.
    pub fn of_row(&self, row: u64) -> Option<&MixSource> {
        let mut behind = 0;
        self.sources.iter().find(|source| {
            behind += source.rows;
            row < behind
        })
    }

    /// What a person should know of the shares: that their sum was not 1.
    pub fn remark(&self) -> Option<Told> {
        let taken = || {
            let taken =
                self.sources.iter().map(|source| format!("{} {}", source.name, percent(source.share)));
            taken.collect::<Vec<_>>().join(", ")
        };
        ((self.given - 1.0).abs() > 1e-9).then(|| {
            format!("the shares of --data sum to {}, not 1; they are taken as {}", self.given, taken()).into()
        })
    }
}

/// A share as it is read: `33.3 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let rounded = if percent < 0.1 { percent } else { (percent * 10.0).round() / 10.0 };
    format!("{rounded} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::tests::{rows, source};
    use crate::data::{DataOptions, Dataset};

    fn share(name: &str, share: f64) -> SourceShare {
        SourceShare { name: name.into(), share, files: 1 }
    }

    fn texts(name: &str, count: usize) -> std::sync::Arc<dyn crate::data::Source> {
        let text: String = (0..count).map(|i| format!("{{\"text\": \"{name} {i}\"}}\n")).collect();
        source(&format!("{name}.jsonl"), text)
    }

    #[test]
    fn shares_are_normalised_or_refused_by_name() {
        let mix = Mix::of(&[share("a", 1.4), share("b", 0.6)]).unwrap().unwrap();
        assert_eq!((mix.sources[0].share, mix.sources[1].share), (0.7, 0.3));
        let remark = mix.remark().unwrap();
        assert_eq!(remark, "the shares of --data sum to 2, not 1; they are taken as a 70 %, b 30 %");
        assert_eq!(Mix::of(&[share("a", 0.7), share("b", 0.3)]).unwrap().unwrap().remark(), None);
        assert_eq!(Mix::of(&[]).unwrap(), None);
        let bad =
            [share("zero", 0.0), share("less", -1.0), share("no", f64::NAN), share("all", f64::INFINITY)];
        let message = Mix::of(&bad).unwrap_err().to_string();
        for part in [
            "zero: the share is 0;",
            "less: the share is -1;",
            "no: the share is NaN;",
            "all: the share is inf;",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let twice =
            Mix::of(&[share("a", 0.5), share("a", 0.5), share("tiny", 1e-7)]).unwrap_err().to_string();
        assert!(twice.contains("a is named twice") && twice.contains("tiny: the share 0.0000001"), "{twice}");
        assert_eq!([percent(1.0 / 3.0), percent(0.0005)], ["33.3 %", "0.05 %"]);
    }

    #[test]
    fn sources_of_several_files_are_counted_and_limited_by_their_shares() {
        let open = |limit: Option<u64>, shares: [f64; 2]| {
            let sources = vec![texts("a", 4), texts("b", 3), texts("c", 9)];
            let shares = [
                SourceShare { files: 2, ..share("ab", shares[0]) },
                SourceShare { files: 1, ..share("c", shares[1]) },
            ];
            Dataset::open_mix(sources, &shares, DataOptions { limit, ..DataOptions::default() }).unwrap()
        };
        let whole = open(None, [0.5, 0.5]);
        let counts =
            |data: &Dataset| data.mix().unwrap().sources.iter().map(|source| source.rows).collect::<Vec<_>>();
        assert_eq!((whole.len(), counts(&whole)), (16, vec![7, 9]));
        let of_row = |row: u64| whole.mix().unwrap().of_row(row).map(|source| source.name.as_str());
        assert_eq!([0, 6, 7, 15, 16].map(of_row), [Some("ab"), Some("ab"), Some("c"), Some("c"), None]);
        let few = open(Some(10), [0.6, 0.4]);
        assert_eq!(counts(&few), [6, 4]);
        let shown = rows(&few);
        assert_eq!((shown[5].as_str(), shown[6].as_str()), ("b.jsonl:2 b 1", "c.jsonl:1 c 0"));
        // The shares are a part of what the data is.
        let prints = [whole.fingerprint(), open(None, [0.6, 0.4]).fingerprint(), few.fingerprint()];
        assert!(prints[0] != prints[1] && prints[1] != prints[2]);
        assert_eq!(prints[0], open(None, [1.0, 1.0]).fingerprint());
    }

    #[test]
    fn a_source_without_a_usable_row_is_refused_by_name() {
        let sources = vec![texts("a", 2), source("b.jsonl", "bad\n")];
        let options = DataOptions { skip_bad_rows: true, ..DataOptions::default() };
        let refused = Dataset::open_mix(sources, &[share("a", 0.5), share("b.jsonl", 0.5)], options);
        let message = refused.err().map_or(String::new(), |error| error.to_string());
        assert!(message.starts_with("b.jsonl: no usable row of this source is left"), "{message}");
    }
}
