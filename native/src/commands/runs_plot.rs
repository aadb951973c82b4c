//! `runs plot`: curves of runs as one HTML file that needs nothing else.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::runs::open_named;
use crate::failure::Failure;
use crate::html_file::HtmlFile;
use crate::output::Output;
use crate::plot::{Axis, Drawn, GENERATOR, Page, SMOOTHING, Shown};
use crate::runs::{FoundRun, History};

/// What is written.
const CURVES: HtmlFile = HtmlFile { generator: GENERATOR, holds: "curves", verb: "runs plot" };

/// Flags of `runs plot`.
#[derive(Args)]
pub struct PlotArgs {
    /// The runs' directories
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// The HTML file
    #[arg(long)]
    pub out: PathBuf,
    /// Replace a file that this command wrote before
    #[arg(long)]
    pub overwrite: bool,
    /// How slowly the full lines follow what was logged: each is this share of its past; 0 draws only what was logged
    #[arg(long, default_value_t = SMOOTHING)]
    pub smoothing: f64,
    /// How steps are spread
    #[arg(long, value_enum, default_value = "linear")]
    pub step_axis: Axis,
}

/// Runs the verb.
pub fn run(args: &PlotArgs, output: Output) -> Result<(), Failure> {
    let smoothing = args.smoothing;
    if !(0.0..1.0).contains(&smoothing) {
        return Err(Failure::Usage(format!("--smoothing is {smoothing}; it must be at least 0 and below 1")));
    }
    CURVES.check(&args.out, args.overwrite)?;
    let runs = open_named(&args.runs)?;
    if let Some(run) = runs.iter().find(|run| run.history.loss.is_empty()) {
        output.warn(&format!("{}: no loss was logged, and none is drawn", run.path.display()));
    }
    let names: Vec<String> = runs.iter().map(|run| run.path.display().to_string()).collect();
    let page = page(&runs, &names, args);
    CURVES.write(&args.out, &page.html(), args.overwrite)?;
    let charts: Vec<&str> = page.small.iter().map(|chart| chart.title.as_str()).collect();
    output.json(&json!({"out": args.out.display().to_string(), "runs": names, "charts": charts}));
    output.line(&args.out.display().to_string());
    Ok(())
}

/// All pictures of runs of these names.
fn page(runs: &[FoundRun], names: &[String], args: &PlotArgs) -> Page {
    let named: Vec<(&str, &History)> =
        names.iter().zip(runs).map(|(name, run)| (name.as_str(), &run.history)).collect();
    let Drawn { loss, others } = Drawn::of(&named, args.step_axis, args.smoothing);
    Page {
        title: format!("Loss curves: {}", names.join(", ")),
        runs: runs.iter().zip(names).map(|(run, name)| shown(run, name)).collect(),
        note: note(args.smoothing),
        small: others,
        large: loss,
    }
}

fn shown(run: &FoundRun, name: &str) -> Shown {
    let loss =
        |what: &str, loss: Option<f64>| loss.map_or(String::new(), |loss| format!(", {what} {loss:.4}"));
    let told = run.told() + &loss("loss", run.losses().0) + &loss("held out", run.held_out().0);
    Shown { name: name.to_string(), told }
}

fn note(smoothing: f64) -> String {
    let dashed = "Dashed lines with dots are of held-out rows.";
    match smoothing > 0.0 {
        true => format!(
            "Pale lines are as logged; full ones are their running mean (smoothing {smoothing}). {dashed}"
        ),
        false => format!("Full lines are as logged. {dashed}"),
    }
}
