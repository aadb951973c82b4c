//! Texts that the browser keeps, for all tabs or for this one. By web-sys: gloo's storage panics where a browser forbids
//! keeping, and writes texts as JSON.

use web_sys::Storage;

use super::dom::window;

fn of_all_tabs() -> Option<Storage> {
    window().local_storage().ok().flatten()
}

fn of_this_tab() -> Option<Storage> {
    window().session_storage().ok().flatten()
}

/// What is kept under a key of this page; none where the browser forbids keeping.
pub fn kept(key: &str) -> Option<String> {
    of_all_tabs()?.get_item(key).ok().flatten()
}

/// Keeps a text under a key; false where the browser forbids it or has no room.
pub fn keep(key: &str, value: &str) -> bool {
    of_all_tabs().is_some_and(|storage| storage.set_item(key, value).is_ok())
}

/// Removes what is kept under a key.
pub fn forget(key: &str) {
    if let Some(storage) = of_all_tabs() {
        // A key that is not there needs no removal.
        let _ = storage.remove_item(key);
    }
}

/// What follows in all keys that begin so.
pub fn keys(beginning: &str) -> Vec<String> {
    let Some(storage) = of_all_tabs() else { return Vec::new() };
    let keys = (0..storage.length().unwrap_or_default()).filter_map(|i| storage.key(i).ok().flatten());
    keys.filter_map(|key| key.strip_prefix(beginning).map(String::from)).collect()
}

/// What this tab keeps over a reload.
pub fn kept_by_tab(key: &str) -> Option<String> {
    of_this_tab()?.get_item(key).ok().flatten()
}

/// Keeps a text for this tab alone.
pub fn keep_by_tab(key: &str, value: &str) {
    if let Some(storage) = of_this_tab() {
        // Without it a reload begins another conversation, and the old one stays in the list.
        let _ = storage.set_item(key, value);
    }
}
