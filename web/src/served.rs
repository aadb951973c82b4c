//! What a server of models sends: events of a stream, and what each adds to an answer.

use serde_json::Value;

use crate::think::TAGS;

/// The word that ends a stream.
const DONE: &str = "[DONE]";

/// The data of server-sent events, as their bytes come.
#[derive(Default)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<String>,
}

impl Events {
    /// The data of the events that these bytes end.
    pub fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
            let line = line.trim_end_matches('\r');
            if let Some(data) = line.strip_prefix("data:") {
                self.data.push(data.strip_prefix(' ').unwrap_or(data).into());
            } else if line.is_empty() && !self.data.is_empty() {
                events.push(std::mem::take(&mut self.data).join("\n"));
            }
        }
        events
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// More of the answer, and whether it ended at its longest.
    Part(String, bool),
    /// The end.
    End,
    /// What went wrong.
    Failed(String),
}

/// An answer of which thoughts come apart, put together as a model writes them.
#[derive(Default)]
pub struct Joined {
    thinks: bool,
}

impl Joined {
    /// What the data of an event say; nothing of what is no JSON.
    pub fn read(&mut self, data: &str) -> Option<Said> {
        if data.trim() == DONE {
            return Some(Said::End);
        }
        let value: Value = serde_json::from_str(data).ok()?;
        if let Some(why) = refusal(&value) {
            return Some(Said::Failed(why));
        }
        let choice = &value["choices"][0];
        let text = |key: &str| choice["delta"][key].as_str().unwrap_or_default();
        let [open, close, ..] = TAGS;
        let (thought, said, mut part) = (text("reasoning_content"), text("content"), String::new());
        if !thought.is_empty() && !std::mem::replace(&mut self.thinks, true) {
            part.push_str(open);
        }
        part.push_str(thought);
        let ends = !said.is_empty() || choice["finish_reason"].is_string();
        if ends && std::mem::take(&mut self.thinks) {
            part.push_str(close);
        }
        part.push_str(said);
        Some(Said::Part(part, choice["finish_reason"] == "length"))
    }
}

/// The sentence of an error object.
pub fn refusal(value: &Value) -> Option<String> {
    let error = value.get("error").filter(|error| !error.is_null())?;
    let told = error.get("message").unwrap_or(error);
    Some(told.as_str().map_or_else(|| told.to_string(), String::from))
}

/// The names in a list of models.
pub fn names(list: &Value) -> Vec<String> {
    let models = list["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    models.iter().filter_map(|model| Some(model["id"].as_str()?.to_string())).collect()
}

/// What a server tells the page of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    /// Where its routes are, beside the page.
    pub place: &'a str,
    /// Whether they need a key.
    pub needs_key: bool,
    /// Whether it trains.
    pub trains: bool,
}

/// What the mark in the page says; nothing of one that says anything else.
pub fn marked(content: &str) -> Option<Mark<'_>> {
    let (place, rest) = content.split_once(' ')?;
    let (key, trains) = rest.strip_suffix(" train").map_or((rest, false), |key| (key, true));
    let needs_key = match key {
        "open" => false,
        "key" => true,
        _ => return None,
    };
    Some(Mark { place, needs_key, trains })
}

/// Whether a host's name means the reader's own computer.
pub fn is_here(host: &str) -> bool {
    let is_address = host.split('.').count() == 4 && host.split('.').all(|part| part.parse::<u8>().is_ok());
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || (is_address && host.starts_with("127."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_put_together_from_any_parts_of_their_bytes() {
        let stream =
            "data: {\"a\": \"é\"}\n\n: keep-alive\n\ndata: b\r\ndata:c\r\n\r\ndata: [DONE]\n\n".as_bytes();
        for size in [1, 2, 7, stream.len()] {
            let mut events = Events::default();
            let found: Vec<String> = stream.chunks(size).flat_map(|part| events.add(part)).collect();
            assert_eq!(found, ["{\"a\": \"é\"}", "b\nc", "[DONE]"], "{size}");
        }
        assert!(Events::default().add(b"data: cut off").is_empty());
    }

    #[test]
    fn only_names_of_this_computer_are_here() {
        for host in ["localhost", "a.localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
            assert!(is_here(host), "{host}");
        }
        for host in ["192.168.0.2", "127.example.org", "127.0.0.1.example.org", "example.org", ""] {
            assert!(!is_here(host), "{host}");
        }
    }

    fn part(delta: Value, finish: Value) -> String {
        json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).to_string()
    }

    #[test]
    fn thoughts_stand_between_their_tags_again() {
        let mut joined = Joined::default();
        let events = [
            part(json!({"role": "assistant"}), Value::Null),
            part(json!({"reasoning_content": "I "}), Value::Null),
            part(json!({"reasoning_content": "think."}), Value::Null),
            part(json!({"content": "Yes"}), Value::Null),
            part(json!({}), json!("length")),
            json!({"choices": [], "usage": {"total_tokens": 3}}).to_string(),
        ];
        let mut whole = String::new();
        let mut limits = Vec::new();
        for event in events {
            let Some(Said::Part(text, limit)) = joined.read(&event) else { panic!("{event}") };
            whole.push_str(&text);
            limits.push(limit);
        }
        assert_eq!(whole, "<think>I think.</think>Yes");
        assert_eq!(limits, [false, false, false, false, true, false]);
        // One that ends while it thinks.
        let mut joined = Joined::default();
        joined.read(&part(json!({"reasoning_content": "x"}), Value::Null));
        assert_eq!(joined.read(&part(json!({}), json!("stop"))), Some(Said::Part("</think>".into(), false)));
        assert_eq!(joined.read("[DONE]"), Some(Said::End));
    }

    #[test]
    fn errors_are_told_in_the_servers_words() {
        let error = json!({"error": {"message": "no such model", "type": "x", "param": null, "code": null}});
        let mut joined = Joined::default();
        assert_eq!(joined.read(&error.to_string()), Some(Said::Failed("no such model".into())));
        assert_eq!(refusal(&json!({"error": "gone"})), Some("gone".into()));
        assert_eq!((refusal(&json!({"error": null})), joined.read("nothing")), (None, None));
    }

    #[test]
    fn the_mark_and_the_list_are_read_and_nothing_else() {
        let mark = |needs_key, trains| Some(Mark { place: "v1/", needs_key, trains });
        assert_eq!((marked("v1/ open"), marked("v1/ key")), (mark(false, false), mark(true, false)));
        assert_eq!(
            (marked("v1/ open train"), marked("v1/ key train")),
            (mark(false, true), mark(true, true))
        );
        for odd in ["v1/", "v1/ what", "v1/ train", "v1/ open what", ""] {
            assert_eq!(marked(odd), None, "{odd}");
        }
        assert_eq!(names(&json!({"data": [{"id": "a"}, {}, {"id": "b"}]})), ["a", "b"]);
        assert!(names(&json!([])).is_empty());
    }
}
