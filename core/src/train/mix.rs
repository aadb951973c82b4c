//! Sources with shares: what a pass over them is.

use super::Job;
use crate::data::{Draws, Mix, percent};
use crate::told::Told;

impl Job {
    /// What a person should know of the shares of the data's sources before the run begins.
    pub(super) fn mix_remarks(&self) -> Vec<Told> {
        let split = self.split();
        let Some((mix, draws)) = self.dataset.mix().zip(split.draws()) else { return Vec::new() };
        mix.remark().into_iter().chain([pass_of(mix, draws)]).collect()
    }
}

/// What a pass draws of each source.
fn pass_of(mix: &Mix, draws: &Draws) -> Told {
    let of_source = |(name, rows, drawn): (&str, u64, u64)| {
        let share = mix.sources.iter().find(|source| source.name == name).map_or(0.0, |source| source.share);
        let times = (drawn as f64 / rows.max(1) as f64 * 100.0).round() / 100.0;
        format!("{drawn} of {name} ({}, its {rows} rows {times} times each)", percent(share))
    };
    let sources = draws.counts().map(of_source).collect::<Vec<_>>().join(", ");
    format!(
        "an epoch is as long as the shares need for every row to come at least once: {} rows, {sources}",
        draws.pass()
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MixSource;

    #[test]
    fn a_pass_is_told_by_source() {
        let source = |name: &str, share: f64, rows: u64| MixSource { name: name.into(), share, rows };
        let mix = Mix { sources: vec![source("a", 0.7, 70), source("b", 0.3, 8)], given: 1.0 };
        let draws = Draws::new(&[("a", 70, 0.7), ("b", 8, 0.3)]);
        assert_eq!(
            pass_of(&mix, &draws),
            "an epoch is as long as the shares need for every row to come at least once: 100 rows, 70 of a (70 %, its 70 rows \
             1 times each), 30 of b (30 %, its 8 rows 3.75 times each)"
        );
    }
}
