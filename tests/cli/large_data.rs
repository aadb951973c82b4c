//! Large data: what is left out and how it is told, a preparation that is killed, generated text, tables of pairs.

use serde_json::Value;

use crate::place::{Place, conversation};

/// The lines of a file of rows that were left out.
fn dropped(place: &Place, name: &str) -> Vec<Value> {
    place.text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(place: &Place, directory: &str) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let files = place.contents(directory).into_iter();
    files.map(|(path, bytes)| (path.file_name().unwrap().to_owned(), bytes)).collect()
}

#[test]
fn what_is_left_out_is_counted_named_and_the_same_in_a_preview() {
    let place = Place::with_model();
    let long = |tail: &str| {
        let words: String = (0..40).map(|i| format!("lamp number {i} shines ")).collect();
        format!("{{\"text\": \"{words}{tail}\"}}\n")
    };
    let rows = [
        long(""),
        "{\"text\": \"米鲁住在北边的山洞里，每天早上去湖边喝水。\"}\n".into(),
        long("and one more"),
        long(""),
        "{\"text\": \"a[i] = f(x); b[i] = g(y); c = {};\"}\n".into(),
        "nonsense\n".into(),
        "{\"text\": \"night\"}\n".into(),
    ]
    .concat();
    place.write("a.jsonl", rows);
    let flags = "--data a.jsonl --model model --stage pretrain --max-seq-len 32 --skip-bad-rows --language en \
                 --dedup minhash --min-chars 8";
    let done = place.run(&format!("data prepare {flags} --out tokens --dropped left.jsonl --json"));
    let done = done.expect(
        0,
        &[
            "at most 120 bytes of memory for each row",
            "2 rows are near-duplicates of an earlier one and are left out",
            "1 row cannot be used",
            "1 row is outside --min-chars and --max-chars: 1 too short, 0 too long",
            "2 rows are in no language of --language: 1 code, 1 zh",
        ],
    );
    let done = done.result();
    assert_eq!([&done["rows"], &done["dedup_rows"], &done["report"]["near_duplicates"]], [1_u64, 1, 2]);
    let left = dropped(&place, "left.jsonl");
    let told: Vec<String> = left
        .iter()
        .map(|line| {
            format!("{} {} {}", line["row"].as_str().unwrap(), line["why"].as_str().unwrap(), line["of"])
        })
        .collect();
    assert_eq!(
        told,
        [
            "a.jsonl:2 language null",
            "a.jsonl:3 near \"a.jsonl:1\"",
            "a.jsonl:4 near \"a.jsonl:1\"",
            "a.jsonl:5 language null",
            "a.jsonl:6 bad null",
            "a.jsonl:7 too short null",
        ]
    );
    assert_eq!((&left[2]["jaccard"], &left[0]["language"]), (&1.0.into(), &"zh".into()));
    assert!(left[1]["jaccard"].as_f64().unwrap() > 0.9 && left[4]["reason"].is_string());
    // The preview runs the same code: it shows the row that was prepared, and no other.
    let rows = place.run(&format!("data preview {flags}"));
    let tokens = place.run("data preview --data tokens --model model --stage pretrain --max-seq-len 32");
    assert_eq!(rows.ok().stdout, tokens.ok().stdout);
    // The file is replaced by the same command, and something else is not.
    place.run(&format!("data prepare {flags} --out tokens --dropped left.jsonl")).ok();
    assert_eq!(dropped(&place, "left.jsonl"), left);
    place
        .run(&format!("data prepare {flags} --out other --dropped a.jsonl"))
        .expect(2, &["--dropped a.jsonl is taken"]);
}

#[test]
fn filters_of_tokens_and_unknown_languages_are_refused() {
    let place = Place::with_model();
    place.run("data prepare --data docs.jsonl --model model --stage pretrain --out tokens --dedup").ok();
    for flag in ["--dedup", "--dedup minhash", "--language zh,en"] {
        let line = format!("data preview --data tokens --model model --stage pretrain {flag}");
        place.run(&line).expect(2, &["would not act: --data tokens holds tokens"]);
    }
    let prepare = "data prepare --data docs.jsonl --model model --stage pretrain --out x";
    place.run(&format!("{prepare} --language fr")).expect(2, &["zh, en"]);
    place.run(&format!("{prepare} --dedup nearly")).expect(2, &["none, exact, minhash"]);
    assert!(!place.exists("x"));
}

#[test]
fn a_run_whose_dedup_was_a_mere_flag_goes_on() {
    let place = Place::with_model();
    let begin = "pretrain --model model --data docs.jsonl --out run --steps 6 --batch-size 2 --max-seq-len 16 --dedup";
    place.run(&format!("{begin} --stop-after 2")).ok();
    let settings = place.text("run/training/settings.toml");
    assert!(settings.contains("dedup = \"exact\""), "{settings}");
    for (before, steps) in [("true", 3), ("false", 4)] {
        place.write("run/training/settings.toml", settings.replace("\"exact\"", before));
        place.run(&format!("pretrain --resume --out run --stop-after {steps}")).ok();
    }
    place.write("run/training/settings.toml", settings.replace("\"exact\"", "true"));
    let other = "pretrain --resume --out run --dedup minhash";
    place.run(other).expect(2, &["--dedup is minhash now and was true"]);
    place.run("pretrain --resume --out run --dedup").ok();
}

