//! `data preview`: what training sees of each row, and what is odd about it.

use serde_json::json;

use crate::place::{Place, SHORT};

/// Prints texts alone: no tools, no calls, no reasoning.
const PLAIN: &str =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
const DATED: &str = "{{ strftime_now('%d %b %Y') }}\n{% for m in messages %}<|im_start|>{{ m.role }}\n\
                     {{ m.content }}<|im_end|>\n{% endfor %}";

/// A row with tools, a call and its answer.
fn call(words: &str) -> String {
    let tools =
        json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    let calls = json!([{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]);
    let row = json!({"tools": tools, "messages": [
        {"role": "user", "content": "Rain in Oslo?"},
        {"role": "assistant", "content": words, "tool_calls": calls},
        {"role": "tool", "content": "no"},
        {"role": "assistant", "content": "No rain."},
    ]});
    format!("{row}\n")
}

#[test]
fn every_stage_shows_its_own_rows() {
    let place = Place::with_model();
    place.write("pairs.jsonl", "{\"prompt\": \"Hi\", \"chosen\": \"Hello.\", \"rejected\": \"No.\"}\n");
    for (stage, data, rows) in
        [("pretrain", "docs", 1), ("sft", "chat", 1), ("distill", "chat", 1), ("dpo", "pairs", 2)]
    {
        let line = format!(
            "data preview --model model --stage {stage} --data {data}.jsonl --limit 1 --max-seq-len 96 --json"
        );
        let shown = place.run(&line).ok().json();
        assert_eq!(shown.len(), rows, "{stage}: {shown:?}");
        for row in &shown {
            assert!(row["targets"].as_u64().unwrap() > 0 && row["tokens"].is_array(), "{stage}: {row}");
        }
        let sides: Vec<_> = shown.iter().filter_map(|row| row["side"].as_str()).collect();
        assert_eq!(sides.join(" "), if stage == "dpo" { "chosen rejected" } else { "" }, "{stage}");
        // Rows of another stage are refused, with what was found.
        let other = if stage == "dpo" { "docs" } else { "pairs" };
        place.run(&line.replace(&format!("{data}.jsonl"), &format!("{other}.jsonl"))).expect(1, &[other]);
    }
}

#[test]
fn what_a_template_leaves_out_is_counted_and_an_emptied_answer_refused() {
    let place = Place::with_model();
    place.write("plain.jinja", PLAIN);
    place.write("calls.jsonl", call("I look.") + &call("Wait."));
    let own = place.run("data preview --model tok --data calls.jsonl --max-seq-len 2000").ok();
    for printed in ["\"parameters\"", "I look.\n<tool_call>\n", "\"city\": \"Oslo\"", "<tool_response>\nno"] {
        assert!(own.stdout.contains(printed), "{printed}\n{own}");
    }
    assert!(!own.stderr.contains("warning"), "the default template prints all\n{own}");

    let plain = "data preview --model model --chat-template plain.jinja --data";
    let outcome = place.run(&format!("{plain} calls.jsonl --json")).expect(
        0,
        &[
            "2 rows: the chat template prints no descriptions of tools (the first: calls.jsonl:1)",
            "2 rows: the chat template leaves out the call of a tool (the first: calls.jsonl:1)",
        ],
    );
    assert_eq!(outcome.json()[0]["warnings"], json!(["tools_left_out", "tool_call_left_out"]));

    place.write("emptied.jsonl", call("Wait.") + &call(""));
    let emptied = "emptied.jsonl:2: message 2 holds calls of tools or reasoning";
    place.run(&format!("{plain} emptied.jsonl")).expect(1, &[emptied, "--chat-template FILE"]);
    let skipped = "1 row cannot be rendered and is left out (the first: emptied.jsonl:2";
    place.run(&format!("{plain} emptied.jsonl --skip-bad-rows")).expect(0, &[skipped]);
}

#[test]
fn parts_that_a_template_leaves_out_are_counted() {
    let place = Place::with_model();
    place.write("calls.jsonl", call("I look."));
    place.write(
        "names.jinja",
        "{% for t in tools or [] %}{{ t.function.name }}\n{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n\
         {{ m.content }}{% for c in m.tool_calls or [] %}({{ c.function.name }}){% endfor %}<|im_end|>\n{% endfor %}",
    );
    let line =
        "data preview --model tok --data calls.jsonl --chat-template names.jinja --max-seq-len 500 --json";
    let outcome = place.run(line).expect(
        0,
        &[
            "1 row: the chat template prints the call of a tool without its arguments, or not all of them (the first: calls.jsonl:1)",
        ],
    );
    let warnings = outcome.json()[0]["warnings"].clone();
    assert_eq!(
        warnings,
        json!(["call_arguments_left_out"]),
        "the tool has neither a description nor parameters"
    );
}

#[test]
fn a_template_that_uses_what_is_not_known_is_named_and_not_the_row() {
    let place = Place::with_model();
    place.write("odd.jinja", "{% for m in messages %}{{ m.content|xmlattr }}<|im_end|>{% endfor %}");
    let told = ["filter xmlattr", "no row can mend that", "--chat-template FILE", "(first for chat.jsonl:1)"];
    let line = "data preview --model model --data chat.jsonl --chat-template odd.jinja";
    let outcome = place.run(line).expect(1, &told);
    assert!(!outcome.stderr.contains("mend the row"), "{outcome}");
    place.run(&format!("{line} --skip-bad-rows")).expect(0, &["3 rows cannot be rendered and are left out"]);
}

#[test]
fn an_answer_that_is_dropped_or_a_call_that_is_doubled_is_refused() {
    let place = Place::with_model();
    place.write(
        "last.jinja",
        "{% for m in messages %}{% if not (m.role=='assistant' and loop.last) %}{{ m.content }}{% endif %}<|im_end|>\
         {% endfor %}",
    );
    let turns = json!([
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": "r"}, {"role": "assistant", "content": "Rome."},
    ]);
    place.write("turns.jsonl", format!("{turns}\n"));
    let line = "data preview --model model --data turns.jsonl --chat-template last.jinja";
    place.run(line).expect(1, &["turns.jsonl:1: ", "nothing of message 2 where that is the last one"]);
    place.write(
        "doubled.jinja",
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}\
         {{ c|tojson }}{{ c|tojson }}{% endfor %}<|im_end|>\n{% endfor %}",
    );
    place.write("calls.jsonl", call("I look."));
    place
        .run("data preview --model model --data calls.jsonl --chat-template doubled.jinja")
        .expect(1, &["calls.jsonl:1: ", "message 2 more than once"]);
}

