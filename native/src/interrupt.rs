//! Ctrl-C and SIGTERM: the first asks the work to save and end, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};

static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Installs the handlers; called once, at the start.
pub fn install() {
    let flag = ASKED.get_or_init(|| Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(flag));
        let _ = signal_hook::flag::register(signal, Arc::clone(flag));
    }
    // A file-size limit then makes the write fail, with a message, instead of killing the process.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Whether a person asked to stop.
pub fn asked() -> bool {
    ASKED.get().is_some_and(|flag| flag.load(Ordering::SeqCst))
}
