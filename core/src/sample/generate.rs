//! Generation: feed the prompt once, then draw, show and feed one token at a time.

use super::answer::Answer;
use super::generation::{FinishReason, Flow, Generation, Piece, rate};
use super::{Autoregressive, GenerationRequest};
use crate::error::Result;
use crate::platform::{breathe, now};

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
    let mut answer =
        Answer::new(request.prompt.to_vec(), request.end_ids.to_vec(), request.tokenizer, request.config);
    let finish_reason = loop {
        if let Some(reason) = answer.extend(&logits, on_piece)? {
            break reason;
        }
        if answer.is_long_enough() || model.position() >= model.context() {
            break FinishReason::Length;
        }
        breathe().await;
        logits = model.feed_drawn(answer.last()).await?;
    };
    let decoded = now();
    answer.finish(on_piece);
    let fed = model.position().saturating_sub(request.prompt.len());
    let prefill = rate(request.prompt.len() - reuse, prefilled - begun);
    Ok(answer.into_generation(finish_reason, prefill, rate(fed, decoded - prefilled)))
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
}
