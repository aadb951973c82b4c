//! What the model is taught: questions and answers of a form, anything pasted, files, or a sample made in the page.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::json;
use wasm_bindgen::prelude::JsValue;
use web_sys::File;

use super::app::App;
use super::dom::{self, El, button, choice, el, field};
use super::drop;
use super::engine::{self, Answer};
use super::lesson::Lesson;
use super::pair_form::PairForm;
use super::pair_row::is_blank;
use super::paste_field::PasteField;
use crate::format::{bytes, fill};
use crate::language::Sentence;
use crate::sample;

const SOURCES: [(&str, Sentence); 4] = [
    ("form", |t| t.rows.source_form),
    ("paste", |t| t.rows.source_paste),
    ("files", |t| t.teach.source_files),
    ("sample", |t| t.teach.source_sample),
];
/// Among them, the form,
const FORM: usize = 0;
/// what is pasted,
pub const PASTE: usize = 1;
/// files,
const FILES: usize = 2;
/// and the sample.
const SAMPLE: usize = 3;
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
    form: Rc<PairForm>,
    pasted: Rc<PasteField>,
    /// Whether what was pasted is newer than the form.
    pasted_last: Cell<bool>,
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
        let sources: Vec<El> = SOURCES.iter().map(|_| el("div").class("source")).collect();
        let form = PairForm::build(app, &sources[FORM], Rc::clone(&changed));
        let pasted = PasteField::build(app, &sources[PASTE], Rc::clone(&changed));
        let data = Rc::new(Self {
            app: Rc::clone(app),
            chosen: Cell::new(FORM),
            sources,
            name: name.say_in("placeholder", speech, |t| t.teach.sample_name),
            maker: maker.say_in("placeholder", speech, |t| t.teach.sample_maker),
            rows: el("dl").class("rows").id("teach-rows"),
            form,
            pasted,
            pasted_last: Cell::default(),
            files: RefCell::default(),
            file_list: el("ul").class("plain").id("teach-file-list"),
            encoding: encodings(),
            changed,
        });
        place.add(&data.switch());
        data.fill_sources();
        data.sources.iter().for_each(|source| place.add(source));
        data.choose(FORM);
        data
    }

    fn switch(self: &Rc<Self>) -> El {
        let group = el("fieldset").class("segments");
        let group = group.child(&el("legend").say(&self.app.speech, |t| t.teach.data));
        for (i, (id, sentence)) in SOURCES.iter().enumerate() {
            let radio = el("input").id(&format!("teach-source-{id}")).attr("type", "radio");
            let radio = radio.attr("name", "teach-source");
            radio.set_checked(i == FORM);
            let data = Rc::clone(self);
            let radio = radio.on("change", move |_| data.choose(i));
            group.add(&choice(&self.app.speech, *sentence, &radio));
        }
        group
    }

    fn fill_sources(self: &Rc<Self>) {
        let speech = &self.app.speech;
        let [_, _, files, sample] = self.sources.as_slice() else { return };
        sample.add(&el("p").class("faint").say(speech, |t| t.teach.sample_hint));
        let pair = el("div").class("fields").child(&field(speech, |t| t.teach.name, &self.name));
        sample.add(&pair.child(&field(speech, |t| t.teach.maker, &self.maker)));
        sample.add(&self.rows);
        let edited = Rc::clone(self);
        let edit = button().id("teach-sample-edit").say(speech, |t| t.rows.edit_sample);
        let edit = edit.on("click", move |_| edited.edit_sample());
        sample.add(&el("div").class("foot").child(&edit));
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
        for input in [&self.name, &self.maker] {
            let data = Rc::clone(self);
            dom::listen(input, "input", move |_| data.show_rows());
        }
    }

    fn choose(self: &Rc<Self>, chosen: usize) {
        self.chosen.set(chosen);
        for (i, source) in self.sources.iter().enumerate() {
            source.show(i == chosen);
        }
        self.wait();
        self.show_rows();
        if self.has_to_carry() {
            let data = Rc::clone(self);
            self.app.spawn(async move { data.carry().await });
        }
    }

    /// Whether what is chosen does not yet hold what was typed last, in the form or in the field for anything.
    fn has_to_carry(&self) -> bool {
        matches!((self.chosen.get(), self.pasted_last.get()), (PASTE, false) | (FORM, true))
    }

    /// Until then nobody types into it.
    fn wait(&self) {
        let waits = |place: usize| self.has_to_carry() && self.chosen.get() == place;
        self.form.wait(waits(FORM));
        self.pasted.wait(waits(PASTE));
    }

    /// Takes what was typed in the form over to the field for anything, or the other way, where one holds the other's.
    ///
    /// # Errors
    /// The engine, which reads the field, does not answer.
    async fn carry(self: &Rc<Self>) -> Answer<()> {
        while self.has_to_carry() {
            let text = self.pasted.text();
            let own = self.pasted.pairs().await?;
            // Meanwhile a person may have gone elsewhere, or opened a lesson.
            if !self.has_to_carry() || self.pasted.text() != text {
                continue;
            }
            let to_form = self.chosen.get() == FORM;
            self.pasted_last.set(!to_form);
            self.wait();
            match own {
                own if !to_form => self.pasted.take_pairs(&self.form.filled(), own.as_deref()),
                _ if self.pasted.is_of_form() => {}
                Some(pairs) if pairs != self.form.filled() => self.form.set(&pairs),
                Some(_) => {}
                None => self.form.say(self.app.speech.text().rows.stays),
            }
            self.show_rows();
        }
        Ok(())
    }

    /// Puts the sample's rows into the form, behind those that are there.
    fn edit_sample(self: &Rc<Self>) {
        self.check(FORM);
        self.choose(FORM);
        let data = Rc::clone(self);
        self.app.spawn(async move {
            data.carry().await?;
            if data.chosen.get() == FORM {
                data.form.set(&[data.form.filled(), data.sample()].concat());
                data.form.enter();
                data.show_rows();
            }
            Ok(())
        });
    }

    fn check(&self, chosen: usize) {
        dom::find(&format!("teach-source-{}", SOURCES[chosen].0)).set_checked(true);
    }

    /// Reads what was pasted as texts, or as conversations.
    pub fn read_as(&self, texts: bool) {
        self.pasted.read_as(texts);
    }

    /// Shows the sample's first rows, the form and what was pasted anew, in the language of now.
    pub fn show_rows(&self) {
        self.form.relabel();
        self.pasted.show();
        self.rows.clear();
        for [question, answer] in self.sample().iter().take(SHOWN_ROWS) {
            self.rows.add(&el("dt").text(question));
            self.rows.add(&el("dd").text(answer));
        }
        (self.changed)();
    }

    fn show_files(self: &Rc<Self>) {
        self.file_list.redraw(|| self.list_files());
        (self.changed)();
    }

    fn list_files(self: &Rc<Self>) {
        self.file_list.clear();
        let remove = self.app.speech.text().page.remove;
        for (i, file) in self.files.borrow().iter().enumerate() {
            let name = format!("{} ({})", file.name(), bytes(file.size()));
            let data = Rc::clone(self);
            let removed =
                button().class("quiet small").test("teach-file-remove").text("✕").on("click", move |_| {
                    data.files.borrow_mut().remove(i);
                    data.show_files();
                });
            let removed = removed.attr("aria-label", &fill("{} {}", &[remove, &file.name()]));
            self.file_list.add(&el("li").child(&el("span").text(&name)).child(&removed));
        }
    }

    /// What the files are written in, where that is not UTF-8; the other sources are made here.
    pub fn encoding(&self) -> Option<String> {
        Some(self.encoding.value()).filter(|name| self.holds_files() && name != ENCODINGS[0])
    }

    fn sample(&self) -> Vec<[String; 2]> {
        let t = self.app.speech.text();
        let (name, maker) =
            (typed(&self.name, t.teach.sample_name), typed(&self.maker, t.teach.sample_maker));
        sample::identity(self.app.speech.language(), &name, &maker)
    }

    /// What the result may be called; none where its files or the day name it.
    pub fn name(&self) -> Option<String> {
        (self.chosen.get() == SAMPLE).then(|| typed(&self.name, self.app.speech.text().teach.sample_name))
    }

    /// Notes what was typed. Files stay where they are.
    pub fn note(&self, lesson: &mut Lesson) {
        lesson.source = self.chosen.get();
        (lesson.name, lesson.maker) = (self.name.value(), self.maker.value());
        (lesson.text, lesson.encoding) = (self.pasted.text(), self.encoding.value());
        (lesson.rows, lesson.pasted_last) = (self.form.filled(), self.pasted_last.get());
    }

    /// Puts in what was typed last time.
    pub fn restore(self: &Rc<Self>, lesson: &Lesson) {
        self.name.set_value(&lesson.name);
        self.maker.set_value(&lesson.maker);
        self.form.set(&lesson.rows);
        self.pasted.set_text(&lesson.text);
        let encoding = ENCODINGS.iter().find(|name| **name == lesson.encoding);
        self.encoding.set_value(encoding.unwrap_or(&ENCODINGS[0]));
        let chosen = lesson.source.min(SOURCES.len() - 1);
        self.pasted_last.set(lesson.pasted_last || chosen == PASTE);
        self.check(chosen);
        self.choose(chosen);
    }

    /// Whether files hold the data.
    pub fn holds_files(&self) -> bool {
        self.chosen.get() == FILES
    }

    /// Goes to the first typed or pasted line that has to be corrected; false where there is none.
    pub fn go_to_fault(&self) -> bool {
        match self.chosen.get() {
            FORM => self.form.go_to_fault(),
            PASTE => self.pasted.go_to_fault(),
            _ => false,
        }
    }

    /// The rows as a text, each in the line that it has on the page. Pretraining reads texts, the others conversations.
    ///
    /// # Errors
    /// There are none, some have to be corrected, files hold them, or the engine does not answer.
    pub async fn rows(self: &Rc<Self>, texts: bool) -> Answer<String> {
        self.carry().await?;
        match self.chosen.get() {
            PASTE => {
                self.read_as(texts);
                self.pasted.rows().await
            }
            _ => self.typed_rows(texts).map_err(Into::into),
        }
    }

    /// The data for the engine.
    ///
    /// # Errors
    /// What is missing, or has to be corrected first.
    pub async fn source(self: &Rc<Self>, texts: bool) -> Answer<JsValue> {
        self.carry().await?;
        let t = self.app.speech.text();
        let name = match self.chosen.get() {
            FILES => {
                let files = self.files.borrow();
                return if files.is_empty() {
                    Err(t.teach.needs_data.into())
                } else {
                    Ok(engine::files(&files))
                };
            }
            PASTE => {
                self.read_as(texts);
                return self.pasted.source().await;
            }
            FORM => t.rows.form_file,
            _ => "sample",
        };
        Ok(engine::file_of_text(&format!("{name}.jsonl"), &self.typed_rows(texts)?))
    }

    /// The rows of the form or of the sample.
    fn typed_rows(&self, texts: bool) -> Result<String, &'static str> {
        let t = self.app.speech.text();
        let is_half = |[question, answer]: &[String; 2]| question.is_empty() != answer.is_empty();
        match self.chosen.get() {
            SAMPLE => Ok(lines(&self.sample(), texts)),
            FORM => match self.form.pairs() {
                pairs if pairs.iter().all(is_blank) => Err(t.teach.needs_data),
                pairs if pairs.iter().any(is_half) => Err(t.rows.mend_rows),
                pairs => Ok(lines(&pairs, texts)),
            },
            _ => Err(t.teach.needs_data),
        }
    }
}

/// Questions and answers as rows, a line each; a blank pair is a blank line.
fn lines(pairs: &[[String; 2]], texts: bool) -> String {
    let line = |[question, answer]: &[String; 2]| match (question.as_str(), answer.as_str()) {
        ("", "") => "\n".to_string(),
        _ if texts => format!("{}\n", json!({ "text": format!("{question}\n{answer}") })),
        _ => format!(
            "{}\n",
            json!({ "messages": [
                { "role": "user", "content": question },
                { "role": "assistant", "content": answer },
            ] })
        ),
    };
    pairs.iter().map(line).collect()
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
