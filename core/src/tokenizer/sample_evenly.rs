//! Choosing rows evenly over an input of known size, so that a tokenizer can train on a part of it.

/// Decides row by row, by error diffusion: what is kept never runs ahead of its share of what was seen. The
/// same rows give the same choice, and the sum of the kept sizes never exceeds the budget.
#[derive(Clone, Debug)]
pub struct EvenSampler {
    total: u64,
    budget: u64,
    seen: u64,
    kept: u64,
}

impl EvenSampler {
    /// A sampler for an input of `total` bytes of which about `budget` bytes are wanted. Where `total` is not
    /// known exactly (compressed files), an estimate only shifts where in the input the budget is spent.
    pub fn new(total: u64, budget: u64) -> Self {
        Self { total, budget, seen: 0, kept: 0 }
    }

    /// Whether to keep the next row, which is `bytes` long in the measure of `total`.
    pub fn keep(&mut self, bytes: u64) -> bool {
        self.seen = self.seen.saturating_add(bytes);
        match self.kept.checked_add(bytes) {
            Some(kept) if kept <= self.share() => {
                self.kept = kept;
                true
            }
            _ => false,
        }
    }

    /// The bytes kept so far.
    pub fn kept(&self) -> u64 {
        self.kept
    }

    /// `budget · seen / total`, at most `budget`.
    fn share(&self) -> u64 {
        if self.seen >= self.total {
            return self.budget;
        }
        let share = u128::from(self.budget) * u128::from(self.seen) / u128::from(self.total);
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(rows: &[u64], budget: u64) -> (Vec<bool>, u64) {
        let mut sampler = EvenSampler::new(rows.iter().sum(), budget);
        let chosen = rows.iter().map(|&bytes| sampler.keep(bytes)).collect();
        (chosen, sampler.kept())
    }

    #[test]
    fn every_third_of_equal_rows() {
        let (chosen, kept) = choose(&[10; 9], 30);
        assert_eq!(chosen, [false, false, true, false, false, true, false, false, true]);
        assert_eq!(kept, 30);
    }

    #[test]
    fn everything_where_the_budget_allows() {
        assert_eq!(choose(&[3, 5, 7], 15), (vec![true; 3], 15));
        assert_eq!(choose(&[3, 5, 7], 1000), (vec![true; 3], 15));
    }

    #[test]
    fn uneven_rows_stay_in_the_budget_and_spread() {
        let rows: Vec<u64> = (0..10_000).map(|row| 1 + row * 7919 % 400).collect();
        let total: u64 = rows.iter().sum();
        let (chosen, kept) = choose(&rows, total / 10);
        assert!(kept <= total / 10 && kept > total / 10 - 400, "{kept} of {total}");
        let half: u64 = (0..5000).filter(|&row| chosen[row]).map(|row| rows[row]).sum();
        assert!(half.abs_diff(kept / 2) < kept / 50, "{half} of {kept} in the first half");
    }

    #[test]
    fn nothing_from_no_budget_and_no_overflow() {
        assert_eq!(choose(&[1, 1], 0), (vec![false; 2], 0));
        let mut sampler = EvenSampler::new(u64::MAX, u64::MAX);
        assert!(sampler.keep(u64::MAX));
        assert!(!sampler.keep(u64::MAX));
    }

    #[test]
    fn an_underestimated_total_still_fills_the_budget() {
        let mut sampler = EvenSampler::new(10, 8);
        let chosen: Vec<bool> = (0..6).map(|_| sampler.keep(4)).collect();
        assert_eq!(chosen, [false, true, true, false, false, false]);
    }
}
