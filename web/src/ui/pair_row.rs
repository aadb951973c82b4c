//! One row of the form: a question, its answer, a worse one where preferences are taught, and buttons that move and delete
//! it.

use std::cell::Cell;

use js_sys::Object;

use super::dom::{El, button, el};
use crate::format::fill;
use crate::language::Text;

/// A row.
pub struct PairRow {
    /// All of it.
    pub line: El,
    /// The field of the question.
    pub question: El,
    /// The field of the answer, or of the better one.
    pub answer: El,
    /// The field of the worse answer.
    pub worse: El,
    /// Moves it up.
    pub up: El,
    /// Moves it down.
    pub down: El,
    /// Deletes it.
    pub delete: El,
    number: El,
    fault: El,
    /// Whether a worse answer is asked for.
    chooses: Cell<bool>,
}

impl PairRow {
    /// An empty row; `made` is no other row's number, and names what is wrong with it for its fields.
    pub fn new(made: u32) -> Self {
        let fault_id = format!("teach-pair-fault-{made}");
        let field = |name: &str| {
            // It grows with the text where the browser knows how.
            el("textarea").test(name).attr("rows", "1").attr("aria-describedby", &fault_id)
        };
        let press = |sign: &str, name: &str| button().class("quiet small").text(sign).test(name);
        let fault = el("p").class("bad").attr("id", &fault_id).test("teach-pair-fault").shown(false);
        let row = Self {
            line: el("li").class("pair").test("teach-pair"),
            question: field("teach-question"),
            answer: field("teach-answer"),
            worse: field("teach-worse").shown(false),
            up: press("↑", "teach-pair-up"),
            down: press("↓", "teach-pair-down"),
            delete: press("✕", "teach-pair-delete"),
            number: el("span").class("faint").attr("aria-hidden", "true"),
            fault,
            chooses: Cell::default(),
        };
        let buttons = el("div").class("foot").child(&row.up).child(&row.down).child(&row.delete);
        for part in [&row.number, &row.question, &row.answer, &row.worse, &buttons, &row.fault] {
            row.line.add(part);
        }
        row
    }

    /// What is typed, without blanks around it.
    pub fn pair(&self) -> [String; 2] {
        [&self.question, &self.answer].map(|field| field.value().trim().to_string())
    }

    /// The same with the worse answer.
    pub fn choice(&self) -> [String; 3] {
        let [question, answer] = self.pair();
        [question, answer, self.worse.value().trim().to_string()]
    }

    /// Asks for a worse answer, or no longer; what is typed there stays.
    pub fn choose(&self, chooses: bool) {
        self.chooses.set(chooses);
        self.worse.show(chooses);
    }

    /// The fields that are seen, in their order.
    pub fn fields(&self) -> Vec<&El> {
        let shown = if self.chooses.get() { 3 } else { 2 };
        [&self.question, &self.answer, &self.worse].into_iter().take(shown).collect()
    }

    /// Puts a question and its answer in.
    pub fn fill(&self, [question, answer]: &[String; 2]) {
        self.question.set_value(question);
        self.answer.set_value(answer);
    }

    /// Whether a part is missing while another is there, or both answers are the same.
    pub fn is_half(&self) -> bool {
        self.wrong().is_some()
    }

    /// The field of which that is to be said.
    pub fn missing(&self) -> &El {
        self.wrong().unwrap_or(&self.question)
    }

    fn wrong(&self) -> Option<&El> {
        let is_empty = |field: &&El| field.value().trim().is_empty();
        let fields = self.fields();
        let empty = fields.iter().copied().find(is_empty);
        match empty {
            Some(_) if fields.iter().all(is_empty) => None,
            Some(field) => Some(field),
            None => {
                let [_, better, worse] = self.choice();
                (self.chooses.get() && better == worse).then_some(&self.worse)
            }
        }
    }

    /// Writes its labels, by its place from 1.
    pub fn label(&self, place: usize, t: &Text) {
        let place = place.to_string();
        self.number.write(&place);
        let answer_of = if self.chooses.get() { t.stages.better_of } else { t.rows.answer_of };
        let labels = [
            (&self.question, t.rows.question_of),
            (&self.answer, answer_of),
            (&self.worse, t.stages.worse_of),
            (&self.up, t.rows.up),
            (&self.down, t.rows.down),
            (&self.delete, t.rows.delete),
        ];
        for (part, sentence) in labels {
            part.set("aria-label", &fill(sentence, &[&place]));
        }
        for button in [&self.up, &self.down, &self.delete] {
            button.set("title", &button.get_attribute("aria-label").unwrap_or_default());
        }
        if place == "1" {
            self.question.set("placeholder", t.rows.question_example);
            self.answer.set("placeholder", t.rows.answer_example);
            self.worse.set("placeholder", t.stages.worse_example);
        } else {
            for field in [&self.question, &self.answer, &self.worse] {
                field.set("placeholder", "");
            }
        }
        self.show_fault(t);
    }

    /// Shows what is missing, unless a person is still at it.
    pub fn show_fault(&self, t: &Text) {
        let wrong = self.wrong().filter(|_| !self.line.holds_focus());
        let is = |field: &El| wrong.is_some_and(|wrong| Object::is(wrong, field));
        let sentence = match (is(&self.question), is(&self.answer), self.chooses.get()) {
            (true, ..) => t.rows.no_question,
            (_, true, true) => t.stages.no_better,
            (_, true, false) => t.rows.no_answer,
            _ if self.worse.value().trim().is_empty() => t.stages.no_worse,
            _ => t.stages.same_answers,
        };
        self.fault.write(if wrong.is_some() { sentence } else { "" });
        self.fault.show(wrong.is_some());
        for field in [&self.question, &self.answer, &self.worse] {
            field.set("aria-invalid", if is(field) { "true" } else { "false" });
        }
    }
}

/// Whether nothing is typed.
pub fn is_blank(texts: &[String]) -> bool {
    texts.iter().all(|text| text.trim().is_empty())
}
