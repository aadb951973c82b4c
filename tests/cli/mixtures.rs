//! A mixture of experts on the command line: made by flags of published names, trained by every stage, kept, exported.

use crate::place::{Place, SHORT};

const NEW: &str = "pretrain --data docs.jsonl --model-config tiny.json --tokenizer tok";
const EXPERTS: &str = "--n-routed-experts 4 --num-experts-per-tok 2 --n-shared-experts 1 --moe-intermediate-size 16 \
                       --aux-loss-alpha 0.1 --seq-aux false --router-z-loss-coef 0.001";

#[test]
fn a_mixture_is_made_trained_adapted_and_exported() {
    let place = Place::with_model();
    place.run(&format!("{NEW} {SHORT} {EXPERTS} --grad-accum 2 --out moe")).ok();
    let config = place.json("moe/config.json");
    for (key, value) in [
        ("num_experts", 4.into()),
        ("n_routed_experts", 4.into()),
        ("num_experts_per_tok", 2.into()),
        ("n_shared_experts", 1.into()),
        ("moe_intermediate_size", 16.into()),
        ("norm_topk_prob", serde_json::json!(true)),
        ("scoring_func", "softmax".into()),
        ("aux_loss_alpha", serde_json::json!(0.1)),
        ("seq_aux", false.into()),
        ("router_z_loss_coef", serde_json::json!(0.001)),
    ] {
        assert_eq!(config[key], value, "{key}");
    }
    let log = place.log("moe");
    let first = log.iter().find(|line| line.get("event").is_none()).unwrap();
    assert_eq!(first["expert_load"][0].as_array().unwrap().len(), 4, "{first}");
    assert!(first["aux_loss"].as_f64().unwrap() > 0.05 && first["expert_load_max"].as_f64().unwrap() >= 1.0);

    let tune = "--data chat.jsonl --model moe --steps 3 --batch-size 2 --max-seq-len 64 --log-every 1";
    place.run(&format!("sft {tune} --aux-loss-alpha 0 --router-aux-loss-coef 0.01 --out tuned")).ok();
    let tuned = place.json("tuned/config.json");
    assert_eq!((&tuned["aux_loss_alpha"], &tuned["router_aux_loss_coef"]), (&0.0.into(), &0.01.into()));
    place.run(&format!("lora {tune} --router-aux-loss-coef 0.02 --out adapter")).ok();
    place.run("generate --model moe --adapter adapter --prompt the --max-new-tokens 3 --seed 1").ok();
    let fixed = "--num-experts, --norm-topk-prob would change what the model's weights were trained for";
    place.run(&format!("sft {tune} --num-experts 8 --norm-topk-prob --out other")).expect(2, &[fixed]);
    place
        .run(&format!("sft {tune} --router-aux-loss-coef=-1 --out other"))
        .expect(2, &["is -1; it must be 0"]);

    let score =
        |model: &str| place.run(&format!("score --model {model} --tokens 5,6,7,8 --json")).ok().result();
    let expected = score("tuned");
    place.run("export --model tuned --to minimind-pth --out moe.pth").ok();
    place.run("export --model tuned --to single-file --out moe.safetensors --weights-only").ok();
    assert_eq!(score("moe.safetensors")["logprobs"], expected["logprobs"]);
    assert_eq!(score("moe.pth --model-config tuned/config.json")["logprobs"], expected["logprobs"]);
}

#[test]
fn a_mixture_in_two_parts_is_the_same() {
    let place = Place::with_model();
    // Of a file the published names count, too.
    place.write("moe.toml", "n_routed_experts = 4\nseq_aux = false\nnum_experts_per_tok = 1\n");
    let run = format!(
        "{NEW} --config moe.toml --batch-size 2 --grad-accum 2 --max-seq-len 32 --log-every 1 --steps 6"
    );
    place.run(&format!("{run} --out whole")).ok();
    place.run(&format!("{run} --out parts --stop-after 2")).ok();
    place.run("pretrain --resume --out parts").ok();
    for file in ["model.safetensors", "training/optimizer.safetensors", "config.json"] {
        assert!(place.read(&format!("whole/{file}")) == place.read(&format!("parts/{file}")), "{file}");
    }
    assert_eq!(place.logged_steps("whole"), place.logged_steps("parts"));
    assert_eq!(
        place.json("whole/config.json")["norm_topk_prob"],
        false,
        "one expert is not divided by itself"
    );
    let out = place.run("export --model whole --to minimind-pth --out whole.pth");
    out.expect(0, &["norm_topk_prob is False", "--model-config"]);
}

#[test]
fn a_mixture_is_measured_beside_the_dense_shape_that_works_as_much() {
    let place = Place::new();
    let bench =
        "bench --preset nano --num-experts 4 --beside-dense --what prefill --batch-size 1 --max-seq-len 16";
    let lines = place.run(&format!("{bench} --seconds 0 --json")).ok().json();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].get("dense_twin").is_none() && lines[1]["dense_twin"] == true);
    let speed = |line: usize| lines[line]["tokens_per_second"].as_f64().unwrap();
    let cost = lines[1]["mixture_costs"].as_f64().unwrap();
    assert!((cost - speed(1) / speed(0)).abs() < 1e-9 * cost);
}
