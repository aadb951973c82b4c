//! What an evaluation says: a table, each subject in a fold, and what is to know of it.

use std::rc::Rc;

use super::app::App;
use super::dom::{El, button, el};
use super::engine;
use super::speech::Speech;
use crate::evaluation::{TASKS, alone, subjects, table};
use crate::format::fill;
use crate::messages::evaluate::Evaluation;

/// Hidden until something was measured.
pub struct Shown {
    /// Where it is.
    pub place: El,
    /// The button that saves it.
    pub save: El,
    title: El,
    table: El,
    fold: El,
    subjects: El,
    notes: El,
}

impl Shown {
    /// Builds it.
    pub fn build(app: &Rc<App>) -> Self {
        let speech = &app.speech;
        let shown = Self {
            place: el("div").id("eval-result").class("answers").shown(false),
            save: button().id("eval-csv").say(speech, |t| t.lessons.students_csv),
            title: el("h3").id("eval-title"),
            table: el("table").id("eval-table"),
            fold: el("details").class("settings").id("eval-subjects"),
            subjects: el("table"),
            notes: el("ul").class("plain faint").id("eval-notes"),
        };
        shown.fold.add(&el("summary").say(speech, |t| t.evaluate.subjects));
        shown.fold.add(&el("div").class("wide").child(&shown.subjects));
        let wide = el("div").class("wide").child(&shown.table);
        let foot = el("div").class("foot").child(&shown.save);
        for part in [&shown.title, &wide, &shown.fold, &shown.notes, &foot] {
            shown.place.add(part);
        }
        shown
    }

    /// Shows what was measured of a model.
    pub fn show(&self, found: &Evaluation, model: &str, speech: &Speech) {
        let t = speech.text();
        let task = TASKS.iter().find(|task| task.name == found.task);
        let task = task.map_or(found.task.as_str(), |task| (task.title)(t));
        self.title.write(&fill(t.evaluate.asked, &[model, task, &found.shots.to_string()]));
        draw(&self.table, &table(found, t), "eval-row");
        let of_subjects = subjects(found, t);
        self.fold.show(!of_subjects.is_empty());
        draw(&self.subjects, &of_subjects, "eval-subject");
        self.notes.clear();
        let notes = found.notes.iter().map(engine::spoken);
        for note in alone(found, t).into_iter().chain(notes) {
            self.notes.add(&el("li").test("eval-note").text(&note));
        }
        self.place.show(true);
    }
}

/// Draws rows whose first is the head, and whose first column says what a row is of.
fn draw(place: &El, rows: &[Vec<String>], id: &str) {
    place.clear();
    let Some((head, rows)) = rows.split_first() else { return };
    let line = el("tr");
    head.iter().for_each(|title| line.add(&el("th").attr("scope", "col").text(title)));
    place.add(&el("thead").child(&line));
    let body = el("tbody");
    for row in rows {
        let line = el("tr").test(id);
        for (column, text) in row.iter().enumerate() {
            line.add(&match column {
                0 => el("th").attr("scope", "row").text(text),
                _ => el("td").text(text),
            });
        }
        body.add(&line);
    }
    place.add(&body);
}