#[test]
fn answers_that_a_template_prints_twice_are_refused() {
    let place = Place::with_model();
    place.write(
        "twice.jinja",
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
         {% for m in messages if m.role == 'assistant' %}- {{ m.content }}\n{% endfor %}",
    );
    let told = ["chat.jsonl:1: ", "it prints the words of message 2 more than once", "{% generation %}"];
    for line in [
        "data preview --model model --data chat.jsonl --chat-template twice.jinja".to_string(),
        format!("sft --model model --data chat.jsonl --chat-template twice.jinja --out run {SHORT}"),
    ] {
        place.run(&line).expect(1, &[&told[..], &["--skip-bad-rows"]].concat());
    }
    assert!(!place.exists("run"));
}

#[test]
fn every_weight_is_seen_and_a_missing_end_is_told() {
    let place = Place::with_model();
    let turn = |role: &str, weight: f64| json!({"role": role, "content": format!("{role} {weight}"), "weight": weight});
    let row = json!([turn("user", 0.0), turn("assistant", 1.0), turn("user", 0.0), turn("assistant", 0.5)]);
    place.write("weights.jsonl", format!("{row}\n"));
    let shown = place.run("data preview --model model --data weights.jsonl").ok();
    for part in ["\n[assistant 1<|im_end|>]", "\n[×0.5:assistant 0.5<|im_end|>]", "weighed 1 0.5"] {
        assert!(shown.stdout.contains(part), "{part}\n{shown}");
    }
    assert!(!shown.stderr.contains("warning"), "{shown}");

    place.write(
        "endless.jinja",
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% endfor %}",
    );
    let line = "data preview --model model --data chat.jsonl --limit 1 --chat-template endless.jinja";
    let told = "the chat template writes no token of its own behind the assistant's words";
    place.run(line).expect(0, &[told]);
    let json = place.run(&format!("{line} --json")).ok().json();
    assert!(json[1]["warnings"][0].as_str().unwrap().starts_with(told), "{json:?}");
    place.run(&format!("{line} --stage pretrain --render-turns")).expect(0, &[told]);
}

