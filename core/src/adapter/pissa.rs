//! PiSSA (Meng et al., 2024, <https://arxiv.org/abs/2404.02948>): an adapter that begins as the leading part of each weight.
//!
//! There `W = (W − s·B₀A₀) + s·B₀A₀`, and `A` and `B` train from `A₀` and `B₀` on. Here the base stays as it is, and a second
//! path, which does not train, takes `s·B₀A₀` away. What is saved is one plain LoRA of both, of twice the rank, as PEFT
//! converts it: `[A; A₀]` and `[B, −B₀]`, which needs the unchanged base alone.

use super::names::{of_start, path};
use super::svd::{self, Svd};
use super::{Adapter, AdapterConfig, LoraConfig, LoraInit};
use crate::error::{Error, Result};
use crate::model::{NamedTensor, Transformer, stream_of};
use crate::platform::{map_in_threads, threads};
use crate::random::Random;
use crate::told::{Told, told};

impl Adapter {
    /// With the leading singular vectors of each weight as both halves, each times the root of its value over the scale:
    /// `s·B·A` is the best of its rank.
    pub(super) async fn with_leading_parts(mut self, base: &Transformer, seed: u64) -> Result<Self> {
        let matcher = self.config.lora.matcher()?;
        let layers = self.adapted_weights(base).await?;
        let is_narrow = |(layer, weight): &&(String, NamedTensor)| {
            weight.shape.iter().any(|&side| side < matcher.rank(layer))
        };
        if let Some((layer, weight)) = layers.iter().find(is_narrow) {
            return Err(Error::Config(vec![told!(
                "pissa.rank",
                "--init-lora pissa takes the leading part of each weight, and that of '{layer}' is {shape}: --lora-rank is {rank}, \
                 and can be {most} at most",
                layer,
                shape = format!("{:?}", weight.shape),
                rank = matcher.rank(layer),
                most = weight.shape.iter().min().copied().unwrap_or_default()
            )]));
        }
        let jobs: Vec<_> = layers
            .into_iter()
            .map(|(layer, weight)| {
                let (rank, scale) = (matcher.rank(&layer), matcher.scale(&layer));
                (layer, weight, rank, scale)
            })
            .collect();
        let halves = in_groups(jobs, |(layer, weight, rank, scale)| {
            let mut random = Random::new(seed, stream_of(&path(&layer, 'b')));
            leading_halves(&layer, &weight, rank, scale, &mut random)
        });
        self.weights = halves.into_iter().flatten().collect();
        self.start = self.weights.clone();
        Ok(self)
    }

    /// The plain LoRA that does the same beside the unchanged base: of twice the rank, and of the same scale.
    pub(crate) fn converted(&self) -> Self {
        let joined = self.weights.iter().map(|tensor| {
            let start = self.start.iter().find(|start| start.name == tensor.name);
            start.map_or_else(|| tensor.clone(), |start| join(tensor, start))
        });
        let lora = &self.config.lora;
        let factor = if lora.rslora { 2f64.sqrt() } else { 2.0 };
        let lora = LoraConfig {
            rank: 2 * lora.rank,
            alpha: lora.alpha * factor,
            init_lora: LoraInit::Default,
            ..lora.clone()
        };
        Self::new(AdapterConfig { lora, ..self.config.clone() }, joined.collect())
    }

    /// The other way, of an adapter that [`Self::converted`] gave of one with this alpha: what goes on training.
    ///
    /// # Errors
    /// A rank that is not twice another one.
    pub(crate) fn parted(self, alpha: f64) -> Result<Self> {
        let rank = self.config.lora.rank / 2;
        let lora = LoraConfig { rank, alpha, init_lora: LoraInit::Pissa, ..self.config.lora.clone() };
        let mut weights = Vec::new();
        for tensor in self.weights {
            match halved(&tensor, rank) {
                Some([trained, start]) => weights.extend([trained, start]),
                None if tensor.name.contains(".lora.") => {
                    return Err(Error::Checkpoint(not_twice(&tensor, 2 * rank)));
                }
                None => weights.push(tensor),
            }
        }
        let config = AdapterConfig { lora, ..self.config };
        Ok(Self { copies: self.copies, ..Self::new(config, weights) })
    }
}

fn not_twice(tensor: &NamedTensor, rank: usize) -> Told {
    told!(
        "pissa.halves",
        "the adapter says that it began as PiSSA, as two of half its rank ({rank}), and {name} has the shape {shape}; \
         settings and weights are of two adapters: take both files from one save",
        rank,
        name = tensor.name,
        shape = format!("{:?}", tensor.shape)
    )
}

/// More jobs than threads, as many at once as there are.
pub(super) fn in_groups<T: Send, R: Send>(jobs: Vec<T>, f: impl Fn(T) -> R + Sync) -> Vec<R> {
    let count = threads().max(1);
    let (mut jobs, mut done) = (jobs.into_iter(), Vec::new());
    loop {
        let group: Vec<T> = jobs.by_ref().take(count).collect();
        if group.is_empty() {
            return done;
        }
        done.extend(map_in_threads(group, &f));
    }
}

fn leading_halves(
    layer: &str,
    weight: &NamedTensor,
    rank: usize,
    scale: f64,
    random: &mut Random,
) -> [NamedTensor; 2] {
    let svd = svd::leading(&weight.values, weight.shape[0], rank, random);
    halves_of(layer, &svd, [weight.shape[0], weight.shape[1]], scale)
}

