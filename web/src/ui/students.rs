//! The adapters of a whole class: many files at once, and the same questions to all of them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use web_sys::File;

use super::answers::{Answers, Column};
use super::app::{App, Topic};
use super::dom::{self, El, button, el, field};
use super::drop;
use super::engine::{self, Answer};
use crate::format::fill;
use crate::messages::model::AdapterInfo;
use crate::students::{Group, groups};

struct Students {
    app: Rc<App>,
    list: El,
    questions: El,
    /// What an average is to be called.
    mean: El,
    answers: Rc<Answers>,
    /// The adapters of the open model, by name.
    known: RefCell<Vec<AdapterInfo>>,
    chosen: RefCell<BTreeSet<String>>,
    /// The lesson's questions, as they were put into the field.
    filled: RefCell<String>,
}

/// Builds the card.
pub fn build(app: &Rc<App>) -> El {
    let speech = &app.speech;
    let students = Rc::new(Students {
        app: Rc::clone(app),
        list: el("ul").class("plain").id("class-list"),
        questions: el("textarea").id("class-questions").attr("rows", "4"),
        mean: el("input")
            .id("class-mean")
            .attr("type", "text")
            .say_in("placeholder", speech, |t| t.lessons.students_mean),
        answers: Answers::build(app, "class", el("div").class("answers")),
        known: RefCell::default(),
        chosen: RefCell::default(),
        filled: RefCell::default(),
    });
    let (dropped, asked) = (Rc::clone(&students), Rc::clone(&students));
    let zone =
        drop::zone(speech, "class-files", |t| t.lessons.students_drop, move |files| dropped.take(files));
    let run = button().id("class-run").class("primary").say(speech, |t| t.lessons.students_ask);
    let run = run.on("click", move |_| asked.ask());
    let averaged = Rc::clone(&students);
    let average = button().id("class-average").say(speech, |t| t.lessons.students_average);
    let average = average.on("click", move |_| averaged.average());
    let (listed, shown, filled) = (Rc::clone(&students), Rc::clone(&students), Rc::clone(&students));
    app.watch(Topic::Adapters, move || listed.fetch());
    app.watch(Topic::Language, move || shown.show());
    app.watch(Topic::Questions, move || filled.fill());
    students.fill();
    let card = el("section").class("card").child(&el("h2").say(speech, |t| t.lessons.students));
    let card = card.child(&el("p").class("faint").say(speech, |t| t.lessons.students_hint));
    let card = card.child(&zone).child(&students.list);
    let card = card.child(&field(speech, |t| t.lessons.questions, &students.questions));
    let card = card.child(&el("div").class("foot").child(&run));
    let card = card.child(&field(speech, |t| t.lessons.students_mean_name, &students.mean));
    let card = card.child(&el("p").class("faint").say(speech, |t| t.lessons.students_mean_hint));
    card.child(&el("div").class("foot").child(&average)).child(&students.answers.place)
}

/// The path of a file: with its folders where it came in one.
fn path(file: &File) -> String {
    let path = engine::get(file, "webkitRelativePath").as_string();
    path.filter(|path| !path.is_empty()).unwrap_or_else(|| file.name())
}

impl Students {
    fn fetch(self: &Rc<Self>) {
        let students = Rc::clone(self);
        self.app.spawn(async move {
            // The list of adapters above says what fails.
            let mut known = engine::adapters().await.unwrap_or_default();
            known.retain(|adapter| adapter.fits && adapter.damaged.is_none());
            known.sort_by(|a, b| a.name.cmp(&b.name));
            students.known.replace(known);
            students.show();
            Ok(())
        });
    }

    fn show(self: &Rc<Self>) {
        self.list.redraw(|| self.fill_list());
    }

    fn fill_list(self: &Rc<Self>) {
        self.list.clear();
        for adapter in self.known.borrow().iter() {
            let on = el("input").test("class-adapter").attr("type", "checkbox");
            on.set_checked(self.chosen.borrow().contains(&adapter.name));
            let (students, name, read) = (Rc::clone(self), adapter.name.clone(), on.clone());
            dom::listen(&on, "change", move |_| {
                let mut chosen = students.chosen.borrow_mut();
                if read.checked() {
                    chosen.insert(name.clone())
                } else {
                    chosen.remove(&name)
                };
            });
            let label = el("label").class("choice").child(&on).child(&el("span").text(&adapter.name));
            self.list.add(&el("li").child(&label));
        }
        if self.known.borrow().is_empty() {
            let none = self.app.speech.text().lessons.students_none;
            self.list.add(&el("li").class("faint").text(none));
        }
    }

