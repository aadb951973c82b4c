//! Which run took which: a run's settings name the model that it began with, and that may be another run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use kindling::formats::GENERATION;
use kindling::model::ModelCard;

use super::FoundRun;
use crate::hub;
use crate::run_dir::run_of;

/// Models that were converted from one another, at most: cards that were changed by hand may lead round in a circle.
const DEEPEST: usize = 16;

/// Where the model of a run comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Another run, by its place in the list.
    Run(usize),
    /// A model that is no run, or is not there any more.
    Elsewhere(String),
    /// It is new, of this size.
    New(String),
}

/// Runs with those that they come from.
pub struct Lineage {
    /// All of them, those that were asked for first.
    pub runs: Vec<FoundRun>,
    origins: Vec<Origin>,
    /// Models between each run and its origin, each converted from the next; the nearest first.
    converted: Vec<Vec<String>>,
}

impl Lineage {
    /// Follows every run up to where it comes from, also to runs that lie elsewhere.
    pub fn of(mut runs: Vec<FoundRun>) -> Self {
        let (mut origins, mut converted): (Vec<Origin>, Vec<Vec<String>>) = (Vec::new(), Vec::new());
        // The list grows by the runs that others come from.
        while let Some(run) = runs.get(origins.len()) {
            let (origin, between) = match run.text("model").map(|model| trace(&run.path, model)) {
                None => (Origin::New(size(run)), Vec::new()),
                Some(Traced { model, run: None, converted }) => (Origin::Elsewhere(model), converted),
                Some(Traced { run: Some(path), converted, .. }) => {
                    (Origin::Run(place_of(&mut runs, &path)), converted)
                }
            };
            origins.push(origin);
            converted.push(between);
        }
        Self { runs, origins, converted }
    }

    /// Where the model of a run comes from.
    pub fn origin(&self, run: usize) -> &Origin {
        &self.origins[run]
    }

    /// The model that a run began with, in a word.
    pub fn model_name(&self, run: usize) -> String {
        self.converted[run].first().cloned().unwrap_or_else(|| self.origin_name(run))
    }

    /// Where that model comes from, in a word.
    pub fn origin_name(&self, run: usize) -> String {
        match self.origin(run) {
            Origin::Run(parent) => self.runs[*parent].path.display().to_string(),
            Origin::Elsewhere(name) => name.clone(),
            Origin::New(size) if size.is_empty() => "new".to_string(),
            Origin::New(size) => format!("new {size}"),
        }
    }

    /// The runs and models that a run comes from, the nearest first. Settings that were changed by hand may lead round in
    /// a circle, which is followed once.
    pub fn chain(&self, run: usize) -> Vec<String> {
        let (mut chain, mut seen, mut at) = (Vec::new(), BTreeSet::from([run]), run);
        loop {
            chain.extend(self.converted[at].iter().cloned());
            chain.push(self.origin_name(at));
            match self.origin(at) {
                Origin::Run(parent) if seen.insert(*parent) => at = *parent,
                _ => return chain,
            }
        }
    }

    /// All runs, each below the one that it comes from, with what is drawn before its name; among equals the older one
    /// first.
    pub fn tree(&self) -> Vec<(usize, String)> {
        let mut lines = Vec::new();
        let is_root = |run: &usize| !matches!(self.origin(*run), Origin::Run(_));
        self.grow((0..self.runs.len()).filter(is_root).collect(), None, &mut lines);
        // What only leads round in a circle has no root.
        let drawn: BTreeSet<usize> = lines.iter().map(|(run, _)| *run).collect();
        lines.extend((0..self.runs.len()).filter(|run| !drawn.contains(run)).map(|run| (run, String::new())));
        lines
    }

    fn grow(&self, mut runs: Vec<usize>, indent: Option<&str>, lines: &mut Vec<(usize, String)>) {
        runs.sort_by_key(|run| (self.runs[*run].begun, self.runs[*run].path.clone()));
        let last = runs.last().copied();
        for run in runs {
            let is_last = Some(run) == last;
            let (own, below) = match indent {
                None => (String::new(), String::new()),
                Some(indent) if is_last => (format!("{indent}└ "), format!("{indent}  ")),
                Some(indent) => (format!("{indent}├ "), format!("{indent}│ ")),
            };
            lines.push((run, own));
            let children = (0..self.runs.len()).filter(|child| *self.origin(*child) == Origin::Run(run));
            self.grow(children.collect(), Some(&below), lines);
        }
    }
}

/// The size of a run's new model, as its settings name it.
fn size(run: &FoundRun) -> String {
    run.text("preset").or_else(|| run.text("model-config")).unwrap_or_default().to_string()
}

/// The place of a run in the list, to whose end it is put where it is not in it.
fn place_of(runs: &mut Vec<FoundRun>, path: &Path) -> usize {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let own = real(path);
    runs.iter().position(|run| real(&run.path) == own).unwrap_or_else(|| {
        runs.push(FoundRun::open(path));
        runs.len() - 1
    })
}

/// What a setting of a run names, followed through the models that were converted from one another.
struct Traced {
    /// The last that is named.
    model: String,
    /// The run that it is.
    run: Option<PathBuf>,
    /// The models on the way.
    converted: Vec<String>,
}

fn trace(run: &Path, model: &str) -> Traced {
    let mut traced = Traced { model: model.to_string(), run: None, converted: Vec::new() };
    let mut from = run.to_path_buf();
    while traced.converted.len() < DEEPEST {
        traced.run = resolve(&from, &traced.model, run_of);
        if traced.run.is_some() {
            break;
        }
        let Some(place) =
            resolve(&from, &traced.model, |place| parent_of(place).map(|_| place.to_path_buf()))
        else {
            break;
        };
        let Some(parent) = parent_of(&place) else { break };
        traced.converted.push(std::mem::replace(&mut traced.model, parent));
        from = place;
    }
    traced
}

