//! Data that cannot be used: what is said, and that nothing is left behind.

use std::io::Write;

use crate::place::{Place, SHORT};

/// One unusable file, the stage that is to read it, and what must be said.
struct Bad {
    stage: &'static str,
    file: &'static str,
    bytes: Vec<u8>,
    parts: &'static [&'static str],
}

fn bad(stage: &'static str, file: &'static str, bytes: &[u8], parts: &'static [&'static str]) -> Bad {
    Bad { stage, file, bytes: bytes.to_vec(), parts }
}

fn files_of_no_use() -> Vec<Bad> {
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    compressed.write_all(&[b'x'; 4000]).unwrap();
    let compressed = compressed.finish().unwrap();
    vec![
        bad("pretrain", "a.jsonl", b"", &["a.jsonl: the file is empty"]),
        bad("pretrain", "a.jsonl", b"\n \n\n", &["a.jsonl: the file holds no rows"]),
        bad("pretrain", "a.json", b"[]", &["a.json: the file holds no rows"]),
        bad("pretrain", "a.dat", b"abc", &["a.dat: unknown kind of file", ".jsonl"]),
        bad(
            "pretrain",
            "a.parquet",
            b"PAR1",
            &["a.parquet: this is no parquet file, or one that is cut off"],
        ),
        bad(
            "pretrain",
            "a.parquet",
            include_bytes!("../golden/parquet/image.parquet"),
            &["a.parquet: cannot be unpacked (row 2: column image holds bytes that are no text)"],
        ),
        bad(
            "pretrain",
            "a.parquet.gz",
            &compressed,
            &["a.parquet.gz: a .parquet file is not read in a compr"],
        ),
        bad("pretrain", "a.csv", b"one,two\n1,2\n", &["a.csv:1", "must name the columns", "one, two"]),
        bad(
            "sft",
            "a.csv",
            "问题,备注\n1,2\n".as_bytes(),
            &["a.csv:1", "问题 needs 答案 or 回答", "columns 问题, 备注"],
        ),
        bad(
            "sft",
            "a.csv",
            "问题,答案,回答\n1,2,3\n".as_bytes(),
            &["a.csv:1", "问题 + 答案 and 问题 + 回答 are both there", "columns 问题, 答案, 回答"],
        ),
        bad("sft", "a.csv", b"q,a,a\n1,2,3\n", &["a.csv:1", "two columns are called a", "columns q, a, a"]),
        bad(
            "pretrain",
            "a.jsonl.gz",
            &compressed[..compressed.len() / 2],
            &["a.jsonl.gz: cannot be unpacked"],
        ),
        bad(
            "pretrain",
            "a.jsonl.gz",
            b"{\"text\": \"not compressed\"}\n",
            &["a.jsonl.gz: cannot be unpacked"],
        ),
        bad("pretrain", "a.jsonl.zst", b"\x28\xB5\x2F\xFD\xA0\x09", &["a.jsonl.zst: cannot be unpacked"]),
    ]
}

fn rows_of_no_use() -> Vec<Bad> {
    vec![
        bad(
            "pretrain",
            "a.jsonl",
            b"{\"text\": \"good\"}\n{\"text\": bad}\n",
            &["1 of the data's rows", "a.jsonl:2: broken JSON at column 10"],
        ),
        bad(
            "pretrain",
            "a.jsonl",
            b"{\"txt\": \"x\"}\n",
            &["a.jsonl:1", "expected one of text", "found keys txt"],
        ),
        bad(
            "sft",
            "a.jsonl",
            b"{\"prompt\": \"q\"}\n",
            &["a.jsonl:1: prompt needs completion or response beside it"],
        ),
        bad("pretrain", "a.jsonl", b"{\"text\": 5}\n", &["a.jsonl:1: text must be a string, found a number"]),
        bad(
            "pretrain",
            "a.jsonl",
            b"{\"text\": \"caf\xE9\"}\n",
            &[
                "a.jsonl:1: byte 14 of the row is not UTF-8; it may be windows-1252",
                "--encoding windows-1252",
            ],
        ),
        bad("pretrain", "a.json", b"[{\"text\": \"a\"},\n", &["a.json:2", "the list is never closed"]),
        bad("pretrain", "a.csv", b"text\n\"never closed\n", &["a.csv:2", "quoted field"]),
        bad(
            "sft",
            "a.jsonl",
            br#"[{"role": "assistant", "content": "x"}]"#,
            &["a.jsonl:1: message 1 has role 'assistant' before any 'user'"],
        ),
        bad(
            "sft",
            "a.jsonl",
            br#"[{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]"#,
            &["a.jsonl:1: message 2 has role 'user' after 'user'"],
        ),
        bad(
            "sft",
            "a.jsonl",
            br#"[{"role": "narrator", "content": "x"}]"#,
            &["a.jsonl:1: message 1: unknown role 'narrator'"],
        ),
        bad(
            "sft",
            "a.jsonl",
            br#"{"messages": [{"role": "user"}]}"#,
            &["a.jsonl:1: message 1: content is missing"],
        ),
    ]
}

