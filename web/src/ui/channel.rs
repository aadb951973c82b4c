//! Tells the other tabs of this page that something kept in this browser changed, and hears it of them.

use wasm_bindgen::prelude::{JsCast, JsValue};
use web_sys::{BroadcastChannel, MessageEvent};

use super::app::Topic;
use super::dom;

/// What all tabs of this page listen to.
const NAME: &str = "kindling";
/// What several tabs show, and the word by which one tells the others that it is not as it was.
const SHARED: [(Topic, &str); 4] = [
    (Topic::Kept, "models"),
    (Topic::Adapters, "adapters"),
    (Topic::Runs, "runs"),
    (Topic::Conversations, "conversations"),
];

/// The way to the other tabs; none where the browser has none.
pub struct Channel(Option<BroadcastChannel>);

impl Channel {
    /// Opens it.
    pub fn open() -> Self {
        Self(BroadcastChannel::new(NAME).ok())
    }

    /// Tells the other tabs that this changed, if they show it.
    pub fn tell(&self, topic: Topic) {
        let shared = SHARED.iter().find(|(shared, _)| *shared == topic);
        if let (Some(channel), Some((_, word))) = (&self.0, shared) {
            // Where it does not arrive, a tab lists what is new when it looks the next time.
            let _ = channel.post_message(&JsValue::from_str(word));
        }
    }

    /// Calls back whenever another tab tells of a change.
    pub fn listen(&self, mut hear: impl FnMut(Topic) + 'static) {
        let Some(channel) = &self.0 else { return };
        dom::listen(channel, "message", move |event| {
            let word = event.dyn_ref::<MessageEvent>().and_then(|event| event.data().as_string());
            // A tab of another version of the page may have words of its own.
            if let Some((topic, _)) = SHARED.iter().find(|(_, known)| word.as_deref() == Some(*known)) {
                hear(*topic);
            }
        });
    }
}
