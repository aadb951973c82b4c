//! `--data FILE=SHARE`: several sources by shares.

use crate::place::{Place, SHORT, conversation, document};

/// With `a.jsonl` (30 texts) and `b.jsonl` (10).
fn place() -> Place {
    let place = Place::with_model();
    place.write("a.jsonl", (0..30).map(document).collect::<String>());
    place.write("b.jsonl", (100..110).map(document).collect::<String>());
    place
}

const MIX: &str = "--data a.jsonl=0.5 --data b.jsonl=0.5";

#[test]
fn shares_are_told_and_counted() {
    let place = place();
    let run = place
        .run(&format!("pretrain --model model {MIX} --epochs 2 --batch-size 4 --max-seq-len 64 --out run"));
    let run = run.expect(
        0,
        &["an epoch is as long as the shares need", "60 rows, 30 of a.jsonl (50 %", "30 of b.jsonl"],
    );
    assert!(run.stderr.contains("rows read by source: 60 of a.jsonl, 60 of b.jsonl"), "{run}");
    let log = place.log("run");
    let sources = log.iter().find(|line| line["event"] == "sources").unwrap();
    assert_eq!((&sources["rows"]["a.jsonl"], &sources["rows"]["b.jsonl"]), (&60.into(), &60.into()));
    // Other sums are told, too.
    let run =
        place.run(&format!("pretrain --model model --data a.jsonl=3 --data b.jsonl=1 --out other {SHORT}"));
    run.expect(0, &["the shares of --data sum to 4, not 1; they are taken as a.jsonl 75 %, b.jsonl 25 %"]);
}

#[test]
fn shares_that_do_not_hold_are_refused_by_name() {
    let place = place();
    for (data, parts) in [
        ("--data a.jsonl=0 --data b.jsonl=1", &["a.jsonl: the share is 0; it must be a number above 0"][..]),
        ("--data a.jsonl=-1 --data b.jsonl=nan", &["a.jsonl: the share is -1", "b.jsonl: the share is NaN"]),
        ("--data a.jsonl=0.5 --data b.jsonl", &["--data b.jsonl has no share, and others have one"]),
        ("--data a.jsonl=0.5 --data a.jsonl=0.5", &["a.jsonl is named twice"]),
    ] {
        place.run(&format!("pretrain --model model {data} --out run {SHORT}")).expect(2, parts);
        assert!(!place.exists("run"), "{data}");
    }
    let absent =
        place.run(&format!("pretrain --model model --data absent=0.5 --data a.jsonl=0.5 --out run {SHORT}"));
    absent.expect(1, &["absent: there is no such file"]);
    let elsewhere = place.run("tokenizer train --data a.jsonl=0.5 --vocab-size 300 --out t");
    elsewhere.expect(1, &["a share, as 0.5 of a.jsonl, acts where a stage trains on --data"]);
}

#[test]
fn a_name_that_ends_like_a_share_still_opens() {
    let place = place();
    place.write("c=0.jsonl", document(1));
    place.write("d.jsonl=0.5/x.jsonl", document(2));
    place.run(&format!("pretrain --model model --data d.jsonl=0.5 --data c=0.jsonl --out run {SHORT}")).ok();
}

#[test]
fn patterns_and_directories_have_shares_and_a_preview_names_them() {
    let place = place();
    place.write("dir/a.jsonl", (0..3).map(conversation).collect::<String>());
    place.write("dir/b.jsonl", (3..6).map(conversation).collect::<String>());
    place.write("c.jsonl", (6..9).map(conversation).collect::<String>());
    let preview =
        place.run("data preview --data dir=0.75 --data c*.jsonl=0.25 --model model --limit 4 --json").ok();
    let rows: Vec<_> = preview.json().into_iter().filter(|line| line.get("tokens").is_some()).collect();
    let seen: Vec<_> =
        rows.iter().map(|row| (row["of"].as_str().unwrap(), row["share"].as_f64().unwrap())).collect();
    assert_eq!(seen, [("dir", 0.75), ("dir", 0.75), ("dir", 0.75), ("c*.jsonl", 0.25)]);
    let shown = place.run("data preview --data dir=0.75 --data c*.jsonl=0.25 --model model --limit 4").ok();
    assert!(shown.stdout.contains("of dir, 75.0 % of all"), "{shown}");
}

#[test]
fn a_mix_that_is_stopped_goes_on_as_if_it_had_not_been() {
    let place = place();
    for flags in ["--batch-size 2", "--batch-size 2 --packing false --val-split 0.2 --eval-every 3"] {
        let command =
            format!("pretrain --model model {MIX} --max-seq-len 32 --log-every 1 --steps 12 {flags}");
        for run in ["whole", "parts"].into_iter().filter(|run| place.exists(run)) {
            place.remove(run);
        }
        place.run(&format!("{command} --out whole")).ok();
        place.run(&format!("{command} --out parts --stop-after 5")).ok();
        place.run("pretrain --resume --out parts").ok();
        assert_eq!(place.logged_steps("whole"), place.logged_steps("parts"), "{flags}");
        assert!(place.read("whole/model.safetensors") == place.read("parts/model.safetensors"), "{flags}");
    }
    let other = place.run("pretrain --resume --out parts --data a.jsonl=0.9 --data b.jsonl=0.1");
    other.expect(1, &["they are not the same"]);
}

#[test]
fn equal_rows_give_equal_weights_however_their_sources_are_named() {
    let place = place();
    place.write("dir/a.jsonl", place.read("a.jsonl"));
    let weights = |data: &str| {
        place.run(&format!("pretrain --model model {data} --out run --overwrite {SHORT}")).ok();
        place.read("run/model.safetensors")
    };
    let before = weights(MIX);
    assert!(before == weights("--data dir=0.5 --data b.jsonl=0.5"));
    assert!(before == weights("--data a.jsonl=2 --data b.jsonl=2"));
    assert!(before != weights("--data a.jsonl=0.9 --data b.jsonl=0.1"));
}
