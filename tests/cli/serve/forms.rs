//! Answers held to a form: a schema that cannot be held to is the request's fault, whatever is wrong with it.

use serde_json::{Map, Value, json};

use super::client::Answer;
use super::site::{Site, question};
use crate::place::Place;

const CHAT: &str = "/v1/chat/completions";

/// A schema of so many parts, each of which is the next.
fn chain(length: usize) -> Value {
    let part = |i: usize| (format!("a{i}"), json!({"anyOf": [{"$ref": format!("#/$defs/a{}", i + 1)}]}));
    json!({"$ref": "#/$defs/a0", "$defs": (0..length).map(part).collect::<Map<_, _>>()})
}

/// Objects of many properties, of which any may come.
fn wide(properties: usize) -> Value {
    let property = |i: usize| (format!("p{i}"), json!({"type": "string"}));
    json!({"type": "object", "properties": (0..properties).map(property).collect::<Map<_, _>>()})
}

fn held_to(site: &Site, schema: &Value) -> Answer {
    let mut asked = question("hi", 90);
    asked["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "a", "strict": true, "schema": schema}});
    site.post(CHAT, &asked)
}

#[test]
fn a_schema_that_cannot_be_held_to_is_refused_by_its_field() {
    let place = Place::with_model();
    let site = Site::start(&place, "--model model");
    let tree = json!({"type": "object", "properties": {"more": {"type": "array", "items": {"$ref": "#"}}}});
    held_to(&site, &tree).expect(200);
    let itself = json!({"$ref": "#/$defs/a"});
    for schema in [
        json!({"$ref": "#"}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": itself}}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [itself]}}}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [itself]}}}),
        json!({"type": "object", "properties": {"c": itself}, "required": ["c"], "$defs": {"a": itself}}),
        wide(1000),
        json!({"type": "object", "properties": {"c": wide(1000)}, "required": ["c"]}),
        chain(20_000),
        json!({"enum": []}),
        json!({"type": "string", "pattern": "(["}),
        json!({"type": "string", "pattern": "(?=a)b"}),
        json!({"type": "integer", "minimum": 5, "maximum": 3}),
        json!({"type": "integer", "minimum": 1e300}),
        json!({"allOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"type": "object", "required": ["b"], "additionalProperties": false}),
        json!({"not": {"type": "string"}}),
    ] {
        let shown: String = schema.to_string().chars().take(120).collect();
        let answer = held_to(&site, &schema);
        let message = answer.refused(400, "invalid_request_error");
        assert_eq!(answer.json()["error"]["param"], "response_format", "{shown}");
        assert!(message.contains("hange that part"), "{shown}: {message}");
    }
    // Ollama's clients sent another field.
    let asked =
        json!({"model": "model", "messages": [{"role": "user", "content": "hi"}], "format": {"$ref": "#"}});
    let error = site.post("/api/chat", &asked).expect(400)["error"].clone();
    assert!(error.as_str().unwrap().starts_with("Invalid 'format'"), "{error}");
    site.post(CHAT, &question("hi", 2)).expect(200);
}
