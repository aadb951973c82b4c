//! Lessons: the gallery, a file or an address opens one, which fills the tab that teaches; and what is typed there becomes
//! one, as a file, on paper or as a link.

mod desk;
mod gallery;
mod kept;
mod link;
mod maker;
mod marked;
mod worksheet;

use std::cell::RefCell;
use std::rc::Rc;

use web_sys::AbortSignal;

pub use self::desk::{Desk, Rows};
use self::desk::{draft, settings};
use self::kept::Kept;
use self::link::Link;
use self::maker::Maker;
use super::app::{App, Topic};
use super::dom::{self, El, el, window};
use super::engine::Answer;
use super::fetch::{fetch, resolve};
use crate::format::fill;
use crate::language::Language;
use crate::lesson::{Lesson, MOST_BYTES, Version, Words, read, rows};
use crate::saves::crc32;

/// A lesson that is open.
#[derive(Clone)]
pub struct Open {
    lesson: Lesson,
    /// In which language it was laid out.
    language: Language,
    /// Where it came from; empty for a disk.
    address: String,
    /// The checksum of its file.
    file: u32,
    /// What of the file has no use, a sentence each.
    remarks: Vec<String>,
}

/// The lessons of the page.
pub struct Lessons {
    app: Rc<App>,
    desk: Rc<dyn Desk>,
    maker: Maker,
    link: Rc<Link>,
    shown: El,
    open: RefCell<Option<Open>>,
    /// The checksum of what was typed when a lesson was laid out or saved last; none where that never was.
    noted: RefCell<Option<u32>>,
}

impl Lessons {
    /// Builds the lessons into their place, with the one that was open last.
    pub fn build(app: &Rc<App>, place: &El, desk: Rc<dyn Desk>) -> Rc<Self> {
        let speech = &app.speech;
        let lessons = Rc::new(Self {
            app: Rc::clone(app),
            desk,
            maker: Maker::build(speech),
            link: Link::build(app),
            shown: el("div").id("lesson-shown").class("marked"),
            open: RefCell::default(),
            noted: RefCell::default(),
        });
        place.set("id", "lessons");
        place.add(&el("h2").say(speech, |t| t.lessons.title));
        place.add(&el("p").class("faint").say(speech, |t| t.lessons.hint));
        gallery::build(&lessons, place);
        place.add(&lessons.shown);
        place.add(&lessons.maker.place.clone().child(&lessons.link.place));
        lessons.wire();
        lessons.restore();
        lessons.show();
        app.set_questions(lessons.maker.version().questions);
        lessons
    }

    fn wire(self: &Rc<Self>) {
        let press = |button: &El, call: fn(&Rc<Self>)| {
            let lessons = Rc::clone(self);
            dom::listen(button, "click", move |_| call(&lessons));
        };
        press(&self.maker.save, |lessons| {
            let saved = Rc::clone(lessons);
            lessons.app.spawn(async move { saved.save().await });
        });
        press(&self.maker.print, |lessons| worksheet::print(&lessons.app, &lessons.maker.version()));
        press(&self.maker.language, |lessons| {
            let switched = Rc::clone(lessons);
            lessons.app.spawn(async move { switched.switch_language().await });
        });
        press(&self.maker.close, |lessons| lessons.close());
        let changed = Rc::clone(self);
        dom::listen(&self.maker.fields, "change", move |_| changed.changed());
        let spoken = Rc::clone(self);
        self.app.watch(Topic::Language, move || spoken.show());
        worksheet::remove_when_printed();
    }

    /// Fetches a lesson and opens it; `once`, not where this very file is open already.
    pub async fn fetch_and_open(
        self: &Rc<Self>,
        address: &str,
        once: bool,
        signal: &AbortSignal,
    ) -> Answer<()> {
        let t = self.app.speech.text();
        let url = resolve(address, t)?;
        let bytes = fetch(&url, MOST_BYTES, signal, t, |_, _| ()).await?;
        let file = crc32(&bytes);
        let is_open =
            self.open.borrow().as_ref().is_some_and(|open| open.file == file && open.address == address);
        if once && is_open {
            self.app.show_tab("teach");
            return Ok(());
        }
        self.open(&bytes, address)
    }

    /// Opens a lesson's file, which came from an address or, where that is empty, from a disk.
    ///
    /// # Errors
    /// The file is no lesson: why, in the page's words.
    pub fn open(self: &Rc<Self>, bytes: &[u8], address: &str) -> Answer<()> {
        let t = self.app.speech.text();
        let opened = read(bytes).map_err(|problem| problem.sentence(t))?;
        if self.holds_typed() && !window().confirm_with_message(t.lessons.replace).unwrap_or(true) {
            return Ok(());
        }
        let unused = opened.unused.join(", ");
        let remarks = if unused.is_empty() { Vec::new() } else { vec![fill(t.lessons.unused, &[&unused])] };
        self.lay(Open {
            lesson: opened.lesson,
            language: self.app.speech.language(),
            address: address.to_string(),
            file: crc32(bytes),
            remarks,
        });
        self.app.show_tab("teach");
        self.shown.scroll_into_view();
        Ok(())
    }

    /// Fills the tab with a lesson.
    fn lay(&self, mut open: Open) {
        let version = open.lesson.version(open.language);
        let without_field = self.desk.lay(&draft(version, &open.lesson.settings));
        self.maker.fill(version);
        if !without_field.is_empty() {
            let no_field = self.app.speech.text().lessons.no_field;
            open.remarks.push(fill(no_field, &[&without_field.join(", ")]));
        }
        self.link.lesson.set_value(&open.address);
        self.link.show();
        self.open.replace(Some(open));
        self.noted.replace(Some(self.checksum()));
        self.changed();
    }

