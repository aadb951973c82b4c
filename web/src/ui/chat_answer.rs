//! An answer on its way: what is asked of the engine, and what is shown of it until it is finished.

use std::rc::Rc;

use serde_json::{Map, Value, json};
use web_sys::AbortController;

use super::answer::Shown;
use super::chat::Chat;
use super::diffusion::{Writing, fills_holes, infill};
use super::dom;
use super::engine::{self, Answer};
use super::history::Turn;
use super::served::Remote;
use crate::holes::has_holes;
use crate::messages::chat::{ChatChunk, FinishReason};
use crate::unmask::marked;

/// So near to the end of the page a reader follows the answer.
const FOLLOW_PX: f64 = 160.0;

impl Chat {
    /// Asks, and shows what comes; the answer, and how it went.
    pub async fn stream(&self, abort: &AbortController, place: &Shown) -> (Turn, Answer<()>) {
        let mut turn = Turn::new("assistant", "");
        let writing = Writing::new(&place.body);
        let asked = self.turns.borrow().last().map(|turn| turn.message.content.clone()).unwrap_or_default();
        let result = match self.app.remote() {
            Some(remote) => self.fill_from(&remote, abort, place, &mut turn).await,
            None if self.fills_holes() && has_holes(&asked) => {
                self.fill_holes(&asked, abort, &writing, &mut turn).await
            }
            None => self.fill_turn(abort, place, &writing, &mut turn).await,
        };
        turn.replay = writing.replay();
        (turn, result)
    }

    /// Whether a diffusion model is open.
    fn is_masked(&self) -> bool {
        self.app.model().is_some_and(|model| model.diffusion.is_some())
    }

    /// Whether it sees both sides of a hole.
    fn fills_holes(&self) -> bool {
        self.app.model().is_some_and(|model| fills_holes(&model))
    }

    async fn fill_holes(
        &self,
        asked: &str,
        abort: &AbortController,
        writing: &Rc<Writing>,
        turn: &mut Turn,
    ) -> Answer<()> {
        let mut request = self.sampling(true);
        // The holes say how much is written.
        request.remove("max_tokens");
        request.insert("text".into(), asked.into());
        let (heard, speech) = (Rc::clone(writing), self.app.speech.clone());
        let hear = move |told| following(|| heard.hear(told, &speech));
        let filled = infill(&request.into(), &abort.signal(), hear).await?;
        turn.marked = marked(asked, &filled.holes, &filled.text);
        turn.message.content = filled.text;
        Ok(())
    }

    async fn fill_turn(
        &self,
        abort: &AbortController,
        place: &Shown,
        writing: &Writing,
        turn: &mut Turn,
    ) -> Answer<()> {
        let stream = engine::chat(&self.request(), &abort.signal()).await?;
        while let Some(chunk) = stream.next::<ChatChunk>().await? {
            for choice in chunk.choices {
                turn.message.content.push_str(&choice.delta.content.unwrap_or_default());
                turn.tokens.extend(choice.logprobs.into_iter().flat_map(|logprobs| logprobs.content));
                turn.limit |= choice.finish_reason == Some(FinishReason::Length);
            }
            turn.usage = chunk.usage.or(turn.usage.take());
            following(|| match chunk.unmasked {
                Some(step) => writing.step(step, &self.app.speech),
                None if writing.has_begun() || turn.message.content.is_empty() => (),
                None => place.show(&turn.message.content, &self.app.speech),
            });
            if abort.signal().aborted() {
                break;
            }
        }
        Ok(())
    }

    /// The same of a model of the server.
    async fn fill_from(
        &self,
        remote: &Remote,
        abort: &AbortController,
        place: &Shown,
        turn: &mut Turn,
    ) -> Answer<()> {
        let mut request = self.controls.numbers.values();
        self.seed(&mut request);
        request.insert("model".into(), remote.model.clone().into());
        request.insert("messages".into(), self.messages().into());
        request.insert("stream".into(), true.into());
        let hear = |text: &str, limit: bool| {
            turn.message.content.push_str(text);
            turn.limit |= limit;
            if !turn.message.content.is_empty() {
                following(|| place.show(&turn.message.content, &self.app.speech));
            }
        };
        remote.server.chat(&request.into(), &abort.signal(), self.app.speech.text(), hear).await
    }

    /// The conversation, with what the system says first.
    fn messages(&self) -> Vec<Value> {
        let mut messages = vec![json!({ "role": "system", "content": self.controls.system.value() })];
        messages.retain(|message| message["content"].as_str().is_some_and(|text| !text.trim().is_empty()));
        let turns = self.turns.borrow();
        let fills_holes = self.app.remote().is_none() && self.fills_holes();
        // A text with holes and what filled them is no talk.
        let is_talk = |i: &usize| {
            let asked = turns[..=*i].iter().rfind(|turn| turn.asks());
            !fills_holes || !asked.is_some_and(|asked| has_holes(&asked.message.content))
        };
        messages.extend((0..turns.len()).filter(is_talk).map(|i| json!(turns[i].message)));
        messages
    }

    fn request(&self) -> Value {
        let mut request = self.sampling(false);
        request.insert("messages".into(), self.messages().into());
        request.insert("stream".into(), true.into());
        if !self.is_masked() {
            request.insert("logprobs".into(), true.into());
            request.insert("top_logprobs".into(), 4.into());
        }
        request.into()
    }

    /// Without a seed, another answer each time: that is what "regenerate" is for.
    fn seed(&self, request: &mut Map<String, Value>) {
        request.entry("seed").or_insert_with(|| json!((js_sys::Math::random() * 2f64.powi(31)) as u32));
    }

    /// The settings of an answer, or of a text with `holes`.
    fn sampling(&self, holes: bool) -> Map<String, Value> {
        let mut request = self.controls.numbers.values();
        self.seed(&mut request);
        if let Some(model) = self.app.model().filter(|model| model.diffusion.is_some()) {
            self.controls.unmasking.add_to(&mut request, &model, holes);
        }
        request
    }
}

/// Changes what is shown; who was at the end of the page stays there.
pub fn following(change: impl FnOnce()) {
    let follows = is_near_end();
    change();
    if follows {
        dom::window().scroll_to_with_x_and_y(0.0, page_height());
    }
}

/// How high the page is, in pixels.
pub fn page_height() -> f64 {
    let document = dom::window().document().and_then(|document| document.document_element());
    document.map_or(0.0, |element| f64::from(element.scroll_height()))
}

/// Whether a reader is at the end of the page.
pub fn is_near_end() -> bool {
    let window = dom::window();
    let height = window.inner_height().ok().and_then(|height| height.as_f64()).unwrap_or_default();
    window.scroll_y().unwrap_or_default() + height + FOLLOW_PX >= page_height()
}
