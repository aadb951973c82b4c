//! Generation: feed the prompt once, then draw, show and feed one token at a time.

use serde::{Deserialize, Serialize};

use super::streamed::StreamedText;
use super::{Autoregressive, GenerationRequest, Sampler};
use crate::error::Result;
use crate::platform::{breathe, now};
use crate::tokenizer::StreamDecoder;

/// What the listener to the streamed text wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End here; what there is so far is returned.
    Stop,
}

/// What one token brought.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The text that became final; empty while a character or a possible stop string is incomplete.
    pub text: &'a str,
    /// The token and the logits that it was drawn from; `None` for text that was held back to the end, and for that of a
    /// masked predictor, which makes several tokens final at once.
    pub token: Option<(u32, &'a [f32])>,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinishReason {
    /// The model's end-of-sequence token, a stop string, or the listener.
    Stop,
    /// `max_new_tokens` are made, or the context is full.
    Length,
}

/// A finished generation; its JSON form is that of `generate --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The ids that were continued.
    pub prompt_tokens: Vec<u32>,
    /// The new ids, without the end-of-sequence token; those of a stop string are among them.
    pub tokens: Vec<u32>,
    /// The new text, without stop string, special tokens, and the bytes of a character that a limit cut.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The end-of-sequence token that was drawn, where one was; no part of the JSON form.
    #[serde(skip)]
    pub end_token: Option<u32>,
    /// Prompt ids fed per second; those that were reused do not count. None where every step reads the prompt again.
    pub prefill_tokens_per_second: Option<f64>,
    /// New ids fed per second, sampling included; none where a single token came out. Of a masked predictor the new ids
    /// that came out, per second of all its steps.
    pub decode_tokens_per_second: Option<f64>,
}

/// Continues `request.prompt` and hands the text to `on_text` as it becomes final: once after every token,
/// with an empty text while a character or a possible stop string is incomplete.
///
/// Refuses settings that do not hold, an empty prompt, and a prompt longer than the model's context.
pub async fn generate(
    model: &mut impl Autoregressive,
    request: &GenerationRequest<'_>,
    on_text: &mut dyn FnMut(&str) -> Flow,
) -> Result<Generation> {
    generate_pieces(model, request, &mut |piece| on_text(piece.text)).await
}

/// The same for a listener that also wants to see the tokens and what else was likely.
///
/// # Errors
/// As [`generate`].
pub async fn generate_pieces(
    model: &mut impl Autoregressive,
    request: &GenerationRequest<'_>,
    on_piece: &mut dyn FnMut(Piece) -> Flow,
) -> Result<Generation> {
    request.check(model.context())?;
    // The last id is fed in any case: its logits are needed.
    let reuse = request.reuse.min(request.prompt.len() - 1);
    model.rewind(reuse)?;
    let begun = now();
    let mut logits = model.feed(&request.prompt[reuse..]).await?;
    let prefilled = now();
    let mut answer = Answer::new(request);
    let finish_reason = loop {
        if let Some(reason) = answer.extend(&logits, on_piece)? {
            break reason;
        }
        if answer.is_long_enough() || model.position() >= model.context() {
            break FinishReason::Length;
        }
        breathe().await;
        logits = model.feed(&[answer.last()]).await?;
    };
    let decoded = now();
    answer.finish(on_piece);
    let fed = model.position().saturating_sub(request.prompt.len());
    let prefill = rate(request.prompt.len() - reuse, prefilled - begun);
    Ok(answer.into_generation(finish_reason, prefill, rate(fed, decoded - prefilled)))
}

/// Tokens a second, where there are any.
pub(super) fn rate(tokens: usize, seconds: f64) -> Option<f64> {
    (tokens > 0 && seconds > 0.0).then(|| tokens as f64 / seconds)
}

