//! Which layers an adapter is for, and how wide and strong it is in each: all that PEFT's settings can say of it.

use tokenizers::utils::SysRegex;

use super::{LoraConfig, Selection};
use crate::error::{Error, Result};
use crate::told::told;

/// The pattern that stands for every dense layer but the output projection.
const ALL_LINEAR: &str = "all-linear";
/// What looks words up and what gives them out: in no block, and never meant by [`ALL_LINEAR`].
pub(super) const OUTER: [&str; 2] = ["model.embed_tokens", "lm_head"];

/// Settings that are ready to be asked about layers.
pub(super) struct Matcher {
    /// The targets, for people.
    pub told: String,
    targets: Layers,
    exclude: Layers,
    blocks: Option<Vec<usize>>,
    to_last: bool,
    rank: usize,
    alpha: f64,
    rslora: bool,
    ranks: Vec<(SysRegex, usize)>,
    alphas: Vec<(SysRegex, f64)>,
}

enum Layers {
    Named(Vec<String>),
    Matching(Box<SysRegex>),
    AllLinear,
}

impl Layers {
    fn have(&self, layer: &str) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| ends_in(layer, name)),
            Self::Matching(pattern) => fits(pattern, layer),
            Self::AllLinear => !OUTER.contains(&layer),
        }
    }
}

impl LoraConfig {
    /// Reads the patterns.
    ///
    /// # Errors
    /// One that is no regular expression, by the name of its key in PEFT.
    pub(super) fn matcher(&self) -> Result<Matcher> {
        let scope = &self.scope;
        let targets = match &scope.pattern {
            None => Layers::Named(self.target_names()),
            Some(text) if text.eq_ignore_ascii_case(ALL_LINEAR) => Layers::AllLinear,
            Some(text) => Layers::Matching(Box::new(whole("target_modules", "", text)?)),
        };
        let exclude = match &scope.exclude {
            None => Layers::Named(Vec::new()),
            Some(Selection::Names(names)) => Layers::Named(names.clone()),
            Some(Selection::Pattern(text)) => Layers::Matching(Box::new(whole("exclude_modules", "", text)?)),
        };
        Ok(Matcher {
            told: scope.pattern.clone().unwrap_or_else(|| self.target_names().join(", ")),
            targets,
            exclude,
            blocks: scope.blocks.clone(),
            to_last: scope.to_last,
            rank: self.rank,
            alpha: self.alpha,
            rslora: self.rslora,
            ranks: ends("rank_pattern", &scope.ranks)?,
            alphas: ends("alpha_pattern", &scope.alphas)?,
        })
    }
}

impl Matcher {
    /// Whether the layer of this full name gets a path, as PEFT decides it.
    pub fn adapts(&self, layer: &str) -> bool {
        if self.exclude.have(layer) {
            return false;
        }
        // A full name is meant whatever its block.
        let by_full_name = matches!(&self.targets, Layers::Named(names) if names.iter().any(|n| n == layer));
        by_full_name || (self.targets.have(layer) && self.is_in_blocks(layer))
    }

    fn is_in_blocks(&self, layer: &str) -> bool {
        let Some(blocks) = &self.blocks else { return true };
        block_of(layer).is_some_and(|block| blocks.contains(&block))
    }

    /// The last block that gets a path and the last of a model's layers, where they should be the same and are not.
    pub fn wrong_end(&self, layers: &[String]) -> Option<(usize, usize)> {
        let ends = self.blocks.iter().flatten().max().filter(|_| self.to_last)?;
        let last = layers.iter().filter_map(|layer| block_of(layer)).max()?;
        (*ends != last).then_some((*ends, last))
    }

    /// The width of a layer's path.
    pub fn rank(&self, layer: &str) -> usize {
        first(&self.ranks, layer).unwrap_or(self.rank)
    }

    /// What the output of a layer's path is multiplied by.
    pub fn scale(&self, layer: &str) -> f64 {
        let rank = self.rank(layer) as f64;
        first(&self.alphas, layer).unwrap_or(self.alpha) / if self.rslora { rank.sqrt() } else { rank }
    }
}

