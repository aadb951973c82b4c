//! The fields of a lesson's own words, and what can be done with them.

use js_sys::Uint8Array;

use crate::language::{Language, LessonsText};
use crate::lesson::Version;
use crate::ui::app::App;
use crate::ui::dom::{self, El, button, el, field};
use crate::ui::engine::{self, Answer};
use crate::ui::speech::Speech;

/// The fields and buttons.
pub struct Maker {
    /// All of it.
    pub place: El,
    /// The fields alone.
    pub fields: El,
    /// Saves a file.
    pub save: El,
    /// Prints the worksheet.
    pub print: El,
    /// Goes to the other language.
    pub language: El,
    /// Closes the lesson.
    pub close: El,
    title: El,
    text: El,
    questions: El,
}

impl Maker {
    /// Builds them.
    pub fn build(speech: &Speech) -> Self {
        let place = el("details").class("settings").id("lesson-make");
        let maker = Self {
            place: place.child(&el("summary").say(speech, |t| t.lessons.make)),
            fields: el("div").class("stack"),
            save: button().id("lesson-save").class("primary").say(speech, |t| t.lessons.save),
            print: button().id("lesson-print").say(speech, |t| t.lessons.print),
            language: button().id("lesson-language"),
            close: button().id("lesson-close").class("quiet").say(speech, |t| t.lessons.forget),
            title: el("input").id("lesson-name").attr("type", "text"),
            text: el("textarea").id("lesson-text").attr("rows", "6"),
            questions: el("textarea").id("lesson-questions").attr("rows", "4"),
        };
        maker.fields.add(&field(speech, |t| t.lessons.name, &maker.title));
        maker.fields.add(&field(speech, |t| t.lessons.text, &maker.text));
        maker.fields.add(&field(speech, |t| t.lessons.questions, &maker.questions));
        maker.place.add(&el("p").class("faint").say(speech, |t| t.lessons.make_hint));
        maker.place.add(&maker.fields);
        let foot = el("div").class("foot").child(&maker.save).child(&maker.print);
        maker.place.add(&foot.child(&maker.language).child(&maker.close));
        maker
    }

    /// What stands in the fields, as a lesson without rows.
    pub fn version(&self) -> Version {
        let questions = self.questions.value();
        let questions = questions.lines().map(str::trim).filter(|line| !line.is_empty());
        Version {
            title: self.title.value().trim().to_string(),
            text: self.text.value().trim_end().to_string(),
            questions: questions.map(String::from).collect(),
            ..Version::default()
        }
    }

    /// Fills the fields.
    pub fn fill(&self, version: &Version) {
        self.set_values(&[version.title.clone(), version.text.clone(), version.questions.join("\n")]);
    }

    /// The fields as they are.
    pub fn values(&self) -> [String; 3] {
        [self.title.value(), self.text.value(), self.questions.value()]
    }

    /// Puts in what `values` gave.
    pub fn set_values(&self, [title, text, questions]: &[String; 3]) {
        self.title.set_value(title);
        self.text.set_value(text);
        self.questions.set_value(questions);
    }

    /// Whether nothing stands in them.
    pub fn is_blank(&self) -> bool {
        self.values().iter().all(|value| value.trim().is_empty())
    }

    /// Says which language there is to go to: `open` is the language of the open lesson, and whether it has both.
    pub fn speak(&self, t: &LessonsText, open: Option<(Language, bool)>, app: &App) {
        let (language, is_in_both) = open.unwrap_or((app.speech.language(), false));
        self.language.write(match (language.other(), is_in_both) {
            (Language::English, true) => t.to_english,
            (Language::English, false) => t.add_english,
            (Language::Chinese, true) => t.to_chinese,
            (Language::Chinese, false) => t.add_chinese,
        });
        self.close.show_or_leave(open.is_some(), &self.save);
    }
}

/// Offers a lesson's file, named by its title, as a download.
pub fn download(file: &str, title: &str) -> Answer<()> {
    let name: String = title.chars().filter(|c| !c.is_control() && !r#"/\:*?"<>|."#.contains(*c)).collect();
    let name = if name.trim().is_empty() { "lesson" } else { name.trim() };
    let bytes = Uint8Array::from(file.as_bytes());
    dom::download(&format!("{name}.json"), &bytes).map_err(engine::sentence)
}
