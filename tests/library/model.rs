//! The model against slower and independent ways to compute the same.

use burn::tensor::{DType, Device};
use kindling::kernels::AttentionMask;
use kindling::model::{KvCache, ModelConfig, NamedTensor, Transformer};
use kindling::model::{frequencies, interleaved_to_half};

use crate::tiny::{config, ids, largest_difference, logits, model, values};

#[test]
fn cached_logits_equal_uncached_ones_in_any_chunks() {
    let device = Device::flex();
    let model = model(&device);
    let row = [1, 5, 9, 2, 7, 30, 4, 4, 11];
    let whole = logits(&model, &row);
    for chunks in [vec![9], vec![1; 9], vec![4, 5], vec![3, 1, 5]] {
        let mut cache = KvCache::new(model.config(), 1, 16);
        let mut found = Vec::new();
        let mut start = 0;
        for chunk in chunks {
            let tokens = ids(&[&row[start..start + chunk]], &device);
            found.extend(values(model.forward_cached(tokens, &mut cache, 0..1, false)));
            start += chunk;
        }
        assert!(largest_difference(&whole, &found) < 1e-5);
    }
}

#[test]
fn a_truncated_cache_goes_on_as_if_the_rest_had_never_been() {
    let device = Device::flex();
    let model = model(&device);
    let mut cache = KvCache::new(model.config(), 1, 16);
    model.forward_cached(ids(&[&[1, 2, 3, 4, 5]], &device), &mut cache, 0..1, true);
    cache.truncate(0, 2);
    let found = values(model.forward_cached(ids(&[&[9]], &device), &mut cache, 0..1, true));
    let whole = logits(&model, &[1, 2, 9]);
    assert!(largest_difference(&whole[64..], &found) < 1e-5);
}

#[test]
fn sequences_at_different_positions_compute_as_if_alone() {
    let device = Device::flex();
    let model = model(&device);
    let texts: [&[i32]; 3] = [&[1, 5, 9, 2, 7], &[30], &[4, 4, 11]];
    let mut cache = KvCache::new(model.config(), 3, 16);
    for (row, text) in texts.iter().enumerate() {
        model.forward_cached(ids(&[text], &device), &mut cache, row..row + 1, true);
    }
    let next = ids(&[&[8, 3], &[8, 3], &[6, 6]], &device);
    let found = values(model.forward_cached(next, &mut cache, 0..3, true));
    let alone = [&[1, 5, 9, 2, 7, 8, 3][..], &[30, 8, 3], &[4, 4, 11, 6, 6]];
    let last = |text: &[i32]| logits(&model, text)[(text.len() - 1) * 32..].to_vec();
    assert!(largest_difference(&found, &alone.map(last).concat()) < 1e-5);
    // The middle one leaves, the others change places.
    cache.keep(&[2, 0]);
    let found = values(model.forward_cached(ids(&[&[9], &[10]], &device), &mut cache, 0..2, true));
    let alone = [last(&[4, 4, 11, 6, 6, 9]), last(&[1, 5, 9, 2, 7, 8, 3, 10])].concat();
    assert!(largest_difference(&found, &alone) < 1e-5);
}

#[test]
fn a_causal_model_does_not_see_what_comes() {
    let device = Device::flex();
    let model = model(&device);
    let (a, b) = (logits(&model, &[1, 2, 3, 4]), logits(&model, &[1, 2, 3, 9]));
    assert_eq!(a[..96], b[..96]);
    let both_ways =
        |row: &[i32]| values(model.forward(ids(&[row], &device), &AttentionMask::bidirectional()));
    let (a, b) = (both_ways(&[1, 2, 3, 4]), both_ways(&[1, 2, 3, 9]));
    assert!(largest_difference(&a[..32], &b[..32]) > 1e-3);
}

#[test]
fn packed_documents_compute_as_if_alone() {
    let device = Device::flex();
    let model = model(&device);
    let mask = AttentionMask::segments(&[1, 1, 1, 2, 2], 5, true);
    let packed = values(model.forward(ids(&[&[4, 8, 15, 16, 23]], &device), &mask));
    let alone = [logits(&model, &[4, 8, 15]), logits(&model, &[16, 23])].concat();
    assert!(largest_difference(&packed, &alone) < 1e-5);
}

