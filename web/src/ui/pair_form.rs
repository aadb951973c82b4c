//! The form of questions and answers, of two answers each where preferences are taught: rows that are added, moved and
//! deleted, by mouse or by key.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo::timers::callback::Timeout;
use wasm_bindgen::JsCast;
use web_sys::{ClipboardEvent, Event, KeyboardEvent};

use super::app::App;
use super::dom::{self, El, button, el};
use super::engine;
use super::pair_row::{PairRow, is_blank};
use super::speech::Speech;
use crate::cells;
use crate::format::fill;
use crate::language::Sentence;
use crate::messages::rows::Cells;

/// The columns of both forms.
const ANSWERS: [Sentence; 2] = [|t| t.rows.question, |t| t.rows.answer];
const CHOICES: [Sentence; 3] = [|t| t.rows.question, |t| t.stages.better, |t| t.stages.worse];
/// How long a press of a button may take.
const PRESS_MS: u32 = 300;

/// The form.
pub struct PairForm {
    app: Rc<App>,
    list: El,
    add: El,
    /// What the last action did, for those who do not see it.
    status: El,
    rows: RefCell<Vec<Rc<PairRow>>>,
    /// Counts rows that were ever made, for their names.
    made: Cell<u32>,
    /// Whether the rows are yet to come out of what was pasted.
    waits: Cell<bool>,
    /// Whether each row asks for a worse answer, too.
    chooses: Cell<bool>,
    /// What stands above: of both forms a hint, and the names of the columns.
    heads: [Vec<El>; 2],
    changed: Rc<dyn Fn()>,
}

impl PairForm {
    /// Builds the form into its place, with one empty row; `changed` is called whenever a person changed a row.
    pub fn build(app: &Rc<App>, place: &El, changed: Rc<dyn Fn()>) -> Rc<Self> {
        let speech = &app.speech;
        let form = Rc::new(Self {
            app: Rc::clone(app),
            list: el("ol").class("plain pairs").id("teach-pairs"),
            add: button().id("teach-pair-add").say(speech, |t| t.rows.add),
            status: el("p").class("faint").id("teach-pairs-status").attr("role", "status"),
            rows: RefCell::default(),
            made: Cell::default(),
            waits: Cell::default(),
            chooses: Cell::default(),
            heads: [
                heads(speech, |t| t.rows.form_hint, &ANSWERS),
                heads(speech, |t| t.stages.choices_hint, &CHOICES),
            ],
            changed,
        });
        form.heads.iter().flatten().for_each(|head| place.add(head));
        form.show_heads();
        place.add(&form.list);
        place.add(&el("div").class("foot").child(&form.add).child(&form.status));
        let added = Rc::clone(&form);
        dom::listen(&form.add, "click", move |_| {
            added.append().question.focus_quietly();
            (added.changed)();
        });
        form.set(&[]);
        form
    }

    /// All rows as they are typed, the blank ones, too.
    pub fn pairs(&self) -> Vec<[String; 2]> {
        self.rows.borrow().iter().map(|row| row.pair()).collect()
    }

    /// The rows that are not blank.
    pub fn filled(&self) -> Vec<[String; 2]> {
        self.pairs().into_iter().filter(|pair| !is_blank(pair)).collect()
    }

    /// All rows with their worse answers.
    pub fn choices(&self) -> Vec<[String; 3]> {
        self.rows.borrow().iter().map(|row| row.choice()).collect()
    }

    /// The rows of which anything is typed, to be kept: questions and answers, and the worse answers apart.
    pub fn noted(&self) -> (Vec<[String; 2]>, Vec<String>) {
        let typed = self.choices().into_iter().filter(|row| !is_blank(row));
        typed.map(|[question, answer, worse]| ([question, answer], worse)).unzip()
    }

    /// Puts in what was kept so.
    pub fn restore(self: &Rc<Self>, pairs: &[[String; 2]], worse: &[String]) {
        self.set(pairs);
        for (row, worse) in self.rows.borrow().iter().zip(worse) {
            row.worse.set_value(worse);
        }
        self.relabel();
    }

    /// Asks for a worse answer in each row, or no longer.
    pub fn choose(&self, chooses: bool) {
        if self.chooses.replace(chooses) == chooses {
            return;
        }
        self.rows.borrow().iter().for_each(|row| row.choose(chooses));
        self.show_heads();
        self.relabel();
    }

    fn show_heads(&self) {
        for (of, heads) in [false, true].into_iter().zip(&self.heads) {
            heads.iter().for_each(|head| head.show(of == self.chooses.get()));
        }
        self.list.set("data-choices", if self.chooses.get() { "true" } else { "false" });
    }

    /// Replaces all rows; without any there is an empty one to begin with.
    pub fn set(self: &Rc<Self>, pairs: &[[String; 2]]) {
        self.rows.borrow_mut().clear();
        self.list.clear();
        pairs.iter().for_each(|pair| self.append().fill(pair));
        if pairs.is_empty() {
            self.append();
        }
        self.relabel();
    }

