//! What of a row `data preview` shows is hidden from a masked predictor: by the code that hides it in training.

use std::io::IsTerminal;

use kindling::batch::{Batch, Example, Fit, Fitted};
use kindling::loss::{DiffusionSettings, Masking, RowShape, TimeRange};
use kindling::model::ModelConfig;
use kindling::random::Random;
use kindling::tokenizer::Tokenizer;
use kindling::train::{Stage, TrainConfig};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;

/// Hides tokens as training a model would.
pub struct Hiding {
    masking: Masking,
    model: ModelConfig,
    config: TrainConfig,
}

impl Hiding {
    /// That of a stage for a model, where the model predicts masked tokens.
    ///
    /// # Errors
    /// A stage that trains no masked predictor; shares that do not hold, or that nothing is hidden by.
    pub fn of(
        stage: Stage,
        model: Option<ModelConfig>,
        config: &TrainConfig,
        t_range: Option<TimeRange>,
    ) -> Result<Option<Self>, Failure> {
        let masked = model.filter(|model| model.diffusion.is_some());
        let Some(model) = masked else {
            return match t_range {
                Some(_) => Err(Failure::Usage(
                    "--t-range acts on masked predictors, and --model predicts the next token; leave it out"
                        .into(),
                )),
                None => Ok(None),
            };
        };
        let mut config = config.clone();
        config.diffusion = DiffusionSettings { t_range: t_range.unwrap_or_default(), ..config.diffusion };
        config.validate()?;
        let objective = stage.objective_for(&config.diffusion, &model)?;
        Ok(objective.masking().map(|&masking| Self { masking, model, config }))
    }

    /// How training makes examples fit its rows.
    pub fn fit(&self, fit: Fit) -> Fit {
        // Rows that are not packed hold their last token, too.
        Fit { seq_len: fit.seq_len.saturating_sub(usize::from(!self.config.packing)).max(1), ..fit }
    }

    /// Shows what is hidden of an example, the `number`-th of all.
    pub fn show(&self, example: &Example, number: u64, fit: &Fit, tokenizer: &Tokenizer, output: Output) {
        let fitted = match fit.fit(example.clone()) {
            Fitted::Whole(fitted) | Fitted::Cut(fitted) => fitted,
            Fitted::TooLong | Fitted::NoTarget => return,
        };
        for (piece, example) in (0..).zip(fit.pieces(fitted)) {
            let mut batch = Batch::new(example.ids.len() - 1);
            batch.push(&example.ids, &example.weights, &vec![1; example.ids.len()]);
            let shape = RowShape { packed: false, seq_len: self.config.max_seq_len.max(example.ids.len()) };
            let mut random = Random::new(self.config.seed.wrapping_add(number), piece);
            let batch = self.masking.hide(&batch, shape, &self.model, &mut random, false);
            tell(&batch, &example, tokenizer, output);
        }
    }
}

/// Hidden tokens stand in reverse, or in `⟦…⟧` where there is no colour.
fn tell(batch: &Batch, example: &Example, tokenizer: &Tokenizer, output: Output) {
    let Some(noised) = &batch.noised else { return };
    let tokens = batch.tokens();
    let hides = |place: &usize| batch.weights[*place] != 0.0;
    let hidden: Vec<usize> = (0..tokens).filter(hides).collect();
    let p = noised.probabilities.iter().copied().fold(0.0, f32::max);
    let clean = &noised.clean[..tokens];
    if output.json {
        let (source, line) = (&example.origin.source, example.origin.line);
        return output.json(&json!({
            "event": "hidden", "source": source, "line": line, "p": p, "tokens": clean, "hidden": hidden,
        }));
    }
    let may = noised.probabilities.iter().filter(|p| **p > 0.0).count();
    output.line(&format!(
        "─ hidden with a probability of {p:.2}: {} of {may} tokens that may be, of {tokens}",
        hidden.len()
    ));
    let [open, close] = match std::io::stdout().is_terminal() {
        true => ["\x1b[7m", "\x1b[0m"],
        false => ["⟦", "⟧"],
    };
    let places: Vec<usize> = (0..tokens).collect();
    let parts = places.chunk_by(|a, b| hides(a) == hides(b)).map(|part| {
        let text = tokenizer.part_text(&clean[part[0]..part[0] + part.len()]);
        if hides(&part[0]) { format!("{open}{text}{close}") } else { text }
    });
    output.line(&parts.collect::<String>());
}
