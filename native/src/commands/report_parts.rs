//! The parts of a report, of what runs left on the disk.

use std::ffi::OsString;
use std::path::PathBuf;

use toml::Table;

use super::example::FIRST_RUN;
use crate::cli::command;
use crate::config_file::settings_of;
use crate::report::{
    Differing, Evaluated, Logged, Part, RunData, Samples, cost, curves, data, evaluations, lineage, machine,
    read_evaluation_file, read_evaluations, samples, settings, taught,
};
use crate::run_dir::is_run;
use crate::run_kind::RunKind;
use crate::runs::{FoundRun, History, Kept, Lineage, Setting, beside_defaults, differing};
use crate::sessions::Session;
use crate::written::is_ours;

/// What a report is made of.
pub struct Material<'a> {
    /// The runs, and those that they come from.
    pub lineage: &'a Lineage,
    /// Two of them whose settings stand side by side.
    pub compared: Option<[&'a FoundRun; 2]>,
    /// Files with results of evaluations that lie elsewhere.
    pub eval: &'a [PathBuf],
    /// What models wrote, where some did.
    pub samples: Option<&'a Samples>,
    /// The machine that they wrote on.
    pub here: Option<&'a Session>,
}

/// All parts, and how many results of evaluations are in them.
pub fn parts(material: &Material) -> (Vec<Part>, usize) {
    let ordered = material.lineage.tree().into_iter().map(|(run, _)| &material.lineage.runs[run]);
    let runs: Vec<(&FoundRun, Kept)> = ordered.map(|run| (run, Kept::open(&run.path))).collect();
    let known: Vec<(&FoundRun, &Kept)> = runs.iter().map(|(run, kept)| (*run, kept)).collect();
    let results = results(&known, material.eval);
    let count = results.iter().map(|evaluated| evaluated.results.len()).sum();
    let mut parts = vec![lineage(material.lineage)];
    if !runs.is_empty() {
        parts.push(pictures(&known));
    }
    parts.extend(material.samples.map(samples));
    if !runs.is_empty() || count > 0 {
        parts.push(evaluations(&results));
    }
    if !runs.is_empty() {
        parts.push(all_settings(&known, material.compared));
        let sets: Vec<RunData> = known.iter().map(|(run, kept)| trained_on(run, kept)).collect();
        parts.push(data(&sets));
        parts.push(cost(&known));
    }
    if !runs.is_empty() || material.here.is_some() {
        parts.push(machine(&known, material.here));
    }
    (parts, count)
}

fn pictures(runs: &[(&FoundRun, &Kept)]) -> Part {
    let named: Vec<(String, String)> =
        runs.iter().map(|(run, _)| (run.path.display().to_string(), run.verb())).collect();
    // The generated example keeps its first part in a directory of its own, without settings.
    let firsts: Vec<(String, History)> = runs.iter().filter_map(|(run, _)| first_part(run)).collect();
    let first = firsts.iter().map(|(name, history)| Logged { name, verb: FIRST_RUN, history });
    let of_runs =
        runs.iter().zip(&named).map(|((run, _), (name, verb))| Logged { name, verb, history: &run.history });
    curves(&first.chain(of_runs).collect::<Vec<_>>())
}

fn first_part(run: &FoundRun) -> Option<(String, History)> {
    let path = run.path.join(FIRST_RUN);
    let history = (is_ours(&path) && !is_run(&path)).then(|| History::open(&path).ok()).flatten()?;
    (!history.loss.is_empty()).then(|| (path.display().to_string(), history))
}

/// The results that lie beside each run, and those of other files.
fn results(runs: &[(&FoundRun, &Kept)], files: &[PathBuf]) -> Vec<Evaluated> {
    let of_run = |(run, _): &(&FoundRun, &Kept)| {
        let mut evaluated = Evaluated { name: run.path.display().to_string(), ..Evaluated::default() };
        evaluated.results.extend(taught(&run.history));
        read_evaluations(&run.path, &mut evaluated);
        evaluated
    };
    let mut all: Vec<Evaluated> = runs.iter().map(of_run).collect();
    if !files.is_empty() {
        let mut others = Evaluated { name: "–".into(), ..Evaluated::default() };
        files.iter().for_each(|file| read_evaluation_file(file, &mut others));
        all.push(others);
    }
    all
}

fn all_settings(runs: &[(&FoundRun, &Kept)], compared: Option<[&FoundRun; 2]>) -> Part {
    let own = |(run, _): &(&FoundRun, &Kept)| {
        (run.path.display().to_string(), beside_defaults(&run.settings, &defaults(run)))
    };
    let all: Vec<(String, Vec<Setting>)> = runs.iter().map(own).collect();
    let between = compared.map(|both| {
        let (lines, equal) = differing(&both);
        let names = both.iter().map(|run| run.path.display().to_string()).collect();
        Differing { names, lines, equal }
    });
    settings(&all, between.as_ref())
}

/// What a run of this kind has where nobody says anything.
pub fn defaults(run: &FoundRun) -> Table {
    let Some(kind) = RunKind::of_settings(&run.settings, "") else { return Table::new() };
    let verb = kind.command();
    let words = ["kindling"].into_iter().chain(verb.split(' ')).map(OsString::from);
    settings_of(&command(), &words.collect::<Vec<_>>()).map(|(settings, _)| settings).unwrap_or_default()
}

fn trained_on(run: &FoundRun, kept: &Kept) -> RunData {
    let size =
        |name: &str| std::fs::metadata(name).ok().filter(|found| found.is_file()).map(|found| found.len());
    RunData {
        name: run.path.display().to_string(),
        files: (!run.settings.is_empty())
            .then(|| run.data().into_iter().map(|name| (name.to_string(), size(name))).collect()),
        kept: kept.clone(),
        warnings: run.history.warnings.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::written::SETTINGS;

    #[test]
    fn the_defaults_are_those_of_the_runs_own_kind() {
        let place = tempfile::tempdir().unwrap();
        let run = |name: &str, settings: &str| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.join("training")).unwrap();
            std::fs::write(path.join(SETTINGS), settings).unwrap();
            FoundRun::open(&path)
        };
        let whole = run("a", "stage = \"sft\"\nlora = false\n");
        let adapter = run("b", "stage = \"dpo\"\nlora = true\n");
        let (sft, dpo) = (defaults(&whole), defaults(&adapter));
        assert_eq!((sft["lora"].as_bool(), dpo["lora"].as_bool()), (Some(false), Some(true)));
        assert!(
            dpo.contains_key("beta") && dpo.contains_key("lora-rank") && sft.contains_key("learning-rate")
        );
        assert_ne!(sft["learning-rate"], dpo["learning-rate"]);
        assert!(defaults(&run("c", "stage = \"quickstart\"\n")).is_empty());
    }
}
