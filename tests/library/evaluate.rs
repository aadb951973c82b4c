//! Evaluation beside lm-evaluation-harness 0.4.13: requests, judgements and tokens that its own code made of made-up rows
//! (tests/golden/evaluate/requests.py), and the real sets' files where they are at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use kindling::data::{DataOptions, Memory, RowOrigin, Source, read_values};
use kindling::evaluate::{
    Chat, ContinuationScorer, EvalConfig, Item, Prompting, Question, Request, Subject, Task, TaskResult,
    gsm8k_judged, judged, read_question, sequences,
};
use kindling::sample::{Flow, LikelihoodConfig};
use kindling::tokenizer::Tokenizer;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::shared_tokenizers::{open, shared};
use crate::tiny;

#[derive(Deserialize)]
struct Golden {
    lm_eval: String,
    sets: BTreeMap<String, Set>,
    cases: Vec<Case>,
    judged: Vec<JudgedRow>,
    answers: Vec<Answer>,
    pairs: Vec<Pair>,
}

#[derive(Deserialize)]
struct Set {
    subject: String,
    rows: Vec<Map<String, Value>>,
    pool: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Case {
    task: String,
    shots: usize,
    template: Option<String>,
    multiturn: bool,
    /// Question by question, each context, if it is not the one before, and what follows, if nothing is generated.
    requests: Vec<Vec<(Option<String>, Option<String>)>>,
}

#[derive(Deserialize)]
struct JudgedRow {
    task: String,
    row: usize,
    log_likelihoods: Vec<f64>,
    result: Map<String, Value>,
}

#[derive(Deserialize)]
struct Answer {
    row: Map<String, Value>,
    text: String,
    strict: f64,
    flexible: f64,
}

#[derive(Deserialize)]
struct Pair {
    context: String,
    continuation: String,
    ids: Vec<u32>,
    judged: usize,
}

fn golden() -> Golden {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/evaluate/requests.json");
    let golden: Golden = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(golden.lm_eval, "0.4.13");
    golden
}

fn question(task: Task, row: &Map<String, Value>) -> Question {
    read_question(task, row).unwrap().0
}

fn origin(line: usize) -> RowOrigin {
    RowOrigin { source: "made-up.jsonl".into(), line: line as u64 }
}

/// What is asked, question by question; of a task that generates the context alone.
fn asked(case: &Case, set: &Set, task: Task) -> Vec<Vec<(Option<String>, Option<String>)>> {
    let mut tokenizer = tiny::tokenizer();
    if let Some(template) = &case.template {
        tokenizer.set_chat_template(template).unwrap();
    }
    let config = EvalConfig {
        shots: Some(case.shots),
        apply_chat_template: case.template.is_some(),
        fewshot_as_multiturn: case.multiturn,
    };
    let numbered = set.rows.iter().enumerate();
    let subject = Subject {
        name: set.subject.clone(),
        questions: numbered.map(|(line, row)| (origin(line), question(task, row))).collect(),
        shots: set.pool.iter().map(|row| question(task, row)).collect(),
        shots_are_questions: false,
    };
    let chat = Chat { tokenizer: &tokenizer, multiturn: case.multiturn };
    let prompting = Prompting::new(task, &set.subject, case.template.as_ref().map(|_| chat));
    let mut shots = subject.shots_of(task, &config).unwrap();
    let mut of = |question: &Question| {
        let shots = shots.next(question).unwrap();
        if task == Task::Gsm8k {
            return vec![(Some(prompting.opening(&shots, question).unwrap()), None)];
        }
        let mut before = None;
        let once = |Request { context, continuation }| {
            let last = before.replace(context.clone());
            (Some(context).filter(|context| last.as_ref() != Some(context)), Some(continuation))
        };
        prompting.requests(&shots, question).unwrap().into_iter().map(once).collect()
    };
    subject.questions.iter().map(|(_, question)| of(question)).collect()
}

#[test]
fn requests_are_those_of_the_harness() {
    let mut seen = BTreeSet::new();
    let golden = golden();
    for case in golden.cases {
        let set = &golden.sets[&case.task];
        let task: Task = case.task.parse().unwrap();
        let name = format!("{task}, {} shots, template {:?}", case.shots, case.template);
        for (number, (found, expected)) in asked(&case, set, task).iter().zip(&case.requests).enumerate() {
            assert_eq!(found, expected, "{name}, question {number}, several turns: {}", case.multiturn);
        }
        assert_eq!(case.requests.len(), set.rows.len(), "{name}");
        seen.insert(task);
    }
    assert_eq!(seen.len(), Task::ALL.iter().filter(|task| task.is_public()).count());
}

#[test]
fn judgements_are_those_of_the_harness() {
    let golden = golden();
    assert!(golden.judged.len() > 100);
    for JudgedRow { task, row, log_likelihoods, result } in golden.judged {
        let task: Task = task.parse().unwrap();
        let row = &golden.sets[task.name()].rows[row];
        let question = question(task, row);
        let found = judged(&log_likelihoods, &question.characters());
        let right = |chosen: usize| json!(f64::from(u8::from(chosen == question.gold)));
        assert_eq!(result["acc"], right(found.chosen), "{task}: {row:?}");
        // Those of our table are those of its metric list.
        assert_eq!(result.contains_key("acc_norm"), task.metrics().1 == Some("acc_norm"), "{task}");
        if let Some(norm) = result.get("acc_norm") {
            assert_eq!(*norm, right(found.chosen_norm), "{task}: {log_likelihoods:?}");
        }
    }
    for Answer { row, text, strict, flexible } in golden.answers {
        let (_, right) = gsm8k_judged(&question(Task::Gsm8k, &row), &text);
        assert_eq!(right.map(|right| f64::from(u8::from(right))), [strict, flexible], "{text:?}");
    }
}

#[test]
fn context_and_continuation_have_the_tokens_of_the_harness() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/held_out");
    let tokenizer = open(&folder);
    for Pair { context, continuation, ids, judged } in golden().pairs {
        let request = Request { context, continuation };
        let found = request.ids(&tokenizer, 512).unwrap();
        assert_eq!((found.ids, found.judged), (ids, judged), "{request:?}");
    }
}

