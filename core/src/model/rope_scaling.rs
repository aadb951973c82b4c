//! Rotary embedding for contexts longer than those of pretraining, as `transformers` computes it
//! (`modeling_rope_utils.py`).

use std::f64::consts::PI;

use serde_json::{Map, Value, json};

use super::keys::{ELSEWHERE, SAVED};
use crate::error::{Error, Result};
use crate::told::told;

/// Keys of `rope_parameters` that are numbers.
const NUMBERS: [&str; 9] = [
    "factor",
    "original_max_position_embeddings",
    "beta_fast",
    "beta_slow",
    "attention_factor",
    "mscale",
    "mscale_all_dim",
    "low_freq_factor",
    "high_freq_factor",
];

/// Angular frequencies `1 / θ^(2i/hd)`, for `i` in `0..hd/2`.
pub fn frequencies(head_dim: usize, theta: f64) -> Vec<f64> {
    (0..head_dim / 2).map(|i| libm::pow(theta, -2.0 * i as f64 / head_dim as f64)).collect()
}

/// How the frequencies are stretched; names as in `rope_parameters`.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    Default,
    /// All by the same factor.
    Linear {
        /// How much longer the context is.
        factor: f64,
    },
    /// By a larger base, once a text is longer than `original` (NTK-aware).
    Dynamic {
        /// How much longer the context is.
        factor: f64,
        /// Positions of pretraining.
        original: usize,
    },
    /// Low frequencies by the factor, high ones not at all, a ramp between (Peng et al., 2023,
    /// <https://arxiv.org/abs/2309.00071>).
    Yarn {
        /// How much longer the context is.
        factor: f64,
        /// Positions of pretraining.
        original: usize,
        /// Turns within `original` above which a frequency stays.
        beta_fast: f64,
        /// Turns within `original` below which it is divided.
        beta_slow: f64,
        /// What cosines and sines are multiplied by.
        attention_factor: f64,
        /// Whether the ramp begins and ends at whole dimensions.
        truncate: bool,
    },
    /// As Yarn, with a ramp over wavelengths (Llama 3.1).
    Llama3 {
        /// How much longer the context is.
        factor: f64,
        /// Turns within `original` below which a frequency is divided.
        low_freq_factor: f64,
        /// Turns within `original` above which it stays.
        high_freq_factor: f64,
        /// Positions of pretraining.
        original: usize,
    },
}

impl RopeScaling {
    /// Frequencies of a sequence of `len` positions, and what cosines and sines are multiplied by. With
    /// [`Self::Dynamic`] they depend on the length, as in `transformers`: of a batch that of its rows, beside a cache that
    /// up to and with the new tokens, while what is cached keeps the angles that it was written with. `transformers` also
    /// keeps the frequencies of the longest text so far; these follow from the length alone.
    pub fn frequencies(&self, head_dim: usize, theta: f64, len: usize) -> (Vec<f64>, f64) {
        let plain = frequencies(head_dim, theta);
        match *self {
            Self::Default => (plain, 1.0),
            Self::Linear { factor } => (plain.into_iter().map(|f| f / factor).collect(), 1.0),
            Self::Dynamic { factor, original } => {
                let stretch = factor * len.max(original) as f64 / original as f64 - (factor - 1.0);
                let dim = head_dim as f64;
                (frequencies(head_dim, theta * libm::pow(stretch, dim / (dim - 2.0))), 1.0)
            }
            Self::Yarn { attention_factor, .. } => {
                (self.yarn(plain, head_dim as f64, theta), attention_factor)
            }
            Self::Llama3 { .. } => (plain.into_iter().map(|f| self.llama3(f)).collect(), 1.0),
        }
    }

    /// Whether texts of these two lengths have the same frequencies, so that the keys of one are those of the other.
    pub(crate) fn turns_alike(&self, a: usize, b: usize) -> bool {
        match *self {
            Self::Dynamic { original, .. } => a.max(original) == b.max(original),
            _ => true,
        }
    }

    fn yarn(&self, plain: Vec<f64>, dim: f64, theta: f64) -> Vec<f64> {
        let Self::Yarn { factor, original, beta_fast, beta_slow, truncate, .. } = *self else { return plain };
        let bound =
            |turns: f64| dim * libm::log(original as f64 / (turns * 2.0 * PI)) / (2.0 * libm::log(theta));
        let (mut low, mut high) = (bound(beta_fast), bound(beta_slow));
        if truncate {
            (low, high) = (libm::floor(low), libm::ceil(high));
        }
        (low, high) = (low.max(0.0), high.min(dim - 1.0));
        if low == high {
            high += 0.001;
        }
        let stretched = |(i, f): (usize, f64)| {
            let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            f / factor * ramp + f * (1.0 - ramp)
        };
        plain.into_iter().enumerate().map(stretched).collect()
    }

