//! What goes over the wire: the requests and answers of OpenAI's API and of Ollama's, so that a server and the page have one
//! form. Bodies come in as bytes and are checked field by field; what is unknown or cannot be honoured is refused by name.
//! What the engine tells becomes the parts of an answer, or the whole one.
//!
//! Nothing here knows a socket, a clock or a disk: ids and times come in as a [`Head`].

#[cfg(feature = "constrained")]
mod call_grammar;
mod call_text;
mod chat;
mod chat_answer;
mod choice;
mod completion;
mod completion_answer;
#[cfg(test)]
mod completion_tests;
#[cfg(feature = "constrained")]
mod constraint;
#[cfg(test)]
#[cfg(feature = "constrained")]
mod constraint_tests;
mod dialogue;
mod embedding;
mod error;
mod fields;
mod filling;
mod format;
mod keep_alive;
mod messages;
mod model_list;
mod ollama;
mod ollama_answer;
#[cfg(test)]
mod played;
mod reply;
#[cfg(test)]
mod reply_tests;
#[cfg(feature = "constrained")]
mod schema_depth;
mod served;
mod settings;
mod splitter;
mod timestamp;
mod token_logprob;
mod token_texts;
mod tools;

pub use chat::ChatRequest;
pub use chat_answer::{
    ChatChoice, ChatChunk, ChatCompletion, ChatDelta, ChatLogprobs, ChatMessage, ChunkChoice, FunctionCall,
    FunctionDelta, ToolCall, ToolCallDelta, Usage,
};
pub use completion::{CompletionRequest, Prompt};
pub use completion_answer::{Completion, CompletionChoice, CompletionLogprobs};
#[cfg(feature = "constrained")]
pub use constraint::Grammars;
pub use dialogue::{Dialogue, Thinking};
pub use embedding::{Embedding, EmbeddingRequest, EmbeddingUsage, Embeddings};
pub use error::ApiError;
pub use filling::Filling;
pub use format::AnswerFormat;
pub use keep_alive::KeepAlive;
pub use model_list::{Model, ModelEntry, ModelList, loaded, model_list, shown_model, tags, version};
pub use ollama::OllamaRequest;
pub use ollama_answer::{OllamaAnswer, OllamaEnd, OllamaMessage};
pub use reply::{Answer, Chunk, Reply};
pub use served::{AdapterUse, Adapters, Constrainer, Head, Served, Wanted, Work};
pub use settings::Settings;
pub use timestamp::rfc3339;
pub use token_logprob::{LikelyToken, TokenLogprob};
pub use token_texts::{DetokenizeRequest, TemplateRequest, TokenizeRequest};
pub use tools::{Tool, ToolChoice, Tools};
