//! An evaluation: questions of files asked of the open model, before and after what acts.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Uint8Array};
use serde_json::{Map, Value};
use wasm_bindgen::prelude::JsValue;
use web_sys::AbortController;

use super::app::{App, Topic};
use super::dom::{self, El, button, choice, el, field};
use super::drop;
use super::engine::{self, Answer, get};
use super::evaluate_result::Shown;
use super::numbers::{Number, Numbers, fault_in};
use crate::csv;
use crate::evaluation::{EXAMPLE, Quarters, Rows, TASKS, Task, subjects, table};
use crate::format::fill;
use crate::messages::evaluate::Evaluation;

const NUMBERS: [Number; 3] = [
    Number::new("shots", |t| t.evaluate.shots, ["0", "1000", "1"]),
    Number::new("limit", |t| t.evaluate.limit, ["1", "1000000", "1"]),
    Number::new("max_new_tokens", |t| t.evaluate.answer_tokens, ["1", "8192", "1"]),
];

struct Evaluate {
    app: Rc<App>,
    card: El,
    task: El,
    hint: El,
    numbers: Numbers,
    template: El,
    compare: El,
    chosen: El,
    run: El,
    stop: El,
    bar: El,
    progress: El,
    /// The same for whoever listens, who hears of its begin, its quarters and its end.
    heard: El,
    quarters: Cell<Quarters>,
    shown: Shown,
    /// Files with questions, as the engine takes them.
    files: RefCell<Array>,
    asking: RefCell<Option<AbortController>>,
    /// What was measured, and of which model.
    found: RefCell<Option<(Evaluation, String)>>,
}

/// Builds the card.
pub fn build(app: &Rc<App>) -> El {
    let speech = &app.speech;
    let numbers = Numbers::build(speech, "eval", &NUMBERS);
    let check = |id: &str| el("input").id(id).attr("type", "checkbox");
    let evaluate = Rc::new(Evaluate {
        app: Rc::clone(app),
        card: el("section").class("card").id("eval-card"),
        task: task_list(app),
        hint: el("p").class("faint").id("eval-hint"),
        numbers,
        template: check("eval-template"),
        compare: check("eval-compare"),
        chosen: el("p").class("faint").id("eval-chosen").attr("aria-live", "polite"),
        run: button().id("eval-run").class("primary").say(speech, |t| t.evaluate.run),
        stop: button().id("eval-stop").say(speech, |t| t.chat.stop).shown(false),
        bar: el("progress").id("eval-bar").say_in("aria-label", speech, |t| t.evaluate.title).shown(false),
        progress: el("span").class("faint").id("eval-progress").attr("aria-live", "off"),
        heard: el("span").class("unseen").id("eval-heard").attr("role", "status"),
        quarters: Cell::default(),
        shown: Shown::build(app),
        files: RefCell::default(),
        asking: RefCell::default(),
        found: RefCell::default(),
    });
    evaluate.compare.set_checked(true);
    evaluate.fill();
    evaluate.wire();
    evaluate.show_task();
    evaluate.card.clone()
}

fn task_list(app: &App) -> El {
    let list = el("select").id("eval-task").attr("aria-describedby", "eval-hint");
    let list = TASKS.iter().fold(list, |list, task| {
        list.child(&el("option").attr("value", task.name).say(&app.speech, task.title))
    });
    list.set_value(EXAMPLE);
    list
}

impl Evaluate {
    /// Puts all parts into the card.
    fn fill(self: &Rc<Self>) {
        let speech = &self.app.speech;
        let taken = Rc::clone(self);
        let zone = drop::zone(
            speech,
            "eval-files",
            |t| t.evaluate.drop,
            move |files| taken.take(files.into_iter().map(JsValue::from).collect()),
        );
        let example = button().id("eval-example").say(speech, |t| t.evaluate.example);
        let exemplified = Rc::clone(self);
        let example = example.on("click", move |_| exemplified.take_example());
        let switches = el("div")
            .class("line")
            .child(&choice(speech, |t| t.evaluate.template, &self.template))
            .child(&choice(speech, |t| t.evaluate.compare, &self.compare));
        let foot = el("div").class("foot").child(&self.run).child(&self.stop);
        let parts = [
            el("h2").say(speech, |t| t.evaluate.title),
            el("p").class("faint").say(speech, |t| t.evaluate.hint),
            field(speech, |t| t.evaluate.task, &self.task),
            self.hint.clone(),
            zone,
            el("div").class("foot").child(&example).child(&self.chosen),
            self.numbers.group.clone(),
            switches,
            foot.child(&self.bar).child(&self.progress).child(&self.heard),
            self.shown.place.clone(),
        ];
        parts.iter().for_each(|part| self.card.add(part));
    }

    fn wire(self: &Rc<Self>) {
        let (asked, stopped, saved) = (Rc::clone(self), Rc::clone(self), Rc::clone(self));
        dom::listen(&self.run, "click", move |_| asked.ask());
        dom::listen(&self.stop, "click", move |_| stopped.abort());
        dom::listen(&self.shown.save, "click", move |_| saved.save());
        let (changed, spoken) = (Rc::clone(self), Rc::clone(self));
        dom::listen(&self.task, "change", move |_| changed.show_task());
        self.app.watch(Topic::Language, move || {
            spoken.show_task();
            spoken.show_chosen();
            spoken.show_found();
        });
    }

