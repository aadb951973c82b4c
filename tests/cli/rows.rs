//! What a row holds is trained, or counted and named.

use crate::data_formats::{gzip, weights};
use crate::place::{Place, SHORT, conversation, document};

/// `{"text": "灯塔在夜里亮着。"}` and a line end, eight times, in GBK.
fn in_gbk() -> Vec<u8> {
    let text = b"\xb5\xc6\xcb\xfe\xd4\xda\xd2\xb9\xc0\xef\xc1\xc1\xd7\xc5\xa1\xa3";
    [&b"{\"text\": \""[..], text, b"\"}\n"].concat().repeat(8)
}

/// The same in UTF-8.
fn in_utf8() -> String {
    "{\"text\": \"灯塔在夜里亮着。\"}\n".repeat(8)
}

fn in_utf16(text: &str) -> Vec<u8> {
    format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn files_in_other_encodings_are_read() {
    let place = Place::with_model();
    place.write("utf8.jsonl", in_utf8());
    place.write("gbk.jsonl", in_gbk());
    place.write("gbk.jsonl.gz", gzip(&in_gbk()));
    place.write("utf16.jsonl", in_utf16(&in_utf8()));
    place.write("utf16.jsonl.gz", gzip(&in_utf16(&in_utf8())));
    let expected = weights(&place, "pretrain", "--data utf8.jsonl");
    for data in [
        "--data gbk.jsonl --encoding gbk",
        "--data gbk.jsonl.gz --encoding GB18030",
        "--data utf16.jsonl",
        "--data utf16.jsonl.gz",
        "--data utf8.jsonl --encoding utf-8",
    ] {
        assert!(weights(&place, "pretrain", data) == expected, "{data} gives other weights");
    }
    for (data, doubt) in [
        ("utf16.jsonl --encoding gbk", "utf16.jsonl begins with the byte order mark of UTF-16LE"),
        ("utf8.jsonl --encoding windows-1252", "utf8.jsonl is UTF-8 as far as its beginning shows"),
    ] {
        let preview = format!("data preview --model model --stage pretrain --data {data}");
        place.run(&preview).expect(0, &[doubt]);
    }
    let line = format!("pretrain --model model --out other {SHORT} --data");
    place.run(&format!("{line} gbk.jsonl")).expect(1, &["gbk.jsonl:1: byte 11", "try --encoding gbk"]);
    let wrong = [&in_gbk()[..], b"{\"text\": \"\xff\"}\n"].concat();
    place.write("wrong.jsonl", wrong);
    let bare: Vec<u8> = in_utf8().encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.write("bare.jsonl", bare);
    let told = ["bare.jsonl: the file looks like utf-16le without a byte order mark", "--encoding utf-16le"];
    place.run(&format!("{line} bare.jsonl")).expect(1, &told);
    assert!(weights(&place, "pretrain", "--data bare.jsonl --encoding utf-16le") == expected);
    let named = "wrong.jsonl:9: the row holds bytes that are not GBK";
    place.run(&format!("{line} wrong.jsonl --encoding gbk")).expect(1, &[named]);
    place.run(&format!("{line} gbk.jsonl --encoding gbq")).expect(2, &["unknown encoding 'gbq'", "gb18030"]);
    assert!(!place.exists("other"));
}

#[test]
fn texts_may_stand_under_another_key() {
    let place = Place::with_model();
    let texts: Vec<String> = (0..8).map(|i| format!("The {i}. lamp shines at night.")).collect();
    let rows = |row: &dyn Fn(&String) -> String| texts.iter().map(row).collect::<String>();
    place.write("text.jsonl", rows(&|text| format!("{{\"text\": \"{text}\"}}\n")));
    place.write("body.jsonl", rows(&|text| format!("{{\"text\": \"no\", \"body\": \"{text}\"}}\n")));
    place.write("body.csv", format!("Body,n\n{}", rows(&|text| format!("{text},1\n"))));
    let expected = weights(&place, "pretrain", "--data text.jsonl");
    for data in ["body.jsonl", "body.csv"] {
        let after = weights(&place, "pretrain", &format!("--data {data} --text-column body"));
        assert!(after == expected, "{data} gives other weights");
    }
    let line = format!("--model model --out other {SHORT} --data body.jsonl --text-column");
    place.run(&format!("pretrain {line} lines")).expect(1, &["body.jsonl:1: lines is missing"]);
    place.run(&format!("sft {line} body")).expect(2, &["--text-column makes texts", "`pretrain`"]);
}

#[test]
fn conversations_are_joined_where_that_is_asked() {
    let place = Place::with_model();
    place.write("chat.jsonl", (0..8).map(conversation).collect::<String>());
    let joined = (0..8).map(|i| format!("{{\"text\": \"What is {i} plus one?\\nIt is {}.\"}}\n", i + 1));
    place.write("joined.jsonl", joined.collect::<String>());
    let expected = weights(&place, "pretrain", "--data joined.jsonl");
    assert!(weights(&place, "pretrain", "--data chat.jsonl --join-turns") == expected);
    let line = format!("--model model --data chat.jsonl --out other {SHORT}");
    let told = [
        "8 of the data's rows",
        "chat.jsonl:1: a conversation, where pretraining reads texts",
        "--join-turns",
    ];
    place.run(&format!("pretrain {line}")).expect(1, &told);
    place.run(&format!("sft {line} --join-turns")).expect(2, &["--join-turns makes texts"]);
    let preview = "data preview --model model --stage pretrain --data chat.jsonl --limit 1";
    let shown = place.run(&format!("{preview} --join-turns")).ok().stdout;
    assert!(shown.contains("What is 0 plus one?\nIt is 1."), "{shown}");
    place.run(preview).expect(1, &["--join-turns"]);
}

#[test]
fn conversations_are_rendered_where_that_is_asked() {
    let place = Place::with_model();
    place.write("chat.jsonl", (0..8).map(conversation).collect::<String>());
    place.write("t.jinja", "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}");
    let rendered = |i: usize| {
        let answer = i + 1;
        format!("{{\"text\": \"user: What is {i} plus one?\\nassistant: It is {answer}.\\n\"}}\n")
    };
    place.write("rendered.jsonl", (0..8).map(rendered).collect::<String>());
    let expected = weights(&place, "pretrain", "--data rendered.jsonl");
    let given = "--data chat.jsonl --render-turns --chat-template t.jinja";
    assert!(weights(&place, "pretrain", given) == expected);
    let line = format!("--model model --data chat.jsonl --out other {SHORT}");
    place.run(&format!("pretrain {line}")).expect(1, &["--join-turns", "--render-turns"]);
    place.run(&format!("sft {line} --render-turns")).expect(2, &["--render-turns makes texts"]);
    place.run(&format!("pretrain {line} --join-turns --render-turns")).expect(2, &["--join-turns"]);
    assert!(!place.exists("other"));
    place.run(&format!("pretrain {line} --render-turns --stop-after 1")).ok();
    place.run("pretrain --resume --out other").ok();

    let preview = "data preview --model model --stage pretrain --data chat.jsonl --limit 1 --render-turns";
    let shown = place.run(preview).ok().stdout;
    let whole = "[<|im_start|>user\nWhat is 0 plus one?<|im_end|>\n<|im_start|>assistant\nIt is 1.<|im_end|>\n<|endoftext|>]";
    assert!(shown.contains(whole), "{shown}");
    let json = place.run(&format!("{preview} --json")).ok().result();
    assert!(json["mask"].as_array().unwrap().iter().all(|target| *target == 1), "{json}");
    place.write("weights.jsonl", "[{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"a\", \"weight\": 0}]\n");
    let lost = "1 row: the rendered text loses the weights of its turns";
    place.run(&preview.replace("chat.jsonl", "weights.jsonl")).expect(0, &[lost]);
}

#[test]
fn keys_inside_messages_are_counted_and_named_unless_the_template_reads_them() {
    let place = Place::with_model();
    let row = |i: usize| {
        format!(
            "[{{\"role\": \"user\", \"content\": \"q{i}\", \"note\": \"n\"}}, \
             {{\"role\": \"assistant\", \"content\": \"a\", \"mask\": 0, \"mood\": \"m\"}}]\n"
        )
    };
    place.write("a.jsonl", (0..3).map(row).collect::<String>());
    let named =
        "unused keys: mask of a message (3 rows), mood of a message (3 rows), note of a message (3 rows)";
    let preview = "data preview --model model --data a.jsonl";
    place.run(preview).expect(0, &[named]);
    place.run(&format!("sft --model model --data a.jsonl --out run {SHORT}")).expect(0, &[named]);
    place.write(
        "t.jinja",
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.mood }}{{ m.content }}<|im_end|>\n{% endfor %}",
    );
    let outcome = place.run(&format!("{preview} --chat-template t.jinja")).expect(0, &["mask of a message"]);
    assert!(!outcome.stderr.contains("mood of"), "{outcome}");
}

