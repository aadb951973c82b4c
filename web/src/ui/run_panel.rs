//! The elements of a run: progress, chart, answers, and its buttons.

use std::rc::Rc;

use super::app::App;
use super::chart::Chart;
use super::dom::{El, button, el};
use super::expert_load::ExpertLoad;
use super::learned;
use super::metrics::Metrics;
use crate::format::{duration, fill};
use crate::language::Sentence;
use crate::messages::run::RunEnd;

/// The name of the heading.
const TITLE: &str = "teach-run-title";

/// What is seen of a run.
pub struct RunPanel {
    /// All of it.
    pub place: El,
    /// What goes on, as a sentence.
    pub status: El,
    /// The losses.
    pub chart: Chart,
    /// What is reported beside them.
    pub metrics: Metrics,
    /// How evenly the experts of a mixture are used.
    pub experts: ExpertLoad,
    /// Pauses, and goes on.
    pub pause: El,
    /// Saves and ends.
    pub stop: El,
    /// Leads to the chat.
    pub ask: El,
    /// Leads to the comparison with the base.
    pub compare: El,
    /// Takes the result home.
    pub export: El,
    /// Takes the result home in the layout of Hugging Face, where it is a model.
    pub export_hf: El,
    /// Takes the run home after a stop.
    pub export_run: El,
    /// Goes on after a stop.
    pub go_on: El,
    /// Goes on after the end.
    pub more: El,
    learned: El,
    app: Rc<App>,
    bar: El,
    samples: El,
    notes: El,
    warnings: El,
}

impl RunPanel {
    /// Builds it, hidden.
    pub fn build(app: &Rc<App>) -> Self {
        let act = |id: &str, class: &str, sentence: Sentence| {
            button().id(id).class(class).say(&app.speech, sentence)
        };
        let panel = Self {
            place: el("section").class("card").id("teach-run").attr("aria-labelledby", TITLE).shown(false),
            status: el("p").id("teach-status").attr("aria-live", "polite"),
            chart: Chart::build(app),
            metrics: Metrics::build(app),
            experts: ExpertLoad::build(app),
            pause: act("teach-pause", "second", |t| t.teach.pause),
            stop: act("teach-stop", "second", |t| t.teach.stop),
            ask: act("teach-ask", "primary", |t| t.teach.ask),
            compare: act("teach-compare", "second", |t| t.teach.compare),
            export: act("teach-export", "second", |t| t.teach.export),
            export_hf: act("teach-export-hf", "second", |t| t.models.export_hf),
            export_run: act("teach-export-run", "second", |t| t.teach.export_run),
            go_on: act("teach-resume", "primary", |t| t.teach.resume),
            more: act("teach-more", "second", |t| t.teach.more),
            learned: el("div").id("learned").attr("aria-live", "polite").shown(false),
            app: Rc::clone(app),
            bar: el("progress").id("teach-progress").say_in("aria-label", &app.speech, |t| t.teach.progress),
            samples: el("ol").class("samples").id("teach-samples").attr("aria-live", "polite"),
            warnings: el("ul").class("warnings").id("teach-run-warnings").attr("aria-live", "polite"),
            notes: el("p").class("faint").id("teach-notes"),
        };
        panel.fill()
    }

    fn fill(self) -> Self {
        let speech = &self.app.speech;
        let buttons = el("div").class("foot");
        self.buttons().into_iter().for_each(|button| buttons.add(button));
        self.place.set_tab_index(-1);
        self.place.add(&el("h2").id(TITLE).say(speech, |t| t.teach.run));
        for part in [&self.status, &self.bar, &buttons] {
            self.place.add(part);
        }
        let asked = el("div").class("asked").child(&el("h3").say(speech, |t| t.teach.samples));
        let asked = asked.child(&self.samples);
        let seen = el("div").class("seen").child(&self.chart.place).child(&asked).child(&self.learned);
        let measured = el("div").class("measured").child(&self.metrics.place).child(&self.experts.place);
        for part in [&seen, &measured, &self.warnings, &self.notes] {
            self.place.add(part);
        }
        self
    }

