//! Every form that data comes in trains, and equal rows give equal weights whatever their form.

use std::io::Write;

use crate::place::{Place, conversation, document};

/// Trains on `data` and gives the weights.
pub fn weights(place: &Place, stage: &str, data: &str) -> Vec<u8> {
    let flags = "--out run --overwrite --steps 2 --batch-size 2 --max-seq-len 128";
    place.run(&format!("{stage} --model model {data} {flags}")).ok();
    place.read("run/model.safetensors")
}

/// The bytes, compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A Zstandard frame (RFC 8878) whose only block is stored as it is.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    // One segment, its length in four bytes; the last block, of raw bytes, its header in three.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0b1010_0000];
    frame.extend(length.to_le_bytes());
    frame.extend(&((length << 3) | 1).to_le_bytes()[..3]);
    frame.extend(bytes);
    frame
}

#[test]
fn every_row_format_of_a_conversation_is_the_same() {
    let place = Place::with_model();
    let messages = r#"[{"role": "user", "content": "q"}, {"role": "assistant", "content": "the answer"}]"#;
    let sharegpt = r#"[{"from": "human", "value": "q"}, {"from": "gpt", "value": "the answer"}]"#;
    let mut before: Option<Vec<u8>> = None;
    for (file, text) in [
        ("conversations.jsonl", format!("{{\"conversations\": {messages}}}\n")),
        ("messages.jsonl", format!("{{\"messages\": {messages}}}\n")),
        ("bare.jsonl", format!("{messages}\n")),
        ("sharegpt.jsonl", format!("{{\"conversations\": {sharegpt}}}\n")),
        ("pair.jsonl", r#"{"user": "q", "assistant": "the answer"}"#.into()),
        ("alpaca.jsonl", r#"{"instruction": "q", "input": "", "output": "the answer"}"#.into()),
        ("completion.jsonl", r#"{"prompt": "q", "completion": "the answer"}"#.into()),
        ("list.json", "[\n  {\"user\": \"q\",\n   \"assistant\": \"the answer\"}\n]\n".into()),
        ("pair.csv", "user,assistant\nq,\"the answer\"\n".into()),
        ("问答.csv", "\u{FEFF}编号,问题,答案\r\n7,q,\"the answer\"\r\n".into()),
        ("asked.csv", "提问,回答\nq,the answer\n".into()),
        ("alpaca.csv", "指令,输入,输出\nq,,the answer\n".into()),
        ("chinese.jsonl", r#"{"用户": "q", "助手": "the answer"}"#.into()),
        ("pair.tsv", "user\tassistant\nq\tthe answer\n".into()),
    ] {
        place.write(file, text);
        let after = weights(&place, "sft", &format!("--data {file}"));
        assert!(before.is_none_or(|before| before == after), "{file} gives other weights");
        before = Some(after);
    }
    place.write("other.jsonl", r#"{"user": "q", "assistant": "another answer"}"#);
    assert!(before != Some(weights(&place, "sft", "--data other.jsonl")), "other rows, other weights");
}

#[test]
fn of_a_directory_only_data_is_read_and_the_rest_named() {
    let place = Place::with_model();
    place.write("set/a.jsonl", "{\"text\": \"The lamp shines.\"}\n");
    place.write("set/notices.jsonl", "{\"text\": \"The lamp is lit.\"}\n");
    let line = "data preview --model model --stage pretrain --limit 9 --json --data set";
    let alone = place.run(line).ok();
    assert!(!alone.stderr.contains("passed over"), "{alone}");
    for other in ["README.md", "LICENSE.txt", "old.log", ".hidden.jsonl", ".git/a.jsonl"] {
        place.write(&format!("set/{other}"), "{\"text\": \"The lamp is no part of it.\"}\n");
    }
    let told = "set: 5 hidden files, files about the data or of no known kind are passed over: .git/, .hidden.jsonl, \
                LICENSE.txt, README.md, old.log";
    let beside = place.run(line).expect(0, &[told]);
    assert_eq!((beside.json(), beside.json().len()), (alone.json(), 2));
    place.write("only/README.md", "# The lamp");
    place
        .run(&format!("{line} --data only"))
        .expect(1, &["only: the directory holds no file of data", "README.md"]);
    place.write("twice.csv", "text,id,Text\na,1,b\n");
    place
        .run(&format!("{line} --data twice.csv"))
        .expect(1, &["twice.csv:1: ", "two columns are called text"]);
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_back_into_its_directory_brings_no_row_twice() {
    let place = Place::with_model();
    place.write("set/more/a.jsonl", (0..3).map(document).collect::<String>());
    place.write("beside/b.jsonl", document(3));
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(place.path(from), place.path(to)).unwrap();
    // One to above where it lies, and two folders that lead to each other.
    link("set", "set/more/back");
    link("beside", "set/beside");
    link("set", "beside/around");
    let line = "data preview --data set --model tok --stage pretrain --limit 100 --json";
    let preview = place.run(line).ok();
    let rows = preview.json().iter().filter(|row| row.get("tokens").is_some()).count();
    assert_eq!(rows, 3 + 1, "{preview}");
    assert!(preview.stderr.contains("passed over: beside/around/, more/back/"), "{preview}");
}

#[test]
fn every_file_format_of_texts_is_the_same() {
    let place = Place::with_model();
    let texts: Vec<String> = (0..8).map(|i| format!("The {i}. lamp shines at night.")).collect();
    let lines: Vec<String> = texts.iter().map(|text| format!("{{\"text\": \"{text}\"}}")).collect();
    let jsonl = lines.join("\n");
    place.write("a.jsonl", &jsonl);
    place.write("a.json", format!("[{}]", lines.join(",\n")));
    place.write(
        "a.csv",
        format!("id,text\n{}\n", texts.iter().map(|text| format!("7,{text}")).collect::<Vec<_>>().join("\n")),
    );
    place.write("b.jsonl.gz", gzip(jsonl.as_bytes()));
    place.write("c.jsonl.zst", zstd(jsonl.as_bytes()));
    place.write("windows.jsonl", format!("\u{FEFF}{}\r\n\r\n", lines.join("\r\n")));
    place.write("parts/1.jsonl", lines[..3].join("\n"));
    place.write("parts/below/2.jsonl.gz", gzip(lines[3..].join("\n").as_bytes()));
    place.write("parts/ignored.bin", "not data");
    let expected = weights(&place, "pretrain", "--data a.jsonl");
    for data in [
        "--data a.json",
        "--data a.csv",
        "--data b.jsonl.gz",
        "--data c.jsonl.zst",
        "--data windows.jsonl",
        "--data parts",
        "--data parts/1.jsonl --data parts/below",
        "--data parts/**/*.jsonl*",
    ] {
        assert!(weights(&place, "pretrain", data) == expected, "{data} gives other weights");
    }
}

#[test]
fn parquet_files_train_like_their_json_lines() {
    let place = Place::with_model();
    place.write("texts.parquet", include_bytes!("../golden/parquet/texts.parquet"));
    place.write("texts.jsonl", include_bytes!("../golden/parquet/texts.jsonl"));
    place.write("chats.parquet", include_bytes!("../golden/parquet/conversations.parquet"));
    place.write("chats.jsonl", include_bytes!("../golden/parquet/conversations.jsonl"));
    place.write("parts/1.PARQUET", include_bytes!("../golden/parquet/texts.parquet"));
    place.write("parts/2.jsonl", include_bytes!("../golden/parquet/texts.jsonl"));
    for (stage, parquet, lines) in [
        ("pretrain", "--data texts.parquet", "--data texts.jsonl"),
        ("pretrain", "--data parts", "--data texts.jsonl --data texts.jsonl"),
        ("sft", "--data chat*.parquet", "--data chats.jsonl"),
    ] {
        let expected = weights(&place, stage, lines);
        assert!(weights(&place, stage, parquet) == expected, "{parquet} gives other weights");
    }
}

#[test]
fn plain_text_trains_by_file_directory_and_glob() {
    let place = Place::with_model();
    for i in 0..3 {
        place.write(
            &format!("books/{i}.txt"),
            format!("Book {i}.\n\n{}", "The lamp shines at night.\n".repeat(40)),
        );
    }
    let whole = weights(&place, "pretrain", "--data books");
    assert!(weights(&place, "pretrain", "--data books/*.txt") == whole);
    assert!(weights(&place, "pretrain", "--data books/0.txt --data books/1.txt --data books/2.txt") == whole);
    assert!(weights(&place, "pretrain", "--data books/[01].txt") != whole);
}

#[test]
fn rows_are_limited_filtered_and_told_apart() {
    let place = Place::with_model();
    let (short, long) = ("{\"text\": \"night\"}\n", document(7));
    place.write("a.jsonl", format!("{short}{long}{short}{long}{}", document(8)));
    for (flags, said) in [
        ("", &["5 rows"][..]),
        ("--limit 3", &["3 rows"]),
        ("--dedup", &["3 rows", "2 rows are equal to an earlier one and are left out"]),
        ("--min-chars 6", &["3 rows", "2 rows are outside --min-chars and --max-chars"]),
        ("--max-chars 6", &["2 rows", "3 rows are outside"]),
        ("--min-chars 6 --dedup --limit 1", &["1 row"]),
    ] {
        let line = "pretrain --model model --data a.jsonl --out run --overwrite --steps 1 --max-seq-len 16";
        place.run(&format!("{line} --batch-size 1 {flags}")).expect(0, said);
    }
    let none = "pretrain --model model --data a.jsonl --out other --min-chars 900";
    place.run(none).expect(1, &["no row of the data is left", "5 too short or too long"]);
}

#[test]
fn rows_longer_than_the_limit_are_cut_or_dropped_and_counted() {
    let place = Place::with_model();
    let answer = "lamp ".repeat(60);
    let rows =
        format!("{}{{\"q\": \"x\", \"a\": \"{answer}\"}}\n", (0..3).map(conversation).collect::<String>());
    place.write("a.jsonl", rows);
    for (too_long, said) in [
        ("cut", "1 row was longer than --max-seq-len and cut, 0 dropped"),
        ("drop", "0 rows were longer than --max-seq-len and cut, 1 dropped"),
    ] {
        let line = "sft --model model --data a.jsonl --out run --overwrite --steps 1 --max-seq-len 64";
        place.run(&format!("{line} --batch-size 2 --too-long {too_long}")).expect(0, &[said]);
    }
}

#[test]
fn held_out_rows_are_measured_and_never_trained_on() {
    let place = Place::with_model();
    let rows: String = (0..10).map(document).collect();
    place.write("a.jsonl", rows);
    let line = "pretrain --model model --data a.jsonl --val-split 0.2 --packing false --max-seq-len 64";
    // One epoch of one row a step: as many steps as rows that are left.
    let outcome = place.run(&format!("{line} --batch-size 1 --epochs 1 --log-every 1 --out run --json")).ok();
    assert_eq!(place.logged_steps("run").len(), 8, "{outcome}");
    assert!(outcome.json().last().unwrap()["bits_per_byte"].as_f64().unwrap() > 0.0);
}
