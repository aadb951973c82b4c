//! A run that is stopped and goes on equals one that was never stopped, bit for bit.

use kindling::formats::{TensorFile, write_tensors};

use crate::place::Place;

/// Runs the command once in one go and once in two parts, and compares all that is stored.
fn compare(place: &Place, command: &str, total: u64, first: u64) {
    for run in ["whole", "parts"].into_iter().filter(|run| place.exists(run)) {
        place.remove(run);
    }
    place.run(&format!("{command} --steps {total} --out whole")).ok();
    place.run(&format!("{command} --steps {total} --out parts --stop-after {first}")).ok();
    assert_eq!(place.checkpoints("parts").last(), Some(&first), "{command}");
    let verb = command.split(' ').next().unwrap();
    place.run(&format!("{verb} --resume --out parts")).ok();
    for file in ["model.safetensors", "training/optimizer.safetensors"] {
        let equal = place.read(&format!("whole/{file}")) == place.read(&format!("parts/{file}"));
        assert!(equal, "{file} differs after: {command}, stopped at {first}");
    }
    assert_eq!(place.logged_steps("whole"), place.logged_steps("parts"), "{command}");
    assert_eq!(place.logged_steps("whole").len() as u64, total);
}

#[test]
fn pretraining_in_two_parts_is_the_same() {
    let place = Place::with_model();
    let new =
        "pretrain --data docs.jsonl --model-config tiny.json --tokenizer tok --max-seq-len 32 --log-every 1";
    for flags in [
        "--batch-size 2",
        "--batch-size 2 --packing false",
        "--batch-size 1 --grad-accum 3",
        "--batch-size 2 --val-split 0.1 --eval-every 4 --save-every 3 --lr-schedule wsd",
    ] {
        compare(&place, &format!("{new} {flags}"), 12, 6);
    }
    // 200 texts are 64 steps or so: this stops in the second epoch.
    compare(&place, &format!("{new} --batch-size 2"), 100, 77);
}

#[test]
fn fine_tuning_in_two_parts_is_the_same() {
    let place = Place::with_model();
    place.write("t.jinja", "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}");
    let tune = "sft --data chat.jsonl --model model --batch-size 4 --max-seq-len 64 --log-every 1";
    // 100 conversations are 25 steps: this stops in the middle of the first and of the second epoch.
    compare(&place, tune, 40, 11);
    compare(&place, tune, 40, 33);
    compare(&place, &format!("{tune} --packing --chat-template t.jinja"), 12, 5);
}

#[test]
fn a_run_that_resumes_twice_and_at_its_end_stays_the_same() {
    let place = Place::with_model();
    let tune = "sft --data chat.jsonl --model model --batch-size 4 --max-seq-len 64 --log-every 1 --steps 9";
    place.run(&format!("{tune} --out whole")).ok();
    place.run(&format!("{tune} --out run --stop-after 2")).ok();
    place.run("sft --resume --out run --stop-after 5").ok();
    // The whole command with --resume is as good as --resume alone.
    place.run(&format!("{tune} --out run --resume")).ok();
    assert_eq!(place.read("run/model.safetensors"), place.read("whole/model.safetensors"));
    place.run("sft --resume --out run").ok();
    assert_eq!(place.read("run/model.safetensors"), place.read("whole/model.safetensors"));
    assert_eq!(place.logged_steps("run"), place.logged_steps("whole"));
    let events = place.log("run");
    let resumed: Vec<_> =
        events.iter().filter(|line| line["event"] == "resume").map(|line| &line["step"]).collect();
    assert_eq!(resumed, [2, 5, 9]);
}

/// A run that was stopped after 2 of 6 steps.
fn stopped(flags: &str) -> Place {
    let place = Place::with_model();
    let new = "pretrain --data docs.jsonl --model model --out run --steps 6 --stop-after 2 --batch-size 2";
    place.run(&format!("{new} --max-seq-len 32 {flags}")).ok();
    place
}

#[test]
fn changed_settings_are_refused_by_name() {
    let place = stopped("");
    let before = place.contents("run");
    for (flags, parts) in [
        ("--learning-rate 0.5", &["--learning-rate is 0.5 now and was 0.001"][..]),
        ("--batch-size 4 --seed 7", &["--batch-size is 4 now and was 2", "--seed is 7 now and was 42"]),
        ("--steps 9", &["--steps is 9 now and was 6"]),
        ("--too-long drop", &["--too-long is drop now and was cut"]),
        ("--packing false", &["--packing is false now and was true"]),
        ("--val-split 0.5", &["--val-split is 0.5 now"]),
        ("--limit 50", &["--limit is 50 now and was nothing"]),
    ] {
        let outcome = place.run(&format!("pretrain --resume --out run --json {flags}")).expect(2, parts);
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert!(place.contents("run") == before, "{outcome}");
    }
    place.run("pretrain --resume --out run").ok();
}

