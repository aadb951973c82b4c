//! The server that the page came from, where `kindling serve` tells the page of itself: its models answer over HTTP, and
//! nothing of that goes to any other origin.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use gloo::timers::callback::Timeout;
use js_sys::{Function, JSON, Promise, Uint8Array};
use serde_json::Value;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{AbortSignal, Headers, ReadableStreamDefaultReader, RequestCache, RequestInit, Response, Url};

use super::dom::window;
use super::engine::{Answer, get, sentence, set, set_served_key};
use crate::format::fill;
use crate::language::Text;
use crate::served::{Events, Joined, Mark, Said, is_here, marked, names, refusal};

/// Milliseconds between two looks at what a server wrote.
const FRAME_MS: u32 = 16;

/// The server and its key.
pub struct Server {
    /// Where its routes are, with a slash at the end.
    place: String,
    /// Whether it answers to nobody without a key.
    pub needs_key: bool,
    /// Whether it trains what the page asks for.
    pub trains: bool,
    /// In memory alone.
    key: RefCell<String>,
}

/// A model of the server, which answers in the place of the one in the tab.
#[derive(Clone)]
pub struct Remote {
    /// The server.
    pub server: Rc<Server>,
    /// What it calls the model.
    pub model: String,
}

thread_local! {
    static OWN: OnceCell<Option<Rc<Server>>> = const { OnceCell::new() };
}

/// The server that marked the page; none of a page that lies on any other host.
pub fn own() -> Option<Rc<Server>> {
    OWN.with(|own| own.get_or_init(|| Server::found().map(Rc::new)).clone())
}

impl Server {
    fn found() -> Option<Self> {
        let document = window().document()?;
        let mark = document.query_selector("meta[name=kindling-server]").ok().flatten()?;
        let content = mark.get_attribute("content")?;
        let Mark { place, needs_key, trains } = marked(&content)?;
        let base = document.base_uri().ok().flatten()?;
        let url = Url::new_with_base(place, &base).ok()?;
        let own = window().location().origin().ok()?;
        (url.origin() == own).then(|| Self { place: url.href(), needs_key, trains, key: RefCell::default() })
    }

    /// What a model of it is called: on this computer, or on which other one.
    pub fn called(&self, model: &str, t: &Text) -> String {
        let host = window().location().hostname().unwrap_or_default();
        match is_here(&host) {
            true => fill(t.served.pill, &[model]),
            false => fill(t.served.pill_of, &[&host, model]),
        }
    }

    /// Takes a key.
    pub fn set_key(&self, key: &str) {
        self.key.replace(key.trim().to_string());
        set_served_key(key.trim());
    }

    /// The names of its models and adapters.
    pub async fn models(&self, t: &Text) -> Answer<Vec<String>> {
        let answer = self.fetch("models", None, None, t).await?;
        let list = JsFuture::from(answer.text().map_err(sentence)?).await.map_err(sentence)?;
        let list: Value = serde_json::from_str(&list.as_string().unwrap_or_default()).unwrap_or_default();
        Ok(names(&list))
    }

    /// Streams the answer to a chat request; `hear` is told of more text, and whether it ended at its longest.
    pub async fn chat(
        &self,
        request: &Value,
        signal: &AbortSignal,
        t: &Text,
        mut hear: impl FnMut(&str, bool),
    ) -> Answer<()> {
        let answer = self.fetch("chat/completions", Some(request), Some(signal), t).await?;
        let broke = || t.served.broke_off.to_string();
        let body = answer.body().ok_or_else(broke)?;
        let reader = Reader(body.get_reader().unchecked_into());
        let (mut events, mut joined) = (Events::default(), Joined::default());
        loop {
            let part = JsFuture::from(reader.0.read()).await.map_err(|_| broke())?;
            if get(&part, "done").is_truthy() {
                // The server's last word never came.
                return Err(broke());
            }
            let part: Uint8Array = get(&part, "value").unchecked_into();
            let (mut more, mut at_limit, mut end) = (String::new(), false, None);
            for data in events.add(&part.to_vec()) {
                match joined.read(&data) {
                    Some(Said::Part(text, limit)) => {
                        more.push_str(&text);
                        at_limit |= limit;
                    }
                    Some(Said::End) => end = Some(Ok(())),
                    Some(Said::Failed(why)) => end = Some(Err(fill(t.served.refused, &[&why]))),
                    None => continue,
                }
                if end.is_some() {
                    break;
                }
            }
            if !more.is_empty() || at_limit {
                hear(&more, at_limit);
            }
            if let Some(end) = end {
                return end;
            }
            frame().await;
        }
    }

    /// The answer of a route, once it is a good one.
    async fn fetch(
        &self,
        route: &str,
        body: Option<&Value>,
        signal: Option<&AbortSignal>,
        t: &Text,
    ) -> Answer<Response> {
        let init = RequestInit::new();
        init.set_cache(RequestCache::NoStore);
        // A server that sends elsewhere is not followed.
        set(&init, "redirect", &"error".into());
        init.set_signal(signal);
        let headers = Headers::new().map_err(sentence)?;
        let key = self.key.borrow().clone();
        if !key.is_empty() {
            headers.set("authorization", &format!("Bearer {key}")).map_err(sentence)?;
        }
        if let Some(body) = body {
            init.set_method("POST");
            headers.set("content-type", "application/json").map_err(sentence)?;
            init.set_body(&JsValue::from_str(&body.to_string()));
        }
        init.set_headers(&headers);
        let url = format!("{}{route}", self.place);
        let answer = JsFuture::from(window().fetch_with_str_and_init(&url, &init)).await;
        let answer = answer.map_err(|why| fill(t.served.unreachable, &[&sentence(why)]))?;
        let answer: Response = answer.unchecked_into();
        if answer.ok() {
            return Ok(answer);
        }
        let said = JsFuture::from(answer.json().map_err(sentence)?).await.ok();
        let said = said.and_then(|said| JSON::stringify(&said).ok()?.as_string());
        let said: Option<Value> = said.and_then(|said| serde_json::from_str(&said).ok());
        let why = said.as_ref().and_then(refusal).unwrap_or_else(|| answer.status().to_string());
        Err(fill(t.served.refused, &[&why]))
    }
}

/// Reads what comes, and lets the connection go when nobody reads on, however that ends: a server that has told of an error
/// may keep it open.
struct Reader(ReadableStreamDefaultReader);

impl Drop for Reader {
    fn drop(&mut self) {
        let cancelled = self.0.cancel();
        // A stream that broke refuses that, which says nothing new.
        spawn_local(async { drop(JsFuture::from(cancelled).await) });
    }
}

/// A frame's time: a server may write faster than a page is drawn, and a person must be able to press "Stop".
async fn frame() {
    let mut wait = |resolve: Function, _| {
        Timeout::new(FRAME_MS, move || drop(resolve.call0(&JsValue::NULL))).forget();
    };
    // A promise that is kept, and never broken.
    let _kept = JsFuture::from(Promise::new(&mut wait)).await;
}
