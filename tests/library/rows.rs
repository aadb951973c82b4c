//! What rows mean: the situations of `../shared/cases/data` (or `KINDLING_SHARED`), each with its right value.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kindling::data::{DataOptions, DataReport, Dataset, Dedup, HeldOutShare, Memory, Source, parquet_rows};
use kindling::text::{Conversation, Row, RowKind};
use serde_json::{Value, json};

/// The folder of the cases, or a visible note that a test did not run.
fn cases() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let shared = std::env::var_os("KINDLING_SHARED").map_or(beside, PathBuf::from);
    let path = shared.join("cases/data");
    if !path.exists() {
        eprintln!("SKIPPED: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// A case's rows.
fn open(folder: &Path, name: &str, options: DataOptions) -> Dataset {
    let bytes = std::fs::read(folder.join(name)).unwrap();
    let mut source: Arc<dyn Source> = Arc::new(Memory::new(name, bytes));
    if name.ends_with(".parquet") {
        let mut lines = Vec::new();
        parquet_rows(source).unwrap().read_to_end(&mut lines).unwrap();
        source = Arc::new(Memory::new(name, lines));
    }
    Dataset::open(vec![source], options).unwrap()
}

fn conversations(data: &Dataset) -> Vec<Conversation> {
    let conversation = |row: Row| match row {
        Row::Conversation(conversation) => conversation,
        other => panic!("no conversation: {other:?}"),
    };
    data.iter().map(|row| conversation(row.unwrap().0)).collect()
}

fn read(folder: &Path, name: &str) -> Vec<Conversation> {
    conversations(&open(folder, name, DataOptions::default()))
}

fn weights(conversation: &Conversation) -> Vec<f32> {
    conversation.messages.iter().map(|message| message.weight).collect()
}

fn unused(report: &DataReport) -> Vec<&str> {
    report.unused_keys.keys().map(String::as_str).collect()
}

#[test]
fn turns_that_are_not_to_be_trained_weigh_nothing() {
    let Some(folder) = cases() else { return };
    let rows = read(&folder, "weight.jsonl");
    for row in &rows {
        let answers: Vec<f32> = row.messages.iter().filter(|m| m.is_assistant()).map(|m| m.weight).collect();
        assert_eq!(answers, [0.0, 1.0]);
        assert!(row.messages.iter().all(|message| message.extra.is_empty()));
    }
    assert_eq!(
        (rows.len(), weights(&rows[0]), weights(&rows[3])),
        (4, vec![1.0, 0.0, 1.0, 1.0], vec![0.0, 0.0, 0.0, 1.0])
    );
    assert!(read(&folder, "w0.jsonl").iter().all(|row| weights(row) == [1.0, 0.0, 1.0, 1.0]));
}

#[test]
fn contexts_and_prompts_in_messages_are_read() {
    let Some(folder) = cases() else { return };
    let data = open(&folder, "dolly.jsonl", DataOptions::default());
    assert!(
        conversations(&data)[0].messages[0]
            .content
            .ends_with("?\nVirgin Australia commenced services on 31 August 2000 as Virgin Blue.")
    );
    assert_eq!(unused(data.report()), ["category"]);
    let squad = &read(&folder, "squadlike.jsonl")[0].messages;
    assert_eq!(squad[0].content, "Who wrote it?\nThe book was written by Ann Lee.");
    let prompt = &read(&folder, "trl_pc.jsonl")[0].messages;
    let texts: Vec<&str> = prompt.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(texts, ["This is my prompt.", "This is my response."]);
}

#[test]
fn every_spelling_of_a_call_is_a_call() {
    let Some(folder) = cases() else { return };
    let expected = json!([{"type": "function", "function": {"name": "f", "arguments": {}}}]);
    for row in read(&folder, "fncall.jsonl") {
        assert_eq!(
            (&row.messages[1].extra["tool_calls"], row.messages[2].role.as_str()),
            (&expected, "tool")
        );
    }
    for name in ["toolcall.jsonl", "tc8.jsonl"] {
        for row in read(&folder, name) {
            assert!(row.tools.is_some() && row.messages[1].calls_tools(), "{name}");
        }
    }
}

/// Whether an object somewhere inside has a key without a value.
fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.iter().any(holds_null),
        Value::Object(fields) => fields.values().any(holds_null),
        _ => false,
    }
}

#[test]
fn nulls_of_structs_are_absent_keys() {
    let Some(folder) = cases() else { return };
    let rows = read(&folder, "tools.parquet");
    assert!(rows.len() > 1);
    let mut called = 0;
    for row in &rows {
        assert!(row.tools.as_ref().is_none_or(|tools| !holds_null(tools)), "{:?}", row.tools);
        for message in row.messages.iter().filter(|message| message.calls_tools()) {
            assert!(!holds_null(&message.extra["tool_calls"]), "{message:?}");
            called += 1;
        }
    }
    assert!(called > 1);
}

#[test]
fn absent_reasoning_is_one_thing() {
    let Some(folder) = cases() else { return };
    let rows = read(&folder, "reason_ws.jsonl");
    let absent: Vec<&Conversation> =
        rows.iter().filter(|row| row.messages.iter().all(|m| m.extra.is_empty())).collect();
    assert!(absent.len() >= 4 && absent.iter().all(|row| *row == absent[0]), "{rows:?}");
}

#[test]
fn rows_of_another_kind_far_down_are_skipped() {
    let Some(folder) = cases() else { return };
    for name in ["lateA.jsonl", "lateB.jsonl"] {
        let all = open(&folder, name, DataOptions::default());
        let options =
            DataOptions { kind: Some(RowKind::Conversation), skip_bad_rows: true, ..DataOptions::default() };
        let kept = open(&folder, name, options);
        assert_eq!((kept.report().documents, kept.skip_bad_rows()), (0, true));
        assert_eq!(kept.len() + all.report().documents, all.len());
        assert_eq!(kept.report().bad, all.report().documents);
    }
}

#[test]
fn equal_rows_on_both_sides_are_counted() {
    let Some(folder) = cases() else { return };
    let held_out = Some(HeldOutShare { fraction: 0.2, seed: 42 });
    let both = |dedup: Dedup| {
        let data = open(&folder, "dup.jsonl", DataOptions { held_out, dedup, ..DataOptions::default() });
        data.report().on_both_sides.clone()
    };
    assert!(both(Dedup::None).is_some_and(|count| count.rows > 0 && count.first.starts_with("dup.jsonl:")));
    assert_eq!(both(Dedup::Exact), None);
}
