//! `eval`: tasks by the names of files, one table, a line a question, two models compared, and what does not fit.

use std::path::Path;

use serde_json::{Value, json};

use crate::place::{Place, number};

/// A tiny model, and sets of made-up questions in `eval`: C-Eval with two subjects, ARC, PIQA.
fn place() -> Place {
    let place = Place::with_model();
    for subject in ["logic", "law"] {
        let row = |i: usize| {
            format!("{i},露玛{i}号住在哪里？,桥下,磨坊,奥姆布拉,灰阶,{}\n", ["A", "B", "C", "D"][i % 4])
        };
        let rows =
            |count: usize| format!("id,question,A,B,C,D,answer\n{}", (0..count).map(row).collect::<String>());
        place.write(&format!("eval/ceval/val/{subject}_val.csv"), rows(5));
        place.write(&format!("eval/ceval/dev/{subject}_dev.csv"), rows(3));
    }
    let arc = |i: usize| {
        json!({"question": format!("Where does lamp {i} stand?"), "choices": ["beside the river", "at night", "on it"],
            "answer": i % 3})
        .to_string()
            + "\n"
    };
    place.write("eval/arc_easy_test.jsonl", (0..9).map(arc).collect::<String>());
    let piqa = |i: usize| {
        json!({"goal": format!("To light lamp {i},"), "sol1": "turn it.", "sol2": "wait for the night.", "label": i % 2})
            .to_string()
            + "\n"
    };
    place.write("eval/piqa/validation.jsonl", (0..6).map(piqa).collect::<String>());
    place
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn all_tasks_come_in_one_table_and_each_question_on_a_line() {
    let place = place();
    let run = place.run("eval --model model --task all --data eval --items items.jsonl --json");
    let run = run
        .expect(0, &["ceval: 10 questions in 2 subjects (validation)", "no rows in --data for cmmlu, mmlu"]);
    let results = run.json();
    let tasks: Vec<&str> = results.iter().map(|result| result["task"].as_str().unwrap()).collect();
    assert_eq!(tasks, ["ceval", "arc_easy", "piqa"]);
    let items = lines(&place.text("items.jsonl"));
    assert_eq!(items.len(), 10 + 9 + 6);
    for result in &results {
        let own: Vec<&Value> = items.iter().filter(|item| item["task"] == result["task"]).collect();
        let right = own.iter().filter(|item| item["right"] == json!(true)).count() as f64;
        assert_eq!((number(result, "n"), number(result, "correct")), (own.len() as f64, right));
        assert!((number(result, "accuracy") - right / own.len() as f64).abs() < 1e-12);
        let [low, high] = [0, 1].map(|end| result["ci95"][end].as_f64().unwrap());
        assert!(low <= number(result, "accuracy") && number(result, "accuracy") <= high && low < high);
        for item in own {
            let values: Vec<f64> = item["log_likelihoods"]
                .as_array()
                .unwrap()
                .iter()
                .map(|value| value.as_f64().unwrap())
                .collect();
            let chosen = item["chosen"].as_u64().unwrap() as usize;
            assert!(values.iter().all(|value| *value <= values[chosen] && *value < 0.0), "{item}");
            assert_eq!(item["right"], json!(item["chosen"] == item["gold"]));
        }
    }
    assert_eq!(results[0]["per_subject"]["law"]["n"], 5);
    let shown = place.run("eval --model model --task ceval,piqa --data eval --limit 2").ok().stdout;
    assert!(shown.contains("acc_norm") && shown.contains("ceval by subject"), "{shown}");
    let taken = place.run("eval --model model --task piqa --data eval --items items.jsonl");
    taken.expect(2, &["--items items.jsonl is taken"]);
}

#[test]
fn together_or_one_by_one_gives_the_same_choices() {
    let place = place();
    let items = |flags: &str, file: &str| {
        place
            .run(&format!("eval --model model --task all --data eval --shots 2 --items {file} {flags}"))
            .ok();
        lines(&place.text(file))
    };
    let (one, many) = (items("--batch-size 1", "one.jsonl"), items("", "many.jsonl"));
    assert_eq!(one.len(), many.len());
    for (one, many) in one.iter().zip(&many) {
        assert_eq!((&one["task"], &one["id"], &one["chosen"]), (&many["task"], &many["id"], &many["chosen"]));
    }
}

#[test]
fn questions_go_through_the_chat_template_where_that_is_asked_for() {
    let place = place();
    let asked = |flags: &str, file: &str| {
        let line =
            format!("eval --model model --task arc_easy --data eval --limit 3 --items {file} --json {flags}");
        assert_eq!(place.run(&line).ok().result()["n"], 3);
        lines(&place.text(file)).remove(0)["log_likelihoods"].clone()
    };
    let plain = asked("", "plain.jsonl");
    let chat = asked("--apply-chat-template", "templated.jsonl");
    place.write("same.jinja", "{{ messages[-1]['content'] }} ");
    let same = asked("--apply-chat-template --chat-template same.jinja", "same.jsonl");
    assert_ne!(plain, chat);
    // A template that writes the question alone, and the space that otherwise stands before an answer.
    for (a, b) in plain.as_array().unwrap().iter().zip(same.as_array().unwrap()) {
        assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4, "{plain} {same}");
    }
}

