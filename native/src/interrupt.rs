//! Ctrl-C and SIGTERM: where the work listens, the first asks it to save and end, and the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// Whether nobody listens, so that a signal ends the process at once.
static UNHEARD: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Installs the handlers; called once, at the start.
pub fn install() {
    let flag = ASKED.get_or_init(|| Arc::new(AtomicBool::new(false)));
    let unheard = UNHEARD.get_or_init(|| Arc::new(AtomicBool::new(true)));
    for signal in [SIGINT, SIGTERM] {
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(unheard));
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(flag));
        let _ = signal_hook::flag::register(signal, Arc::clone(flag));
    }
    // A file-size limit then makes the write fail, with a message, instead of killing the process.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// From here on the work asks [`asked`] often enough to end in order.
pub fn listen() {
    if let Some(unheard) = UNHEARD.get() {
        unheard.store(false, Ordering::SeqCst);
    }
}

/// Whether a person asked to stop.
pub fn asked() -> bool {
    ASKED.get().is_some_and(|flag| flag.load(Ordering::SeqCst))
}
