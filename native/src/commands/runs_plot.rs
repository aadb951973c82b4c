//! `runs plot`: curves of runs as one HTML file that needs nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::runs::open_named;
use crate::disk::replace;
use crate::failure::{Failure, io_error};
use crate::output::Output;
use crate::plot::{Axis, Chart, GENERATOR, Line, Page, Shown};
use crate::runs::{Curve, FoundRun};

/// Where a file of ours says what it is.
const HEAD: u64 = 1024;

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
    #[arg(long, default_value_t = 0.9)]
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
    check_out(&args.out, args.overwrite)?;
    let runs = open_named(&args.runs)?;
    if let Some(run) = runs.iter().find(|run| run.history.loss.is_empty()) {
        output.warn(&format!("{}: no loss was logged, and none is drawn", run.path.display()));
    }
    let names: Vec<String> = runs.iter().map(|run| run.path.display().to_string()).collect();
    let page = page(&runs, &names, args);
    replace(&args.out, page.html().as_bytes())?;
    let charts: Vec<&str> = page.small.iter().map(|chart| chart.title.as_str()).collect();
    output.json(&json!({"out": args.out.display().to_string(), "runs": names, "charts": charts}));
    output.line(&args.out.display().to_string());
    Ok(())
}

/// Only a file that was drawn here gives way, and only where that is asked for.
fn check_out(out: &Path, overwrite: bool) -> Result<(), Failure> {
    if !out.exists() && !out.is_symlink() {
        return Ok(());
    }
    let refused = match (is_ours(out)?, overwrite) {
        (true, true) => return Ok(()),
        (true, false) => "already holds curves; add --overwrite to replace them",
        (false, _) => "is no file that `runs plot` wrote; choose another one",
    };
    Err(Failure::Usage(format!("--out {} {refused}", out.display())))
}

fn is_ours(out: &Path) -> Result<bool, Failure> {
    if !out.is_file() {
        return Ok(false);
    }
    let mut head = Vec::new();
    let read = File::open(out).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    read.map_err(|e| Failure::Work(io_error(out, e)))?;
    Ok(String::from_utf8_lossy(&head).contains(GENERATOR))
}

/// All pictures of runs of these names.
fn page(runs: &[FoundRun], names: &[String], args: &PlotArgs) -> Page {
    let lines = |curves: &dyn Fn(&FoundRun) -> (Curve, Curve)| -> Vec<Line> {
        let all = runs.iter().enumerate().flat_map(|(number, run)| {
            let (curve, held_out) = curves(run);
            Line::all(number, &names[number], &curve, &held_out, args.smoothing)
        });
        all.collect()
    };
    let chart = |title: &str, height_name: &str, lines: Vec<Line>, size: (f64, f64)| {
        let (title, height_name) = (title.to_string(), height_name.to_string());
        Chart { title, height_name, lines, axis: args.step_axis, size }
    };
    let large = lines(&|run| (run.history.loss.clone(), run.history.held_out.clone()));
    let of_metrics = |run: &FoundRun, name: &str| {
        let of = |curves: &BTreeMap<String, Curve>| curves.get(name).cloned().unwrap_or_default();
        (of(&run.history.metrics), of(&run.history.held_out_metrics))
    };
    let small = metric_names(runs).into_iter().map(|name| {
        let lines = lines(&|run| of_metrics(run, &name));
        chart(&name, &name, lines, (360.0, 220.0))
    });
    Page {
        title: format!("Loss curves: {}", names.join(", ")),
        runs: runs.iter().zip(names).map(|(run, name)| shown(run, name)).collect(),
        note: note(args.smoothing),
        small: small.collect(),
        large: chart("loss", "loss", large, (960.0, 420.0)),
    }
}

/// Everything that any of them logs beside the loss.
fn metric_names(runs: &[FoundRun]) -> BTreeSet<String> {
    let all = |run: &FoundRun| {
        let history = &run.history;
        history.metrics.keys().chain(history.held_out_metrics.keys()).cloned().collect::<Vec<_>>()
    };
    runs.iter().flat_map(all).collect()
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
