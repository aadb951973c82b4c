//! Whether all ranks have the same settings, data and weights: a run of two that differ would learn nonsense in silence.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Ranks;
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// Characters of a value that are shown.
const SHOWN: usize = 60;

/// What every rank tells, in the order of their numbers.
///
/// # Errors
/// Ranks that cannot be reached, or that tell something else.
pub fn gather_told<T: Serialize + DeserializeOwned>(ranks: &dyn Ranks, own: &T) -> Result<Vec<T>> {
    let unreadable =
        |e: serde_json::Error| Error::Data(format!("what a rank told cannot be read: {e}").into());
    let told = ranks.gather(serde_json::to_vec(own).map_err(unreadable)?)?;
    told.iter().map(|bytes| serde_json::from_slice(bytes).map_err(unreadable)).collect()
}

/// Compares facts, names with values, with those of all other ranks. All ranks come to the same result.
///
/// # Errors
/// Every fact in which a rank differs from rank 0; ranks that cannot be reached.
pub fn check_agreement(ranks: &dyn Ranks, own: &[(String, String)]) -> Result<()> {
    let all = gather_told(ranks, &own.to_vec())?;
    let Some((first, others)) = all.split_first() else { return Ok(()) };
    let problems: Vec<Told> =
        (1..).zip(others).flat_map(|(rank, other)| differences(rank, first, other)).collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Error::Config(problems)),
    }
}

/// A sentence for each fact that is another one, or that only one of them has.
fn differences(rank: usize, first: &[(String, String)], other: &[(String, String)]) -> Vec<Told> {
    const NONE: &str = "nothing";
    let value = |facts: &[(String, String)], name: &str| {
        let found = facts.iter().find(|(own, _)| own == name);
        found.map_or(NONE.to_string(), |(_, value)| value.clone())
    };
    let more = other.iter().filter(|(name, _)| first.iter().all(|(known, _)| known != name));
    let names = first.iter().chain(more).map(|(name, _)| name);
    let pairs = names.map(|name| (name, value(first, name), value(other, name)));
    let differing = pairs.filter(|(_, first, other)| first != other);
    let sentence = |(name, first, other): (&String, String, String)| {
        told!(
            "ranks.differ",
            "rank {rank} differs from rank 0 in {name}: {other} and not {first}; all ranks need the same command, files and \
             version",
            rank,
            name = name.clone(),
            other = shown(&other),
            first = shown(&first)
        )
    };
    differing.map(sentence).collect()
}

fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::mirror::Mirror;

    fn facts(facts: &[(&str, &str)]) -> Vec<(String, String)> {
        facts.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn every_difference_is_told_with_its_rank() {
        let first = facts(&[("weights", "ab"), ("data", "cd"), ("seed", "1")]);
        let other = facts(&[("weights", "ab"), ("data", "ef"), ("steps", &"9".repeat(70))]);
        let told: Vec<String> = differences(2, &first, &other).iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("rank 2 differs from rank 0 in data: ef and not cd;"), "{told:?}");
        assert!(told[1].starts_with("rank 2 differs from rank 0 in seed: nothing and not 1;"), "{told:?}");
        assert!(told[2].contains(&format!("in steps: {}… and not nothing;", "9".repeat(60))), "{told:?}");
        assert!(differences(1, &first, &first).is_empty());
        check_agreement(&Mirror, &first).unwrap();
    }
}
