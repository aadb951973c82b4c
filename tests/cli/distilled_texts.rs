//! `distill` on plain texts, which are read as `pretrain` reads them; a mix of texts and conversations is refused.

use crate::distillation::place;
use crate::place::{conversation, document, number, steps};
use crate::two_parts::compare;

const RUN: &str = "--batch-size 4 --max-seq-len 48 --learning-rate 0.003 --log-every 1";
const TAUGHT: &str = "distill --model model --teacher teacher";

#[test]
fn a_student_learns_texts_from_both_and_is_to_go_on_with_them() {
    let place = place();
    let line = format!("{TAUGHT} --data docs.jsonl {RUN} --alpha 0.25 --steps 12 --val-split 0.1 --out run");
    place.run(&line).expect(0, &["taught by teacher (", "kindling generate --model run"]);
    let log = steps(&place, "run");
    for line in &log {
        let [loss, ce, kd] = ["loss", "ce_loss", "kd_loss"].map(|name| number(line, name));
        assert!((loss - 0.25 * ce - 0.75 * kd).abs() < 1e-5 * loss, "{line}");
    }
    assert!(number(&log[11], "loss") < number(&log[0], "loss"), "{log:?}");
    let settings: toml::Table = place.text("run/training/settings.toml").parse().unwrap();
    assert_eq!((settings["stage"].as_str(), settings.get("date")), (Some("distill"), None));
    let again = place.run("distill --config run/training/settings.toml --out again");
    again.expect(0, &["kindling generate --model again"]);
    assert!(place.read("run/model.safetensors") == place.read("again/model.safetensors"));
}

#[test]
fn the_datas_share_alone_is_pretraining_whatever_holds_the_texts() {
    let place = place();
    for i in 0..30 {
        place.write(&format!("books/{i}.txt"), format!("Lamp {i} hangs over the bridge.\n").repeat(9));
    }
    place.write("more.jsonl", (200..240).map(document).collect::<String>());
    let prepare = "data prepare --data docs.jsonl --model model --max-seq-len 48";
    place.run(&format!("{prepare} --stage pretrain --out shards")).ok();
    let told = ["kindling distill --data own"];
    place.run(&format!("{prepare} --stage distill --out own")).expect(0, &told);
    place.run(&format!("{prepare} --stage pretrain --to npy --out tokens.npy")).ok();
    place.write("mixed.jsonl", (0..80).map(|i| document(i) + &conversation(i)).collect::<String>());
    for data in [
        "--data docs.jsonl --val-split 0.1",
        "--data docs.jsonl --packing true",
        "--data books/*.txt --data more.jsonl",
        "--data docs.jsonl=0.3 --data more.jsonl=0.7 --packing true",
        "--data shards",
        "--data own --packing true",
        "--data tokens.npy",
        "--data mixed.jsonl --join-turns",
        "--data mixed.jsonl --render-turns",
    ] {
        let packing = if data.contains("--packing") { "" } else { "--packing false" };
        let run = format!("{data} {packing} {RUN} --steps 4");
        place.run(&format!("{TAUGHT} --alpha 1 {run} --out taught --overwrite")).ok();
        place.run(&format!("pretrain --model model {run} --out plain --overwrite")).ok();
        assert_eq!(place.logged_steps("taught"), place.logged_steps("plain"), "{data}");
        assert!(
            place.read("taught/model.safetensors") == place.read("plain/model.safetensors"),
            "{data}: the weights differ"
        );
    }
    place.run("data preview --data docs.jsonl --model model --stage distill").expect(0, &[]);
}

#[test]
fn a_run_on_texts_in_two_parts_is_the_same() {
    let place = place();
    for flags in [
        "--kd-loss jsd",
        "--packing --grad-accum 2 --kd-loss reverse-kl --kd-temperature 1",
        "--on-policy --max-new-tokens 8",
        "--on-policy 0.5 --packing --max-new-tokens 8",
    ] {
        let line = format!("{TAUGHT} --data docs.jsonl {RUN} {flags} --steps 8");
        compare(&place, &line, 3, &["ce_loss", "kd_loss", "own_kd_loss"]);
    }
}

#[test]
fn texts_and_conversations_at_once_and_what_acts_on_one_alone_are_refused_by_name() {
    let place = place();
    place.write("mixed.jsonl", conversation(1) + &conversation(2) + &document(3));
    place.write("t.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
    let train = format!("{TAUGHT} {RUN} --steps 2 --out run --data");
    let view = "data preview --model model --stage distill --data";
    let both = ["mixed.jsonl:3 is a text", "mixed.jsonl:1 a conversation", "--join-turns"];
    for (line, code, parts) in [
        (format!("{train} mixed.jsonl"), 1, &both[..]),
        (format!("{train} mixed.jsonl --skip-bad-rows"), 1, &both),
        (format!("{train} mixed.jsonl --process-data tokens"), 1, &both),
        (format!("{train} docs.jsonl --data chat.jsonl"), 1, &["docs.jsonl:1 is a text and chat.jsonl:1 a"]),
        (format!("{train} docs.jsonl=0.5 --data chat.jsonl=0.5"), 1, &["docs.jsonl:1 is a text"]),
        (format!("{view} mixed.jsonl"), 1, &both),
        ("data prepare --data mixed.jsonl --model model --stage distill --out tokens".to_string(), 1, &both),
        (format!("{train} docs.jsonl --date 2025-07-31"), 2, &["--date acts where a chat template"]),
        (format!("{view} docs.jsonl --chat-template t.jinja"), 2, &["--chat-template acts where"]),
        (
            format!("{train} docs.jsonl --keep-data chat.jsonl --keep-share 0.3"),
            1,
            &["chat.jsonl:1: a row to keep of another form"],
        ),
    ] {
        place.run(&line).expect(code, parts);
        assert!(!place.exists("run") && !place.exists("tokens"), "{line}");
    }
    let kept = ["--chat-template renders nothing where texts are trained"];
    place.run(&format!("{train} docs.jsonl --chat-template t.jinja")).expect(0, &kept);
}
