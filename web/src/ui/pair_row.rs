//! One row of the form: a question, its answer, and buttons that move and delete it.

use super::dom::{El, button, el};
use crate::format::fill;
use crate::language::Text;

/// A row.
pub struct PairRow {
    /// All of it.
    pub line: El,
    /// The field of the question.
    pub question: El,
    /// The field of the answer.
    pub answer: El,
    /// Moves it up.
    pub up: El,
    /// Moves it down.
    pub down: El,
    /// Deletes it.
    pub delete: El,
    number: El,
    fault: El,
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
            up: press("↑", "teach-pair-up"),
            down: press("↓", "teach-pair-down"),
            delete: press("✕", "teach-pair-delete"),
            number: el("span").class("faint").attr("aria-hidden", "true"),
            fault,
        };
        let buttons = el("div").class("foot").child(&row.up).child(&row.down).child(&row.delete);
        for part in [&row.number, &row.question, &row.answer, &buttons, &row.fault] {
            row.line.add(part);
        }
        row
    }

    /// What is typed, without blanks around it.
    pub fn pair(&self) -> [String; 2] {
        [&self.question, &self.answer].map(|field| field.value().trim().to_string())
    }

    /// Puts a question and its answer in.
    pub fn fill(&self, [question, answer]: &[String; 2]) {
        self.question.set_value(question);
        self.answer.set_value(answer);
    }

    /// Whether only one of the two is there.
    pub fn is_half(&self) -> bool {
        let [question, answer] = self.pair();
        question.is_empty() != answer.is_empty()
    }

    /// The field that is empty, of a row of which a half is missing.
    pub fn missing(&self) -> &El {
        if self.question.value().trim().is_empty() { &self.question } else { &self.answer }
    }

    /// Writes its labels, by its place from 1.
    pub fn label(&self, place: usize, t: &Text) {
        let place = place.to_string();
        self.number.write(&place);
        let labels = [
            (&self.question, t.rows.question_of),
            (&self.answer, t.rows.answer_of),
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
        } else {
            self.question.set("placeholder", "");
            self.answer.set("placeholder", "");
        }
        self.show_fault(t);
    }

    /// Shows what is missing, unless a person is still at it.
    pub fn show_fault(&self, t: &Text) {
        let is_wrong = self.is_half() && !self.line.holds_focus();
        let is_question = self.question.value().trim().is_empty();
        self.fault.write(match (is_wrong, is_question) {
            (false, _) => "",
            (true, true) => t.rows.no_question,
            (true, false) => t.rows.no_answer,
        });
        self.fault.show(is_wrong);
        self.question.set("aria-invalid", if is_wrong && is_question { "true" } else { "false" });
        self.answer.set("aria-invalid", if is_wrong && !is_question { "true" } else { "false" });
    }
}

/// Whether nothing is typed.
pub fn is_blank(pair: &[String; 2]) -> bool {
    pair.iter().all(|text| text.trim().is_empty())
}
