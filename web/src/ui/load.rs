//! Opening a model from files, from an address, or from what is kept, with a bar and a way out.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::JsValue;
use web_sys::{AbortController, File};

use super::app::{App, Topic};
use super::dom::{El, button, el, field};
use super::drop;
use super::engine::{self, Answer};
use super::reopen;
use super::speech::Speech;
use crate::format::{bytes, fill};
use crate::language::Sentence;

/// The card that opens models.
pub struct Loader {
    /// The card.
    pub place: El,
    app: Rc<App>,
    url: El,
    weights: El,
    progress: El,
    bar: El,
    loaded: El,
    loading: RefCell<Option<AbortController>>,
}

/// What the matrices of the next model are held as.
fn weights(speech: &Speech) -> El {
    let choices: [(&str, Sentence); 3] =
        [("f32", |t| t.models.f32), ("q8_0", |t| t.models.q8_0), ("q4_0", |t| t.models.q4_0)];
    let list = el("select").id("model-weights").attr("aria-describedby", "model-weights-hint");
    choices.into_iter().fold(list, |list, (value, sentence)| {
        list.child(&el("option").attr("value", value).say(speech, sentence))
    })
}

impl Loader {
    /// Builds the card.
    pub fn build(app: &Rc<App>) -> Rc<Self> {
        let speech = &app.speech;
        let loader = Rc::new(Self {
            place: el("section").class("card").attr("tabindex", "-1"),
            app: Rc::clone(app),
            url: el("input")
                .id("model-url")
                .attr("type", "url")
                .attr("aria-describedby", "model-url-hint")
                .attr("placeholder", "https://…/model.safetensors"),
            weights: weights(speech),
            progress: el("div").class("line").id("model-progress").shown(false),
            bar: el("progress").say_in("aria-label", speech, |t| t.models.loading),
            loaded: el("span").attr("aria-live", "off"),
            loading: RefCell::default(),
        });
        loader.place.add(&el("h2").say(speech, |t| t.models.title));
        let held = el("div").class("line").child(&field(speech, |t| t.models.weights, &loader.weights));
        loader.place.add(&held);
        loader
            .place
            .add(&el("p").class("faint").id("model-weights-hint").say(speech, |t| t.models.weights_hint));
        let dropped = Rc::clone(&loader);
        let zone =
            drop::zone(speech, "model-drop", |t| t.models.drop, move |files| dropped.load_files(&files));
        loader.place.add(&zone);
        let opened = Rc::clone(&loader);
        let open = button().id("model-open").say(speech, |t| t.models.open);
        let open = open.on("click", move |_| opened.load_url());
        let line = el("div").class("line").child(&field(speech, |t| t.models.url, &loader.url));
        loader.place.add(&line.child(&open));
        loader.place.add(&el("p").class("faint").id("model-url-hint").say(speech, |t| t.models.url_hint));
        let aborted = Rc::clone(&loader);
        let abort =
            button().id("model-abort").say(speech, |t| t.page.cancel).on("click", move |_| aborted.abort());
        let progress = loader.progress.clone().child(&loader.bar).child(&loader.loaded).child(&abort);
        loader.place.add(&progress);
        loader.reopen();
        loader
    }

    /// Opens the model again that was open before a reload, in the place of the one that the page comes with.
    fn reopen(self: &Rc<Self>) {
        let (loader, noted) = (Rc::clone(self), Cell::new(reopen::noted()));
        self.app.watch(Topic::Model, move || {
            if let Some((source, weights)) = noted.take().filter(|_| loader.app.source().is_none()) {
                loader.load_as(source, weights, false);
            }
        });
    }

    fn abort(&self) {
        if let Some(abort) = self.loading.borrow().as_ref() {
            abort.abort();
        }
    }

    // One file is a single-file checkpoint or a .zip; several are a Hugging Face directory.
    fn load_files(self: &Rc<Self>, files: &[File]) {
        match files {
            [] => (),
            [file] => self.load(file.into()),
            files => self.load(engine::files(files)),
        }
    }

    fn load_url(self: &Rc<Self>) {
        let url = self.url.value();
        if !url.trim().is_empty() {
            self.load(url.trim().into());
        }
    }

    /// Opens a model in the place of the one that is open; an opening that still goes on ends.
    pub fn load(self: &Rc<Self>, source: JsValue) {
        if self.app.may_replace_model() {
            self.load_as(source, self.weights.value(), true);
        }
    }

    fn load_as(self: &Rc<Self>, source: JsValue, weights: String, is_told: bool) {
        self.abort();
        let Ok(abort) = AbortController::new() else { return };
        self.loading.replace(Some(abort.clone()));
        let _ = self.bar.remove_attribute("value");
        self.loaded.write(self.app.speech.text().models.loading);
        self.progress.show(true);
        let loader = Rc::clone(self);
        self.app.spawn(async move {
            let answer = loader.open(&source, &weights, is_told, &abort).await;
            if loader.loading.borrow().as_ref().is_some_and(|now| js_sys::Object::is(now, &abort)) {
                loader.loading.replace(None);
                loader.progress.show_or_leave(false, &loader.place);
            }
            if abort.signal().aborted() { Ok(()) } else { answer }
        });
    }

    async fn open(
        self: &Rc<Self>,
        source: &JsValue,
        weights: &str,
        is_told: bool,
        abort: &AbortController,
    ) -> Answer<()> {
        let told = Rc::clone(self);
        let show = move |loaded, total| told.show(loaded, total);
        let model = engine::load(source, weights, &abort.signal(), show).await?;
        let is_open = fill(self.app.speech.text().models.is_open, &[&model.name]);
        match model.notes.as_slice() {
            _ if !is_told => (),
            [] => self.app.tell(&is_open),
            // It is open, and something about it should be known.
            notes => {
                let said: Vec<String> = notes.iter().map(engine::spoken).collect();
                self.app.fail(&format!("{is_open} {}", said.join("; ")));
            }
        }
        self.app.set_model(Some(model), Some(source.clone()));
        if is_told {
            // Who opens a model wants to talk with it.
            self.app.set_remote(None);
        }
        if source.is_string() {
            // The engine keeps what it downloaded.
            self.app.changed(Topic::Kept);
        }
        Ok(())
    }

    fn show(&self, loaded: f64, total: Option<f64>) {
        match total {
            Some(total) => {
                self.bar.set("max", &total.max(1.0).to_string());
                self.bar.set("value", &loaded.to_string());
                self.loaded.write(&fill("{} / {}", &[&bytes(loaded), &bytes(total)]));
            }
            None => self.loaded.write(&bytes(loaded)),
        }
    }
}
