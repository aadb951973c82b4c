//! Which of the conversations kept in this browser is this tab's own. No two tabs have the same, so that none overwrites
//! what another one writes.

use std::cell::RefCell;

use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use super::history::{self, Kept};
use super::storage;

#[wasm_bindgen(module = "/js/store.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = hold)]
    async fn js_hold(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = holdNow)]
    async fn js_hold_now(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = release)]
    fn js_release(name: &str);
}

/// This tab's key for what it keeps over a reload.
const KEY: &str = "kindling-slot";

/// A conversation that this tab alone has.
pub struct Slot(RefCell<String>);

impl Slot {
    /// Takes the conversation that this tab had before a reload, else the last one, else a new one.
    pub async fn claim() -> Self {
        history::adopt_old();
        let id = match storage::kept_by_tab(KEY) {
            // The page before a reload may not have let go of it yet.
            Some(own) if is_true(js_hold(&lock(&own)).await) => own,
            // The tab was duplicated.
            Some(of_other) => copy(&of_other).await,
            None => match history::slots().into_iter().next() {
                Some((last, _)) if is_true(js_hold_now(&lock(&last)).await) => last,
                _ => fresh().await,
            },
        };
        storage::keep_by_tab(KEY, &id);
        Self(RefCell::new(id))
    }

    /// Its id.
    pub fn id(&self) -> String {
        self.0.borrow().clone()
    }

    /// Takes another conversation in the place of this one; false where another tab has it.
    pub async fn change(&self, id: &str) -> bool {
        if !is_true(js_hold_now(&lock(id)).await) {
            return false;
        }
        self.put(id.to_string());
        true
    }

    /// Takes a new conversation in the place of this one.
    pub async fn renew(&self) {
        self.put(fresh().await);
    }

    fn put(&self, id: String) {
        storage::keep_by_tab(KEY, &id);
        js_release(&lock(&self.0.replace(id)));
    }
}

async fn fresh() -> String {
    let id = format!("{}-{:06}", js_sys::Date::now(), (js_sys::Math::random() * 1e6) as u32);
    // Nobody else has a name that was just made.
    drop(js_hold_now(&lock(&id)).await);
    id
}

async fn copy(of: &str) -> String {
    let id = fresh().await;
    if let Some(kept) = Kept::load(of) {
        kept.store(&id);
    }
    id
}

fn lock(id: &str) -> String {
    format!("kindling-chat {id}")
}

fn is_true(held: Result<JsValue, JsValue>) -> bool {
    // Where the browser refuses to lock, a tab is alone as far as anyone knows.
    held.map_or(true, |held| held.is_truthy())
}
