//! The field for anything that a person has. The engine reads it, and the field says what is found there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo::timers::callback::Timeout;
use wasm_bindgen::prelude::JsValue;

use super::app::App;
use super::dom::{self, El, button, el};
use super::engine::{self, Answer};
use super::reading::{Kind, Reading, short};
use crate::csv;
use crate::format::fill;
use crate::messages::rows::PasteProblem;

/// How long the page waits after the last key before it reads a long text again.
const PAUSE_MS: u32 = 200;
/// How long the engine may take until the field says that it waits: a run goes on, or the engine is still loading.
const LATE_MS: u32 = 1000;
/// So many wrong lines are shown.
const SHOWN: usize = 10;

/// The field.
pub struct PasteField {
    app: Rc<App>,
    text: El,
    hint: El,
    told: El,
    problems: El,
    /// What the rows are.
    kind: Cell<Kind>,
    /// What was read last.
    read: RefCell<Option<Rc<Reading>>>,
    /// Whether the engine reads for `show`.
    asking: Cell<bool>,
    /// The text that the form's rows gave, which a person has not touched since; and these rows.
    of_form: RefCell<(String, Vec<[String; 2]>)>,
    timer: Cell<Option<Timeout>>,
    changed: Rc<dyn Fn()>,
}

impl PasteField {
    /// Builds the field into its place; `changed` is called whenever its text was changed.
    pub fn build(app: &Rc<App>, place: &El, changed: Rc<dyn Fn()>) -> Rc<Self> {
        let text = el("textarea").id("teach-data").attr("rows", "8").attr("spellcheck", "false");
        let text = text.attr("aria-describedby", "teach-pasted");
        let pasted = Rc::new(Self {
            app: Rc::clone(app),
            text,
            hint: el("span"),
            told: el("p").id("teach-pasted").attr("role", "status"),
            problems: el("ul").class("plain").id("teach-problems"),
            kind: Cell::default(),
            read: RefCell::default(),
            asking: Cell::default(),
            of_form: RefCell::default(),
            timer: Cell::default(),
            changed,
        });
        place.add(&el("label").class("field").child(&pasted.hint).child(&pasted.text));
        pasted.label();
        place.add(&pasted.told);
        place.add(&pasted.problems);
        let typed = Rc::clone(&pasted);
        dom::listen(&pasted.text, "input", move |_| {
            (typed.changed)();
            let shown = Rc::clone(&typed);
            typed.timer.set(Some(Timeout::new(PAUSE_MS, move || shown.show())));
        });
        pasted
    }

    /// What stands in the field.
    pub fn text(&self) -> String {
        self.text.value()
    }

    /// Puts a text in.
    pub fn set_text(self: &Rc<Self>, text: &str) {
        self.text.set_value(text);
        self.show();
    }

    /// Lets nobody type until the form's rows are in.
    pub fn wait(&self, waits: bool) {
        let _ = self.text.toggle_attribute_with_force("readonly", waits);
    }

    /// Reads the text as rows of this kind from now on.
    pub fn read_as(self: &Rc<Self>, kind: Kind) {
        if self.kind.replace(kind) != kind {
            self.show();
        }
    }

    /// Says what may be pasted, in the language of now.
    fn label(&self) {
        let t = self.app.speech.text();
        let (hint, example) = match self.kind.get() {
            Kind::Choices => (t.stages.choices_paste_hint, t.stages.choices_placeholder),
            _ => (t.rows.paste_hint, t.rows.paste_placeholder),
        };
        self.hint.write(hint);
        self.text.set("placeholder", example);
    }

    /// Whether the text is as the form's rows gave it, or empty as at first.
    pub fn is_of_form(&self) -> bool {
        self.text() == self.of_form.borrow().0
    }

