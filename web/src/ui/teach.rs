//! The tab where a person teaches the model: data, settings, what it will take, and the run.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo::timers::callback::Timeout;
use wasm_bindgen::prelude::JsValue;

use super::app::{App, Topic, Unsaved};
use super::chat::Chat;
use super::dom::{self, El, button, el};
use super::engine::{self, Answer};
use super::lesson::Lesson;
use super::lessons::{Desk, Lessons, Rows};
use super::numbers::fault_in;
use super::preview;
use super::remarks::remarks;
use super::teach_data::Data;
use super::teach_settings::Settings;
use super::teach_where::Where;
use super::training::Training;
use super::unfinished;
use crate::format::{bytes, count, duration, fill};
use crate::messages::run::Plan;

/// How long the page waits after the last change before it asks for a plan.
const PAUSE_MS: u32 = 400;
/// So many rows are previewed.
const PREVIEWED: u32 = 3;

struct Teach {
    app: Rc<App>,
    data: Rc<Data>,
    settings: Rc<Settings>,
    training: Rc<Training>,
    /// Where it trains, where there is a choice.
    place: Option<Rc<Where>>,
    plan_line: El,
    warnings: El,
    preview: El,
    start: El,
    plan: RefCell<Option<Plan>>,
    timer: Cell<Option<Timeout>>,
    /// Counts questions for a plan; only the last one's answer is shown.
    asked: Cell<u32>,
}

/// Builds the tab; gives the part that shows runs, and the lessons.
pub fn build(app: &Rc<App>, panel: &El, notices: &El, chat: Rc<Chat>) -> (Rc<Training>, Rc<Lessons>) {
    let speech = &app.speech;
    // Data and settings tell the tab of changes before the tab itself stands.
    let slot: Rc<RefCell<Option<Rc<Teach>>>> = Rc::default();
    let told = Rc::clone(&slot);
    let changed: Rc<dyn Fn()> = Rc::new(move || {
        if let Some(teach) = told.borrow().as_ref() {
            teach.keep();
            teach.replan();
        }
    });
    let [lessons, what, how] = [(); 3].map(|()| el("section").class("card"));
    // Above what few ever change.
    let launch = el("div").class("launch").child(&el("h2").say(speech, |t| t.teach.begin));
    how.add(&launch);
    let training = Training::build(app, chat);
    let teach = Rc::new(Teach {
        app: Rc::clone(app),
        place: Where::build(app, &training),
        data: Data::build(app, &what, Rc::clone(&changed)),
        settings: Settings::build(app, &how, changed),
        training,
        plan_line: el("p").id("teach-plan").attr("aria-live", "polite"),
        warnings: el("ul").class("warnings").id("teach-warnings"),
        preview: el("div").id("preview").attr("aria-live", "polite"),
        start: button().id("teach-start").class("primary big").say(speech, |t| t.teach.start),
        plan: RefCell::default(),
        timer: Cell::default(),
        asked: Cell::default(),
    });
    teach.place(panel, [&lessons, &what, &how], &launch);
    // Before the tab hears of changes, which it would keep.
    let lesson = Lesson::load(&app.slot.id());
    teach.data.restore(&lesson);
    teach.settings.restore(&lesson);
    slot.replace(Some(Rc::clone(&teach)));
    teach.watch();
    unfinished::build(app, notices, &teach.training);
    let desk: Rc<dyn Desk> = Rc::<Teach>::clone(&teach);
    let lessons = Lessons::build(app, &lessons, desk);
    (Rc::clone(&teach.training), lessons)
}

impl Desk for Teach {
    fn typed(&self) -> Lesson {
        self.noted()
    }

    fn rows(self: Rc<Self>) -> Rows {
        Box::pin(async move { self.data.rows(self.settings.reads()).await })
    }

    fn holds_files(&self) -> bool {
        self.data.holds_files()
    }

