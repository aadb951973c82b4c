//! `distill`: a teacher beside the student, how such a run goes on, and a teacher that answers prompts.

use serde_json::Value;

use crate::place::{Place, SHORT, number, steps};
use crate::two_parts::compare;

const DISTILL: &str = "distill --model model --teacher teacher --data chat.jsonl --batch-size 4 --max-seq-len 64 \
                       --learning-rate 0.003 --log-every 1";

/// With a second model of the same tokenizer in `teacher`.
pub fn place() -> Place {
    let place = Place::with_model();
    let new = "pretrain --data docs.jsonl --model-config tiny.json --tokenizer tok --seed 7 --out teacher";
    place.run(&format!("{new} {SHORT} --learning-rate 0.05")).ok();
    place
}

#[test]
fn a_student_learns_from_both_and_both_are_told() {
    let place = place();
    let line = format!("{DISTILL} --alpha 0.25 --steps 12 --val-split 0.2 --eval-every 4 --out run");
    let told = ["taught by teacher (", "to the teacher", "kindling chat --model run"];
    place.run(&line).expect(0, &told);
    let log = steps(&place, "run");
    for line in &log {
        let [loss, ce, kd] = ["loss", "ce_loss", "kd_loss"].map(|name| number(line, name));
        assert!((loss - 0.25 * ce - 0.75 * kd).abs() < 1e-5 * loss, "{line}");
    }
    assert!(number(&log[11], "loss") < number(&log[0], "loss"), "{log:?}");
    let evals: Vec<Value> = place.log("run").into_iter().filter(|line| line["event"] == "eval").collect();
    assert_eq!(evals.len(), 3);
    evals.iter().for_each(|line| assert!(number(line, "ce_loss") > 0.0 && number(line, "kd_loss") > 0.0));
    assert!(evals[2]["bits_per_byte"].is_null(), "no likelihood: {}", evals[2]);
    let settings: toml::Table = place.text("run/training/settings.toml").parse().unwrap();
    assert_eq!(
        (settings["stage"].as_str(), settings["teacher"].as_str()),
        (Some("distill"), Some("teacher"))
    );
    assert_eq!(settings["kd-loss"].as_str(), Some("forward-kl"));
    let progress = place.json("run/training/progress.json");
    assert_eq!(progress["taught"]["teacher"].as_str().unwrap().len(), 64, "{progress}");
    // Nothing of it stands in a run without a teacher.
    place.run("sft --model model --data chat.jsonl --steps 1 --max-seq-len 64 --out tuned").ok();
    let settings = place.text("tuned/training/settings.toml");
    assert!(!settings.contains("kd-loss") && !settings.contains("alpha = 0.5"), "{settings}");
}

#[test]
fn a_teacher_that_is_the_student_gives_0() {
    let place = Place::with_model();
    for kd_loss in ["forward-kl", "reverse-kl", "jsd", "skew-kl"] {
        let line = DISTILL.replace("--teacher teacher", "--teacher model --alpha 0");
        let out = format!("same-{kd_loss}");
        place.run(&format!("{line} --kd-loss {kd_loss} --steps 1 --out {out}")).ok();
        let log = steps(&place, &out);
        assert_eq!((number(&log[0], "loss"), number(&log[0], "kd_loss")), (0.0, 0.0), "{}", log[0]);
    }
}

#[test]
fn the_datas_share_alone_is_fine_tuning_bit_for_bit() {
    let place = place();
    place.run(&format!("{DISTILL} --alpha 1 --steps 6 --out taught")).ok();
    let plain = DISTILL.replace("distill ", "sft ").replace(" --teacher teacher", "");
    place.run(&format!("{plain} --steps 6 --out plain")).ok();
    assert_eq!(place.logged_steps("taught"), place.logged_steps("plain"));
    let file = "model.safetensors";
    assert!(place.read(&format!("taught/{file}")) == place.read(&format!("plain/{file}")));
    assert!(number(&steps(&place, "taught")[5], "kd_loss") > 0.0, "the teacher is measured");
}

#[test]
fn a_run_in_two_parts_is_the_same_whatever_it_minimises() {
    let place = place();
    for flags in [
        "",
        "--kd-loss reverse-kl --kd-temperature 1 --packing --grad-accum 2",
        "--on-policy --max-new-tokens 8",
        "--on-policy 0.5 --kd-loss skew-kl --kd-skew 0.2 --max-new-tokens 8",
    ] {
        compare(&place, &format!("{DISTILL} {flags} --steps 8"), 3, &[]);
    }
    compare(&place, &format!("{DISTILL} --lora --lora-rank 2 --kd-loss jsd --steps 8"), 3, &[]);
}