    /// Says something below the rows.
    pub fn say(&self, sentence: &str) {
        self.status.write(sentence);
    }

    /// Hides the rows, which nobody can use until the engine has read others out of what was pasted.
    pub fn wait(&self, waits: bool) {
        if self.waits.replace(waits) == waits {
            return;
        }
        for part in [&self.list, &self.add] {
            part.show(!waits);
        }
        self.say(if waits { self.app.speech.text().rows.reading } else { "" });
    }

    /// Goes to the first row.
    pub fn enter(&self) {
        if let Some(row) = self.rows.borrow().first() {
            row.question.focus_quietly();
        }
    }

    /// Whether a part of a row is missing.
    pub fn has_fault(&self) -> bool {
        self.rows.borrow().iter().any(|row| row.is_half())
    }

    /// Goes to the first row of which a half is missing; false where there is none.
    pub fn go_to_fault(&self) -> bool {
        let rows = self.rows.borrow();
        let Some(row) = rows.iter().find(|row| row.is_half()) else { return false };
        row.missing().focus_quietly();
        row.line.scroll_into_view();
        true
    }

    /// Writes labels and faults in the language of now, by the places of now.
    pub fn relabel(&self) {
        let t = self.app.speech.text();
        for (i, row) in self.rows.borrow().iter().enumerate() {
            row.label(i + 1, t);
        }
    }

    /// A new row behind all others.
    fn append(self: &Rc<Self>) -> Rc<PairRow> {
        let last = self.rows.borrow().len();
        self.insert(last)
    }

    fn insert(self: &Rc<Self>, at: usize) -> Rc<PairRow> {
        self.made.set(self.made.get() + 1);
        let row = Rc::new(PairRow::new(self.made.get()));
        row.choose(self.chooses.get());
        match self.rows.borrow().get(at) {
            Some(next) => drop(next.line.before_with_node_1(&row.line)),
            None => self.list.add(&row.line),
        }
        self.rows.borrow_mut().insert(at, Rc::clone(&row));
        self.listen(&row);
        row.label(at + 1, self.app.speech.text());
        row
    }

    fn listen(self: &Rc<Self>, row: &Rc<PairRow>) {
        let on = |target: &El, event: &str, call: fn(&Rc<Self>, &Rc<PairRow>, &Event)| {
            let (form, row) = (Rc::clone(self), Rc::clone(row));
            dom::listen(target, event, move |event| call(&form, &row, &event));
        };
        on(&row.up, "click", |form, row, _| form.shift(row, true));
        on(&row.down, "click", |form, row, _| form.shift(row, false));
        on(&row.delete, "click", |form, row, _| form.delete(row));
        on(&row.line, "keydown", Self::key);
        on(&row.line, "input", |form, row, _| {
            row.show_fault(form.app.speech.text());
            (form.changed)();
        });
        // While a person is in a row its other half may still come.
        on(&row.line, "focusin", |form, row, _| row.show_fault(form.app.speech.text()));
        // Not at once: what shows moves all below it, and a press that took the focus would miss its button.
        on(&row.line, "focusout", |form, row, _| {
            let (form, row) = (Rc::clone(form), Rc::clone(row));
            Timeout::new(PRESS_MS, move || row.show_fault(form.app.speech.text())).forget();
        });
        on(&row.line, "paste", Self::paste);
    }

    fn place_of(&self, row: &Rc<PairRow>) -> Option<usize> {
        self.rows.borrow().iter().position(|other| Rc::ptr_eq(other, row))
    }

    /// Enter goes to the next field, behind the last one to a new row; with Alt the arrows move the row.
    fn key(self: &Rc<Self>, row: &Rc<PairRow>, event: &Event) {
        let key: &KeyboardEvent = event.unchecked_ref();
        let is_in_text = row.fields().iter().any(|field| field.holds_focus());
        // Enter also ends the choice of a Chinese word.
        if !is_in_text || key.is_composing() {
            return;
        }
        match key.key().as_str() {
            "Enter" if !key.shift_key() => self.go_on(row),
            "ArrowUp" if key.alt_key() => self.shift(row, true),
            "ArrowDown" if key.alt_key() => self.shift(row, false),
            _ => return,
        }
        event.prevent_default();
    }

    fn go_on(self: &Rc<Self>, row: &Rc<PairRow>) {
        let fields = row.fields();
        let at = fields.iter().position(|field| field.holds_focus());
        if let Some(next) = at.and_then(|at| fields.get(at + 1)) {
            next.focus_quietly();
            return;
        }
        let Some(at) = self.place_of(row) else { return };
        let next = self.rows.borrow().get(at + 1).cloned();
        let next = next.unwrap_or_else(|| self.append());
        next.question.focus_quietly();
        next.line.scroll_into_view_with_bool(false);
    }

