//! Long sums in pieces: while one is on its way, the next is read from the device.

use super::{Ranks, Summing};
use crate::error::Result;

/// Numbers of a bucket: 4 MiB, which keeps a network busy and is ready soon.
pub const BUCKET: usize = 1 << 20;

/// Numbers that are added over all ranks as they come, bucket by bucket.
pub struct BucketSum<'a> {
    ranks: &'a dyn Ranks,
    bucket: usize,
    open: Vec<f32>,
    begun: Vec<Summing>,
}

impl<'a> BucketSum<'a> {
    /// A sum of nothing yet, in buckets of so many numbers: as many on every rank.
    pub fn new(ranks: &'a dyn Ranks, bucket: usize) -> Self {
        Self { ranks, bucket: bucket.max(1), open: Vec::new(), begun: Vec::new() }
    }

    /// Takes the next numbers in; buckets that they fill set off.
    ///
    /// # Errors
    /// Ranks that cannot be reached.
    pub fn add(&mut self, mut values: &[f32]) -> Result<()> {
        while !values.is_empty() {
            let room = (self.bucket - self.open.len()).min(values.len());
            let (now, rest) = values.split_at(room);
            self.open.extend_from_slice(now);
            values = rest;
            if self.open.len() == self.bucket {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let full = std::mem::take(&mut self.open);
        self.begun.push(self.ranks.begin_sum(full)?);
        Ok(())
    }

    /// Waits for all of them; gives the sums in the order in which the numbers came.
    ///
    /// # Errors
    /// Ranks that cannot be reached.
    pub fn finish(mut self) -> Result<Vec<f32>> {
        if !self.open.is_empty() {
            self.send()?;
        }
        let mut sums = Vec::new();
        for begun in self.begun {
            sums.extend(begun()?);
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::ranks::mirror::Mirror;

    /// Notes the lengths of its buckets.
    #[derive(Default)]
    struct Noting(Mutex<Vec<usize>>);

    impl Ranks for Noting {
        fn rank(&self) -> usize {
            0
        }

        fn size(&self) -> usize {
            2
        }

        fn begin_sum(&self, values: Vec<f32>) -> Result<Summing> {
            self.0.lock().unwrap().push(values.len());
            Mirror.begin_sum(values)
        }

        fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
            Mirror.gather(own)
        }
    }

    #[test]
    fn numbers_are_added_in_order_whatever_bucket_they_fall_into() {
        let ranks = Noting::default();
        let mut sum = BucketSum::new(&ranks, 3);
        sum.add(&[1.0, 2.0]).unwrap();
        sum.add(&[]).unwrap();
        assert!(ranks.0.lock().unwrap().is_empty(), "no bucket is full yet");
        sum.add(&[3.0, 4.0, 5.0, 6.0, 7.0]).unwrap();
        assert_eq!(*ranks.0.lock().unwrap(), [3, 3], "full ones set off at once");
        assert_eq!(sum.finish().unwrap(), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]);
        assert_eq!(*ranks.0.lock().unwrap(), [3, 3, 1]);
        assert!(BucketSum::new(&ranks, BUCKET).finish().unwrap().is_empty());
    }
}
