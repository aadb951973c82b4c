//! The page itself: `trunk serve` builds and serves it.

#[cfg(target_family = "wasm")]
fn main() {
    // A panic in WebAssembly is silent otherwise.
    std::panic::set_hook(Box::new(|panic| web_sys::console::error_1(&panic.to_string().into())));
    kindling_web::ui::open();
}

#[cfg(not(target_family = "wasm"))]
fn main() -> Result<(), &'static str> {
    Err("This program runs in a browser: `trunk serve` builds and serves it.")
}
