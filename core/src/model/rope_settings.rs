//! What a person may say of a model's positions: doc comments are the command line's help, kinds have their published names.
//!
//! A model of `original` positions that is stretched by a factor holds that many times as many, and its `config.json` says
//! so as `transformers` reads it. Keys beside the factor (`beta_fast`, `low_freq_factor` and so on) are those that the
//! model has, else the published defaults.

use super::rope_scaling::magnitude;
use super::{ModelConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// A kind of scaling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum ScalingKind {
    /// No scaling: longer rows are taken as they are
    None,
    /// All frequencies divided by the factor
    Linear,
    /// A larger base for texts longer than those of pretraining, by each text's own length (NTK-aware)
    Dynamic,
    /// Low frequencies divided by the factor, high ones kept
    Yarn,
    /// The same as Llama 3.1 has it
    Llama3,
}

impl ScalingKind {
    /// Its published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Linear => "linear",
            Self::Dynamic => "dynamic",
            Self::Yarn => "yarn",
            Self::Llama3 => "llama3",
        }
    }
}

/// How a model's rotary positions are stretched; what is not said stays as the model has it.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct RopeSettings {
    /// Stretch the rotary positions for texts longer than those of pretraining; none takes longer rows as they are
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub rope_scaling: Option<ScalingKind>,
    /// How many times longer than those of pretraining [default where a model trains: what --max-seq-len needs, as a whole
    /// number]
    #[cfg_attr(feature = "cli", arg(long, requires = "rope_scaling"))]
    pub rope_factor: Option<f64>,
}

impl RopeSettings {
    /// Whether anything is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A model's shape with what is said, and what a person should know of it; `longest` is the length of the rows that
    /// it is going to train on, where it trains.
    ///
    /// # Errors
    /// Settings that would not act or do not hold.
    pub fn shape(&self, config: ModelConfig, longest: Option<usize>) -> Result<(ModelConfig, Vec<Told>)> {
        let Some(kind) = self.rope_scaling else { return Ok((config, Vec::new())) };
        let original = original(&config);
        let (changed, mut remarks) = match kind {
            ScalingKind::None => self.without(config, original, longest)?,
            kind => {
                let factor = self.factor(kind, &config, original, longest)?;
                stretched(config, kind, factor, original)
            }
        };
        changed.validate()?;
        if kind == ScalingKind::Dynamic && longest.is_some() {
            remarks.push(told!(
                "rope.dynamic",
                "dynamic scaling turns the positions of each batch by the length of its rows, as transformers does; yarn and \
                 linear turn them alike whatever the length, which is easier to learn"
            ));
        }
        Ok((changed, remarks))
    }

    /// The text of a `config.json` with what is said, and what a person should know of it; other keys stay.
    ///
    /// # Errors
    /// A damaged file; as [`Self::shape`].
    pub fn rewrite(&self, json: &[u8]) -> Result<(String, Vec<Told>)> {
        let (config, remarks) = self.shape(ModelConfig::of_new_model(json)?, None)?;
        Ok((config.positions_in(json)?, remarks))
    }

    /// The model without scaling, for rows of any length.
    fn without(
        &self,
        config: ModelConfig,
        original: usize,
        longest: Option<usize>,
    ) -> Result<(ModelConfig, Vec<Told>)> {
        if self.rope_factor.is_some() {
            return Err(refused(told!(
                "rope.factor_idle",
                "--rope-factor would not act with --rope-scaling none, which stretches nothing; leave it out"
            )));
        }
        let context = original.max(longest.unwrap_or(0));
        if config.rope_scaling == RopeScaling::Default && context == config.max_position_embeddings {
            return Err(refused(told!(
                "rope.none_idle",
                "--rope-scaling none would not act: the model has no scaling, and holds {context} positions; leave it out, or \
                 train with a longer --max-seq-len",
                context
            )));
        }
        let remark = told!(
            "rope.raised",
            "the model's {original} positions become {context}, which are not stretched",
            original,
            context
        );
        let config =
            ModelConfig { rope_scaling: RopeScaling::Default, max_position_embeddings: context, ..config };
        Ok((config, vec![remark]))
    }

