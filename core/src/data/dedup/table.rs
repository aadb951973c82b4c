//! A hash table from keys to the numbers of rows that has little spare room and grows a part at a time.

/// Parts of a table: only one of them is held twice while it grows.
const PARTS: usize = 16;
/// Slots of a part that begins.
const FIRST_SLOTS: usize = 16;
/// What stands in an empty slot instead of a row's number.
const EMPTY: u32 = u32::MAX;

/// A key of `N` words of 32 bits. All of them must be hashes: the first says where its slot is, the last which part it is in.
pub(super) type Key<const N: usize> = [u32; N];

/// Row numbers by their keys; a key may have several.
///
/// A part grows by a quarter when it is four fifths full, so that a row takes at most `4 (N + 1) / 0.64` bytes, and one
/// sixteenth of that more while a part grows.
pub(super) struct Table<const N: usize> {
    parts: Vec<Part<N>>,
}

/// Slots with linear probing.
#[derive(Clone)]
struct Part<const N: usize> {
    slots: Vec<(Key<N>, u32)>,
    len: usize,
}

impl<const N: usize> Table<N> {
    pub(super) fn new() -> Self {
        Self { parts: vec![Part { slots: Vec::new(), len: 0 }; PARTS] }
    }

    /// The rows that were put in with this key.
    pub(super) fn find(&self, key: Key<N>) -> impl Iterator<Item = u32> {
        self.parts[part_of(&key)].find(key)
    }

    /// Puts in a row with its key.
    pub(super) fn insert(&mut self, key: Key<N>, row: u32) {
        self.parts[part_of(&key)].insert(key, row);
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> u64 {
        let slots: usize = self.parts.iter().map(|part| part.slots.capacity()).sum();
        (slots * size_of::<(Key<N>, u32)>()) as u64
    }
}

fn part_of<const N: usize>(key: &Key<N>) -> usize {
    key.last().map_or(0, |last| *last as usize % PARTS)
}

impl<const N: usize> Part<N> {
    /// Where a key is looked for first: its first word as a share of all slots.
    fn home(&self, key: &Key<N>) -> usize {
        let word = key.first().copied().unwrap_or(0);
        ((u64::from(word) * self.slots.len() as u64) >> 32) as usize
    }

    fn find(&self, key: Key<N>) -> impl Iterator<Item = u32> {
        let (before, from) = self.slots.split_at(self.home(&key));
        // A fifth of the slots is empty, so that this ends soon.
        let met = from.iter().chain(before).take_while(|(_, row)| *row != EMPTY);
        met.filter(move |(own, _)| *own == key).map(|(_, row)| *row)
    }

    fn insert(&mut self, key: Key<N>, row: u32) {
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        self.put(key, row);
        self.len += 1;
    }

    fn put(&mut self, key: Key<N>, row: u32) {
        let mut at = self.home(&key);
        while self.slots[at].1 != EMPTY {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        self.slots[at] = (key, row);
    }

    fn grow(&mut self) {
        let more = (self.slots.len() * 5 / 4).max(FIRST_SLOTS);
        let before = std::mem::replace(&mut self.slots, vec![([0; N], EMPTY); more]);
        before.into_iter().filter(|(_, row)| *row != EMPTY).for_each(|(key, row)| self.put(key, row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn every_row_is_found_by_its_key_and_no_other() {
        let mut random = Random::new(5, 0);
        let mut table = Table::<3>::new();
        let keys: Vec<Key<3>> =
            (0..50_000).map(|_| [random.next_u32(), random.next_u32(), random.next_u32()]).collect();
        for (row, key) in (0..).zip(&keys) {
            assert_eq!(table.find(*key).next(), None);
            table.insert(*key, row);
        }
        for (row, key) in (0..).zip(&keys) {
            assert!(table.find(*key).eq([row]), "{row}");
            assert_eq!(table.find([key[0], key[1] ^ 1, key[2]]).next(), None);
        }
        // 16 bytes a row in slots that are 0.64 to 0.8 full.
        let bytes = table.bytes() as f64 / keys.len() as f64;
        assert!((16.0 / 0.8..=16.0 / 0.63).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_key_may_have_several_rows_and_all_keys_may_want_the_same_slot() {
        let mut table = Table::<1>::new();
        (0..1000).for_each(|row| table.insert([u32::MAX], row));
        let mut rows: Vec<u32> = table.find([u32::MAX]).collect();
        rows.sort_unstable();
        assert!(rows.into_iter().eq(0..1000));
        assert_eq!(table.find([0]).next(), None);
    }
}
