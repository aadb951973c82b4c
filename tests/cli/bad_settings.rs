//! Command lines and recipes that do not hold: what is said, the exit code, and that nothing is left behind.

use crate::place::{Place, SHORT};

/// Runs each line under `--json`: it fails with this code and these parts, says nothing on stdout and makes
/// no `run`.
fn refuse_all(place: &Place, cases: &[(&str, i32, &[&str])]) {
    for (line, code, parts) in cases {
        let outcome = place.run(&format!("{line} --json")).expect(*code, parts);
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert!(!place.exists("run"), "a directory is left behind\n{outcome}");
    }
}

#[test]
fn all_wrong_values_are_named_at_once() {
    let place = Place::with_model();
    let train = "pretrain --model model --data docs.jsonl --out run";
    let many = "--steps 0 --batch-size 0 --grad-accum 0 --learning-rate 5 --val-split 2 --warmup-ratio 3 \
                --keep-last 0";
    let named = [
        "--steps is 0",
        "--batch-size is 0",
        "--grad-accum is 0",
        "--learning-rate is 5",
        "--val-split is 2",
        "--warmup-ratio is 3",
        "--keep-last is 0",
    ];
    refuse_all(
        &place,
        &[
            (&format!("{train} {many}"), 2, &named),
            (
                "generate --model model --prompt x --temperature=-1 --top-p 3 --max-new-tokens 0",
                2,
                &["--temperature is -1", "--top-p is 3", "--max-new-tokens is 0"],
            ),
            (&format!("{train} --limit 0"), 2, &["rows must be at least 1"]),
            (&format!("{train} --min-chars 9 --max-chars 2"), 2, &["at least 9 and at most 2 characters"]),
            (&format!("{train} --max-seq-len 4096"), 2, &["--max-seq-len is 4096", "holds 128 positions"]),
            (&format!("{train} --eval-every 5"), 2, &["--eval-every", "--val-split"]),
            (&format!("{train} --learning-rate fast"), 2, &["'fast'", "--learning-rate"]),
            (&format!("{train} --lr-schedule steep"), 2, &["'steep'", "cosine"]),
            ("tokenizer train --data docs.jsonl --vocab-size 100 --out run", 2, &["100", "at least 259"]),
            ("chat --model model --history 3", 2, &["--history is 3", "even"]),
            // A negative number is a value, not an unknown flag.
            ("generate --model model --prompt x --temperature -1", 2, &["--temperature is -1"]),
            (&format!("{train} --learning-rate -0.5"), 2, &["--learning-rate is -0.5"]),
            (&format!("{train} --steps -3"), 2, &["'-3'", "--steps"]),
        ],
    );
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let place = Place::with_model();
    let data = "--data docs.jsonl --out run";
    refuse_all(
        &place,
        &[
            (&format!("pretrain --model model --preset nano {data}"), 2, &["--model", "--preset"]),
            (&format!("pretrain --preset nano {data}"), 2, &["needs a --tokenizer"]),
            ("pretrain --model model --out run", 2, &["there is no --data"]),
            (&format!("pretrain {data} --resume --overwrite"), 2, &["--resume", "--overwrite"]),
            ("pretrain --model model --data docs.jsonl --resume", 2, &["--out"]),
            ("generate --model model", 2, &["--prompt TEXT", "--tokens"]),
            ("generate --model model --prompt x --tokens 1", 2, &["--prompt", "--tokens"]),
            ("score --model model", 2, &["there is nothing to score"]),
            ("score --model model --data docs.jsonl --logits", 2, &["--data", "--logits"]),
            ("score --model model --tokens 1,2 --add-bos", 2, &["--tokens", "--add-bos"]),
            ("score --model model --tokens 1,2 --limit 3", 2, &["--tokens", "--limit"]),
            ("score --model model --text x --limit 3", 2, &["--text", "--limit"]),
            ("score --model model --text x --skip-bad-rows", 2, &["--text", "--skip-bad-rows"]),
            (
                &format!("pretrain --model model {data} --lr-schedule constant --min-lr-ratio 0.2"),
                2,
                &["--min-lr-ratio does not act with --lr-schedule constant"],
            ),
            (
                &format!("pretrain --model model {data} --steps 3 --epochs 2"),
                2,
                &["--epochs does not act beside --steps"],
            ),
            ("plan", 2, &["--preset"]),
            ("nonsense", 2, &["'nonsense'"]),
            ("pretrain --model model --nonsense 3", 2, &["'--nonsense'"]),
        ],
    );
}

