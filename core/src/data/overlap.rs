//! Rows that are held out and trained on alike: what is measured on them is no measure.

use std::collections::HashSet;

use super::split::Split;

/// How many held-out rows equal one that is trained on, and the number of the first of them in the data; `None` if
/// there is none. `hashes` has one for each row.
pub(super) fn on_both_sides(hashes: &[u64], split: &Split) -> Option<(u64, u64)> {
    let row = |position: u64| split.order().at(position);
    let hash = |row: u64| hashes.get(usize::try_from(row).ok()?).copied();
    let held_out: HashSet<u64> = split.validation_part().map(row).filter_map(hash).collect();
    let trained = split.train_part().map(row).filter_map(hash);
    let both: HashSet<u64> = trained.filter(|hash| held_out.contains(hash)).collect();
    let is_in_both = |row: &u64| hash(*row).is_some_and(|hash| both.contains(&hash));
    let rows = split.validation_part().map(row).filter(is_in_both);
    rows.fold(None::<(u64, u64)>, |found, row| match found {
        None => Some((1, row)),
        Some((count, first)) => Some((count + 1, first.min(row))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::split::split;

    #[test]
    fn held_out_rows_that_are_trained_on_are_counted() {
        let split = split(10, 0.4, 3);
        let at = |position: u64| split.order().at(position) as usize;
        let mut hashes: Vec<u64> = (0..10).collect();
        assert_eq!(on_both_sides(&hashes, &split), None);
        // Two held-out rows that are equal are no fault.
        hashes[at(0)] = hashes[at(1)];
        assert_eq!(on_both_sides(&hashes, &split), None);
        hashes[at(7)] = hashes[at(1)];
        hashes[at(8)] = hashes[at(1)];
        hashes[at(9)] = hashes[at(3)];
        let first = at(0).min(at(1)).min(at(3)) as u64;
        assert_eq!(on_both_sides(&hashes, &split), Some((3, first)));
    }
}
