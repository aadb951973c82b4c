//! The card that makes a diffusion model of the open model.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::json;
use wasm_bindgen::prelude::JsValue;
use web_sys::AbortController;

use super::calls;
use crate::format::fill;
use crate::messages::model::{ModelInfo, WeightsAs};
use crate::ui::app::{App, Topic};
use crate::ui::dom::{self, El, button, choice, el, field};
use crate::ui::engine::{self, Answer};
use crate::ui::numbers::{Number, Numbers, fault_in};
use crate::ui::speech::Slot;

const BLOCK: [Number; 1] = [Number::new("block_length", |t| t.diffusion.convert_block, ["1", "32768", "1"])];

/// The card.
pub struct Convert {
    /// Where it is.
    pub place: El,
    app: Rc<App>,
    /// What there is to do with a model that writes from left to right.
    ways: El,
    /// What is said of one that is a diffusion model.
    is: El,
    teach: El,
    status: El,
    begin: El,
    name: El,
    block: Numbers,
    shift: El,
    working: Cell<bool>,
}

impl Convert {
    /// Builds the card.
    pub fn build(app: &Rc<App>) -> Rc<Self> {
        let speech = &app.speech;
        let convert = Rc::new(Self {
            place: el("section").class("card").id("convert").attr("tabindex", "-1"),
            app: Rc::clone(app),
            ways: el("div").class("stack"),
            is: el("p").id("convert-is"),
            teach: button().id("convert-teach").say(speech, |t| t.diffusion.teach),
            status: el("span").class("faint").id("convert-status").attr("aria-live", "polite"),
            begin: button().id("convert-begin").say(speech, |t| t.diffusion.convert),
            name: el("input").id("convert-name").attr("type", "text"),
            block: Numbers::build(speech, "convert", &BLOCK),
            shift: el("input").id("convert-shift").attr("type", "checkbox"),
            working: Cell::default(),
        });
        speech.add(&convert.name, Slot::Attribute("placeholder"), |t| t.teach.automatic);
        convert.shift.set_checked(true);
        convert.fill();
        for topic in [Topic::Model, Topic::Language] {
            let shown = Rc::clone(&convert);
            app.watch(topic, move || shown.show());
        }
        convert.show();
        convert
    }

    fn fill(self: &Rc<Self>) {
        let speech = &self.app.speech;
        self.place.add(&el("h2").say(speech, |t| t.diffusion.turn));
        let more = el("details").class("settings").id("convert-more");
        let more = more.child(&el("summary").say(speech, |t| t.diffusion.turn_more));
        self.block.group.add(&field(speech, |t| t.teach.run_name, &self.name));
        let more = more.child(&self.block.group).child(&choice(speech, |t| t.diffusion.shift, &self.shift));
        self.ways.add(&el("p").class("faint").say(speech, |t| t.diffusion.turn_hint));
        self.ways.add(&more);
        self.ways.add(&el("div").class("foot").child(&self.begin).child(&self.status));
        for part in [&self.ways, &self.is, &self.teach] {
            self.place.add(part);
        }
        let (began, led) = (Rc::clone(self), Rc::clone(&self.app));
        dom::listen(&self.begin, "click", move |_| began.begin());
        dom::listen(&self.teach, "click", move |_| led.show_tab("teach"));
    }

    fn show(&self) {
        let model = self.app.model();
        let said = model.as_ref().and_then(|model| about(model, &self.app));
        self.place.show(model.is_some());
        // The keyboard goes on from the card where its button is gone.
        self.ways.show_or_leave(said.is_none(), &self.place);
        self.is.show(said.is_some());
        self.teach.show_or_leave(said.is_some(), &self.place);
        self.is.write(&said.unwrap_or_default());
    }

    fn begin(self: &Rc<Self>) {
        if let Some((field, _)) = fault_in(&self.place, self.app.speech.text()) {
            field.go_to();
            return;
        }
        if self.working.get() || !self.app.may_replace_model() {
            return;
        }
        self.set_working(true);
        let convert = Rc::clone(self);
        self.app.spawn(async move {
            let answer = convert.convert().await;
            convert.set_working(false);
            answer
        });
    }

    fn set_working(&self, working: bool) {
        self.working.set(working);
        self.begin.set("aria-disabled", if working { "true" } else { "false" });
        self.status.write(if working { self.app.speech.text().diffusion.converting } else { "" });
    }

    async fn convert(&self) -> Answer<()> {
        let parent = self.app.model().map(|model| model.name).unwrap_or_default();
        let mut options = self.block.values();
        options.insert("to".into(), "diffusion".into());
        options.insert("shift_logits".into(), self.shift.checked().into());
        let name = self.name.value();
        if !name.trim().is_empty() {
            options.insert("name".into(), name.trim().into());
        }
        let made = calls::convert(&options.into()).await?;
        self.app.changed(Topic::Kept);
        if self.app.model().is_none_or(|model| model.name != parent) {
            // Another model was opened meanwhile, and stays.
            self.app.tell(&fill(self.app.speech.text().models.is_kept, &[&made.name]));
            return Ok(());
        }
        let source = engine::write(&json!({ "kept": made.name }));
        self.open(source).await?;
        self.name.set_value("");
        let t = &self.app.speech.text().diffusion;
        let told = if made.known { t.converted_before } else { t.converted };
        let told = fill(told, &[&made.name, &parent]);
        let said: Vec<String> = made.notes.iter().map(engine::spoken).collect();
        let said = if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) };
        self.app.tell(&(told + &said));
        Ok(())
    }

    async fn open(&self, source: JsValue) -> Answer<()> {
        let abort = AbortController::new().map_err(engine::sentence)?;
        // It is there to be trained, which takes all bits.
        let model = engine::load(&source, WeightsAs::F32.word(), &abort.signal(), |_, _| ()).await?;
        self.app.set_model(Some(model), Some(source));
        Ok(())
    }
}

/// What is said of a diffusion model; nothing of any other.
fn about(model: &ModelInfo, app: &App) -> Option<String> {
    let (diffusion, t) = (model.diffusion.as_ref()?, &app.speech.text().diffusion);
    let said = match diffusion.block_length {
        Some(length) => fill(t.blocks, &[&length.to_string()]),
        None => t.is.to_string(),
    };
    let parent = model.card.as_ref().and_then(|card| card.parent.as_ref());
    Some(said + &parent.map(|parent| fill(t.made_from, &[parent])).unwrap_or_default())
}
