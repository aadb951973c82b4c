//! The rotary settings of a `config.json`, whichever generation of `transformers` wrote them.
//!
//! Version 4 has `rope_scaling` and `rope_theta` side by side, version 5 `rope_parameters` with the base inside. They are
//! read as version 5 does: an older block that says anything counts before the newer one, and a base inside the block
//! that counts before the one at the top.

use serde_json::{Map, Value, json};

use super::RopeScaling;
use super::keys::{ELSEWHERE, Keys, unsupported};
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// The base where nothing names one.
const THETA: f64 = 10_000.0;
/// The blocks, the one that counts first.
const BLOCKS: [&str; 2] = ["rope_scaling", "rope_parameters"];
/// Positions of pretraining, which some files keep at the top; it counts before the block's own.
const ORIGINAL: &str = "original_max_position_embeddings";
/// What is read of a block.
const READ: [&str; 15] = [
    "rope_type",
    "type",
    "rope_theta",
    "factor",
    ORIGINAL,
    "attention_factor",
    "beta_fast",
    "beta_slow",
    "mscale",
    "mscale_all_dim",
    "truncate",
    "low_freq_factor",
    "high_freq_factor",
    "partial_rotary_factor",
    // A remark of 2023's YaRN models.
    "finetuned",
];

/// Base and scaling of the rotary embedding; `context` is `max_position_embeddings`.
///
/// # Errors
/// A scaling that is not supported or lacks a number; settings for some layers only.
pub(super) fn rope(keys: Keys, context: usize) -> Result<(f64, RopeScaling)> {
    match blocks(keys)?.first() {
        Some((name, block)) => of_block(keys, name, block, context),
        None => Ok((keys.number("rope_theta")?.unwrap_or(THETA), RopeScaling::Default)),
    }
}

/// What is odd about the rotary settings, and was read as `transformers` reads it.
pub(super) fn remarks(keys: Keys, context: usize) -> Vec<Told> {
    let blocks = blocks(keys).unwrap_or_default();
    let mut remarks = Vec::new();
    if let [(first, counts), (second, other)] = blocks.as_slice() {
        let read = |name: &str, block: &Map<String, Value>| of_block(keys, name, block, context).ok();
        if read(first, counts) != read(second, other) {
            remarks.push(told!(
                "model.rope_twice",
                "config.json: {first} and {second} contradict each other; {first} counts, as in transformers",
                first,
                second
            ));
        }
    }
    if let Some((name, block)) = blocks.first() {
        let base = |keys: Keys| keys.number("rope_theta").ok().flatten();
        if let (Some(inside), Some(top)) = (base(Keys(block)), base(keys))
            && inside != top
        {
            remarks.push(told!(
                "model.rope_thetas",
                "config.json: rope_theta is {top}, and that of {name} {inside}; the one of {name} counts, as in \
                 transformers",
                top,
                name,
                inside
            ));
        }
        let strange = block.iter().filter(|(key, value)| !value.is_null() && !READ.contains(&key.as_str()));
        remarks.extend(strange.map(|(key, value)| {
            told!(
                "model.rope_unread",
                "config.json: {name} has {key} {value}, which is not read, as in transformers",
                name,
                key,
                value
            )
        }));
    }
    remarks
}

/// The blocks that say anything, the one that counts first.
fn blocks<'a>(keys: Keys<'a>) -> Result<Vec<(&'static str, &'a Map<String, Value>)>> {
    let mut blocks = Vec::new();
    for name in BLOCKS {
        let block = keys.object(name)?.filter(|block| !block.is_empty());
        blocks.extend(block.map(|block| (name, block)));
    }
    Ok(blocks)
}

