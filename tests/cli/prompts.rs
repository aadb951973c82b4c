//! `generate --data`: rows of prompts are read like rows to train on, and nothing of them is passed over in silence.

use serde_json::Value;

use crate::place::{Place, SHORT, document};

const GREEDY: &str = "generate --model model --temperature 0 --max-new-tokens 4 --ignore-eos --json";

fn tokens(generation: &Value) -> usize {
    generation["tokens"].as_array().unwrap().len()
}

#[test]
fn prompts_come_from_every_kind_of_file_and_from_a_pipe() {
    let place = Place::with_model();
    place.write("a.jsonl", "{\"prompt\": \"the lamp\"}\n\n{\"question\": \"the lamp\", \"answer\": \"x\"}\n");
    place.write("b.csv", "id,question\n1,the lamp\n");
    let rows = place.run(&format!("{GREEDY} --data a.jsonl --data b.csv"));
    let rows = rows.expect(0, &["3 rows, ", "unused keys: answer (1 row)"]).json();
    let places: Vec<(&str, u64)> =
        rows.iter().map(|row| (row["source"].as_str().unwrap(), row["line"].as_u64().unwrap())).collect();
    assert_eq!(places, [("a.jsonl", 1), ("a.jsonl", 3), ("b.csv", 2)]);
    // A text goes on as it is, a question through the chat template.
    let alone =
        place.run_words(&[&["generate", "--prompt", "the lamp"][..], &flags()[..]].concat()).ok().result();
    assert_eq!(rows[0]["tokens"], alone["tokens"]);
    assert_ne!(rows[0]["prompt_tokens"], rows[1]["prompt_tokens"]);
    assert_eq!(
        (&rows[1]["prompt_tokens"], &rows[1]["tokens"]),
        (&rows[2]["prompt_tokens"], &rows[2]["tokens"])
    );
    let piped =
        place.run_with_input(&format!("{GREEDY} --data -"), "{\"prompt\": \"the lamp\"}\n").ok().result();
    assert_eq!((&piped["source"], &piped["line"]), (&"stdin.json".into(), &1.into()));
    assert_eq!(piped["tokens"], alone["tokens"]);
    // Plain text does not tell where a prompt ends.
    place.run_with_input(&format!("{GREEDY} --data -"), "once\nupon").expect(1, &["--prompt -", ".jsonl"]);
}

/// The flags of [`GREEDY`] for words that hold spaces.
fn flags() -> Vec<&'static str> {
    GREEDY.split(' ').skip(1).collect()
}

