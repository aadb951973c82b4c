//! What the page and the library share without a crate between them: the settings that `web/js/kindling.d.ts` names, and
//! tables that the page writes and the library reads.

use std::collections::BTreeSet;

use kindling::adapter::LoraConfig;
use kindling::data::spreadsheet_pairs;
use kindling::evaluate::{EvalConfig, Task};
use kindling::loss::{DistillConfig, DpoConfig, GrpoConfig, ReasonConfig};
use kindling::model::ExpertSettings;
use kindling::sample::{LikelihoodConfig, SamplingConfig, UnmaskConfig};
use kindling::train::{Stage, TrainConfig};
use serde::Serialize;

#[allow(dead_code, reason = "the page has another use of it")]
#[path = "../../web/src/csv.rs"]
mod csv;

const TYPES: &str = include_str!("../../web/js/kindling.d.ts");

/// The names of an interface's fields.
fn fields(name: &str) -> BTreeSet<String> {
    let begin = format!("export interface {name} {{\n");
    let (_, rest) = TYPES.split_once(&begin).unwrap();
    let (inside, _) = rest.split_once("\n}").unwrap();
    let name = |line: &str| {
        let (name, _) = line.strip_prefix("  ")?.split_once(':')?;
        let name = name.trim_end_matches('?').trim_matches('"');
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        is_name.then(|| name.to_string())
    };
    inside.lines().filter_map(name).collect()
}

fn keys(settings: impl Serialize) -> BTreeSet<String> {
    serde_json::to_value(settings).unwrap().as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_page_may_set_what_the_command_line_may() {
    assert_eq!(fields("TrainConfig"), keys(TrainConfig::of(Stage::Sft)));
    assert_eq!(fields("LoraConfig"), keys(LoraConfig::default()));
    assert_eq!(fields("DpoConfig"), keys(DpoConfig::default()));
    assert_eq!(fields("DistillConfig"), keys(DistillConfig::default()));
    assert_eq!(fields("ReasonConfig"), keys(ReasonConfig::default()));
    assert_eq!(fields("ExpertSettings"), keys(ExpertSettings::default()));
    assert_eq!(fields("Unmask"), keys(UnmaskConfig::default()));
    assert_eq!(fields("Likelihood"), keys(LikelihoodConfig::default()));
    let mut rewards = keys(GrpoConfig::default());
    // It is left out where nobody says one.
    rewards.insert("reference".to_string());
    assert_eq!(fields("GrpoConfig"), rewards);
}

#[test]
fn a_page_may_ask_for_every_task_and_say_how_as_the_command_line_does() {
    let (_, rest) = TYPES.split_once("export type EvalTask =").unwrap();
    let (names, _) = rest.split_once(';').unwrap();
    let names: Vec<&str> = names.split('"').skip(1).step_by(2).collect();
    assert_eq!(names, Task::ALL.map(Task::name));
    let asked = fields("EvaluateRequest");
    assert!(keys(EvalConfig::default()).is_subset(&asked), "{asked:?}");
}

#[test]
fn sampling_has_openais_names() {
    let mut known = keys(SamplingConfig::default());
    // `ignore_eos` is for texts, not for answers.
    assert!(known.remove("max_new_tokens") && known.remove("ignore_eos"));
    known.extend(["max_tokens", "max_completion_tokens"].map(String::from));
    assert_eq!(fields("Sampling"), known);
}

#[test]
fn the_csv_of_a_form_reads_back_as_it_was() {
    let pairs = [["a, b", "\"c\" \n\nd"], ["Q: x\nA: y", " | z |\n|---|"], ["5\"", "[1]"], ["甲，乙", ""]];
    let pairs = pairs.map(|pair| pair.map(String::from));
    for names in [["question", "answer"], ["问题", "答案"]] {
        let csv = csv::of_pairs(&pairs, names);
        assert_eq!(spreadsheet_pairs(&csv), Ok(pairs.to_vec()), "{csv}");
    }
}
