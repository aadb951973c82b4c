//! Files from addresses, with what went wrong in the page's words.

use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortSignal, ReadableStreamDefaultReader, RequestCache, RequestInit, Response, Url, UrlSearchParams,
};

use super::dom::window;
use super::engine::{Answer, get};
use crate::format::{bytes, fill};
use crate::language::Text;

/// Values of the page's own address that are no address.
const NO_ADDRESS: [&str; 2] = ["", "none"];

/// What the page's own address asks for under this key.
pub fn asked(key: &str) -> Option<String> {
    let search = window().location().search().unwrap_or_default();
    let all = UrlSearchParams::new_with_str(&search).ok()?;
    all.get(key).filter(|value| !NO_ADDRESS.contains(&value.trim()))
}

/// An address of the web, or one beside this page, in full; an error for any other.
pub fn resolve(address: &str, t: &Text) -> Answer<String> {
    let document = window().document();
    let base = document.and_then(|document| document.base_uri().ok().flatten()).unwrap_or_default();
    let url = Url::new_with_base(address.trim(), &base).ok();
    let url = url.filter(|url| ["http:", "https:"].contains(&url.protocol().as_str()));
    url.map(|url| url.href()).ok_or_else(|| fill(t.lessons.no_address, &[address]))
}

/// The bytes at an address, `most` of them at most; tells how many are here, and of how many.
pub async fn fetch(
    url: &str,
    most: usize,
    signal: &AbortSignal,
    t: &Text,
    tell: impl Fn(f64, Option<f64>),
) -> Answer<Vec<u8>> {
    let init = RequestInit::new();
    init.set_signal(Some(signal));
    // A teacher who corrects a lesson wants the class to have the new one.
    init.set_cache(RequestCache::NoCache);
    let answer = JsFuture::from(window().fetch_with_str_and_init(url, &init)).await;
    let answer: Response = answer.map_err(|_| fill(t.lessons.unreachable, &[url]))?.unchecked_into();
    if !answer.ok() {
        return Err(fill(t.lessons.answered, &[url, &answer.status().to_string()]));
    }
    let Some(body) = answer.body() else { return Ok(Vec::new()) };
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let (total, mut whole) = (length(&answer), Vec::new());
    loop {
        let part = JsFuture::from(reader.read()).await.map_err(|_| fill(t.lessons.broke_off, &[url]))?;
        if get(&part, "done").is_truthy() {
            return Ok(whole);
        }
        let part: Uint8Array = get(&part, "value").unchecked_into();
        let here = whole.len();
        if here + part.length() as usize > most {
            // Whether the rest still comes does not matter.
            drop(reader.cancel());
            return Err(fill(t.lessons.too_far, &[url, &bytes(most as f64)]));
        }
        whole.resize(here + part.length() as usize, 0);
        part.copy_to(&mut whole[here..]);
        tell(whole.len() as f64, total);
    }
}

/// The length of what comes; none where the server does not tell, or packs it on the way.
fn length(answer: &Response) -> Option<f64> {
    let header = |name: &str| answer.headers().get(name).ok().flatten();
    header("content-length").filter(|_| header("content-encoding").is_none())?.parse().ok()
}
