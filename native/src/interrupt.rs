//! Ctrl-C, SIGTERM and the end of the terminal (SIGHUP): where the work listens, the first asks it to save and end, and a
//! second one of a person ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// Whether nobody listens, so that a signal ends the process at once.
static UNHEARD: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// Whether something else than Ctrl-C asked the process to end.
static ENDING: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Installs the handlers; called once, at the start.
pub fn install() {
    let flag = ASKED.get_or_init(|| Arc::new(AtomicBool::new(false)));
    let unheard = UNHEARD.get_or_init(|| Arc::new(AtomicBool::new(true)));
    for signal in [SIGINT, SIGTERM] {
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(unheard));
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(flag));
        let _ = signal_hook::flag::register(signal, Arc::clone(flag));
    }
    let ending = ENDING.get_or_init(|| Arc::new(AtomicBool::new(false)));
    let _ = signal_hook::flag::register(SIGTERM, Arc::clone(ending));
    #[cfg(unix)]
    if !ignores_hangup() {
        // Both the system and the shell of a terminal that closes send it: a second one must not cut the save short.
        let hangup = signal_hook::consts::SIGHUP;
        let _ = signal_hook::flag::register_conditional_shutdown(hangup, 129, Arc::clone(unheard));
        let _ = signal_hook::flag::register(hangup, Arc::clone(flag));
        let _ = signal_hook::flag::register(hangup, Arc::clone(ending));
    }
    // A file-size limit then makes the write fail, with a message, instead of killing the process.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Whether the process was begun with hang-ups ignored, as `nohup` begins it: then it outlives its terminal.
#[cfg(unix)]
#[allow(unsafe_code)]
fn ignores_hangup() -> bool {
    // SAFETY: the struct holds numbers, a set of bits and an optional function, for all of which zero is a value.
    let mut present: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action it writes the present one into the struct, which outlives the call.
    let asked = unsafe { libc::sigaction(libc::SIGHUP, std::ptr::null(), &raw mut present) };
    asked == 0 && present.sa_sigaction == libc::SIG_IGN
}

/// From here on the work asks [`asked`] often enough to end in order.
pub fn listen() {
    if let Some(unheard) = UNHEARD.get() {
        unheard.store(false, Ordering::SeqCst);
    }
}

/// From here on nobody asks, and a signal ends the process at once.
pub fn rest() {
    if let Some(unheard) = UNHEARD.get() {
        unheard.store(true, Ordering::SeqCst);
    }
}

/// Forgets a Ctrl-C that has ended what it was to end; whether the process goes on, which it does unless it was asked to end
/// itself.
pub fn take_back() -> bool {
    let ends = ENDING.get().is_some_and(|flag| flag.load(Ordering::SeqCst));
    if let Some(asked) = ASKED.get().filter(|_| !ends) {
        asked.store(false, Ordering::SeqCst);
    }
    !ends
}

/// Whether a person asked to stop.
pub fn asked() -> bool {
    ASKED.get().is_some_and(|flag| flag.load(Ordering::SeqCst))
}