#[test]
fn padding_changes_nothing_in_a_bidirectional_model() {
    let device = Device::flex();
    let model = model(&device);
    let mask = AttentionMask::segments(&[1, 1, 1, 0, 0], 5, false);
    let padded = values(model.forward(ids(&[&[4, 8, 15, 0, 0]], &device), &mask));
    let alone = values(model.forward(ids(&[&[4, 8, 15]], &device), &AttentionMask::bidirectional()));
    assert!(largest_difference(&padded[..96], &alone) < 1e-5);
    assert!(padded.iter().all(|x| x.is_finite()));
}

#[test]
fn a_fresh_model_knows_nothing() {
    let device = Device::flex();
    let mut config = config(512);
    (config.initializer_range, config.embedding_range) = (0.02, 0.02);
    let model = Transformer::init(&config, 1, &device).unwrap();
    let row: Vec<i32> = (0..64).map(|i| (i * 37) % 512).collect();
    let logits = logits(&model, &row);
    let nll: f64 =
        row[1..].iter().enumerate().map(|(i, &next)| -log_prob(&logits[i * 512..][..512], next)).sum();
    assert!((nll / 63.0 - 512f64.ln()).abs() < 0.05, "{}", nll / 63.0);
}

fn log_prob(logits: &[f32], id: i32) -> f64 {
    let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
    f64::from(logits[id as usize]) - sum.ln()
}

#[test]
fn weights_read_back_build_the_same_model() {
    let device = Device::flex();
    for (qk_norm, attention_bias, tied) in [(false, false, true), (true, true, false)] {
        let config = ModelConfig {
            qk_norm,
            attention_bias,
            attention_output_bias: attention_bias,
            tie_word_embeddings: tied,
            ..config(32)
        };
        let model = Transformer::init(&config, 5, &device).unwrap();
        let weights = pollster::block_on(model.weights()).unwrap();
        let count: usize = weights.iter().map(|weight| weight.values.len()).sum();
        assert_eq!(count as u64, config.parameters());
        let copy = Transformer::build(&config, &device, &mut |name, shape| {
            let weight = weights.iter().find(|weight| weight.name == name).unwrap();
            assert_eq!(weight.shape, shape, "{name}");
            Ok(weight.values.clone())
        });
        assert_eq!(logits(&model, &[3, 1, 4]), logits(&copy.unwrap(), &[3, 1, 4]));
    }
}

/// A plain-loop implementation from the formulas, in f64, with interleaved or half-split rotary pairs.
pub struct Reference<'a> {
    pub config: &'a ModelConfig,
    pub weights: &'a [NamedTensor],
    pub interleaved: bool,
}

