//! Adapters of one base averaged: the mean of what each adds to the base's weights, which the product of the halves' means is
//! not.
//!
//! `Σ wᵢ·sᵢ·Bᵢ·Aᵢ = [B₁ … Bₙ]·[w₁s₁·A₁; …; wₙsₙ·Aₙ]`: a path of the summed rank and of scale 1 is exactly the mean, as PEFT's
//! `add_weighted_adapter` with `combination_type="cat"` has it. Cut to a rank, it is the best of that (Eckart & Young, 1936).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::lora::no_start;
use super::names::path;
use super::pissa::{halves_of, in_groups};
use super::whole::{Pair, Pairs};
use super::{Adapter, AdapterConfig, AverageConfig, LoraInit, average_rules as rules, mean, svd};
use crate::error::{Error, Result};
use crate::model::{NamedTensor, stream_of};
use crate::random::Random;
use crate::told::{Told, told};

/// The mean of several adapters.
#[derive(Clone, Debug, PartialEq)]
pub struct Averaged {
    /// A plain LoRA.
    pub adapter: Adapter,
    /// What a person should know of how it came about.
    pub remarks: Vec<Told>,
    /// What was cut off; `None` where it is exact.
    pub cut: Option<Cut>,
}

/// What a smaller rank cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// The largest rank of an exact mean.
    pub from: usize,
    /// The rank now.
    pub rank: usize,
    /// The length of what was cut, of all layers together, as a share of the length of the whole.
    pub error: f64,
    /// The layer of which most was cut, and its share.
    pub worst: (String, f64),
}

/// The paths of one layer, one an adapter that has one, each with its share.
type Parts<'a> = Vec<(f64, Pair<'a>)>;

impl Adapter {
    /// The weighted mean of adapters of one base, each with what it is called.
    ///
    /// # Errors
    /// Settings that do not hold; adapters of different bases or shapes, with DoRA, with whole modules that not all have, or
    /// with values that are no numbers, by name.
    pub fn average(adapters: &[(String, Self)], config: &AverageConfig) -> Result<Averaged> {
        let problems = config.problems(adapters.len());
        if !problems.is_empty() {
            return Err(Error::Config(problems));
        }
        let shares = config.shares(adapters.len());
        adapters.iter().try_for_each(|(name, adapter)| rules::refuse_alone(name, adapter))?;
        let mut remarks = Vec::new();
        let (base, base_name) = rules::same_base(adapters, &mut remarks)?;
        let plain = adapters.iter().map(|(_, adapter)| plain(adapter)).collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = adapters.iter().map(|(name, _)| name.as_str()).collect();
        let layers = by_layer(&names, &plain, &shares)?;
        rules::tell_missing(&names, &plain, &layers.keys().copied().collect::<Vec<_>>(), &mut remarks);
        let ranks: BTreeMap<&str, usize> = layers
            .iter()
            .map(|(layer, parts)| (*layer, parts.iter().map(|(_, pair)| pair.rank).sum()))
            .collect();
        let (halves, cut) = match config.rank.filter(|rank| ranks.values().any(|own| own > rank)) {
            None => (layers.iter().flat_map(|(layer, parts)| joined(layer, parts)).collect(), None),
            Some(rank) => cut_to(rank, &layers),
        };
        if let (Some(rank), None) = (config.rank, &cut) {
            remarks.push(told!(
                "average.nothing_cut",
                "nothing was cut: the mean is of rank {own} at most, and --rank is {rank}",
                own = ranks.values().max().copied().unwrap_or_default(),
                rank
            ));
        }
        let mut weights: Vec<NamedTensor> = halves;
        weights.extend(mean::of_modules(&names, &plain, &shares)?);
        let ranks =
            ranks.into_iter().map(|(layer, own)| (layer, config.rank.map_or(own, |most| own.min(most))));
        let lora = rules::settings(&plain, &ranks.collect());
        let adapter = Self::new(AdapterConfig { lora, base, base_name }, weights);
        adapter.check()?;
        Ok(Averaged { adapter, remarks, cut })
    }
}

/// The adapter as a plain one, whatever it began as.
fn plain(adapter: &Adapter) -> Result<Cow<'_, Adapter>> {
    match (adapter.starts_elsewhere(), adapter.config.lora.init_lora) {
        (true, _) => Ok(Cow::Owned(adapter.converted())),
        (false, LoraInit::Pissa) => Err(no_start()),
        (false, LoraInit::Default) => Ok(Cow::Borrowed(adapter)),
    }
}

