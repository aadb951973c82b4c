//! How a diffusion model fills its masks, as far as a person may set it; and where to tell it of missing words.

use serde_json::{Map, Value};

use super::calls::fills_holes;
use crate::messages::model::ModelInfo;
use crate::ui::dom::{El, el, field};
use crate::ui::numbers::{Number, Numbers};
use crate::ui::speech::{Slot, Speech};

const NUMBERS: [Number; 5] = [
    Number::new("steps", |t| t.diffusion.steps, ["1", "8192", "1"]),
    Number::new(BLOCK_LENGTH, |t| t.diffusion.block_length, ["1", "8192", "1"]),
    Number::new("cfg_scale", |t| t.diffusion.cfg_scale, ["0", "20", "any"]),
    Number::new("threshold", |t| t.diffusion.threshold, ["0", "1", "0.05"]),
    Number::new(HOLE_TOKENS, |t| t.diffusion.hole_tokens, ["1", "1024", "1"]),
];
const BLOCK_LENGTH: &str = "block_length";
/// Of a request to fill holes alone.
const HOLE_TOKENS: &str = "hole_tokens";
const REMASKING: &str = "remasking";
/// Numbers without a default of their own: what holds depends on the request and the model.
const AUTOMATIC: [&str; 4] = ["steps", BLOCK_LENGTH, "threshold", HOLE_TOKENS];

/// The settings, and a line that says how holes are typed.
pub struct Unmasking {
    /// The fields.
    pub group: El,
    /// The line.
    pub hint: El,
    numbers: Numbers,
    remasking: El,
}

impl Unmasking {
    /// Builds them, hidden until a diffusion model is open.
    pub fn build(speech: &Speech) -> Self {
        let numbers = Numbers::build(speech, "chat", &NUMBERS);
        for input in AUTOMATIC.iter().filter_map(|key| numbers.input(key)) {
            speech.add(input, Slot::Attribute("placeholder"), |t| t.teach.automatic);
        }
        let surest = el("option").attr("value", "low-confidence").say(speech, |t| t.diffusion.surest);
        let any = el("option").attr("value", "random").say(speech, |t| t.diffusion.any);
        let remasking = el("select").id("chat-remasking").child(&surest).child(&any);
        numbers.group.add(&field(speech, |t| t.diffusion.remasking, &remasking));
        let hint = el("p").class("faint").id("chat-hole-hint").say(speech, |t| t.diffusion.hole_hint);
        Self { group: numbers.group.clone().shown(false), hint: hint.shown(false), numbers, remasking }
    }

    /// Shows what acts with the open model.
    pub fn show(&self, model: Option<&ModelInfo>) {
        let fills_holes = model.is_some_and(fills_holes);
        self.group.show(model.is_some_and(|model| model.diffusion.is_some()));
        self.hint.show(fills_holes);
        // A model of blocks has its own length, and does not see what stands behind a hole.
        self.numbers.show_field(BLOCK_LENGTH, fills_holes);
        self.numbers.show_field(HOLE_TOKENS, fills_holes);
    }

    /// Shows what the engine does where nothing is set.
    pub fn suggest(&self, defaults: &Map<String, Value>) {
        self.numbers.suggest(defaults);
    }

    /// What was set, for keeping.
    pub fn values(&self) -> Map<String, Value> {
        let mut values = self.numbers.values();
        // The other one is the engine's own.
        let remasking = self.remasking.value();
        if remasking == "random" {
            values.insert(REMASKING.into(), remasking.into());
        }
        values
    }

    /// Puts in what was kept.
    pub fn fill(&self, values: &Map<String, Value>) {
        self.numbers.fill(values);
        let is_random = values.get(REMASKING).is_some_and(|kept| kept == "random");
        self.remasking.set_value(if is_random { "random" } else { "low-confidence" });
    }

    /// Adds to a request what was set and acts with this model; the tokens of a hole where it has `holes`.
    pub fn add_to(&self, request: &mut Map<String, Value>, model: &ModelInfo, holes: bool) {
        let mut values = self.values();
        if !fills_holes(model) {
            values.remove(BLOCK_LENGTH);
        }
        let hole_tokens = values.remove(HOLE_TOKENS);
        request.insert("unmask".into(), values.into());
        request.extend(hole_tokens.filter(|_| holes).map(|tokens| (HOLE_TOKENS.to_string(), tokens)));
    }
}
