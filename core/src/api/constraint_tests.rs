use serde_json::{Value, json};

use super::ApiError;
use super::constraint::Grammars;
use super::served::{Constrainer, Wanted};
use super::tools::Tool;
use crate::tokenizer::{Tokenizer, TokenizerTraining, train};

fn tokenizer() -> Tokenizer {
    let settings = TokenizerTraining { vocab_size: 400, ..TokenizerTraining::default() };
    train(std::iter::once("{\"place\": \"Oma\", \"days\": [1, 2]}".to_string()), &settings).unwrap()
}

/// Whether a text may be written token by token, and whether it is complete then.
fn takes(wanted: &Wanted, text: &str) -> (bool, bool) {
    let tokenizer = tokenizer();
    let end = tokenizer.eos().unwrap();
    let grammars = Grammars::new(&tokenizer, &[end]).unwrap();
    let mut constraint = grammars.constraint(wanted, "response_format").unwrap();
    // One more than the tokenizer has: models round their vocabulary up.
    let mut logits = vec![0.0; tokenizer.vocab_size() + 1];
    for id in tokenizer.encode(text).unwrap() {
        logits.fill(0.0);
        constraint.rule_out(&mut logits).unwrap();
        let unknown = logits.last().copied();
        assert!(matches!(wanted, Wanted::LaterCalls { .. }) || unknown == Some(f32::NEG_INFINITY));
        if logits[id as usize] != 0.0 {
            return (false, false);
        }
        if constraint.take(id).unwrap() {
            return (true, true);
        }
    }
    logits.fill(0.0);
    constraint.rule_out(&mut logits).unwrap();
    (true, logits[end as usize] == 0.0)
}

#[test]
fn json_that_follows_its_schema_is_let_through_and_nothing_else() {
    let schema = json!({
        "type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["place", "days"], "additionalProperties": false,
    });
    let wanted = Wanted::Schema(&schema);
    assert_eq!(takes(&wanted, "{\"place\": \"Oma\", \"days\": 12}"), (true, true));
    assert_eq!(takes(&wanted, "{\"place\": \"Om"), (true, false), "not complete");
    assert!(!takes(&wanted, "{\"place\": \"Oma\"}").0, "a part is missing");
    assert_eq!(takes(&wanted, "{\"place\": 5"), (false, false));
    assert_eq!(takes(&wanted, "Sure: {"), (false, false));
    assert_eq!(takes(&Wanted::Json, "{\"any\": [1, {}]}"), (true, true));
    assert_eq!(takes(&Wanted::Json, "[1]"), (false, false));
}

#[test]
fn calls_are_let_through_with_arguments_that_follow_their_schema() {
    let tools = [
        Tool::new(
            "warmth",
            json!({"type": "object", "properties": {"place": {"$ref": "#/$defs/p"}},
            "required": ["place"], "$defs": {"p": {"type": "string"}}}),
        ),
        Tool::new("now", json!({"type": "object"})),
    ];
    let wanted = |several| Wanted::Calls { tools: tools.iter().collect(), several };
    let call = "<tool_call>\n{\"name\": \"warmth\", \"arguments\": {\"place\": \"Oma\"}}\n</tool_call>";
    assert_eq!(takes(&wanted(false), call), (true, true));
    assert_eq!(takes(&wanted(true), &format!("{call}\n{call}")), (true, true));
    assert!(!takes(&wanted(false), &call.replace("\"Oma\"", "7")).0);
    assert!(!takes(&wanted(false), "<tool_call>\n{\"name\": \"rain").0);
    assert!(!takes(&wanted(false), "I would rather not.").0);
}

