//! What the model is taught: a sample made in the page, pasted text, or files.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use wasm_bindgen::prelude::JsValue;
use web_sys::File;

use super::app::App;
use super::dom::{self, El, button, choice, el, field};
use super::drop;
use super::engine;
use super::lesson::Lesson;
use crate::format::{bytes, fill};
use crate::language::Sentence;
use crate::sample;

const SOURCES: [(&str, Sentence); 3] = [
    ("sample", |t| t.teach.source_sample),
    ("paste", |t| t.teach.source_paste),
    ("files", |t| t.teach.source_files),
];
/// What the files may be written in: the first is read as it is, the others as the browser knows them.
const ENCODINGS: [&str; 11] = [
    "UTF-8",
    "GBK",
    "GB18030",
    "Big5",
    "Shift_JIS",
    "EUC-JP",
    "EUC-KR",
    "UTF-16LE",
    "UTF-16BE",
    "windows-1252",
    "windows-1251",
];
/// So many rows of the sample are shown.
const SHOWN_ROWS: usize = 3;

/// The choice of data.
pub struct Data {
    app: Rc<App>,
    chosen: Cell<usize>,
    sources: Vec<El>,
    name: El,
    maker: El,
    rows: El,
    text: El,
    files: RefCell<Vec<File>>,
    file_list: El,
    encoding: El,
    changed: Rc<dyn Fn()>,
}

impl Data {
    /// Builds the choice into its place; `changed` is called whenever the data are others.
    pub fn build(app: &Rc<App>, place: &El, changed: Rc<dyn Fn()>) -> Rc<Self> {
        let speech = &app.speech;
        let name = el("input").id("teach-name").attr("type", "text");
        let maker = el("input").id("teach-maker").attr("type", "text");
        let text = el("textarea").id("teach-data").attr("rows", "8").attr("spellcheck", "false");
        let data = Rc::new(Self {
            app: Rc::clone(app),
            chosen: Cell::new(0),
            sources: SOURCES.iter().map(|_| el("div").class("source")).collect(),
            name: name.say_in("placeholder", speech, |t| t.teach.sample_name),
            maker: maker.say_in("placeholder", speech, |t| t.teach.sample_maker),
            rows: el("dl").class("rows").id("teach-rows"),
            text: text.say_in("placeholder", speech, |t| t.teach.paste_placeholder),
            files: RefCell::default(),
            file_list: el("ul").class("plain").id("teach-file-list"),
            encoding: encodings(),
            changed,
        });
        place.add(&data.switch());
        data.fill_sources();
        data.sources.iter().for_each(|source| place.add(source));
        data.choose(0);
        data
    }

    fn switch(self: &Rc<Self>) -> El {
        let group = el("fieldset").class("segments");
        let group = group.child(&el("legend").say(&self.app.speech, |t| t.teach.data));
        for (i, (id, sentence)) in SOURCES.iter().enumerate() {
            let radio = el("input").id(&format!("teach-source-{id}")).attr("type", "radio");
            let radio = radio.attr("name", "teach-source");
            radio.set_checked(i == 0);
            let data = Rc::clone(self);
            let radio = radio.on("change", move |_| data.choose(i));
            group.add(&choice(&self.app.speech, *sentence, &radio));
        }
        group
    }

    fn fill_sources(self: &Rc<Self>) {
        let speech = &self.app.speech;
        let [sample, paste, files] = self.sources.as_slice() else { return };
        sample.add(&el("p").class("faint").say(speech, |t| t.teach.sample_hint));
        let pair = el("div").class("fields").child(&field(speech, |t| t.teach.name, &self.name));
        sample.add(&pair.child(&field(speech, |t| t.teach.maker, &self.maker)));
        sample.add(&self.rows);
        paste.add(&field(speech, |t| t.teach.paste_hint, &self.text));
        let picked = Rc::clone(self);
        files.add(&drop::zone(
            speech,
            "teach-files",
            |t| t.teach.drop,
            move |files| {
                picked.files.borrow_mut().extend(files);
                picked.show_files();
            },
        ));
        files.add(&self.file_list);
        let chosen = Rc::clone(self);
        dom::listen(&self.encoding, "change", move |_| (chosen.changed)());
        files.add(&field(speech, |t| t.teach.encoding, &self.encoding));
        for input in [&self.name, &self.maker, &self.text] {
            let data = Rc::clone(self);
            dom::listen(input, "input", move |_| data.show_rows());
        }
    }

