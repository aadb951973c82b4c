//! `score` of masked predictors: the causal model where blocks are of one token, an average with its error elsewhere.

use serde_json::{Value, json};

use crate::place::Place;

/// A letter that no text here holds.
const UNUSED: &str = "ÿ";

/// The weights of `model` as a masked predictor in blocks, or without any.
fn masked(place: &Place, name: &str, block_length: Option<usize>) {
    place.copy("model", name);
    let mut tokenizer = place.json(&format!("{name}/tokenizer.json"));
    let mask = tokenizer["model"]["vocab"][UNUSED].clone();
    let own = json!({"id": mask, "content": UNUSED, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true});
    tokenizer["added_tokens"].as_array_mut().unwrap().push(own);
    place.write(&format!("{name}/tokenizer.json"), tokenizer.to_string());
    let mut config = place.json(&format!("{name}/config.json"));
    config["model_type"] = json!("kindling_diffusion");
    config["objective"] = json!("masked-diffusion");
    config["mask_token_id"] = mask;
    config["shift_logits"] = json!(true);
    config["attention"] = json!(if block_length.is_some() { "block" } else { "bidirectional" });
    config["block_length"] = json!(block_length);
    place.write(&format!("{name}/config.json"), config.to_string());
}

fn place() -> Place {
    let place = Place::with_model();
    masked(&place, "blocks-of-one", Some(1));
    masked(&place, "plain", None);
    place
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

#[test]
fn blocks_of_one_score_as_the_causal_model() {
    let place = place();
    let words = ["--text", "The lamp shines at night.", "--json"];
    let of =
        |model: &str| place.run_words(&[&["score", "--model", model], &words[..]].concat()).ok().result();
    let (parent, blocks) = (of("model"), of("blocks-of-one"));
    for key in ["nll", "bits_per_byte"] {
        assert!((number(&parent, key) - number(&blocks, key)).abs() < 1e-3, "{parent} and {blocks}");
    }
    assert_eq!((&parent["tokens"], &parent["tokens_scored"]), (&blocks["tokens"], &blocks["tokens_scored"]));
    assert_eq!(
        (&blocks["nll_is_bound"], &blocks["nll_standard_error"], &blocks["mc"]),
        (&json!(false), &json!(0.0), &json!(1))
    );
}

#[test]
fn a_masked_predictor_is_scored_on_average_with_an_error() {
    let place = place();
    let score = "score --model plain --tokens 1,2,3,44,5,6,7,8 --json";
    let default = place.run(score).ok().result();
    assert_eq!((&default["mc"], &default["nll_is_bound"]), (&json!(128), &json!(true)));
    assert!(default.get("logprobs").is_none(), "no token has a probability of its own: {default}");
    let error = number(&default, "nll_standard_error");
    assert!(error > 0.0 && error < 0.2 * number(&default, "nll"), "{default}");
    let again = place.run(&format!("{score} --mc 128 --mc-seed 0 --cfg-scale 0")).ok().result();
    assert_eq!(default, again, "the defaults, and the same numbers");
    let other = place.run(&format!("{score} --mc-seed 1")).ok().result();
    assert!(
        (number(&other, "nll") - number(&default, "nll")).abs() < 6.0 * error
            && other["nll"] != default["nll"]
    );
    let few = place.run(&format!("{score} --mc 16")).ok().result();
    assert!(few["nll_standard_error"].is_null(), "one batch does not tell: {few}");
    let shown = place.run("score --model plain --tokens 1,2,3,44,5").ok().stdout;
    assert!(shown.starts_with("nll at most ") && shown.contains(" ± "), "{shown}");
    place.write("a.jsonl", "{\"text\": \"The lamp shines at night.\"}\n".repeat(3));
    let rows = place.run("score --model plain --data a.jsonl --mc 32 --json").ok().result();
    assert_eq!((&rows["rows"], &rows["mc"], &rows["nll_is_bound"]), (&json!(3), &json!(32), &json!(true)));
    assert!(number(&rows, "nll_standard_error") > 0.0 && number(&rows, "bits_per_byte") > 0.0);
}

#[test]
fn pairs_of_answers_are_compared_by_the_same_draws() {
    let place = place();
    let pair = |i: usize| {
        format!(
            "{{\"prompt\": \"What is {i}?\", \"chosen\": \"It is {i}.\", \"rejected\": \"A lamp shines.\"}}\n"
        )
    };
    place.write("pairs.jsonl", (0..6).map(pair).collect::<String>());
    let score =
        |flags: &str| place.run(&format!("score --pairs --data pairs.jsonl --json {flags}")).ok().result();
    let own = score("--model plain --reference plain --mc 16");
    assert_eq!((&own["pairs"], &own["mc"]), (&json!(6), &json!(16)));
    assert_eq!((number(&own, "reward_margin"), number(&own, "reward_accuracy")), (0.0, 0.0), "itself: {own}");
    // Blocks of one are the causal model, here too.
    let (causal, blocks) = (score("--model model"), score("--model blocks-of-one"));
    assert_eq!(causal["chosen_likelier"], blocks["chosen_likelier"]);
    let refused = place.run("score --pairs --data pairs.jsonl --model plain --reference model");
    refused.expect(1, &["model: --reference needs a model that predicts masked tokens"]);
    let refused = place.run("score --pairs --data pairs.jsonl --model model --reference plain");
    refused.expect(1, &["plain: --reference needs a model that predicts the next token"]);
}

#[test]
fn what_does_not_act_is_refused_by_name() {
    let place = place();
    let causal = "score --model model --tokens 1,2,3";
    place
        .run(&format!("{causal} --mc 16 --cfg-scale 1"))
        .expect(2, &["--mc, --cfg-scale acts on a masked predictor"]);
    let masked = "score --model plain --tokens 1,2,3";
    place.run(&format!("{masked} --logits")).expect(2, &["--logits", "masked predictor"]);
    let mask = place.json("plain/config.json")["mask_token_id"].as_u64().unwrap();
    let told = ["token 2 of the text is the model's mask", "take it out"];
    place.run(&format!("score --model plain --tokens 5,{mask},7")).expect(1, &told);
    place.write("masks.jsonl", format!("{{\"text\": \"The lamp {UNUSED} shines.\"}}\n"));
    let row = ["masks.jsonl:1: token ", "of the text is the model's mask"];
    place.run("score --model plain --data masks.jsonl").expect(1, &row);
    place.run(&format!("{masked} --mc 0 --cfg-scale -1")).expect(2, &["--mc is 0", "--cfg-scale is -1"]);
}
