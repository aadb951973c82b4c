//! Llama 3's stretched frequencies, which GGUF holds as a tensor: what each frequency of the rotary embedding is divided
//! by. The numbers behind them stand nowhere; they are found again by trying those that are in use.

use std::f64::consts::PI;
use std::ops::RangeInclusive;

use super::cursor::damaged;
use super::{BlockType, Gguf, dequantize};
use crate::error::{Error, Result};
use crate::model::{RopeScaling, frequencies};
use crate::told::told;

/// The tensor, `[head_dim / 2]` in f32.
pub(super) const NAME: &str = "rope_freqs.weight";

/// `low_freq_factor` of all models of this kind.
const LOW: f64 = 1.0;
/// `high_freq_factor` of all models of this kind.
const HIGH: f64 = 4.0;
/// `original_max_position_embeddings` that are tried, as powers of two; Llama 3.1 and 3.2 have 2^13.
const ORIGINALS: RangeInclusive<u32> = 4..=20;
/// How far a divisor may be off, relatively.
const NEAR: f64 = 1e-4;
/// A config may claim any width; known heads have 256.
const MOST_HEAD_DIM: u64 = 1 << 16;

/// The divisors, of heads of this width.
///
/// # Errors
/// A width that no model has.
pub fn divisors(scaling: &RopeScaling, head_dim: u64, theta: f64) -> Result<Vec<f32>> {
    if head_dim > MOST_HEAD_DIM {
        return Err(Error::Checkpoint(told!(
            "gguf.head_dim",
            "config.json claims heads of {head_dim} values; {most_head_dim} is the most",
            head_dim,
            most_head_dim = MOST_HEAD_DIM
        )));
    }
    let [plain, stretched] =
        [&RopeScaling::Default, scaling].map(|s| s.frequencies(head_dim as usize, theta, 0).0);
    Ok(plain.iter().zip(stretched).map(|(plain, stretched)| (plain / stretched) as f32).collect())
}

/// The scaling that a file's tensor stands for; `None` where the file has none.
///
/// # Errors
/// A tensor of another size, or divisors of no scaling that is in use.
pub fn scaling(gguf: &Gguf, head_dim: u64, theta: f64) -> Result<Option<RopeScaling>> {
    let Some(tensor) = gguf.tensors.get(NAME) else { return Ok(None) };
    if tensor.block_type != BlockType::F32 || tensor.shape != [head_dim / 2] {
        return Err(damaged(told!(
            "gguf.freqs_type",
            "its '{name}' is {kind} of {shape}; F32, a number for every two of a head's {head_dim} values, is right",
            name = NAME,
            kind = format!("{:?}", tensor.block_type),
            shape = format!("{:?}", tensor.shape),
            head_dim
        )));
    }
    let bytes = gguf.bytes(tensor)?;
    let mut values = vec![0.0; bytes.len() / size_of::<f32>()];
    dequantize(tensor.block_type, bytes, &mut values)?;
    find(&values, head_dim, theta)?.map(Some).ok_or_else(|| {
        Error::Checkpoint(told!(
            "gguf.freqs",
            "the GGUF file's '{name}' holds no frequencies of Llama 3 (low_freq_factor {low}, high_freq_factor {high}, \
            a power of two as original length); other stretches are not supported",
            name = NAME,
            low = LOW,
            high = HIGH
        ))
    })
}

