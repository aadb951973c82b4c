//! Slices divided among threads, where there are any.

/// Calls `f(i, chunk)` for all chunks of `len` values (the last may be shorter), on all threads where there
/// are any. What a chunk holds must not depend on the others.
pub fn for_each_chunk<T: Send>(values: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Sync) {
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

/// The same over three.
pub(crate) fn for_each_chunk_triple<T: Send>(
    [a, b, c]: [&mut [T]; 3],
    len: usize,
    f: impl Fn(usize, [&mut [T]; 3]) + Sync,
) {
    #[cfg(not(target_family = "wasm"))]
    if a.len() > len {
        use rayon::prelude::*;
        let chunks = a.par_chunks_mut(len).zip(b.par_chunks_mut(len)).zip(c.par_chunks_mut(len));
        chunks.enumerate().for_each(|(i, ((a, b), c))| f(i, [a, b, c]));
        return;
    }
    let chunks = a.chunks_mut(len).zip(b.chunks_mut(len)).zip(c.chunks_mut(len));
    chunks.enumerate().for_each(|(i, ((a, b), c))| f(i, [a, b, c]));
}

/// `f(i)` for every `i` below `count`, in order, on all threads where there are any.
pub(crate) fn map_each<T: Send>(count: usize, f: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    #[cfg(not(target_family = "wasm"))]
    if count > 1 {
        use rayon::prelude::*;
        return (0..count).into_par_iter().map(f).collect();
    }
    (0..count).map(f).collect()
}

/// `f()` on one of the threads that share what is divided, so that dividing it wakes none of them for each of its parts.
#[cfg(not(target_family = "wasm"))]
pub fn among_threads<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| f())
}

/// `f()`: there is one thread.
#[cfg(target_family = "wasm")]
pub fn among_threads<T>(f: impl FnOnce() -> T) -> T {
    f()
}

/// How many threads share what is divided.
pub(crate) fn threads() -> usize {
    #[cfg(not(target_family = "wasm"))]
    return rayon::current_num_threads();
    #[cfg(target_family = "wasm")]
    1
}