/// Whether a full name is this one, or ends in it.
pub(super) fn ends_in(layer: &str, name: &str) -> bool {
    layer.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// The number of a layer's block: the first in its name, as experts have numbers, too.
pub(super) fn block_of(layer: &str) -> Option<usize> {
    layer.split('.').find_map(|part| part.parse().ok())
}

fn first<T: Copy>(patterns: &[(SysRegex, T)], layer: &str) -> Option<T> {
    patterns.iter().find(|(pattern, _)| fits(pattern, layer)).map(|(_, value)| *value)
}

/// A pattern that takes too many steps fits nothing.
fn fits(pattern: &SysRegex, layer: &str) -> bool {
    pattern.find_iter(layer).next().is_some()
}

fn ends<T: Copy>(key: &str, patterns: &[(String, T)]) -> Result<Vec<(SysRegex, T)>> {
    patterns.iter().map(|(text, value)| Ok((whole(key, r"(?:.*\.)?", text)?, *value))).collect()
}

/// A pattern for a whole name behind `front`.
fn whole(key: &str, front: &str, text: &str) -> Result<SysRegex> {
    // By itself first: a stray parenthesis would find its other half in what stands around it.
    let read = SysRegex::new(text).and_then(|_| SysRegex::new(&format!("^{front}(?:{text})$")));
    read.map_err(|e| {
        Error::Checkpoint(told!(
            "adapter.pattern",
            "{key}: '{text}' is no regular expression that can be read here ({e}); name the layers instead",
            key,
            text,
            e
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Scope;

    const Q0: &str = "model.layers.0.self_attn.q_proj";
    const EXPERT: &str = "model.layers.1.mlp.experts.0.up_proj";

    fn matcher(targets: &[&str], scope: Scope) -> Matcher {
        let targets = targets.iter().map(|name| name.to_string()).collect();
        LoraConfig { rank: 16, alpha: 32.0, targets, scope, ..LoraConfig::default() }.matcher().unwrap()
    }

    fn named(targets: &[&str]) -> Matcher {
        matcher(targets, Scope::default())
    }

    fn pattern(text: &str) -> Matcher {
        matcher(&[], Scope { pattern: Some(text.into()), ..Scope::default() })
    }

    #[test]
    fn targets_are_full_names_or_their_last_parts() {
        let some = named(&["q_proj", "lm_head", "mlp.experts.0.up_proj"]);
        assert!([Q0, "lm_head", EXPERT].iter().all(|layer| some.adapts(layer)));
        for other in ["model.layers.0.self_attn.k_proj", "model.layers.1.mlp.up_proj", "x.eq_proj"] {
            assert!(!some.adapts(other), "{other}");
        }
        let usual = matcher(&[], Scope::default());
        assert!(usual.adapts("model.layers.3.mlp.down_proj") && !usual.adapts("lm_head"));
    }

    #[test]
    fn patterns_match_whole_names() {
        let unsloth = pattern(r"(?:.*?(?:self_attn|mlp).*?(?:q_proj|up_proj).*?)");
        assert!(unsloth.adapts(Q0) && unsloth.adapts(EXPERT) && !unsloth.adapts("lm_head"));
        assert!(!pattern("q_proj").adapts(Q0), "a part of the name is not enough");
        assert!(pattern(r"^model(?!.*lm_head).*q_proj$").adapts(Q0));
        assert!(pattern("all-linear").adapts(Q0) && !pattern("All-Linear").adapts("lm_head"));
        let stray = LoraConfig {
            scope: Scope { pattern: Some("a)(b".into()), ..Scope::default() },
            ..LoraConfig::default()
        };
        let message = stray.matcher().err().unwrap().to_string();
        assert!(message.contains("target_modules: 'a)(b'"), "{message}");
    }

    #[test]
    fn what_is_excluded_or_in_other_blocks_gets_no_path() {
        let blocks = Scope { blocks: Some(vec![1]), ..Scope::default() };
        let some = matcher(&["q_proj", "up_proj", "lm_head"], blocks);
        assert!(!some.adapts(Q0) && some.adapts("model.layers.1.self_attn.q_proj"));
        assert!(some.adapts(EXPERT) && some.adapts("lm_head"), "the first number; a full name");
        for exclude in
            [Selection::Names(vec!["experts.0.up_proj".into()]), Selection::Pattern(r".*\.1\..*".into())]
        {
            let scope = Scope { exclude: Some(exclude), ..Scope::default() };
            let some = matcher(&["q_proj", "up_proj"], scope);
            assert!(some.adapts(Q0) && !some.adapts(EXPERT));
        }
    }

    #[test]
    fn the_scale_is_alpha_over_rank_or_its_root() {
        assert_eq!(named(&[]).scale(Q0), 2.0);
        let config = LoraConfig { rank: 16, alpha: 32.0, rslora: true, ..LoraConfig::default() };
        assert_eq!(config.matcher().unwrap().scale(Q0), 8.0);
    }

    #[test]
    fn single_layers_have_ranks_and_alphas_of_their_own() {
        let scope = Scope {
            ranks: vec![("q_proj".into(), 4), (r"layers\.\d+\.self_attn\.q_proj".into(), 2)],
            alphas: vec![("^model.layers.0.self_attn.q_proj".into(), 10.0)],
            ..Scope::default()
        };
        let some = matcher(&["q_proj", "up_proj"], scope);
        assert_eq!((some.rank(Q0), some.scale(Q0)), (4, 2.5));
        assert_eq!((some.rank(EXPERT), some.scale(EXPERT)), (16, 2.0));
        assert_eq!(some.scale("model.layers.1.self_attn.q_proj"), 8.0);
    }
}