fn rows_of_no_use_to_this_stage() -> Vec<Bad> {
    vec![
        bad(
            "sft",
            "a.jsonl",
            b"{\"text\": \"x\"}\n",
            &["a.jsonl:1: a text, where fine-tuning reads conversations"],
        ),
        bad(
            "pretrain",
            "a.jsonl",
            b"{\"q\": \"x\", \"a\": \"y\"}\n",
            &["a.jsonl:1: a conversation, where pretraining reads texts"],
        ),
        bad(
            "sft",
            "a.jsonl",
            br#"[{"role": "user", "content": "x"}]"#,
            &["no row of the data holds anything to learn"],
        ),
        bad("pretrain", "a.jsonl", b"{\"text\": \"\"}\n", &["no row of the data holds anything to learn"]),
    ]
}

/// Every case fails with its message, and `run` is as absent as before: the mended command needs no
/// `--overwrite`.
fn refuse_all(cases: Vec<Bad>) {
    let place = Place::with_model();
    for Bad { stage, file, bytes, parts } in cases {
        place.write(file, bytes);
        let line = format!("{stage} --model model --data {file} --out run {SHORT} --json");
        let outcome = place.run(&line).expect(1, parts);
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert!(!place.exists("run"), "a directory is left behind\n{outcome}");
        place.remove(file);
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    refuse_all(files_of_no_use());
}

#[test]
fn a_table_in_another_encoding_is_told_by_its_header() {
    // 问题,答案 as a spreadsheet of a Chinese Windows saves it.
    refuse_all(vec![bad(
        "sft",
        "a.csv",
        b"\xCE\xCA\xCC\xE2,\xB4\xF0\xB0\xB8\n\xC4\xE3\xBA\xC3,\xBA\xC3\n",
        &["a.csv:1: the first line must name the columns: byte 1", "it may be gbk", "--encoding gbk"],
    )]);
}

#[test]
fn rows_that_cannot_be_used_are_named_with_their_line() {
    refuse_all(rows_of_no_use());
}

#[test]
fn rows_of_compressed_files_have_the_name_that_was_given() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(b"{\"text\": \"good\"}\n{\"text\": bad}\n").unwrap();
    let packed = packed.finish().unwrap();
    refuse_all(vec![bad("pretrain", "a.jsonl.gz", &packed, &["a.jsonl.gz:2: broken JSON at column 10"])]);
}

#[test]
fn a_single_row_cannot_be_held_out() {
    let place = Place::with_model();
    let line = format!("pretrain --model model --data docs.jsonl --out run --limit 1 {SHORT}");
    place
        .run(&format!("{line} --val-split 0.5"))
        .expect(1, &["--val-split 0.5 of 1 usable row holds none out", "--val-split 0"]);
    assert!(!place.exists("run"));
    place.run(&line).ok();
}

#[test]
fn rows_of_the_wrong_kind_are_named_with_their_line() {
    refuse_all(rows_of_no_use_to_this_stage());
}

