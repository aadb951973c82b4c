//! A single line of 10 MB: cut or dropped as asked, in seconds and in bounded memory.

use std::time::Duration;

use crate::place::{Place, conversation, document};

/// Far above what such a row needs, far below what its tokens would take as JSON text.
const PEAK_KIB: u64 = 512 << 10;
const LONGEST: Duration = Duration::from_secs(60);

fn ten_megabytes() -> String {
    "the lamp shines at night ".repeat(400_000)
}

/// Trains on the file in every way and compares what is told of it.
fn train(place: &Place, stage: &str, file: &str, cut: Option<&str>) {
    let dropped = Some("0 rows were longer than --max-seq-len and cut, 1 dropped");
    for (too_long, told) in [("cut", cut), ("drop", dropped)] {
        // Without packing a window of 32 rows is read: all of the file, once.
        let line = format!(
            "{stage} --model model --data {file} --out {stage}-{too_long} --too-long {too_long} \
             --packing false --steps 1 --batch-size 2 --max-seq-len 64"
        );
        let outcome = place.run(&line).ok();
        match told {
            Some(told) => assert!(outcome.stderr.contains(told), "{outcome}"),
            None => assert!(!outcome.stderr.contains("longer than"), "{outcome}"),
        }
        assert!(outcome.elapsed < LONGEST, "{:?}\n{outcome}", outcome.elapsed);
        assert!(outcome.peak_kib < PEAK_KIB, "{} KiB\n{outcome}", outcome.peak_kib);
    }
}

#[test]
fn a_text_of_ten_megabytes_is_cut_or_dropped() {
    let place = Place::with_model();
    let rest: String = (0..20).map(document).collect();
    place.write("long.jsonl", format!("{{\"text\": \"{}\"}}\n{rest}", ten_megabytes()));
    // All pieces of a text are trained, so nothing of it is lost.
    train(&place, "pretrain", "long.jsonl", None);
}

#[test]
fn an_answer_of_ten_megabytes_is_cut_or_dropped() {
    let place = Place::with_model();
    let rest: String = (0..20).map(conversation).collect();
    place.write("long.jsonl", format!("{{\"q\": \"q\", \"a\": \"{}\"}}\n{rest}", ten_megabytes()));
    let cut = "1 row was longer than --max-seq-len and cut, 0 dropped";
    train(&place, "sft", "long.jsonl", Some(cut));
}

#[test]
fn a_packed_text_of_ten_megabytes_is_saved_by_its_place_not_by_its_tokens() {
    let place = Place::with_model();
    place.write("long.jsonl", format!("{{\"text\": \"{}\"}}\n", ten_megabytes()));
    let line = "pretrain --model model --data long.jsonl --out run --steps 2 --batch-size 2 --max-seq-len 32";
    let outcome = place.run(line).ok();
    assert!(outcome.peak_kib < PEAK_KIB, "{} KiB\n{outcome}", outcome.peak_kib);
    let saved = place.read("run/training/progress.json").len();
    assert!(saved < 1 << 20, "progress.json has {saved} bytes");
}

#[test]
fn other_verbs_take_a_line_of_ten_megabytes() {
    let place = Place::with_model();
    place.write("long.jsonl", format!("{{\"text\": \"{}\"}}\n", ten_megabytes()));
    // One word, which no space ends.
    place.write("word.jsonl", format!("{{\"text\": \"{}\"}}\n", "thelampshinesatnight".repeat(500_000)));
    for line in [
        "tokenizer train --data long.jsonl --vocab-size 270 --out of-lines",
        "tokenizer train --data word.jsonl --vocab-size 270 --out of-a-word",
        "tokenizer report --model tok --data long.jsonl",
        "tokenizer report --model tok --data word.jsonl",
        "data preview --model tok --data long.jsonl --stage pretrain --json",
    ] {
        let outcome = place.run(line).ok();
        assert!(outcome.elapsed < LONGEST, "{:?}\n{line}", outcome.elapsed);
        assert!(outcome.peak_kib < PEAK_KIB, "{} KiB\n{line}", outcome.peak_kib);
    }
}

#[test]
fn a_line_over_the_limit_of_a_row_is_a_bad_row() {
    let place = Place::with_model();
    let long = "x".repeat(65 << 20);
    place.write("long.jsonl", format!("{{\"text\": \"{long}\"}}\n{}", document(1)));
    let line = "pretrain --model model --data long.jsonl --out run --steps 1 --batch-size 1 --max-seq-len 32";
    let outcome = place.run(line).expect(1, &["long.jsonl:1: the row is longer than 64 MiB"]);
    assert!(outcome.peak_kib < PEAK_KIB, "{} KiB\n{outcome}", outcome.peak_kib);
    place.run(&format!("{line} --skip-bad-rows")).expect(0, &["1 row"]);
}
