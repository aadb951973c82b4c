//! Files that outlive the page, in the browser's private file system.

use std::collections::BTreeMap;

use js_sys::{Array, Uint8Array};
use kindling::formats::Files;
use kindling::told::{Told, told};
use wasm_bindgen::prelude::{JsCast, JsValue, wasm_bindgen};

#[wasm_bindgen(module = "/js/store.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = write)]
    async fn js_write(path: &str, bytes: &Uint8Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = read)]
    async fn js_read(path: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = list)]
    async fn js_list(path: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = remove)]
    async fn js_remove(path: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = hold)]
    async fn js_hold(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = release)]
    fn js_release(name: &str);
    #[wasm_bindgen(catch, js_name = held)]
    async fn js_held(beginning: &str) -> Result<JsValue, JsValue>;
}

/// Writes a file and reads it back; gives the seconds that the worker stood still for it.
///
/// # Errors
/// No room, no private file system, or other bytes than were written.
pub async fn write(path: &str, bytes: &[u8]) -> Result<f64, Told> {
    // A copy: a view into this module's memory would be empty if the memory grew while the file is opened.
    let own = Uint8Array::from(bytes);
    let seconds = js_write(path, &own).await.map_err(|e| told(path, &e))?;
    Ok(seconds.as_f64().unwrap_or_default())
}

/// Reads a file; `None` where there is none.
///
/// # Errors
/// The browser refuses.
pub async fn read(path: &str) -> Result<Option<Vec<u8>>, Told> {
    let read = js_read(path).await.map_err(|e| told(path, &e))?;
    Ok((!read.is_undefined()).then(|| Uint8Array::new(&read).to_vec()))
}

/// Names in a folder and their sizes; `None` is a folder.
///
/// # Errors
/// The browser refuses.
pub async fn list(path: &str) -> Result<Vec<(String, Option<u64>)>, Told> {
    let listed = js_list(path).await.map_err(|e| told(path, &e))?;
    let listed: Array = listed.unchecked_into();
    let entry = |entry: JsValue| {
        let entry: Array = entry.unchecked_into();
        let size = entry.get(1).as_f64().unwrap_or(-1.0);
        (entry.get(0).as_string().unwrap_or_default(), (size >= 0.0).then_some(size as u64))
    };
    Ok(listed.iter().map(entry).collect())
}

/// Removes a file or a folder.
///
/// # Errors
/// The browser refuses.
pub async fn remove(path: &str) -> Result<(), Told> {
    js_remove(path).await.map(drop).map_err(|e| told(path, &e))
}

/// Writes files below a folder; gives the seconds of all.
///
/// # Errors
/// As [`write`].
pub async fn write_all(folder: &str, files: &Files) -> Result<f64, Told> {
    let mut seconds = 0.0;
    for (name, bytes) in files {
        seconds += write(&format!("{folder}/{name}"), bytes).await?;
    }
    Ok(seconds)
}

/// Reads all files below a folder, those of its own folders too.
///
/// # Errors
/// The browser refuses.
pub async fn read_all(folder: &str) -> Result<Files, Told> {
    let mut files = Files::new();
    for name in sizes(folder).await?.into_keys() {
        let bytes = read(&format!("{folder}/{name}")).await?.unwrap_or_default();
        files.insert(name, bytes);
    }
    Ok(files)
}

/// Names and sizes of all files below a folder, those of its own folders too.
///
/// # Errors
/// The browser refuses.
pub async fn sizes(folder: &str) -> Result<BTreeMap<String, u64>, Told> {
    let (mut sizes, mut folders) = (BTreeMap::new(), vec![String::new()]);
    while let Some(below) = folders.pop() {
        let within = |name: String| if below.is_empty() { name } else { format!("{below}/{name}") };
        for (name, size) in list(&format!("{folder}/{below}")).await? {
            match size {
                None => folders.push(within(name)),
                Some(size) => drop(sizes.insert(within(name), size)),
            }
        }
    }
    Ok(sizes)
}

/// The bytes of everything below a folder.
///
/// # Errors
/// The browser refuses.
pub async fn size(folder: &str) -> Result<u64, Told> {
    Ok(sizes(folder).await?.into_values().sum())
}

/// A name that this tab alone has, until it is dropped.
pub struct Hold(String);

impl Hold {
    /// Takes a name; `None` where another tab has it.
    ///
    /// # Errors
    /// The browser refuses.
    pub async fn take(name: &str) -> Result<Option<Self>, Told> {
        let taken = js_hold(name).await.map_err(|e| told(name, &e))?;
        Ok(taken.is_truthy().then(|| Self(name.to_string())))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        js_release(&self.0);
    }
}

/// The names that any tab has, of those that begin so.
///
/// # Errors
/// The browser refuses.
pub async fn held(beginning: &str) -> Result<Vec<String>, Told> {
    let held = js_held(beginning).await.map_err(|e| told("names", &e))?;
    let held: Array = held.unchecked_into();
    Ok(held.iter().filter_map(|name| name.as_string()).collect())
}

/// What the private file system's error means.
pub fn told(path: &str, error: &JsValue) -> Told {
    let name = js_sys::Reflect::get(error, &"name".into()).ok().and_then(|name| name.as_string());
    match name.as_deref() {
        Some("QuotaExceededError") => told!(
            "store.full",
            "{path}: this browser gives the page no more room; delete kept models or runs, or free space on the disk",
            path
        ),
        Some("NoModificationAllowedError") => {
            told!("store.busy", "{path}: another tab of this page is writing it; close that tab", path)
        }
        _ => match error.dyn_ref::<js_sys::Error>().filter(|_| name.as_deref() == Some("Error")) {
            Some(error) => {
                let message = String::from(error.message());
                told!("store.told", "{message}", message)
            }
            None => told!(
                "store.failed",
                "{path}: the browser's private file system failed: {error}",
                path,
                error = format!("{error:?}")
            ),
        },
    }
}