/// The paths of all adapters by their layers.
fn by_layer<'a>(
    names: &[&str],
    adapters: &'a [Cow<'_, Adapter>],
    shares: &[f64],
) -> Result<BTreeMap<&'a str, Parts<'a>>> {
    let mut layers: BTreeMap<&str, Parts> = BTreeMap::new();
    for ((name, adapter), share) in names.iter().zip(adapters).zip(shares) {
        for (layer, pair) in Pairs::of(&adapter.config.lora, &adapter.weights)?.into_all() {
            let parts = layers.entry(layer).or_default();
            if let Some((_, first)) = parts.first() {
                rules::same_shape(layer, name, first, &pair)?;
            }
            parts.push((*share, pair));
        }
    }
    Ok(layers)
}

/// `[w₁s₁·A₁; …]` and `[B₁ …]` of one layer.
fn joined(layer: &str, parts: &Parts) -> [NamedTensor; 2] {
    let rank: usize = parts.iter().map(|(_, pair)| pair.rank).sum();
    let (inputs, outputs) = parts.first().map_or((0, 0), |(_, pair)| (pair.a.shape[1], pair.b.shape[0]));
    let a = parts.iter().flat_map(|(share, pair)| {
        let factor = share * pair.scale;
        pair.a.values.iter().map(move |&x| (f64::from(x) * factor) as f32)
    });
    let mut b = Vec::with_capacity(outputs * rank);
    for row in 0..outputs {
        for (_, pair) in parts {
            b.extend_from_slice(&pair.b.values[row * pair.rank..(row + 1) * pair.rank]);
        }
    }
    [
        NamedTensor { name: path(layer, 'a'), shape: vec![rank, inputs], values: a.collect() },
        NamedTensor { name: path(layer, 'b'), shape: vec![outputs, rank], values: b },
    ]
}

/// A layer that was cut.
struct CutLayer<'a> {
    name: &'a str,
    halves: [NamedTensor; 2],
    /// The length of what was cut, and of the whole.
    beyond: f64,
    length: f64,
}

impl CutLayer<'_> {
    fn error(&self) -> f64 {
        share(self.beyond, self.length)
    }
}

fn share(beyond: f64, length: f64) -> f64 {
    if length > 0.0 { beyond / length } else { 0.0 }
}