/// The answer as it grows.
pub(super) struct Answer<'a> {
    request: &'a GenerationRequest<'a>,
    sampler: Sampler,
    /// Prompt and new ids.
    ids: Vec<u32>,
    text: StreamedText,
    /// The end-of-sequence token, once it was drawn.
    end: Option<u32>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(request: &'a GenerationRequest<'a>) -> Self {
        let decoder = request.tokenizer.map(|tokenizer| StreamDecoder::continuing(tokenizer, true));
        Self {
            request,
            sampler: Sampler::new(request.config),
            ids: request.prompt.to_vec(),
            text: StreamedText::new(decoder, &request.config.stop),
            end: None,
        }
    }

    /// The new ids.
    fn tokens(&self) -> &[u32] {
        &self.ids[self.request.prompt.len()..]
    }

    /// The id that is to be fed next.
    pub(super) fn last(&self) -> u32 {
        self.ids.last().copied().unwrap_or_default()
    }

    /// The ids that are continued.
    pub(super) fn prompt(&self) -> &'a [u32] {
        self.request.prompt
    }

    /// Whether as many tokens are made as were asked for.
    pub(super) fn is_long_enough(&self) -> bool {
        self.tokens().len() >= self.request.config.max_new_tokens
    }

    pub(super) fn into_generation(
        self,
        finish_reason: FinishReason,
        prefill_tokens_per_second: Option<f64>,
        decode_tokens_per_second: Option<f64>,
    ) -> Generation {
        Generation {
            prompt_tokens: self.request.prompt.to_vec(),
            tokens: self.tokens().to_vec(),
            text: self.text.into_text(),
            finish_reason,
            end_token: self.end,
            prefill_tokens_per_second,
            decode_tokens_per_second,
        }
    }

    /// Draws the next token and shows its text; returns why the answer ends here, if it does.
    pub(super) fn extend(
        &mut self,
        logits: &[f32],
        on_piece: &mut dyn FnMut(Piece) -> Flow,
    ) -> Result<Option<FinishReason>> {
        let id = self.sampler.next(logits, &self.ids)?;
        if self.request.end_ids.contains(&id) && !self.request.config.ignore_eos {
            self.end = Some(id);
            return Ok(Some(FinishReason::Stop));
        }
        self.ids.push(id);
        let text = self.text.push(id)?;
        let flow = on_piece(Piece { text: &text, token: Some((id, logits)) });
        Ok((self.text.is_stopped() || flow == Flow::Stop).then_some(FinishReason::Stop))
    }

    /// Shows what was held back, unless a stop string came.
    pub(super) fn finish(&mut self, on_piece: &mut dyn FnMut(Piece) -> Flow) {
        let rest = self.text.finish(self.end.is_some());
        if !rest.is_empty() {
            on_piece(Piece { text: &rest, token: None });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fake::{Counting, letters, ready};
    use crate::sample::{SamplingConfig, UnmaskConfig};

    fn greedy() -> SamplingConfig {
        SamplingConfig { temperature: 0.0, max_new_tokens: 5, ..SamplingConfig::default() }
    }

    /// Continues `prompt` with the counting model and returns the pieces of text beside the result.
    fn run(
        prompt: &[u32],
        config: &SamplingConfig,
        end_ids: &[u32],
        context: usize,
    ) -> Result<(Generation, Vec<String>)> {
        let tokenizer = letters(None);
        let request = GenerationRequest {
            prompt,
            reuse: 0,
            end_ids,
            tokenizer: Some(&tokenizer),
            config,
            unmask: UnmaskConfig::default(),
        };
        let mut pieces = Vec::new();
        let mut on_text = |text: &str| {
            pieces.push(text.to_string());
            Flow::Continue
        };
        let generation = ready(generate(&mut Counting::new(context), &request, &mut on_text))?;
        Ok((generation, pieces))
    }

    #[test]
    fn new_ids_and_their_text_come_out_one_by_one() {
        let (generation, pieces) = run(&[0, 1], &greedy(), &[], 100).unwrap();
        assert_eq!(generation.prompt_tokens, [0, 1]);
        assert_eq!(generation.tokens, [2, 3, 4, 5, 6]);
        assert_eq!(generation.text, "cdefg");
        assert_eq!(pieces, ["c", "d", "e", "f", "g"]);
        assert_eq!(generation.finish_reason, FinishReason::Length);
    }

    #[test]
    fn any_end_id_stops_and_is_not_part_of_the_answer() {
        let (generation, _) = run(&[0], &greedy(), &[20, 3], 100).unwrap();
        assert_eq!(generation.tokens, [1, 2]);
        assert_eq!((generation.finish_reason, generation.end_token), (FinishReason::Stop, Some(3)));
        let ignoring = SamplingConfig { ignore_eos: true, ..greedy() };
        assert_eq!(run(&[0], &ignoring, &[20, 3], 100).unwrap().0.tokens, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_stop_string_over_several_tokens_is_never_shown() {
        let config = SamplingConfig { stop: vec!["de".to_string()], ..greedy() };
        let (generation, pieces) = run(&[0], &config, &[], 100).unwrap();
        assert_eq!((generation.text.as_str(), generation.finish_reason), ("bc", FinishReason::Stop));
        assert_eq!(pieces.concat(), "bc");
        assert_eq!(generation.tokens, [1, 2, 3, 4]);
    }

    #[test]
    fn text_held_back_for_a_stop_string_is_shown_when_the_answer_ends() {
        let config = SamplingConfig { stop: vec!["efx".to_string()], ..greedy() };
        let (generation, pieces) = run(&[0], &config, &[], 100).unwrap();
        assert_eq!(generation.text, "bcdef");
        assert_eq!(pieces, ["b", "c", "d", "", "", "ef"]);
    }

    #[test]
    fn a_full_context_ends_with_length() {
        // Three positions hold two prompt ids and one new id; the id drawn after it needs no room.
        let (generation, _) = run(&[0, 1], &greedy(), &[], 3).unwrap();
        assert_eq!((generation.tokens, generation.finish_reason), (vec![2, 3], FinishReason::Length));
        let (generation, _) = run(&[0, 1, 2], &greedy(), &[], 3).unwrap();
        assert_eq!(generation.tokens, [3]);
    }

    #[test]
    fn an_unusable_request_is_refused_with_its_numbers() {
        let message = |result: Result<(Generation, Vec<String>)>| result.unwrap_err().to_string();
        assert!(message(run(&[], &greedy(), &[], 9)).contains("no tokens"));
        let long = message(run(&[0; 10], &greedy(), &[], 9));
        assert!(long.contains("10 tokens") && long.contains("holds 9"), "{long}");
        let broken = SamplingConfig { top_p: 2.0, ..greedy() };
        assert!(message(run(&[0], &broken, &[], 9)).contains("--top-p"));
    }

    #[test]
    fn the_listener_can_end_it_and_no_tokenizer_is_needed() {
        let config = greedy();
        let request = GenerationRequest {
            prompt: &[0],
            reuse: 0,
            end_ids: &[],
            tokenizer: None,
            config: &config,
            unmask: UnmaskConfig::default(),
        };
        let mut calls = 0;
        let mut on_text = |text: &str| {
            assert_eq!(text, "");
            calls += 1;
            if calls == 2 { Flow::Stop } else { Flow::Continue }
        };
        let generation = ready(generate(&mut Counting::new(9), &request, &mut on_text)).unwrap();
        assert_eq!((generation.tokens, generation.finish_reason), (vec![1, 2], FinishReason::Stop));
        let stop = SamplingConfig { stop: vec!["x".to_string()], ..greedy() };
        let request = GenerationRequest { config: &stop, ..request };
        let error = ready(generate(&mut Counting::new(9), &request, &mut |_| Flow::Continue)).unwrap_err();
        assert!(error.to_string().contains("tokenizer"), "{error}");
    }

    #[test]
    fn only_what_is_not_reused_is_fed_and_at_least_one_id() {
        let config = SamplingConfig { max_new_tokens: 1, ..greedy() };
        let mut model = Counting::new(9);
        model.fed = vec![4, 5, 9, 9];
        let prompt = [4, 5, 6];
        for (reuse, fed) in [(2, vec![6]), (3, vec![6]), (0, vec![4, 5, 6])] {
            let request = GenerationRequest {
                prompt: &prompt,
                reuse,
                end_ids: &[],
                tokenizer: None,
                config: &config,
                unmask: UnmaskConfig::default(),
            };
            let generation = ready(generate(&mut model, &request, &mut |_| Flow::Continue)).unwrap();
            assert_eq!(generation.tokens, [7]);
            assert_eq!(model.calls.last(), Some(&fed), "reuse {reuse}");
            assert_eq!(model.fed, prompt);
        }
    }

    #[test]
    fn the_json_form_has_the_documented_keys_in_order() {
        let generation = Generation {
            prompt_tokens: vec![1, 2],
            tokens: vec![3],
            text: "d".to_string(),
            finish_reason: FinishReason::Length,
            end_token: Some(9),
            prefill_tokens_per_second: Some(2.5),
            decode_tokens_per_second: None,
        };
        let expected = concat!(
            r#"{"prompt_tokens":[1,2],"tokens":[3],"text":"d","finish_reason":"length","#,
            r#""prefill_tokens_per_second":2.5,"decode_tokens_per_second":null}"#
        );
        assert_eq!(serde_json::to_string(&generation).unwrap(), expected);
    }
}
