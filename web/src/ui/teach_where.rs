//! Where a run trains: in this tab, or on the server that the page came from, with the runs that are there.

use std::rc::Rc;

use serde_json::Value;
use wasm_bindgen::prelude::JsValue;

use super::app::App;
use super::dom::{self, El, button, choice, el};
use super::engine;
use super::served;
use super::training::Training;
use crate::format::fill;
use crate::messages::run::{SavedRun, ServedRuns};

/// The name of the choice.
const NAME: &str = "teach-where";
/// Settings that follow from a plan, which the server has none of.
const OF_PLAN: [&str; 2] = ["log-every", "eval-every"];

/// The choice, and the server's runs below it.
pub struct Where {
    /// All of it.
    pub place: El,
    app: Rc<App>,
    training: Rc<Training>,
    there: El,
    runs: El,
}

impl Where {
    /// Builds it; none where the page came from no server that trains.
    pub fn build(app: &Rc<App>, training: &Rc<Training>) -> Option<Rc<Self>> {
        served::own().filter(|server| server.trains)?;
        let speech = &app.speech;
        let radio = |id: &str| el("input").id(id).attr("type", "radio").attr("name", NAME);
        let (here, there) = (radio("teach-here"), radio("teach-there"));
        here.set_checked(true);
        let group = el("fieldset").class("segments").id(NAME);
        let group = group.child(&el("legend").say(speech, |t| t.served.place));
        let group = group.child(&choice(speech, |t| t.served.here, &here));
        let group = group.child(&choice(speech, |t| t.served.there, &there));
        let runs = el("ul").class("plain").id("server-runs");
        let hint = el("p").class("faint").say(speech, |t| t.served.there_hint);
        let shown = el("div").child(&hint).child(&runs).shown(false);
        let place = el("div").child(&group).child(&shown);
        let (app, training) = (Rc::clone(app), Rc::clone(training));
        let chosen = Rc::new(Self { place, app, training, there, runs });
        for radio in [&here, &chosen.there] {
            let (chosen, shown) = (Rc::clone(&chosen), shown.clone());
            dom::listen(radio, "change", move |_| {
                shown.show(chosen.is_there());
                chosen.list();
            });
        }
        Some(chosen)
    }

    /// Whether the server trains.
    pub fn is_there(&self) -> bool {
        self.there.checked()
    }

    /// Asks for the runs that are there, where the server is chosen.
    pub fn list(self: &Rc<Self>) {
        if !self.is_there() {
            return;
        }
        let own = Rc::clone(self);
        self.app.spawn(async move {
            let served = engine::served_runs().await?;
            own.show(&served);
            Ok(())
        });
    }

    fn show(self: &Rc<Self>, served: &ServedRuns) {
        self.runs.redraw(|| {
            self.runs.clear();
            for run in &served.runs {
                let goes_on = served.running.as_ref() == Some(&run.id);
                self.runs.add(&self.row(run, goes_on));
            }
        });
    }

    fn row(self: &Rc<Self>, run: &SavedRun, goes_on: bool) -> El {
        let t = self.app.speech.text();
        let (step, total) = (format!("{:.0}", run.step), format!("{:.0}", run.total_steps));
        let total = if run.total_steps > 0.0 { total } else { "?".to_string() };
        let line = fill(t.served.run_at, &[&run.name, &step, &total]);
        let row = el("li").class("entry").test("server-run").attr("data-name", &run.id);
        let row = row.child(&el("span").text(&line));
        let (method, said) = if goes_on { ("rejoin", t.served.watch) } else { ("resume", t.teach.resume) };
        if !goes_on && (run.step >= run.total_steps || !run.damaged.is_empty()) {
            return row;
        }
        let (own, id, total) = (Rc::clone(self), run.id.clone(), run.total_steps);
        let press = button().test("server-run-go").text(said).on("click", move |_| {
            let question = own.app.speech.text().teach.question.to_string();
            own.training.start_served(method, JsValue::from_str(&id), question, total);
        });
        row.child(&el("span").class("foot").child(&press))
    }

    /// What is asked of the server: the model that is talked with, or its first one. Without a plan of the tab's, reports come
    /// as the server has them.
    pub fn request(&self, mut request: Value, is_planned: bool) -> JsValue {
        if !is_planned {
            if let Some(config) = request.get_mut("config").and_then(Value::as_object_mut) {
                OF_PLAN.iter().for_each(|name| drop(config.remove(*name)));
            }
            let every = request.get("sample").and_then(|sample| sample.get("every")).and_then(Value::as_u64);
            if let Some(object) = request.as_object_mut().filter(|_| every == Some(1)) {
                object.remove("sample");
            }
        }
        let model = self.app.remote().map(|remote| remote.model).unwrap_or_default();
        let request = engine::write(&request);
        engine::set(&request, "model", &model.into());
        request
    }
}
