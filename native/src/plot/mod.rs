//! Curves as one HTML file: pictures in SVG, in light and dark, without a script and without anything from elsewhere.

mod chart;
mod curve;
mod escape;
mod of_runs;
mod page;
mod scale;

pub use chart::{Chart, Line, hue};
pub use escape::escape;
pub use of_runs::{Drawn, SMOOTHING};
pub use page::{GENERATOR, Page, STYLE, Shown};
pub use scale::Axis;
