//! Numbers that name where a supply of batches stands.

use super::LoaderState;

impl LoaderState {
    /// No two batches of a run have the same: packed, one long text may fill many of them, which are told apart by how much of
    /// it is given out.
    pub(crate) fn place(&self) -> Vec<u64> {
        let mut place = vec![self.epoch, self.position, self.pieces as u64, self.served as u64];
        if let Some(carry) = &self.carry {
            place.extend([carry.place.epoch, carry.place.position, carry.skip as u64]);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use crate::batch::{Content, Example, ExampleSource, Fit, Found, Loader, LoaderConfig, TooLong};
    use crate::data::{Permutation, RowOrigin};
    use crate::error::Result;

    /// Three texts of a hundred tokens.
    struct Long;

    impl ExampleSource for Long {
        fn rows(&self) -> u64 {
            3
        }

        fn examples(&self, row: u64) -> Result<Found> {
            let origin = RowOrigin { source: "a".into(), line: row };
            let ids = vec![1; 100];
            Ok(Found::Examples(vec![Example { ids, weights: vec![1.0; 100], warnings: Vec::new(), origin }]))
        }
    }

    #[test]
    fn batches_of_one_long_text_have_places_of_their_own() {
        for packing in [true, false] {
            let fit = Fit::new(Content::Documents, 8, TooLong::Cut);
            let config = LoaderConfig { batch_size: 2, fit, packing, seed: 1 };
            let mut loader = Loader::new(Arc::new(Long), config, Permutation::new(3, 9, 0), 0..3, true);
            let mut places = BTreeSet::new();
            for _ in 0..40 {
                loader.next_batch().unwrap().unwrap();
                places.insert(loader.state().place());
            }
            assert_eq!(places.len(), 40, "packing {packing}");
        }
    }
}
