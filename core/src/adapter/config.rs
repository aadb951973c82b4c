//! Settings of a low-rank adapter.

use serde::{Deserialize, Serialize};

use super::names::{MODULES, known_module};
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
    /// Train the length of each output's weights, too (DoRA; Liu et al., 2024): more exact at low ranks, slower.
    #[cfg_attr(feature = "cli", arg(long))]
    pub dora: bool,
    /// What the path begins as.
    #[cfg_attr(feature = "cli", arg(long, value_enum, default_value_t = LoraConfig::default().init_lora))]
    pub init_lora: LoraInit,
    /// Modules that train whole beside the paths and are saved with them: embed_tokens, lm_head.
    #[cfg_attr(feature = "cli", arg(long, value_delimiter = ','))]
    pub modules_to_save: Vec<String>,
    /// What the settings of other programs say beyond these; no flag.
    #[serde(skip)]
    #[cfg_attr(feature = "cli", arg(skip))]
    pub scope: Scope,
}

/// What a fresh adapter begins as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum LoraInit {
    /// Noise on the way in and zeros on the way out, so that it adds nothing.
    #[default]
    Default,
    /// The leading part of each weight, which then trains (PiSSA; Meng et al., 2024); saved as a plain LoRA of twice the
    /// rank.
    Pissa,
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
            dora: false,
            init_lora: LoraInit::Default,
            modules_to_save: Vec::new(),
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
        if self.dora && self.init_lora == LoraInit::Pissa {
            problems.push(told!(
                "lora.dora_pissa",
                "--dora does not go with --init-lora pissa, which is saved as a plain LoRA; leave one of them out"
            ));
        }
        problems.extend(self.module_problems());
        problems
    }

    /// What of the modules that train whole does not hold.
    fn module_problems(&self) -> Vec<Told> {
        let problem = |name: &String| match known_module(name) {
            None => Some(told!(
                "lora.modules",
                "--modules-to-save names '{name}'; {known} can train whole beside an adapter",
                name,
                known = MODULES.join(", ")
            )),
            Some(HEAD) if self.targets.iter().any(|target| target == HEAD) => Some(told!(
                "lora.module_twice",
                "--lora-targets and --modules-to-save both name '{name}': it trains whole, or by a path; leave one of them out",
                name
            )),
            Some(_) => None,
        };
        self.modules_to_save.iter().filter_map(problem).collect()
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

    #[test]
    fn what_does_not_go_together_is_told() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let fine =
            LoraConfig { modules_to_save: names(&["lm_head", "embed_tokens"]), ..LoraConfig::default() };
        assert_eq!(fine.problems(), Vec::<Told>::new());
        let bad = LoraConfig {
            dora: true,
            init_lora: LoraInit::Pissa,
            targets: names(&["q_proj", "lm_head"]),
            modules_to_save: names(&["lm_head", "norm"]),
            ..LoraConfig::default()
        };
        let text = bad.problems().join("; ");
        for part in ["--dora does not go with", "both name 'lm_head'", "--modules-to-save names 'norm'"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
