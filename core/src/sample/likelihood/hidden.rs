//! Which tokens of an answer are hidden, draw by draw: exactly as many as the draw says, spread evenly over a batch of draws.

use crate::random::Random;

/// Draws whose numbers of hidden tokens are spread evenly (LLaDA's batch size).
const SPREAD: usize = 16;

/// What a draw hides.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Hidden {
    /// The places of the hidden tokens in the text, ascending.
    pub places: Vec<usize>,
    /// What the loss of each is divided by: the share of its part that is hidden.
    pub shares: Vec<f64>,
}

/// How many of `length` tokens each of `draws` draws hides, beginning with `first` of them (1 to `length`):
/// `((round(linspace(k, k + (b − 1)·L / b, b)) − 1) mod L) + 1`, as LLaDA's `get_log_likelihood.py`
/// (<https://github.com/ML-GSAI/LLaDA>).
fn hidden_counts(first: usize, length: usize, draws: usize) -> Vec<usize> {
    let count = |draw: usize| {
        let even = first as f64 + (draw * length) as f64 / draws as f64;
        // PyTorch rounds halves to even.
        (even.round_ties_even() as usize).saturating_sub(1) % length.max(1) + 1
    };
    (0..draws).map(count).collect()
}

/// How many draws each batch has: as many as are spread together, or nearly.
pub(super) fn batches(draws: usize) -> Vec<usize> {
    let batches = draws.div_ceil(SPREAD);
    (0..batches).map(|batch| draws / batches + usize::from(batch < draws % batches)).collect()
}

/// What a batch of draws hides in the parts of an answer, each of which is hidden by its own count.
pub(super) fn draw(parts: &[Vec<usize>], draws: usize, random: &mut Random) -> Vec<Hidden> {
    let mut hidden = vec![Hidden::default(); draws];
    for part in parts {
        let first = 1 + random.below(part.len() as u64) as usize;
        for (hidden, count) in hidden.iter_mut().zip(hidden_counts(first, part.len(), draws)) {
            let mut places = part.clone();
            random.shuffle(&mut places);
            places.truncate(count);
            places.sort_unstable();
            hidden.places.extend(places);
            hidden.shares.extend(std::iter::repeat_n(count as f64 / part.len() as f64, count));
        }
    }
    hidden
}

/// The parts of an answer: its places by the block of the text that holds them, or all of them where there are no blocks.
pub(super) fn parts(answer: &[usize], block: Option<usize>) -> Vec<Vec<usize>> {
    let block = |place: &usize| block.map_or(0, |block| place / block.max(1));
    answer.chunk_by(|a, b| block(a) == block(b)).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_spread_over_the_whole_answer() {
        // 3, 5.5, 8, 10.5: halves go to the even number, and 10 of 10 is followed by 1.
        assert_eq!(hidden_counts(3, 10, 4), [3, 6, 8, 10]);
        assert_eq!(hidden_counts(9, 10, 4), [9, 2, 4, 6]);
        assert_eq!(hidden_counts(1, 1, 16), [1; 16]);
        // As many draws as tokens: every count once.
        let mut counts = hidden_counts(5, 16, 16);
        counts.sort_unstable();
        assert_eq!(counts, (1..=16).collect::<Vec<_>>());
    }

    #[test]
    fn counts_are_those_of_llada() {
        let golden = include_str!("../../../../tests/golden/diffusion/likelihood.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let rows = golden["counts"].as_array().unwrap();
        assert!(rows.len() > 50, "{}", rows.len());
        for row in rows {
            let number = |key: &str| row[key].as_u64().unwrap() as usize;
            let found = hidden_counts(number("first"), number("length"), number("draws"));
            assert_eq!(serde_json::json!(found), row["counts"], "{row}");
        }
    }

    #[test]
    fn a_draw_hides_as_many_as_it_says_of_the_answer_alone() {
        let answer = [3, 4, 5, 8, 9];
        let draws = draw(&parts(&answer, None), 16, &mut Random::new(1, 0));
        assert_eq!(draws.len(), 16);
        for Hidden { places, shares } in &draws {
            assert!(places.iter().all(|place| answer.contains(place)));
            assert!(places.windows(2).all(|two| two[0] < two[1]), "no place twice");
            assert!(shares.iter().all(|share| (share - places.len() as f64 / 5.0).abs() < 1e-12));
        }
        let total: usize = draws.iter().map(|hidden| hidden.places.len()).sum();
        // The mean of 1 to 5 is 3; rounding moves a batch's by less than a token.
        assert!((total as f64 / 16.0 - 3.0).abs() < 0.5, "{total}");
    }

    #[test]
    fn each_block_of_a_text_is_hidden_by_its_own_count() {
        assert_eq!(parts(&[1, 2, 3, 4, 7], Some(3)), [vec![1, 2], vec![3, 4], vec![7]]);
        assert_eq!(parts(&[1, 2, 3], None), [[1, 2, 3]]);
        assert!(parts(&[], Some(3)).is_empty() && parts(&[], None).is_empty());
        for hidden in draw(&parts(&[1, 2, 3], Some(1)), 4, &mut Random::new(1, 0)) {
            assert_eq!(hidden, Hidden { places: vec![1, 2, 3], shares: vec![1.0; 3] });
        }
    }

    #[test]
    fn batches_are_of_sixteen_or_nearly() {
        assert_eq!(batches(128), [16; 8]);
        assert_eq!(batches(1), [1]);
        assert_eq!(batches(17), [9, 8]);
        assert_eq!(batches(40).iter().sum::<usize>(), 40);
    }
}
