//! Holes in a text, which a masked predictor fills.

use kindling::sample::{HOLE_TOKENS, Writer, canvas_of};
use kindling::told::{Told, told};

use super::messages::diffusion::Infilled;
use super::messages::run::EngineEvent as Event;
use super::port::Port;
use super::protocol::Choosing;
use super::state::{Answer, Engine, Who};

impl Engine {
    /// Fills the holes of a text, `hole_tokens` each.
    ///
    /// # Errors
    /// A model that predicts the next token; a text without holes, or longer than the context.
    pub async fn infill(
        &self,
        text: &str,
        hole_tokens: Option<usize>,
        choosing: &Choosing,
        port: &Port,
    ) -> Result<Answer, Told> {
        let told = |error: kindling::error::Error| error.told();
        self.choices.settle().await;
        let model = self.answering(Who::Active)?;
        let diffusion = model.config().check_masked("filling holes").map_err(told)?;
        let mask = diffusion.mask_token_id;
        let writing = self.writing(Who::Active, choosing, None, port)?;
        let tokenizer = writing.talking.tokenizer.as_ref();
        let canvas =
            canvas_of(text, tokenizer, diffusion, hole_tokens.unwrap_or(HOLE_TOKENS)).map_err(told)?;
        if canvas.holes.is_empty() {
            return Err(told!(
                "infill.no_hole",
                "the text has no hole; write ___ where something is missing"
            ));
        }
        let given = canvas.ids.iter().map(|&id| (id != mask).then(|| tokenizer.token_text(id))).collect();
        port.tell(&Event::Canvas { given });
        let mut writer = Writer::new(&model, canvas.ids.len());
        let written = writer.infill(&writing.request(&canvas.ids, 0), &mut self.hearing(&writing)).await;
        self.cancelled.borrow_mut().remove(&port.run);
        let written = written.map_err(told)?;
        // What was ended early lacks tokens, and which hole the others stand in is not known.
        if written.tokens.len() != canvas.ids.len() {
            return Err(told!("call.cancelled", "the call was cancelled"));
        }
        let filled = canvas.filled(&written.tokens, tokenizer, &writing.talking.ends).map_err(told)?;
        Answer::new(Infilled {
            text: filled.text,
            tokens: written.tokens,
            holes: filled.holes,
            tokens_per_second: written.decode_tokens_per_second,
        })
    }
}
