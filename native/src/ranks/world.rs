//! Ranks over MPI. One thread makes all calls of MPI, one after the other in the order in which they are asked for: so a sum is
//! on its way while the next numbers are read from the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use kindling::error::{Error, Result};
use kindling::ranks::{Ranks, Summing};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::processor_name;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};

/// Between two looks of a rank that waits long, so that its processor is free meanwhile.
const LOOK: Duration = Duration::from_millis(10);
/// How long the end of the other ranks is waited for.
const ABORTED: Duration = Duration::from_secs(10);

/// What the thread of MPI is asked for.
enum Order {
    Sum(Vec<f32>, Sender<Vec<f32>>),
    Gather(Vec<u8>, Sender<Result<Vec<Vec<u8>>>>),
    /// Waits for all ranks, without work.
    Meet(Sender<()>),
    /// The same, and ends MPI.
    Leave(Sender<()>),
    /// Ends all ranks.
    Abort,
}

/// All processes that `mpirun` has started together.
pub struct World {
    rank: usize,
    size: usize,
    /// The machine of this one.
    pub host: String,
    orders: Sender<Order>,
    spent: Arc<Spent>,
}

/// What the exchange has taken.
#[derive(Default)]
struct Spent {
    bytes: AtomicU64,
    microseconds: AtomicU64,
}

impl Spent {
    /// Waits for an answer.
    fn wait<T>(&self, answer: &Receiver<T>) -> Result<T> {
        let begun = Instant::now();
        let answer = answer.recv().map_err(|_| gone());
        self.microseconds.fetch_add(begun.elapsed().as_micros() as u64, Ordering::Relaxed);
        answer
    }
}

impl World {
    /// Begins MPI.
    ///
    /// # Errors
    /// A thread that the system does not give; MPI that was begun before.
    pub fn start() -> Result<Self> {
        let ((orders, taken), (tell, told)) = (channel(), channel());
        let serving = thread::Builder::new().name("mpi".into()).spawn(move || serve(taken, &tell));
        serving.map_err(|e| Error::Device(format!("the system gives no thread for MPI: {e}").into()))?;
        let (rank, size, host) = told.recv().map_err(|_| gone())?;
        Ok(Self { rank, size, host, orders, spent: Arc::default() })
    }

    fn ask<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> Result<Receiver<T>> {
        let (tell, told) = channel();
        self.orders.send(order(tell)).map_err(|_| gone())?;
        Ok(told)
    }

    /// Waits for all ranks, however long that takes.
    ///
    /// # Errors
    /// MPI that has ended.
    pub fn meet(&self) -> Result<()> {
        self.ask(Order::Meet)?.recv().map_err(|_| gone())
    }

    /// Waits for all ranks, and ends MPI.
    pub fn leave(&self) {
        if let Ok(done) = self.ask(Order::Leave) {
            let _ = done.recv();
        }
    }

    /// Ends all ranks, this one with them.
    pub fn abort(&self) {
        let _ = self.orders.send(Order::Abort);
        // Where the thread waits for other ranks itself, the launcher ends them once this process is gone.
        thread::sleep(ABORTED);
    }

    /// Bytes that were handed over and seconds that were waited for them.
    pub fn spent(&self) -> (u64, f64) {
        let Spent { bytes, microseconds } = &*self.spent;
        (bytes.load(Ordering::Relaxed), microseconds.load(Ordering::Relaxed) as f64 / 1e6)
    }
}

impl Ranks for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn begin_sum(&self, values: Vec<f32>) -> Result<Summing> {
        self.spent.bytes.fetch_add(4 * values.len() as u64, Ordering::Relaxed);
        let (told, spent) = (self.ask(|tell| Order::Sum(values, tell))?, Arc::clone(&self.spent));
        Ok(Box::new(move || spent.wait(&told)))
    }

    fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        self.spent.bytes.fetch_add(own.len() as u64, Ordering::Relaxed);
        let told = self.ask(|tell| Order::Gather(own, tell))?;
        self.spent.wait(&told)?
    }
}

fn gone() -> Error {
    Error::Device("the exchange between the ranks has ended; the last saved checkpoint is untouched".into())
}

/// The thread of MPI, from its beginning to its end.
fn serve(orders: Receiver<Order>, begun: &Sender<(usize, usize, String)>) {
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else { return };
    let world = universe.world();
    let number = |number: i32| usize::try_from(number).unwrap_or_default();
    let host = processor_name().unwrap_or_default();
    let _ = begun.send((number(world.rank()), number(world.size()), host));
    for order in orders {
        match order {
            Order::Sum(own, tell) => {
                let mut sums = vec![0.0f32; own.len()];
                world.all_reduce_into(&own[..], &mut sums[..], SystemOperation::sum());
                let _ = tell.send(sums);
            }
            Order::Gather(own, tell) => {
                let _ = tell.send(gathered(&world, &own));
            }
            Order::Meet(tell) => {
                wait(&world);
                let _ = tell.send(());
            }
            Order::Leave(tell) => {
                wait(&world);
                drop(universe);
                let _ = tell.send(());
                return;
            }
            Order::Abort => world.abort(1),
        }
    }
}

/// Waits for all ranks. MPI's own waiting would keep a processor busy.
fn wait(world: &SimpleCommunicator) {
    let mut request = world.immediate_barrier();
    while let Err(pending) = request.test() {
        request = pending;
        thread::sleep(LOOK);
    }
}

/// What every rank gives.
///
/// # Errors
/// More than MPI counts.
fn gathered(world: &SimpleCommunicator, own: &[u8]) -> Result<Vec<Vec<u8>>> {
    let too_much = || Error::Data("the ranks have more to tell each other than MPI counts (2 GiB)".into());
    let length = i32::try_from(own.len()).map_err(|_| too_much())?;
    let mut lengths = vec![0i32; usize::try_from(world.size()).unwrap_or_default()];
    world.all_gather_into(&length, &mut lengths[..]);
    let (mut places, mut all) = (Vec::with_capacity(lengths.len()), 0i32);
    for length in &lengths {
        places.push(all);
        all = all.checked_add(*length).ok_or_else(too_much)?;
    }
    let mut bytes = vec![0u8; usize::try_from(all).unwrap_or_default()];
    let mut parts = PartitionMut::new(&mut bytes[..], &lengths[..], &places[..]);
    world.all_gather_varcount_into(own, &mut parts);
    let mut rest = bytes.as_slice();
    let part = |length: &i32| {
        let (own, others) = rest.split_at(usize::try_from(*length).unwrap_or_default().min(rest.len()));
        rest = others;
        own.to_vec()
    };
    Ok(lengths.iter().map(part).collect())
}
