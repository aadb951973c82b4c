//! `report`: what is said of runs and of their models, as one page in two languages. What is read of the disk comes in, and
//! markup goes out; [`Html`] lets no text of others act.

mod cost;
mod curves;
mod data;
mod evaluations;
mod html;
mod lineage;
mod page;
mod results;
mod samples;
mod settings;

pub use cost::{cost, machine};
pub use curves::{Logged, curves};
pub use data::{RunData, data};
pub use evaluations::evaluations;
pub use html::Html;
pub use lineage::lineage;
pub use page::{Language, Page, Part, REPORT};
pub use results::{Evaluated, Evaluation, Measure, read_evaluation_file, read_evaluations, taught};
pub use samples::{Answer, Samples, samples};
pub use settings::{Differing, settings};