/// The scaling with these divisors. Where several have them, all compute the same; it is that of the shortest texts.
fn find(values: &[f32], head_dim: u64, theta: f64) -> Result<Option<RopeScaling>> {
    let lowest = frequencies(head_dim as usize, theta).last().copied().unwrap_or(1.0);
    let last = f64::from(values.last().copied().unwrap_or(1.0));
    let mut tried = vec![RopeScaling::Default];
    for original in ORIGINALS.map(|power| 1_usize << power) {
        let smooth = (original as f64 * lowest / (2.0 * PI) - LOW) / (HIGH - LOW);
        if smooth >= 1.0 {
            break;
        }
        // The ramp, solved for the factor.
        let factor = if smooth <= 0.0 { last } else { (1.0 - smooth) / (1.0 / last - smooth) };
        let whole = libm::round(factor);
        let factor = if (factor - whole).abs() < NEAR * whole { whole } else { factor };
        tried.push(RopeScaling::Llama3 { factor, low_freq_factor: LOW, high_freq_factor: HIGH, original });
    }
    for scaling in tried {
        let expected = divisors(&scaling, head_dim, theta)?;
        let same = |(a, b): (&f32, &f32)| f64::from((a - b).abs()) <= NEAR * f64::from(a.abs());
        if expected.iter().zip(values).all(same) {
            return Ok(Some(scaling));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::super::{WeightType, from_gguf, to_gguf};
    use super::*;
    use crate::formats::Files;

    fn llama3(factor: f64, original: usize) -> RopeScaling {
        RopeScaling::Llama3 { factor, low_freq_factor: LOW, high_freq_factor: HIGH, original }
    }

    #[test]
    fn divisors_by_hand() {
        // Turns within 8192 positions: 1303.8, 130.4, 13.04, 1.3038. The last is 0.10127 of the way up the ramp.
        let found = divisors(&llama3(8.0, 8192), 8, 1e4).unwrap();
        for (found, expected) in found.iter().zip([1.0, 1.0, 1.0, 1.0 / (0.898_73 / 8.0 + 0.101_27)]) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
        assert!(divisors(&llama3(8.0, 8192), 1 << 40, 1e4).is_err());
    }

    #[test]
    fn the_numbers_are_found_again() {
        // Llama 3.2's own; one whose lowest frequency lies on the ramp; a tiny one.
        let same = [(llama3(32.0, 8192), 64, 5e5), (llama3(8.0, 16384), 8, 1e4), (llama3(2.5, 64), 16, 1e4)];
        for (scaling, head_dim, theta) in same {
            let values = divisors(&scaling, head_dim, theta).unwrap();
            let again = find(&values, head_dim, theta).unwrap().unwrap();
            let found = divisors(&again, head_dim, theta).unwrap();
            for (found, expected) in found.iter().zip(values) {
                assert!((found - expected).abs() < 1e-4 * expected, "{again:?}");
            }
        }
        let (scaling, head_dim, theta) = same[0];
        let values = divisors(&scaling, head_dim, theta).unwrap();
        assert_eq!(find(&values, head_dim, theta).unwrap(), Some(scaling));
        assert_eq!(find(&[1.0; 4], 8, 1e4).unwrap(), Some(RopeScaling::Default));
        // A ramp of another shape, and none at all.
        assert_eq!(find(&[1.0, 2.0, 3.0, 4.0], 8, 1e4).unwrap(), None);
        assert_eq!(find(&[f32::NAN; 4], 8, 1e4).unwrap(), None);
    }

    #[test]
    fn they_go_there_and_back() {
        let mut files = from_gguf(include_bytes!("../../../../tests/golden/gguf/tiny.gguf")).unwrap();
        let config = |files: &Files| serde_json::from_slice::<Json>(&files["config.json"]).unwrap();
        let mut stretched = config(&files);
        stretched["rope_scaling"] = Json::Object(llama3(8.0, 64).to_hugging_face());
        files.insert("config.json".into(), stretched.to_string().into_bytes());
        let bytes = to_gguf(&files, WeightType::F32).unwrap();
        assert_eq!(Gguf::open(&bytes).unwrap().tensors[NAME].shape, [4]);
        let again = from_gguf(&bytes).unwrap();
        assert_eq!(config(&again)["rope_scaling"], stretched["rope_scaling"]);
        assert!(again["model.safetensors"] == files["model.safetensors"]);

        let message = scaling(&Gguf::open(&bytes).unwrap(), 10, 1e4).unwrap_err().to_string();
        assert!(message.contains("every two of a head's 10 values"), "{message}");
        let message = scaling(&Gguf::open(&bytes).unwrap(), 8, 1e6).unwrap_err().to_string();
        assert!(message.contains("no frequencies of Llama 3"), "{message}");
    }
}