    /// How many times longer texts get: what is said, or what the rows need and no less than what the model has.
    fn factor(
        &self,
        kind: ScalingKind,
        config: &ModelConfig,
        original: usize,
        longest: Option<usize>,
    ) -> Result<f64> {
        let kind = kind.name();
        match (self.rope_factor, longest) {
            (Some(factor), _) if factor > 1.0 && factor.is_finite() => Ok(factor),
            (Some(factor), _) => {
                Err(refused(told!("rope.factor", "--rope-factor is {factor}; it must be above 1", factor)))
            }
            (None, None) => Err(refused(told!(
                "rope.factor_needed",
                "--rope-scaling {kind} needs --rope-factor, how many times longer than the {original} of pretraining texts get",
                kind,
                original
            ))),
            (None, Some(longest)) => {
                let has = config.context() as f64 / original as f64;
                // A whole number, as trainers elsewhere take it.
                let factor = (longest as f64 / original as f64).ceil().max(has);
                match factor > 1.0 {
                    true => Ok(factor),
                    false => Err(refused(told!(
                        "rope.idle",
                        "--rope-scaling {kind} would not act: rows of {longest} tokens fit the model's {original} positions; \
                         raise --max-seq-len, name --rope-factor, or leave it out",
                        kind,
                        longest,
                        original
                    ))),
                }
            }
        }
    }
}

/// Positions of pretraining, as far as the config tells.
fn original(config: &ModelConfig) -> usize {
    match config.rope_scaling {
        RopeScaling::Default => config.max_position_embeddings,
        RopeScaling::Linear { factor } => {
            ((config.max_position_embeddings as f64 / factor).round() as usize).max(1)
        }
        RopeScaling::Dynamic { original, .. }
        | RopeScaling::Yarn { original, .. }
        | RopeScaling::Llama3 { original, .. } => original,
    }
}

/// The model stretched by a factor.
fn stretched(
    config: ModelConfig,
    kind: ScalingKind,
    factor: f64,
    original: usize,
) -> (ModelConfig, Vec<Told>) {
    let rope_scaling = of_kind(kind, factor, original, &config.rope_scaling);
    // A model with dynamic scaling names the positions of pretraining, and holds more.
    let max_position_embeddings = match rope_scaling {
        RopeScaling::Dynamic { .. } => original,
        _ => (factor * original as f64) as usize,
    };
    let config = ModelConfig { rope_scaling, max_position_embeddings, ..config };
    let remark = told!(
        "rope.stretched",
        "the model's {original} positions are stretched by {factor} ({kind}): it holds {context}",
        original,
        factor,
        kind = kind.name(),
        context = config.context()
    );
    (config, vec![remark])
}

/// A scaling of this kind, with the other keys of what the model has where that is of the same kind.
fn of_kind(kind: ScalingKind, factor: f64, original: usize, has: &RopeScaling) -> RopeScaling {
    match (kind, *has) {
        (ScalingKind::None, _) => RopeScaling::Default,
        (ScalingKind::Linear, _) => RopeScaling::Linear { factor },
        (ScalingKind::Dynamic, _) => RopeScaling::Dynamic { factor, original },
        (
            ScalingKind::Yarn,
            RopeScaling::Yarn { factor: before, beta_fast, beta_slow, attention_factor, truncate, .. },
        ) => {
            // One that follows from the factor follows from the new one.
            let follows = (attention_factor - magnitude(before, 1.0)).abs() < 1e-6;
            let attention_factor = if follows { magnitude(factor, 1.0) } else { attention_factor };
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention_factor, truncate }
        }
        (ScalingKind::Llama3, RopeScaling::Llama3 { low_freq_factor, high_freq_factor, .. }) => {
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original }
        }
        (ScalingKind::Yarn, _) => RopeScaling::Yarn {
            factor,
            original,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor: magnitude(factor, 1.0),
            truncate: true,
        },
        (ScalingKind::Llama3, _) => {
            RopeScaling::Llama3 { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original }
        }
    }
}

