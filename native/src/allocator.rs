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
    use std::env;
    use std::ffi::c_long;
    use std::process::Command;

    /// The name of the test below, and what tells its second process what the option is there.
    const NAME: &str = "allocator::tests::the_option_is_the_one_that_is_meant";
    const EXPECTED: &str = "KINDLING_TEST_PURGE_DELAY";

    /// mimalloc reads the environment as a process begins, so that each case has a process of its own.
    #[test]
    #[allow(unsafe_code)]
    fn the_option_is_the_one_that_is_meant() {
        if let Ok(expected) = env::var(EXPECTED) {
            let expected: c_long = expected.parse().unwrap();
            // SAFETY: as above; the option is a number of its own.
            assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, expected);
            keep_memory();
            let kept = if expected == OF_MIMALLOC { OURS } else { expected };
            // SAFETY: as above.
            assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, kept);
            return;
        }
        for (said, expected) in [(None, OF_MIMALLOC), (Some("77"), 77)] {
            let mut test = Command::new(env::current_exe().unwrap());
            test.args([NAME, "--exact"])
                .env_remove("MIMALLOC_PURGE_DELAY")
                .env(EXPECTED, expected.to_string());
            if let Some(delay) = said {
                test.env("MIMALLOC_PURGE_DELAY", delay);
            }
            let found = test.output().unwrap();
            let told = String::from_utf8_lossy(&found.stdout);
            // Of a name that no test has none runs, which is no failure there.
            assert!(found.status.success() && told.contains("1 passed"), "{said:?}: {told}");
        }
    }
}