/// The best halves of a rank for each layer, and what that cost.
fn cut_to(rank: usize, layers: &BTreeMap<&str, Parts>) -> (Vec<NamedTensor>, Option<Cut>) {
    let jobs: Vec<_> = layers.iter().map(|(layer, parts)| (*layer, joined(layer, parts))).collect();
    let from = jobs.iter().map(|(_, [a, _])| a.shape[0]).max().unwrap_or_default();
    let done = in_groups(jobs, |(name, [a, b])| {
        let own = a.shape[0];
        // Noise decides nothing but which way a search begins, so that the same adapters give the same mean.
        let mut random = Random::new(0, stream_of(&a.name));
        let found = svd::of_product(&b.values, &a.values, own, rank.min(own), &mut random);
        let halves = halves_of(name, &found.svd, [b.shape[0], a.shape[1]], 1.0);
        CutLayer { name, halves, beyond: found.beyond, length: found.length }
    });
    let sum = |of: fn(&CutLayer) -> f64| done.iter().map(|layer| of(layer).powi(2)).sum::<f64>().sqrt();
    let error = share(sum(|layer| layer.beyond), sum(|layer| layer.length));
    let worst = done.iter().max_by(|one, other| one.error().total_cmp(&other.error()));
    let worst = worst.map(|layer| (layer.name.to_string(), layer.error())).unwrap_or_default();
    (done.into_iter().flat_map(|layer| layer.halves).collect(), Some(Cut { from, rank, error, worst }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{Fingerprint, LoraConfig, module_path};

    const Q0: &str = "model.layers.0.self_attn.q_proj";
    const V1: &str = "model.layers.1.self_attn.v_proj";

    fn tensor(name: String, shape: [usize; 2], values: &[f32]) -> NamedTensor {
        NamedTensor { name, shape: shape.to_vec(), values: values.to_vec() }
    }

    /// Rank 1 beside a layer of two inputs and two outputs.
    fn adapter(layer: &str, a: [f32; 2], b: [f32; 2], alpha: f64) -> Adapter {
        let target = layer.rsplit('.').next().unwrap().to_string();
        let lora = LoraConfig { rank: 1, alpha, targets: vec![target], ..LoraConfig::default() };
        let weights = vec![tensor(path(layer, 'a'), [1, 2], &a), tensor(path(layer, 'b'), [2, 1], &b)];
        Adapter::new(AdapterConfig { lora, base: None, base_name: Some("base".into()) }, weights)
    }

    fn named(adapters: Vec<Adapter>) -> Vec<(String, Adapter)> {
        let names = ["one", "two", "three"].map(String::from);
        names.into_iter().zip(adapters).collect()
    }

    /// What the adapter adds to a layer's weights, row by row.
    fn product(adapter: &Adapter, layer: &str) -> Vec<f64> {
        let pairs = Pairs::of(&adapter.config.lora, &adapter.weights).unwrap();
        let (_, pair) = pairs.into_all().find(|(name, _)| *name == layer).unwrap();
        let (inputs, outputs) = (pair.a.shape[1], pair.b.shape[0]);
        let at = |row: usize, column: usize| -> f64 {
            let b = &pair.b.values[row * pair.rank..];
            let sum = (0..pair.rank).map(|k| f64::from(b[k]) * f64::from(pair.a.values[k * inputs + column]));
            sum.sum::<f64>() * pair.scale
        };
        (0..outputs)
            .flat_map(|row| (0..inputs).map(move |column| (row, column)))
            .map(|(r, c)| at(r, c))
            .collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn the_mean_of_products_by_hand() {
        // 2·[1 0; 0 0] and [0 0; 0 1]: their mean is [1 0; 0 ½], that of the halves apart would be ¾·[½ ½; ½ ½].
        let two =
            named(vec![adapter(Q0, [1.0, 0.0], [1.0, 0.0], 2.0), adapter(Q0, [0.0, 1.0], [0.0, 1.0], 1.0)]);
        let mean = Adapter::average(&two, &AverageConfig::default()).unwrap();
        close(&product(&mean.adapter, Q0), &[1.0, 0.0, 0.0, 0.5]);
        let lora = &mean.adapter.config.lora;
        assert_eq!((lora.rank, lora.alpha, mean.cut, mean.remarks), (2, 2.0, None, Vec::new()));
        // One to three: ¼·2 and ¾.
        let config = AverageConfig { weights: vec![1.0, 3.0], rank: None };
        let mean = Adapter::average(&two, &config).unwrap();
        close(&product(&mean.adapter, Q0), &[0.5, 0.0, 0.0, 0.75]);
        assert_eq!(mean.adapter.config.base_name.as_deref(), Some("base"));
        // What is written opens as the same.
        let files = mean.adapter.files().unwrap();
        let again = Adapter::open(|name| Ok(files.get(name).cloned())).unwrap();
        assert_eq!(again.weights, mean.adapter.weights);
    }

    #[test]
    fn a_cut_mean_is_the_best_of_its_rank_and_says_what_was_lost() {
        // Of [1 0; 0 ½] the first part stays; ½ of √1¼ is lost.
        let two =
            named(vec![adapter(Q0, [1.0, 0.0], [1.0, 0.0], 2.0), adapter(Q0, [0.0, 1.0], [0.0, 1.0], 1.0)]);
        let cut = |rank: usize| {
            Adapter::average(&two, &AverageConfig { rank: Some(rank), ..AverageConfig::default() })
        };
        let mean = cut(1).unwrap();
        close(&product(&mean.adapter, Q0), &[1.0, 0.0, 0.0, 0.0]);
        let Cut { from, rank, error, worst } = mean.cut.unwrap();
        assert_eq!((from, rank, worst.0.as_str()), (2, 1, Q0));
        assert!((error - 0.2f64.sqrt()).abs() < 1e-6 && (worst.1 - error).abs() < 1e-12, "{error}");
        assert_eq!(mean.adapter.config.lora.rank, 1);
        let whole = cut(2).unwrap();
        close(&product(&whole.adapter, Q0), &[1.0, 0.0, 0.0, 0.5]);
        assert!(whole.cut.is_none() && whole.remarks[0].contains("nothing was cut"), "{:?}", whole.remarks);
    }

    #[test]
    fn a_layer_that_one_lacks_counts_as_unchanged_and_is_told() {
        let two =
            named(vec![adapter(Q0, [2.0, 0.0], [1.0, 1.0], 1.0), adapter(V1, [0.0, 4.0], [1.0, 0.0], 1.0)]);
        let mean = Adapter::average(&two, &AverageConfig::default()).unwrap();
        close(&product(&mean.adapter, Q0), &[1.0, 0.0, 1.0, 0.0]);
        close(&product(&mean.adapter, V1), &[0.0, 2.0, 0.0, 0.0]);
        let told: Vec<String> = mean.remarks.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("'one'") && told[0].contains("v_proj in block 1"), "{told:?}");
        assert!(told[1].contains("'two'") && told[1].contains("q_proj in block 0"), "{told:?}");
        assert_eq!(mean.adapter.config.lora.targets, ["q_proj", "v_proj"]);
    }

    #[test]
    fn what_has_no_mean_is_refused_by_name() {
        let plain = adapter(Q0, [1.0, 0.0], [1.0, 0.0], 1.0);
        let with = |change: fn(&mut Adapter)| {
            let mut other = plain.clone();
            change(&mut other);
            let adapters = named(vec![plain.clone(), other]);
            Adapter::average(&adapters, &AverageConfig::default()).unwrap_err().to_string()
        };
        let dora = with(|other| other.config.lora.dora = true);
        assert!(dora.contains("'two'") && dora.contains("DoRA") && dora.contains("kindling merge"), "{dora}");
        let shapes = with(|other| {
            other.weights[0] = tensor(path(Q0, 'a'), [1, 3], &[1.0; 3]);
        });
        assert!(shapes.contains("'two'") && shapes.contains(Q0) && shapes.contains("[2, 3]"), "{shapes}");
        let odd = with(|other| other.weights[0].values[1] = f32::NAN);
        assert!(odd.contains("'two'") && odd.contains("no number"), "{odd}");
        let module = with(|other| {
            other.config.lora.modules_to_save = vec!["lm_head".into()];
            other.weights.push(tensor(module_path("lm_head"), [2, 2], &[1.0; 4]));
        });
        assert!(module.contains("'lm_head'") && module.contains("'one'"), "{module}");
        let copies = with(|other| {
            let copy = NamedTensor { name: "lm_head.weight".into(), shape: vec![1], values: vec![1.0] };
            *other = other.clone().with_copies(vec![copy]);
        });
        assert!(copies.contains("'two'") && copies.contains("lm_head.weight"), "{copies}");
        for (weights, rank, part) in [
            (vec![1.0], None, "--weights has 1"),
            (vec![1.0, 0.0], None, "above 0"),
            (vec![1.0, f64::NAN], None, "above 0"),
            (Vec::new(), Some(0), "--rank is 0"),
        ] {
            let two = named(vec![plain.clone(), plain.clone()]);
            let told = Adapter::average(&two, &AverageConfig { weights, rank }).unwrap_err().to_string();
            assert!(told.contains(part), "{told}");
        }
        let one = named(vec![plain.clone()]);
        assert!(Adapter::average(&one, &AverageConfig::default()).unwrap_err().to_string().contains("two"));
    }

    #[test]
    fn different_bases_are_refused_and_what_is_known_by_name_alone_is_told() {
        let of = |base: Option<&str>, name: &str| {
            let mut adapter = adapter(Q0, [1.0, 0.0], [1.0, 0.0], 1.0);
            adapter.config.base = base.map(Fingerprint::from_hex);
            adapter.config.base_name = Some(name.into());
            adapter
        };
        let average = |adapters| Adapter::average(&named(adapters), &AverageConfig::default());
        let told = average(vec![of(Some("ab"), "x"), of(Some("cd"), "x")]).unwrap_err().to_string();
        for part in ["'one'", "'two'", "ab", "cd", "different bases"] {
            assert!(told.contains(part), "{told}");
        }
        let mean = average(vec![of(None, "x"), of(Some("ab"), "y"), of(Some("ab"), "y")]).unwrap();
        assert_eq!(mean.adapter.config.base.as_ref().map(Fingerprint::hex), Some("ab"));
        let told = mean.remarks[0].to_string();
        assert!(told.contains("'one'") && told.contains("x, y"), "{told}");
        assert!(average(vec![of(None, "x"), of(None, "x")]).unwrap().remarks.is_empty());
    }

    #[test]
    fn ranks_of_several_sizes_and_whole_modules_are_kept() {
        let mut wide = adapter(Q0, [1.0, 0.0], [1.0, 0.0], 1.0);
        wide.weights.extend(adapter(V1, [1.0, 0.0], [0.0, 1.0], 1.0).weights);
        wide.config.lora.targets = vec!["q_proj".into(), "v_proj".into()];
        let narrow = adapter(Q0, [0.0, 1.0], [0.0, 1.0], 1.0);
        let whole = |mut adapter: Adapter, value: f32| {
            adapter.config.lora.modules_to_save = vec!["embed_tokens".into()];
            adapter.weights.push(tensor(module_path("embed_tokens"), [1, 2], &[value, 0.1]));
            adapter
        };
        let two = named(vec![whole(wide, 1.0), whole(narrow, 4.0)]);
        let config = AverageConfig { weights: vec![2.0, 1.0], rank: None };
        let mean = Adapter::average(&two, &config).unwrap().adapter;
        let ranks: Vec<_> =
            mean.weights.iter().filter(|w| w.name.ends_with(".a")).map(|w| w.shape[0]).collect();
        assert_eq!((mean.config.lora.rank, ranks), (2, vec![2, 1]));
        close(&product(&mean, V1), &[0.0, 0.0, 2.0 / 3.0, 0.0]);
        // (2·1 + 4) / 3, and what is equal stays as it is to the last bit.
        let embedding = mean.weights.iter().find(|w| w.name == module_path("embed_tokens")).unwrap();
        assert_eq!(embedding.values, [2.0, 0.1]);
    }
}
