//! The tab of adapters: which act and how strongly, in and out, and the comparison with the base.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;

use super::acting::Acting;
use super::app::{App, Topic};
use super::compare;
use super::dom::{self, El, button, el, field};
use super::drop;
use super::engine::{self, Answer};
use super::evaluate;
use super::students;
use super::trained;
use crate::format::{count, fill};
use crate::messages::model::AdapterInfo;
use crate::names::{day, stem};

struct Adapters {
    app: Rc<App>,
    list: El,
    name: El,
    known: RefCell<Vec<AdapterInfo>>,
    acting: Acting,
    /// Whether the list waits to be asked for anew, until a slider is let go or the last choice is answered.
    late: Cell<bool>,
    /// Choices on their way to the engine. Until the last one is answered, what is known is what was chosen: a choice made
    /// meanwhile goes on from that.
    choices: Cell<u32>,
}

/// Builds the tab.
pub fn build(app: &Rc<App>, panel: &El) {
    let speech = &app.speech;
    let adapters = Rc::new(Adapters {
        app: Rc::clone(app),
        list: el("ul").class("plain").id("adapter-list"),
        name: el("input").id("adapter-name").attr("type", "text"),
        known: RefCell::default(),
        acting: Acting::load(),
        late: Cell::default(),
        choices: Cell::default(),
    });
    let card = el("section").class("card").child(&el("h2").say(speech, |t| t.adapters.title));
    let card = card.child(&el("p").class("faint").say(speech, |t| t.adapters.hint)).child(&adapters.list);
    let added = Rc::clone(&adapters);
    let zone = drop::zone(speech, "adapter-files", |t| t.adapters.drop, move |files| added.add(&files));
    let import = el("details").class("settings").child(&el("summary").say(speech, |t| t.adapters.import));
    let import = import.child(&field(speech, |t| t.adapters.name, &adapters.name)).child(&zone);
    let (comparison, ask) = compare::build(app);
    panel.add(&comparison);
    panel.add(&trained::build(app, ask));
    panel.add(&evaluate::build(app));
    panel.add(&card.child(&import));
    panel.add(&students::build(app));
    let fetched = Rc::clone(&adapters);
    app.watch(Topic::Adapters, move || fetched.fetch());
    // A slider that comes back to where it was says nothing of being let go.
    let waiting = Rc::clone(&adapters);
    dom::listen(&dom::window(), "pointerup", move |_| {
        if waiting.late.get() {
            waiting.fetch();
        }
    });
    app.watch(Topic::Language, move || adapters.show());
}

impl Adapters {
    fn fetch(self: &Rc<Self>) {
        let adapters = Rc::clone(self);
        self.app.spawn(async move {
            let known = engine::adapters().await;
            // It may be from before a choice, whose answer brings the list, too.
            if adapters.choices.get() > 0 {
                return Ok(());
            }
            let known = match known {
                Ok(known) => adapters.let_act_again(known).await,
                failed => failed.map(Some),
            };
            let Some(known) = known.transpose() else { return Ok(()) };
            // What is as it was stays under the hand.
            let shown = adapters.list.child_element_count() > 0 && !adapters.late.get();
            let is_same = shown && known.as_ref().is_ok_and(|known| *known == *adapters.known.borrow());
            if is_same { Ok(()) } else { adapters.take(known) }
        });
    }

    /// Lets the adapters act that did so before a reload, once their model is open; `None` where another choice follows.
    async fn let_act_again(&self, mut known: Vec<AdapterInfo>) -> Answer<Option<Vec<AdapterInfo>>> {
        let mut woken = self.acting.wake(&mut known);
        if woken.is_empty() {
            return Ok(Some(known));
        }
        self.know(&known);
        let known = self.choose(known).await?;
        let acts = |name: &String| known.iter().flatten().any(|now| now.active && now.name == *name);
        woken.retain(|name| known.is_none() || acts(name));
        if !woken.is_empty() {
            self.app.tell_also(&fill(self.app.speech.text().adapters.on_again, &[&woken.join(", ")]));
        }
        Ok(known)
    }

    /// Knows a choice at once, for the next one, and for a reload that comes before the engine's answer.
    fn know(&self, wanted: &[AdapterInfo]) {
        self.known.replace(wanted.to_vec());
        self.late.set(true);
        self.choices.set(self.choices.get() + 1);
        self.acting.keep(wanted);
    }

    /// Lets the engine choose what acts, after [`Self::know`]. Gives the list, what acts being as before where the engine
    /// refused; `None` where a later choice is on its way, which brings it.
    async fn choose(&self, wanted: Vec<AdapterInfo>) -> Answer<Option<Vec<AdapterInfo>>> {
        let answer = engine::use_adapters(&wanted).await;
        self.choices.set(self.choices.get() - 1);
        match answer {
            answer if self.choices.get() > 0 => answer.map(|_| None),
            Ok(known) => Ok(Some(known)),
            Err(sentence) => {
                self.app.fail(&sentence);
                engine::adapters().await.map(Some)
            }
        }
    }

    fn take(self: &Rc<Self>, known: Answer<Vec<AdapterInfo>>) -> Answer<()> {
        let failed = known.as_ref().err().cloned();
        if let Ok(known) = known {
            self.acting.keep(&known);
            self.known.replace(known);
        }
        self.list.set("aria-busy", "false");
        // A slider that is being moved stays under the hand: the list is shown once it is let go. After a failure, too,
        // switches go back to what acts.
        let is_held = self.list.query_selector("input:active").ok().flatten().is_some();
        self.late.set(is_held);
        if !is_held {
            self.show();
        }
        failed.map_or(Ok(()), Err)
    }

