//! A lesson on paper: its text, and its questions with room for what the model said before and after.

use super::marked;
use crate::lesson::Version;
use crate::ui::app::App;
use crate::ui::dom::{self, El, el, window};

/// The sheet's name on the page; `lessons.css` prints it alone.
const SHEET: &str = "worksheet";

/// Prints the sheet of a lesson.
pub fn print(app: &App, version: &Version) {
    let t = &app.speech.text().lessons;
    dom::find(SHEET).remove();
    let blank = |name: &str| el("span").class("blank").text(name);
    let who = el("p").class("blanks").child(&blank(t.worksheet_name)).child(&blank(t.worksheet_day));
    let sheet = el("section").id(SHEET).class("marked").child(&el("h1").text(&version.title)).child(&who);
    marked::show(&sheet, &version.text);
    if !version.questions.is_empty() {
        sheet.add(&questions([t.worksheet_question, t.before, t.after], &version.questions));
    }
    sheet.add(&el("p").text(t.worksheet_think));
    sheet.add(&el("div").class("lines"));
    if let Some(body) = window().document().and_then(|document| document.body()) {
        let _ = body.append_child(&sheet);
    }
    // A browser that cannot print shows nothing, as with its own menu.
    let _ = window().print();
}

fn questions(head: [&str; 3], questions: &[String]) -> El {
    let line = el("tr");
    head.iter().for_each(|title| line.add(&el("th").attr("scope", "col").text(title)));
    let body = el("tbody");
    for question in questions {
        let line = el("tr").child(&el("th").attr("scope", "row").text(question));
        body.add(&line.child(&el("td")).child(&el("td")));
    }
    el("table").child(&el("thead").child(&line)).child(&body)
}

/// Takes the sheet away once it was printed, so that the page itself can be printed, too.
pub fn remove_when_printed() {
    dom::listen(&window(), "afterprint", |_| dom::find(SHEET).remove());
}
