use super::fake::{MASK, Wanting};
use super::predictor::Side;
use super::*;
use crate::error::Result;
use crate::sample::fake::{letters, ready};
use crate::sample::{FinishReason, Flow, Generation, GenerationRequest, SamplingConfig};

/// What was heard: the filled places of each step, and the pieces of text.
#[derive(Debug, Default)]
struct Heard {
    filled: Vec<Vec<usize>>,
    pieces: Vec<String>,
    canvases: Vec<Vec<u32>>,
    steps: Vec<(usize, usize)>,
}

impl Heard {
    fn hear(&mut self, written: Written) {
        match written {
            Written::Piece(piece) => self.pieces.push(piece.text.to_string()),
            Written::Step(UnmaskStep { step, steps, filled, canvas }) => {
                self.filled.push(filled.iter().map(|filled| filled.place).collect());
                self.canvases.push(canvas.to_vec());
                self.steps.push((step, steps));
            }
        }
    }
}

fn greedy(max_new_tokens: usize) -> SamplingConfig {
    SamplingConfig { temperature: 0.0, max_new_tokens, ..SamplingConfig::default() }
}

/// Writes behind a prompt of two, or fills the prompt's holes, ended by the listener behind so many steps.
fn run(
    decoder: &mut MaskedDecoder<Wanting>,
    (prompt, infills): (&[u32], bool),
    config: &SamplingConfig,
    unmask: UnmaskConfig,
    most_steps: usize,
) -> Result<(Generation, Heard)> {
    let tokenizer = letters(None);
    let request =
        GenerationRequest { prompt, reuse: 0, end_ids: &[25], tokenizer: Some(&tokenizer), config, unmask };
    let mut heard = Heard::default();
    let mut on = |written: Written| {
        heard.hear(written);
        if heard.filled.len() < most_steps { Flow::Continue } else { Flow::Stop }
    };
    let generation = match infills {
        true => ready(decoder.infill(&request, &mut on)),
        false => ready(decoder.write(&request, &mut on)),
    };
    Ok((generation?, heard))
}

/// The same to the end, behind the prompt "ab".
fn write(
    decoder: &mut MaskedDecoder<Wanting>,
    config: &SamplingConfig,
    unmask: UnmaskConfig,
) -> (Generation, Heard) {
    run(decoder, (&[0, 1], false), config, unmask, usize::MAX).unwrap()
}

const SURER: [f32; 12] = [0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];

