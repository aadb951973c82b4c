//! `/v1/embeddings`: texts as vectors (<https://platform.openai.com/docs/api-reference/embeddings>), and what Ollama's
//! clients ask for the same by.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ApiError;
use super::chat_answer::Usage;
use super::completion::Prompt;
use super::fields::Fields;
use super::keep_alive::KeepAlive;
use super::served::{Adapters, Served};
use crate::sample::Pooling;

/// Most texts of a request, as OpenAI has it.
const MOST_TEXTS: usize = 2048;

/// A request for vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingRequest {
    /// The model that shall read.
    pub model: String,
    /// Which adapters act.
    pub adapters: Adapters,
    /// The texts; none where an Ollama's client asks for the model alone.
    pub inputs: Vec<Prompt>,
    /// Which tokens the vectors are made of; a field of our own, `pooling`.
    pub pooling: Pooling,
    /// How many numbers a vector shall have, where the request says it.
    dimensions: Option<usize>,
    /// How long the model stays behind it; as the server has it where the request does not say.
    pub keep_alive: Option<KeepAlive>,
    base64: bool,
}

impl EmbeddingRequest {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The first field that is missing, wrong, unknown or cannot be honoured, by its path.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let inputs = Prompt::take(&mut fields, "input")?;
        Self::of(fields, inputs)
    }

    /// Reads the body of a request to `/api/embed` (<https://docs.ollama.com/api/embed>), which may ask for no text.
    ///
    /// # Errors
    /// As [`EmbeddingRequest::parse`].
    pub fn parse_ollama(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let inputs = match fields.take("input") {
            None => Vec::new(),
            Some(Value::String(text)) if text.is_empty() => Vec::new(),
            Some(Value::Array(list)) if list.is_empty() => Vec::new(),
            Some(input) => Prompt::of_value("input", input)?,
        };
        // What else it runs with: a text is read whole, or refused as too long.
        fields.ignore(&["options", "truncate"]);
        Self::of(fields, inputs)
    }

    /// Reads the body of a request to `/api/embeddings`, which older clients ask for the vector of one text.
    ///
    /// # Errors
    /// As [`EmbeddingRequest::parse`].
    pub fn parse_ollama_prompt(body: &[u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(body)?;
        let prompt = fields.text("prompt")?.filter(|prompt| !prompt.is_empty());
        fields.ignore(&["options"]);
        Self::of(fields, prompt.into_iter().map(Prompt::Text).collect())
    }

    /// Takes what all of them have.
    fn of(mut fields: Fields, inputs: Vec<Prompt>) -> Result<Self, ApiError> {
        let model = fields.required_text("model")?;
        if inputs.len() > MOST_TEXTS {
            let message =
                format!("Invalid 'input': it has {} texts, and the most are {MOST_TEXTS}.", inputs.len());
            return Err(ApiError::invalid("input", message));
        }
        let base64 = match fields.text("encoding_format")?.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(other) => {
                let message = format!(
                    "Invalid 'encoding_format': it is '{other}'; supported are 'float' and 'base64'."
                );
                return Err(ApiError::invalid("encoding_format", message));
            }
        };
        let pooling = match fields.text("pooling")?.as_deref() {
            None | Some("mean") => Pooling::Mean,
            Some("last") => Pooling::Last,
            Some(other) => {
                let message = format!("Invalid 'pooling': it is '{other}'; supported are 'mean' and 'last'.");
                return Err(ApiError::invalid("pooling", message));
            }
        };
        let dimensions = fields.whole("dimensions", 1..=i64::from(u32::MAX))?.map(|n| n as usize);
        // Whom the request is for.
        fields.ignore(&["user", "safety_identifier"]);
        let adapters = Adapters::take(&mut fields)?;
        let keep_alive = KeepAlive::of(&mut fields)?;
        fields.finish()?;
        Ok(Self { model, adapters, inputs, pooling, dimensions, keep_alive, base64 })
    }

    /// The ids of the texts. `width` is how many numbers the model's vectors have.
    ///
    /// # Errors
    /// A text without tokens or beyond the context, another number of dimensions than the model has.
    pub fn prepare(&self, served: &Served, width: usize) -> Result<Vec<Vec<u32>>, ApiError> {
        if let Some(asked) = self.dimensions.filter(|asked| *asked != width) {
            let message = format!(
                "Invalid 'dimensions': it is {asked}, but this model's vectors have {width}; leave it out."
            );
            return Err(ApiError::invalid("dimensions", message));
        }
        let ids = self.inputs.iter().map(|input| {
            let ids = input.ids(served.tokenizer)?;
            if ids.is_empty() {
                return Err(ApiError::invalid("input", "Invalid 'input': a text holds no tokens."));
            }
            if ids.len() > served.context {
                return Err(ApiError::context("input", ids.len(), served.context));
            }
            Ok(ids)
        });
        ids.collect()
    }

    /// The answer of these vectors, in the order of the texts; `tokens` is how many were read.
    pub fn answer(&self, model: &str, vectors: Vec<Vec<f32>>, tokens: usize) -> Embeddings {
        let embedding = |(index, vector): (usize, Vec<f32>)| Embedding {
            object: "embedding".to_string(),
            index,
            embedding: if self.base64 {
                base64(&vector).into()
            } else {
                vector.into_iter().map(Value::from).collect()
            },
        };
        let usage = Usage::new(tokens, 0);
        Embeddings {
            object: "list".to_string(),
            data: vectors.into_iter().enumerate().map(embedding).collect(),
            model: model.to_string(),
            usage: EmbeddingUsage { prompt_tokens: usage.prompt_tokens, total_tokens: usage.total_tokens },
        }
    }
}

