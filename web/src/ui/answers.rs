//! The same questions to several: a table of the most likely answers, a column for each.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Uint8Array;
use serde_json::{Value, json};
use web_sys::AbortController;

use super::answer::Shown;
use super::app::App;
use super::dom::{self, El, button, el};
use super::engine::{self, Answer};
use crate::csv;
use crate::format::fill;
use crate::messages::chat::{ChatChunk, FinishReason};

/// The longest answer, in tokens.
const MOST_TOKENS: u32 = 128;

/// Who answers.
pub struct Column {
    /// What stands above the answers.
    pub title: String,
    /// What acts, as `kindling.d.ts` has it.
    adapters: Value,
}

impl Column {
    /// The model without any adapter.
    pub fn base(title: &str) -> Self {
        Self { title: title.into(), adapters: "base".into() }
    }

    /// The model with one adapter, whatever is switched on.
    pub fn of(title: &str, adapter: &str) -> Self {
        Self { title: title.into(), adapters: json!([{ "name": adapter }]) }
    }
}

/// The table, hidden until somebody asks.
pub struct Answers {
    /// Where it is.
    pub place: El,
    app: Rc<App>,
    id: &'static str,
    table: El,
    progress: El,
    stop: El,
    export: El,
    answering: RefCell<Option<AbortController>>,
    /// What the table says, with its head.
    said: RefCell<Vec<Vec<String>>>,
}

impl Answers {
    /// Builds the table; its parts are called `id-table`, `id-cell`, `id-progress`, `id-stop` and `id-csv`.
    pub fn build(app: &Rc<App>, id: &'static str, place: El) -> Rc<Self> {
        let speech = &app.speech;
        let part = |name: &str| format!("{id}-{name}");
        let answers = Rc::new(Self {
            place: place.shown(false),
            app: Rc::clone(app),
            id,
            table: el("table").id(&part("table")),
            progress: el("span").class("faint").id(&part("progress")).attr("aria-live", "polite"),
            stop: button().id(&part("stop")).say(speech, |t| t.chat.stop).shown(false),
            export: button().id(&part("csv")).say(speech, |t| t.lessons.students_csv),
            answering: RefCell::default(),
            said: RefCell::default(),
        });
        answers.place.add(&el("div").class("wide").child(&answers.table));
        let foot = el("div").class("foot").child(&answers.progress).child(&answers.stop);
        answers.place.add(&foot.child(&answers.export));
        let (stopped, exported) = (Rc::clone(&answers), Rc::clone(&answers));
        dom::listen(&answers.stop, "click", move |_| stopped.abort());
        dom::listen(&answers.export, "click", move |_| exported.export());
        answers
    }

    /// Asks all of them all questions, one after the other: there is one device. What was asked before ends.
    pub fn ask(self: &Rc<Self>, questions: Vec<String>, columns: Vec<Column>) {
        self.abort();
        let Ok(abort) = AbortController::new() else { return };
        self.set_answering(Some(abort.clone()));
        let cells = self.draw(&questions, &columns);
        self.place.show(true);
        let answers = Rc::clone(self);
        self.app.spawn(async move {
            answers.fill(&questions, &columns, &cells, &abort).await;
            if answers.answering.borrow().as_ref().is_some_and(|now| js_sys::Object::is(now, &abort)) {
                answers.set_answering(None);
            }
            Ok(())
        });
    }

    /// Ends what is being asked; what came stays.
    pub fn abort(&self) {
        if let Some(abort) = self.answering.borrow().as_ref() {
            abort.abort();
        }
    }

    fn set_answering(&self, abort: Option<AbortController>) {
        self.export.enable(abort.is_none());
        self.stop.show_or_leave(abort.is_some(), &self.export);
        self.answering.replace(abort);
    }

    /// An empty table; its cells by column and question.
    fn draw(&self, questions: &[String], columns: &[Column]) -> Vec<Vec<El>> {
        let question = self.app.speech.text().lessons.worksheet_question;
        let head: Vec<String> =
            std::iter::once(question.to_string()).chain(columns.iter().map(|c| c.title.clone())).collect();
        let line = el("tr");
        head.iter().for_each(|title| line.add(&el("th").attr("scope", "col").text(title)));
        self.table.clear();
        self.table.add(&el("thead").child(&line));
        let (body, mut cells) = (el("tbody"), vec![Vec::new(); columns.len()]);
        let mut said = vec![head];
        for question in questions {
            let line = el("tr").child(&el("th").attr("scope", "row").text(question));
            for (column, cells) in columns.iter().zip(&mut cells) {
                let cell = el("td").test(&format!("{}-cell", self.id)).attr("data-column", &column.title);
                line.add(&cell);
                cells.push(cell);
            }
            body.add(&line);
            let empty = std::iter::repeat_n(String::new(), columns.len());
            said.push(std::iter::once(question.clone()).chain(empty).collect());
        }
        self.table.add(&body);
        self.said.replace(said);
        cells
    }

    async fn fill(
        &self,
        questions: &[String],
        columns: &[Column],
        cells: &[Vec<El>],
        abort: &AbortController,
    ) {
        let (all, mut done) = ((questions.len() * columns.len()).to_string(), 0);
        for (i, (column, cells)) in columns.iter().zip(cells).enumerate() {
            for (j, (question, cell)) in questions.iter().zip(cells).enumerate() {
                cell.write("…");
                let answer = self.one(question, column, abort).await;
                if abort.signal().aborted() {
                    cell.clear();
                    return;
                }
                self.put(cell, [i, j], answer);
                done += 1;
                let progress = self.app.speech.text().lessons.students_progress;
                self.progress.write(&fill(progress, &[&done.to_string(), &all]));
            }
        }
    }

    /// Shows an answer, or why there is none; one that equals the first column's is marked.
    fn put(&self, cell: &El, [column, question]: [usize; 2], answer: Answer<String>) {
        cell.clear();
        let text = match &answer {
            Ok(text) => {
                let shown = Shown::new();
                shown.show(text, &self.app.speech);
                cell.add(&shown.body);
                text
            }
            Err(sentence) => {
                cell.add(&el("span").class("bad").text(sentence));
                sentence
            }
        };
        let mut said = self.said.borrow_mut();
        let Some(line) = said.get_mut(question + 1) else { return };
        if column > 0 && line.get(1) == Some(text) {
            cell.set("data-same", "true");
        }
        if let Some(place) = line.get_mut(column + 1) {
            place.clone_from(text);
        }
    }

    async fn one(&self, question: &str, column: &Column, abort: &AbortController) -> Answer<String> {
        let request = json!({
            "messages": [{ "role": "user", "content": question }],
            "stream": true,
            "temperature": 0,
            "max_tokens": MOST_TOKENS,
            "adapters": column.adapters,
        });
        let stream = engine::chat(&request, &abort.signal()).await?;
        let mut answer = String::new();
        while let Some(chunk) = stream.next::<ChatChunk>().await? {
            for choice in chunk.choices {
                answer.push_str(&choice.delta.content.unwrap_or_default());
                if choice.finish_reason == Some(FinishReason::Length) {
                    answer.push_str(self.app.speech.text().lessons.answers_cut);
                }
            }
        }
        Ok(answer)
    }

    fn export(self: &Rc<Self>) {
        let table = csv::table(&self.said.borrow());
        let bytes = Uint8Array::from(table.as_bytes());
        self.app.spawn(async move { dom::download("answers.csv", &bytes).map_err(engine::sentence) });
    }
}
