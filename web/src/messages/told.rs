//! What is said in sentences: errors and warnings.

use serde_json::{Map, Value};

messages! {
    /// A sentence of the engine, which a page can say in words of its own by its code and values.
    struct Told {
        /// What it says, in a word; "other" has only its message.
        code: String,
        /// What stands in it, by name.
        values: Map<String, Value> as "Record<string, ToldValue>",
        /// The sentence in English.
        message: String,
    }
}