/// The vectors of a request's texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embeddings {
    /// `list`.
    pub object: String,
    /// One for each text, in order.
    pub data: Vec<Embedding>,
    /// The name of the model.
    pub model: String,
    /// What they took.
    pub usage: EmbeddingUsage,
}

/// The vector of a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// `embedding`.
    pub object: String,
    /// The text's place.
    pub index: usize,
    /// Numbers; or, as `base64`, the bytes of 32-bit floats, the lowest first.
    pub embedding: Value,
}

/// What vectors took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbeddingUsage {
    /// Tokens of the texts.
    pub prompt_tokens: usize,
    /// The same.
    pub total_tokens: usize,
}

/// The bytes of 32-bit floats, the lowest first, in base64 (RFC 4648, section 4).
fn base64(vector: &[f32]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let joined = three.iter().fold(0_u32, |joined, byte| (joined << 8) | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = ALPHABET[((joined >> (18 - 6 * place)) & 63) as usize];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_requests_of_openais_documentation_are_read() {
        let body =
            br#"{"input": "The food was delicious", "model": "m", "encoding_format": "float", "user": "u"}"#;
        let request = EmbeddingRequest::parse(body).unwrap();
        assert_eq!(request.inputs, [Prompt::Text("The food was delicious".into())]);
        let body = br#"{"input": ["a", "b"], "model": "m", "encoding_format": "base64", "pooling": "last"}"#;
        let request = EmbeddingRequest::parse(body).unwrap();
        assert_eq!((request.inputs.len(), request.pooling, request.base64), (2, Pooling::Last, true));
        for (rest, param) in [
            (r#""input": []"#, "input"),
            (r#""input": "a", "encoding_format": "int8""#, "encoding_format"),
            (r#""input": "a", "pooling": "cls""#, "pooling"),
            (r#""input": "a", "dimensions": 0"#, "dimensions"),
            (r#""input": "a", "truncate": true"#, "truncate"),
        ] {
            let body = format!(r#"{{"model": "m", {rest}}}"#);
            assert_eq!(
                EmbeddingRequest::parse(body.as_bytes()).unwrap_err().param.as_deref(),
                Some(param),
                "{rest}"
            );
        }
    }

    #[test]
    fn the_requests_of_ollamas_documentation_are_read() {
        let body = br#"{"model": "m", "input": ["a"], "truncate": true, "keep_alive": "5m", "options": {}}"#;
        let request = EmbeddingRequest::parse_ollama(body).unwrap();
        assert_eq!(request.inputs, [Prompt::Text("a".into())]);
        let minutes = Some(KeepAlive::For(std::time::Duration::from_secs(300)));
        assert_eq!(request.keep_alive, minutes);
        let old = br#"{"model": "m", "prompt": "a", "keep_alive": "5m", "options": {"num_ctx": 5}}"#;
        assert_eq!(EmbeddingRequest::parse_ollama_prompt(old).unwrap(), request);
        let ours = br#"{"model": "m", "input": "a", "keep_alive": 300}"#;
        assert_eq!(EmbeddingRequest::parse(ours).unwrap(), request);
        // The model alone.
        for body in
            [&br#"{"model": "m"}"#[..], br#"{"model": "m", "input": []}"#, br#"{"model": "m", "input": ""}"#]
        {
            assert!(EmbeddingRequest::parse_ollama(body).unwrap().inputs.is_empty());
        }
        assert!(EmbeddingRequest::parse_ollama_prompt(br#"{"model": "m"}"#).unwrap().inputs.is_empty());
        let other = EmbeddingRequest::parse_ollama(br#"{"model": "m", "input": "a", "keep": 1}"#);
        assert_eq!(other.unwrap_err().param.as_deref(), Some("keep"));
    }

    #[test]
    fn vectors_are_told_as_numbers_or_base64() {
        let request = |format: &str| {
            let body = format!(r#"{{"input": ["a", "b"], "model": "m", "encoding_format": "{format}"}}"#);
            EmbeddingRequest::parse(body.as_bytes()).unwrap()
        };
        let answer = request("float").answer("m", vec![vec![0.5, -1.0], vec![1.0]], 5);
        assert_eq!(
            serde_json::to_value(answer).unwrap(),
            json!({
                "object": "list", "model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5},
                "data": [
                    {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
                    {"object": "embedding", "index": 1, "embedding": [1.0]},
                ],
            })
        );
        // Python: base64.b64encode(struct.pack("<2f", 0.5, -1.0)), and of 1.0 alone and of three ones.
        for (vector, written) in
            [(vec![0.5, -1.0], "AAAAPwAAgL8="), (vec![1.0], "AACAPw=="), (vec![1.0; 3], "AACAPwAAgD8AAIA/")]
        {
            assert_eq!(base64(&vector), written);
        }
        assert_eq!(request("base64").answer("m", vec![vec![1.0]], 1).data[0].embedding, json!("AACAPw=="));
    }
}