fn refused(problem: Told) -> Error {
    Error::Config(vec![problem])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::preset;

    fn config(positions: usize) -> ModelConfig {
        ModelConfig { max_position_embeddings: positions, ..preset("nano").unwrap().config(None) }
    }

    fn said(kind: ScalingKind, factor: Option<f64>) -> RopeSettings {
        RopeSettings { rope_scaling: Some(kind), rope_factor: factor }
    }

    #[test]
    fn a_factor_follows_from_the_rows_and_a_second_stage_from_the_first_positions() {
        for kind in [ScalingKind::Linear, ScalingKind::Dynamic, ScalingKind::Yarn, ScalingKind::Llama3] {
            let (first, remarks) = said(kind, None).shape(config(64), Some(100)).unwrap();
            assert_eq!(first.context(), 128, "{kind:?}: a whole factor");
            assert!(
                remarks[0].contains("64 positions are stretched by 2") && remarks[0].contains("holds 128")
            );
            assert_eq!(remarks.len(), if kind == ScalingKind::Dynamic { 2 } else { 1 });
            let (second, remarks) = said(kind, None).shape(first.clone(), Some(256)).unwrap();
            assert_eq!((second.context(), original(&second)), (256, 64), "{kind:?}");
            assert!(remarks[0].contains("64 positions are stretched by 4"), "{remarks:?}");
            let (same, _) = said(kind, None).shape(second.clone(), Some(80)).unwrap();
            assert_eq!(same, second, "it is never made shorter unasked");
            let json = second.to_hugging_face();
            assert_eq!(ModelConfig::from_hugging_face(json.as_bytes()).unwrap(), second, "{kind:?}");
        }
    }

    #[test]
    fn what_is_written_has_the_published_keys() {
        let written = |kind, factor| {
            let (config, _) = said(kind, Some(factor)).shape(config(64), None).unwrap();
            let json: Value = serde_json::from_str(&config.to_hugging_face()).unwrap();
            (json["max_position_embeddings"].clone(), json["rope_parameters"].clone())
        };
        let (positions, yarn) = written(ScalingKind::Yarn, 4.0);
        assert_eq!(
            (positions, &yarn["rope_type"], &yarn["factor"]),
            (json!(256), &json!("yarn"), &json!(4.0))
        );
        assert_eq!(yarn["original_max_position_embeddings"], 64);
        assert_eq!((&yarn["beta_fast"], &yarn["beta_slow"]), (&json!(32.0), &json!(1.0)));
        assert!((yarn["attention_factor"].as_f64().unwrap() - (0.1 * 4f64.ln() + 1.0)).abs() < 1e-12);
        let (_, llama3) = written(ScalingKind::Llama3, 8.0);
        assert_eq!((&llama3["low_freq_factor"], &llama3["high_freq_factor"]), (&json!(1.0), &json!(4.0)));
        // Its config names the positions of pretraining.
        assert_eq!(written(ScalingKind::Dynamic, 2.0).0, 64);
        assert_eq!(written(ScalingKind::Linear, 2.5).0, 160);
    }

    #[test]
    fn the_models_own_keys_stay_with_its_kind() {
        let yarn = |attention_factor| RopeScaling::Yarn {
            factor: 2.0,
            original: 32,
            beta_fast: 16.0,
            beta_slow: 2.0,
            attention_factor,
            truncate: false,
        };
        let again = |attention_factor, kind| {
            let config = ModelConfig { rope_scaling: yarn(attention_factor), ..config(64) };
            said(kind, Some(8.0)).shape(config, None).unwrap().0
        };
        let by_factor = again(0.1 * 2f64.ln() + 1.0, ScalingKind::Yarn);
        let RopeScaling::Yarn { original, beta_fast, beta_slow, attention_factor, truncate, .. } =
            by_factor.rope_scaling
        else {
            panic!("{by_factor:?}");
        };
        assert_eq!((original, beta_fast, beta_slow, truncate), (32, 16.0, 2.0, false));
        assert!((attention_factor - (0.1 * 8f64.ln() + 1.0)).abs() < 1e-12);
        assert_eq!(by_factor.max_position_embeddings, 256);
        let own = again(1.5, ScalingKind::Yarn).rope_scaling;
        assert!(matches!(own, RopeScaling::Yarn { attention_factor: 1.5, .. }), "{own:?}");
        let other = again(1.5, ScalingKind::Linear);
        assert_eq!((other.rope_scaling, other.context()), (RopeScaling::Linear { factor: 8.0 }, 256));
    }

    #[test]
    fn without_scaling_only_the_positions_grow() {
        let none = said(ScalingKind::None, None);
        let (raised, remarks) = none.shape(config(64), Some(256)).unwrap();
        assert_eq!(raised, config(256));
        assert!(remarks[0].contains("64 positions become 256"), "{remarks:?}");
        let (yarn, _) = said(ScalingKind::Yarn, Some(4.0)).shape(config(64), None).unwrap();
        assert_eq!(none.shape(yarn.clone(), None).unwrap().0, config(64));
        assert_eq!(none.shape(yarn, Some(100)).unwrap().0, config(100));
    }

    #[test]
    fn what_would_not_act_or_does_not_hold_is_refused_by_name() {
        let refused =
            |settings: RopeSettings, longest| settings.shape(config(64), longest).unwrap_err().to_string();
        for (message, told) in [
            (refused(said(ScalingKind::Yarn, None), None), "--rope-scaling yarn needs --rope-factor"),
            (refused(said(ScalingKind::Linear, Some(1.0)), None), "--rope-factor is 1; it must be above 1"),
            (refused(said(ScalingKind::Linear, Some(f64::NAN)), Some(9)), "--rope-factor is NaN"),
            (refused(said(ScalingKind::Llama3, None), Some(64)), "rows of 64 tokens fit the model's 64"),
            (refused(said(ScalingKind::None, Some(2.0)), Some(99)), "--rope-factor would not act"),
            (refused(said(ScalingKind::None, None), Some(64)), "--rope-scaling none would not act"),
            (refused(said(ScalingKind::Yarn, Some(1e9)), None), "max_position_embeddings is 64000000000"),
        ] {
            assert!(message.contains(told), "{message}");
        }
        assert_eq!(RopeSettings::default().shape(config(64), None).unwrap(), (config(64), vec![]));
    }

    #[test]
    fn a_config_keeps_its_other_keys() {
        let json = r#"{"model_type":"llama","vocab_size":32,"hidden_size":8,"intermediate_size":16,"num_hidden_layers":1,
            "num_attention_heads":2,"max_position_embeddings":64,"rope_theta":5e5,"own":{"key":1},
            "original_max_position_embeddings":32,"rope_scaling":{"type":"yarn","factor":2.0}}"#;
        let (text, remarks) = said(ScalingKind::Yarn, Some(8.0)).rewrite(json.as_bytes()).unwrap();
        let config = ModelConfig::from_hugging_face(text.as_bytes()).unwrap();
        assert_eq!((config.context(), config.rope_theta), (256, 5e5));
        assert!(matches!(config.rope_scaling, RopeScaling::Yarn { original: 32, .. }), "{text}");
        let written: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&written["own"]["key"], &written["vocab_size"]), (&json!(1), &json!(32)));
        assert_eq!(remarks.len(), 1);
    }
}