/// The model that the one in a directory was converted from, as its card tells.
fn parent_of(place: &Path) -> Option<String> {
    ModelCard::of_generation(&fs::read(place.join(GENERATION)).ok()?)?.parent
}

/// What `find` sees of a model that a run or a converted model names. A relative path was named from where that was begun,
/// which its directory lies below, as a rule.
fn resolve(from: &Path, model: &str, find: impl Fn(&Path) -> Option<PathBuf>) -> Option<PathBuf> {
    let named = Path::new(model);
    if hub::is_address(model) {
        return None;
    }
    let home = fs::canonicalize(from).ok()?;
    let above = home.ancestors().skip(1).map(|place| place.join(named));
    let mut places: Vec<PathBuf> = above.chain([named.to_path_buf()]).collect();
    if named.is_absolute() {
        places = vec![named.to_path_buf()];
    }
    places.iter().find_map(|place| find(place)).map(|found| shown(&found))
}

/// A path as a person would type it from here.
fn shown(path: &Path) -> PathBuf {
    let here = std::env::current_dir().and_then(fs::canonicalize);
    match (here, fs::canonicalize(path)) {
        (Ok(here), Ok(real)) if here == real => PathBuf::from("."),
        (Ok(here), Ok(real)) => real.strip_prefix(here).map(Path::to_path_buf).unwrap_or(real),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::find;
    use crate::written::SETTINGS;

    fn write(root: &Path, run: &str, settings: &str) {
        let path = root.join(run).join(SETTINGS);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, settings).unwrap();
    }

    fn names(lineage: &Lineage) -> Vec<String> {
        let name = |run: usize| lineage.runs[run].path.file_name().unwrap().to_string_lossy().into_owned();
        lineage.tree().into_iter().map(|(run, drawn)| format!("{drawn}{}", name(run))).collect()
    }

    #[test]
    fn every_run_stands_below_the_one_that_it_comes_from() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        write(root, "runs/pre", "stage = \"pretrain\"\npreset = \"nano\"\n");
        write(root, "runs/sft", "stage = \"sft\"\nmodel = \"runs/pre\"\n");
        write(root, "runs/dpo", "stage = \"dpo\"\nmodel = \"runs/sft/checkpoint-000010\"\n");
        write(root, "runs/far", "stage = \"sft\"\nmodel = \"hub:owner/model\"\n");
        write(root, "others/base", "stage = \"sft\"\nmodel = \"gone\"\n");
        write(root, "runs/lora", "stage = \"sft\"\nlora = true\nmodel = \"others/base\"\n");
        let lineage = Lineage::of(find(&[root.join("runs")]).unwrap());
        let mut drawn = names(&lineage);
        drawn.sort();
        assert_eq!(drawn, ["  └ dpo", "base", "far", "pre", "└ lora", "└ sft"]);
        let place = |name: &str| lineage.runs.iter().position(|run| run.path.ends_with(name)).unwrap();
        let chain = lineage.chain(place("runs/dpo"));
        assert!(
            chain[0].ends_with("sft") && chain[1].ends_with("pre") && chain[2] == "new nano",
            "{chain:?}"
        );
        assert_eq!(lineage.chain(place("runs/far")), ["hub:owner/model"]);
        assert_eq!(*lineage.origin(place("others/base")), Origin::Elsewhere("gone".into()));
    }

    #[test]
    fn a_run_is_followed_through_models_that_were_converted() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        let card = |model: &str, parent: &str| {
            fs::create_dir_all(root.join(model)).unwrap();
            let settings = format!("{{\"kindling\": {{\"parent\": {parent:?}}}}}");
            fs::write(root.join(model).join(GENERATION), settings).unwrap();
        };
        write(root, "runs/sft", "stage = \"sft\"\nmodel = \"gone\"\n");
        card("masked", "runs/sft");
        card("blocks", "masked");
        write(root, "runs/filled", "stage = \"sft\"\nmodel = \"blocks\"\n");
        card("round", "round");
        write(root, "runs/lost", "stage = \"sft\"\nmodel = \"round\"\n");
        card("llada", "hub:owner/llada");
        write(root, "runs/other", "stage = \"sft\"\nmodel = \"llada\"\n");
        let lineage = Lineage::of(find(&[root.join("runs")]).unwrap());
        let place = |name: &str| lineage.runs.iter().position(|run| run.path.ends_with(name)).unwrap();
        let filled = place("runs/filled");
        let chain = lineage.chain(filled);
        assert!(chain[..2] == ["blocks", "masked"] && chain[2].ends_with("sft"), "{chain:?}");
        assert_eq!((&chain[3..], lineage.model_name(filled)), (&["gone".to_string()][..], "blocks".into()));
        assert_eq!(*lineage.origin(filled), Origin::Run(place("runs/sft")));
        assert!(names(&lineage).contains(&"└ filled".to_string()), "{:?}", names(&lineage));
        assert_eq!(lineage.chain(place("runs/lost")).len(), DEEPEST + 1);
        assert_eq!(lineage.chain(place("runs/other")), ["llada", "hub:owner/llada"]);
        assert_eq!(lineage.model_name(place("runs/sft")), "gone");
    }

    #[test]
    fn a_circle_ends() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        write(root, "a", "stage = \"sft\"\nmodel = \"b\"\n");
        write(root, "b", "stage = \"sft\"\nmodel = \"a\"\n");
        let lineage = Lineage::of(find(&[root.to_path_buf()]).unwrap());
        assert_eq!(lineage.tree().len(), 2);
        assert_eq!(lineage.chain(0).len(), 2);
    }
}