#[test]
fn a_source_that_is_not_there_is_named() {
    let place = Place::with_model();
    std::fs::create_dir(place.path("empty")).unwrap();
    for (data, part) in [
        ("nowhere.jsonl", "nowhere.jsonl: there is no such file"),
        ("no*.jsonl", "no*.jsonl: there is no such file, and no file matches it as a pattern"),
        ("empty", "empty: the directory holds no file of data; known are .jsonl"),
        ("hub:../name", "hub:../name: this is no address of the hub"),
    ] {
        for stage in [
            "pretrain --out run --model",
            "tokenizer report --model",
            "data preview --model",
            "score --model",
        ] {
            let outcome = place.run(&format!("{stage} model --data {data} --json")).expect(1, &[part]);
            assert_eq!(outcome.stdout, "", "{outcome}");
        }
    }
    assert!(!place.exists("run"));
}

#[test]
fn five_bad_rows_are_named_and_all_are_counted_or_skipped() {
    let place = Place::with_model();
    let good = "{\"text\": \"The lamp shines.\"}\n";
    place.write("a.jsonl", format!("{good}nonsense\n{good}1\n2\n3\n4\n5\n6\n{good}"));
    let line = format!("pretrain --model model --data a.jsonl --out run {SHORT}");
    let outcome = place.run(&line).expect(1, &["7 of the data's rows cannot be used", "--skip-bad-rows"]);
    for (number, named) in [(1, false), (2, true), (3, false), (4, true), (7, true), (8, false), (9, false)] {
        assert_eq!(outcome.stderr.contains(&format!("a.jsonl:{number}:")), named, "line {number}\n{outcome}");
    }
    assert!(!place.exists("run"));
    let skipped = "7 rows cannot be used and are left out";
    place.run(&format!("{line} --skip-bad-rows")).expect(0, &["3 rows", skipped]);
    assert!(place.exists("run/model.safetensors"));
    place
        .run("data preview --model model --data a.jsonl --stage pretrain --skip-bad-rows")
        .expect(0, &[skipped]);
    let tokenizer = "tokenizer train --data a.jsonl --vocab-size 270 --min-frequency 1 --out other";
    place.run(tokenizer).expect(1, &["7 of the data's rows"]);
    assert!(!place.exists("other"));
    place.run(&format!("{tokenizer} --skip-bad-rows")).expect(0, &[skipped]);
    place.run("tokenizer report --model tok --data a.jsonl --skip-bad-rows").expect(0, &[skipped]);
}

#[test]
fn tokenizers_name_what_they_cannot_read() {
    let place = Place::with_model();
    for Bad { file, bytes, parts, .. } in files_of_no_use().into_iter().chain(rows_of_no_use()) {
        place.write(file, bytes);
        for verb in ["tokenizer train --vocab-size 270 --out other", "tokenizer report --model tok"] {
            let outcome = place.run(&format!("{verb} --data {file} --json")).expect(1, parts);
            assert_eq!(outcome.stdout, "", "{outcome}");
        }
        assert!(!place.exists("other"), "a directory is left behind by {file}");
        place.remove(file);
    }
}

#[test]
fn what_a_message_advises_exists() {
    let place = Place::with_model();
    place.write("a.jsonl", "{\"text\": \"The lamp shines.\"}\nnonsense\n");
    for verb in [
        "score",
        "tokenizer report",
        "data preview --stage pretrain",
        "pretrain --out run --steps 1 --max-seq-len 32",
    ] {
        let line = format!("{verb} --model model --data a.jsonl");
        let outcome = place.run(&line).expect(1, &["a.jsonl:2"]);
        if outcome.stderr.contains("--skip-bad-rows") {
            place.run(&format!("{line} --skip-bad-rows")).ok();
        }
    }
}

#[test]
fn odd_rows_are_used_and_counted() {
    let place = Place::with_model();
    let user = r#"{"role": "user", "content": "q"}"#;
    let empty = r#"{"role": "assistant", "content": ""}"#;
    place
        .write("a.jsonl", format!("[{user}, {empty}]\n[{user}]\n{{\"q\": \"x\", \"a\": \"y\"}}\n[{user}]\n"));
    let line = format!("sft --model model --data a.jsonl --out run {SHORT}");
    place.run(&line).expect(
        0,
        &[
            "4 rows",
            "1 row: a turn is empty (the first: a.jsonl:1)",
            "2 rows: the conversation ends on the user (the first: a.jsonl:2)",
        ],
    );
}
