//! Machine-readable results: the keys that others rely on, and figures that agree with each other.

use serde_json::Value;

use crate::place::{Place, SHORT};

/// The object has exactly these keys, in this order.
fn keys_are(value: &Value, keys: &[&str]) {
    let found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, keys, "{value}");
}

/// The object has at least these keys.
fn has_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "{key} is missing in {value}");
    }
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-4, "{a} and {b}");
}

#[test]
fn a_training_run_logs_every_step_and_event() {
    let place = Place::with_model();
    let flags = "--val-split 0.1 --eval-every 2 --save-every 2";
    let line = format!("pretrain --model model --data docs.jsonl --out run --json {flags} {SHORT}");
    let shown = place.run(&line).ok().json();
    let log = place.log("run");
    let events: Vec<&str> = log.iter().map(|line| line["event"].as_str().unwrap_or("step")).collect();
    assert_eq!(events, ["step", "step", "eval", "save", "step", "eval", "save", "done"]);
    for step in log.iter().filter(|line| line.get("event").is_none()) {
        keys_are(step, &["step", "loss", "lr", "grad_norm", "tokens", "tokens_per_second", "elapsed_s"]);
        assert!(
            step["loss"].as_f64().unwrap() > 0.0 && step["tokens_per_second"].as_f64().unwrap() > 0.0,
            "{step}"
        );
    }
    let steps = place.logged_steps("run");
    // Two rows of 32 tokens a step, and the packing leaves no padding.
    assert_eq!(
        steps.iter().map(|step| (step[0], step[4])).collect::<Vec<_>>(),
        [(1.0, 64.0), (2.0, 128.0), (3.0, 192.0)]
    );
    has_keys(&log[2], &["step", "loss", "bits_per_byte", "targets"]);
    has_keys(&log[3], &["step", "best"]);
    assert_eq!(log[7]["out"], "run");
    assert_eq!(log[7]["heldout_loss"], log[5]["loss"]);
    for line in &shown {
        assert!(log.contains(line), "{line} is shown and not logged");
    }
    assert_eq!(shown.last(), log.last());
}

#[test]
fn json_and_quiet_say_nothing_else() {
    let place = Place::with_model();
    let train = format!("pretrain --model model --data docs.jsonl {SHORT} --out");
    let quiet = place.run(&format!("{train} a --quiet")).ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("a\n", ""));
    let both = place.run(&format!("{train} b --quiet --json")).ok();
    assert_eq!((both.json().len(), both.stderr.as_str()), (4, ""));
    // Words for people go to stderr: what the run is, what it will need, how it goes, and what to do next.
    let said = place.run(&format!("{train} c")).ok();
    assert_eq!(said.stdout, "c\n");
    let remarks = [
        "parameters on cpu",
        "3 steps of 2 × 32 tokens",
        "memory about",
        "time about",
        "step 3/3",
        "kindling generate --model c",
    ];
    said.expect(0, &remarks);
}

