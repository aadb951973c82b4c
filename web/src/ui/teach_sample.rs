//! The sample that is made in the page: questions about a name and a maker that a person may choose.

use std::cell::Cell;
use std::rc::Rc;

use super::app::App;
use super::dom::{self, El, button, el, field};
use super::lesson::Lesson;
use super::reading::Kind;
use crate::sample;

/// So many of its rows are shown.
const SHOWN_ROWS: usize = 3;

/// The sample.
pub struct Sample {
    app: Rc<App>,
    /// Puts its rows into the form.
    pub edit: El,
    hint: El,
    name: El,
    maker: El,
    rows: El,
    /// The fields of name and maker.
    named: El,
    kind: Cell<Kind>,
}

impl Sample {
    /// Builds it into its place; `changed` is called whenever a person changed it.
    pub fn build(app: &Rc<App>, place: &El, changed: &Rc<dyn Fn()>) -> Rc<Self> {
        let speech = &app.speech;
        let name = el("input").id("teach-name").attr("type", "text");
        let maker = el("input").id("teach-maker").attr("type", "text");
        let sample = Rc::new(Self {
            app: Rc::clone(app),
            edit: button().id("teach-sample-edit").say(speech, |t| t.rows.edit_sample),
            hint: el("p").class("faint"),
            name: name.say_in("placeholder", speech, |t| t.teach.sample_name),
            maker: maker.say_in("placeholder", speech, |t| t.teach.sample_maker),
            rows: el("dl").class("rows").id("teach-rows"),
            named: el("div").class("fields"),
            kind: Cell::default(),
        });
        place.add(&sample.hint);
        sample.named.add(&field(speech, |t| t.teach.name, &sample.name));
        sample.named.add(&field(speech, |t| t.teach.maker, &sample.maker));
        place.add(&sample.named);
        place.add(&sample.rows);
        place.add(&el("div").class("foot").child(&sample.edit));
        for input in [&sample.name, &sample.maker] {
            let (typed, changed) = (Rc::clone(&sample), Rc::clone(changed));
            dom::listen(input, "input", move |_| {
                typed.show(typed.kind.get());
                changed();
            });
        }
        sample
    }

    /// Shows its first rows as this kind, in the language of now.
    pub fn show(&self, kind: Kind) {
        self.kind.set(kind);
        let (t, chooses) = (self.app.speech.text(), kind == Kind::Choices);
        self.hint.write(match kind {
            Kind::Choices => t.stages.sample_hint,
            Kind::Thoughts => t.stages.thoughts_hint,
            Kind::Texts | Kind::Conversations => t.teach.sample_hint,
        });
        self.named.show(kind != Kind::Thoughts);
        self.rows.clear();
        for [question, better, worse] in self.choices().iter().take(SHOWN_ROWS) {
            self.rows.add(&el("dt").text(question));
            self.rows.add(&el("dd").text(better));
            if chooses {
                self.rows.add(&el("dd").class("faint").text(worse));
            }
        }
    }

    /// Its questions, each with an answer and with a worse one.
    pub fn choices(&self) -> Vec<[String; 3]> {
        if self.kind.get() == Kind::Thoughts {
            let rows = sample::thoughts(self.app.speech.language()).into_iter();
            return rows.map(|[question, answer]| [question, answer, String::new()]).collect();
        }
        let maker = typed(&self.maker, self.app.speech.text().teach.sample_maker);
        sample::preferences(self.app.speech.language(), &self.name(), &maker)
    }

    /// The name that it is about.
    pub fn name(&self) -> String {
        typed(&self.name, self.app.speech.text().teach.sample_name)
    }

    /// Notes what was typed.
    pub fn note(&self, lesson: &mut Lesson) {
        (lesson.name, lesson.maker) = (self.name.value(), self.maker.value());
    }

    /// Puts in what was typed last time.
    pub fn restore(&self, lesson: &Lesson) {
        self.name.set_value(&lesson.name);
        self.maker.set_value(&lesson.maker);
    }
}

fn typed(input: &El, default: &str) -> String {
    match input.value().trim() {
        "" => default.to_string(),
        typed => typed.to_string(),
    }
}