    fn llama3(&self, f: f64) -> f64 {
        let Self::Llama3 { factor, low_freq_factor, high_freq_factor, original } = *self else { return f };
        let turns = original as f64 * f / (2.0 * PI);
        if turns < low_freq_factor {
            f / factor
        } else if turns > high_freq_factor {
            f
        } else {
            let smooth = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
            (1.0 - smooth) * f / factor + smooth * f
        }
    }

    /// Longest sequence that can be read, where `context` is the longest of pretraining.
    pub fn longest(&self, context: usize) -> usize {
        match *self {
            Self::Dynamic { factor, original } => (factor.max(1.0) * original as f64) as usize,
            _ => context,
        }
    }

    /// Reads `rope_parameters` or `rope_scaling`; `context` is the config's `max_position_embeddings`.
    ///
    /// # Errors
    /// A `rope_type` that is not supported, a value that is missing or makes no sense.
    pub fn from_hugging_face(rope: &Map<String, Value>, context: usize) -> Result<Self> {
        check_types(rope)?;
        let kind = ["rope_type", "type"].into_iter().find_map(|key| rope.get(key)?.as_str());
        let kind = kind.unwrap_or("default");
        let known = |key: &str| rope.get(key).and_then(Value::as_f64);
        let needed = |key: &str| {
            known(key).filter(|value| *value > 0.0 && value.is_finite()).ok_or_else(|| {
                Error::Model(told!(
                    "model.rope_needs",
                    "config.json: rope_type '{kind}' needs {key}, a positive number; {saved}",
                    kind,
                    key,
                    saved = SAVED
                ))
            })
        };
        let original = || known("original_max_position_embeddings").map_or(context, |n| n as usize).max(1);
        Ok(match kind {
            "default" => Self::Default,
            "linear" => Self::Linear { factor: needed("factor")? },
            "dynamic" => Self::Dynamic { factor: needed("factor")?, original: context },
            "yarn" => {
                let original = original();
                let factor = match known("factor") {
                    Some(_) => needed("factor")?,
                    None => context as f64 / original as f64,
                };
                Self::Yarn {
                    factor,
                    original,
                    beta_fast: known("beta_fast").filter(|beta| *beta != 0.0).unwrap_or(32.0),
                    beta_slow: known("beta_slow").filter(|beta| *beta != 0.0).unwrap_or(1.0),
                    attention_factor: known("attention_factor").unwrap_or_else(|| {
                        let scale = |key| known(key).filter(|scale| *scale != 0.0);
                        match (scale("mscale"), scale("mscale_all_dim")) {
                            (Some(above), Some(below)) => magnitude(factor, above) / magnitude(factor, below),
                            _ => magnitude(factor, 1.0),
                        }
                    }),
                    truncate: rope.get("truncate").and_then(Value::as_bool).unwrap_or(true),
                }
            }
            "llama3" => Self::Llama3 {
                factor: needed("factor")?,
                low_freq_factor: needed("low_freq_factor")?,
                high_freq_factor: needed("high_freq_factor")?,
                original: original(),
            },
            other => {
                return Err(Error::Model(told!(
                    "model.rope_type",
                    "config.json: rope_type '{other}' is not supported; supported: default, linear, dynamic, yarn, llama3; \
                     {elsewhere}",
                    other,
                    elsewhere = ELSEWHERE
                )));
            }
        })
    }

    /// The keys of `rope_parameters` beside `rope_theta`.
    pub fn to_hugging_face(&self) -> Map<String, Value> {
        let value = match *self {
            Self::Default => json!({"rope_type": "default"}),
            Self::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
            Self::Dynamic { factor, .. } => json!({"rope_type": "dynamic", "factor": factor}),
            Self::Yarn { factor, original, beta_fast, beta_slow, attention_factor, truncate } => json!({
                "rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original,
                "beta_fast": beta_fast, "beta_slow": beta_slow, "attention_factor": attention_factor,
                "truncate": truncate,
            }),
            Self::Llama3 { factor, low_freq_factor, high_freq_factor, original } => json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor, "original_max_position_embeddings": original,
            }),
        };
        if let Value::Object(map) = value { map } else { Map::new() }
    }
}

