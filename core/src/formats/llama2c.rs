//! llama2.c's `.bin` files (<https://github.com/karpathy/llama2.c>, export.py): a header of sizes, then
//! all weights as f32 in a fixed order.

use super::half_rotate::to_half_rotate;
use super::{Files, directory_files};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, NamedTensor, RopeScaling};

/// "ak42", read as a little-endian number, before a version and the sizes. The oldest files begin with the sizes.
const MAGIC: u32 = 0x616b_3432;
/// Bytes of the header since version 1, and of the oldest.
const HEADERS: [usize; 2] = [256, 28];

/// The files of a model without its tokenizer: sizes and weights, with queries and keys in the half-rotate layout.
///
/// # Errors
/// A file that is cut off, damaged or no such checkpoint; the quantised version 2.
pub fn from_llama2c(bytes: &[u8]) -> Result<Files> {
    let header = Header::read(bytes)?;
    let config = header.config()?;
    let mut floats =
        bytes[header.start..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let mut weights = Vec::new();
    for (name, shape) in header.parts() {
        let mut values: Vec<f32> = floats.by_ref().take(shape.iter().product()).collect();
        let heads = match name.rsplit('.').nth(1) {
            Some("q_proj") => config.num_attention_heads,
            Some("k_proj") => config.num_key_value_heads,
            _ => 0,
        };
        if heads > 0 {
            values = to_half_rotate(&name, &values, heads, config.head_dim)?;
        }
        if !name.is_empty() {
            weights.push(NamedTensor { name, shape, values });
        }
    }
    directory_files(&config, &weights, None)
}

/// Sizes that fit the file.
struct Header {
    sizes: [usize; 7],
    /// Version 0 keeps tables of rotary angles, and another order.
    old: bool,
    shared: bool,
    start: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self> {
        let number = |place: usize| {
            let bytes = bytes.get(4 * place..4 * place + 4).unwrap_or_default();
            bytes.try_into().map_or(0, i32::from_le_bytes)
        };
        let old = number(0) as u32 != MAGIC;
        if !old && number(1) != 1 {
            return Err(Error::Checkpoint(format!(
                "this llama2.c file is of version {}; versions 0 and 1, which hold f32, can be read: export it with \
                --version 1",
                number(1)
            ).into()));
        }
        let first = if old { 0 } else { 2 };
        let numbers: [i32; 7] = std::array::from_fn(|i| number(first + i));
        let shared = if old { numbers[5] > 0 } else { bytes.get(36) == Some(&1) };
        let sizes = numbers.map(|number| number.unsigned_abs() as usize);
        let header = Self { sizes, old, shared, start: HEADERS[usize::from(old)] };
        let sound =
            numbers.iter().enumerate().all(|(i, number)| *number > 0 || (old && i == 5 && *number < 0));
        let [dim, _, _, heads, kv_heads, ..] = sizes;
        if !sound || !dim.is_multiple_of(heads) || !heads.is_multiple_of(kv_heads) {
            return Err(Error::Checkpoint(format!(
                "this is no llama2.c checkpoint: its header has the sizes {numbers:?} (dim, hidden_dim, layers, heads, \
                key heads, vocabulary, length)"
            ).into()));
        }
        let needed = header.start as u128 + 4 * header.floats();
        if needed != bytes.len() as u128 {
            return Err(Error::Checkpoint(format!(
                "a llama2.c file of these sizes {numbers:?} has {needed} bytes, this one {}; it is cut off or another \
                kind of file: copy it again",
                bytes.len()
            ).into()));
        }
        Ok(header)
    }

    /// Numbers behind the header. Products of sizes are checked in 128 bits before any is used.
    fn floats(&self) -> u128 {
        let [dim, hidden, layers, heads, kv_heads, vocab, length] = self.sizes.map(|size| size as u128);
        let layer = 2 * dim + 2 * dim * dim + 2 * dim * (dim / heads * kv_heads) + 3 * dim * hidden;
        let angles = if self.old { dim / heads * length } else { 0 };
        let embeddings = if self.shared { 1 } else { 2 };
        embeddings * vocab * dim + layers * layer + dim + angles
    }

    fn config(&self) -> Result<ModelConfig> {
        let [hidden_size, intermediate_size, num_hidden_layers, heads, kv_heads, vocab_size, length] =
            self.sizes;
        let config = ModelConfig {
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim: hidden_size / heads,
            max_position_embeddings: length,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: RopeScaling::Default,
            attention_bias: false,
            attention_output_bias: false,
            attention_dropout: 0.0,
            dropout: 0.0,
            untrained: serde_json::Map::new(),
            qk_norm: false,
            sliding_window: None,
            diffusion: None,
            experts: None,
            tie_word_embeddings: self.shared,
            initializer_range: 0.02,
            embedding_range: 0.02,
            bos_token_id: Some(1),
            eos_token_ids: vec![2],
            pad_token_id: None,
            generation: serde_json::Map::new(),
        };
        config.validate()?;
        Ok(config)
    }

    /// Names and shapes in the order of the file; what has no name is skipped.
    fn parts(&self) -> Vec<(String, Vec<usize>)> {
        let [dim, hidden, layers, heads, kv_heads, vocab, length] = self.sizes;
        let kv = dim / heads * kv_heads;
        let each = |part: &str, shape: &[usize]| -> Vec<_> {
            (0..layers).map(|layer| (format!("model.layers.{layer}.{part}.weight"), shape.to_vec())).collect()
        };
        let one = |name: &str, shape: &[usize]| vec![(name.to_string(), shape.to_vec())];
        let embedding = one("model.embed_tokens.weight", &[vocab, dim]);
        let (norm, angles) = (one("model.norm.weight", &[dim]), one("", &[length, dim / heads]));
        let attention_norm = each("input_layernorm", &[dim]);
        let ffn_norm = each("post_attention_layernorm", &[dim]);
        let attention = [
            each("self_attn.q_proj", &[dim, dim]),
            each("self_attn.k_proj", &[kv, dim]),
            each("self_attn.v_proj", &[kv, dim]),
            each("self_attn.o_proj", &[dim, dim]),
        ]
        .concat();
        let ffn = [
            each("mlp.gate_proj", &[hidden, dim]),
            each("mlp.down_proj", &[dim, hidden]),
            each("mlp.up_proj", &[hidden, dim]),
        ]
        .concat();
        let head = if self.shared { Vec::new() } else { one("lm_head.weight", &[vocab, dim]) };
        if self.old {
            [embedding, attention_norm, attention, ffn_norm, ffn, norm, angles, head].concat()
        } else {
            [attention_norm, ffn_norm, norm, embedding, attention, ffn, head].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::TensorFile;

    /// dim 4, hidden 2, 2 layers, 2 heads, 1 key head, 3 pieces, length 5: weights are counted upwards.
    const SIZES: [i32; 7] = [4, 2, 2, 2, 1, 3, 5];
    const WEIGHTS: usize = 12 + 2 * (4 + 16 + 8 + 8 + 16 + 4 + 3 * 8) + 4;

    fn file(version: i32, sizes: [i32; 7], shared: bool, floats: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        if version > 0 {
            bytes.splice(..0, [MAGIC.to_le_bytes(), version.to_le_bytes()].concat());
            bytes.push(u8::from(shared));
            bytes.resize(256, 0);
        }
        bytes.extend((0..floats).flat_map(|i| (i as f32).to_le_bytes()));
        bytes
    }

    fn read(files: &Files, name: &str, shape: &[usize]) -> Vec<f32> {
        let weights = TensorFile::open("x", files["model.safetensors"].clone()).unwrap();
        weights.read(name, shape).unwrap()
    }

    fn refused(bytes: &[u8]) -> String {
        from_llama2c(bytes).unwrap_err().to_string()
    }

    #[test]
    fn both_versions_are_read_in_their_order_and_queries_are_turned() {
        let old = from_llama2c(&file(0, SIZES, true, WEIGHTS + 10)).unwrap();
        let new = from_llama2c(&file(1, SIZES, true, WEIGHTS)).unwrap();
        assert!(old["config.json"] == new["config.json"]);
        let config = ModelConfig::from_hugging_face(&old["config.json"]).unwrap();
        assert_eq!(
            (config.head_dim, config.max_position_embeddings, config.tie_word_embeddings),
            (2, 5, true)
        );
        assert_eq!(read(&old, "model.embed_tokens.weight", &[3, 4])[..2], [0.0, 1.0]);
        assert_eq!(read(&old, "model.layers.1.input_layernorm.weight", &[4])[0], 16.0);
        assert_eq!(read(&old, "model.norm.weight", &[4])[0], (WEIGHTS - 4) as f32);
        assert_eq!(read(&new, "model.layers.0.input_layernorm.weight", &[4])[0], 0.0);
        assert_eq!(read(&new, "model.norm.weight", &[4])[0], 16.0);
        assert_eq!(read(&new, "model.embed_tokens.weight", &[3, 4])[0], 20.0);
        // Heads of 2 rows stay as they are; of one head of 4 rows the even ones come first.
        assert_eq!(read(&old, "model.layers.0.self_attn.q_proj.weight", &[4, 4])[4], 24.0);
        let one_head = from_llama2c(&file(1, [4, 2, 1, 1, 1, 3, 5], true, 12 + 4 + 8 + 64 + 24)).unwrap();
        let queries = read(&one_head, "model.layers.0.self_attn.q_proj.weight", &[4, 4]);
        assert_eq!(queries.chunks(4).map(|row| row[0]).collect::<Vec<_>>(), [24.0, 32.0, 28.0, 36.0]);
    }

    #[test]
    fn a_head_of_its_own_is_kept() {
        let sizes = [4, 2, 2, 2, 1, -3, 5];
        let old = from_llama2c(&file(0, sizes, false, WEIGHTS + 10 + 12)).unwrap();
        assert_eq!(read(&old, "lm_head.weight", &[3, 4])[0], (WEIGHTS + 10) as f32);
        let new = from_llama2c(&file(1, SIZES, false, WEIGHTS + 12)).unwrap();
        assert_eq!(read(&new, "lm_head.weight", &[3, 4])[0], WEIGHTS as f32);
    }

    #[test]
    fn other_and_damaged_files_are_refused_by_their_sizes() {
        assert!(refused(&file(2, SIZES, true, WEIGHTS)).contains("of version 2; versions 0 and 1"));
        assert!(refused(&file(1, SIZES, true, WEIGHTS - 1)).contains("is cut off or another kind of file"));
        assert!(refused(&file(0, SIZES, true, WEIGHTS)).contains("is cut off or another kind of file"));
        for sizes in
            [[0; 7], [4, 2, 2, 3, 1, 3, 5], [4, 2, 2, 2, 0, 3, 5], [4, -2, 2, 2, 1, 3, 5], [i32::MIN; 7]]
        {
            assert!(refused(&file(0, sizes, true, 9)).contains("no llama2.c checkpoint"), "{sizes:?}");
        }
        assert!(refused(&file(0, [i32::MAX; 7], true, 9)).contains("is cut off"));
        let whole = file(1, SIZES, true, WEIGHTS);
        (0..whole.len()).for_each(|length| drop(refused(&whole[..length])));
    }
}