#[test]
fn two_models_are_compared() {
    let place = place();
    place
        .run("pretrain --model model --data docs.jsonl --out more --steps 20 --batch-size 4 --max-seq-len 32")
        .ok();
    let run = "eval --task arc_easy --data eval --json --model";
    let same = place.run(&format!("{run} model --model model")).ok().json();
    assert_eq!((&same[0]["model"], &same[2]["difference"]), (&json!("model"), &json!(0.0)));
    assert_eq!(same.len(), 4, "two results, and two metrics that are compared: {same:?}");
    let other = place.run(&format!("{run} model --model more")).ok().json();
    let difference = number(&other[1], "accuracy") - number(&other[0], "accuracy");
    assert!((number(&other[2], "difference") - difference).abs() < 1e-12);
    let texts = "eval --task heldout --data docs.jsonl --limit 9 --json --model model --model more";
    let texts = place.run(texts).ok().json();
    let difference = number(&texts[1], "bits_per_byte") - number(&texts[0], "bits_per_byte");
    assert!(difference < 0.0 && (number(&texts[2], "difference") - difference).abs() < 1e-9, "{texts:?}");
    assert!(number(&texts[0], "perplexity") > 1.0 && texts[0]["ci95"].is_array());
    place.run(&format!("{run} model --model model --model model")).expect(2, &["two are compared at most"]);
}

#[test]
fn training_data_is_searched_for_questions() {
    let place = place();
    let long = "Which of the seven bridges of Tavi was built last by the miller and his sons";
    let rows = [long, "Who sings?"].map(|stem| json!({"question": stem, "choices": ["a", "b"], "answer": 0}));
    place.write("mine.jsonl", rows.map(|row| row.to_string() + "\n").concat());
    place.write("seen.jsonl", json!({"text": format!("He asked: {long}?")}).to_string());
    let run = "eval --model model --task openbookqa --data mine.jsonl --train-data seen.jsonl --json";
    let result = place.run(run).expect(0, &["of 2 questions 1 has 13 words in a row"]).result();
    let found = &result["in_training"];
    assert_eq!(
        (&found["seen"], &found["too_short"], &found["unseen"]["n"]),
        (&json!(1), &json!(1), &json!(1))
    );
}

#[test]
fn pairs_and_written_answers_are_judged() {
    let place = place();
    let pair = |i: usize| {
        json!({"prompt": format!("What is {i}?"), "chosen": format!("It is {i}."), "rejected": "A lamp."})
            .to_string()
            + "\n"
    };
    place.write("pairs.jsonl", (0..5).map(pair).collect::<String>());
    let result = place.run("eval --model model --task pairs --data pairs.jsonl --json").ok().result();
    assert_eq!((&result["n"], &result["metric"]), (&json!(5), &json!("chosen_likelier")));
    let old = place.run("score --pairs --model model --data pairs.jsonl --json").ok().result();
    assert!((number(&result, "accuracy") - number(&old, "chosen_likelier")).abs() < 1e-9, "{result} {old}");
    let sum = |i: usize| {
        json!({"question": format!("{i} and 1?"), "answer": format!("#### {}", i + 1)}).to_string() + "\n"
    };
    place.write("gsm8k_test.jsonl", (0..3).map(sum).collect::<String>());
    let line =
        "eval --model model --task gsm8k --data gsm8k_test.jsonl --shots 1 --items answers.jsonl --json";
    let result = place.run(line).ok().result();
    assert_eq!(
        (&result["n"], &result["metric"], &result["shots"]),
        (&json!(3), &json!("strict_match"), &json!(1))
    );
    assert!(lines(&place.text("answers.jsonl")).iter().all(|line| line["answer"].is_string()));
    let tagged = |i: usize| {
        let answer = format!("<think>\none more\n</think>\n<answer>\n{}\n</answer>", i + 1);
        json!({"user": format!("{i} and 1?"), "assistant": answer}).to_string() + "\n"
    };
    place.write("tagged.jsonl", (0..3).map(tagged).collect::<String>());
    let format = "eval --model model --task format --data tagged.jsonl --max-new-tokens 8 --json";
    let result = place.run(format).ok().result();
    assert_eq!((&result["n"], &result["correct"]), (&json!(3), &json!(0)), "untrained");
}