    /// Puts the lesson's questions into the field, unless somebody wrote others there.
    fn fill(&self) {
        let typed = self.questions.value();
        if typed.trim().is_empty() || typed == *self.filled.borrow() {
            let questions = self.app.questions().join("\n");
            self.questions.set_value(&questions);
            self.filled.replace(questions);
        }
    }

    fn take(self: &Rc<Self>, files: Vec<File>) {
        let (groups, left) = groups(&files.iter().map(path).collect::<Vec<_>>());
        let students = Rc::clone(self);
        self.app.spawn(async move {
            let mut failed = Vec::new();
            let t = &students.app.speech.text().lessons;
            if !left.is_empty() {
                failed.push(fill(t.students_left, &[&left.join(", ")]));
            }
            let added = students.add(&files, groups, &mut failed).await?;
            students.app.changed(Topic::Adapters);
            if !failed.is_empty() {
                return Err(failed.join("\n"));
            }
            students.app.tell(&fill(t.students_added, &[&added.join(", ")]));
            Ok(())
        });
    }

    /// Adds adapters and gives their names here; what acted before acts again afterwards.
    async fn add(&self, files: &[File], groups: Vec<Group>, failed: &mut Vec<String>) -> Answer<Vec<String>> {
        let text = self.app.speech.text();
        let acted = engine::adapters().await?;
        let mut added = Vec::new();
        for Group { name, files: own } in groups {
            let name = if name.is_empty() { text.adapters.unnamed.to_string() } else { name };
            let own: Vec<File> = own.into_iter().filter_map(|i| files.get(i).cloned()).collect();
            match engine::add_adapter(&name, &engine::files(&own)).await {
                // The one that was just added acts alone, under a name that was free.
                Ok(list) => added.extend(list.into_iter().find(|a| a.active).map(|a| a.name)),
                Err(sentence) => failed.push(fill(text.lessons.students_failed, &[&name, &sentence])),
            }
        }
        if !added.is_empty() {
            engine::use_adapters(&acted).await?;
        }
        self.chosen.borrow_mut().extend(added.iter().cloned());
        Ok(added)
    }

    /// Makes one adapter of those that are chosen; what acted before acts again afterwards.
    fn average(self: &Rc<Self>) {
        let text = self.app.speech.text();
        let of: Vec<String> = {
            let (chosen, known) = (self.chosen.borrow(), self.known.borrow());
            known.iter().map(|adapter| &adapter.name).filter(|name| chosen.contains(*name)).cloned().collect()
        };
        if of.len() < 2 {
            self.app.fail(text.lessons.students_two);
            return;
        }
        let typed = self.mean.value();
        let name = match typed.trim() {
            "" => text.lessons.students_mean.to_string(),
            typed => typed.to_string(),
        };
        let students = Rc::clone(self);
        self.app.spawn(async move {
            let acted = engine::adapters().await?;
            let mean = engine::average_adapters(&name, &of).await?;
            students.chosen.borrow_mut().insert(mean.name.clone());
            engine::use_adapters(&acted).await?;
            students.app.changed(Topic::Adapters);
            let said = students.app.speech.text().lessons.students_averaged;
            let mut told = vec![fill(said, &[&mean.name, &of.join(", ")])];
            told.extend(mean.notes.iter().map(engine::spoken));
            students.app.tell(&told.join("\n"));
            Ok(())
        });
    }

    fn ask(&self) {
        let questions = self.questions.value();
        let questions = questions.lines().map(str::trim).filter(|line| !line.is_empty());
        let questions: Vec<String> = questions.map(String::from).collect();
        let (chosen, text) = (self.chosen.borrow(), self.app.speech.text());
        let known = self.known.borrow();
        let named = known.iter().filter(|adapter| chosen.contains(&adapter.name));
        let of = named.map(|adapter| Column::of(&adapter.name, &adapter.name));
        let columns: Vec<_> = std::iter::once(Column::base(text.adapters.base)).chain(of).collect();
        if questions.is_empty() || columns.len() < 2 {
            self.app.fail(text.lessons.students_needs);
            return;
        }
        self.answers.ask(questions, columns);
    }
}
