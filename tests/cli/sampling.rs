//! `generate` and `chat`: every flag that is accepted acts.

use serde_json::Value;

use crate::harness::Outcome;
use crate::place::Place;

fn generate(place: &Place, flags: &str) -> Value {
    place.run(&format!("generate --model model --tokens 1,44,67 --json {flags}")).ok().result()
}

fn ids(generation: &Value) -> Vec<u64> {
    generation["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

#[test]
fn a_generation_has_its_keys_and_only_new_ids() {
    let place = Place::with_model();
    let made = generate(&place, "--max-new-tokens 5 --ignore-eos");
    let keys: Vec<&String> = made.as_object().unwrap().keys().collect();
    let expected = [
        "prompt_tokens",
        "tokens",
        "text",
        "finish_reason",
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
    ];
    assert_eq!(keys, expected);
    assert_eq!(made["prompt_tokens"], serde_json::json!([1, 44, 67]));
    assert_eq!((ids(&made).len(), &made["finish_reason"]), (5, &"length".into()));
    assert!(made["decode_tokens_per_second"].as_f64().unwrap() > 0.0);
    // The context of 128 is an end too.
    let full = generate(&place, "--max-new-tokens 500 --ignore-eos");
    assert_eq!((ids(&full).len(), &full["finish_reason"]), (128 - 3 + 1, &"length".into()));
}

#[test]
fn greedy_takes_the_most_likely_token() {
    let place = Place::with_model();
    let made = generate(&place, "--temperature 0 --max-new-tokens 4 --ignore-eos");
    let mut prompt = "1,44,67".to_string();
    for id in ids(&made) {
        let score =
            place.run(&format!("score --model model --tokens {prompt} --logits --json")).ok().result();
        let logits: Vec<f64> =
            score["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let highest = logits.iter().copied().fold(f64::MIN, f64::max);
        // The cache sums in another order: equal up to rounding.
        assert!(logits[id as usize] > highest - 1e-4, "{made}");
        prompt += &format!(",{id}");
    }
}

#[test]
fn the_seed_decides() {
    let place = Place::with_model();
    let wide = "--temperature 1 --top-k 0 --top-p 1 --max-new-tokens 20 --ignore-eos";
    let with = |seed: u64| ids(&generate(&place, &format!("{wide} --seed {seed}")));
    assert_eq!(with(5), with(5));
    assert_ne!(with(5), with(6));
    // What is left of one token, or of one share, is the greedy choice.
    let greedy = ids(&generate(&place, "--temperature 0 --max-new-tokens 20 --ignore-eos"));
    for narrow in ["--top-k 1 --top-p 1", "--top-k 0 --top-p 0.000001", "--top-k 0 --top-p 1 --min-p 1"] {
        let flags = format!("--temperature 1 {narrow} --max-new-tokens 20 --ignore-eos --seed 9");
        assert_eq!(ids(&generate(&place, &flags)), greedy, "{narrow}");
    }
    let varied =
        ids(&generate(&place, "--temperature 0 --repetition-penalty 100 --max-new-tokens 20 --ignore-eos"));
    let distinct: std::collections::BTreeSet<u64> = varied.iter().copied().collect();
    assert_eq!(distinct.len(), varied.len(), "nothing repeats: {varied:?}");
}

#[test]
fn penalties_by_count_and_biases_act_within_their_limits() {
    let place = Place::with_model();
    let row = |settings: &str| {
        place.write("row.jsonl", format!("{{\"prompt\": \"the\", {settings}}}\n"));
        let flags = "--temperature 0 --max-new-tokens 20 --ignore-eos --json";
        ids(&place.run(&format!("generate --model model --data row.jsonl {flags}")).ok().result())
    };
    assert_eq!(row("\"logit_bias\": {\"5\": 100}"), [5; 20]);
    // Of two that are as good as forced, each makes way for the other.
    let both = "\"logit_bias\": {\"5\": 100, \"6\": 99}";
    let alternating: std::collections::BTreeSet<u64> =
        row(&format!("{both}, \"frequency_penalty\": 2")).into_iter().collect();
    assert_eq!(alternating, [5, 6].into());
    let plain = "--temperature 0 --max-new-tokens 8 --ignore-eos";
    let off = format!("{plain} --presence-penalty 0 --frequency-penalty 0");
    assert_eq!(ids(&generate(&place, &off)), ids(&generate(&place, plain)));
    let wild = "generate --model model --tokens 1 --presence-penalty -2.5 --frequency-penalty 3";
    let parts = ["--frequency-penalty is 3, but it must lie between -2 and 2", "--presence-penalty is -2.5"];
    place.run(wild).expect(2, &parts);
    place.write("bad.jsonl", "{\"prompt\": \"the\", \"logit_bias\": {\"9999999\": 1}}\n");
    place
        .run("generate --model model --data bad.jsonl")
        .expect(1, &["token 9999999 is outside the vocabulary"]);
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let place = Place::with_model();
    let flags = "--temperature 1 --top-k 0 --top-p 1 --max-new-tokens 100 --ignore-eos --seed 3";
    let text = generate(&place, flags)["text"].as_str().unwrap().to_string();
    // Not the first characters, so that something stands before it.
    let mut letters = text.char_indices().skip(5).filter(|(_, c)| c.is_ascii_alphabetic());
    let (at, stop) = letters.find(|(at, c)| !text[..*at].contains(*c)).expect("a letter in 100 tokens");
    let made = generate(&place, &format!("{flags} --stop never --stop {stop}"));
    assert_eq!((&made["text"], &made["finish_reason"]), (&text[..at].into(), &"stop".into()));
    place.run("generate --model model --tokens 1 --stop=").expect(2, &["--stop is empty"]);
}

#[test]
fn an_end_token_ends_and_can_be_ignored() {
    let place = Place::with_model();
    let greedy = "--temperature 0 --max-new-tokens 6";
    let made = ids(&generate(&place, &format!("{greedy} --ignore-eos")));
    let (end, before) = (made[3], made.iter().position(|id| *id == made[3]).unwrap());
    let config = place.text("model/generation_config.json");
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["eos_token_id"] = end.into();
    place.write("model/generation_config.json", config.to_string());
    let ended = generate(&place, greedy);
    assert_eq!((ids(&ended), &ended["finish_reason"]), (made[..before].to_vec(), &"stop".into()));
    assert_eq!(ids(&generate(&place, &format!("{greedy} --ignore-eos"))), made);
}

#[test]
fn a_prompt_comes_as_words_as_input_or_as_ids() {
    let place = Place::with_model();
    let flags = ["--temperature", "0", "--max-new-tokens", "5", "--ignore-eos", "--json"];
    let said = |prompt: &str| {
        let words = [&["generate", "--model", "model", "--prompt", prompt][..], &flags].concat();
        place.run_words(&words).ok().result()
    };
    let words = said("The lamp 你好");
    let line = format!("generate --model model --prompt - {}", flags.join(" "));
    let input = place.run_with_input(&line, "The lamp 你好").ok().result();
    let given: Vec<String> =
        words["prompt_tokens"].as_array().unwrap().iter().map(Value::to_string).collect();
    let tokens =
        place.run(&format!("generate --model model --tokens {} {}", given.join(","), flags.join(" ")));
    let echoed = ["\n", "\r\n"].map(|end| format!("The lamp 你好{end}"));
    let echoed = echoed.map(|text| place.run_with_input(&line, text).ok().result());
    for other in [input, tokens.ok().result()].into_iter().chain(echoed) {
        for key in ["prompt_tokens", "tokens", "text"] {
            assert_eq!(words[key], other[key]);
        }
    }
    // Ids need no tokenizer, and then there is no text.
    place.remove("model/tokenizer.json");
    assert_eq!(generate(&place, "--max-new-tokens 2 --ignore-eos")["text"], "");
    let plain = place.run("generate --model model --prompt lamp").expect(1, &["--tokens"]);
    assert_eq!(plain.stdout, "");
}

#[test]
fn the_demo_completes_chinese_and_english_prompts() {
    let place = Place::with_model();
    let demo = place.run("generate --model model --demo --max-new-tokens 3 --json").ok().json();
    assert!(demo.len() >= 4);
    let shown = place.run("generate --model model --demo --max-new-tokens 3").ok().stdout;
    assert!(shown.contains("Once upon a time") && shown.contains("从前"), "{shown}");
}

fn chat(place: &Place, flags: &str, input: &str) -> Outcome {
    place.run_with_input(&format!("chat --model model --max-new-tokens 4 --ignore-eos {flags}"), input)
}

#[test]
fn a_conversation_knows_its_commands() {
    let place = Place::with_model();
    let talk = chat(
        &place,
        "--json --history 2",
        "/help\nhello\n/nope\n/reset\n/system Be kind.\nhello again\n/quit\nno\n",
    );
    let talk = talk.expect(0, &["/system TEXT", "there is no /nope"]);
    let answers = talk.json();
    assert_eq!(answers.len(), 2, "{talk}");
    for answer in &answers {
        assert_eq!(answer["role"], "assistant");
        assert!(answer["content"].is_string() && answer["decode_tokens_per_second"].is_f64(), "{answer}");
    }
    // The end of the input is an end too, and speed is shown.
    chat(&place, "", "hello\n").expect(0, &["tokens/s"]);
    assert_eq!(chat(&place, "--json --prompt hello", "").ok().json().len(), 1);
    // A question that does not fit is said, and the conversation goes on.
    let long = "lamp ".repeat(200);
    let outcome = chat(&place, "--json", &format!("{long}\nhello\n")).expect(0, &["128"]);
    assert_eq!(outcome.json().len(), 1, "{outcome}");
}

#[test]
fn prompts_of_a_file_come_out_as_each_does_alone() {
    let place = Place::with_model();
    place.write(
        "prompts.jsonl",
        "{\"prompt\": \"the\"}\n\n{\"text\": \"a long way from here\"}\n{\"prompt\": \"on\"}\n",
    );
    let flags = "--model model --temperature 0.9 --max-new-tokens 6 --json";
    let made =
        place.run(&format!("generate {flags} --data prompts.jsonl --batch-size 2 --seed 5")).ok().json();
    let lines: Vec<u64> = made.iter().map(|row| row["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [1, 3, 4]);
    for (row, (seed, prompt)) in made.iter().zip([(5, "the"), (6, "a long way from here"), (7, "on")]) {
        let seed = seed.to_string();
        let args = ["generate", "--prompt", prompt, "--seed", &seed];
        let args: Vec<&str> = args.into_iter().chain(flags.split(' ')).collect();
        let alone = place.run_words(&args).ok().result();
        assert_eq!((&row["tokens"], &row["text"]), (&alone["tokens"], &alone["text"]), "{prompt}");
    }
    place.write("prompts.jsonl", "{\"prompt\": \"x\"}\n{\"question\": 1}\n");
    place
        .run(&format!("generate {flags} --data prompts.jsonl"))
        .expect(1, &["prompts.jsonl:2: question must be a string, found a number"]);
}

#[test]
fn a_models_own_settings_count_where_no_flag_says_otherwise() {
    let place = Place::with_model();
    let plain = generate(&place, "--max-new-tokens 9 --ignore-eos");
    let greedy = generate(&place, "--temperature 0 --max-new-tokens 9 --ignore-eos");
    let mut own = place.json("model/generation_config.json");
    for (key, value) in
        [("do_sample", false.into()), ("max_new_tokens", 9.into()), ("num_beams", Value::from(4))]
    {
        own[key] = value;
    }
    place.write("model/generation_config.json", own.to_string());
    let line = "generate --model model --tokens 1,44,67 --ignore-eos --json";
    let made = place.run(line).expect(
        0,
        &[
            "from the model's generation_config.json: temperature 0.0, max_new_tokens 9",
            "generation_config.json sets num_beams, which is not built here",
        ],
    );
    assert_eq!(made.stderr.matches("num_beams").count(), 1, "{made}");
    assert_eq!(ids(&made.result()), ids(&greedy));
    let said = place.run(&format!("{line} --temperature 0.85 --max-new-tokens 9")).ok();
    assert_eq!(ids(&said.result()), ids(&plain));
    let narrowed = place.run(&format!("{line} --top-p 0.5")).expect(0, &["top_p does nothing"]);
    assert_eq!(ids(&narrowed.result()), ids(&greedy));
    // Rows count before the model, and a conversation is held by the same settings.
    place.write("prompts.jsonl", "{\"prompt\": \"the\"}\n{\"prompt\": \"the\", \"max_new_tokens\": 2}\n");
    let rows = place.run("generate --model model --data prompts.jsonl --ignore-eos --json").ok().json();
    assert_eq!(rows.iter().map(|row| ids(row).len()).collect::<Vec<_>>(), [9, 2]);
    let talk = place.run("chat --model model --prompt hi --ignore-eos").expect(0, &["(9 tokens"]);
    assert_eq!(talk.stderr.matches("num_beams").count(), 1, "{talk}");
    place.run("generate --help").ok();
}

#[test]
fn a_line_that_is_not_utf8_does_not_end_a_conversation() {
    let place = Place::with_model();
    let line = "chat --model model --max-new-tokens 2 --ignore-eos --json";
    let talk = place.run_with_input(line, b"hello\r\nna\xEFve\nlast");
    let talk = talk.expect(0, &["line 2 of the input is not UTF-8"]);
    assert_eq!(talk.json().len(), 3, "{talk}");
}

#[test]
fn special_tokens_stand_for_no_bytes() {
    let place = Place::with_model();
    let tokenizer = place.json("model/tokenizer.json");
    let special = tokenizer["added_tokens"].as_array().unwrap().iter().find(|token| token["special"] == true);
    let special = &special.unwrap()["id"];
    let bytes = |tokens: &str| {
        let score = place.run(&format!("score --model model --tokens {tokens} --json")).ok().result();
        let bits = score["bits_per_byte"].as_f64()?;
        Some(score["nll"].as_f64().unwrap() / std::f64::consts::LN_2 / bits)
    };
    let words = bytes("44,67,70").unwrap();
    assert!((words - words.round()).abs() < 1e-6 && words >= 2.0, "{words}");
    let with = bytes(&format!("44,{special},67,70,{special}")).unwrap();
    assert!((with - words).abs() < 1e-6, "{with} and {words}");
    assert_eq!(bytes(&format!("44,{special}")), None);
}