#[test]
fn a_row_that_cannot_be_used_is_named_before_any_work() {
    let place = Place::with_model();
    let long = "lamp ".repeat(200);
    place.write(
        "prompts.jsonl",
        format!("{{\"prompt\": \"the\"}}\n{{\"prompt\": \"{long}\"}}\n{{\"prompt\": \"on\"}}\n"),
    );
    let refused = place.run(&format!("{GREEDY} --data prompts.jsonl"));
    let parts =
        ["prompts.jsonl:2: the prompt has ", "the model's context holds 128: shorten", "--skip-bad-rows"];
    assert_eq!(refused.expect(1, &parts).stdout, "");
    let rows = place.run(&format!("{GREEDY} --data prompts.jsonl --skip-bad-rows"));
    let rows = rows.expect(0, &["1 row cannot be used and is left out"]).json();
    assert_eq!(rows.iter().map(|row| row["line"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 3]);
    // A question that the template refuses, an empty text, an answer that is there already.
    place.write(
        "prompts.jsonl",
        "{\"prompt\": \"\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \
         \"content\": \"a\"}]}\n{\"prompt\": \"a\", \"tools\": [{\"name\": \"f\"}]}\n",
    );
    let parts = [
        "prompts.jsonl:1: the prompt holds no tokens",
        "prompts.jsonl:2: the conversation ends on the assistant",
        "prompts.jsonl:3: tools belongs to messages",
    ];
    place.run(&format!("{GREEDY} --data prompts.jsonl")).expect(1, &parts);
}

#[test]
fn settings_of_a_row_act_or_are_refused() {
    let place = Place::with_model();
    place.write(
        "prompts.jsonl",
        "{\"prompt\": \"the\", \"max_new_tokens\": 2}\n{\"prompt\": \"the\", \"temperature\": 1.5, \"seed\": 77}\n\
         {\"prompt\": \"the\"}\n{\"prompt\": \"the\", \"max_new_tokens\": 1000}\n",
    );
    let rows = place.run(&format!("{GREEDY} --data prompts.jsonl"));
    let bound =
        "1 row: the model's context of 128 tokens holds fewer new ones behind the prompt than max_new_tokens";
    let rows = rows.expect(0, &[bound, "(the first: prompts.jsonl:4)"]).json();
    assert_eq!(rows[..3].iter().map(tokens).collect::<Vec<_>>(), [2, 4, 4]);
    assert_eq!(tokens(&rows[3]), 128 + 1 - rows[3]["prompt_tokens"].as_array().unwrap().len());
    let alone = GREEDY.replace("--temperature 0", "--temperature 1.5 --seed 77 --prompt the");
    assert_eq!(rows[1]["tokens"], place.run(&alone).ok().result()["tokens"]);
    for (row, part) in [
        ("\"max_tokens\": 5", "max_tokens is not read here; write max_new_tokens"),
        ("\"temperature\": -1", ": temperature is -1"),
        ("\"n\": 3", "n is not read here; leave it out; a row has one answer"),
        ("\"top_p\": \"much\"", "top_p: expected a number, found \"much\""),
    ] {
        place.write("bad.jsonl", format!("{{\"prompt\": \"the\", {row}}}\n"));
        place.run(&format!("{GREEDY} --data bad.jsonl")).expect(1, &["bad.jsonl:1: ", part]);
    }
}

#[test]
fn every_setting_that_nothing_reads_is_named() {
    let place = Place::with_model();
    place.write(
        "prompts.jsonl",
        "{\"prompt\": \"the\", \"temprature\": 0.5, \"top-k\": 3, \"id\": 1}\n\
         {\"prompt\": \"the\", \"stream\": true, \"documents\": [{\"text\": \"d\"}]}\n",
    );
    let named = "unused keys: documents (1 row), stream (1 row), temprature (1 row), top-k (1 row); nothing";
    place.run(&format!("{GREEDY} --data prompts.jsonl")).expect(0, &[named]);
}

#[test]
fn a_template_is_taken_and_what_it_leaves_out_is_named() {
    let place = Place::with_model();
    place.write(
        "t.jinja",
        "{% for m in messages %}{{ m['content'] }}|{% endfor %}{% if loud %}!{% endif %}\
         {% if add_generation_prompt %}{{ strftime_now('%Y') }}>{% endif %}",
    );
    place.write(
        "prompts.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}], \"tools\": [{\"name\": \"f\"}]}\n\
         {\"question\": \"q\", \"chat_template_kwargs\": {\"loud\": true}}\n",
    );
    let line = format!("{GREEDY} --data prompts.jsonl --chat-template t.jinja --date 1999-12-31");
    let rows = place.run(&line).expect(
        0,
        &["1 row: the chat template prints no descriptions of tools (the first: prompts.jsonl:1)"],
    );
    for (row, text) in rows.json().iter().zip(["q|1999>", "q|!1999>"]) {
        let alone = [&["generate", "--prompt", text][..], &flags()[..]].concat();
        assert_eq!(row["prompt_tokens"], place.run_words(&alone).ok().result()["prompt_tokens"], "{text}");
    }
    place.write("texts.jsonl", "{\"prompt\": \"the\"}\n");
    let idle =
        ["--chat-template does nothing: all rows are texts", "--date does nothing: all rows are texts"];
    place.run(&line.replace("prompts.jsonl", "texts.jsonl")).expect(0, &idle);
    place.write("wrong.jinja", "{% for %}");
    place
        .run(&format!("{GREEDY} --data prompts.jsonl --chat-template wrong.jinja"))
        .expect(1, &["wrong.jinja: "]);
}

#[test]
fn flags_of_rows_without_rows_are_refused_by_name() {
    let place = Place::with_model();
    for flag in
        ["--batch-size 2", "--skip-bad-rows", "--limit 3", "--chat-template t.jinja", "--date 1999-12-31"]
    {
        let name = flag.split(' ').next().unwrap();
        let parts = [format!("{name} acts on the rows of --data alone")];
        place.run(&format!("{GREEDY} --prompt the {flag}")).expect(2, &parts.each_ref().map(String::as_str));
    }
}

#[test]
fn rows_are_kept_in_a_file_and_go_on_where_it_ends() {
    let place = Place::with_model();
    let prompts: String = (0..5).map(|i| format!("{{\"prompt\": \"the lamp {i}\"}}\n")).collect();
    place.write("prompts.jsonl", &prompts);
    let shown = place.run(&format!("{GREEDY} --data prompts.jsonl")).ok().json();
    let line = format!("{GREEDY} --data prompts.jsonl --batch-size 2 --out out.jsonl");
    let done = place.run(&line).ok().result();
    assert_eq!((&done["event"], &done["rows"]), (&"done".into(), &5.into()));
    let rows =
        |text: &str| -> Vec<Value> { text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() };
    let essence =
        |row: &Value| ["source", "line", "prompt_tokens", "tokens", "text"].map(|key| row[key].clone());
    let whole = place.text("out.jsonl");
    let made = rows(&whole);
    assert_eq!(made.iter().map(essence).collect::<Vec<_>>(), shown.iter().map(essence).collect::<Vec<_>>());
    // A process that was killed left two rows and a half.
    let two = whole.split_inclusive('\n').take(2).collect::<String>();
    place.write("out.jsonl", format!("{two}{{\"source\": \"pro"));
    place.run(&line).expect(2, &["out.jsonl is there already", "--resume", "--overwrite"]);
    place.run(&format!("{line} --resume")).expect(0, &["going on behind 2 of 5 rows"]);
    let again = place.text("out.jsonl");
    assert!(again.starts_with(&two), "{again}");
    assert_eq!(
        rows(&again).iter().map(essence).collect::<Vec<_>>(),
        made.iter().map(essence).collect::<Vec<_>>()
    );
    for (changed, part) in [
        (format!("{line} --resume --seed 5"), "a setting of the sampling is not what made"),
        (format!("{line} --resume --limit 4"), "the prompts, or"),
        (line.replace("out.jsonl", "prompts.jsonl --overwrite"), "is among the prompts"),
        (format!("{GREEDY} --prompt the --out out.jsonl"), "--data"),
        (format!("{GREEDY} --data prompts.jsonl --resume"), "--out"),
    ] {
        place.run(&changed).expect(2, &[part]);
        assert_eq!((place.text("out.jsonl"), place.text("prompts.jsonl")), (again.clone(), prompts.clone()));
    }
}

#[test]
fn an_answer_that_the_context_bounds_is_told() {
    let place = Place::with_model();
    let bounded = "generate --model model --tokens 1,44,67 --ignore-eos --max-new-tokens 500 --json";
    let made = place.run(bounded).expect(
        0,
        &["128 tokens holds the 3 of the prompt and 126 new ones, not the 500 of --max-new-tokens"],
    );
    assert_eq!(tokens(&made.result()), 126);
    let told = "of the prompt and";
    let fits = place.run(&bounded.replace("500", "126")).ok();
    assert!(!fits.stderr.contains(told), "{fits}");
    place
        .run("chat --model model --ignore-eos --max-new-tokens 500 --prompt hello")
        .expect(0, &["--max-new-tokens is 500", "holds 128 tokens", "context of 128 tokens is full"]);
}

#[test]
fn a_conversation_beyond_the_context_forgets_its_oldest_turns_and_says_so() {
    let place = Place::with_model();
    let talk = "chat --model model --ignore-eos --max-new-tokens 10 --json";
    let questions = "tell me of the lamp\n".repeat(9);
    let outcome = place.run_with_input(talk, &questions);
    let outcome =
        outcome.expect(0, &["of the oldest messages are forgotten: the model's context holds 128 tokens"]);
    let answers = outcome.json();
    assert_eq!(answers.len(), 9, "{outcome}");
    let dropped: u64 = answers.iter().map(|answer| answer["dropped_messages"].as_u64().unwrap()).sum();
    assert!(dropped >= 2 && dropped.is_multiple_of(2), "{outcome}");
    let history = place.run_with_input(&format!("{talk} --history 0"), "hello\nhello\n");
    history.expect(0, &["2 of the oldest messages are forgotten: --history keeps 0"]);
}

#[test]
fn scores_of_rows_say_what_is_no_part_of_them() {
    let place = Place::with_model();
    let long = "lamp ".repeat(200);
    let rows = format!(
        "{{\"text\": \"{long}\"}}\n{{\"text\": \"x\"}}\n{{\"q\": \"the\", \"a\": \"lamp\"}}\n\
         {{\"messages\": [{{\"role\": \"user\", \"content\": \"the lamp\"}}], \"tools\": [{{\"name\": \"f\"}}]}}\n"
    );
    let scored = place.run_with_input("score --model model --data - --json", &rows).expect(
        0,
        &[
            "1 row: longer than 128 tokens: scored in windows, each as if nothing stood before it (the first: stdin.json:1)",
            "1 row: fewer than two tokens, of which none has a prediction (the first: stdin.json:2)",
            "1 row: a conversation is scored as plain text, its messages without a template (the first: stdin.json:3)",
            "1 row: a conversation is scored as plain text, its messages without tools and their calls",
        ],
    );
    assert_eq!(scored.result()["rows"], 4);
}

#[test]
fn a_run_from_a_pipe_says_how_it_goes_on_and_does() {
    let place = Place::with_model();
    let rows: String = (0..40).map(document).collect();
    let new = format!("pretrain --model model {}", SHORT.replace("--steps 3", "--steps 4"));
    place
        .run_with_input(&format!("{new} --data - --out run --stop-after 2"), &rows)
        .expect(0, &["write the same rows to a FILE", "pretrain --resume --out run", "--data FILE"]);
    place.write("rows.jsonl", &rows);
    place.run("pretrain --resume --out run --data rows.jsonl").ok();
    place.run(&format!("{new} --data rows.jsonl --out whole")).ok();
    assert!(place.read("run/model.safetensors") == place.read("whole/model.safetensors"));
}
