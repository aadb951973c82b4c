//! What form an answer must have.

use serde_json::Value;

use super::ApiError;
use super::fields::Fields;

/// The form of an answer, as `response_format` or Ollama's `format` asks for it.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerFormat {
    /// Any text.
    Text,
    /// A JSON object.
    Json,
    /// JSON that follows a schema.
    Schema(Value),
}

impl AnswerFormat {
    /// Takes OpenAI's `response_format`.
    ///
    /// # Errors
    /// The field that is wrong, by its path.
    pub(super) fn of_openai(fields: &mut Fields) -> Result<Self, ApiError> {
        let Some(mut format) = fields.object("response_format")? else { return Ok(Self::Text) };
        let kind = format.required_text("type")?;
        let read = match kind.as_str() {
            "text" => Self::Text,
            "json_object" => Self::Json,
            "json_schema" => {
                let path = format.path("json_schema");
                let mut named = format.object("json_schema")?.ok_or_else(|| ApiError::missing(&path))?;
                named.required_text("name")?;
                named.text("description")?;
                // The schema is kept to in either case.
                named.flag("strict")?;
                let schema = named.take("schema").ok_or_else(|| ApiError::missing(&named.path("schema")))?;
                let path = named.path("schema");
                named.finish()?;
                Self::of_schema(&path, schema)?
            }
            other => {
                let path = format.path("type");
                let message = format!(
                    "Invalid '{path}': it is '{other}'; supported are 'text', 'json_object' and 'json_schema'."
                );
                return Err(ApiError::invalid(&path, message));
            }
        };
        format.finish().map(|()| read)
    }

    /// Takes Ollama's `format`: `"json"`, or a schema.
    ///
    /// # Errors
    /// What is neither.
    pub(super) fn of_ollama(fields: &mut Fields) -> Result<Self, ApiError> {
        match fields.take("format") {
            None => Ok(Self::Text),
            Some(Value::String(word)) if word.is_empty() => Ok(Self::Text),
            Some(Value::String(word)) if word == "json" => Ok(Self::Json),
            Some(schema @ Value::Object(_)) => Self::of_schema("format", schema),
            Some(other) => Err(ApiError::wrong_type("format", "\"json\" or a JSON schema", &other)),
        }
    }

    fn of_schema(path: &str, schema: Value) -> Result<Self, ApiError> {
        if !schema.is_object() {
            return Err(ApiError::wrong_type(path, "an object", &schema));
        }
        Ok(Self::Schema(schema))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: &str) -> Result<AnswerFormat, ApiError> {
        AnswerFormat::of_openai(&mut Fields::of_body(body.as_bytes()).unwrap())
    }

    #[test]
    fn formats_are_read_and_others_refused() {
        assert_eq!(read("{}"), Ok(AnswerFormat::Text));
        assert_eq!(read(r#"{"response_format": {"type": "text"}}"#), Ok(AnswerFormat::Text));
        assert_eq!(read(r#"{"response_format": {"type": "json_object"}}"#), Ok(AnswerFormat::Json));
        let schema = r#"{"response_format": {"type": "json_schema", "json_schema":
            {"name": "place", "strict": true, "schema": {"type": "object"}}}}"#;
        assert_eq!(read(schema), Ok(AnswerFormat::Schema(json!({"type": "object"}))));
        for (body, param) in [
            (r#"{"response_format": "json"}"#, "response_format"),
            (r#"{"response_format": {"type": "grammar"}}"#, "response_format.type"),
            (r#"{"response_format": {"type": "json_schema"}}"#, "response_format.json_schema"),
            (
                r#"{"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}"#,
                "response_format.json_schema.schema",
            ),
        ] {
            assert_eq!(read(body).unwrap_err().param.as_deref(), Some(param), "{body}");
        }
        let mut ollama = Fields::of_body(br#"{"format": "json"}"#).unwrap();
        assert_eq!(AnswerFormat::of_ollama(&mut ollama), Ok(AnswerFormat::Json));
        let mut ollama = Fields::of_body(br#"{"format": {"type": "integer"}}"#).unwrap();
        assert_eq!(
            AnswerFormat::of_ollama(&mut ollama),
            Ok(AnswerFormat::Schema(json!({"type": "integer"})))
        );
    }
}