#[test]
fn a_special_token_in_a_text_is_counted() {
    let place = Place::with_model();
    place.write("end.jsonl", "{\"q\": \"What ends a turn?\", \"a\": \"It is <|im_end|> that does.\"}\n");
    let told =
        "1 row: a message's own text holds a special token, which is read as one (the first: end.jsonl:1)";
    place.run("data preview --model model --data end.jsonl").expect(0, &[told]);
}

#[test]
fn longer_rows_are_cut_or_left_out_as_in_training() {
    let place = Place::with_model();
    let preview = "data preview --model model --data chat.jsonl --limit 1 --json";
    let whole = place.run(preview).ok().result();
    let length = whole["tokens"].as_array().unwrap().len();
    assert_eq!((&whole["kept"], whole.get("left_out")), (&json!(length), None));
    let cut = place.run(&format!("{preview} --max-seq-len {}", length - 3)).ok().result();
    assert_eq!((&cut["kept"], &cut["tokens"]), (&json!(length - 2), &whole["tokens"]));
    let dropped = place.run(&format!("{preview} --max-seq-len {} --too-long drop", length - 3)).ok().result();
    assert_eq!((&dropped["kept"], &dropped["targets"]), (&json!(0), &json!(0)));
    assert_eq!(dropped["left_out"], "longer than --max-seq-len");
    let unanswered = place.run(&format!("{preview} --max-seq-len 4")).ok().result();
    assert_eq!(
        (&unanswered["targets"], &unanswered["left_out"]),
        (&json!(0), &json!("nothing to learn in it"))
    );
    // A text goes on in further rows.
    let text =
        "data preview --model model --data docs.jsonl --limit 1 --stage pretrain --max-seq-len 8 --json";
    let text = place.run(text).ok().result();
    let length = text["tokens"].as_array().unwrap().len();
    assert_eq!(text["kept"], length);
    let pieces: Vec<usize> = serde_json::from_value(text["pieces"].clone()).unwrap();
    assert!(pieces.len() > 1 && pieces[..pieces.len() - 1].iter().all(|&tokens| tokens == 9), "{pieces:?}");
    assert_eq!(
        pieces.iter().sum::<usize>(),
        length + pieces.len() - 1,
        "each repeats a token of the one before"
    );
}

#[test]
fn long_rows_are_told_as_training_makes_them() {
    let place = Place::with_model();
    let text = "data preview --model model --data docs.jsonl --limit 1 --stage pretrain --max-seq-len 8";
    let shown =
        place.run(text).expect(0, &["training packs rows", "looked at the first 1 row, of which 1 can"]);
    assert!(
        shown.stdout.contains(" rows of at most 9 tokens, each of which begins with the last"),
        "{shown}"
    );
    assert!(shown.stdout.contains("\n─ row 1 of ") && shown.stdout.contains("\n─ row 2 of "), "{shown}");
    let chat = "data preview --model model --data chat.jsonl --limit 1 --max-seq-len";
    let cut = place.run(&format!("{chat} 24")).ok();
    assert!(cut.stdout.contains("cut behind the first 25 (--max-seq-len 24 and the last target)"), "{cut}");
    let dropped = place.run(&format!("{chat} 24 --too-long drop")).ok();
    assert!(dropped.stdout.contains("left out: longer than --max-seq-len 24\n"), "{dropped}");
    assert!(!dropped.stdout.contains("behind"), "{dropped}");
}

#[test]
fn a_preview_says_how_far_it_looked_and_what_had_nothing_to_do() {
    let place = Place::with_model();
    place.write("bad.jsonl", "{\"x\": 1}\n".repeat(9) + &"{\"q\": \"q\", \"a\": \"a\"}\n".repeat(9));
    place
        .run("data preview --model model --data bad.jsonl")
        .expect(1, &["rows are looked at until 3 of them can be used (--limit)"]);
    place
        .run("data preview --model model --data bad.jsonl --skip-bad-rows")
        .expect(0, &["looked at the first 12 rows, of which 3 can be used"]);
    for flag in ["--join-turns", "--render-turns"] {
        let told = format!("{flag} had nothing to act on: all rows are texts");
        let line = format!("data preview --model model --data docs.jsonl --stage pretrain {flag}");
        place.run(&line).expect(0, &[told.as_str()]);
    }
}

