//! The model's own answers to held-out questions: how many keep the tags, and how many are right.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Control, Listener};
use crate::data::{Dataset, RowOrigin, Split};
use crate::error::{Error, Result};
use crate::loss::{EvalAnswers, Objective};
use crate::model::Transformer;
use crate::sample::{
    Flow, Generation, GenerationRequest, SamplingConfig, SideBySide, UnmaskConfig, generate_together,
};
use crate::text::{Conversation, Row, Tags, parse_reasoning, same_answer};
use crate::tokenizer::Tokenizer;
use crate::told::{Told, told};

/// The keys under which the shares are reported, and how many questions were asked.
const FORMAT_RATE: &str = "format_rate";
const ACCURACY: &str = "answer_accuracy";
const ASKED: &str = "answers";
/// Answers that are written side by side, and bytes that their keys and values may take.
const SIDE_BY_SIDE: SideBySide = SideBySide { rows: 16, cache_bytes: 1 << 30 };
/// Variables by which templates are asked for thinking: those of Qwen 3 and of MiniMind 3.
const ASKS_TO_THINK: [&str; 2] = ["enable_thinking", "open_thinking"];
/// Tokens at the end of a prompt in which a tag that the template opens is looked for.
const TAIL: usize = 64;

/// Held-out questions with their answers.
pub struct HeldOutAnswers {
    questions: Vec<TaggedQuestion>,
    asked: EvalAnswers,
    tokenizer: Arc<Tokenizer>,
}

/// A question whose own answer keeps the tags.
pub struct TaggedQuestion {
    /// The ids that an answer is written behind.
    pub prompt: Vec<u32>,
    /// The tag that the prompt ends with, and that the answer therefore begins behind.
    pub opened: String,
    /// What stands between the tags of the row's own answer.
    pub answer: String,
}

impl HeldOutAnswers {
    /// The first held-out rows whose own answers keep the tags, as many as are asked for; `None` where the objective judges
    /// no answers, or nothing is held out.
    ///
    /// # Errors
    /// Data that cannot be read, or rendered where no row may be left out.
    pub(super) fn of(
        objective: &dyn Objective,
        dataset: &Dataset,
        tokenizer: &Arc<Tokenizer>,
        split: &Split,
    ) -> Result<Option<Self>> {
        let Some(asked) = objective.eval_answers().filter(|_| split.validation > 0) else {
            return Ok(None);
        };
        let mut questions = Vec::new();
        for at in split.validation_part() {
            if questions.len() == asked.answers {
                break;
            }
            let Some((Row::Conversation(conversation), origin)) = dataset.row(split.order().at(at))? else {
                continue;
            };
            match TaggedQuestion::of(&conversation, tokenizer, &asked.tags) {
                Ok(question) => questions.extend(question),
                // The loader counts and names it.
                Err(_) if dataset.skip_bad_rows() => {}
                Err(error) => return Err(of_row(&error, origin)),
            }
        }
        Ok(Some(Self { questions, asked, tokenizer: Arc::clone(tokenizer) }))
    }

    /// What to say where there is nothing to ask.
    pub(super) fn warning(&self) -> Option<Told> {
        self.questions.is_empty().then(|| {
            told!(
                "reason.no_questions",
                "no held-out row has thinking and answer between their tags, so no answers are asked for and judged"
            )
        })
    }

    /// Lets the model answer greedily, and gives the shares; what the listener wants meanwhile comes back, too. A stop
    /// ends it without shares; a pause is heard behind the next step.
    ///
    /// # Errors
    /// A device that cannot be read.
    pub(super) async fn measure(
        &self,
        model: &Transformer,
        listener: &mut dyn Listener,
    ) -> Result<(BTreeMap<&'static str, f64>, Control)> {
        let ends = self.tokenizer.end_ids(&model.config().eos_token_ids);
        let config = SamplingConfig {
            temperature: 0.0,
            repetition_penalty: 1.0,
            max_new_tokens: self.asked.max_new_tokens,
            ..SamplingConfig::default()
        };
        // A prompt that fills the context leaves no room for an answer, which then keeps no tags.
        let fits = |question: &&TaggedQuestion| question.prompt.len() < model.config().context();
        let asked: Vec<&TaggedQuestion> = self.questions.iter().filter(fits).collect();
        let requests: Vec<GenerationRequest> =
            asked.iter().map(|question| question.request(&ends, &config)).collect();
        let mut wanted = Control::Continue;
        let mut on_step = || {
            let control = listener.control();
            if matches!(control, Control::Stop | Control::Save) {
                wanted = control;
            }
            if control == Control::Stop { Flow::Stop } else { Flow::Continue }
        };
        let (mut kept, mut right) = (0, 0);
        let mut on_done = |number: usize, generation: Generation| -> Result<()> {
            let text = asked[number].opened.clone() + &self.tokenizer.decode(&generation.tokens, false)?;
            let parts = parse_reasoning(&text, &self.asked.tags);
            kept += usize::from(parts.keeps_format());
            right +=
                usize::from(parts.answer.is_some_and(|answer| same_answer(answer, &asked[number].answer)));
            Ok(())
        };
        generate_together(model, &requests, SIDE_BY_SIDE, &mut on_step, &mut on_done).await?;
        let count = self.questions.len();
        let share = |part: usize| part as f64 / count as f64;
        let shares = match count == 0 || wanted == Control::Stop {
            true => BTreeMap::new(),
            false => {
                BTreeMap::from([(FORMAT_RATE, share(kept)), (ACCURACY, share(right)), (ASKED, count as f64)])
            }
        };
        Ok((shares, wanted))
    }
}

impl TaggedQuestion {
    /// What a model is asked.
    pub fn request<'a>(&'a self, end_ids: &'a [u32], config: &'a SamplingConfig) -> GenerationRequest<'a> {
        GenerationRequest {
            prompt: &self.prompt,
            reuse: 0,
            end_ids,
            tokenizer: None,
            config,
            unmask: UnmaskConfig::default(),
        }
    }

    /// A row as a question, if its last answer keeps the tags.
    ///
    /// # Errors
    /// What the chat template refuses.
    pub fn of(conversation: &Conversation, tokenizer: &Tokenizer, tags: &Tags) -> Result<Option<Self>> {
        let tagged = tags.put_in(conversation);
        let Some((last, before)) = tagged.messages.split_last().filter(|(last, _)| last.is_assistant())
        else {
            return Ok(None);
        };
        let parts = parse_reasoning(&last.content, tags);
        let Some(answer) = parts.answer.filter(|_| parts.keeps_format()) else { return Ok(None) };
        let asked = Conversation { messages: before.to_vec(), tools: tagged.tools.clone() };
        let variables: Map<String, Value> =
            ASKS_TO_THINK.into_iter().map(|name| (name.to_string(), true.into())).collect();
        let prompt = tokenizer.render_prompt(&asked, &variables)?;
        let tail = tokenizer.decode(&prompt[prompt.len().saturating_sub(TAIL)..], false)?;
        Ok(Some(Self { opened: tags.opened_by(&tail).to_string(), answer: answer.to_string(), prompt }))
    }
}

/// What went wrong, with the row that it went wrong at.
fn of_row(error: &Error, origin: RowOrigin) -> Error {
    Error::Data(told!("row.at", "{origin}: {reason}", origin, reason = error.told()))
}