/// A subject of questions about a cat, and what it comes to with a tiny model.
fn cats(tokenizer: &Tokenizer, shots: usize, rows: usize) -> TaskResult {
    let row = |i: usize| {
        let row = json!({"question": format!("where is cat {i}?"), "choices": ["the mat", "a log", "on the dog"],
            "answer": i % 3});
        question(Task::ArcEasy, row.as_object().unwrap())
    };
    let questions: Vec<Question> = (0..7).map(row).collect();
    let subject = Subject {
        questions: questions.iter().cloned().enumerate().map(|(i, question)| (origin(i), question)).collect(),
        shots: questions,
        shots_are_questions: true,
        ..Subject::default()
    };
    let config = EvalConfig { shots: Some(shots), ..EvalConfig::default() };
    let shape = tiny::config(tokenizer.vocab_size());
    let model = kindling::model::Transformer::init(&shape, 3, &Device::flex()).unwrap();
    let groups = sequences(Task::ArcEasy, &subject, &config, tokenizer, shape.context()).unwrap();
    let scorer = ContinuationScorer::new(&model, LikelihoodConfig::default()).unwrap().with_rows(rows);
    let values = pollster::block_on(scorer.score(&groups, &mut |_| Flow::Continue)).unwrap().unwrap();
    let items = subject.questions.iter().zip(values).zip(&groups).enumerate();
    let items = items.map(|(id, (((origin, question), values), group))| {
        Item::of_choices(
            ("", id, origin),
            (question.gold, question.characters().as_slice()),
            values,
            group[0].cut,
        )
    });
    TaskResult { task: Task::ArcEasy, shots, items: items.collect(), texts: None, short: None }
}

#[test]
fn a_task_gives_the_same_however_many_are_asked_together() {
    let tokenizer = tiny::tokenizer();
    // Three examples do not fit the context: what is cut is cut alike.
    for shots in [0, 3] {
        let (one, many) = (cats(&tokenizer, shots, 1), cats(&tokenizer, shots, 16));
        assert_eq!(one.items.len(), 7);
        assert_eq!(one.items.iter().any(|item| item.cut > 0), shots > 0);
        for (one, many) in one.items.iter().zip(&many.items) {
            for (a, b) in one.log_likelihoods.iter().zip(&many.log_likelihoods) {
                assert!((a - b).abs() < 1e-3, "{a} and {b}");
            }
        }
        let json = one.to_json();
        assert_eq!((&json["n"], &json["shots"]), (&json!(7), &json!(shots)));
    }
}

#[test]
fn the_real_sets_are_read_where_they_are_at_hand() {
    let Some(folder) = shared("data/eval") else { return };
    let columns = ["question", "a", "b", "c", "d", "answer"];
    for (task, place, rows) in [
        (Task::Ceval, "ceval/val/logic_val.csv", 22),
        (Task::Mmlu, "mmlu/val", 0),
        (Task::Cmmlu, "cmmlu/test", 0),
        (Task::ArcEasy, "arc_easy_test.jsonl", 2376),
        (Task::Openbookqa, "openbookqa_test.jsonl", 500),
        (Task::CommonsenseQa, "commonsenseqa_dev.raw.jsonl", 1221),
    ] {
        let path = folder.join(place);
        let files = match path.is_dir() {
            true => std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect(),
            false => vec![path],
        };
        let source = |path: &PathBuf| -> Arc<dyn Source> {
            Arc::new(Memory::new(&path.to_string_lossy(), std::fs::read(path).unwrap()))
        };
        let sources = files.iter().map(source).collect();
        let read = |row: &Map<String, Value>, _: &RowOrigin| read_question(task, row);
        let (questions, report) = read_values(sources, DataOptions::default(), &columns, read).unwrap();
        assert_eq!(report.bad, 0, "{task}");
        assert!(rows == 0 || questions.len() == rows, "{task}: {}", questions.len());
        assert!(questions.iter().all(|(_, question)| question.choices() >= 2), "{task}");
    }
}
