//! Which layers of a `config.json` see only the last keys, as each family's class in `transformers` decides it.

use serde_json::Value;

use super::SlidingWindow;
use super::family::Family;
use super::keys::{ELSEWHERE, Keys, SAVED};
use crate::error::{Error, Result};
use crate::told::{Counted, told};

/// The window where a family has one and the file names none.
const WINDOW: usize = 4096;
/// The first layer of the Qwen families that slides where the file names none.
const FIRST_SLIDING: usize = 28;

/// The window and the layers that have it; one that no sequence of `longest` tokens fills is none.
///
/// # Errors
/// Kinds of layers that are not supported, too few or too many of them, and layers that slide without a window.
pub(super) fn sliding_window(keys: Keys, family: Family, longest: usize) -> Result<Option<SlidingWindow>> {
    let (layers, window) = (keys.layers()?, window(keys, family)?);
    let named = named_layers(keys, layers)?;
    let slides = match (family, &named) {
        (Family::Llama, _) => vec![false; layers],
        // Its class has one mask for all layers.
        (Family::Qwen3Moe, _) => vec![window.is_some(); layers],
        (_, Some(named)) => named.clone(),
        (Family::Mistral | Family::Ministral, None) => vec![window.is_some(); layers],
        (Family::Qwen2 | Family::Qwen3 | Family::Own | Family::Diffusion, None) => {
            let first = keys.optional_size("max_window_layers")?.unwrap_or(FIRST_SLIDING);
            (0..layers).map(|layer| window.is_some() && layer >= first).collect()
        }
    };
    if named.as_ref().is_some_and(|named| *named != slides) {
        return Err(Error::Model(told!(
            "model.layer_order",
            "config.json: layer_types has sliding and full layers in another order than the family {family} computes them, in \
             transformers too; take layer_types out to have them as the family has, or {saved}",
            family = family.name(),
            saved = SAVED
        )));
    }
    let Some(window) = window else {
        return match slides.contains(&true) {
            true => Err(Error::Model(told!(
                "model.no_window",
                "config.json: layer_types has layers of sliding_attention, and there is no sliding_window in use; name it \
                 (in the Qwen families with use_sliding_window true), or {saved}",
                saved = SAVED
            ))),
            false => Ok(None),
        };
    };
    let sliding = Some(SlidingWindow { window, layers: slides });
    Ok(sliding.filter(|sliding| window < longest && sliding.layers.contains(&true)))
}

fn window(keys: Keys, family: Family) -> Result<Option<usize>> {
    match (family, keys.0.contains_key("sliding_window")) {
        (Family::Llama, _) => Ok(None),
        (Family::Mistral | Family::Ministral, false) => Ok(Some(WINDOW)),
        (Family::Mistral | Family::Ministral | Family::Own | Family::Diffusion, _) => {
            keys.optional_size("sliding_window")
        }
        (_, named) => match keys.flag("use_sliding_window")? {
            Some(true) if named => keys.optional_size("sliding_window"),
            Some(true) => Ok(Some(WINDOW)),
            _ => Ok(None),
        },
    }
}

/// What `layer_types` says: for each layer whether it slides.
fn named_layers(keys: Keys, layers: usize) -> Result<Option<Vec<bool>>> {
    let Some(kinds) = keys.list("layer_types")? else { return Ok(None) };
    if kinds.len() != layers {
        return Err(Error::Model(told!(
            "model.layer_count",
            "config.json: layer_types names {named}, and num_hidden_layers is {layers}; {saved}",
            named = Counted::new(kinds.len() as u64, ["layer", "layers"]),
            layers,
            saved = SAVED
        )));
    }
    let slides = |kind: &Value| match kind.as_str() {
        Some("sliding_attention") => Ok(true),
        Some("full_attention") => Ok(false),
        _ => Err(Error::Model(told!(
            "model.layer_kind",
            "config.json: layer_types has {kind}; supported: full_attention, sliding_attention; {elsewhere}",
            kind,
            elsewhere = ELSEWHERE
        ))),
    };
    kinds.iter().map(slides).collect::<Result<_>>().map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(family: Family, mut config: Value) -> Result<Option<(usize, Vec<bool>)>> {
        config["num_hidden_layers"] = json!(3);
        let sliding = sliding_window(Keys(config.as_object().unwrap()), family, 64)?;
        Ok(sliding.map(|sliding| (sliding.window, sliding.layers)))
    }

    #[test]
    fn mixed_layers_are_those_that_the_file_names() {
        let types = json!(["sliding_attention", "full_attention", "sliding_attention"]);
        let mixed = Some((16, vec![true, false, true]));
        for family in [Family::Mistral, Family::Ministral, Family::Own] {
            let config = json!({"sliding_window": 16, "layer_types": types});
            assert_eq!(read(family, config).unwrap(), mixed, "{family:?}");
        }
        let qwen = json!({"use_sliding_window": true, "sliding_window": 16, "max_window_layers": 0, "layer_types": types});
        assert_eq!(read(Family::Qwen2, qwen).unwrap(), mixed);
        let full = json!({"sliding_window": 16, "layer_types": ["full_attention", "full_attention", "full_attention"]});
        assert_eq!(read(Family::Mistral, full.clone()).unwrap(), None);
        assert_eq!(read(Family::Llama, full).unwrap(), None);
    }

    #[test]
    fn a_window_as_long_as_every_text_is_none() {
        assert_eq!(read(Family::Mistral, json!({"sliding_window": 64})).unwrap(), None);
        let all = Some((63, vec![true; 3]));
        assert_eq!(read(Family::Mistral, json!({"sliding_window": 63, "layer_types": null})).unwrap(), all);
    }

    #[test]
    fn contradictions_are_refused() {
        let types = json!(["sliding_attention", "full_attention", "full_attention"]);
        for (family, config, told) in [
            (Family::Llama, json!({"sliding_window": 16, "layer_types": types}), "the family llama computes"),
            (
                Family::Qwen3Moe,
                json!({"use_sliding_window": true, "sliding_window": 16, "layer_types": types}),
                "the family qwen3_moe computes",
            ),
            (Family::Qwen2, json!({"sliding_window": 16, "layer_types": types}), "no sliding_window in use"),
            (
                Family::Mistral,
                json!({"sliding_window": null, "layer_types": types}),
                "no sliding_window in use",
            ),
            (Family::Qwen3, json!({"layer_types": ["full_attention"]}), "names 1 layer,"),
            (
                Family::Own,
                json!({"layer_types": ["full_attention", "chunked_attention", 3]}),
                "\"chunked_attention\"",
            ),
        ] {
            let message = read(family, config).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
            assert!([SAVED, ELSEWHERE].iter().any(|remedy| message.contains(remedy)), "{message}");
        }
    }
}
