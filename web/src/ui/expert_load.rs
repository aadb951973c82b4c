//! How evenly the experts of a mixture are used: a row of bars for each layer, and the same in words.

use std::cell::RefCell;
use std::rc::Rc;

use super::app::App;
use super::dom::{El, el, svg};
use crate::experts::{bars, extremes};
use crate::format::fill;

/// The drawing's units: so wide is a bar with the gap behind it, so high a layer.
const BAR: f64 = 12.0;
const HEIGHT: f64 = 30.0;

/// The chart of expert load.
pub struct ExpertLoad {
    /// All of it, hidden where there are no experts.
    pub place: El,
    app: Rc<App>,
    layers: El,
    shares: RefCell<Vec<Vec<f64>>>,
}

impl ExpertLoad {
    /// An empty chart.
    pub fn build(app: &Rc<App>) -> Self {
        let layers = el("div").class("experts").id("teach-experts").attr("role", "img");
        let place = el("div").class("chart").shown(false);
        let place = place.child(&el("h3").say(&app.speech, |t| t.stages.experts));
        let place = place.child(&el("p").class("faint").say(&app.speech, |t| t.stages.experts_hint));
        let place = place.child(&layers);
        Self { place, app: Rc::clone(app), layers, shares: RefCell::default() }
    }

    /// Empties it for a run.
    pub fn begin(&self) {
        self.show(Vec::new());
    }

    /// Shows each expert's share, layer by layer, as a multiple of an even one.
    pub fn show(&self, shares: Vec<Vec<f64>>) {
        self.place.show(!shares.is_empty());
        self.shares.replace(shares);
        self.speak();
    }

    /// Says it in the language of now.
    pub fn speak(&self) {
        let shares = self.shares.borrow();
        let t = self.app.speech.text();
        self.layers.clear();
        for (layer, number) in shares.iter().zip(1..) {
            let name = fill(t.stages.layer, &[&format!("{number}")]);
            let name = el("span").class("faint").text(&name);
            self.layers.add(&el("div").child(&drawing(layer)).child(&name));
        }
        let label = match extremes(&shares) {
            None => String::new(),
            Some((fullest, least)) => {
                let [layers, experts] = [shares.len(), shares.first().map_or(0, Vec::len)];
                let numbers =
                    [layers, experts, fullest.layer, fullest.expert].map(|number| number.to_string());
                let [most, least] = [fullest.share, least].map(|share| format!("{share:.2}"));
                let [layers, experts, layer, expert] = numbers.each_ref().map(String::as_str);
                fill(t.stages.experts_words, &[layers, experts, &most, layer, expert, &least])
            }
        };
        self.layers.set("aria-label", &label);
        self.layers.set("title", &label);
    }
}

/// The bars of a layer, with a line where an even share would end.
fn drawing(shares: &[f64]) -> El {
    let width = BAR * shares.len() as f64;
    let layer = svg("svg").attr("viewBox", &format!("0 0 {width} {HEIGHT}")).test("expert-layer");
    for bar in bars(shares, BAR, HEIGHT) {
        let [x, y, width, height] = [bar.x, bar.y, bar.width, bar.height].map(|side| format!("{side:.2}"));
        let drawn = svg("rect").attr("class", "bar").attr("x", &x).attr("y", &y);
        layer.add(&drawn.attr("width", &width).attr("height", &height));
    }
    let even = format!("{:.2}", HEIGHT / 2.0);
    let line = svg("line").attr("class", "even").attr("x1", "0").attr("x2", &width.to_string());
    layer.child(&line.attr("y1", &even).attr("y2", &even))
}
