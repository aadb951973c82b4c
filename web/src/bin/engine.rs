//! The engine's worker: `web/js/worker.js` loads it. Its modules are this program's own, so that the page does not
//! carry the library's weight.
#![recursion_limit = "256"]

#[cfg(target_family = "wasm")]
#[path = "../engine/mod.rs"]
mod engine;

#[cfg(target_family = "wasm")]
fn main() {
    if let Err(error) = engine::serve() {
        web_sys::console::error_1(&error);
    }
}

#[cfg(not(target_family = "wasm"))]
fn main() -> Result<(), &'static str> {
    Err("This program runs in a browser: `trunk serve` builds and serves it.")
}
