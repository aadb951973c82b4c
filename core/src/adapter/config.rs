//! Settings of a low-rank adapter.

use serde::{Deserialize, Serialize};

use crate::told::{Told, told};

/// The dense layers of a block, by their names in checkpoints.
const LAYERS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
/// The output projection, where it is not the embedding.
const HEAD: &str = "lm_head";

/// Settings of a low-rank adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct LoraConfig {
    /// Width of the low-rank path.
    #[cfg_attr(feature = "cli", arg(long = "lora-rank", default_value_t = LoraConfig::default().rank))]
    pub rank: usize,
    /// The path's output is scaled by alpha / rank.
    #[cfg_attr(feature = "cli", arg(long = "lora-alpha", default_value_t = LoraConfig::default().alpha))]
    pub alpha: f64,
    /// Share of the path's inputs that training drops.
    #[cfg_attr(feature = "cli", arg(long = "lora-dropout", default_value_t = LoraConfig::default().dropout))]
    pub dropout: f64,
    /// Layers that get a path, by name: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj (all
    /// without this), lm_head where it is not tied to the embedding.
    #[cfg_attr(feature = "cli", arg(long = "lora-targets", value_delimiter = ','))]
    pub targets: Vec<String>,
    /// Scale by alpha / √rank instead (Kalajdzievski, 2023).
    #[cfg_attr(feature = "cli", arg(long))]
    pub rslora: bool,
    /// What the settings of other programs say beyond these; no flag.
    #[serde(skip)]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub scope: Scope,
}

/// What the settings of other programs say beyond names of targets; nothing for an adapter that is made here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// A regular expression for whole names in the place of the targets' names, or `all-linear`.
    pub pattern: Option<String>,
    /// Layers that get no path although they are targets.
    pub exclude: Option<Selection>,
    /// Numbers of the blocks whose layers get one; of all without this.
    pub blocks: Option<Vec<usize>>,
    /// Whether the last of them is the model's last one, as in mlx-lm.
    pub to_last: bool,
    /// Ranks of single layers, by regular expressions for the ends of their names; the first that fits counts.
    pub ranks: Vec<(String, usize)>,
    /// Their alphas, likewise.
    pub alphas: Vec<(String, f64)>,
}

/// Some layers of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// By their full names, or by the last parts of these.
    Names(Vec<String>),
    /// By a regular expression for the full name.
    Pattern(String),
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 16.0,
            dropout: 0.0,
            targets: Vec::new(),
            rslora: false,
            scope: Scope::default(),
        }
    }
}

impl LoraConfig {
    /// Names of the layers that get a path.
    pub fn target_names(&self) -> Vec<String> {
        match self.targets.as_slice() {
            [] => LAYERS.map(String::from).to_vec(),
            names => names.to_vec(),
        }
    }

    /// Everything that does not hold, as sentences.
    pub fn problems(&self) -> Vec<Told> {
        let mut problems = Vec::new();
        if !(1..=4096).contains(&self.rank) {
            problems.push(told!(
                "lora.rank",
                "--lora-rank is {rank}; it must be 1 to 4096",
                rank = self.rank
            ));
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            problems.push(told!(
                "lora.alpha",
                "--lora-alpha is {alpha}; it must be above 0",
                alpha = self.alpha
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            problems.push(told!(
                "lora.dropout",
                "--lora-dropout is {dropout}; it must be at least 0 and below 1",
                dropout = self.dropout
            ));
        }
        for target in self.targets.iter().filter(|name| !LAYERS.contains(&name.as_str()) && *name != HEAD) {
            problems.push(told!(
                "lora.targets",
                "--lora-targets names '{target}'; the dense layers are {known} and {head}",
                target,
                known = LAYERS.join(", "),
                head = HEAD
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_come_at_once() {
        assert_eq!(LoraConfig::default().problems(), Vec::<Told>::new());
        let bad =
            LoraConfig { rank: 0, dropout: 1.0, targets: vec!["qproj".into()], ..LoraConfig::default() };
        let text = bad.problems().join("; ");
        for part in ["--lora-rank is 0", "--lora-dropout is 1", "names 'qproj'"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