#[test]
fn a_call_that_a_text_comes_to_is_held_to_its_schema() {
    let schema =
        json!({"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]});
    let tool = Tool::new("warmth", schema);
    let wanted = Wanted::LaterCalls { tools: vec![&tool] };
    let call = "<tool_call>\n{\"name\": \"warmth\", \"arguments\": {\"place\": \"Oma\"}}\n</tool_call>";
    assert_eq!(takes(&wanted, "{] any text"), (true, true));
    assert_eq!(takes(&wanted, &format!("I ask.\n{call}\n{call} so")), (true, true));
    assert_eq!(takes(&wanted, &format!("I ask. {}", &call[..40])), (true, false), "not within a call");
    assert!(!takes(&wanted, &format!("I ask. {}", call.replace("\"Oma\"", "7"))).0);
    assert!(!takes(&wanted, "So: <tool_call>{\"name\": \"rain").0);
}

#[test]
fn a_schema_that_cannot_be_held_to_is_refused_by_its_message() {
    let tokenizer = tokenizer();
    let grammars = Grammars::new(&tokenizer, &[]).unwrap();
    for schema in [
        json!({"type": "array", "uniqueItems": true}),
        json!({"type": "nothing"}),
        json!({"$ref": "#/$defs/none"}),
        json!({"type": "object", "x-guidance": {"lenient": true}}),
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}),
        json!({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
        chained(5000),
        json!({"enum": []}),
        json!({"type": "string", "pattern": "(["}),
        json!({"type": "integer", "minimum": 5, "maximum": 3}),
        json!({"not": {"type": "string"}}),
    ] {
        let error = match grammars.constraint(&Wanted::Schema(&schema), "response_format") {
            Ok(_) => panic!("{schema} is taken"),
            Err(error) => error,
        };
        assert_eq!((error.status, error.param.as_deref()), (400, Some("response_format")), "{schema}");
        assert!(error.message.len() < 600, "{}", error.message);
    }
}

/// A schema of few bytes that nests deep by its references.
fn chained(length: usize) -> Value {
    let part = |i: usize| (format!("a{i}"), json!({"anyOf": [{"$ref": format!("#/$defs/a{}", i + 1)}]}));
    json!({"$ref": "#/$defs/a0", "$defs": (0..length).map(part).collect::<serde_json::Map<_, _>>()})
}

#[test]
fn a_tool_that_cannot_be_held_to_is_named_by_its_place() {
    let grammars = Grammars::new(&tokenizer(), &[]).unwrap();
    let tool = |i: usize, parameters: Value| Tool {
        place: format!("tools[{i}].function.parameters"),
        strict: true,
        ..Tool::new(&format!("f{i}"), parameters)
    };
    let dead = json!({"type": "object", "properties": {"c": {"anyOf": [{"$ref": "#/properties/c"}]}},
        "required": ["c"]});
    let tools = [tool(0, json!({"type": "object"})), tool(1, json!({"$ref": "#"})), tool(2, dead)];
    for (tools, param) in
        [(&tools[..2], "tools[1].function.parameters"), (&tools[1..2], "tools[1].function.parameters")]
    {
        let tools: Vec<&Tool> = tools.iter().collect();
        for wanted in [Wanted::Calls { tools: tools.clone(), several: true }, Wanted::LaterCalls { tools }] {
            let error = grammars.constraint(&wanted, "tool_choice").err().unwrap();
            assert_eq!((error.status, error.param.as_deref()), (400, Some(param)));
        }
    }
    // What only shows on the way is the request's fault as well.
    let wanted = Wanted::Schema(&tools[2].parameters);
    let mut constraint = grammars.constraint(&wanted, "response_format").unwrap();
    let tokenizer = tokenizer();
    let mut logits = vec![0.0; tokenizer.vocab_size()];
    let mut ids = tokenizer.encode("{\"c\": ").unwrap().into_iter();
    let error = loop {
        logits.fill(0.0);
        let next = constraint.rule_out(&mut logits);
        let next = next.and_then(|()| constraint.take(ids.next().expect("it fails before its value")));
        if let Err(error) = next {
            break error;
        }
    };
    let told = ApiError::of(&error);
    assert_eq!((told.status, told.param.as_deref()), (400, Some("response_format")), "{}", told.message);
    assert!(told.message.starts_with("Invalid 'response_format'"), "{}", told.message);
}