    fn lay(&self, lesson: &Lesson) -> Vec<String> {
        self.settings.restore(lesson);
        // Last, because it tells the tab that all of this changed.
        self.data.restore(lesson);
        self.settings.without_field(lesson)
    }
}

impl Teach {
    fn place(self: &Rc<Self>, panel: &El, cards: [&El; 3], launch: &El) {
        let speech = &self.app.speech;
        let previewed = Rc::clone(self);
        let look = button().id("teach-preview").say(speech, |t| t.teach.preview);
        let look = look.on("click", move |_| previewed.preview());
        cards[1].add(&el("div").class("foot").child(&look));
        cards[1].add(&self.preview);
        let started = Rc::clone(self);
        dom::listen(&self.start, "click", move |_| started.start());
        if let Some(place) = &self.place {
            launch.add(&place.place);
        }
        for part in [&self.plan_line, &self.warnings, &self.start] {
            launch.add(part);
        }
        panel.add(&el("p").class("lead").say(speech, |t| t.teach.lead));
        // The run above all that it was set up with.
        panel.add(&self.training.place);
        cards.into_iter().for_each(|card| panel.add(card));
    }

    fn watch(self: &Rc<Self>) {
        let shown = Rc::clone(self);
        self.app.watch(Topic::Language, move || {
            shown.data.show_rows();
            shown.settings.show();
        });
        let planned = Rc::clone(self);
        self.app.watch(Topic::Model, move || planned.replan());
        let running = Rc::clone(self);
        self.training.on_change(move || {
            running.start.enable(!running.training.is_running());
            if let Some(place) = &running.place {
                place.list();
            }
            running.replan();
        });
        self.replan();
    }

    /// Keeps what was typed, for the next time.
    fn keep(&self) {
        let is_kept = self.noted().store(&self.app.slot.id());
        self.app.set_unsaved(Unsaved::Lesson, !is_kept);
    }

    /// What is typed and chosen.
    fn noted(&self) -> Lesson {
        let mut lesson = Lesson::default();
        self.data.note(&mut lesson);
        self.settings.note(&mut lesson);
        lesson
    }

    /// The request with the data in it.
    ///
    /// # Errors
    /// What is missing, or has to be corrected first.
    async fn request(&self) -> Answer<JsValue> {
        if self.app.model().is_none() {
            return Err(self.app.speech.text().teach.needs_model.into());
        }
        if let Some((_, sentence)) = self.number_fault() {
            return Err(sentence);
        }
        let data = self.data.source(self.settings.reads()).await?;
        let name = self.data.name();
        let request = engine::write(&self.settings.request(self.plan.borrow().as_ref(), name));
        engine::set(&request, "data", &data);
        engine::set(&request, "questions", &engine::write(&self.app.questions()));
        if let Some(encoding) = self.data.encoding() {
            engine::set(&request, "encoding", &encoding.into());
        }
        Ok(request)
    }

    fn replan(self: &Rc<Self>) {
        // It would show other rows than those of now.
        self.preview.clear();
        self.data.read_as(self.settings.reads());
        let teach = Rc::clone(self);
        let ask = move || {
            let planned = Rc::clone(&teach);
            teach.app.spawn(async move {
                planned.ask_plan().await;
                Ok(())
            });
        };
        // The one before, if it still waits, is dropped with its call.
        self.timer.set(Some(Timeout::new(PAUSE_MS, ask)));
    }

    async fn ask_plan(&self) {
        let asked = self.asked.get() + 1;
        self.asked.set(asked);
        // Planning waits for the engine, which is busy while it trains.
        if self.training.is_running() {
            return;
        }
        let answer = match self.request().await {
            Ok(_) if self.asked.get() != asked => return,
            Ok(request) => engine::plan(&request).await,
            Err(sentence) => Err(sentence),
        };
        if self.asked.get() == asked {
            self.show_plan(answer);
        }
    }

