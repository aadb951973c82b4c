//! How many sequences fit into the memory of a cache, and how long each can be.

/// The shape of a cache: so many sequences of so many positions each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) positions: usize,
}

/// What bounds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Sequences, at most.
    pub(super) rows: usize,
    /// Positions of all sequences together.
    pub(super) positions: usize,
    /// Positions of each, at most.
    pub(super) context: usize,
}

impl Room {
    /// Whether a sequence of so many positions fits at all.
    pub(super) fn fits(&self, needed: usize) -> bool {
        needed <= self.positions.min(self.context)
    }

    /// The shape of a cache that takes one more sequence of `needed` positions beside those that run, which need at most
    /// `longest` each; `None` where it must wait for one of them. With `wished` sequences nothing that is held is lost.
    /// `waiting` are the needs of the requests behind it: with room for them at once the cache need not be copied for each.
    pub(super) fn shape(
        &self,
        wished: usize,
        [running, longest]: [usize; 2],
        needed: usize,
        waiting: impl Iterator<Item = usize>,
    ) -> Option<Shape> {
        let longest = longest.max(needed);
        if running >= self.rows || self.positions / longest.max(1) <= running {
            return None;
        }
        let waiting: Vec<usize> = waiting.take(self.rows - running - 1).collect();
        let wanted = (running + 1 + waiting.len()).max(wished).min(self.rows);
        let of_all = self.positions / waiting.iter().copied().fold(longest, usize::max).max(1);
        let fitting = if of_all > running { of_all } else { self.positions / longest.max(1) };
        let rows = wanted.min(fitting);
        Some(Shape { rows, positions: (self.positions / rows).min(self.context) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { rows: 4, positions: 100, context: 60 };

    fn shape(wished: usize, running: [usize; 2], needed: usize, waiting: &[usize]) -> Option<(usize, usize)> {
        let shape = ROOM.shape(wished, running, needed, waiting.iter().copied());
        assert!(shape.is_none_or(|shape| shape.rows * shape.positions <= ROOM.positions), "{shape:?}");
        shape.map(|shape| (shape.rows, shape.positions))
    }

    #[test]
    fn a_request_waits_until_its_row_fits_beside_the_others() {
        assert_eq!(shape(1, [0, 0], 60, &[]), Some((1, 60)), "never more than the context");
        assert_eq!(shape(1, [1, 60], 10, &[]), None, "two rows of 60 are too many");
        assert_eq!(shape(1, [1, 50], 10, &[]), Some((2, 50)));
        assert_eq!(shape(2, [2, 30], 40, &[]), None, "three rows of 40");
        assert_eq!(shape(4, [4, 1], 1, &[]), None, "all rows are taken");
        assert!(ROOM.fits(60) && !ROOM.fits(61) && !Room { context: 200, ..ROOM }.fits(101));
    }

    #[test]
    fn room_is_made_for_those_that_wait_as_far_as_they_fit() {
        assert_eq!(shape(0, [0, 0], 20, &[20, 20]), Some((3, 33)));
        assert_eq!(shape(0, [0, 0], 20, &[20; 9]), Some((4, 25)), "no more than the rows");
        assert_eq!(shape(0, [0, 0], 20, &[40, 20]), Some((2, 50)), "a longer one behind it halves the rows");
        // One that does not fit beside it at all is not waited for.
        assert_eq!(shape(0, [1, 40], 40, &[60]), Some((2, 50)));
    }

    #[test]
    fn what_free_slots_hold_gives_way_to_longer_rows_alone() {
        assert_eq!(shape(4, [0, 0], 20, &[]), Some((4, 25)));
        assert_eq!(shape(4, [1, 20], 40, &[]), Some((2, 50)));
        assert_eq!(shape(4, [0, 0], 60, &[]), Some((1, 60)));
    }
}