    /// Stands for all that is typed and chosen.
    fn checksum(&self) -> u32 {
        let typed = (self.desk.typed(), self.maker.values());
        crc32(serde_json::to_string(&typed).unwrap_or_default().as_bytes())
    }

    /// Whether something was typed that stands in no file.
    fn holds_typed(&self) -> bool {
        match *self.noted.borrow() {
            Some(noted) => noted != self.checksum(),
            None => {
                let typed = self.desk.typed();
                let texts = [&typed.name, &typed.maker, &typed.text, &typed.question, &typed.result];
                let numbers = [
                    &typed.training,
                    &typed.lora,
                    &typed.sample,
                    &typed.dpo,
                    &typed.distill,
                    &typed.reason,
                    &typed.grpo,
                    &typed.experts,
                ];
                let is_blank = typed.rows.is_empty() && texts.iter().all(|text| text.trim().is_empty());
                !is_blank || numbers.iter().any(|numbers| !numbers.is_empty()) || !self.maker.is_blank()
            }
        }
    }

    /// What is typed now, as a lesson that opens again.
    async fn gather(&self) -> Answer<Lesson> {
        let text = self.app.speech.text();
        if self.desk.holds_files() {
            return Err(text.lessons.from_files.into());
        }
        // The engine reads the rows; where something else is typed meanwhile, that is the lesson.
        let (typed, taught) = loop {
            let typed = self.checksum();
            let taught = Rc::clone(&self.desk).rows().await?;
            if self.checksum() == typed {
                break (self.desk.typed(), taught);
            }
        };
        let version = Version { rows: rows(&taught), ..self.maker.version() };
        let settings = settings(&typed, &version.questions);
        let lesson = match self.open.borrow().clone() {
            Some(Open { mut lesson, language, .. }) => {
                lesson.put(language, version);
                Lesson { settings, ..lesson }
            }
            None => Lesson { words: Words::One(version), settings },
        };
        read(lesson.to_json().as_bytes()).map_err(|problem| problem.sentence(text))?;
        Ok(lesson)
    }

    /// The lesson as it is typed now takes the place of the one that is open.
    fn take(&self, lesson: Lesson) -> Open {
        let open = self.open.borrow().clone();
        let fresh = || Open {
            lesson: lesson.clone(),
            language: self.app.speech.language(),
            address: String::new(),
            file: 0,
            remarks: Vec::new(),
        };
        open.map_or_else(fresh, |open| Open { lesson: lesson.clone(), ..open })
    }

    async fn save(&self) -> Answer<()> {
        let lesson = self.gather().await?;
        maker::download(&lesson.to_json(), &self.maker.version().title)?;
        self.open.replace(Some(self.take(lesson)));
        self.noted.replace(Some(self.checksum()));
        self.changed();
        Ok(())
    }

    /// Goes to the lesson's other language, which says the same at first.
    async fn switch_language(&self) -> Answer<()> {
        let mut open = self.take(self.gather().await?);
        open.lesson.double();
        open.language = open.language.other();
        open.remarks.clear();
        self.lay(open);
        Ok(())
    }

    fn close(&self) {
        let t = &self.app.speech.text().lessons;
        if self.holds_typed() && !window().confirm_with_message(t.forget_sure).unwrap_or(true) {
            return;
        }
        self.open.replace(None);
        self.noted.replace(None);
        self.maker.fill(&Version::default());
        self.changed();
    }

    /// Keeps and shows what stands in the fields, and tells who asks the questions.
    fn changed(&self) {
        let kept = Kept::of(self.open.borrow().as_ref(), self.maker.values(), *self.noted.borrow());
        if !kept.store(&self.app.slot.id()) {
            self.app.fail(self.app.speech.text().page.no_room);
        }
        self.show();
        self.app.set_questions(self.maker.version().questions);
    }

    fn restore(&self) {
        let Some(kept) = Kept::load(&self.app.slot.id()) else { return };
        self.maker.set_values(&kept.values);
        self.noted.replace(kept.noted);
        let open = kept.open();
        if let Some(open) = &open {
            self.link.lesson.set_value(&open.address);
            self.link.show();
        }
        self.open.replace(open);
    }

    /// Shows the open lesson, as it stands in the fields.
    fn show(&self) {
        let t = &self.app.speech.text().lessons;
        self.shown.clear();
        let open = self.open.borrow();
        self.maker.speak(t, open.as_ref().map(|open| (open.language, open.lesson.is_in_both())), &self.app);
        let Some(open) = open.as_ref() else {
            self.shown.show(false);
            return;
        };
        let version = self.maker.version();
        self.shown.show(true);
        self.shown.add(&el("h3").id("lesson-title").text(&version.title));
        marked::show(&self.shown, &version.text);
        if !version.questions.is_empty() {
            self.shown.add(&el("p").class("faint").text(t.of_questions));
            let list = el("ul");
            version.questions.iter().for_each(|question| list.add(&el("li").text(question)));
            self.shown.add(&list);
        }
        let remarks = el("ul").class("warnings").id("lesson-remarks");
        open.remarks.iter().for_each(|remark| remarks.add(&el("li").text(remark)));
        self.shown.add(&remarks);
    }
}