impl Reference<'_> {
    fn weight(&self, name: &str) -> Vec<f64> {
        let weight =
            self.weights.iter().find(|weight| weight.name == name).unwrap_or_else(|| panic!("{name}"));
        weight.values.iter().map(|&x| f64::from(x)).collect()
    }

    /// `W·x` for `W [out, in]`.
    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        self.weight(name).chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + self.config.rms_norm_eps).sqrt();
        x.iter().zip(self.weight(name)).map(|(x, w)| x * scale * w).collect()
    }

    fn rotate(&self, head: &mut [f64], position: usize) {
        let half = head.len() / 2;
        for (i, w) in frequencies(head.len(), self.config.rope_theta).iter().enumerate() {
            let (a, b) = if self.interleaved { (2 * i, 2 * i + 1) } else { (i, i + half) };
            let (sin, cos) = (position as f64 * w).sin_cos();
            (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[b] * cos + head[a] * sin);
        }
    }

    /// Logits of every position, flat.
    pub fn logits(&self, ids: &[i32]) -> Vec<f32> {
        let (d, hd) = (self.config.hidden_size, self.config.head_dim);
        let table = self.weight("model.embed_tokens.weight");
        let mut stream: Vec<Vec<f64>> =
            ids.iter().map(|&id| table[id as usize * d..][..d].to_vec()).collect();
        for layer in 0..self.config.num_hidden_layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
            let normed: Vec<_> = stream.iter().map(|x| self.norm(&name("input_layernorm"), x)).collect();
            let project = |part: &str, turn: bool| -> Vec<Vec<f64>> {
                let rows = normed.iter().enumerate().map(|(position, x)| {
                    let mut y = self.linear(&name(part), x);
                    if turn {
                        y.chunks_mut(hd).for_each(|head| self.rotate(head, position));
                    }
                    y
                });
                rows.collect()
            };
            let (q, k) = (project("self_attn.q_proj", true), project("self_attn.k_proj", true));
            let v = project("self_attn.v_proj", false);
            for position in 0..ids.len() {
                let context = self.attend(&q[position], &k[..=position], &v);
                let attended = self.linear(&name("self_attn.o_proj"), &context);
                stream[position].iter_mut().zip(attended).for_each(|(x, y)| *x += y);
            }
            for x in &mut stream {
                let normed = self.norm(&name("post_attention_layernorm"), x);
                let gate = self.linear(&name("mlp.gate_proj"), &normed);
                let up = self.linear(&name("mlp.up_proj"), &normed);
                let inner: Vec<f64> = gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
                x.iter_mut().zip(self.linear(&name("mlp.down_proj"), &inner)).for_each(|(x, y)| *x += y);
            }
        }
        let rows = stream.iter().map(|x| self.norm("model.norm.weight", x));
        rows.flat_map(|x| self.linear("model.embed_tokens.weight", &x)).map(|x| x as f32).collect()
    }

    fn attend(&self, q: &[f64], k: &[Vec<f64>], v: &[Vec<f64>]) -> Vec<f64> {
        let hd = self.config.head_dim;
        let group = self.config.num_attention_heads / self.config.num_key_value_heads;
        let heads = q.chunks(hd).enumerate().map(|(head, q)| {
            let at = head / group * hd;
            let dot = |k: &Vec<f64>| q.iter().zip(&k[at..at + hd]).map(|(a, b)| a * b).sum::<f64>();
            let weights: Vec<f64> = k.iter().map(|k| (dot(k) / (hd as f64).sqrt()).exp()).collect();
            let sum: f64 = weights.iter().sum();
            (0..hd)
                .map(|i| weights.iter().zip(v).map(|(w, v)| w / sum * v[at + i]).sum())
                .collect::<Vec<f64>>()
        });
        heads.collect::<Vec<_>>().concat()
    }
}

#[test]
fn logits_equal_a_plain_loop_implementation() {
    let device = Device::flex();
    let model = model(&device);
    let weights = pollster::block_on(model.weights()).unwrap();
    let reference = Reference { config: model.config(), weights: &weights, interleaved: false };
    let row = [3, 14, 15, 9, 26, 5, 3];
    assert!(largest_difference(&logits(&model, &row), &reference.logits(&row)) < 1e-5);
}

#[test]
fn interleaved_weights_with_permuted_rows_give_the_same_logits() {
    let device = Device::flex();
    let model = model(&device);
    let config = model.config().clone();
    let weights = pollster::block_on(model.weights()).unwrap();
    let row = [3, 14, 15, 9, 26];
    let expected = Reference { config: &config, weights: &weights, interleaved: true }.logits(&row);
    let permuted = Transformer::build(&config, &device, &mut |name, shape| {
        let weight = weights.iter().find(|weight| weight.name == name).unwrap();
        if !name.ends_with("q_proj.weight") && !name.ends_with("k_proj.weight") {
            return Ok(weight.values.clone());
        }
        let order = interleaved_to_half(shape[0] / config.head_dim, config.head_dim);
        Ok(order.iter().flat_map(|&r| weight.values[r * shape[1]..][..shape[1]].to_vec()).collect())
    });
    assert!(largest_difference(&expected, &logits(&permuted.unwrap(), &row)) < 1e-5);
}

#[test]
fn half_precision_stays_near() {
    let device = Device::flex();
    let model = model(&device);
    let exact = logits(&model, &[1, 2, 3, 4]);
    let scale = exact.iter().fold(0f32, |a, x| a.max(x.abs()));
    for dtype in [DType::BF16, DType::F16] {
        let rounded = logits(&model.clone().with_dtype(dtype), &[1, 2, 3, 4]);
        assert!(largest_difference(&exact, &rounded) < 0.05 * scale, "{dtype:?}");
    }
}