    /// The chosen task.
    fn chosen_task(&self) -> Option<&'static Task> {
        let name = self.task.value();
        TASKS.iter().find(|task| task.name == name)
    }

    /// Shows what belongs to the chosen task.
    fn show_task(&self) {
        let Some(task) = self.chosen_task() else { return };
        self.hint.write(task.hint(self.app.speech.text()));
        self.numbers.show_field("shots", task.takes_shots());
        self.numbers.show_field("max_new_tokens", task.rows == Rows::Thoughts);
        self.template.enable(task.takes_shots());
    }

    fn take(&self, files: Array) {
        self.files.replace(files);
        self.show_chosen();
    }

    fn show_chosen(&self) {
        let name = |file: JsValue| get(&file, "name").as_string().unwrap_or_default();
        let names: Vec<String> = self.files.borrow().iter().map(name).collect();
        let chosen = fill(self.app.speech.text().evaluate.chosen, &[&names.join(", ")]);
        self.chosen.write(if names.is_empty() { "" } else { &chosen });
    }

    /// Questions about the world that the page's own model knows.
    fn take_example(self: &Rc<Self>) {
        let evaluate = Rc::clone(self);
        self.app.spawn(async move {
            let file = engine::example_questions().await?;
            evaluate.task.set_value(EXAMPLE);
            // Who learned to chat is asked as in a chat.
            evaluate.template.set_checked(evaluate.app.model().is_some_and(|model| model.chat));
            evaluate.show_task();
            evaluate.take(Array::of1(&file));
            Ok(())
        });
    }

    fn abort(&self) {
        if let Some(abort) = self.asking.borrow().as_ref() {
            abort.abort();
        }
    }

    fn ask(self: &Rc<Self>) {
        let t = self.app.speech.text();
        if let Some((input, sentence)) = fault_in(&self.card, t) {
            self.app.fail(&sentence);
            return input.go_to();
        }
        let (Some(model), Some(task)) = (self.app.model(), self.chosen_task()) else {
            return self.app.fail(t.evaluate.needs);
        };
        if self.files.borrow().length() == 0 {
            return self.app.fail(t.evaluate.needs);
        }
        let Ok(abort) = AbortController::new() else { return };
        self.set_asking(Some(abort.clone()));
        self.progress.write(t.evaluate.reading);
        self.heard.write(t.evaluate.reading);
        self.quarters.set(Quarters::default());
        let (evaluate, request) = (Rc::clone(self), self.request(task));
        engine::set(&request, "signal", &abort.signal());
        self.app.spawn(async move {
            let answer = evaluate.measured(&request).await;
            evaluate.set_asking(None);
            evaluate.progress.write("");
            // What fails is told elsewhere.
            evaluate.heard.write("");
            let t = &evaluate.app.speech.text().evaluate;
            if abort.signal().aborted() {
                evaluate.progress.write(t.stopped);
                evaluate.heard.write(t.stopped);
                return Ok(());
            }
            evaluate.found.replace(Some((answer?, model.name)));
            evaluate.show_found();
            evaluate.heard.write(t.done);
            Ok(())
        });
    }

    async fn measured(self: &Rc<Self>, request: &JsValue) -> Answer<Evaluation> {
        let told = Rc::clone(self);
        engine::evaluate(request, move |done, total, of| told.tell(done, total, of)).await
    }

    /// What the engine is asked for, but for who hears of it.
    fn request(&self, task: &Task) -> JsValue {
        let mut request: Map<String, Value> = self.numbers.values();
        // What is hidden does not act.
        if !task.takes_shots() {
            request.remove("shots");
        }
        if task.rows != Rows::Thoughts {
            request.remove("max_new_tokens");
        }
        request.insert("task".into(), task.name.into());
        if task.takes_shots() && self.template.checked() {
            request.insert("apply_chat_template".into(), true.into());
        }
        if !self.compare.checked() {
            request.insert("compare".into(), false.into());
        }
        let request = engine::write(&request);
        engine::set(&request, "data", &self.files.borrow());
        request
    }

    fn tell(&self, done: f64, total: f64, [model, models]: [f64; 2]) {
        let t = &self.app.speech.text().evaluate;
        let whole = |number: f64| format!("{number:.0}");
        let far = fill(t.progress, &[&whole(done), &whole(total)]);
        self.bar.set("max", &whole(total.max(1.0)));
        self.bar.set("value", &whole(done));
        let far = match models > 1.0 {
            true => fill(t.of_model, &[&far, &whole(model), &whole(models)]),
            false => far,
        };
        self.progress.write(&far);
        let mut quarters = self.quarters.get();
        if quarters.tell(done, total, [model, models]) {
            self.heard.write(&far);
        }
        self.quarters.set(quarters);
    }

    fn set_asking(&self, abort: Option<AbortController>) {
        let is_asking = abort.is_some();
        if is_asking {
            let _ = self.bar.remove_attribute("value");
            self.stop.show(true);
            if self.run.holds_focus() {
                self.stop.focus_quietly();
            }
        }
        self.run.enable(!is_asking);
        self.stop.show_or_leave(is_asking, &self.run);
        self.bar.show(is_asking);
        self.asking.replace(abort);
    }

    fn show_found(&self) {
        if let Some((found, model)) = self.found.borrow().as_ref() {
            self.shown.show(found, model, &self.app.speech);
        }
    }

    fn save(&self) {
        let found = self.found.borrow();
        let Some((found, _)) = found.as_ref() else { return };
        let t = self.app.speech.text();
        let rows = [table(found, t), subjects(found, t)].concat();
        let bytes = Uint8Array::from(csv::table(&rows).as_bytes());
        self.app.spawn(async move { dom::download("evaluation.csv", &bytes).map_err(engine::sentence) });
    }
}
