//! What graphics drivers say on their own at the start, and is no error of ours.
//!
//! Mesa's Vulkan layer for choosing a card (`VK_LAYER_MESA_device_select`) asks Wayland which one shows the desktop, through
//! libwayland, which calls it an error where the session has no runtime directory, as in a container or over ssh. It does so
//! each time that the devices are listed.

use std::ffi::OsStr;
use std::path::Path;

/// Where libwayland looks for its socket.
const RUNTIME: &str = "XDG_RUNTIME_DIR";
/// The socket's name there, or its whole path.
const SOCKET: &str = "WAYLAND_DISPLAY";
/// A socket that no session has.
const NONE: &str = "/nonexistent/wayland";

/// Lets the layer ask in silence where there is no Wayland to ask. To be called first of all, before anything begins a thread.
pub fn hush() {
    let [runtime, socket] = [RUNTIME, SOCKET].map(std::env::var_os);
    if asks_in_vain(runtime.as_deref(), socket.as_deref()) {
        // SAFETY: no other thread runs yet, which could read the environment meanwhile.
        #[allow(unsafe_code)]
        unsafe {
            std::env::set_var(SOCKET, NONE);
        }
    }
}

/// Whether libwayland finds no socket by these variables, and says so.
fn asks_in_vain(runtime: Option<&OsStr>, socket: Option<&OsStr>) -> bool {
    let is_whole = |path: Option<&OsStr>| path.is_some_and(|path| Path::new(path).is_absolute());
    !is_whole(runtime) && !is_whole(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_with_wayland_is_asked_as_it_is() {
        let vain = |runtime: Option<&str>, socket: Option<&str>| {
            asks_in_vain(runtime.map(OsStr::new), socket.map(OsStr::new))
        };
        assert!(vain(None, None) && vain(Some(""), Some("wayland-0")) && vain(Some("run"), None));
        assert!(!vain(Some("/run/user/1000"), None) && !vain(Some("/run/user/1000"), Some("wayland-1")));
        assert!(!vain(None, Some("/run/user/1000/wayland-0")) && !vain(None, Some(NONE)));
    }
}
