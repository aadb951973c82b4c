//! The head of the page: name, device, model, language; and the banners for a fallback and for a crash.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::JsValue;

use super::app::{App, Topic};
use super::dom::{self, El, button, el};
use super::engine::{self, Answer};
use super::storage;
use crate::format::{count, fill};
use crate::messages::model::{DeviceInfo, DeviceKind, NoWebGpu};

/// Kept once somebody closed the notice of the processor.
const NOTICE_CLOSED: &str = "kindling-notice-closed";

struct Header {
    app: Rc<App>,
    device: El,
    model: El,
    fallback: El,
    fallback_more: El,
    fallback_closed: Cell<bool>,
    found: RefCell<Option<DeviceInfo>>,
    /// Whether the shipped model may still come.
    opening: Cell<bool>,
}

/// Builds the head into its place, with the button for a new conversation, then asks for the device and waits for the
/// shipped model.
pub fn build(app: &Rc<App>, place: &El, notices: &El, anew: &El) {
    let speech = &app.speech;
    let switch = button().id("lang-switch").class("quiet").say(speech, |t| t.page.switch);
    let switched = Rc::clone(app);
    let switch = switch.on("click", move |_| {
        switched.speech.switch();
        switched.changed(Topic::Language);
    });
    let header = Rc::new(Header {
        app: Rc::clone(app),
        device: el("span").id("device").class("pill"),
        model: el("span").id("model").class("pill"),
        fallback: el("div").id("device-notice").class("banner notice").shown(false),
        fallback_more: el("p"),
        fallback_closed: Cell::new(storage::kept(NOTICE_CLOSED).is_some()),
        found: RefCell::default(),
        opening: Cell::new(true),
    });
    let state = el("div").class("state").attr("aria-live", "polite");
    let state = state.child(&header.device).child(&header.model);
    for part in [&el("h1").text("Kindling"), &state, anew, &switch] {
        place.add(part);
    }
    notices.add(&fallback_notice(&header));
    notices.add(&crash_banner(&header));
    let shown = Rc::clone(&header);
    app.watch(Topic::Language, move || shown.show());
    for topic in [Topic::Model, Topic::Remote] {
        let shown = Rc::clone(&header);
        app.watch(topic, move || shown.show());
    }
    header.show();
    app.spawn(async move { header.start().await });
}

/// A line that says that the page is slow, with why and what helps in its fold. Who closed it does not see it again.
fn fallback_notice(header: &Rc<Header>) -> El {
    let speech = &header.app.speech;
    let more = el("details").child(&el("summary").say(speech, |t| t.page.fallback));
    let more = more.child(&header.fallback_more);
    let close = button().id("device-notice-close").class("quiet close").text("✕");
    let close = close.say_in("aria-label", speech, |t| t.page.close);
    let closed = Rc::clone(header);
    let close = close.on("click", move |_| {
        closed.fallback_closed.set(true);
        // Where the browser keeps nothing, it is there again at the next visit.
        storage::keep(NOTICE_CLOSED, "yes");
        closed.fallback.show_or_leave(false, &dom::find("main"));
    });
    header.fallback.clone().child(&more).child(&close)
}

fn crash_banner(header: &Rc<Header>) -> El {
    let speech = &header.app.speech;
    let reason = el("span").id("crash-message");
    let banner = el("div").id("crash").class("banner bad").attr("role", "alert").shown(false);
    let (hidden, crashed) = (banner.clone(), Rc::clone(header));
    let restart = button().id("crash-restart").say(speech, |t| t.page.restart).on("click", move |_| {
        hidden.show_or_leave(false, &dom::find("main"));
        let header = Rc::clone(&crashed);
        crashed.app.spawn(async move { header.restart().await });
    });
    let banner = banner.child(&el("strong").say(speech, |t| t.page.crashed)).child(&reason).child(&restart);
    let shown = banner.clone();
    engine::on_crash(move |message| {
        reason.write(&message);
        shown.show(true);
    });
    banner
}

impl Header {
    async fn start(&self) -> Answer<()> {
        let found = engine::device().await;
        let failed = found.as_ref().err().cloned();
        self.found.replace(found.ok());
        self.show();
        let model = engine::ready().await;
        self.opening.set(false);
        self.app.set_model(model.clone().ok().flatten(), None);
        // They are listed for the first time; nothing of them changed.
        self.app.show_again(Topic::Runs);
        self.app.show_again(Topic::Kept);
        failed.map_or(model.map(drop), Err)
    }

    /// A new engine has no model: the last one is opened again from where it came, the shipped one by a new
    /// start.
    async fn restart(&self) -> Answer<()> {
        let (model, source) = (self.app.model(), self.app.source());
        self.app.set_model(None, None);
        engine::restart().await?;
        self.found.replace(Some(engine::device().await?));
        self.show();
        match (model, source) {
            (Some(model), Some(source)) => self.reopen(source, model.weights.word()).await,
            (None, Some(source)) => self.reopen(source, "f32").await,
            (Some(_), None) => dom::window().location().reload().map_err(engine::sentence),
            (None, None) => Ok(()),
        }
    }

    async fn reopen(&self, source: JsValue, weights: &str) -> Answer<()> {
        let abort = web_sys::AbortController::new().map_err(engine::sentence)?;
        let model = engine::load(&source, weights, &abort.signal(), |_, _| ()).await?;
        self.app.set_model(Some(model), Some(source));
        self.app.changed(Topic::Runs);
        Ok(())
    }

    fn show(&self) {
        let t = self.app.speech.text();
        let found = self.found.borrow();
        self.device.set("data-kind", found.as_ref().map_or("", |device| device.kind.word()));
        self.device.write(&found.as_ref().map_or_else(
            || t.page.looking.to_string(),
            |device| match device.kind {
                DeviceKind::Webgpu if !device.name.is_empty() => format!("WebGPU · {}", device.name),
                DeviceKind::Webgpu => "WebGPU".into(),
                DeviceKind::Cpu => t.page.processor.into(),
            },
        ));
        let fallback = found.as_ref().filter(|device| device.kind != DeviceKind::Webgpu);
        let reason = fallback.map_or("", |device| match device.reason {
            Some(NoWebGpu::NoWebgpu) => t.page.no_webgpu,
            Some(NoWebGpu::NoAdapter) => t.page.no_adapter,
            _ => device.notice.as_deref().unwrap_or_default(),
        });
        self.fallback_more.write(&fill(t.page.fallback_more, &[reason]));
        self.fallback.show(fallback.is_some() && !self.fallback_closed.get());
        if let Some(remote) = self.app.remote() {
            return self.model.write(&remote.server.called(&remote.model, t));
        }
        self.model.write(&match self.app.model() {
            Some(model) => fill(t.page.model, &[&model.name, &count(model.parameters, &t.units)]),
            None if self.opening.get() => t.page.opening.to_string(),
            None => t.page.no_model.to_string(),
        });
    }
}
