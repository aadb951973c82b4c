//! `distill --teacher-top-k`: a teacher that is asked once, whose likeliest tokens lie beside the run.

use crate::distillation::place;
use crate::place::{number, steps};
use crate::two_parts::compare;

const KEPT: &str = "distill --model model --teacher teacher --batch-size 4 --max-seq-len 64 --learning-rate 0.003 \
                    --log-every 1 --kd-temperature 1.5";
const FILE: &str = "training/teacher.bin";
/// Bytes at the end of the file.
const CHECKSUM: usize = 32;

#[test]
fn a_teacher_that_is_asked_once_about_all_tokens_teaches_the_same() {
    let place = place();
    for data in ["--data docs.jsonl", "--data chat.jsonl"] {
        let line = format!("{KEPT} {data} --steps 6 --val-split 0.1 --overwrite");
        place.run(&format!("{line} --out live")).ok();
        let told = ["asking the teacher about", ", once", "300 tokens a target"];
        place.run(&format!("{line} --teacher-top-k 300 --out all")).expect(0, &told);
        place.run(&format!("{line} --teacher-top-k 4 --out few")).expect(0, &["4 tokens a target"]);
        let (live, all, few) = (steps(&place, "live"), steps(&place, "all"), steps(&place, "few"));
        for (live, all) in live.iter().zip(&all) {
            for name in ["loss", "ce_loss", "kd_loss"] {
                let (live, all) = (number(live, name), number(all, name));
                assert!((live - all).abs() < 5e-3 * live, "{data}, {name}: {live} {all}");
            }
        }
        // Four tokens tell less of how far the student is away.
        assert!(number(&few[0], "kd_loss") < number(&all[0], "kd_loss"), "{} {}", few[0], all[0]);
        assert!(place.exists(&format!("few/{FILE}")) && !place.exists(&format!("live/{FILE}")));
    }
    let again = format!("{KEPT} --data chat.jsonl --steps 6 --val-split 0.1 --overwrite");
    let told = ["what was kept of the teacher by the run before is used again"];
    place.run(&format!("{again} --teacher-top-k 4 --out few")).expect(0, &told);
    let other = place.run(&format!("{again} --teacher-top-k 5 --out few"));
    other.expect(0, &["asking the teacher about", "5 tokens a target"]);
}

#[test]
fn a_run_beside_a_kept_teacher_goes_on_where_it_stopped() {
    let place = place();
    for flags in [
        "--data docs.jsonl --teacher-top-k 8",
        "--data chat.jsonl --teacher-top-k 3 --kd-loss jsd --alpha 0",
        "--data chat.jsonl --teacher-top-k 3 --kd-loss reverse-kl --lora --lora-rank 2",
    ] {
        compare(&place, &format!("{KEPT} {flags} --steps 8"), 3, &["ce_loss", "kd_loss"]);
    }
    let line = format!("{KEPT} --data docs.jsonl --teacher-top-k 8 --steps 6");
    place.run(&format!("{line} --out run --stop-after 2")).ok();
    let whole = place.read(&format!("run/{FILE}"));
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() - 1], &flipped] {
        place.write(&format!("run/{FILE}"), damaged);
        let told = ["training/teacher.bin is damaged", "checksum", "asked anew"];
        place.run("distill --resume --out run").expect(1, &told);
    }
    place.remove(&format!("run/{FILE}"));
    place.run("distill --resume --out run").expect(0, &["asking the teacher about"]);
    let start = |file: &[u8]| file.iter().position(|byte| *byte == b'\n').unwrap();
    let said = |file: &[u8]| file[start(file)..file.len() - CHECKSUM].to_vec();
    assert!(said(&place.read(&format!("run/{FILE}"))) == said(&whole), "the same is said again");
}

#[test]
fn what_a_teacher_cannot_have_read_before_is_refused_by_name() {
    let place = place();
    let line =
        |flags: &str| format!("{KEPT} --data docs.jsonl --teacher-top-k 8 --steps 2 --out run {flags}");
    for (flags, code, parts) in [
        ("--packing true", 2, &["--packing cuts rows at other places", "--packing false"][..]),
        ("--on-policy 0.5", 2, &["--teacher-top-k asks the teacher before the first step"]),
        ("--keep-data docs.jsonl --keep-share 0.3", 2, &["--keep-share mixes in rows"]),
        ("--teacher-top-k 301", 2, &["--teacher-top-k is 301, and the vocabulary has 300 tokens"]),
    ] {
        let line = line(flags);
        let line = if flags.contains("top-k") { line.replace("--teacher-top-k 8 ", "") } else { line };
        place.run(&line).expect(code, parts);
        assert!(!place.exists("run"), "{line}");
    }
}

#[cfg(unix)]
#[test]
fn a_teacher_whose_asking_is_interrupted_is_asked_for_the_rest_alone() {
    let place = place();
    place.write("many.jsonl", (0..20_000).map(crate::place::document).collect::<String>());
    let line = format!("{KEPT} --data many.jsonl --teacher-top-k 2 --steps 2 --out run");
    let running = place.start(&line);
    place.wait_for("the run's directory", || place.exists("run/training/settings.toml"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal("INT");
    let told = ["stopped while the teacher was asked", "kept: begin again with --overwrite --out run"];
    running.finish_within(std::time::Duration::from_secs(30)).expect(130, &told);
    let examples = |file: &[u8]| {
        let line = file.split(|byte| *byte == b'\n').next().unwrap();
        serde_json::from_slice::<serde_json::Value>(line).unwrap()["examples"].as_u64().unwrap()
    };
    let begun = examples(&place.read(&format!("run/{FILE}")));
    assert!(begun < 20_000, "{begun}");
    place.run("distill --resume --out run").expect(1, &["begin it again with --overwrite"]);
    let told = ["what was kept of the teacher by the run before is used again", "asking the teacher about"];
    place.run(&format!("{line} --overwrite")).expect(0, &told);
    assert_eq!(examples(&place.read(&format!("run/{FILE}"))), 20_000);
}