#[test]
fn a_teacher_may_move_and_must_be_the_same() {
    let place = place();
    place.run(&format!("{DISTILL} --steps 6 --out whole")).ok();
    place.run(&format!("{DISTILL} --steps 6 --out run --stop-after 2")).ok();
    place.copy("teacher", "elsewhere");
    place.remove("teacher");
    let before = place.contents("run");
    let gone = ["teacher: the run's teacher is not there any more", "--teacher DIR"];
    place.run("distill --resume --out run").expect(2, &gone);
    let other = ["model: ", "these are not the weights of the run's teacher"];
    place.run("distill --resume --out run --teacher model").expect(1, &other);
    place.run("distill --resume --out run --alpha 0.9").expect(2, &["--alpha is 0.9 now and was 0.5"]);
    assert!(place.contents("run") == before);
    place.run("distill --resume --out run --teacher elsewhere").ok();
    assert!(place.read("run/model.safetensors") == place.read("whole/model.safetensors"));
}

#[test]
fn a_run_travels_with_its_settings_and_names_its_teacher() {
    let place = place();
    let line = format!("{DISTILL} --steps 6 --alpha 0.3 --kd-loss skew-kl");
    place.run(&format!("{line} --out whole")).ok();
    place.run(&format!("{line} --out parts --stop-after 3")).ok();
    place.run("export --model parts --to single-file --out run.safetensors").ok();
    let import = "import --model run.safetensors --stage distill --data chat.jsonl --out back";
    place.run(import).expect(2, &["learns from a teacher", "--teacher"]);
    place.run(&format!("{import} --teacher teacher")).expect(0, &["kindling distill --resume --out back"]);
    place.run("distill --resume --out back").ok();
    assert!(place.read("whole/model.safetensors") == place.read("back/model.safetensors"));
}

#[test]
fn what_cannot_teach_is_refused_by_name_and_nothing_is_written() {
    let place = place();
    place.run("tokenizer train --data chat.jsonl --vocab-size 290 --out other-tok").ok();
    let new = "pretrain --data docs.jsonl --model-config tiny.json --tokenizer other-tok --out other";
    place.run(&format!("{new} {SHORT}")).ok();
    let with = |teacher: &str, flags: &str| {
        format!("{} {flags} --steps 2 --out run", DISTILL.replace("--teacher teacher", teacher))
    };
    for (line, code, parts) in [
        (
            with("--teacher other", ""),
            1,
            &["the teacher other has another vocabulary", "id ", "distill --generate"][..],
        ),
        (with("", ""), 2, &["distillation needs a teacher", "--teacher"]),
        (with("--teacher nowhere", ""), 1, &["nowhere"]),
        (
            with("--teacher teacher", "--alpha 2 --kd-temperature 0 --on-policy 7"),
            2,
            &["--alpha is 2", "--kd-temperature is 0", "--on-policy is 7"],
        ),
        (with("--teacher teacher", "--kd-skew 0.3"), 2, &["--kd-skew acts with --kd-loss skew-kl"]),
        (with("--teacher teacher", "--on-policy --alpha 0.5"), 2, &["--alpha does not act"]),
        (with("--teacher teacher", "--max-new-tokens 9"), 2, &["--max-new-tokens acts with --on-policy"]),
    ] {
        place.run(&line).expect(code, parts);
        assert!(!place.exists("run"), "{line}");
    }
    let idle = "sft --model model --data chat.jsonl --steps 1 --out run --kd-loss jsd --teacher teacher";
    let outcome =
        place.run(idle).expect(2, &["would not act, because `sft` has no teacher", "use `distill`"]);
    assert!(outcome.stderr.contains("--kd-loss") && outcome.stderr.contains("--teacher"), "{outcome}");
    place.run("distill --teacher teacher --data chat.jsonl --out run").expect(2, &["trains a student"]);
    assert!(!place.exists("run"));
}

const ANSWER: &str =
    "distill --generate --teacher teacher --data prompts.jsonl --max-new-tokens 6 --batch-size 3 --keep-cut";

/// Ten questions, of which one brings a setting of its own.
fn prompts(place: &Place) {
    let prompt = |i: usize| match i {
        3 => "{\"prompt\": \"the lamp\", \"temperature\": 1.5}\n".to_string(),
        _ => format!("{{\"question\": \"What is {i} plus one?\"}}\n"),
    };
    place.write("prompts.jsonl", (0..10).map(prompt).collect::<String>());
}