    fn choose(self: &Rc<Self>, chosen: usize) {
        self.chosen.set(chosen);
        for (i, source) in self.sources.iter().enumerate() {
            source.show(i == chosen);
        }
        self.show_rows();
    }

    /// Shows the sample's first rows anew, in the language of now.
    pub fn show_rows(&self) {
        self.rows.clear();
        for [question, answer] in self.sample().iter().take(SHOWN_ROWS) {
            self.rows.add(&el("dt").text(question));
            self.rows.add(&el("dd").text(answer));
        }
        (self.changed)();
    }

    fn show_files(self: &Rc<Self>) {
        self.file_list.clear();
        let remove = self.app.speech.text().page.remove;
        for (i, file) in self.files.borrow().iter().enumerate() {
            let name = format!("{} ({})", file.name(), bytes(file.size()));
            let data = Rc::clone(self);
            let removed = button().class("quiet small").text("✕").on("click", move |_| {
                data.files.borrow_mut().remove(i);
                data.show_files();
            });
            let removed = removed.attr("aria-label", &fill("{} {}", &[remove, &file.name()]));
            self.file_list.add(&el("li").child(&el("span").text(&name)).child(&removed));
        }
        (self.changed)();
    }

    /// What the files are written in, where that is not UTF-8; the other sources are made here.
    pub fn encoding(&self) -> Option<String> {
        let from_files = self.chosen.get() + 1 == SOURCES.len();
        Some(self.encoding.value()).filter(|name| from_files && name != ENCODINGS[0])
    }

    fn sample(&self) -> Vec<[String; 2]> {
        let t = self.app.speech.text();
        let (name, maker) =
            (typed(&self.name, t.teach.sample_name), typed(&self.maker, t.teach.sample_maker));
        sample::identity(self.app.speech.language(), &name, &maker)
    }

    /// What the result may be called; none where its files or the day name it.
    pub fn name(&self) -> Option<String> {
        (self.chosen.get() == 0).then(|| typed(&self.name, self.app.speech.text().teach.sample_name))
    }

    /// Notes what was typed. Files stay where they are.
    pub fn note(&self, lesson: &mut Lesson) {
        lesson.source = self.chosen.get();
        (lesson.name, lesson.maker) = (self.name.value(), self.maker.value());
        (lesson.text, lesson.encoding) = (self.text.value(), self.encoding.value());
    }

    /// Puts in what was typed last time.
    pub fn restore(self: &Rc<Self>, lesson: &Lesson) {
        self.name.set_value(&lesson.name);
        self.maker.set_value(&lesson.maker);
        self.text.set_value(&lesson.text);
        let encoding = ENCODINGS.iter().find(|name| **name == lesson.encoding);
        self.encoding.set_value(encoding.unwrap_or(&ENCODINGS[0]));
        let chosen = lesson.source.min(SOURCES.len() - 1);
        dom::find(&format!("teach-source-{}", SOURCES[chosen].0)).set_checked(true);
        self.choose(chosen);
    }

    /// The data for the engine; none where there are none yet. Pretraining reads texts, the others
    /// conversations.
    pub fn source(&self, texts: bool) -> Option<JsValue> {
        match self.chosen.get() {
            0 => {
                let rows = self.sample().into_iter().map(|[question, answer]| match texts {
                    true => json!({ "text": format!("{question}\n{answer}") }),
                    false => json!({ "messages": [
                        { "role": "user", "content": question },
                        { "role": "assistant", "content": answer },
                    ] }),
                });
                let lines: String = rows.map(|row| format!("{row}\n")).collect();
                Some(engine::file_of_text("sample.jsonl", &lines))
            }
            1 => {
                let text = self.text.value();
                let name =
                    if text.trim_start().starts_with(['{', '[']) { "pasted.jsonl" } else { "pasted.txt" };
                (!text.trim().is_empty()).then(|| engine::file_of_text(name, &text))
            }
            _ => {
                let files = self.files.borrow();
                (!files.is_empty()).then(|| engine::files(&files))
            }
        }
    }
}

fn typed(input: &El, default: &str) -> String {
    match input.value().trim() {
        "" => default.to_string(),
        typed => typed.to_string(),
    }
}

/// The list of encodings.
fn encodings() -> El {
    let list = el("select").id("teach-encoding");
    for name in ENCODINGS {
        list.add(&el("option").attr("value", name).text(name));
    }
    list
}
