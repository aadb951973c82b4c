//! Ranks of one process: a thread each, with channels between them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use kindling::error::{Error, Result};
use kindling::ranks::{Ranks, Summing};

struct ThreadRanks {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Mutex<Vec<Receiver<Vec<u8>>>>,
}

/// What `each` of so many ranks gives, on a thread of its own. A rank that is gone ends what the others ask of it.
pub fn together<R: Send>(size: usize, each: impl Fn(Arc<dyn Ranks>) -> R + Sync) -> Vec<R> {
    let (mut to, mut from): (Vec<Vec<_>>, Vec<Vec<_>>) =
        ((0..size).map(|_| Vec::new()).collect(), (0..size).map(|_| Vec::new()).collect());
    for sends in &mut to {
        for receives in &mut from {
            let (send, receive) = channel();
            sends.push(send);
            receives.push(receive);
        }
    }
    let each = &each;
    thread::scope(|scope| {
        let ranks = to.into_iter().zip(from).enumerate();
        let start = |(rank, (to, from)): (usize, (Vec<_>, Vec<_>))| {
            let own: Arc<dyn Ranks> = Arc::new(ThreadRanks { rank, to, from: Mutex::new(from) });
            scope.spawn(move || each(own))
        };
        let started: Vec<_> = ranks.map(start).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn gone() -> Error {
    Error::Device("a rank is gone".into())
}

impl Ranks for ThreadRanks {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn begin_sum(&self, values: Vec<f32>) -> Result<Summing> {
        let all = self.gather(values.iter().flat_map(|value| value.to_le_bytes()).collect())?;
        let mut sums = vec![0.0f32; values.len()];
        for bytes in &all {
            assert_eq!(bytes.len(), 4 * sums.len(), "all ranks add as many numbers");
            for (sum, value) in sums.iter_mut().zip(bytes.chunks(4)) {
                *sum += f32::from_le_bytes(value.try_into().unwrap());
            }
        }
        Ok(Box::new(move || Ok(sums)))
    }

    fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        // A channel of one pair: what was sent first arrives first.
        self.to.iter().try_for_each(|to| to.send(own.clone()).map_err(|_| gone()))?;
        self.from.lock().unwrap().iter().map(|from| from.recv().map_err(|_| gone())).collect()
    }
}
