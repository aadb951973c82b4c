//! The field for anything that a person has, which says at once what it finds there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use gloo::timers::callback::Timeout;
use kindling::data::{PasteForm, PasteProblem, Pasted, csv_of, paste};
use kindling::text::RowKind;

use super::app::App;
use super::dom::{self, El, button, el, field};
use super::paste_faults::{form_name, sentence};
use crate::format::fill;

/// How long the page waits after the last key before it reads a long text again.
const PAUSE_MS: u32 = 200;
/// So many wrong lines are shown.
const SHOWN: usize = 10;
/// So many characters of a line or a text are shown.
const SHOWN_CHARS: usize = 60;

/// What was read last: the text, for what, and what it holds.
type Read = (String, RowKind, Rc<Pasted>);

/// The field.
pub struct PasteField {
    app: Rc<App>,
    text: El,
    told: El,
    problems: El,
    /// What the rows are for.
    wanted: Cell<RowKind>,
    read: RefCell<Option<Read>>,
    /// The text that the form's rows gave, which a person has not touched since.
    of_form: RefCell<String>,
    timer: Cell<Option<Timeout>>,
    changed: Rc<dyn Fn()>,
}

impl PasteField {
    /// Builds the field into its place; `changed` is called whenever its text was changed.
    pub fn build(app: &Rc<App>, place: &El, changed: Rc<dyn Fn()>) -> Rc<Self> {
        let speech = &app.speech;
        let text = el("textarea").id("teach-data").attr("rows", "8").attr("spellcheck", "false");
        let text = text.attr("aria-describedby", "teach-pasted");
        let pasted = Rc::new(Self {
            app: Rc::clone(app),
            text: text.say_in("placeholder", speech, |t| t.rows.paste_placeholder),
            told: el("p").id("teach-pasted").attr("role", "status"),
            problems: el("ul").class("plain").id("teach-problems"),
            wanted: Cell::new(RowKind::Conversation),
            read: RefCell::default(),
            of_form: RefCell::default(),
            timer: Cell::default(),
            changed,
        });
        place.add(&field(speech, |t| t.rows.paste_hint, &pasted.text));
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

    /// Reads the text as rows of this kind from now on.
    pub fn read_as(self: &Rc<Self>, wanted: RowKind) {
        if self.wanted.replace(wanted) != wanted {
            self.show();
        }
    }

    /// Whether the text is as the form's rows gave it, or empty as at first.
    pub fn is_of_form(&self) -> bool {
        self.text() == *self.of_form.borrow()
    }

    /// What the text holds.
    pub fn pasted(&self) -> Rc<Pasted> {
        let (text, wanted) = (self.text(), self.wanted.get());
        let mut read = self.read.borrow_mut();
        if let Some((_, _, pasted)) = read.as_ref().filter(|read| read.0 == text && read.1 == wanted) {
            return Rc::clone(pasted);
        }
        let pasted = Rc::new(paste(&text, wanted));
        read.replace((text, wanted, Rc::clone(&pasted)));
        pasted
    }

    /// The questions and answers of the text, if it is nothing but such.
    pub fn pairs(&self) -> Option<Vec<[String; 2]>> {
        paste(&self.text(), RowKind::Conversation).pairs()
    }

    /// Puts rows of the form in, as CSV. A text that says the same stays as it is, and so does one that the form cannot
    /// hold.
    pub fn take_pairs(self: &Rc<Self>, pairs: &[[String; 2]]) {
        let own = self.pairs();
        let says_the_same = own.as_deref() == Some(pairs);
        if says_the_same || !(self.is_of_form() || (own.is_some() && !pairs.is_empty())) {
            return;
        }
        let text = match pairs {
            [] => String::new(),
            _ => csv_of(pairs, self.app.speech.text().rows.column_names),
        };
        self.set_text(&text);
        self.of_form.replace(text);
    }

    /// Goes to the first line that is wrong; false where there is none.
    pub fn go_to_fault(&self) -> bool {
        let pasted = self.pasted();
        let Some(problem) = pasted.problems.first() else { return false };
        self.mark(problem.line);
        true
    }

    /// Says what is found, and beside each wrong line what is wrong there, in the language of now.
    pub fn show(self: &Rc<Self>) {
        let (text, pasted) = (self.text(), self.pasted());
        self.told.write(&self.finding(&text, &pasted));
        self.problems.clear();
        let lines: Vec<&str> = text.split('\n').collect();
        for problem in pasted.problems.iter().take(SHOWN) {
            let line = usize::try_from(problem.line).ok().and_then(|line| lines.get(line - 1));
            self.problems.add(&self.problem(problem, line.copied().unwrap_or_default()));
        }
        if let Some(more @ 1..) = pasted.problems.len().checked_sub(SHOWN) {
            let more = fill(self.app.speech.text().rows.more_to_mend, &[&more.to_string()]);
            self.problems.add(&el("li").class("faint").text(&more));
        }
        self.text.set("aria-invalid", if pasted.problems.is_empty() { "false" } else { "true" });
    }

    /// What the text is, in a sentence.
    fn finding(&self, text: &str, pasted: &Pasted) -> String {
        let t = self.app.speech.text();
        let name = form_name(pasted.form, t);
        let rows = pasted.rows.len().to_string();
        let first = pasted.rows.first();
        let found = match (pasted.form, first, first.and_then(|row| row.pair())) {
            (_, None, _) if text.trim().is_empty() || self.wanted.get() == RowKind::Conversation => {
                String::new()
            }
            (PasteForm::Text, ..) => fill(t.rows.found_plain, &[&text.chars().count().to_string()]),
            (_, None, _) => String::new(),
            _ if self.wanted.get() == RowKind::Document => fill(t.rows.found_texts, &[&rows, name]),
            (_, _, Some([question, answer])) => {
                fill(t.rows.found_pairs, &[&rows, name, &short(&question), &short(&answer)])
            }
            _ => fill(t.rows.found_rows, &[&rows, name]),
        };
        let wrong = match pasted.problems.len() {
            0 => String::new(),
            wrong => fill(t.rows.to_mend, &[&wrong.to_string()]),
        };
        [found, wrong].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// A wrong line: its number, which leads there, its text, and what is wrong.
    fn problem(self: &Rc<Self>, problem: &PasteProblem, text: &str) -> El {
        let t = self.app.speech.text();
        let number = fill(t.rows.line, &[&problem.line.to_string()]);
        let (pasted, line) = (Rc::clone(self), problem.line);
        let goes = button().class("link").text(&number).on("click", move |_| pasted.mark(line));
        let why = fill(t.rows.fault, &["", &sentence(&problem.fault, t)]);
        let entry = el("li").class("problem").test("teach-problem").child(&goes);
        let entry = entry.child(&el("span").text(" ")).child(&el("code").text(&short(text)));
        entry.child(&el("span").class("bad").text(&why))
    }

    /// Goes to a line in the field and marks it.
    fn mark(&self, line: u64) {
        let text = self.text();
        let before = usize::try_from(line).unwrap_or_default().saturating_sub(1);
        let length = |line: &str| line.encode_utf16().count() as u32;
        let start: u32 = text.split('\n').take(before).map(|line| length(line) + 1).sum();
        let end = start + text.split('\n').nth(before).map_or(0, length);
        self.text.mark_text(start, end);
        // A browser does not scroll to what is marked.
        let lines = text.split('\n').count().max(1) as f64;
        self.text.set_scroll_top((f64::from(self.text.scroll_height()) * before as f64 / lines) as i32);
    }
}

/// The beginning of a text, on one line.
fn short(text: &str) -> String {
    let text = text.trim().replace('\n', " ");
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