#[test]
fn a_teacher_answers_prompts_and_goes_on_where_its_file_ends() {
    let place = place();
    prompts(&place);
    let done = place.run(&format!("{ANSWER} --out whole.jsonl --json")).expect(0, &["kindling sft --model"]);
    let done = done.result();
    let whole = place.text("whole.jsonl");
    let rows: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((done["prompts"].as_u64(), done["answers"].as_u64()), (Some(10), Some(rows.len() as u64)));
    assert!(rows.len() >= 6 && done["empty"].as_u64() == Some(10 - rows.len() as u64), "{done}");
    let roles = |row: &Value| {
        let messages = row["messages"].as_array().unwrap().iter();
        messages.map(|message| message["role"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert!(rows.iter().all(|row| roles(row) == ["user", "assistant"]), "{rows:?}");
    let text = rows.iter().find(|row| row["id"] == 4);
    assert!(text.is_none_or(|row| row["messages"][0]["content"] == "the lamp"), "{text:?}");
    // As a killed process leaves it: some lines, and a part of one.
    let some: String = whole.lines().take(4).map(|line| format!("{line}\n")).collect();
    let ending = "whole.jsonl.teacher";
    place.write("parts.jsonl", format!("{some}{{\"id\": 9, \"mess"));
    place.write("parts.jsonl.teacher", place.read(ending));
    place.run(&format!("{ANSWER} --out parts.jsonl")).expect(2, &["is there already", "--resume"]);
    place.run(&format!("{ANSWER} --out parts.jsonl --resume")).expect(0, &["going on behind"]);
    assert_eq!(place.text("parts.jsonl"), whole);
    place.run(&format!("{ANSWER} --out parts.jsonl --resume")).ok();
    assert_eq!(place.text("parts.jsonl"), whole);
    place.run("sft --model model --data whole.jsonl --steps 2 --max-seq-len 64 --out tuned").ok();
}

#[cfg(unix)]
#[test]
fn an_interrupted_teacher_keeps_its_answers_and_goes_on() {
    let place = place();
    let prompt = |i: usize| format!("{{\"question\": \"What is {i} plus one?\"}}\n");
    place.write("many.jsonl", (0..400).map(prompt).collect::<String>());
    let line = "distill --generate --teacher teacher --data many.jsonl --max-new-tokens 40 --keep-cut";
    place.run(&format!("{line} --out whole.jsonl")).ok();
    let running = place.start(&format!("{line} --out parts.jsonl"));
    let lines = || if place.exists("parts.jsonl") { place.text("parts.jsonl").lines().count() } else { 0 };
    place.wait_for("some answers", || lines() > 8);
    running.signal("INT");
    running.finish_within(std::time::Duration::from_secs(20)).expect(130, &["with --resume goes on"]);
    assert!(lines() < 400);
    place.run(&format!("{line} --out parts.jsonl --resume")).expect(0, &["going on behind"]);
    assert!(place.text("parts.jsonl") == place.text("whole.jsonl"));
}

#[test]
fn answers_of_something_else_are_not_mixed_in_and_no_file_is_lost() {
    let place = place();
    prompts(&place);
    place.run(&format!("{ANSWER} --out answers.jsonl")).ok();
    let before = place.read("answers.jsonl");
    let again = format!("{ANSWER} --out answers.jsonl --resume");
    place.write("other.jsonl", "{\"question\": \"Who sings?\"}\n");
    for (line, part) in [
        (again.replace("--teacher teacher", "--teacher model"), "the teacher is not what made"),
        (format!("{again} --temperature 0.3"), "a setting of the sampling is not"),
        (again.replace("prompts.jsonl", "other.jsonl"), "the prompts, or"),
        (again.replace(" --keep-cut", ""), "--keep-cut is not"),
    ] {
        place.run(&line).expect(2, &[part, "--overwrite"]);
        assert!(place.read("answers.jsonl") == before, "{line}");
    }
    place.write("notes.jsonl", "{\"question\": \"mine\"}\n");
    let notes = ANSWER.replace("prompts.jsonl", "other.jsonl");
    place.run(&format!("{notes} --out notes.jsonl --overwrite")).expect(2, &["holds no answers"]);
    place.run(&format!("{notes} --out other.jsonl --overwrite")).expect(2, &["is among the prompts"]);
    assert_eq!(place.text("notes.jsonl"), "{\"question\": \"mine\"}\n");
    place.run(&format!("{notes} --out answers.jsonl --overwrite")).ok();
    assert!(place.text("answers.jsonl").lines().count() <= 1);
    // What does not end within the limit teaches no end.
    let cut = notes.replace(" --keep-cut", " --ignore-eos");
    let told = ["1 answer did not end within --max-new-tokens", "--keep-cut"];
    place.run(&format!("{cut} --out cut.jsonl")).expect(0, &told);
    assert_eq!(place.text("cut.jsonl"), "");
    place.run("distill --generate --teacher teacher --data prompts.jsonl").expect(2, &["--out"]);
}

#[test]
fn a_masked_predictor_neither_teaches_nor_learns_from_a_teacher_and_is_named() {
    let place = Place::with_model();
    place.run("convert --to diffusion --model model --out masked").ok();
    for (student, teacher, told) in [
        ("masked", "model", "masked: distill --model needs a model that predicts the next token"),
        ("model", "masked", "masked: distill --teacher needs a model that predicts the next token"),
        ("masked", "masked", "masked: distill --model needs"),
    ] {
        let line =
            format!("distill --model {student} --teacher {teacher} --data chat.jsonl --steps 1 --out x");
        place.run(&line).expect(1, &[told, "take the model that it was converted from"]);
        assert!(!place.exists("x"), "{line}");
    }
}