    fn show_plan(&self, answer: Answer<Plan>) {
        self.warnings.clear();
        // What is beyond a tab may be begun all the same: the estimate is one.
        let is_good =
            answer.as_ref().is_ok_and(|plan| !plan.notes.iter().any(|note| note.code.starts_with("plan.")));
        self.plan_line.set("data-kind", if is_good { "good" } else { "bad" });
        match &answer {
            Ok(plan) => {
                self.plan_line.write(&self.sentence(plan));
                let remarks = remarks(&plan.report, self.app.speech.text());
                let notes = plan.notes.iter().map(engine::spoken);
                for remark in remarks.into_iter().chain(notes) {
                    self.warnings.add(&el("li").text(&remark));
                }
            }
            Err(sentence) => self.plan_line.write(sentence),
        }
        self.plan.replace(answer.ok());
    }

    fn sentence(&self, plan: &Plan) -> String {
        let t = self.app.speech.text();
        let units = &t.units;
        let time = plan.seconds.map_or_else(|| "?".into(), |seconds| duration(seconds, units));
        let values = [
            count(plan.trained, units),
            count(plan.parameters, units),
            bytes(plan.bytes),
            count(plan.rows, units),
            count(plan.tokens, units),
            count(plan.steps, units),
            time,
        ];
        fill(t.teach.plan, &values.each_ref().map(String::as_str))
    }

    fn preview(self: &Rc<Self>) {
        let teach = Rc::clone(self);
        self.app.spawn(async move {
            let Some(request) = teach.asked_for().await else { return Ok(()) };
            engine::set(&request, "rows", &PREVIEWED.into());
            let rows = engine::preview(&request).await?;
            preview::show(&teach.preview, &rows, teach.app.speech.text());
            Ok(())
        });
    }

    /// The request for the page's server, which needs no model in the tab.
    ///
    /// # Errors
    /// What is missing, or has to be corrected first.
    async fn request_of(&self, place: &Where) -> Answer<JsValue> {
        if let Some((_, sentence)) = self.number_fault() {
            return Err(sentence);
        }
        let data = self.data.source(self.settings.reads()).await?;
        let plan = self.plan.borrow().clone();
        let request = self.settings.request(plan.as_ref(), self.data.name());
        let request = place.request(request, plan.is_some());
        engine::set(&request, "data", &data);
        if let Some(encoding) = self.data.encoding() {
            engine::set(&request, "encoding", &encoding.into());
        }
        Ok(request)
    }

    /// The request where it can be had; else a person is told why not, or led to the line that says so.
    async fn asked_for(&self) -> Option<JsValue> {
        match self.request().await {
            Ok(request) => Some(request),
            Err(_) if self.app.model().is_some() && self.go_to_fault() => None,
            Err(sentence) => {
                self.app.fail(&sentence);
                None
            }
        }
    }

    /// Goes to the field or the line that says what is wrong; false where there is none.
    fn go_to_fault(&self) -> bool {
        match self.number_fault() {
            Some((field, _)) => {
                field.go_to();
                true
            }
            None => self.data.go_to_fault(),
        }
    }

    /// A setting that holds what it does not take.
    fn number_fault(&self) -> Option<(El, String)> {
        fault_in(&dom::find("panel-teach"), self.app.speech.text())
    }

    fn start(self: &Rc<Self>) {
        if self.training.is_running() {
            return;
        }
        let teach = Rc::clone(self);
        if let Some(place) = self.place.clone().filter(|place| place.is_there()) {
            self.app.spawn(async move {
                let request = teach.request_of(&place).await?;
                let steps = teach.plan.borrow().as_ref().map_or(0.0, |plan| plan.steps);
                teach.training.start_served("train", request, teach.settings.question(), steps);
                Ok(())
            });
            return;
        }
        self.app.spawn(async move {
            let request = teach.asked_for().await;
            // A second press may have come before the first one's data were read.
            if let Some(request) = request.filter(|_| !teach.training.is_running()) {
                let steps = teach.plan.borrow().as_ref().map_or(0.0, |plan| plan.steps);
                teach.training.start(request, teach.settings.question(), steps);
            }
            Ok(())
        });
    }
}
