//! One picture: curves between two axes, as SVG.

use super::curve::{smooth, thin};
use super::escape::escape;
use super::scale::{Axis, Scale, written};
use crate::runs::Curve;

/// Room for the words around the curves, in the picture's units.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 44.0;
/// More points are not seen.
const POINTS: usize = 2000;
/// Hues lie as far apart as they can, however many there are: a turn of the golden angle, in degrees.
const TURN: f64 = 137.508;

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it was logged: thin and pale.
    Raw,
    /// Its mean: a full line.
    Smooth,
    /// Of held-out rows: dashed, with a dot for every measurement.
    HeldOut,
}

/// A curve in a picture.
#[derive(Clone, Debug)]
pub struct Line {
    /// Which run it belongs to; it decides the colour.
    pub run: usize,
    /// How it is drawn.
    pub kind: Kind,
    /// What it is called where a pointer rests on it.
    pub name: String,
    /// Its points.
    pub curve: Curve,
}

impl Line {
    /// What was logged and its mean, where that is another, and what was measured of held-out rows.
    pub fn all(run: usize, name: &str, curve: &Curve, held_out: &Curve, smoothing: f64) -> Vec<Self> {
        let line =
            |kind: Kind, more: &str, curve: Curve| Self { run, kind, name: format!("{name}{more}"), curve };
        let mean = smooth(curve, smoothing);
        let mut lines = match smoothing > 0.0 && curve.len() > 1 {
            true => vec![line(Kind::Raw, ", as logged 原始值", curve.clone()), line(Kind::Smooth, "", mean)],
            false => vec![line(Kind::Smooth, "", curve.clone())],
        };
        lines.push(line(Kind::HeldOut, ", held out 留出数据", held_out.clone()));
        lines.retain(|line| !line.curve.is_empty());
        lines
    }
}

/// One picture.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// The name of its height.
    pub height_name: String,
    /// Its curves.
    pub lines: Vec<Line>,
    /// How steps are spread.
    pub axis: Axis,
    /// Width and height in the picture's units.
    pub size: (f64, f64),
}

impl Chart {
    /// The picture.
    pub fn svg(&self) -> String {
        let (width, height) = self.size;
        let points = || self.lines.iter().flat_map(|line| line.curve.iter());
        let across = Scale::new(self.axis, points().map(|point| point.0), LEFT, width - RIGHT);
        let up = Scale::new(Axis::Linear, points().map(|point| point.1), height - BOTTOM, TOP);
        let title = escape(&self.title);
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n\
             <text class=\"title\" x=\"{LEFT}\" y=\"16\">{title}</text>\n"
        );
        svg += &self.axes(&across, &up);
        self.lines.iter().for_each(|line| svg += &drawn(line, &across, &up));
        svg + "</svg>\n"
    }

    /// Both axes with their numbers and names.
    fn axes(&self, across: &Scale, up: &Scale) -> String {
        let (width, height) = self.size;
        let (right, bottom) = (width - RIGHT, height - BOTTOM);
        let mut svg = String::new();
        for tick in up.ticks((height / 50.0) as usize) {
            let Some(y) = up.at(tick) else { continue };
            svg += &format!(
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>\n",
                LEFT - 6.0,
                y + 4.0,
                written(tick)
            );
        }
        for tick in across.ticks((width / 90.0) as usize) {
            let Some(x) = across.at(tick) else { continue };
            svg += &format!(
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
                 text-anchor=\"middle\">{}</text>\n",
                bottom + 16.0,
                written(tick)
            );
        }
        let (middle, name) = ((TOP + bottom) / 2.0, escape(&self.height_name));
        svg + &format!(
            "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>\n\
             <text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">\
             <tspan lang=\"en\">step</tspan><tspan lang=\"zh\">步</tspan></text>\n\
             <text class=\"name\" x=\"14\" y=\"{middle:.1}\" text-anchor=\"middle\" \
             transform=\"rotate(-90 14 {middle:.1})\">{name}</text>\n",
            (LEFT + right) / 2.0,
            height - 8.0
        )
    }
}

/// A curve with its name, which a pointer shows.
fn drawn(line: &Line, across: &Scale, up: &Scale) -> String {
    let place = |&(x, y): &(f64, f64)| Some((across.at(x)?, up.at(y)?));
    let places: Vec<(f64, f64)> = thin(&line.curve, POINTS).iter().filter_map(place).collect();
    let class = match line.kind {
        Kind::Raw => "raw",
        Kind::Smooth => "smooth",
        Kind::HeldOut => "held",
    };
    let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let mut svg = format!(
        "<g class=\"{class}\" style=\"--h:{:.1}\"><title>{}</title><polyline points=\"{}\"/>",
        hue(line.run),
        escape(&line.name),
        points.join(" ")
    );
    // A single point makes no line.
    if line.kind == Kind::HeldOut || places.len() == 1 {
        places.iter().for_each(|(x, y)| svg += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"));
    }
    svg + "</g>\n"
}

/// The hue of a run, in degrees.
pub fn hue(run: usize) -> f64 {
    (210.0 + run as f64 * TURN) % 360.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(lines: Vec<Line>) -> String {
        let size = (276.0, 172.0);
        Chart { title: "loss <a>".into(), height_name: "nats".into(), lines, axis: Axis::Linear, size }.svg()
    }

    #[test]
    fn points_lie_where_the_axes_say() {
        // The curves have 276 − 64 − 12 = 200 units across and 172 − 28 − 44 = 100 up.
        let curve = vec![(0.0, 0.0), (5.0, 4.0), (10.0, 2.0)];
        let line = |kind: Kind| Line { run: 0, kind, name: "a & b".into(), curve: curve.clone() };
        let svg = chart(vec![line(Kind::Smooth), line(Kind::HeldOut)]);
        assert_eq!(svg.matches("points=\"64.0,128.0 164.0,28.0 264.0,78.0\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("<circle cx=\"164.0\" cy=\"28.0\""));
        // Its words are escaped, and 0, 2 and 4 stand at their heights.
        assert!(
            svg.contains(">loss &lt;a&gt;<")
                && svg.contains("<title>a &amp; b</title>")
                && !svg.contains("<a>")
        );
        for (tick, y) in [("0", "128.0"), ("2", "78.0"), ("4", "28.0")] {
            assert!(svg.contains(&format!("M64 {y}H264")), "{tick}: {svg}");
        }
        assert!(svg.contains(">step<") && svg.contains(">nats<"));
    }

    #[test]
    fn one_point_is_a_dot_and_nothing_is_no_picture_of_nan() {
        let one = Line { run: 1, kind: Kind::Smooth, name: "one".into(), curve: vec![(3.0, 2.0)] };
        let svg = chart(vec![one]);
        assert!(svg.contains("<circle cx=\"164.0\" cy=\"78.0\""), "{svg}");
        assert!(!chart(Vec::new()).contains("NaN"));
    }

    #[test]
    fn a_curve_is_drawn_as_logged_as_its_mean_and_held_out() {
        let curve = vec![(1.0, 1.0), (2.0, 3.0)];
        let kinds = |smoothing: f64, held_out: &Curve| {
            Line::all(0, "a", &curve, held_out, smoothing)
                .into_iter()
                .map(|line| line.kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(0.5, &vec![(2.0, 2.0)]), [Kind::Raw, Kind::Smooth, Kind::HeldOut]);
        assert_eq!(kinds(0.0, &Vec::new()), [Kind::Smooth]);
        assert_ne!(hue(0), hue(1));
    }
}