fn of_block(
    keys: Keys,
    name: &str,
    block: &Map<String, Value>,
    context: usize,
) -> Result<(f64, RopeScaling)> {
    if let Some((layers, _)) = block.iter().find(|(_, value)| value.is_object()) {
        return Err(Error::Model(told!(
            "model.rope_layers",
            "config.json: {name} has settings of its own for '{layers}'; one rotary embedding for all layers is supported: \
             {elsewhere}",
            name,
            layers,
            elsewhere = ELSEWHERE
        )));
    }
    let inside = Keys(block);
    if let Some(part) = inside.number("partial_rotary_factor")?.filter(|part| *part != 1.0) {
        return unsupported("partial_rotary_factor", &json!(part), "1.0");
    }
    let theta = match inside.number("rope_theta")? {
        Some(theta) => theta,
        None => keys.number("rope_theta")?.unwrap_or(THETA),
    };
    let mut block = block.clone();
    if let Some(original) = keys.value(ORIGINAL) {
        block.insert(ORIGINAL.into(), original.clone());
    }
    Ok((theta, RopeScaling::from_hugging_face(&block, context)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: Value) -> Result<(f64, RopeScaling)> {
        rope(Keys(config.as_object().unwrap()), 256)
    }

    fn remarked(config: Value) -> Vec<Told> {
        remarks(Keys(config.as_object().unwrap()), 256)
    }

    const YARN: &str = r#"{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":64}"#;

    #[test]
    fn the_base_is_found_wherever_it_stands() {
        let linear = RopeScaling::Linear { factor: 2.0 };
        for (config, expected) in [
            (json!({}), (1e4, RopeScaling::Default)),
            (json!({"rope_theta": 5e5, "rope_scaling": null}), (5e5, RopeScaling::Default)),
            (json!({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 5e5}), (5e5, linear)),
            (
                json!({"rope_scaling": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}}),
                (1e6, linear),
            ),
            (
                json!({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_theta": 5.0}),
                (1e6, RopeScaling::Default),
            ),
            (
                json!({"rope_parameters": {"rope_type": "default"}, "rope_scaling": {}}),
                (1e4, RopeScaling::Default),
            ),
        ] {
            assert_eq!(read(config.clone()).unwrap(), expected, "{config}");
            let two = config.get("rope_parameters").is_some() && config.get("rope_theta").is_some();
            assert_eq!(remarked(config).len(), usize::from(two));
        }
        let told = remarked(json!({"rope_parameters": {"rope_theta": 1e6}, "rope_theta": 5.0}));
        assert!(
            told[0].contains("rope_theta is 5, and that of rope_parameters 1000000; the one of"),
            "{told:?}"
        );
        assert_eq!(remarked(json!({"rope_parameters": {"rope_theta": 1e6}, "rope_theta": 1e6})), [""; 0]);
    }

    #[test]
    fn of_two_blocks_the_older_counts_with_its_own_base() {
        let yarn: Value = serde_json::from_str(YARN).unwrap();
        let config =
            json!({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_scaling": yarn});
        let (theta, scaling) = read(config.clone()).unwrap();
        // The base of the block that does not count is not taken.
        assert_eq!(theta, 1e4);
        assert!(matches!(scaling, RopeScaling::Yarn { original: 64, .. }), "{scaling:?}");
        assert!(remarked(config)[0].contains("rope_scaling and rope_parameters contradict"));
        let mut newer = yarn.clone();
        newer["rope_theta"] = json!(5e5);
        let both = json!({"rope_scaling": yarn, "rope_theta": 5e5, "rope_parameters": newer});
        assert_eq!(remarked(both), [""; 0]);
    }

    #[test]
    fn positions_of_pretraining_at_the_top_count_first() {
        let mut config = json!({"rope_scaling": serde_json::from_str::<Value>(YARN).unwrap()});
        config["original_max_position_embeddings"] = json!(32);
        assert!(matches!(read(config).unwrap().1, RopeScaling::Yarn { original: 32, .. }));
    }

    #[test]
    fn what_is_for_some_layers_or_of_another_type_is_refused_and_strangers_are_named() {
        for (config, told) in [
            (
                json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}),
                "for 'full_attention'",
            ),
            (json!({"rope_scaling": "yarn"}), "rope_scaling is \"yarn\", not an object"),
            (json!({"rope_theta": "10000"}), "rope_theta is \"10000\", not a number"),
            (json!({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}), "'0.5'"),
            (json!({"rope_scaling": {"rope_type": "yarn", "factor": "4"}}), "factor is \"4\""),
            (json!({"rope_scaling": {"rope_type": 3}}), "rope_type is 3"),
        ] {
            let message = read(config).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
        let alpha = json!({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0, "alpha": 1000.0}});
        assert!(remarked(alpha)[0].contains("rope_scaling has alpha 1000.0"));
    }
}
