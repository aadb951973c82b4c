//! Whether an adapter is whole: every layer that it is for has both halves, of its rank, and nothing is left over.

use std::collections::{BTreeMap, BTreeSet};

use super::LoraConfig;
use super::names::{magnitude_path, path, whole_module};
use super::scope::{Matcher, OUTER, block_of};
use crate::error::{Error, Result};
use crate::model::NamedTensor;
use crate::told::{Told, told};

/// Blocks that are named one by one.
const MOST_NAMED: usize = 8;

/// One layer's path.
pub(super) struct Pair<'a> {
    /// `[rank, in]`.
    pub a: &'a NamedTensor,
    /// `[out, rank]`.
    pub b: &'a NamedTensor,
    /// `[out]`, of DoRA.
    pub magnitude: Option<&'a NamedTensor>,
    /// The width between them.
    pub rank: usize,
    /// What `B·A·x` is multiplied by.
    pub scale: f64,
}

/// All paths of an adapter, by the names of their layers.
pub(super) struct Pairs<'a> {
    pairs: BTreeMap<&'a str, Pair<'a>>,
    matcher: Matcher,
}

impl<'a> Pairs<'a> {
    /// Pairs the halves and checks what needs no base: both of every layer, of the rank that the settings say, and none that
    /// the settings do not name.
    ///
    /// # Errors
    /// What does not hold, with the layer's name.
    pub fn of(lora: &LoraConfig, weights: &'a [NamedTensor]) -> Result<Self> {
        let matcher = lora.matcher()?;
        let mut halves: BTreeMap<&str, [Option<&NamedTensor>; 3]> = BTreeMap::new();
        for tensor in weights.iter().filter(|tensor| whole_module(&tensor.name).is_none()) {
            let (layer, half) = part_of(&tensor.name)?;
            if halves.entry(layer).or_default()[half].replace(tensor).is_some() {
                return Err(refused(told!(
                    "adapter.half_twice",
                    "the adapter has two tensors for one half of '{layer}', of which one would be lost; save it again",
                    layer
                )));
            }
        }
        if halves.is_empty() {
            return Err(refused(told!(
                "adapter.no_weights",
                "the adapter holds no weights: none of its targets ({targets}) has any. It was not saved whole: save it again \
                 where it was trained (PEFT opens it without a word, and answers as the base does)",
                targets = matcher.told
            )));
        }
        let mut pairs = BTreeMap::new();
        for (layer, halves) in halves {
            let [a, b, magnitude] = halves;
            let pair = pair(&matcher, layer, [a, b])?;
            let magnitude = fitting(lora.dora, layer, pair.b, magnitude)?;
            pairs.insert(layer, Pair { magnitude, ..pair });
        }
        Ok(Self { pairs, matcher })
    }

    /// Takes the path of a layer out.
    pub fn take(&mut self, layer: &str) -> Option<Pair<'a>> {
        self.pairs.remove(layer)
    }

    /// What was not taken.
    pub fn left(&self) -> Option<&str> {
        self.pairs.keys().next().copied()
    }

    /// All of them.
    pub fn into_all(self) -> impl Iterator<Item = (&'a str, Pair<'a>)> {
        self.pairs.into_iter()
    }

    /// Refuses an adapter that is for layers of a base for which it has no weights; `layers` are the base's dense ones.
    pub fn check_whole(&self, layers: &[String]) -> Result<()> {
        if let Some((ends, last)) = self.matcher.wrong_end(layers) {
            return Err(refused(told!(
                "adapter.wrong_end",
                "the adapter ends at block {ends}, the base at block {last}, and mlx-lm adapts the last blocks of a model; it was \
                 not saved whole, or belongs to another base: save it again where it was trained",
                ends,
                last
            )));
        }
        let all = layers.iter().map(String::as_str).chain(OUTER);
        let lacking: BTreeSet<&str> =
            all.filter(|layer| self.matcher.adapts(layer) && !self.pairs.contains_key(*layer)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(refused(told!(
            "adapter.lacking",
            "the adapter has no weights for {layers}, which its targets name. It was not saved whole, or belongs to another base: \
             save it again where it was trained (PEFT leaves such layers as they are, without a word)",
            layers = by_target(&lacking)
        )))
    }
}

