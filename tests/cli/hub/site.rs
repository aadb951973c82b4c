//! A folder with a small model, a hub that has it too, and commands that know this hub and no other.

use serde_json::Value;

use super::server::{HubServer, Published, hash};
use crate::harness::{Outcome, Running};
use crate::place::Place;

pub const GREEDY: &str = "--tokens 40,41,42 --temperature 0 --max-new-tokens 12 --ignore-eos --json";
/// Where the hub has the model.
pub const MODEL: &str = "models/owner/tiny";
pub const WEIGHTS: &str = "model.safetensors";
/// What is read of a model's directory.
pub const READ: [&str; 6] = [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
];

/// A place with a model in `model`, and a hub that has it as `owner/tiny`, with files that are of no use here.
pub struct Site {
    pub place: Place,
    pub hub: HubServer,
}

impl Site {
    pub fn new() -> Self {
        let (place, hub) = (Place::with_model(), HubServer::start());
        let files = READ.map(|name| (name.to_string(), place.read(&format!("model/{name}"))));
        let mut published = Published { files: files.into(), ..Published::default() };
        published.files.insert("README.md".into(), b"# A model".to_vec());
        published.files.insert("pytorch_model.bin".into(), vec![0; 9000]);
        hub.publish(MODEL, published);
        Self { place, hub }
    }

    /// Starts a command that knows this hub, a cache of its own in `hf`, and what `env` adds or replaces.
    pub fn start(&self, env: &[(&str, &str)], line: &str) -> Running {
        let (endpoint, home) = (self.hub.endpoint(), self.place.path("hf").display().to_string());
        let scope = self.place.path("ms").display().to_string();
        let mut all = vec![("HF_ENDPOINT", endpoint.as_str()), ("HF_HOME", home.as_str())];
        all.extend([("MODELSCOPE_ENDPOINT", endpoint.as_str()), ("MODELSCOPE_CACHE", scope.as_str())]);
        all.extend(
            ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "MODELSCOPE_API_TOKEN"]
                .map(|name| (name, "")),
        );
        all.push(("NO_PROXY", "127.0.0.1,localhost"));
        all.extend(env);
        self.place.start_with_env(&all, line)
    }

    /// The same to its end.
    pub fn run_with(&self, env: &[(&str, &str)], line: &str) -> Outcome {
        self.start(env, line).finish()
    }

    pub fn run(&self, line: &str) -> Outcome {
        self.run_with(&[], line)
    }

    /// What a model answers.
    pub fn tokens(&self, model: &str) -> Value {
        self.run(&format!("generate --model {model} {GREEDY}")).ok().result()["tokens"].clone()
    }

    /// Checks that a model does not open, and that these are said about its address.
    pub fn refused(&self, env: &[(&str, &str)], model: &str, parts: &[&str]) {
        let outcome = self.run_with(env, &format!("generate --model {model} {GREEDY}")).expect(1, parts);
        assert_eq!(outcome.stdout, "", "{outcome}");
        assert!(outcome.stderr.contains(&format!("error: {model}: ")), "{outcome}");
    }

    /// The name under which the cache keeps the model's weights, and their bytes.
    pub fn weights(&self) -> (String, Vec<u8>) {
        let bytes = self.place.read("model/model.safetensors");
        (format!("hf/hub/models--owner--tiny/blobs/{}", hash(&bytes)), bytes)
    }

    /// The ranges of the model's weights that the other host was asked for since it was last asked about.
    pub fn ranges(&self) -> Vec<Option<String>> {
        let weights = hash(&self.weights().1);
        let of_weights = |asked: &super::server::Asked| asked.elsewhere && asked.path.ends_with(&weights);
        self.hub.asked().into_iter().filter(of_weights).map(|asked| asked.range).collect()
    }
}