#[test]
fn a_score_agrees_with_itself_and_with_its_logits() {
    let place = Place::with_model();
    let score = place.run("score --model model --tokens 1,2,3,44,5 --json").ok().result();
    keys_are(&score, &["tokens", "logprobs", "nll", "tokens_scored", "bits_per_byte"]);
    assert_eq!(score["tokens"], serde_json::json!([1, 2, 3, 44, 5]));
    assert_eq!((&score["logprobs"][0], &score["tokens_scored"]), (&Value::Null, &4.into()));
    let logprobs: Vec<f64> = score["logprobs"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    close(-logprobs.iter().sum::<f64>(), score["nll"].as_f64().unwrap());
    // The last position's logits say how likely the next token would be.
    let before = place.run("score --model model --tokens 1,2,3,44 --logits --json").ok().result();
    let logits = floats(&before["logits"]);
    assert_eq!(logits.len(), 300);
    let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
    close(logits[5] - total.ln(), logprobs[3]);
    for (earlier, later) in
        before["logprobs"].as_array().unwrap().iter().zip(score["logprobs"].as_array().unwrap()).skip(1)
    {
        close(earlier.as_f64().unwrap(), later.as_f64().unwrap());
    }
    let one = place.run("score --model model --tokens 7 --json").expect(0, &["nothing is scored"]).result();
    assert_eq!((&one["logprobs"], &one["tokens_scored"]), (&serde_json::json!([null]), &0.into()));
}

#[test]
fn a_text_is_scored_by_its_bytes_and_a_file_by_its_rows() {
    let place = Place::with_model();
    let text =
        place.run_words(&["score", "--model", "model", "--text", "The lamp shines", "--json"]).ok().result();
    let ids = text["tokens"].as_array().unwrap();
    let given: Vec<String> = ids.iter().map(Value::to_string).collect();
    let same = place.run(&format!("score --model model --tokens {} --json", given.join(","))).ok().result();
    assert_eq!(text, same);
    // "The" is the first token, which nothing predicts; " lamp shines" has 12 bytes.
    let nll = text["nll"].as_f64().unwrap();
    close(text["bits_per_byte"].as_f64().unwrap(), nll / std::f64::consts::LN_2 / 12.0);
    place.write("a.jsonl", "{\"text\": \"The lamp shines\"}\n".repeat(3));
    let file = place.run("score --model model --data a.jsonl --json").ok().result();
    has_keys(&file, &["nll", "tokens_scored", "bits_per_byte"]);
    assert_eq!(file["rows"], 3);
    close(file["nll"].as_f64().unwrap(), 3.0 * nll);
    close(file["bits_per_byte"].as_f64().unwrap(), text["bits_per_byte"].as_f64().unwrap());
    let limited = place.run("score --model model --data a.jsonl --limit 1 --json").ok().result();
    close(limited["nll"].as_f64().unwrap(), nll);
}

#[test]
fn a_tokenizer_report_counts_what_is_there() {
    let place = Place::with_model();
    place.write("a.jsonl", "{\"text\": \"The lamp shines at night.\"}\n{\"text\": \"你好 🌍\"}\n");
    let report = place.run("tokenizer report --model tok --data a.jsonl --cost lamp --json").ok().result();
    has_keys(
        &report,
        &["vocab_size", "tokens", "bytes_per_token", "chars_per_token", "zh_chars_per_token", "failures"],
    );
    assert_eq!((&report["vocab_size"], &report["texts"]), (&300.into(), &2.into()));
    assert_eq!((&report["bytes"], &report["chars"]), (&(25 + 11).into(), &(25 + 4).into()));
    assert_eq!(report["round_trip_failures"], 0);
    assert_eq!(report["costs"][0]["text"], "lamp");
    let trained =
        "tokenizer train --data docs.jsonl --vocab-size 280 --special-tokens <a>,<b> --out other --json";
    let trained = place.run(trained).ok().result();
    assert_eq!((&trained["out"], &trained["vocab_size"]), (&"other".into(), &280.into()));
    let vocabulary = place.json("other/vocab.json");
    assert_eq!((&vocabulary["<a>"], &vocabulary["<b>"]), (&0.into(), &1.into()));
    assert!(place.text("other/merges.txt").lines().count() > 20);
}

#[test]
fn a_preview_shows_tokens_and_targets() {
    let place = Place::with_model();
    let preview = "data preview --model model --data chat.jsonl --limit 2 --json";
    let rows = place.run(preview).ok().json();
    assert_eq!(rows.len(), 2);
    for (row, line) in rows.iter().zip(1..) {
        has_keys(row, &["source", "tokens", "mask", "kept", "targets"]);
        assert_eq!(row["line"], line);
        let (tokens, mask) = (row["tokens"].as_array().unwrap(), row["mask"].as_array().unwrap());
        assert_eq!(tokens.len(), mask.len());
        assert_eq!(row["kept"], tokens.len());
        let targets = mask.iter().filter(|target| **target == 1).count();
        assert!(targets > 3 && targets < tokens.len() / 2, "{row}");
        assert_eq!(row["targets"], targets);
    }
    let cut = place.run(&format!("{preview} --max-seq-len 10")).ok().json();
    assert_eq!(cut[0]["kept"], 11, "ten tokens to read, and the last one's target");
    // For people, the targets stand in brackets: the answer and its end, and nothing else.
    let shown = place.run("data preview --model model --data chat.jsonl --limit 1").ok().stdout;
    assert!(shown.contains("<|im_start|>assistant\n[It is 1.<|im_end|>]"), "{shown}");
    assert_eq!(shown.matches('[').count(), 1, "{shown}");
}

/// Mesa's layer for choosing a card asks Wayland, which calls it an error where a session has none.
#[test]
fn a_start_without_a_desktop_says_nothing_of_wayland() {
    let place = Place::new();
    for runtime in ["", "relative"] {
        let env = [("XDG_RUNTIME_DIR", runtime), ("WAYLAND_DISPLAY", "")];
        let doctor = place.start_with_env(&env, "doctor --device auto").finish().ok();
        assert!(!doctor.stderr.contains("XDG_RUNTIME_DIR"), "{doctor}");
    }
}

#[test]
fn doctor_plan_and_bench_tell_what_they_measure() {
    let place = Place::with_model();
    let doctor = place.run("doctor --json").ok().result();
    has_keys(&doctor, &["version", "threads", "memory_total_bytes", "features", "devices", "auto"]);
    assert_eq!(doctor["devices"][0]["choice"], "cpu");
    assert_eq!(doctor["device"], "cpu", "the device that was asked for");
    assert!(place.run("doctor").ok().stdout.contains("--device cpu can be used"));
    assert!(
        doctor["devices"]
            .as_array()
            .unwrap()
            .iter()
            .all(|found| found["software"] == false || found["choice"] != doctor["auto"])
    );

    let plan = place.run("plan --preset minimind3 --json").ok().result();
    has_keys(
        &plan,
        &["parameters", "steps", "tokens", "state_bytes", "memory_free_bytes", "device", "seconds"],
    );
    assert_eq!(plan["parameters"], 63_912_192, "the published size");
    assert_eq!(place.run("plan --model model --json").ok().result()["parameters"], 7152);

    let bench = "bench --preset nano --batch-size 1 --max-seq-len 16 --seconds 0.05 --json";
    let rows = place.run(bench).ok().json();
    let kinds: Vec<&Value> = rows.iter().map(|row| &row["what"]).collect();
    assert_eq!(kinds, ["train", "prefill", "decode"]);
    let keys = "what device dtype preset batch seq first_s steps elapsed_s tokens_per_second peak_memory_bytes \
                flops_per_second share_of_peak";
    for row in &rows {
        let mut keys: Vec<_> = keys.split(' ').collect();
        keys.extend((row["what"] == "decode").then_some("new_tokens"));
        keys_are(row, &keys);
        assert_eq!(
            (&row["device"], &row["dtype"], &row["preset"]),
            (&"cpu".into(), &"f32".into(), &"nano".into())
        );
        assert!(row["tokens_per_second"].as_f64().unwrap() > 0.0, "{row}");
    }
    let one = place.run(&format!("{bench} --what prefill")).ok().result();
    assert_eq!((&one["what"], &one["batch"], &one["seq"]), (&"prefill".into(), &1.into(), &16.into()));
    let flags = "--model model --what decode --decode-batch-size 3 --new-tokens 5";
    let own = place.run(&format!("bench {flags} --max-seq-len 16 --seconds 0 --json")).ok().result();
    assert_eq!((&own["batch"], &own["new_tokens"], &own["steps"]), (&3.into(), &5.into(), &2.into()));
    assert_eq!((&own["model"], &own["preset"]), (&"model".into(), &Value::Null));
}