/// The layer of a tensor, and which half it is, or 2 of its magnitudes.
fn part_of(name: &str) -> Result<(&str, usize)> {
    let suffixes = [path("", 'a'), path("", 'b'), magnitude_path("")];
    let part = |(i, suffix): (usize, &String)| Some((name.strip_suffix(suffix.as_str())?, i));
    suffixes.iter().enumerate().find_map(part).ok_or_else(|| {
        refused(told!(
            "adapter.no_half",
            "the adapter's tensor '{name}' is no half of a low-rank pair, and nobody reads it",
            name
        ))
    })
}

fn pair<'a>(matcher: &Matcher, layer: &str, halves: [Option<&'a NamedTensor>; 2]) -> Result<Pair<'a>> {
    let [a, b] = halves;
    let (Some(a), Some(b)) = (a, b) else {
        let (has, lacks) = if a.is_some() { ("lora_A", "lora_B") } else { ("lora_B", "lora_A") };
        return Err(refused(told!(
            "adapter.half_lacking",
            "the adapter has {has} of '{layer}' without its {lacks}; it was not saved whole: save it again",
            has,
            layer,
            lacks
        )));
    };
    if !matcher.adapts(layer) {
        return Err(refused(told!(
            "adapter.not_targeted",
            "the adapter has weights for '{layer}', which its settings do not name (targets: {targets}), so that nobody reads \
             them; settings and weights are of two adapters: take both files from one save",
            layer,
            targets = matcher.told
        )));
    }
    let rank = matcher.rank(layer);
    match (a.shape.as_slice(), b.shape.as_slice()) {
        ([first, _], [_, second]) if *first == rank && *second == rank && rank > 0 => {
            Ok(Pair { a, b, magnitude: None, rank, scale: matcher.scale(layer) })
        }
        ([first, _], [_, second]) => Err(refused(told!(
            "adapter.rank_differs",
            "the adapter's settings say rank {rank} (r), for '{layer}' its lora_A is of rank {first} and its lora_B of \
             rank {second}; settings and weights are of two adapters: take both files from one save",
            rank,
            layer,
            first,
            second
        ))),
        (first, second) => Err(refused(told!(
            "adapter.half_shapes",
            "the adapter's lora_A and lora_B of '{layer}' have the shapes {first} and {second}; those of a dense \
             layer are two matrices, and no others are supported",
            layer,
            first = format!("{first:?}"),
            second = format!("{second:?}")
        ))),
    }
}

/// The magnitudes of a layer, where the settings say DoRA and only there.
fn fitting<'a>(
    dora: bool,
    layer: &str,
    b: &NamedTensor,
    magnitude: Option<&'a NamedTensor>,
) -> Result<Option<&'a NamedTensor>> {
    match (dora, magnitude) {
        (false, None) => Ok(None),
        (true, Some(found)) if b.shape.first() == Some(&found.values.len()) => Ok(magnitude),
        (true, Some(found)) => Err(refused(told!(
            "adapter.magnitude_shape",
            "the adapter's lora_magnitude_vector of '{layer}' has the shape {shape}, its lora_B the shape {b}: one number for              each output is needed; it belongs to another base",
            layer,
            shape = format!("{:?}", found.shape),
            b = format!("{:?}", b.shape)
        ))),
        (true, None) => Err(refused(told!(
            "adapter.magnitude_lacking",
            "the adapter's settings say DoRA (use_dora), and it has no lora_magnitude_vector of '{layer}'; it was not saved              whole: save it again",
            layer
        ))),
        (false, Some(_)) => Err(refused(told!(
            "adapter.magnitude_unread",
            "the adapter has a lora_magnitude_vector of '{layer}', and its settings do not say DoRA (use_dora), so that nobody              reads it; settings and weights are of two adapters: take both files from one save",
            layer
        ))),
    }
}

/// Layers by the last parts of their names, each with its blocks.
pub(super) fn by_target(layers: &BTreeSet<&str>) -> String {
    let mut targets: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for layer in layers {
        let target = layer.rsplit('.').next().unwrap_or(layer);
        targets.entry(target).or_default().extend(block_of(layer));
    }
    let told = targets.into_iter().map(|(target, blocks)| match blocks.len() {
        0 => target.to_string(),
        1 => format!("{target} in block {}", numbers(&blocks)),
        _ => format!("{target} in blocks {}", numbers(&blocks)),
    });
    told.collect::<Vec<_>>().join(", ")
}

