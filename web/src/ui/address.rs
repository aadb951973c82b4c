//! What the page's own address asks for: `?model=URL&adapter=URL&lesson=URL`, as a teacher gives it to students.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::JsValue;
use web_sys::{AbortController, AbortSignal};

use super::app::{App, Topic};
use super::brought;
use super::dom::{El, button, el, find};
use super::engine::{self, Answer};
use super::fetch::{asked, fetch, resolve};
use super::lessons::Lessons;
use crate::format::{bytes, fill};
use crate::saves::crc32;

/// The largest adapter.
const MOST_BYTES: usize = 500_000_000;

struct Address {
    app: Rc<App>,
    banner: El,
    bar: El,
    status: El,
    abort: AbortController,
    /// What went wrong so far; one line shows all of it.
    failed: RefCell<Vec<String>>,
}

/// Opens what the page's address asks for.
pub fn follow(app: &Rc<App>, lessons: Rc<Lessons>, notices: &El) {
    let Ok(abort) = AbortController::new() else { return };
    let (model, adapter, lesson) = (asked("model"), asked("adapter"), asked("lesson"));
    if model.is_none() && adapter.is_none() && lesson.is_none() {
        return;
    }
    let address = Address::build(app, notices, abort);
    if let Some(lesson) = lesson {
        let opening = Rc::clone(&address);
        app.spawn(async move {
            let opened = lessons.fetch_and_open(&lesson, true, &opening.abort.signal()).await;
            opening.note(opened);
            Ok(())
        });
    }
    // The head says once which model the page came with; whatever else is opened comes after that.
    let begun = Cell::new(model.is_none() && adapter.is_none());
    app.watch(Topic::Model, move || {
        if begun.replace(true) {
            return;
        }
        let (address, model, adapter) = (Rc::clone(&address), model.clone(), adapter.clone());
        address.app.clone().spawn(async move {
            address.open(model, adapter).await;
            Ok(())
        });
    });
}

impl Address {
    fn build(app: &Rc<App>, notices: &El, abort: AbortController) -> Rc<Self> {
        let speech = &app.speech;
        let address = Rc::new(Self {
            app: Rc::clone(app),
            banner: el("div").class("banner").id("address-progress").shown(false),
            bar: el("progress").say_in("aria-label", speech, |t| t.models.loading),
            status: el("span").attr("aria-live", "polite"),
            abort,
            failed: RefCell::default(),
        });
        let aborted = Rc::clone(&address);
        let cancel = button().say(speech, |t| t.page.cancel).on("click", move |_| aborted.abort.abort());
        notices.add(&address.banner.clone().child(&address.status).child(&address.bar).child(&cancel));
        address
    }

    /// Shows what failed, unless the person ended it.
    fn note<T>(&self, answer: Answer<T>) -> Option<T> {
        match answer {
            Ok(value) => return Some(value),
            Err(_) if self.abort.signal().aborted() => (),
            Err(sentence) => {
                self.failed.borrow_mut().push(sentence);
                self.app.fail(&self.failed.borrow().join("\n"));
            }
        }
        None
    }

    async fn open(self: &Rc<Self>, model: Option<String>, adapter: Option<String>) {
        let is_open = match model {
            Some(model) => self.note(self.open_model(&model).await).is_some(),
            None => self.app.model().is_some(),
        };
        // It would not fit, and say nothing of why the right model is not there.
        if let Some(adapter) = adapter.filter(|_| is_open) {
            self.note(self.open_adapter(&adapter).await);
        }
        self.banner.show_or_leave(false, &find("main"));
    }

    async fn open_model(self: &Rc<Self>, address: &str) -> Answer<()> {
        let url = resolve(address, self.app.speech.text())?;
        self.begin(&url);
        let told = Rc::clone(self);
        let source = JsValue::from(url.as_str());
        let tell = move |loaded, total| told.show(loaded, total);
        let model = engine::load(&source, "f32", &self.abort.signal(), tell).await?;
        self.app.set_model(Some(model), Some(source));
        // The engine keeps what it downloaded.
        self.app.changed(Topic::Kept);
        Ok(())
    }

    /// Fetches an adapter and lets it act.
    async fn open_adapter(&self, address: &str) -> Answer<()> {
        let t = self.app.speech.text();
        let url = resolve(address, t)?;
        self.begin(&url);
        let signal: AbortSignal = self.abort.signal();
        let content = fetch(&url, MOST_BYTES, &signal, t, |loaded, total| self.show(loaded, total)).await?;
        let (mark, own) = (crc32(&content).to_string(), own_name(&url));
        // An archive is one, whatever its address is called.
        let file = if content.starts_with(b"PK") { format!("{own}.zip") } else { own.clone() };
        brought::use_alone(&url, &mark, &own, &engine::file_of_bytes(&file, &content)).await?;
        self.app.changed(Topic::Adapters);
        Ok(())
    }

    fn begin(&self, url: &str) {
        let _ = self.bar.remove_attribute("value");
        self.status.write(&fill(self.app.speech.text().lessons.fetching, &[url]));
        self.banner.show(true);
    }

    fn show(&self, loaded: f64, total: Option<f64>) {
        if let Some(total) = total {
            self.bar.set("max", &total.max(1.0).to_string());
            self.bar.set("value", &loaded.to_string());
            self.bar.set("title", &fill("{} / {}", &[&bytes(loaded), &bytes(total)]));
        }
    }
}

/// The name of the file at an address, without its ending.
fn own_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let own = path.rsplit('/').next().unwrap_or_default();
    let own = js_sys::decode_uri_component(own).map_or_else(|_| own.to_string(), String::from);
    let stem = own.strip_suffix(".zip").unwrap_or(&own);
    if stem.is_empty() { "adapter".into() } else { stem.to_string() }
}