#[test]
fn flags_that_would_not_act_are_refused_by_name() {
    let place = Place::with_model();
    place.write("t.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
    place.write("text.txt", "The lamp shines.\n".repeat(40));
    place.write("texts.parquet", include_bytes!("../golden/parquet/texts.parquet"));
    let (train, preview) = ("pretrain --model model --out run --data", "data preview --model model --data");
    let date = ["--date acts where a chat template renders", "--render-turns"];
    refuse_all(
        &place,
        &[
            (&format!("{train} texts.parquet --encoding gbk"), 2, &["--encoding does not act on .parquet"]),
            (
                &format!("{preview} texts.parquet --encoding utf-8"),
                2,
                &["--encoding does not act on .parquet"],
            ),
            (&format!("{train} text.txt --text-column body"), 2, &["--text-column names a key"]),
            (&format!("{train} docs.jsonl --date 2025-07-31"), 2, &date),
            (&format!("{preview} docs.jsonl --stage pretrain --date 2025-07-31"), 2, &date),
            (
                &format!("{preview} docs.jsonl --stage pretrain --chat-template t.jinja"),
                2,
                &["--chat-template acts"],
            ),
        ],
    );
    // The model takes the template along, and a recipe of its run can be used again.
    let kept = "--chat-template renders nothing where texts are trained; it is kept with the model";
    place.run(&format!("{train} docs.jsonl --chat-template t.jinja {SHORT}")).expect(0, &[kept]);
    assert!(place.text("run/chat_template.jinja").contains("m.content"));
    assert!(!place.text("run/training/settings.toml").contains("date"));
    place.run("pretrain --data docs.jsonl --config run/training/settings.toml --out again").ok();
}

#[test]
fn a_default_length_is_at_most_what_the_model_holds() {
    let place = Place::with_model();
    let told = "--max-seq-len is 128, all that the model holds (the default is 512)";
    let train = "sft --model model --data chat.jsonl --batch-size 2 --steps 2 --out run";
    place.run(&format!("{train} --stop-after 1")).expect(0, &[told]);
    assert!(place.text("run/training/settings.toml").contains("max-seq-len = 128"));
    place.run("sft --resume --out run").ok();
    place.run("data preview --model model --data chat.jsonl --limit 1").expect(0, &[told]);
    let given = format!("{train} --overwrite --max-seq-len 512");
    for line in [given.as_str(), "data preview --model model --data chat.jsonl --max-seq-len 512"] {
        place.run(line).expect(2, &["--max-seq-len is 512, the model holds 128 positions; take at most"]);
    }
    place.run("data preview --model model --data chat.jsonl --max-seq-len 1").expect(2, &["at least 2"]);
}

#[test]
fn flags_that_would_not_act_on_the_example_are_refused() {
    let place = Place::with_model();
    place.write("r.toml", "learning-rate = 0.1\n");
    let said = "the generated example runs";
    refuse_all(
        &place,
        &[
            (
                "sft --out run --max-seq-len 64 --batch-size 2",
                2,
                &[said, "--max-seq-len", "--batch-size", "--data"],
            ),
            ("sft --out run --stop-after 3", 2, &[said, "--stop-after"]),
            ("pretrain --out run --tokenizer tok", 2, &[said, "--tokenizer"]),
            ("pretrain --out run --limit 10 --keep-last 2", 2, &[said, "--limit", "--keep-last"]),
            ("sft --out run --config r.toml", 2, &[said, "--learning-rate"]),
            ("sft --out run --save-minutes=-2", 2, &["--save-minutes is -2"]),
        ],
    );
}

#[test]
fn unknown_presets_and_devices_are_named_beside_the_known() {
    let place = Place::with_model();
    let train = "pretrain --tokenizer tok --data docs.jsonl --out run";
    refuse_all(
        &place,
        &[
            (&format!("{train} --preset nope"), 2, &["there is no preset 'nope'", "nano, micro"]),
            (
                &format!("{train} --preset minimind2-moe --norm-topk-prob --num-experts-per-tok 1"),
                2,
                &["--norm-topk-prob does not act with one expert a token"],
            ),
            (&format!("{train} --preset nano --seq-aux"), 2, &["--seq-aux would not act", "--num-experts 4"]),
            ("bench --preset nano --beside-dense", 2, &["--beside-dense", "--num-experts 4"]),
            ("plan --preset nope", 2, &["there is no preset 'nope'"]),
            ("bench --preset nope", 2, &["there is no preset 'nope'"]),
            (&format!("{train} --preset nano --device tpu"), 2, &["'tpu' is no device", "vulkan[:i]"]),
            (&format!("{train} --preset nano --device cuda:x"), 2, &["'x' is not a device number"]),
        ],
    );
    for (feature, built) in [
        ("cuda", cfg!(feature = "cuda")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("metal", cfg!(feature = "metal")),
        ("wgpu", cfg!(feature = "wgpu")),
    ] {
        if !built {
            let line = format!("{train} --preset nano --device {feature}");
            let command = format!("cargo build --release -p native --features {feature}");
            let absent = format!("this build has no {feature}");
            let parts: &[&str] = &[&absent, &command];
            refuse_all(&place, &[(&line, 1, parts), (&format!("doctor --device {feature}"), 1, parts)]);
        }
    }
}

#[test]
fn flags_of_later_issues_are_not_built_yet() {
    let place = Place::with_model();
    for flag in ["--sync-every", "--tf32"] {
        let line = format!("pretrain --model model --data docs.jsonl --out run {flag} x");
        refuse_all(&place, &[(line.as_str(), 2, &[flag, "not built yet"])]);
    }
}

#[test]
fn what_is_measured_and_warmed_fits_together() {
    let place = Place::with_model();
    refuse_all(
        &place,
        &[
            ("bench --what decode --decode-batch-size 0", 2, &["--decode-batch-size is 0"]),
            ("bench --what train --batch-size 2000000", 2, &["--batch-size is 2000000", "1 to 1048576"]),
            ("bench --preset nano --new-tokens 4096", 2, &["--new-tokens is 4096", "nano holds 1 to 1024"]),
            ("bench --model model --preset nano", 2, &["--model", "--preset"]),
            ("bench --model model --num-experts 4", 2, &["settings of experts", "--preset"]),
            ("bench --model absent", 1, &["absent"]),
            ("doctor --preset nano", 2, &["--warm"]),
            ("doctor --warm --preset nope", 2, &["there is no preset 'nope'"]),
            ("doctor --warm --max-seq-len 4096", 2, &["--max-seq-len is 4096", "nano holds 1 to 1024"]),
            ("doctor --warm --weights q8_0 --what train", 2, &["--weights", "do not train"]),
        ],
    );
}

#[test]
fn sizes_that_no_model_has_are_refused_by_every_verb() {
    let place = Place::new();
    refuse_all(
        &place,
        &[
            ("plan --preset nano --batch-size 0", 2, &["--batch-size is 0"]),
            ("plan --preset nano --max-seq-len 0", 2, &["--max-seq-len is 0"]),
            ("bench --preset nano --seconds 0.1 --batch-size 0", 2, &["--batch-size is 0"]),
            ("bench --preset nano --seconds 0.1 --max-seq-len 0", 2, &["--max-seq-len is 0"]),
        ],
    );
}

#[test]
fn ids_and_texts_that_the_model_cannot_take_are_refused() {
    let place = Place::with_model();
    let long = vec!["5"; 200].join(",");
    refuse_all(
        &place,
        &[
            ("score --model model --tokens 1,2,999", 1, &["999", "0 to 299"]),
            ("generate --model model --tokens 1,2,999", 1, &["999", "0 to 299"]),
            (&format!("score --model model --tokens {long}"), 1, &["200 tokens", "128"]),
            (&format!("generate --model model --tokens {long}"), 1, &["200 tokens", "128"]),
            ("generate --model model --tokens 1,x", 2, &["'x'", "--tokens"]),
        ],
    );
    place
        .run_words(&["generate", "--model", "model", "--prompt", ""])
        .expect(1, &["the prompt holds no tokens"]);
    place.run_words(&["score", "--model", "model", "--text", ""]).expect(1, &["the text holds no tokens"]);
}

#[test]
fn recipes_are_refused_by_the_names_of_their_keys() {
    let place = Place::with_model();
    for (recipe, code, parts) in [
        ("steps = 3\nlearnin-rate = 0.1\nfoo = 1\n", 2, &["r.toml", "learnin-rate", "foo"][..]),
        ("steps = = 3\n", 2, &["r.toml: not a TOML file", "line 1"]),
        ("steps = 3\nsteps = 4\n", 2, &["r.toml: not a TOML file", "duplicate key"]),
        ("steps = \"many\"\n", 2, &["'many'", "--steps"]),
        ("batch-size = 0\nlearning_rate = 7\n", 2, &["--batch-size is 0", "--learning-rate is 7"]),
        ("data = \"docs.jsonl\"\n[optimizer]\nname = \"adamw\"\n", 2, &["r.toml", "optimizer"]),
    ] {
        place.write("r.toml", recipe);
        refuse_all(
            &place,
            &[("pretrain --model model --data docs.jsonl --out run --config r.toml", code, parts)],
        );
    }
    refuse_all(
        &place,
        &[("pretrain --model model --data docs.jsonl --out run --config no.toml", 1, &["no.toml"])],
    );
}

#[test]
fn chat_templates_that_fail_are_refused() {
    let place = Place::with_model();
    let remedy = "or give another with --chat-template FILE";
    for (template, part) in [
        ("{% if %}", "t.jinja: the chat template does not compile"),
        ("{{ raise_exception('no such role') }}", "no such role"),
    ] {
        place.write("t.jinja", template);
        let line = format!("sft --model model --data chat.jsonl --chat-template t.jinja --out run {SHORT}");
        refuse_all(&place, &[(&line, 1, &[part, remedy, "chat_template.jinja"])]);
    }
    // One that lies beside the model is told as its own, and not as a fault of the rows.
    place.copy("model", "broken");
    place.write("broken/chat_template.jinja", "{% if %}");
    let told = ["the chat template does not compile", "the model's chat_template.jinja", remedy];
    for line in ["sft --steps 1 --max-seq-len 32 --out run", "generate --max-new-tokens 2"] {
        let outcome = place.run(&format!("{line} --model broken --data chat.jsonl")).expect(1, &told);
        assert!(!outcome.stderr.contains("chat.jsonl:2"), "{outcome}");
    }
    refuse_all(
        &place,
        &[("sft --model model --data chat.jsonl --chat-template no.jinja --out run", 1, &["no.jinja"])],
    );
}

#[test]
fn help_goes_to_stdout_with_the_defaults_of_the_stage() {
    let place = Place::new();
    for (verb, default) in [("pretrain", "[default: 0.001]"), ("sft", "[default: 0.0003]")] {
        let help = place.run(&format!("{verb} --help")).ok().stdout;
        assert!(help.contains(default), "{help}");
    }
    let version = place.run("--version").ok();
    assert_eq!(version.stdout.trim(), format!("kindling {}", env!("CARGO_PKG_VERSION")));
}
