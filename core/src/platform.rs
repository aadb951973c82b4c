//! What differs between a machine and a browser: the only place that asks, beside the threads of the kernels.

use std::sync::OnceLock;

use web_time::Instant;

/// Text that is encoded to count the steps of a pass over the data: some seconds of work.
pub const SURVEYED_BYTES: u64 = if cfg!(target_family = "wasm") { 2 << 20 } else { 16 << 20 };

/// Tokens of a pass that only reads which are enough to keep a processor busy; a browser's must not keep a person waiting who
/// ends the work.
pub(crate) const ENOUGH_TOKENS: usize = if cfg!(target_family = "wasm") { 512 } else { 4096 };

/// Numbers of the largest tensor of such a pass: 256 MB in f32, and in a browser what its buffers hold at least.
pub(crate) const MOST_NUMBERS: usize = if cfg!(target_family = "wasm") { 1 << 24 } else { 1 << 26 };

/// Seconds since the first call.
pub fn now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// One turn of the browser's event loop, for what waits for it; natively nothing.
pub async fn turn() {
    #[cfg(target_family = "wasm")]
    browser::turn().await;
}

/// Lets a browser take what waits (a message, a frame) when it has had no turn for a while: a worker that only
/// computes would never hear "stop". Natively threads do that, and this is nothing.
pub(crate) async fn breathe() {
    #[cfg(target_family = "wasm")]
    browser::breathe().await;
}

/// The same, and natively a turn for whoever waits for the work and asks meanwhile what is wanted.
pub(crate) async fn give_way() {
    #[cfg(target_family = "wasm")]
    browser::breathe().await;
    #[cfg(not(target_family = "wasm"))]
    {
        let mut given = false;
        std::future::poll_fn(move |context| {
            if std::mem::replace(&mut given, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

/// Waits a moment without work, so that a pause costs the processor nothing.
pub(crate) async fn rest() {
    #[cfg(target_family = "wasm")]
    browser::wait(REST).await;
    #[cfg(not(target_family = "wasm"))]
    std::thread::sleep(std::time::Duration::from_millis(REST));
}

/// Milliseconds between two looks at whether a pause is over: short for a person.
const REST: u64 = 100;

#[cfg(target_family = "wasm")]
mod browser {
    use std::cell::Cell;

    use js_sys::{Function, Promise, Reflect};
    use wasm_bindgen::{JsCast, JsValue};
    use wasm_bindgen_futures::JsFuture;

    /// Seconds of work between two turns: short for a person, long beside the cost of a turn.
    const TURN: f64 = 0.03;

    thread_local! {
        static LAST: Cell<f64> = const { Cell::new(0.0) };
    }

    pub(super) async fn breathe() {
        if super::now() - LAST.get() >= TURN {
            turn().await;
            LAST.set(super::now());
        }
    }

    pub(super) async fn turn() {
        wait(0).await;
    }

    /// Ends so many milliseconds from now.
    pub(super) async fn wait(milliseconds: u64) {
        let mut wake = |resolve: Function, _reject: Function| {
            let timer = Reflect::get(&js_sys::global(), &"setTimeout".into());
            match timer.and_then(|timer| timer.dyn_into::<Function>()) {
                Ok(timer) => drop(timer.call2(&JsValue::UNDEFINED, &resolve, &(milliseconds as f64).into())),
                Err(_) => drop(resolve.call0(&JsValue::UNDEFINED)),
            }
        };
        // The timer cannot fail; were it to, the work would only go on without a pause.
        let _ = JsFuture::from(Promise::new(&mut wake)).await;
    }
}

/// Threads that the processor offers; `RAYON_NUM_THREADS` lowers it.
pub(crate) fn threads() -> usize {
    #[cfg(not(target_family = "wasm"))]
    return rayon::current_num_threads();
    #[cfg(target_family = "wasm")]
    1
}

/// `f` of every item, in order, each on a thread of its own where there are any. Inside, nothing is divided
/// further: a thread that works alone needs no meeting points.
pub(crate) fn map_in_threads<T: Send, R: Send>(items: Vec<T>, f: impl Fn(T) -> R + Sync) -> Vec<R> {
    #[cfg(not(target_family = "wasm"))]
    if items.len() > 1 && items.len() <= pools().len() {
        let run = |(pool, item): (&rayon::ThreadPool, T)| pool.install(|| f(item));
        return std::thread::scope(|scope| {
            let jobs = pools().iter().zip(items);
            let started: Vec<_> = jobs.map(|job| scope.spawn(|| run(job))).collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, R>| match handle.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            started.into_iter().map(join).collect()
        });
    }
    items.into_iter().map(f).collect()
}

/// One pool of one thread for each thread of the processor; fewer where the system gives no more.
#[cfg(not(target_family = "wasm"))]
fn pools() -> &'static [rayon::ThreadPool] {
    static POOLS: OnceLock<Vec<rayon::ThreadPool>> = OnceLock::new();
    let pool = || rayon::ThreadPoolBuilder::new().num_threads(1).build().ok();
    POOLS.get_or_init(|| (0..threads()).map_while(|_| pool()).collect())
}

/// What is made before it is asked for: on a thread of its own where there are any, else when it is asked for.
pub(crate) struct Ahead<T> {
    #[cfg(not(target_family = "wasm"))]
    made: std::sync::mpsc::Receiver<T>,
    #[cfg(target_family = "wasm")]
    make: Box<dyn FnMut() -> T>,
}

impl<T: Send + 'static> Ahead<T> {
    /// `make` is called again and again, at most `count` times more often than asked.
    pub(crate) fn new(count: usize, make: impl FnMut() -> T + Send + 'static) -> Self {
        #[cfg(not(target_family = "wasm"))]
        {
            let (send, made) = std::sync::mpsc::sync_channel(count.saturating_sub(1));
            let mut make = make;
            // It ends when nobody asks any more.
            std::thread::spawn(move || while send.send(make()).is_ok() {});
            Self { made }
        }
        #[cfg(target_family = "wasm")]
        {
            let _ = count;
            Self { make: Box::new(make) }
        }
    }

    /// The next one; `None` if making it failed for good.
    pub(crate) fn next(&mut self) -> Option<T> {
        #[cfg(not(target_family = "wasm"))]
        return self.made.recv().ok();
        #[cfg(target_family = "wasm")]
        Some((self.make)())
    }
}