#[test]
fn a_preparation_that_is_killed_at_any_point_goes_on() {
    let place = Place::with_model();
    place.run("sample-data text --megabytes 20").ok();
    let prepare = "data prepare --data text/large.jsonl --model model --stage pretrain --dedup minhash --language en,zh --out";
    let whole = place.run(&format!("{prepare} whole --dropped whole.jsonl --json")).ok().result();
    assert!(whole["shards"].as_u64().unwrap() >= 2 && whole["dedup_bytes"].as_u64().unwrap() > 0, "{whole}");
    let running = place.start(&format!("{prepare} parts --dropped parts.jsonl"));
    place.wait_for("signatures", || {
        let kept = place.path("parts/prepared.signatures.bin");
        std::fs::metadata(kept).is_ok_and(|file| file.len() > 0) || place.exists("parts/prepared.json")
    });
    running.kill();
    let running = place.start(&format!("{prepare} parts --dropped parts.jsonl"));
    place.wait_for("a shard", || place.exists("parts/shard-00000.bin"));
    running.kill();
    place.run(&format!("{prepare} parts --dropped parts.jsonl")).ok();
    assert!(names(&place, "parts") == names(&place, "whole"), "the same files, byte by byte");
    assert!(!place.exists("parts/prepared.signatures.bin"));
    assert!(place.read("parts.jsonl") == place.read("whole.jsonl"));
    let left = dropped(&place, "whole.jsonl");
    let count = |why: &str| left.iter().filter(|line| line["why"] == why).count() as u64;
    let rows = place.text("text/large.jsonl").lines().count() as u64;
    // Of every fifty rows one is code, one nearly a duplicate and one equal to an earlier one.
    assert_eq!(count("language"), (rows + 39) / 50);
    assert!(count("near") >= rows / 50 * 2 - rows / 500, "{} of {rows}", count("near"));
    assert_eq!(whole["rows"].as_u64().unwrap() + left.len() as u64, rows);
}

#[test]
fn generated_text_is_the_same_for_a_seed_and_as_long_as_asked() {
    let place = Place::new();
    let size = |name: &str| place.read(name).len();
    place.run("sample-data a --megabytes 1 --json").ok();
    place.run("sample-data b --megabytes 1 --seed 1").ok();
    place.run("sample-data c --megabytes 1 --seed 2").ok();
    assert!((1_000_000..1_020_000).contains(&size("a/large.jsonl")), "{}", size("a/large.jsonl"));
    assert!(place.read("a/large.jsonl") == place.read("b/large.jsonl"));
    assert!(place.read("a/large.jsonl") != place.read("c/large.jsonl"));
    place.run("sample-data a --megabytes 1").expect(2, &["a already holds large.jsonl", "--overwrite"]);
    place.run("sample-data a --megabytes 1 --overwrite").ok();
    place.run("sample-data a --megabytes 0").expect(2, &["0 is not in 1..=10000000"]);
}

#[test]
fn pairs_of_conversations_are_a_table_that_is_read_again() {
    let place = Place::with_model();
    let turns = [
        ("system", "s"),
        ("user", "q, \\\"1\\\""),
        ("assistant", "a\\n1"),
        ("user", "q2"),
        ("assistant", "a2"),
    ];
    let turns: Vec<String> = turns
        .iter()
        .map(|(role, text)| format!("{{\"role\": \"{role}\", \"content\": \"{text}\"}}"))
        .collect();
    let rows: String = (0..3).map(conversation).collect::<String>();
    place.write("chats.jsonl", format!("{rows}{{\"messages\": [{}]}}\n", turns.join(", ")));
    let pairs = place.run("data pairs --data chats.jsonl --out pairs.csv --columns zh --json");
    let done = pairs
        .expect(
            0,
            &[
                "pairs without what was said before them, which --history adds: 1",
                "conversations with a system message, for which the table has no column: 1",
            ],
        )
        .result();
    let pairs = done["pairs"].as_u64().unwrap();
    assert_eq!((&done["systems"], &done["lone"], &done["later"]), (&1.into(), &0.into(), &1.into()));
    let table = place.text("pairs.csv");
    assert!(table.starts_with("问题,答案,轮次\r\n"), "{table}");
    assert!(table.ends_with("\"q, \"\"1\"\"\",\"a\n1\",1\r\nq2,a2,2\r\n"), "{table}");
    let shown =
        place.run(&format!("data preview --data pairs.csv --model model --limit {pairs} --json")).ok();
    let shown_rows = shown.json().iter().filter(|line| line.get("event").is_none()).count() as u64;
    assert_eq!(shown_rows, pairs, "every pair is a row: {}", shown.stdout);
    assert!(!shown.stdout.contains("unused keys"), "{}", shown.stdout);
    place.run("data pairs --data chats.jsonl --out pairs.csv").expect(2, &["is taken"]);
    place.run("data pairs --data chats.jsonl --out pairs.csv --history --overwrite").ok();
    assert!(place.text("pairs.csv").starts_with("question,answer,turn_index,history\r\n"));
    place.run("data pairs --data chats.jsonl --out pairs.txt").expect(2, &["ends in .csv"]);
    place.run("data pairs --data docs.jsonl --out texts.csv").expect(1, &["a text, where fine-tuning reads"]);
    assert!(!place.exists("texts.csv") && !place.exists("texts.csv.tmp"));
}