#[test]
fn the_data_may_lie_elsewhere_and_must_be_the_same() {
    let place = stopped("");
    let rows = place.text("docs.jsonl");
    let turned: String = rows.lines().rev().map(|row| format!("{row}\n")).collect();
    place.write("turned.jsonl", turned);
    place.write("more.jsonl", format!("{rows}{}", crate::place::document(1)));
    place.write("elsewhere.jsonl", &rows);
    let resume = "pretrain --resume --out run --json --data";
    let before = place.contents("run");
    for (data, part) in [
        ("turned.jsonl", "they are not the same, or not in the same order"),
        ("more.jsonl", "rows, the data has"),
    ] {
        place.run(&format!("{resume} {data}")).expect(1, &[part]);
        assert!(place.contents("run") == before, "{data}");
    }
    place.run(&format!("{resume} elsewhere.jsonl")).ok();
}

#[test]
fn a_run_of_another_stage_is_refused_by_name() {
    let place = stopped("");
    let before = place.contents("run");
    let said = "holds settings of `pretrain`, not of `sft`; use `kindling pretrain";
    let resume = format!("run {said} --resume --out run`");
    let outcome = place.run("sft --resume --out run --json").expect(2, &[&resume]);
    assert_eq!(outcome.stdout, "", "{outcome}");
    assert!(place.contents("run") == before, "{outcome}");
    // Its settings are no recipe for another stage either.
    let recipe = "run/training/settings.toml";
    let parts = format!("{recipe} {said} --config {recipe}`");
    place.run(&format!("sft --config {recipe} --out other")).expect(2, &[&parts]);
    assert!(!place.exists("other"));
}

#[test]
fn a_stopped_run_says_how_it_goes_on() {
    let place = Place::with_model();
    let tune = "sft --data chat.jsonl --model model --batch-size 4 --max-seq-len 64 --steps 3 --out run";
    let stopped =
        place.run(&format!("{tune} --stop-after 1")).expect(0, &["stopped at step 1 of 3 and saved"]);
    let advice = stopped.stderr.split("go on with: kindling ").nth(1).and_then(|rest| rest.lines().next());
    assert_eq!(advice, Some("sft --resume --out run --device cpu"), "{stopped}");
    let done = place.log("run").pop().unwrap();
    assert_eq!((&done["event"], &done["step"], &done["total_steps"]), (&"done".into(), &1.into(), &3.into()));
    let whole = place.run(advice.unwrap()).ok();
    assert_eq!(place.checkpoints("run").last(), Some(&3));
    assert!(!whole.stderr.contains("go on with"), "{whole}");
}

#[test]
fn the_compute_type_belongs_to_the_settings() {
    let place = stopped("");
    place.run("pretrain --resume --out run --dtype bf16").expect(2, &["--dtype is bf16 now and was f32"]);
    place.run("pretrain --resume --out run --dtype f32").ok();
}

#[test]
fn a_setting_of_the_same_value_is_no_change() {
    let place = stopped("");
    // How often it is saved by time changes nothing that it learns.
    for same in [
        "--save-minutes 7",
        "--learning-rate 1e-3",
        "--epochs 1",
        "--val-split 0",
        "--packing",
        "--data docs.jsonl",
    ] {
        place.run(&format!("pretrain --resume --out run --stop-after 2 {same}")).ok();
    }
}

#[test]
fn resume_needs_a_run_with_a_checkpoint() {
    let place = stopped("");
    place.run("pretrain --resume --out nowhere").expect(1, &["nowhere: there is no run to --resume"]);
    place.run("pretrain --resume --out tok").expect(1, &["tok: there is no run to --resume"]);
    place.remove("run/checkpoint-000002");
    place
        .run("pretrain --resume --out run")
        .expect(1, &["run: the run ended before its first save", "--overwrite"]);
}

#[test]
fn a_damaged_newest_checkpoint_is_named() {
    let place = stopped("");
    place.write("run/checkpoint-000002/training/progress.json", "{");
    place.run("pretrain --resume --out run").expect(1, &["progress.json is damaged"]);
}

#[test]
fn a_damaged_save_is_named_and_the_one_before_it_used() {
    let damaged = "run/checkpoint-000002";
    for (file, part) in [
        ("training/progress.json", "training/progress.json is damaged"),
        ("model.safetensors", "model.safetensors"),
        ("training/optimizer.safetensors", "training/optimizer.safetensors"),
        ("config.json", "config.json is damaged"),
    ] {
        let place = stopped("--save-every 1 --log-every 1");
        let file = format!("{damaged}/{file}");
        let bytes = place.read(&file);
        place.write(&file, &bytes[..bytes.len() - 2]);
        let told = "it is left aside, and run/checkpoint-000001 before it is used";
        place.run("pretrain --resume --out run").expect(0, &[damaged, part, told]);
        assert_eq!(place.checkpoints("run"), [5, 6]);
        let steps: Vec<f64> = place.logged_steps("run").iter().map(|step| step[0]).collect();
        assert_eq!(steps, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "{file}");
    }
    let place = stopped("--save-every 1");
    place.remove("run/checkpoint-000002/training/progress.json");
    place.run("pretrain --resume --out run").expect(0, &[damaged, "there is no training/progress.json"]);
}

