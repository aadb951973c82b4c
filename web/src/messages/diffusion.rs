//! Masked predictors: what makes a model one, and how it fills its masks.

use super::told::Told;

messages! {
    /// What makes a model a masked predictor, which fills masks anywhere instead of going on at the end.
    struct Diffusion {
        /// The token that stands for a hidden one.
        mask_token_id: u32,
        /// Tokens of a block: positions see their own block and all before it; null where all see all.
        block_length: Option<u32>,
        /// Whether a position's logits predict the token behind it, and not its own.
        shift_logits: bool,
    }

    /// A masked predictor that was made of the open model, and is kept in this browser.
    struct Converted {
        /// Its name.
        name: String,
        /// Its size.
        bytes: f64,
        /// Whether it was kept before, made by the same conversion.
        known: bool,
        /// What a person should know of what changed.
        notes: Vec<Told>,
    }

    /// A token that took the place of a mask.
    struct UnmaskedToken {
        /// Its place: from the first token of the answer on, or in the whole text where holes are filled.
        place: u32,
        /// Its id.
        id: u32,
        /// Its text.
        text: String,
        /// How sure the model was, from 0 to 1.
        confidence: f64,
    }

    /// What a step of unmasking changed.
    struct UnmaskStep {
        /// Its number, from 1.
        step: u32,
        /// Of so many.
        steps: u32,
        /// What it filled, at most 128 tokens; a step that fills more comes in parts of the same number.
        filled: Vec<UnmaskedToken>,
        /// Tokens in all: of the answer, or of the whole text where holes are filled.
        canvas_length: u32,
    }

    /// A text whose holes are filled.
    struct Infilled {
        /// All of it.
        text: String,
        /// Its ids.
        tokens: Vec<u32>,
        /// What was written into each hole, in their order.
        holes: Vec<String>,
        /// New tokens per second; none where a single token came out.
        tokens_per_second: Option<f64>,
    }
}