    /// The questions and answers of the text, if it is nothing but such.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn pairs(&self) -> Answer<Option<Vec<[String; 2]>>> {
        if self.is_of_form() {
            return Ok(Some(self.of_form.borrow().1.clone()));
        }
        match self.text() {
            text if text.trim().is_empty() => Ok(Some(Vec::new())),
            text => engine::read_pairs(&text).await,
        }
    }

    /// Puts rows of the form in, as CSV; `own` are those of the text. A text that says the same stays as it is, and so
    /// does one that the form cannot hold.
    pub fn take_pairs(self: &Rc<Self>, pairs: &[[String; 2]], own: Option<&[[String; 2]]>) {
        if own == Some(pairs) || !(self.is_of_form() || (own.is_some() && !pairs.is_empty())) {
            return;
        }
        let text = match pairs {
            [] => String::new(),
            _ => csv::of_pairs(pairs, self.app.speech.text().rows.column_names),
        };
        self.set_text(&text);
        self.of_form.replace((text, pairs.to_vec()));
    }

    /// The rows as data for the engine.
    ///
    /// # Errors
    /// There are none, some have to be corrected, or the engine does not answer.
    pub async fn source(self: &Rc<Self>) -> Answer<JsValue> {
        let read = self.whole().await?;
        Ok(read.source(self.app.speech.text().rows.paste_file))
    }

    /// The rows as a text, each in the line that it has here.
    ///
    /// # Errors
    /// Likewise.
    pub async fn rows(self: &Rc<Self>) -> Answer<String> {
        Ok(self.whole().await?.rows())
    }

    async fn whole(self: &Rc<Self>) -> Answer<Rc<Reading>> {
        let read = self.reading().await?;
        let t = self.app.speech.text();
        match (read.pasted.wrong > 0.0, read.is_empty()) {
            (true, _) => Err(t.rows.mend_lines.into()),
            (false, true) => Err(t.teach.needs_data.into()),
            (false, false) => Ok(read),
        }
    }

    /// What the text of now holds, as the engine reads it. It is shown, unless another text stands there by then.
    async fn reading(self: &Rc<Self>) -> Answer<Rc<Reading>> {
        if let Some(read) = self.known() {
            return Ok(read);
        }
        let read = Rc::new(Reading::of(self.text(), self.kind.get()).await?);
        if read.is_of(&self.text(), self.kind.get()) {
            self.read.replace(Some(Rc::clone(&read)));
            self.draw(&read);
        }
        Ok(read)
    }

    /// The same where it is known.
    fn known(&self) -> Option<Rc<Reading>> {
        let (text, kind) = (self.text(), self.kind.get());
        if text.trim().is_empty() {
            return Some(Rc::new(Reading::blank(text, kind)));
        }
        self.read.borrow().as_ref().filter(|read| read.is_of(&text, kind)).cloned()
    }

    /// Goes to the first line that is wrong; false where there is none.
    pub fn go_to_fault(&self) -> bool {
        let line = self.known().and_then(|read| read.pasted.problems.first().map(|problem| problem.line));
        let Some(line) = line else { return false };
        self.mark(line);
        true
    }

    /// Says what is found, and beside each wrong line what is wrong there, in the language of now. What is not known yet
    /// the engine reads first.
    pub fn show(self: &Rc<Self>) {
        self.label();
        match self.known() {
            Some(read) => self.draw(&read),
            None => self.ask(),
        }
    }

    /// Has the text read. One question at a time is under way: a text that changed meanwhile is read after it.
    fn ask(self: &Rc<Self>) {
        if self.asking.replace(true) {
            return;
        }
        let pasted = Rc::clone(self);
        wasm_bindgen_futures::spawn_local(async move {
            let late = pasted.say_when_late();
            let mut read = pasted.reading().await;
            while read.is_ok() && pasted.known().is_none() {
                read = pasted.reading().await;
            }
            drop(late);
            pasted.asking.set(false);
            if let Err(sentence) = read {
                pasted.told.write(&sentence);
                pasted.problems.clear();
            }
        });
    }

    fn say_when_late(self: &Rc<Self>) -> Timeout {
        let pasted = Rc::clone(self);
        Timeout::new(LATE_MS, move || {
            if pasted.known().is_none() {
                pasted.told.write(pasted.app.speech.text().rows.reading);
            }
        })
    }

    fn draw(self: &Rc<Self>, read: &Reading) {
        let t = self.app.speech.text();
        self.told.write(&read.finding(t));
        self.problems.clear();
        let problems = &read.pasted.problems;
        let lines: Vec<&str> = if problems.is_empty() { Vec::new() } else { read.text.split('\n').collect() };
        for problem in problems.iter().take(SHOWN) {
            let line = (problem.line as usize).checked_sub(1).and_then(|line| lines.get(line));
            self.problems.add(&self.problem(problem, line.copied().unwrap_or_default()));
        }
        let more = read.pasted.wrong - problems.len().min(SHOWN) as f64;
        if more > 0.0 {
            let more = fill(t.rows.more_to_mend, &[&more.to_string()]);
            self.problems.add(&el("li").class("faint").text(&more));
        }
        self.text.set("aria-invalid", if problems.is_empty() { "false" } else { "true" });
    }

    /// A wrong line: its number, which leads there, its text, and what is wrong.
    fn problem(self: &Rc<Self>, problem: &PasteProblem, text: &str) -> El {
        let t = self.app.speech.text();
        let number = fill(t.rows.line, &[&problem.line.to_string()]);
        let (pasted, line) = (Rc::clone(self), problem.line);
        let goes = button().class("link").text(&number).on("click", move |_| pasted.mark(line));
        let why = fill(t.rows.fault, &["", &engine::spoken(&problem.why)]);
        let entry = el("li").class("problem").test("teach-problem").child(&goes);
        let entry = entry.child(&el("span").text(" ")).child(&el("code").text(&short(text)));
        entry.child(&el("span").class("bad").text(&why))
    }

    /// Goes to a line in the field and marks it.
    fn mark(&self, line: f64) {
        let text = self.text();
        let before = (line as usize).saturating_sub(1);
        let length = |line: &str| line.encode_utf16().count() as u32;
        let start: u32 = text.split('\n').take(before).map(|line| length(line) + 1).sum();
        let end = start + text.split('\n').nth(before).map_or(0, length);
        self.text.mark_text(start, end);
        // A browser does not scroll to what is marked.
        let lines = text.split('\n').count().max(1) as f64;
        self.text.set_scroll_top((f64::from(self.text.scroll_height()) * before as f64 / lines) as i32);
    }
}
