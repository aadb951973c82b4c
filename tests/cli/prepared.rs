//! `data prepare`: rows as tokens, made once, and training from them.

use crate::harness::Running;
use crate::place::{Place, conversation, document};

const PRETRAIN: &str =
    "pretrain --model model --steps 6 --batch-size 2 --max-seq-len 32 --log-every 1 --val-split 0.1";
const SFT: &str = "sft --model model --steps 6 --batch-size 4 --max-seq-len 64 --log-every 1 --val-split 0.1";

fn same(place: &Place, one: &str, other: &str) {
    assert_eq!(place.logged_steps(one), place.logged_steps(other), "{one} {other}");
    assert!(
        place.read(&format!("{one}/model.safetensors")) == place.read(&format!("{other}/model.safetensors"))
    );
    let held_out = |run: &str| {
        let evals = place.log(run).into_iter().filter(|line| line["event"] == "eval");
        evals.map(|line| line["loss"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(held_out(one), held_out(other));
    assert!(!held_out(one).is_empty());
}

#[test]
fn training_from_shards_is_training_from_text() {
    let place = Place::with_model();
    let prepare = place.run(
        "data prepare --data docs.jsonl --model model --stage pretrain --max-seq-len 32 --out shards --json",
    );
    let done = prepare.ok().result();
    assert_eq!((&done["rows"], &done["shards"], &done["kept"]), (&200.into(), &1.into(), &0.into()));
    assert!(!place.exists("shards/training") && !place.exists("shards/prepared.partial.json"));
    place.run(&format!("{PRETRAIN} --data docs.jsonl --out text")).ok();
    place.run(&format!("{PRETRAIN} --data shards --out tokens")).expect(0, &["200 rows of tokens"]);
    same(&place, "text", "tokens");
    place.run(&format!("{PRETRAIN} --data shards/prepared.json --out index")).ok();
    same(&place, "text", "index");

    place.run("data prepare --data chat.jsonl --model model --max-seq-len 64 --out chats").ok();
    place.run(&format!("{SFT} --data chat.jsonl --out chat-text")).ok();
    place.run(&format!("{SFT} --data chats --out chat-tokens")).ok();
    same(&place, "chat-text", "chat-tokens");
    // What began with the text goes on with its tokens.
    place.run(&format!("{SFT} --data chat.jsonl --out parts --stop-after 3")).ok();
    place.run("sft --resume --out parts --data chats").ok();
    assert_eq!(place.logged_steps("chat-text"), place.logged_steps("parts"));
    assert!(place.read("chat-text/model.safetensors") == place.read("parts/model.safetensors"));
}

#[test]
fn tokens_are_shown_as_the_rows_that_they_were_made_of() {
    let place = Place::with_model();
    place.run("data prepare --data chat.jsonl --model model --max-seq-len 64 --out chats").ok();
    let preview = |flags: &str| place.run(&format!("data preview --model model --limit 2 {flags}"));
    let shown = |flags: &str| preview(flags).ok().stdout;
    let rows = shown("--data chat.jsonl --max-seq-len 64");
    assert!(rows.contains("What is 0 plus one?"), "{rows}");
    assert_eq!(shown("--data chats --max-seq-len 64"), rows);
    assert_eq!(shown("--data chats/prepared.json"), rows, "of whatever length, where none is asked for");
    assert_eq!(
        shown("--data chats --max-seq-len 64 --json"),
        shown("--data chat.jsonl --max-seq-len 64 --json")
    );
    preview("--data chats").expect(0, &["100 rows of tokens, of which the first 2 are shown"]);
    for (flags, told) in [
        ("--data chats --max-seq-len 65", "prepared with --max-seq-len 64, and this run takes 65"),
        ("--data chats --skip-bad-rows", "--skip-bad-rows would not act"),
        ("--data chats --stage pretrain", "made of conversations, and this stage reads documents"),
        ("--data chats --data chat.jsonl", "--data chats holds tokens, and others hold rows"),
    ] {
        preview(flags).expect(2, &[told]);
    }
}

#[test]
fn tokens_of_something_else_are_refused_by_name() {
    let place = Place::with_model();
    place.run("data prepare --data chat.jsonl --model model --max-seq-len 64 --out chats").ok();
    place.write(
        "t.jinja",
        "{% for m in messages %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}",
    );
    place.run("tokenizer train --data docs.jsonl --vocab-size 290 --out other").ok();
    let sft = "sft --model model --data chats --out run --steps 2";
    for (line, code, parts) in [
        (format!("{sft} --max-seq-len 64 --chat-template t.jinja"), 2, &["another chat template"][..]),
        (format!("{sft} --max-seq-len 65"), 2, &["prepared with --max-seq-len 64, and this run takes 65"]),
        (format!("{sft} --max-seq-len 64 --limit 3 --dedup"), 2, &["--limit, --dedup would not act"]),
        (format!("{sft} --data chat.jsonl"), 2, &["--data chats holds tokens, and others hold rows"]),
        (
            "pretrain --model model --data chats --out run".into(),
            2,
            &["made of conversations, and this stage reads documents"],
        ),
        (
            "sft --model-config tiny.json --tokenizer other --data chats --out run --max-seq-len 64".into(),
            2,
            &["another tokenizer than the model's"],
        ),
        ("tokenizer train --data chats --vocab-size 300 --out t".into(), 1, &["holds prepared data"]),
        (
            "data prepare --data docs.jsonl --model model --stage pretrain --out chats".into(),
            2,
            &["holds other rows"],
        ),
        (
            "data prepare --data docs.jsonl --model model --stage pretrain --out model".into(),
            2,
            &["no prepared data"],
        ),
    ] {
        place.run(&line).expect(code, parts);
        assert!(!place.exists("run"), "{line}");
    }
    let whole = place.read("chats/shard-00000.bin");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    place.write("chats/shard-00000.bin", &damaged);
    place.run(&format!("{sft} --max-seq-len 64")).expect(1, &["shard-00000.bin: the shard is damaged"]);
    let again = "data prepare --data chat.jsonl --model model --max-seq-len 64 --out chats";
    place.run(again).expect(2, &["the shard is damaged", "--overwrite"]);
    place.run(&format!("{again} --overwrite")).expect(0, &["it is made again"]);
    assert!(place.read("chats/shard-00000.bin") == whole, "the same rows give the same bytes");
    place.run(again).expect(0, &["holds these rows as tokens already"]);
    let index = place.text("chats/prepared.json");
    place.write("chats/prepared.json", &index[..index.len() / 2]);
    place
        .run(&format!("{sft} --max-seq-len 64"))
        .expect(1, &["prepared.json: the index of the prepared data is damaged"]);
    place.remove("chats/prepared.json");
    place.remove("chats/shard-00000.bin");
    place.write("chats/prepared.partial.json", "{}");
    place
        .run(&format!("{sft} --max-seq-len 64"))
        .expect(1, &["the preparation of this data is not at its end"]);
}

#[cfg(unix)]
#[test]
fn a_preparation_that_was_interrupted_goes_on() {
    let place = Place::with_model();
    // About 40 MB of text: several shards.
    let text: String =
        (0..200_000).map(|i| document(i).replace("shines", &"shines and shines ".repeat(6))).collect();
    place.write("long.jsonl", text);
    let prepare = "data prepare --data long.jsonl --model model --stage pretrain --out";
    let running: Running = place.start(&format!("{prepare} parts"));
    place.wait_for("a shard", || place.exists("parts/shard-00000.bin"));
    running.signal("INT");
    let stopped = running.finish();
    assert!(stopped.code == Some(130) || stopped.code == Some(0), "{stopped}");
    if stopped.code == Some(130) {
        assert!(place.exists("parts/prepared.partial.json") && !place.exists("parts/prepared.json"));
    }
    let done = place.run(&format!("{prepare} parts --json")).ok().result();
    assert!(done["kept"].as_u64().unwrap() >= 1, "{done}");
    place.run(&format!("{prepare} whole")).ok();
    let names = |directory: &str| {
        let files = place.contents(directory).into_iter();
        files.map(|(path, bytes)| (path.file_name().unwrap().to_owned(), bytes)).collect::<Vec<_>>()
    };
    assert!(names("parts") == names("whole"), "the same files, byte by byte");
    assert!(names("whole").len() >= 3);
}

#[test]
fn one_command_makes_tokens_and_trains_from_them() {
    let place = Place::with_model();
    place.run(&format!("{SFT} --data chat.jsonl --out text")).ok();
    place.run(&format!("{SFT} --data chat.jsonl --process-data cache --out tokens")).ok();
    same(&place, "text", "tokens");
    let before = place.contents("cache");
    place
        .run(&format!("{SFT} --data chat.jsonl --process-data cache --out again"))
        .expect(0, &["as tokens already"]);
    same(&place, "text", "again");
    assert!(before == place.contents("cache"));
    // Other rows take the place of these.
    place.write("few.jsonl", (0..40).map(conversation).collect::<String>());
    place.run(&format!("{SFT} --data few.jsonl --process-data cache --out few")).ok();
    place.run(&format!("{SFT} --data few.jsonl --out few-text")).ok();
    same(&place, "few-text", "few");
    assert!(before != place.contents("cache"));
}

#[test]
fn a_mix_keeps_its_shares() {
    let place = Place::with_model();
    place.write("few.jsonl", (300..310).map(document).collect::<String>());
    let mix = "--data docs.jsonl=0.8 --data few.jsonl=0.2";
    place.run(&format!("data prepare {mix} --model model --stage pretrain --out shards")).ok();
    place.run(&format!("{PRETRAIN} {mix} --out text")).ok();
    place.run(&format!("{PRETRAIN} --data shards --out tokens")).expect(0, &["of few.jsonl (20 %"]);
    same(&place, "text", "tokens");
    // Sources that were prepared one by one have shares, too, and what they train is the same.
    for (data, out) in [("docs.jsonl", "a"), ("few.jsonl", "b")] {
        place.run(&format!("data prepare --data {data} --model model --stage pretrain --out {out}")).ok();
    }
    place.run(&format!("{PRETRAIN} --data a=0.8 --data b=0.2 --out joined")).expect(0, &["of b (20 %"]);
    same(&place, "text", "joined");
    place.run(&format!("{PRETRAIN} --data a --data b --out plain")).expect(0, &["210 rows of tokens"]);
    place.run(&format!("{PRETRAIN} --data docs.jsonl --data few.jsonl --out plain-text")).ok();
    same(&place, "plain-text", "plain");
    let mixed = place.run(&format!("{PRETRAIN} --data shards=0.5 --data a=0.5 --out refused"));
    mixed.expect(2, &["one is a mix already"]);
    let alone = place.run(&format!("{PRETRAIN} --data a=0.5 --data b --out refused"));
    alone.expect(2, &["--data b has no share"]);
}

#[test]
fn caches_of_other_programs_are_written_and_train() {
    let place = Place::with_model();
    let prepare = "data prepare --data docs.jsonl --model model --stage pretrain --max-seq-len 16";
    let flat = place.run(&format!("{prepare} --to bin --out flat.bin --json")).ok().result();
    let tokens = flat["tokens"].as_u64().unwrap();
    assert_eq!(place.read("flat.bin").len() as u64, 2 * tokens);
    let wide = place.run(&format!("{prepare} --to bin --out flat.u32.bin --json")).ok().result();
    assert_eq!((place.read("flat.u32.bin").len() as u64, &wide["tokens"]), (4 * tokens, &flat["tokens"]));
    let array = place.run(&format!("{prepare} --to npy --out rows.npy --json")).ok().result();
    assert_eq!(array["rows"].as_u64().unwrap(), tokens / 16);
    assert_eq!(array["left_over"].as_u64().unwrap(), tokens % 16);
    let bytes = place.read("rows.npy");
    assert_eq!(bytes.len() as u64, 128 + 4 * 16 * (tokens / 16));
    let of_array = bytes[128..].chunks(4).map(|four| u32::from_le_bytes(four.try_into().unwrap()));
    let of_flat: Vec<u32> =
        place.read("flat.bin").chunks(2).map(|two| u16::from_le_bytes([two[0], two[1]]).into()).collect();
    assert!(of_array.eq(of_flat.into_iter().take((tokens / 16 * 16) as usize)));
    for data in ["flat.bin", "flat.u32.bin", "rows.npy"] {
        let run = format!("run-{data}");
        place.run(&format!("{PRETRAIN} --data {data} --out {run}")).ok();
        assert_eq!(place.logged_steps(&run).len(), 6);
    }
    // Flat tokens are the same rows, whatever their type.
    same(&place, "run-flat.bin", "run-flat.u32.bin");
    for (line, code, parts) in [
        (format!("{prepare} --to npy --out rows.npy"), 2, &["rows.npy is taken"][..]),
        (format!("{prepare} --to npy --out rows.bin"), 2, &["ends in .npy"]),
        (
            "data prepare --data chat.jsonl --model model --to bin --out x.bin".into(),
            2,
            &["--stage pretrain"],
        ),
        (
            "sft --model model --data rows.npy --out run".into(),
            2,
            &["a file of nothing but tokens holds texts"],
        ),
        (format!("{prepare} --to npy --out long.npy --max-seq-len 128 --limit 1"), 2, &["--max-seq-len"]),
    ] {
        place.run(&line).expect(code, parts);
    }
    let short = "data prepare --data docs.jsonl --model model --stage pretrain --max-seq-len 128 --limit 1 --to npy --out s.npy";
    place.run(short).expect(1, &["fill no row of 128"]);
    assert!(!place.exists("s.npy") && !place.exists("s.npy.tmp"));
}