/// Both halves of a layer of so many outputs and inputs, whose product times the scale is what the values and vectors make up.
pub(super) fn halves_of(
    layer: &str,
    svd: &Svd,
    [outputs, inputs]: [usize; 2],
    scale: f64,
) -> [NamedTensor; 2] {
    let rank = svd.values.len();
    let roots: Vec<f64> = svd.values.iter().map(|value| (value / scale).sqrt()).collect();
    let a =
        svd.right.iter().zip(&roots).flat_map(|(vector, root)| vector.iter().map(move |x| (x * root) as f32));
    let b = (0..outputs)
        .flat_map(|out| svd.left.iter().zip(&roots).map(move |(vector, root)| (vector[out] * root) as f32));
    [
        NamedTensor { name: path(layer, 'a'), shape: vec![rank, inputs], values: a.collect() },
        NamedTensor { name: path(layer, 'b'), shape: vec![outputs, rank], values: b.collect() },
    ]
}

/// `[A; A₀]`, or `[B, −B₀]`.
fn join(trained: &NamedTensor, start: &NamedTensor) -> NamedTensor {
    let [rows, columns] = [trained.shape[0], trained.shape[1]];
    if trained.name.ends_with(".a") {
        let values = [trained.values.as_slice(), &start.values].concat();
        return NamedTensor { name: trained.name.clone(), shape: vec![2 * rows, columns], values };
    }
    let pairs = trained.values.chunks_exact(columns).zip(start.values.chunks_exact(columns));
    let values = pairs.flat_map(|(own, start)| own.iter().copied().chain(start.iter().map(|x| -x))).collect();
    NamedTensor { name: trained.name.clone(), shape: vec![rows, 2 * columns], values }
}

/// Takes a half apart again; `None` where it is not one of twice the rank.
fn halved(tensor: &NamedTensor, rank: usize) -> Option<[NamedTensor; 2]> {
    let start = of_start(&tensor.name);
    let &[rows, columns] = tensor.shape.as_slice() else { return None };
    let named = |name: &str, shape: [usize; 2], values: Vec<f32>| NamedTensor {
        name: name.to_string(),
        shape: shape.to_vec(),
        values,
    };
    if tensor.name.ends_with(&path("", 'a')) {
        let (own, began) = (rows == 2 * rank).then(|| tensor.values.split_at(tensor.values.len() / 2))?;
        let shape = [rank, columns];
        return Some([named(&tensor.name, shape, own.to_vec()), named(&start, shape, began.to_vec())]);
    }
    let is_b = tensor.name.ends_with(&path("", 'b'));
    (is_b && rank > 0 && columns == 2 * rank).then(|| {
        let rows_of = |values: &dyn Fn(&[f32]) -> Vec<f32>| -> Vec<f32> {
            tensor.values.chunks_exact(columns).flat_map(values).collect()
        };
        let own = rows_of(&|row| row[..rank].to_vec());
        let began = rows_of(&|row| row[rank..].iter().map(|x| -x).collect());
        [named(&tensor.name, [rows, rank], own), named(&start, [rows, rank], began)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q0: &str = "model.layers.0.self_attn.q_proj";

    fn tensor(name: String, shape: [usize; 2], values: &[f32]) -> NamedTensor {
        NamedTensor { name, shape: shape.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn it_is_saved_as_both_side_by_side_and_comes_apart_again() {
        let lora = LoraConfig {
            rank: 1,
            alpha: 0.3,
            targets: vec!["q_proj".into()],
            init_lora: LoraInit::Pissa,
            ..LoraConfig::default()
        };
        for rslora in [false, true] {
            let config =
                AdapterConfig { lora: LoraConfig { rslora, ..lora.clone() }, base: None, base_name: None };
            let begun = |half: char| of_start(&path(Q0, half));
            let weights = vec![
                tensor(path(Q0, 'a'), [1, 3], &[1.0, 2.0, 3.0]),
                tensor(path(Q0, 'b'), [2, 1], &[4.0, 5.0]),
                tensor(begun('a'), [1, 3], &[6.0, 7.0, 8.0]),
                tensor(begun('b'), [2, 1], &[9.0, 10.0]),
            ];
            let adapter = Adapter::new(config, weights);
            assert_eq!((adapter.weights.len(), adapter.start.len()), (2, 2));
            let plain = adapter.converted();
            assert_eq!(plain.weights[0].values, [1.0, 2.0, 3.0, 6.0, 7.0, 8.0]);
            assert_eq!(plain.weights[1].values, [4.0, -9.0, 5.0, -10.0]);
            assert_eq!((&plain.weights[1].shape, plain.config.lora.rank), (&vec![2, 2], 2));
            let scale = |adapter: &Adapter| adapter.config.lora.matcher().unwrap().scale(Q0);
            assert!((scale(&plain) - scale(&adapter)).abs() < 1e-15);
            plain.check().unwrap();
            assert_eq!(plain.parted(0.3).unwrap(), adapter);
        }
    }

    #[test]
    fn halves_are_the_leading_part() {
        // diag(8, 2) = 8·e₀e₀ᵀ + …: with a scale of 2 both halves are ±2·e₀.
        let weight = tensor("w".into(), [2, 2], &[8.0, 0.0, 0.0, 2.0]);
        let [a, b] = leading_halves(Q0, &weight, 1, 2.0, &mut Random::new(1, 0));
        assert_eq!((a.values[0].abs(), a.values[1].abs()), (2.0, 0.0));
        assert_eq!(a.values, b.values);
        assert_eq!((a.shape, b.shape), (vec![1, 2], vec![2, 1]));
    }
}