#[test]
fn an_answer_that_is_asked_for_in_another_way_is_told() {
    let place = Place::with_model();
    place.write(
        "other.jinja",
        "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}\n{% else %}A: {{ m.content }}\
         <|im_end|>\n{% endif %}{% endfor %}{% if add_generation_prompt %}Answer: {% endif %}",
    );
    let told =
        "answers are trained behind \"A: \", and the chat template's generation prompt is \"Answer: \"";
    let line = "--model model --data chat.jsonl --chat-template other.jinja";
    place.run(&format!("data preview {line}")).expect(0, &[told]);
    place.run(&format!("sft {line} --out run {SHORT}")).expect(0, &[told]);
}

#[test]
fn the_date_is_todays_or_the_given_one_and_a_run_keeps_it() {
    let place = Place::with_model();
    place.write("dated.jinja", DATED);
    let preview = "data preview --model model --data chat.jsonl --limit 1 --chat-template dated.jinja";
    let given = place.run(&format!("{preview} --date 2024-07-26")).ok();
    assert!(given.stdout.contains("26 Jul 2024\n<|im_start|>user"), "{given}");
    let today = place.run(preview).ok();
    assert!(today.stdout.contains(" 20") && !today.stdout.contains("26 Jul 2024"), "{today}");
    for wrong in ["26.7.2024", "2023-02-29", "24-07-26"] {
        place.run(&format!("{preview} --date {wrong}")).expect(2, &["2025-07-31"]);
    }
    let idle = ["--date does nothing: the chat template prints no date"];
    for line in [
        "data preview --model model --data chat.jsonl --limit 1",
        "chat --model model --prompt hi --max-new-tokens 1",
        "sft --model model --data chat.jsonl --out undated --steps 1 --batch-size 2 --max-seq-len 96",
    ] {
        let told = place.run(&format!("{line} --date 2024-07-26")).expect(0, &idle);
        assert_eq!(told.stderr.matches(idle[0]).count(), 1, "{told}");
        assert!(!given.stderr.contains(idle[0]), "{given}");
    }
    let train = "sft --model model --data chat.jsonl --chat-template dated.jinja --out run --steps 2 --stop-after 1 --batch-size 2 \
                 --max-seq-len 96 --date 2024-07-26";
    place.run(train).ok();
    assert!(place.text("run/training/settings.toml").contains("date = \"2024-07-26\""));
    place
        .run("sft --resume --out run --date 2025-01-01")
        .expect(2, &["--date is 2025-01-01 now and was 2024-07-26"]);
    place.run("sft --resume --out run").ok();
}

#[test]
fn a_character_that_is_cut_is_shown_by_its_bytes() {
    let place = Place::with_model();
    // Of a script that the tokenizer has not seen: three tokens a character.
    place.write("rare.jsonl", format!("{}\n", json!({"user": "Hi", "assistant": "\u{a66e}".repeat(8)})));
    let preview = |flags: &str| place.run(&format!("data preview --data rare.jsonl {flags}")).ok().stdout;
    let whole = preview("--model tok");
    let tokens = whole.split(" · ").nth(1).unwrap().split(' ').next().unwrap().parse::<usize>().unwrap();
    // The last tokens end the turn; before them stand the answer's.
    let cut: Vec<String> =
        (6..9).map(|less| preview(&format!("--model tok --max-seq-len {}", tokens - less))).collect();
    for shown in &cut {
        assert!(!shown.contains('\u{fffd}') && shown.contains('~'), "{shown}");
    }
    for part in ["<EA>]~<99><AE>", "<EA><99>]~<AE>", "\u{a66e}]~\u{a66e}"] {
        assert_eq!(cut.iter().filter(|shown| shown.contains(part)).count(), 1, "{part}: {cut:?}");
    }
    // The same where tokens are hidden.
    place.run("convert --to diffusion --model model --out masked").ok();
    let hidden = preview("--model masked --t-range 0.5,0.5 --limit 1");
    assert!(!hidden.contains('\u{fffd}'), "{hidden}");
    assert!(["<EA>", "<99>", "<AE>"].iter().any(|byte| hidden.contains(byte)), "{hidden}");
}