fn numbers(blocks: &BTreeSet<usize>) -> String {
    let named: Vec<_> = blocks.iter().take(MOST_NAMED).map(usize::to_string).collect();
    match blocks.len() - named.len() {
        0 => named.join(", "),
        1 => format!("{} and one other", named.join(", ")),
        others => format!("{} and {others} others", named.join(", ")),
    }
}

fn refused(message: Told) -> Error {
    Error::Checkpoint(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q0: &str = "model.layers.0.self_attn.q_proj";

    fn tensor(layer: &str, half: char, shape: &[usize]) -> NamedTensor {
        let values = vec![0.5; shape.iter().product()];
        NamedTensor { name: path(layer, half), shape: shape.to_vec(), values }
    }

    fn lora() -> LoraConfig {
        LoraConfig { rank: 2, targets: vec!["q_proj".into(), "v_proj".into()], ..LoraConfig::default() }
    }

    fn both(layer: &str) -> [NamedTensor; 2] {
        [tensor(layer, 'a', &[2, 3]), tensor(layer, 'b', &[4, 2])]
    }

    #[test]
    fn what_is_wrong_without_a_base_is_told() {
        assert!(Pairs::of(&lora(), &both(Q0)).is_ok());
        let [a, b] = both(Q0);
        let other = NamedTensor { name: "x.lora_embedding_A".into(), ..a.clone() };
        for (weights, parts) in [
            (vec![], &["no weights", "q_proj, v_proj"][..]),
            (vec![a.clone()], &["lora_A", "without its lora_B"]),
            (vec![b.clone()], &["lora_B", "without its lora_A"]),
            (vec![a.clone(), b.clone(), a.clone()], &["two tensors", Q0]),
            (both("model.layers.0.mlp.up_proj").to_vec(), &["up_proj", "do not name"]),
            (vec![other], &["'x.lora_embedding_A'", "nobody reads"]),
            (vec![tensor(Q0, 'a', &[8, 3]), tensor(Q0, 'b', &[4, 8])], &["say rank 2", "of rank 8"]),
            (vec![tensor(Q0, 'a', &[2, 3]), tensor(Q0, 'b', &[4, 1])], &["say rank 2", "of rank 1"]),
            (vec![tensor(Q0, 'a', &[6]), b], &["[6]", "two matrices"]),
        ] {
            let message = Pairs::of(&lora(), &weights).err().unwrap().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn magnitudes_are_there_where_the_settings_say_so() {
        let magnitude = |count: usize| NamedTensor {
            name: magnitude_path(Q0),
            shape: vec![count],
            values: vec![1.0; count],
        };
        let with = |magnitude: Option<NamedTensor>| both(Q0).into_iter().chain(magnitude).collect::<Vec<_>>();
        let dora = LoraConfig { dora: true, ..lora() };
        let weights = with(Some(magnitude(4)));
        assert_eq!(Pairs::of(&dora, &weights).unwrap().take(Q0).unwrap().magnitude, Some(&weights[2]));
        for (lora, weights, parts) in [
            (&dora, with(None), &["no lora_magnitude_vector", Q0][..]),
            (&dora, with(Some(magnitude(3))), &["[3]", "[4, 2]"]),
            (&lora(), with(Some(magnitude(4))), &["do not say DoRA", Q0]),
        ] {
            let message = Pairs::of(lora, &weights).err().unwrap().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }

    #[test]
    fn layers_of_a_base_without_weights_are_named() {
        let weights = both(Q0);
        let pairs = Pairs::of(&lora(), &weights).unwrap();
        let layers = |blocks: usize, names: &[&str]| -> Vec<String> {
            let of = |block| names.iter().map(move |name| format!("model.layers.{block}.self_attn.{name}"));
            (0..blocks).flat_map(of).collect()
        };
        pairs.check_whole(&layers(1, &["q_proj", "k_proj"])).unwrap();
        let message = pairs.check_whole(&layers(12, &["q_proj", "v_proj"])).unwrap_err().to_string();
        for part in ["q_proj in blocks 1, 2,", "v_proj in blocks 0, 1, 2, 3, 4, 5, 6, 7 and 4 others"] {
            assert!(message.contains(part), "{message}");
        }
        let message = pairs.check_whole(&layers(1, &["v_proj"])).unwrap_err().to_string();
        assert!(message.contains("v_proj in block 0,") && !message.contains("q_proj"), "{message}");
    }
}