    /// All buttons, in their order.
    fn buttons(&self) -> [&El; 9] {
        let [more, compare, export] = [&self.more, &self.compare, &self.export];
        [
            &self.pause,
            &self.stop,
            &self.ask,
            &self.go_on,
            more,
            compare,
            export,
            &self.export_hf,
            &self.export_run,
        ]
    }

    /// Empties it for a run of so many steps.
    pub fn begin(&self, steps: f64) {
        self.place.show(true);
        self.samples.clear();
        self.notes.clear();
        self.warnings.clear();
        self.chart.begin(steps);
        self.metrics.begin();
        self.experts.begin();
        let _ = self.bar.remove_attribute("value");
    }

    /// Where a run stands, with tokens a second and the seconds that are left where they are known.
    pub fn at_step(&self, (step, total): (f64, f64), speed: Option<f64>, left: Option<f64>) -> String {
        let t = self.app.speech.text();
        let mut sentence = fill(t.teach.at_step, &[&format!("{step:.0}"), &format!("{total:.0}")]);
        if let Some(speed) = speed {
            sentence += &fill(t.teach.speed, &[&format!("{speed:.0}")]);
        }
        if let Some(left) = left {
            sentence += &fill(t.teach.left, &[&duration(left, &t.units)]);
        }
        sentence
    }

    /// Shows the buttons that make sense now; of a run that the page's server trained (`served`) only an adapter is here.
    pub fn show_state(&self, running: bool, paused: bool, end: Option<&RunEnd>, served: bool) {
        let t = self.app.speech.text();
        // A browser takes the keyboard from what is hidden at once.
        let held = self.buttons().into_iter().find(|button| button.holds_focus());
        self.pause.show(running);
        self.pause.write(if paused { t.teach.resume } else { t.teach.pause });
        self.stop.show(running);
        self.bar.show(running);
        let is_adapter = end.is_some_and(|end| end.adapter.is_some());
        self.ask.show(end.is_some());
        self.export.show(end.is_some() && (is_adapter || !served));
        learned::show(&self.learned, end.and_then(|end| end.lesson.as_ref()), t);
        self.more.show(!served && end.is_some_and(|end| !end.stopped));
        self.compare.show(is_adapter);
        self.export.write(if is_adapter { t.teach.export } else { t.models.export });
        self.export_hf.show(end.is_some() && !is_adapter && !served);
        let is_stopped = end.is_some_and(|end| end.stopped);
        self.go_on.show(is_stopped);
        self.export_run.show(is_stopped && !served);
        if held.is_some_and(|button| !button.holds_focus()) {
            self.place.focus_quietly();
        }
        self.chart.speak();
        self.metrics.speak();
        self.experts.speak();
    }

    /// Moves the bar.
    pub fn progress(&self, step: f64, total: f64) {
        self.bar.set("max", &total.max(1.0).to_string());
        self.bar.set("value", &step.to_string());
    }

    /// Adds an answer to the log, newest first.
    pub fn sample(&self, step: f64, prompt: &str, text: &str) {
        let step = fill(self.app.speech.text().teach.sample_at, &[&format!("{step:.0}")]);
        let _ = self.samples.prepend_with_node_1(&sample_line(&step, prompt, text));
    }

    /// Notes that the run was saved.
    pub fn saved(&self, step: f64) {
        self.notes.write(&fill(self.app.speech.text().teach.saved, &[&format!("{step:.0}")]));
    }

    /// Notes what is odd.
    pub fn warn(&self, message: &str) {
        self.warnings.add(&el("li").text(message));
    }
}

/// A line of the log of answers.
pub fn sample_line(step: &str, prompt: &str, text: &str) -> El {
    let line = el("li").test("teach-sample").child(&el("span").class("faint").text(step));
    line.child(&el("span").class("faint").text(prompt)).child(&el("span").class("said").text(text))
}