#[test]
fn rows_of_another_kind_are_skipped_and_counted() {
    let place = Place::with_model();
    let chats: String = (0..20).map(conversation).collect();
    place.write("late.jsonl", format!("{chats}{}", document(1)));
    place.write("early.jsonl", format!("{}{chats}", document(1)));
    let expected = weights(&place, "sft", "--data chat.jsonl --limit 20");
    for data in ["late.jsonl", "early.jsonl"] {
        let line =
            format!("sft --model model --data {data} --out other --steps 2 --batch-size 2 --max-seq-len 128");
        place
            .run(&line)
            .expect(1, &["1 of the data's rows", "a text, where fine-tuning reads conversations"]);
        assert!(weights(&place, "sft", &format!("--data {data} --skip-bad-rows")) == expected, "{data}");
        let skipped = ["20 rows", "1 row cannot be used and is left out"];
        place.run(&format!("{line} --skip-bad-rows --overwrite")).expect(0, &skipped);
    }
}

#[test]
fn a_pipe_is_data_like_a_file() {
    let place = Place::with_model();
    let chats: String = (0..20).map(conversation).collect();
    let expected = weights(&place, "sft", "--data chat.jsonl --limit 20");
    let flags = "--out run --overwrite --steps 2 --batch-size 2 --max-seq-len 128";
    for data in ["-", "/dev/stdin"] {
        place.run_with_input(&format!("sft --model model --data {data} {flags}"), &chats).ok();
        assert!(place.read("run/model.safetensors") == expected, "{data}");
    }
    let broken = place.run_with_input("data preview --model model --data -", "{\"q\": \"x\"}\n");
    broken.expect(1, &["stdin.json:1: q needs a beside it"]);
    place.run("data preview --model model --data -").expect(1, &["stdin.txt: the file is empty"]);
}

