//! Draws the losses of a run as lines, and says in words what they show.

use std::cell::{Cell, RefCell};

use super::app::App;
use super::dom::{El, el, svg};
use super::speech::Speech;
use crate::format::{fill, loss};
use crate::scale::{Frame, Series};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 200.0;

/// A drawing of the training loss and, where there is one, the held-out loss.
pub struct Chart {
    /// The drawing with its legend.
    pub place: El,
    speech: Speech,
    drawing: El,
    lines: [El; 2],
    /// The held-out loss in the legend.
    held_out: El,
    /// Two lines' last values, then highest and lowest loss and the last step of the frame.
    numbers: [El; 5],
    series: RefCell<[Series; 2]>,
    steps: Cell<f64>,
}

impl Chart {
    /// An empty drawing.
    pub fn build(app: &App) -> Self {
        let speech = app.speech.clone();
        let lines = ["curve train", "curve held-out"].map(|class| svg("polyline").attr("class", class));
        let drawing = svg("svg").id("teach-chart").attr("role", "img");
        let drawing =
            drawing.attr("viewBox", &format!("0 0 {WIDTH} {HEIGHT}")).attr("preserveAspectRatio", "none");
        let drawing = drawing.child(&lines[0]).child(&lines[1]);
        let numbers = ["teach-loss", "teach-heldout", "", "", ""].map(|id| match id {
            "" => el("span"),
            id => el("output").id(id).text("–"),
        });
        let train = el("span").class("key train").child(&el("span").say(&speech, |t| t.teach.loss));
        let train = train.child(&numbers[0]);
        let held = el("span").class("key held-out").id("teach-heldout-key").shown(false);
        let held = held.child(&el("span").say(&speech, |t| t.teach.held_out_loss)).child(&numbers[1]);
        let legend = el("div").class("legend").child(&train).child(&held);
        let place = el("div").class("chart").child(&legend).child(&frame(&speech, &numbers, &drawing));
        Self {
            place,
            speech,
            drawing,
            lines,
            held_out: held,
            numbers,
            series: RefCell::default(),
            steps: Cell::default(),
        }
    }

    /// Empties it for a run of so many steps.
    pub fn begin(&self, steps: f64) {
        self.series.take();
        self.steps.set(steps);
        self.draw();
    }

    /// Adds a training loss.
    pub fn trained(&self, step: f64, loss: Option<f64>) {
        self.add(0, step, loss);
    }

    /// Adds a held-out loss.
    pub fn held_out(&self, step: f64, loss: Option<f64>) {
        self.add(1, step, loss);
    }

    /// Says what it shows in the language of now.
    pub fn speak(&self) {
        self.drawing.set("aria-label", &self.in_words());
    }

    fn add(&self, line: usize, step: f64, loss: Option<f64>) {
        self.series.borrow_mut()[line].push(step, loss.unwrap_or(f64::NAN));
        self.draw();
    }

    fn draw(&self) {
        let series = self.series.borrow();
        let frame = Frame::around(&[&series[0], &series[1]], self.steps.get());
        for (i, line) in self.lines.iter().enumerate() {
            line.set("points", &frame.points(&series[i], WIDTH, HEIGHT));
            self.numbers[i].write(&loss(series[i].last().map(|point| point.1)));
        }
        self.held_out.show(series[1].last().is_some());
        self.numbers[2].write(&format!("{:.1}", frame.high));
        self.numbers[3].write(&format!("{:.1}", frame.low));
        self.numbers[4].write(&format!("{:.0}", frame.steps));
        drop(series);
        self.speak();
    }

    /// What it shows, for those who do not see it.
    fn in_words(&self) -> String {
        let (series, t) = (self.series.borrow(), &self.speech.text().teach);
        let (Some((_, first)), Some((step, last))) = (series[0].first(), series[0].last()) else {
            return t.chart_empty.to_string();
        };
        let [from, to] = [first, last].map(|value| loss(Some(value)));
        let steps = self.steps.get().max(step);
        let at = [format!("{step:.0}"), format!("{steps:.0}")];
        let sentence = match (from == to, first > last) {
            (true, _) => fill(t.chart_begun, &[&at[0], &at[1], &to]),
            (false, true) => fill(t.chart_fell, &[&at[0], &at[1], &from, &to]),
            (false, false) => fill(t.chart_rose, &[&at[0], &at[1], &from, &to]),
        };
        match series[1].last() {
            Some((_, held)) => sentence + &fill(t.chart_held_out, &[&loss(Some(held))]),
            None => sentence,
        }
    }
}

/// The drawing between its axes, with their names and numbers; the drawing itself says all of it in words.
fn frame(speech: &Speech, numbers: &[El; 5], drawing: &El) -> El {
    let name = el("span").class("axis-name").say(speech, |t| t.teach.axis_loss);
    let scale = el("div").class("scale").attr("aria-hidden", "true").child(&numbers[2]).child(&name);
    let scale = scale.child(&numbers[3]);
    let name = el("span").class("axis-name").say(speech, |t| t.teach.axis_step);
    let steps = el("div").class("steps").attr("aria-hidden", "true").child(&el("span").text("0"));
    let steps = steps.child(&name).child(&numbers[4]);
    el("div").class("frame").child(&scale).child(drawing).child(&steps)
}
