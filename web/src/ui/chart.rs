//! Draws the losses of a run as lines.

use std::cell::{Cell, RefCell};

use super::app::App;
use super::dom::{El, el, svg};
use crate::format::{fill, loss};
use crate::scale::{Frame, Series};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 200.0;

/// A drawing of the training loss and the held-out loss.
pub struct Chart {
    /// The drawing with its legend.
    pub place: El,
    drawing: El,
    lines: [El; 2],
    /// Two lines' last values, then highest and lowest loss and the last step of the frame.
    numbers: [El; 5],
    series: RefCell<[Series; 2]>,
    steps: Cell<f64>,
}

impl Chart {
    /// An empty drawing.
    pub fn build(app: &App) -> Self {
        let speech = &app.speech;
        let lines = ["curve train", "curve held-out"].map(|class| svg("polyline").attr("class", class));
        let drawing = svg("svg").id("teach-chart").attr("role", "img");
        let drawing =
            drawing.attr("viewBox", &format!("0 0 {WIDTH} {HEIGHT}")).attr("preserveAspectRatio", "none");
        let drawing = drawing.child(&lines[0]).child(&lines[1]);
        let numbers = ["teach-loss", "teach-heldout", "", "", ""].map(|id| match id {
            "" => el("span").class("faint"),
            id => el("output").id(id).text("–"),
        });
        let legend = el("div").class("legend");
        let train =
            el("span").class("key train").child(&el("span").say(speech, |t| t.teach.loss)).child(&numbers[0]);
        let held = el("span").class("key held-out").child(&el("span").say(speech, |t| t.teach.held_out_loss));
        let legend = legend.child(&train).child(&held.child(&numbers[1]));
        let scale = el("div").class("scale").child(&numbers[2]).child(&numbers[3]);
        let frame = el("div").class("frame").child(&scale).child(&drawing);
        let place =
            el("div").class("chart").child(&legend).child(&frame).child(&numbers[4].clone().class("last"));
        Self { place, drawing, lines, numbers, series: RefCell::default(), steps: Cell::default() }
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
        self.numbers[2].write(&format!("{:.1}", frame.high));
        self.numbers[3].write(&format!("{:.1}", frame.low));
        self.numbers[4].write(&format!("{:.0}", frame.steps));
        let spoken =
            series[0].last().map(|(step, last)| fill("{} · {}", &[&format!("{step:.0}"), &loss(Some(last))]));
        self.drawing.set("aria-label", &spoken.unwrap_or_default());
    }
}