    /// The same where others show it too.
    fn take_for_all(self: &Rc<Self>, known: Answer<Vec<AdapterInfo>>) -> Answer<()> {
        // A choice that is on its way brings a later list.
        if known.is_err() || self.choices.get() == 0 {
            self.take(known)?;
        }
        self.app.changed(Topic::Adapters);
        Ok(())
    }

    fn show(self: &Rc<Self>) {
        let t = self.app.speech.text();
        self.list.redraw(|| {
            self.list.clear();
            for adapter in self.known.borrow().iter() {
                self.list.add(&self.row(adapter));
            }
            if self.known.borrow().is_empty() {
                self.list.add(&el("li").class("faint").text(t.adapters.none));
            }
        });
    }

    fn row(self: &Rc<Self>, adapter: &AdapterInfo) -> El {
        let t = self.app.speech.text();
        let on = el("input").test("adapter-on").attr("type", "checkbox");
        on.set_checked(adapter.active);
        // One of another model waits until that is open.
        on.enable(adapter.fits);
        let (switched, read, name) = (Rc::clone(self), on.clone(), adapter.name.clone());
        let on = on.on("change", move |_| switched.change(&name, |adapter| adapter.active = read.checked()));
        let about =
            fill(t.adapters.about, &[&adapter.rank.to_string(), &count(adapter.parameters, &t.units)]);
        let name = el("label").class("choice").child(&on).child(&el("strong").text(&adapter.name));
        let row = el("li").class("adapter").test("adapter").attr("data-name", &adapter.name).child(&name);
        let row = row.child(&el("span").class("faint").text(&about)).child(&self.origin(adapter));
        let row = if adapter.fits { row.child(&self.strength(adapter)) } else { row };
        let (exporting, what) = (Rc::clone(&self.app), json!({ "adapter": adapter.name }));
        let export = button().class("quiet").test("adapter-export").text(t.adapters.export);
        let export = export.on("click", move |_| exporting.export(what.clone(), true));
        let (removing, removed) = (Rc::clone(self), adapter.name.clone());
        let remove = self.app.deleting(
            |t| t.page.remove,
            move || {
                let (adapters, name) = (Rc::clone(&removing), removed.clone());
                removing.app.spawn(async move { adapters.take_for_all(engine::remove_adapter(&name).await) });
            },
        );
        row.child(&el("span").class("foot").child(&export).child(&remove.test("adapter-remove")))
    }

    /// Where an adapter belongs and when it was made, or why it is of no use.
    fn origin(&self, adapter: &AdapterInfo) -> El {
        let t = self.app.speech.text();
        if let Some(damaged) = &adapter.damaged {
            return el("span").class("bad").text(&engine::spoken(damaged));
        }
        let base = adapter.base.as_deref().unwrap_or("?");
        let made = js_sys::Date::new(&adapter.made.into());
        let made = day(made.get_full_year(), made.get_month() + 1, made.get_date());
        let of = if adapter.fits { t.adapters.of } else { t.adapters.of_other };
        let origin = el("span").class("faint").test("adapter-base").text(&fill(of, &[base, &made]));
        match adapter.kept {
            true => origin,
            false => origin.child(&el("strong").class("bad").text(t.adapters.not_kept)),
        }
    }

    fn strength(self: &Rc<Self>, adapter: &AdapterInfo) -> El {
        let shown = el("output").text(&format!("{:.2}", adapter.strength));
        let slider = el("input").test("adapter-strength").attr("type", "range");
        let slider = slider.attr("min", "0").attr("max", "2").attr("step", "0.05");
        slider.set_value(&adapter.strength.to_string());
        let (told, moved) = (shown.clone(), slider.clone());
        let slider = slider.on("input", move |_| told.write(&format!("{:.2}", strength(&moved))));
        let (changed, read, name) = (Rc::clone(self), slider.clone(), adapter.name.clone());
        // The engine is told when the slider is let go, not at each place it passes.
        let slider =
            slider.on("change", move |_| changed.change(&name, |adapter| adapter.strength = strength(&read)));
        let label =
            el("label").class("strength").child(&el("span").text(self.app.speech.text().adapters.strength));
        label.child(&slider).child(&shown)
    }

    fn change(self: &Rc<Self>, name: &str, change: impl FnOnce(&mut AdapterInfo)) {
        let mut wanted = self.known.borrow().clone();
        if let Some(adapter) = wanted.iter_mut().find(|adapter| adapter.name == name) {
            change(adapter);
        }
        self.know(&wanted);
        let adapters = Rc::clone(self);
        // It is read from the disk first; a question that is asked meanwhile waits for it.
        self.list.set("aria-busy", "true");
        self.app.spawn(async move {
            let known = adapters.choose(wanted).await;
            if adapters.choices.get() > 0 {
                return known.map(drop);
            }
            let taken = known.transpose().map_or(Ok(()), |known| adapters.take(known));
            // One that waits to act again may have been passed over for this choice.
            if adapters.acting.waits() {
                adapters.fetch();
            }
            taken
        });
    }

    fn add(self: &Rc<Self>, files: &[web_sys::File]) {
        let name = match (self.name.value().trim(), files) {
            ("", [file]) => stem(&file.name()).to_string(),
            // The two files of an adapter have the same names everywhere.
            ("", _) => self.app.speech.text().adapters.unnamed.to_string(),
            (typed, _) => typed.to_string(),
        };
        let files = engine::files(files);
        let adapters = Rc::clone(self);
        self.app.spawn(async move { adapters.take_for_all(engine::add_adapter(&name, &files).await) });
    }
}

fn strength(slider: &El) -> f64 {
    slider.value().parse().unwrap_or(1.0)
}