#[test]
fn a_step_that_was_taken_is_no_step_to_stop_after() {
    let place = stopped("");
    let before = place.contents("run");
    place
        .run("pretrain --resume --out run --stop-after 1")
        .expect(2, &["--stop-after is 1, and the run is at step 2 already"]);
    assert!(place.contents("run") == before);
}

#[test]
fn rows_that_came_through_a_pipe_are_asked_for_again() {
    let place = Place::with_model();
    let rows = place.text("docs.jsonl");
    let new =
        "pretrain --data - --model model --out run --steps 3 --stop-after 1 --batch-size 2 --max-seq-len 32";
    place.run_with_input(new, &rows).expect(0, &["its rows came through a pipe"]);
    let parts = ["the file is empty; the run's rows came through a pipe", "--data FILE"];
    place.run("pretrain --resume --out run").expect(1, &parts);
    place.run_with_input("pretrain --resume --out run --stop-after 2", &rows).ok();
    place.run("pretrain --resume --out run --data docs.jsonl").ok();
}

#[test]
fn a_run_whose_model_is_gone_goes_on_from_its_save() {
    let place = stopped("");
    place.remove("model");
    place.run("pretrain --resume --out run").ok();
}

#[test]
fn half_an_optimizers_state_is_refused_by_name() {
    let place = stopped("");
    let file = "run/checkpoint-000002/training/optimizer.safetensors";
    let mut tensors = TensorFile::open(file, place.read(file)).unwrap().read_all().unwrap();
    tensors.retain(|tensor| tensor.name.starts_with("first."));
    place.write(file, write_tensors(&tensors, &[]).unwrap());
    let before = place.contents("run");
    place
        .run("pretrain --resume --out run")
        .expect(1, &["run/checkpoint-000002: ", "has no 'second.model.", "earlier checkpoint"]);
    assert!(place.contents("run") == before);
}

#[test]
fn a_recipe_equals_its_flags_and_the_command_line_wins() {
    let place = Place::with_model();
    let flags = "--model-config tiny.json --tokenizer tok --data docs.jsonl --steps 5 --batch-size 2 \
                 --max-seq-len 32 --learning-rate 0.002 --packing false --lr-schedule wsd --too-long drop \
                 --val-split 0.1 --limit 150";
    place.run(&format!("pretrain --out flags {flags}")).ok();
    place.write(
        "r.toml",
        r#"model-config = "tiny.json"
tokenizer = "tok"
data = ["docs.jsonl"]
steps = 5
batch_size = 2
max-seq-len = 32
learning-rate = 0.002
packing = false
lr-schedule = "wsd"
too-long = "drop"
val-split = 0.1
limit = 150
skip-bad-rows = true
out = "recipe"
"#,
    );
    place.run("pretrain --config r.toml --stop-after 2").ok();
    place.run("pretrain --resume --out recipe").ok();
    place.run("pretrain --config r.toml --out changed --steps 4").ok();
    // The settings that a run keeps are a recipe too.
    place.run("pretrain --config flags/training/settings.toml --out again").ok();
    let weights = |run: &str| place.read(&format!("{run}/model.safetensors"));
    assert!(weights("recipe") == weights("flags"));
    assert!(weights("again") == weights("flags"));
    assert_eq!(place.checkpoints("changed"), [4]);
    let settings: toml::Table = place.text("changed/training/settings.toml").parse().unwrap();
    assert_eq!(settings["steps"].as_integer(), Some(4));
    assert_eq!(settings["skip-bad-rows"].as_bool(), Some(true));
    assert!(
        place.text("flags/training/settings.toml").contains("--lr-schedule wsd"),
        "the exact command is kept"
    );
}

#[test]
fn every_flag_can_stand_in_a_recipe() {
    let place = Place::with_model();
    place.write(
        "r.toml",
        "device = \"cpu\"\ndtype = \"bf16\"\njson = true\nquiet = true\nsteps = 1\nmax-seq-len = 32\n",
    );
    let outcome = place.run("pretrain --model model --data docs.jsonl --out run --config r.toml").ok();
    assert_eq!(outcome.stderr, "", "{outcome}");
    assert_eq!(outcome.json().last().unwrap()["event"], "done", "{outcome}");
}
