//! What differs between a machine and a browser: the only place that asks.

use std::sync::OnceLock;

use web_time::Instant;

/// Seconds since the first call.
pub fn now() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}