    /// Moves a row up or down by one. The other one is taken out and put in, so that this one keeps the keyboard.
    fn shift(self: &Rc<Self>, row: &Rc<PairRow>, up: bool) {
        let Some(at) = self.place_of(row) else { return };
        let other = if up { at.checked_sub(1) } else { Some(at + 1) };
        let Some(other) = other.filter(|other| *other < self.rows.borrow().len()) else { return };
        let passed = Rc::clone(&self.rows.borrow()[other]);
        let _ = match up {
            true => row.line.after_with_node_1(&passed.line),
            false => row.line.before_with_node_1(&passed.line),
        };
        self.rows.borrow_mut().swap(at, other);
        self.relabel();
        let places = [at + 1, other + 1].map(|place| place.to_string());
        self.say(&fill(self.app.speech.text().rows.moved, &places.each_ref().map(String::as_str)));
        (self.changed)();
    }

    /// Deletes a row, and goes to the one that takes its place; the only one is emptied.
    fn delete(self: &Rc<Self>, row: &Rc<PairRow>) {
        let Some(at) = self.place_of(row) else { return };
        self.rows.borrow_mut().remove(at);
        row.line.remove();
        if self.rows.borrow().is_empty() {
            self.append();
        }
        self.relabel();
        self.say(&fill(self.app.speech.text().rows.deleted, &[&(at + 1).to_string()]));
        let rows = self.rows.borrow();
        if let Some(next) = rows.get(at).or(rows.last()) {
            next.question.focus_quietly();
        }
        drop(rows);
        (self.changed)();
    }

    /// What may be cells of a spreadsheet goes into the field as any other text, and fills rows once the engine has found
    /// that it is cells: it may be busy or still loading, and the text is not lost meanwhile.
    fn paste(self: &Rc<Self>, row: &Rc<PairRow>, event: &Event) {
        let clipboard = event.unchecked_ref::<ClipboardEvent>().clipboard_data();
        let pasted = clipboard.and_then(|data| data.get_data("text/plain").ok()).unwrap_or_default();
        let field = row.fields().into_iter().find(|field| field.holds_focus()).cloned();
        let Some(field) = field.filter(|_| cells::may_be(&pasted)) else { return };
        let (form, row, before) = (Rc::clone(self), Rc::clone(row), field.value());
        let chooses = self.chooses.get();
        self.app.spawn(async move {
            let found = engine::read_cells(&pasted, chooses).await?;
            if let Some(rest) = cells::without(&pasted, &before, &field.value()) {
                form.take_cells(&row, &found, || field.set_value(&rest));
            }
            Ok(())
        });
    }

    /// Fills rows with cells from this one on, or says why they are none; `take_out` takes their text out of its field.
    fn take_cells(self: &Rc<Self>, row: &Rc<PairRow>, found: &Cells, take_out: impl FnOnce()) {
        // Meanwhile the row may have been deleted, or other rows put in.
        if self.place_of(row).is_none() {
            return;
        }
        if let Some(why) = &found.odd {
            take_out();
            self.say(&fill(self.app.speech.text().rows.not_filled, &[&engine::spoken(why)]));
            (self.changed)();
        } else if !found.pairs.is_empty() {
            take_out();
            self.fill_from(row, found);
        }
    }

    /// Puts rows in behind this one, or in its place where it is blank.
    fn fill_from(self: &Rc<Self>, row: &Rc<PairRow>, Cells { pairs, worse, .. }: &Cells) {
        let Some(mut at) = self.place_of(row) else { return };
        // Who went on elsewhere stays there.
        let held_focus = row.line.holds_focus();
        if is_blank(&row.choice()) {
            self.rows.borrow_mut().remove(at);
            row.line.remove();
        } else {
            at += 1;
        }
        for (i, pair) in pairs.iter().enumerate() {
            let row = self.insert(at + i);
            row.fill(pair);
            worse.get(i).into_iter().for_each(|worse| row.worse.set_value(worse));
        }
        self.relabel();
        if let Some(last) = self.rows.borrow().get(at + pairs.len() - 1).filter(|_| held_focus)
            && let Some(field) = last.fields().last()
        {
            field.focus_quietly();
        }
        self.say(&fill(self.app.speech.text().rows.filled, &[&pairs.len().to_string()]));
        (self.changed)();
    }
}

/// A hint and the names of columns. Each field says its own name; those above are for the eye.
fn heads(speech: &Speech, hint: Sentence, columns: &[Sentence]) -> Vec<El> {
    let names = el("div").class("pair-heads faint").attr("aria-hidden", "true");
    let names = names.attr("data-choices", if columns.len() > 2 { "true" } else { "false" });
    columns.iter().for_each(|column| names.add(&el("span").say(speech, *column)));
    vec![el("p").class("faint").say(speech, hint), names]
}
