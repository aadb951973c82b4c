//! Which models there are: `/v1/models`, and Ollama's `/api/tags`, `/api/ps`, `/api/show` and `/api/version`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ApiError;
use super::fields::Fields;
use super::timestamp::rfc3339;

/// What is known of a model that is served.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelEntry {
    /// Its name.
    pub name: String,
    /// When its files were written, in seconds since 1970.
    pub modified: u64,
    /// Bytes of its files.
    pub size: u64,
    /// What its files are, in hexadecimal digits (SHA-256); Ollama's clients compare models by it.
    pub digest: String,
    /// The family: `llama`, `minimind`.
    pub family: String,
    /// How many weights it has.
    pub parameters: u64,
    /// How they are held: `F32`, `BF16`, `Q8_0`.
    pub quantization: String,
    /// Most positions.
    pub context: usize,
    /// How many numbers an embedding has.
    pub width: usize,
    /// Its chat template, where it has one.
    pub template: Option<String>,
    /// Whether that tells of tools that can be called.
    pub tools: bool,
    /// Whether it has a switch for thinking.
    pub thinking: bool,
}

/// The answer to `/v1/models`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelList {
    /// `list`.
    pub object: String,
    /// The models.
    pub data: Vec<Model>,
}

/// A model; also the answer to `/v1/models/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name.
    pub id: String,
    /// `model`.
    pub object: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Whose it is.
    pub owned_by: String,
}

impl ModelEntry {
    /// In OpenAI's shape.
    pub fn openai(&self) -> Model {
        Model {
            id: self.name.clone(),
            object: "model".to_string(),
            created: self.modified,
            owned_by: "kindling".to_string(),
        }
    }

    fn details(&self) -> Value {
        json!({
            "parent_model": "", "format": "safetensors", "family": self.family, "families": [self.family],
            "parameter_size": short_count(self.parameters), "quantization_level": self.quantization,
        })
    }

    fn tag(&self) -> Map<String, Value> {
        let tag = json!({
            "name": self.name, "model": self.name, "modified_at": rfc3339(self.modified), "size": self.size,
            "digest": self.digest, "details": self.details(),
        });
        tag.as_object().cloned().unwrap_or_default()
    }

    /// The answer to `/api/show`.
    pub fn show(&self) -> Value {
        let mut capabilities = vec!["completion", "embedding"];
        capabilities.extend(self.tools.then_some("tools"));
        capabilities.extend(self.thinking.then_some("thinking"));
        let family = &self.family;
        let mut info = Map::new();
        info.insert("general.architecture".to_string(), family.clone().into());
        info.insert("general.parameter_count".to_string(), self.parameters.into());
        info.insert(format!("{family}.context_length"), self.context.into());
        info.insert(format!("{family}.embedding_length"), self.width.into());
        json!({
            "modelfile": "", "parameters": "", "template": self.template.clone().unwrap_or_default(),
            "details": self.details(), "model_info": info, "capabilities": capabilities,
            "modified_at": rfc3339(self.modified),
        })
    }
}

/// The answer to `/v1/models`.
pub fn model_list<'a>(models: impl IntoIterator<Item = &'a ModelEntry>) -> ModelList {
    ModelList { object: "list".to_string(), data: models.into_iter().map(ModelEntry::openai).collect() }
}

/// The answer to `/api/tags`.
pub fn tags<'a>(models: impl IntoIterator<Item = &'a ModelEntry>) -> Value {
    json!({"models": models.into_iter().map(ModelEntry::tag).collect::<Vec<_>>()})
}

/// The answer to `/api/ps`: the models that are loaded, each with the bytes that it takes and when it will be put away, in
/// seconds since 1970.
pub fn loaded<'a>(models: impl IntoIterator<Item = (&'a ModelEntry, u64, u64)>) -> Value {
    let entry = |(model, bytes, until): (&ModelEntry, u64, u64)| {
        let mut tag = model.tag();
        tag.shift_remove("modified_at");
        tag.insert("size".to_string(), bytes.into());
        tag.insert("size_vram".to_string(), 0.into());
        tag.insert("expires_at".to_string(), rfc3339(until).into());
        tag.insert("context_length".to_string(), model.context.into());
        tag
    };
    json!({"models": models.into_iter().map(entry).collect::<Vec<_>>()})
}

/// The answer to `/api/version`. Clients compare it with the version of Ollama that they need.
pub fn version(version: &str) -> Value {
    json!({"version": version})
}

/// The model that a body of `/api/show` names, under its new or its old key.
///
/// # Errors
/// No name, or an unknown field.
pub fn shown_model(body: &[u8]) -> Result<String, ApiError> {
    let mut fields = Fields::of_body(body)?;
    let old = fields.text("name")?;
    let name = fields.text("model")?.or(old).ok_or_else(|| ApiError::missing("model"))?;
    // How much of the same is told.
    fields.ignore(&["verbose"]);
    fields.finish().map(|()| name)
}

/// A number as Ollama writes it: `25.8M`, `1.2B`.
fn short_count(count: u64) -> String {
    let count = count as f64;
    match count {
        _ if count >= 1e9 => format!("{:.1}B", count / 1e9),
        _ if count >= 1e6 => format!("{:.1}M", count / 1e6),
        _ if count >= 1e3 => format!("{:.1}K", count / 1e3),
        _ => format!("{count}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> ModelEntry {
        ModelEntry {
            name: "fable".into(),
            modified: 951_782_400,
            size: 103,
            digest: "ab12".into(),
            family: "llama".into(),
            parameters: 25_830_000,
            quantization: "F32".into(),
            context: 512,
            width: 64,
            template: Some("{{ x }}".into()),
            tools: true,
            thinking: false,
        }
    }

    #[test]
    fn models_are_listed_in_both_shapes() {
        assert_eq!(
            serde_json::to_value(model_list([&entry()])).unwrap(),
            json!({"object": "list", "data": [
                {"id": "fable", "object": "model", "created": 951_782_400, "owned_by": "kindling"}]})
        );
        let details = json!({
            "parent_model": "", "format": "safetensors", "family": "llama", "families": ["llama"],
            "parameter_size": "25.8M", "quantization_level": "F32",
        });
        assert_eq!(
            tags([&entry()]),
            json!({"models": [{
                "name": "fable", "model": "fable", "modified_at": "2000-02-29T00:00:00Z", "size": 103, "digest": "ab12",
                "details": details,
            }]})
        );
        assert_eq!(
            loaded([(&entry(), 7, 951_868_800)]),
            json!({"models": [{
                "name": "fable", "model": "fable", "size": 7, "digest": "ab12", "details": details, "size_vram": 0,
                "expires_at": "2000-03-01T00:00:00Z", "context_length": 512,
            }]})
        );
        assert_eq!(version("0.1.0"), json!({"version": "0.1.0"}));
    }

    #[test]
    fn a_model_is_shown() {
        let shown = entry().show();
        assert_eq!(shown["capabilities"], json!(["completion", "embedding", "tools"]));
        assert_eq!(
            (&shown["model_info"]["llama.context_length"], &shown["template"]),
            (&json!(512), &json!("{{ x }}"))
        );
        assert_eq!(shown_model(br#"{"model": "a", "verbose": true}"#), Ok("a".to_string()));
        assert_eq!(shown_model(br#"{"name": "a"}"#), Ok("a".to_string()));
        assert_eq!(shown_model(b"{}").unwrap_err().param.as_deref(), Some("model"));
        assert_eq!([999, 1_200, 3_400_000, 1_236_000_000].map(short_count), ["999", "1.2K", "3.4M", "1.2B"]);
    }
}
