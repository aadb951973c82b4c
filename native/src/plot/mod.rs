//! Curves as one HTML file: pictures in SVG, in light and dark, without a script and without anything from elsewhere.

mod chart;
mod curve;
mod escape;
mod page;
mod scale;

pub use chart::{Chart, Line};
pub use page::{GENERATOR, Page, Shown};
pub use scale::Axis;
