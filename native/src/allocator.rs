//! The allocator, and how long it keeps what tensors gave back.

use libmimalloc_sys::{mi_option_get, mi_option_set_default, mi_option_t};

/// Tensors come and go by the thousand; the system's allocator gives each large one back to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h, version 3, which the crate does not name.
const PURGE_DELAY: mi_option_t = 15;
/// What it is without us, in milliseconds.
const OF_MIMALLOC: std::ffi::c_long = 1000;
/// What it is with us. A step of training takes the same memory as the one before; each second anew, the kernel would
/// clear its pages first, which cost a small model's training 8 % (`perf stat -e page-faults,task-clock`).
const OURS: std::ffi::c_long = 10_000;

/// Keeps unused memory for ten seconds; `MIMALLOC_PURGE_DELAY` in the environment says otherwise.
#[allow(unsafe_code)]
pub fn keep_memory() {
    // SAFETY: the calls read and write one number; no other thread has begun.
    unsafe {
        // Of another version, in which the number is another option's, it is left alone.
        if mi_option_get(PURGE_DELAY) == OF_MIMALLOC {
            mi_option_set_default(PURGE_DELAY, OURS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code)]
    fn the_option_is_the_one_that_is_meant() {
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
            return;
        }
        // SAFETY: as above; the option is a number of its own.
        assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, OF_MIMALLOC);
        keep_memory();
        // SAFETY: as above.
        assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, OURS);
    }
}
