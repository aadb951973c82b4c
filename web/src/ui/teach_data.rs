//! What the model is taught: questions and answers of a form, anything pasted, files, or a sample made in the page.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

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
use super::reading::Kind;
use super::teach_sample::Sample;
use crate::format::{bytes, fill};
use crate::language::Sentence;
use crate::typed;

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

/// The choice of data.
pub struct Data {
    app: Rc<App>,
    chosen: Cell<usize>,
    sources: Vec<El>,
    sample: Rc<Sample>,
    /// What the stage of now reads.
    kind: Cell<Kind>,
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
        let sources: Vec<El> = SOURCES.iter().map(|_| el("div").class("source")).collect();
        let form = PairForm::build(app, &sources[FORM], Rc::clone(&changed));
        let pasted = PasteField::build(app, &sources[PASTE], Rc::clone(&changed));
        let sample = Sample::build(app, &sources[SAMPLE], &changed);
        let data = Rc::new(Self {
            app: Rc::clone(app),
            chosen: Cell::new(FORM),
            sources,
            sample,
            kind: Cell::default(),
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
        let example = button().id("teach-pair-example").class("quiet").say(speech, |t| t.stages.fill_example);
        for press in [&self.sample.edit, &example] {
            let edited = Rc::clone(self);
            dom::listen(press, "click", move |_| edited.edit_sample());
        }
        self.sources[FORM].add(&el("div").class("foot").child(&example));
        let files = &self.sources[FILES];
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

    /// Whether what is chosen does not yet hold what was typed last, in the form or in the field for anything. Rows of two
    /// answers stay where they were typed.
    fn has_to_carry(&self) -> bool {
        self.kind.get() != Kind::Choices
            && matches!((self.chosen.get(), self.pasted_last.get()), (PASTE, false) | (FORM, true))
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
                data.add_sample();
                data.form.enter();
                data.show_rows();
            }
            Ok(())
        });
    }

    fn add_sample(&self) {
        let (mut pairs, mut worse) = self.form.noted();
        match self.kind.get() {
            Kind::Choices => {
                for [question, better, poorer] in self.sample.choices() {
                    pairs.push([question, better]);
                    worse.push(poorer);
                }
            }
            Kind::Texts | Kind::Conversations | Kind::Thoughts => {
                pairs.extend(
                    self.sample.choices().into_iter().map(|[question, answer, _]| [question, answer]),
                );
            }
        }
        self.form.restore(&pairs, &worse);
    }

    fn check(&self, chosen: usize) {
        dom::find(&format!("teach-source-{}", SOURCES[chosen].0)).set_checked(true);
    }

    /// Takes what is typed and pasted as rows of this kind from now on.
    pub fn read_as(self: &Rc<Self>, kind: Kind) {
        self.pasted.read_as(kind);
        if self.kind.replace(kind) == kind {
            return;
        }
        self.form.choose(kind == Kind::Choices);
        self.sample.show(kind);
        self.wait();
        if self.has_to_carry() {
            let data = Rc::clone(self);
            self.app.spawn(async move { data.carry().await });
        }
    }

    /// Shows the sample's first rows, the form and what was pasted anew, in the language of now.
    pub fn show_rows(&self) {
        self.form.relabel();
        self.pasted.show();
        self.sample.show(self.kind.get());
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

    /// What the result may be called; none where its files or the day name it.
    pub fn name(&self) -> Option<String> {
        (self.chosen.get() == SAMPLE).then(|| self.sample.name())
    }

    /// Notes what was typed. Files stay where they are.
    pub fn note(&self, lesson: &mut Lesson) {
        lesson.source = self.chosen.get();
        self.sample.note(lesson);
        (lesson.text, lesson.encoding) = (self.pasted.text(), self.encoding.value());
        (lesson.rows, lesson.worse) = self.form.noted();
        lesson.pasted_last = self.pasted_last.get();
    }

    /// Puts in what was typed last time.
    pub fn restore(self: &Rc<Self>, lesson: &Lesson) {
        self.sample.restore(lesson);
        self.form.restore(&lesson.rows, &lesson.worse);
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
    pub async fn rows(self: &Rc<Self>, kind: Kind) -> Answer<String> {
        self.read_as(kind);
        self.carry().await?;
        match self.chosen.get() {
            PASTE => self.pasted.rows().await,
            _ => self.typed_rows().map_err(Into::into),
        }
    }

    /// The data for the engine.
    ///
    /// # Errors
    /// What is missing, or has to be corrected first.
    pub async fn source(self: &Rc<Self>, kind: Kind) -> Answer<JsValue> {
        self.read_as(kind);
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
            PASTE => return self.pasted.source().await,
            FORM => t.rows.form_file,
            _ => "sample",
        };
        Ok(engine::file_of_text(&format!("{name}.jsonl"), &self.typed_rows()?))
    }

    /// The rows of the form or of the sample.
    fn typed_rows(&self) -> Result<String, &'static str> {
        let t = self.app.speech.text();
        let chooses = self.kind.get() == Kind::Choices;
        let rows = match self.chosen.get() {
            SAMPLE => self.sample.choices(),
            FORM => self.form.choices(),
            _ => return Err(t.teach.needs_data),
        };
        let read = if chooses { 3 } else { 2 };
        if rows.iter().all(|row| is_blank(&row[..read])) {
            return Err(t.teach.needs_data);
        }
        if self.chosen.get() == FORM && self.form.has_fault() {
            return Err(if chooses { t.stages.mend_choices } else { t.rows.mend_rows });
        }
        if chooses {
            return Ok(typed::choices(&rows));
        }
        let pairs: Vec<[String; 2]> =
            rows.into_iter().map(|[question, answer, _]| [question, answer]).collect();
        Ok(typed::pairs(&pairs, self.kind.get() == Kind::Texts))
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