#[test]
fn every_place_is_filled_once_and_the_numbers_of_a_step_add_up() {
    let mut decoder = Wanting::decoder(None, "abcdefghijkl", &SURER);
    let unmask = UnmaskConfig { steps: Some(4), ..UnmaskConfig::default() };
    let (generation, heard) = write(&mut decoder, &greedy(10), unmask);
    assert_eq!((generation.text.as_str(), generation.finish_reason), ("cdefghijkl", FinishReason::Length));
    assert_eq!(generation.tokens, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    // 10 over 4 steps: two each, and one more in the first two; the surest stand on the right.
    assert_eq!(heard.filled, [vec![9, 8, 7], vec![6, 5, 4], vec![3, 2], vec![1, 0]]);
    assert_eq!(heard.steps, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    let masks = heard.canvases.iter().map(|canvas| canvas.iter().filter(|id| **id == MASK).count());
    assert_eq!(masks.collect::<Vec<_>>(), [7, 4, 2, 0]);
    // Nothing is final before the first place is filled.
    assert_eq!(heard.pieces, ["cdefghijkl"]);
    assert_eq!((generation.prefill_tokens_per_second, generation.end_token), (None, None));
    let (_, heard) = write(&mut decoder, &greedy(10), UnmaskConfig::default());
    assert_eq!(heard.steps.len(), 10, "one a token where none are said");
    assert!(
        decoder.predictor.calls.iter().all(|(side, canvas, _)| {
            *side == Side::Prompted && canvas[..2] == [0, 1] && canvas.len() == 12
        })
    );
}

#[test]
fn blocks_are_filled_from_left_to_right() {
    for (block_length, said, blocks) in
        [(None, Some(4), vec![0..4, 4..8, 8..10]), (Some(4), None, vec![0..2, 2..6, 6..10])]
    {
        let mut decoder = Wanting::decoder(block_length, "abcdefghijkl", &SURER);
        let unmask = UnmaskConfig { block_length: said, ..UnmaskConfig::default() };
        let (generation, heard) = write(&mut decoder, &greedy(10), unmask);
        let order: Vec<usize> = heard.filled.concat();
        let expected: Vec<usize> = blocks.into_iter().flat_map(|block| block.rev()).collect();
        assert_eq!(order, expected);
        assert_eq!(generation.text, "cdefghijkl");
        assert_eq!(heard.pieces.concat(), "cdefghijkl");
        assert!(heard.pieces.len() == 3, "{:?}", heard.pieces);
    }
}

#[test]
fn behind_the_first_end_nothing_is_computed_or_said() {
    // "z" ends an answer; it is the surest of its block.
    let mut decoder = Wanting::decoder(None, "abcdezghijkl", &SURER);
    let unmask = UnmaskConfig { block_length: Some(5), ..UnmaskConfig::default() };
    let (generation, heard) = write(&mut decoder, &greedy(10), unmask);
    assert_eq!((generation.tokens, generation.text.as_str()), (vec![2, 3, 4], "cde"));
    assert_eq!((generation.finish_reason, generation.end_token), (FinishReason::Stop, Some(25)));
    assert_eq!(heard.pieces.concat(), "cde");
    assert!(decoder.predictor.calls.iter().all(|(.., places)| places.iter().all(|place| *place < 7)));
    // Forbidden, there is a letter in its place: the first of those that are alike.
    let ignoring = SamplingConfig { ignore_eos: true, ..greedy(10) };
    let (generation, _) = write(&mut decoder, &ignoring, unmask);
    assert_eq!((generation.text.as_str(), generation.end_token), ("cdeaghijkl", None));
}

#[test]
fn a_threshold_fills_as_many_as_are_sure() {
    let counts = |threshold: f64, steps: Option<usize>| {
        let mut decoder = Wanting::decoder(None, "abcdefghijkl", &SURER);
        let unmask = UnmaskConfig {
            threshold: Some(threshold),
            steps,
            block_length: Some(5),
            ..UnmaskConfig::default()
        };
        let (generation, heard) = write(&mut decoder, &greedy(10), unmask);
        assert_eq!(generation.text, "cdefghijkl");
        heard.filled.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(counts(0.0, None), [5, 5], "a whole block at once");
    assert_eq!(counts(1.0, None), [1; 10], "none is so sure");
    // e^5 / (e^5 + 27) is 0.846, e^4 / (e^4 + 27) is 0.669.
    assert_eq!(counts(0.8, None), [3, 1, 1, 5]);
    assert_eq!(counts(1.0, Some(4)), [3, 2, 3, 2], "steps bound it");
}

#[test]
fn the_listener_ends_it_with_what_is_there() {
    let mut decoder = Wanting::decoder(None, "abcdefghijkl", &SURER);
    let mut logits = SURER;
    logits[2] = 20.0;
    let mut left = Wanting::decoder(None, "abcdefghijkl", &logits);
    for (decoder, tokens, text) in [(&mut decoder, vec![10, 11], "kl"), (&mut left, vec![2, 11], "cl")] {
        let unmask = UnmaskConfig::default();
        let (generation, heard) = run(decoder, (&[0, 1], false), &greedy(10), unmask, 2).unwrap();
        assert_eq!((generation.tokens, generation.text.as_str()), (tokens, text));
        assert_eq!((generation.finish_reason, heard.filled.len()), (FinishReason::Stop, 2));
        assert_eq!(heard.pieces.concat(), text);
    }
}

#[test]
fn a_stop_string_is_never_shown_and_ends_it() {
    let mut decoder = Wanting::decoder(Some(3), "abcdefghijkl", &SURER);
    let config = SamplingConfig { stop: vec!["fg".to_string()], ..greedy(10) };
    let (generation, heard) = write(&mut decoder, &config, UnmaskConfig::default());
    assert_eq!((generation.text.as_str(), generation.finish_reason), ("cde", FinishReason::Stop));
    assert_eq!((generation.tokens, heard.pieces.concat()), (vec![2, 3, 4, 5, 6], "cde".to_string()));
    assert!(decoder.predictor.calls.iter().all(|(.., places)| places.iter().all(|place| *place < 9)));
}

#[test]
fn guidance_reads_the_answer_without_the_prompt_beside_it() {
    let unmask = UnmaskConfig { cfg_scale: 0.5, steps: Some(2), ..UnmaskConfig::default() };
    let mut decoder = Wanting::decoder(None, "abcde", &[0.0, 0.0, 1.0, 2.0, 3.0]);
    let (generation, heard) = write(&mut decoder, &greedy(3), unmask);
    assert_eq!(generation.tokens, [2, 3, 4]);
    assert_eq!(heard.filled, [vec![2, 1], vec![0]]);
    let calls = &decoder.predictor.calls;
    let sides: Vec<Side> = calls.iter().map(|(side, ..)| *side).collect();
    assert_eq!(sides, [Side::Prompted, Side::Unprompted, Side::Prompted, Side::Unprompted]);
    assert_eq!((&calls[2].1, &calls[3].1), (&vec![0, 1, MASK, 3, 4], &vec![MASK, MASK, MASK, 3, 4]));
    assert_eq!(calls[2].2, calls[3].2);
}

#[test]
fn guided_confidence_by_hand() {
    let confidence = |cfg_scale: f64| {
        let mut decoder = Wanting::decoder(None, "abc", &[0.0, 0.0, 1.0]);
        let config = greedy(1);
        let unmask = UnmaskConfig { cfg_scale, ..UnmaskConfig::default() };
        let request = GenerationRequest {
            prompt: &[0, 1],
            reuse: 0,
            end_ids: &[],
            tokenizer: None,
            config: &config,
            unmask,
        };
        let mut found = 0.0;
        let mut on = |written: Written| {
            if let Written::Step(step) = written {
                found = step.filled[0].confidence;
            }
            Flow::Continue
        };
        ready(decoder.write(&request, &mut on)).unwrap();
        found
    };
    let of = |logit: f64| (logit.exp() / (logit.exp() + 27.0)) as f32;
    // −1 + 1.5 · (1 − −1) = 2.
    assert!((confidence(0.5) - of(2.0)).abs() < 1e-6);
    assert!((confidence(0.0) - of(1.0)).abs() < 1e-6);
}

#[test]
fn a_random_order_is_that_of_its_seed() {
    let order = |seed: u64| {
        let mut decoder = Wanting::decoder(None, "abcdefghijkl", &SURER);
        let unmask = UnmaskConfig { remasking: Remasking::Random, ..UnmaskConfig::default() };
        let (generation, heard) = write(&mut decoder, &SamplingConfig { seed, ..greedy(10) }, unmask);
        assert_eq!(generation.text, "cdefghijkl");
        heard.filled.concat()
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    let surest: Vec<usize> = (0..10).rev().collect();
    assert_ne!(order(1), surest);
}

#[test]
fn a_temperature_draws_by_its_seed() {
    let text = |seed: u64| {
        let mut decoder = Wanting::decoder(None, "abcdefghijkl", &SURER);
        let hot =
            SamplingConfig { temperature: 9.0, top_k: 0, top_p: 1.0, ignore_eos: true, seed, ..greedy(10) };
        write(&mut decoder, &hot, UnmaskConfig::default()).0.text
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn holes_are_filled_and_what_is_given_stays() {
    // "z" ends texts, and within one it is never filled in.
    let mut decoder = Wanting::decoder(None, "abzdef", &[0.0, 1.5, 3.0, 0.0, 5.0, 0.0]);
    let canvas = [0, MASK, MASK, 25, MASK, 5];
    let (generation, heard) =
        run(&mut decoder, (&canvas, true), &greedy(1), UnmaskConfig::default(), usize::MAX).unwrap();
    assert_eq!(generation.tokens, [0, 1, 0, 25, 4, 5]);
    assert_eq!((generation.text.as_str(), generation.prompt_tokens.as_slice()), ("abazef", &canvas[..]));
    assert_eq!(generation.finish_reason, FinishReason::Length);
    assert_eq!(heard.pieces.concat(), "abazef");
    assert_eq!(heard.filled[0], [4], "the surest, by its place in the canvas");
    assert_eq!(heard.canvases[0], [0, MASK, MASK, 25, 4, 5]);
    assert!(heard.canvases.iter().all(|canvas| (canvas[0], canvas[3], canvas[5]) == (0, 25, 5)));
    let (generation, _) = run(&mut decoder, (&canvas, true), &greedy(1), UnmaskConfig::default(), 1).unwrap();
    assert_eq!((generation.tokens, generation.text.as_str()), (vec![0, 25, 4, 5], "azef"));
}

#[test]
fn what_does_not_hold_is_refused_before_the_model_is_asked() {
    let mut decoder = Wanting::decoder(Some(4), "abcdefghijkl", &SURER);
    for (prompt, infills, unmask, told) in [
        (&[0, 1][..], false, UnmaskConfig { steps: Some(0), ..UnmaskConfig::default() }, "--steps is 0"),
        (&[0, MASK][..], false, UnmaskConfig::default(), "mask token 28"),
        (&[0; 12][..], false, UnmaskConfig::default(), "takes all 12 tokens"),
        (&[0, MASK][..], true, UnmaskConfig::default(), "blocks of 4 tokens"),
    ] {
        let message = run(&mut decoder, (prompt, infills), &greedy(9), unmask, 9).unwrap_err().to_string();
        assert!(message.contains(told), "{message}");
    }
    assert!(decoder.predictor.calls.is_empty());
}
