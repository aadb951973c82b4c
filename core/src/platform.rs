//! What differs between a machine and a browser: the only place that asks.

use std::sync::OnceLock;

use web_time::Instant;

/// Seconds since the first call.
pub fn now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Calls `f(i, chunk)` for all chunks of `len` values (the last may be shorter), on all threads where there
/// are any. What a chunk holds must not depend on the others.
pub(crate) fn for_each_chunk<T: Send>(values: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    #[cfg(not(target_family = "wasm"))]
    if values.len() > len {
        use rayon::prelude::*;
        values.par_chunks_mut(len).enumerate().for_each(|(i, chunk)| f(i, chunk));
        return;
    }
    values.chunks_mut(len).enumerate().for_each(|(i, chunk)| f(i, chunk));
}

/// The same over two slices of equal length.
pub(crate) fn for_each_chunk_pair<T: Send>(
    a: &mut [T],
    b: &mut [T],
    len: usize,
    f: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    #[cfg(not(target_family = "wasm"))]
    if a.len() > len {
        use rayon::prelude::*;
        a.par_chunks_mut(len).zip(b.par_chunks_mut(len)).enumerate().for_each(|(i, (a, b))| f(i, a, b));
        return;
    }
    a.chunks_mut(len).zip(b.chunks_mut(len)).enumerate().for_each(|(i, (a, b))| f(i, a, b));
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