#[test]
fn the_context_of_a_question_is_part_of_it() {
    let place = Place::with_model();
    for (file, row) in [
        ("alpaca", "{\"instruction\": \"q\", \"input\": \"c\", \"output\": \"the answer\"}"),
        ("dolly", "{\"instruction\": \"q\", \"context\": \"c\", \"response\": \"the answer\"}"),
        ("squad", "{\"question\": \"q\", \"context\": \"c\", \"answer\": \"the answer\"}"),
        (
            "trl",
            "{\"prompt\": [{\"role\": \"user\", \"content\": \"q\\nc\"}], \
             \"completion\": [{\"role\": \"assistant\", \"content\": \"the answer\"}]}",
        ),
    ] {
        place.write(&format!("{file}.jsonl"), row);
    }
    let expected = weights(&place, "sft", "--data alpaca.jsonl");
    for file in ["dolly", "squad", "trl"] {
        assert!(weights(&place, "sft", &format!("--data {file}.jsonl")) == expected, "{file}");
    }
}

#[test]
fn what_nothing_reads_is_counted_and_named() {
    let place = Place::with_model();
    let row = |i: usize| format!("{{\"q\": \"x{i}\", \"a\": \"y\", \"source\": \"web\", \"score\": {i}}}\n");
    let rows: String = (0..3).map(row).collect();
    place.write("a.jsonl", rows + "{\"q\": \"x\", \"a\": \"y\", \"note\": [\"n\"]}\n");
    let named = "unused keys: note (1 row), score (3 rows), source (3 rows); nothing reads them";
    place.run(&format!("sft --model model --data a.jsonl --out run {SHORT}")).expect(0, &[named]);
    let preview = place.run("data preview --model model --data a.jsonl --limit 9 --json").expect(0, &[named]);
    let lines = preview.json();
    assert_eq!(lines.len(), 5, "{preview}");
    assert_eq!(lines[4]["warnings"], serde_json::json!([named]));
    assert_eq!(lines[4]["report"]["unused_keys"]["source"]["rows"], 3);
    place.write(
        "both.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}], \"conversations\": [{}]}",
    );
    let differ = "both.jsonl:1: ";
    place.run("data preview --model model --data both.jsonl").expect(1, &[differ]);
}

#[test]
fn rows_on_both_sides_of_the_split_are_counted() {
    let place = Place::with_model();
    let rows: String = (0..20).map(document).collect();
    place.write("twice.jsonl", rows.repeat(2));
    let line = format!("pretrain --model model --data twice.jsonl --out run --overwrite {SHORT}");
    let told = "held-out rows equal rows that are trained on (the first: twice.jsonl:";
    place.run(&format!("{line} --val-split 0.5")).expect(0, &[told, "--dedup"]);
    for cured in ["--val-split 0.5 --dedup", "--val-split 0"] {
        let outcome = place.run(&format!("{line} {cured}")).ok();
        assert!(!outcome.stderr.contains("held-out rows equal"), "{outcome}");
    }
}