/// Refuses a value of another type, which would pass for an absent one.
fn check_types(rope: &Map<String, Value>) -> Result<()> {
    for (key, value) in rope.iter().filter(|(_, value)| !value.is_null()) {
        let (right, what) = match key.as_str() {
            "rope_type" | "type" => (value.is_string(), "a text"),
            "truncate" => (value.is_boolean(), "true or false"),
            key if NUMBERS.contains(&key) => (value.is_number(), "a number"),
            _ => continue,
        };
        if !right {
            return Err(Error::Model(told!(
                "model.rope_kind",
                "config.json: in the rotary settings, {key} is {value}, not {what}; {saved}",
                key,
                value,
                what,
                saved = SAVED
            )));
        }
    }
    Ok(())
}

/// How much attention scores grow with the context (equation 22 of the paper).
pub(super) fn magnitude(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * libm::log(factor) + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<RopeScaling> {
        RopeScaling::from_hugging_face(&serde_json::from_str(json).unwrap(), 2048)
    }

    fn close(found: &[f64], expected: &[f64]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 * expected.abs(), "{found} {expected}");
        }
    }

    #[test]
    fn frequencies_of_head_dim_64_and_theta_1e6() {
        let found = frequencies(64, 1e6);
        for (found, expected) in found.iter().zip([1.0, 0.649_381_63, 0.421_696_50, 0.273_841_96]) {
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
    }

    #[test]
    fn linear_and_dynamic() {
        let (linear, _) = read(r#"{"type":"linear","factor":4.0}"#).unwrap().frequencies(4, 1e4, 10);
        close(&linear, &[0.25, 0.0025]);
        let dynamic = read(r#"{"rope_type":"dynamic","factor":2.0}"#).unwrap();
        close(&dynamic.frequencies(4, 1e4, 100).0, &[1.0, 0.01]);
        // Twice the length: the base grows by (2·2 - 1)^(4/2) = 9.
        close(&dynamic.frequencies(4, 1e4, 4096).0, &[1.0, 1.0 / 300.0]);
    }

    #[test]
    fn yarn_leaves_high_frequencies_and_divides_low_ones() {
        // The bounds for a head of 64, base 1e6, 2048 positions are 5 and 14.
        let json = r#"{"rope_type":"yarn","factor":16.0,"original_max_position_embeddings":2048}"#;
        let yarn = read(json).unwrap();
        let (found, attention) = yarn.frequencies(64, 1e6, 10);
        let plain = frequencies(64, 1e6);
        close(&found[..6], &plain[..6]);
        let divided: Vec<f64> = plain[14..].iter().map(|f| f / 16.0).collect();
        close(&found[14..], &divided);
        let ramp = 4.0 / 9.0;
        close(&found[9..10], &[plain[9] * (1.0 - ramp + ramp / 16.0)]);
        assert!((attention - (0.1 * 16f64.ln() + 1.0)).abs() < 1e-12);
    }

    #[test]
    fn llama3_interpolates_between_its_wavelengths() {
        let json = r#"{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
            "original_max_position_embeddings":8192}"#;
        let scaling = read(json).unwrap();
        let turns = |n: f64| n * 2.0 * PI / 8192.0;
        close(&[scaling.llama3(turns(5.0))], &[turns(5.0)]);
        close(&[scaling.llama3(turns(0.5))], &[turns(0.5) / 8.0]);
        // Half-way: a half of each.
        close(&[scaling.llama3(turns(2.5))], &[turns(2.5) * (0.5 / 8.0 + 0.5)]);
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        for json in [
            r#"{"rope_type":"default"}"#,
            r#"{"rope_type":"linear","factor":2.5}"#,
            r#"{"rope_type":"dynamic","factor":2.0}"#,
            r#"{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":512,"mscale":0.7,"mscale_all_dim":1.0}"#,
            r#"{"rope_type":"yarn","original_max_position_embeddings":512,"truncate":false,"beta_fast":16}"#,
            r#"{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0}"#,
        ] {
            let scaling = read(json).unwrap();
            let again = RopeScaling::from_hugging_face(&scaling.to_hugging_face(), 2048).unwrap();
            assert_eq!(again, scaling, "{json}");
        }
    }

    #[test]
    fn the_unsupported_is_refused_by_name() {
        for (json, told) in [
            (r#"{"rope_type":"longrope"}"#, "rope_type 'longrope'"),
            (r#"{"rope_type":"linear"}"#, "needs factor"),
            (r#"{"rope_type":"llama3","factor":8.0,"low_freq_factor":-1}"#, "needs low_freq_factor"),
        ] {
            let message = read(json).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
            assert!([SAVED, ELSEWHERE].iter().any(|remedy| message.contains(remedy)), "{message}");
        }
    }
}
