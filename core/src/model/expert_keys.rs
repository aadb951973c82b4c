//! The keys of `config.json` that are of routed layers, under their published names: those of `transformers`' Qwen3-MoE,
//! and MiniMind's.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::keys::{Keys, unsupported};
use super::{Balance, Experts};
use crate::error::{Error, Result};

/// The names of the number of experts: Qwen's, MiniMind's, and that of version 5 of `transformers`.
const COUNT: [&str; 3] = ["num_local_experts", "num_experts", "n_routed_experts"];

/// Every key that is read here.
pub(super) const KEYS: [&str; 13] = [
    COUNT[0],
    COUNT[1],
    COUNT[2],
    "num_experts_per_tok",
    "n_shared_experts",
    "moe_intermediate_size",
    "norm_topk_prob",
    "decoder_sparse_step",
    "mlp_only_layers",
    "aux_loss_alpha",
    "seq_aux",
    "router_aux_loss_coef",
    "router_z_loss_coef",
];

/// The routed layers of a model, of `transformers`' Qwen3-MoE or of our own family; `None` where there are none.
///
/// # Errors
/// A key of another type; numbers of experts that contradict each other.
pub(super) fn read(keys: Keys, qwen: bool) -> Result<Option<Experts>> {
    let count = count(keys)?;
    if count.is_none() && !qwen {
        return Ok(None);
    }
    let size = |key: &str, default: usize| Ok::<_, Error>(keys.optional_size(key)?.unwrap_or(default));
    let dense = keys.list("mlp_only_layers")?.into_iter().flatten();
    let dense: BTreeSet<usize> = dense.filter_map(|i| Some(i.as_u64()? as usize)).collect();
    let step = size("decoder_sparse_step", 1)?.max(1);
    let routed = |layer: usize| !dense.contains(&layer) && (layer + 1).is_multiple_of(step);
    let per_token = size("num_experts_per_tok", 8)?;
    let normalize = keys.flag("norm_topk_prob")?.unwrap_or(false);
    let experts = Experts {
        count: count.unwrap_or(128),
        per_token,
        shared: size("n_shared_experts", 0)?,
        intermediate_size: size("moe_intermediate_size", 768)?,
        // One weight divided by itself is always 1: nothing that is trained here would then reach the gate.
        normalize: normalize && (per_token > 1 || qwen),
        layers: (0..keys.layers()?).map(routed).collect(),
        balance: balance(keys, qwen)?,
    };
    Ok(Some(experts).filter(|experts| experts.count > 0 && experts.layers.contains(&true)))
}

fn count(keys: Keys) -> Result<Option<usize>> {
    let mut found: Option<(&str, usize)> = None;
    for key in COUNT {
        let Some(count) = keys.optional_size(key)? else { continue };
        match found {
            Some((other, known)) if known != count => {
                let same = format!("{known}, as {other} says");
                return unsupported(key, &json!(count), &same);
            }
            _ => found = Some((key, count)),
        }
    }
    Ok(found.map(|(_, count)| count))
}

fn balance(keys: Keys, qwen: bool) -> Result<Balance> {
    let weight = |key: &str, default: f64| Ok::<_, Error>(keys.number(key)?.unwrap_or(default));
    Ok(Balance {
        aux_loss_alpha: weight("aux_loss_alpha", 0.0)?,
        seq_aux: keys.flag("seq_aux")?.unwrap_or(true),
        // What transformers takes where a file of its own class does not say it.
        router_aux_loss_coef: weight("router_aux_loss_coef", if qwen { 0.001 } else { 0.0 })?,
        router_z_loss_coef: weight("router_z_loss_coef", 0.0)?,
    })
}

/// The keys, as both programs read them.
pub(super) fn write(experts: &Experts) -> Map<String, Value> {
    let dense = experts.layers.iter().enumerate().filter(|(_, routed)| !**routed);
    let balance = experts.balance;
    let keys = json!({
        "num_experts": experts.count, "n_routed_experts": experts.count,
        "num_experts_per_tok": experts.per_token, "n_shared_experts": experts.shared,
        "moe_intermediate_size": experts.intermediate_size, "norm_topk_prob": experts.normalize,
        "decoder_sparse_step": 1, "mlp_only_layers": dense.map(|(layer, _)| layer).collect::<Vec<_>>(),
        "scoring_func": "softmax", "aux_loss_alpha": balance.aux_loss_alpha, "seq_aux": balance.seq_aux,
        "router_aux_loss_coef": balance.router_aux_loss_coef, "router_z_loss_coef": balance.router_z_loss_coef,
    });
    if let Value::Object(keys) = keys { keys } else { Map::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_keys(value: Value, qwen: bool) -> Result<Option<Experts>> {
        let mut root = json!({"num_hidden_layers": 2, "moe_intermediate_size": 16});
        root.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        read(Keys(root.as_object().unwrap()), qwen)
    }

    #[test]
    fn settings_have_the_names_of_both_programs() {
        let minimind = json!({
            "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "scoring_func": "softmax",
            "aux_loss_alpha": 0.1, "seq_aux": false, "norm_topk_prob": true,
        });
        let experts = read_keys(minimind, false).unwrap().unwrap();
        assert_eq!((experts.count, experts.per_token, experts.shared, experts.normalize), (4, 2, 1, true));
        assert_eq!(experts.balance, Balance { aux_loss_alpha: 0.1, seq_aux: false, ..Balance::default() });
        let written = Value::Object(write(&experts));
        assert_eq!((&written["n_routed_experts"], &written["num_experts"]), (&json!(4), &json!(4)));
        assert_eq!(read_keys(written, false).unwrap().unwrap(), experts);
        let qwen = json!({"num_local_experts": 8, "router_aux_loss_coef": 0.02, "router_z_loss_coef": 0.001});
        let experts = read_keys(qwen, true).unwrap().unwrap();
        assert_eq!((experts.balance.router_aux_loss_coef, experts.balance.router_z_loss_coef), (0.02, 0.001));
        assert_eq!(read_keys(json!({}), true).unwrap().unwrap().balance.router_aux_loss_coef, 0.001);
        assert_eq!(read_keys(json!({"aux_loss_alpha": 0.1}), false).unwrap(), None);
    }

    #[test]
    fn one_expert_a_token_is_normalized_only_where_transformers_does_it() {
        let one = |qwen: bool| {
            let keys = json!({"num_experts": 4, "num_experts_per_tok": 1, "norm_topk_prob": true});
            read_keys(keys, qwen).unwrap().unwrap().normalize
        };
        assert_eq!((one(true), one(false)), (true, false));
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused() {
        let told =
            read_keys(json!({"num_experts": 4, "n_routed_experts": 8}), false).unwrap_err().to_string();
        assert!(told.contains("n_routed_experts '8'") && told.contains("4, as num_experts says"), "{told}");
    }
}