#[test]
fn masked_predictors_are_asked_and_write_no_answers() {
    let place = place();
    place.run("convert --model model --to diffusion --out masked").ok();
    let line = "eval --model masked --task arc_easy --data eval --limit 2 --mc 4 --json";
    assert_eq!(place.run(line).ok().result()["n"], 2);
    place.write("gsm8k.jsonl", "{\"question\": \"1 and 1?\", \"answer\": \"#### 2\"}\n");
    let refused = place.run("eval --model masked --task gsm8k --data gsm8k.jsonl --shots 0");
    refused.expect(1, &["writing the answers of gsm8k needs a model that predicts the next token"]);
    let idle = place.run("eval --model model --task arc_easy --data eval --mc 4");
    idle.expect(2, &["--mc acts on a masked predictor"]);
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_asked() {
    let place = place();
    let eval = "eval --model model --data eval --task";
    place.run(&format!("{eval} arc")).expect(2, &["'arc' is no task", "arc_easy", "and all"]);
    place.run(&format!("{eval} piqa,siqa")).expect(2, &["--data holds no file of siqa"]);
    place
        .run(&format!("{eval} piqa --max-new-tokens 9"))
        .expect(2, &["--max-new-tokens acts on --task format"]);
    place
        .run(&format!("{eval} piqa --fewshot-as-multiturn false"))
        .expect(2, &["--fewshot-as-multiturn acts with --apply-chat-template"]);
    place
        .run(&format!("{eval} arc_easy --shots 9"))
        .expect(1, &["9 examples before each question need 10 rows"]);
    place.write("bad/piqa.jsonl", "{\"goal\": \"x\", \"sol1\": \"y\", \"sol2\": \"z\", \"label\": 2}\n");
    let told = place.run(&format!("{eval} piqa --items new/items.jsonl")).ok();
    assert!(place.exists("new/items.jsonl"), "{told}");
    let bad = place.run("eval --model model --data bad --task piqa");
    bad.expect(1, &["bad/piqa.jsonl:1: a choice is empty, or the answer is none of the choices"]);
}

#[test]
fn the_real_sets_are_asked_where_they_are_at_hand() {
    let Some(shared) = crate::stories260k::shared() else { return };
    let place = Place::new();
    let (model, data) = (shared.join("weights/stories260k/hf"), shared.join("eval"));
    let (model, data) = (model.to_string_lossy(), data.to_string_lossy());
    let words = ["eval", "--model", &model, "--task", "all", "--data", &data, "--limit", "1", "--json"];
    let results = place.run_words(&words).ok().json();
    let tasks: Vec<&str> = results.iter().map(|result| result["task"].as_str().unwrap()).collect();
    assert_eq!(tasks, ["ceval", "cmmlu", "mmlu", "arc_easy", "openbookqa", "commonsense_qa"]);
    assert_eq!((&results[0]["n"], &results[2]["n"]), (&json!(26), &json!(10)));
}

#[test]
fn the_questions_of_sample_data_are_asked_as_the_readmes_say() {
    let place = Place::with_model();
    place.run("sample-data data").ok();
    let command = "--task arc_easy --data data/eval_choice.jsonl";
    for readme in ["README.md", "README.zh-CN.md"] {
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(readme)).unwrap();
        assert!(text.contains(&format!("kindling eval --model my/model {command}")), "{readme}");
    }
    let result = place.run(&format!("eval --model model {command} --limit 4 --json")).ok().json();
    assert!(result.iter().any(|line| line["task"] == "arc_easy" && line["n"] == 4), "{result:?}");
}
