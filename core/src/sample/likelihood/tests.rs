use burn::tensor::{Device, Int, Tensor, TensorData};

use super::*;
use crate::kernels::AttentionMask;
use crate::model::{ModelConfig, tiny};
use crate::sample::{Decoder, log_probability};

const MASK: u32 = 31;
const IDS: [u32; 9] = [4, 9, 2, 7, 5, 3, 8, 1, 6];

fn config(block_length: Option<usize>, shift_logits: bool) -> ModelConfig {
    let diffusion = Some(DiffusionConfig { mask_token_id: MASK, block_length, shift_logits });
    ModelConfig { num_hidden_layers: 2, initializer_range: 0.3, diffusion, ..tiny(MASK as usize + 1) }
}

fn of(config: &ModelConfig) -> Transformer {
    Transformer::init(config, 3, &Device::flex()).unwrap()
}

fn scorer(model: &Transformer, mc: usize, cfg_scale: f64) -> MaskedScorer {
    let config = LikelihoodConfig { mc: Some(mc), mc_seed: None, cfg_scale: Some(cfg_scale) };
    MaskedScorer::new(model, config).unwrap()
}

/// 1 for the places of the answer.
fn answer(places: &[usize]) -> Vec<f32> {
    (0..IDS.len()).map(|place| f32::from(u8::from(places.contains(&place)))).collect()
}

fn likelihood(scorer: &MaskedScorer, weights: &[f32]) -> Likelihood {
    pollster::block_on(scorer.likelihood(&IDS, weights, 0)).unwrap()
}

/// Logits of a bidirectional pass over these ids, row by row.
fn rows(model: &Transformer, ids: &[u32]) -> Vec<Vec<f32>> {
    let values: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(values, [1, ids.len()]), &Device::flex());
    let logits: Vec<f32> =
        model.forward(ids, &AttentionMask::bidirectional()).into_data().iter::<f32>().collect();
    logits.chunks_exact(MASK as usize + 1).map(<[f32]>::to_vec).collect()
}

fn with_masks(places: &[usize]) -> Vec<u32> {
    (0..IDS.len()).map(|place| if places.contains(&place) { MASK } else { IDS[place] }).collect()
}

#[test]
fn an_answer_of_one_token_has_its_plain_cross_entropy() {
    for shifted in [false, true] {
        let model = of(&config(None, shifted));
        let found = likelihood(&scorer(&model, 128, 0.0), &answer(&[6]));
        let logits = rows(&model, &with_masks(&[6]));
        let expected = -log_probability(&logits[if shifted { 5 } else { 6 }], IDS[6]);
        assert!((found.nll - expected).abs() < 1e-5, "{found:?} and {expected}");
        let rest = Likelihood { nll: found.nll, standard_error: Some(0.0), draws: 1, is_bound: false };
        assert_eq!(found, rest, "every draw would hide the same");
    }
}

#[test]
fn guidance_moves_away_from_what_is_said_without_the_prompt() {
    let model = of(&config(None, false));
    let found = likelihood(&scorer(&model, 128, 1.5), &answer(&[6])).nll;
    let with = &rows(&model, &with_masks(&[6]))[6];
    let without = &rows(&model, &[MASK; 9])[6];
    let guided: Vec<f32> =
        with.iter().zip(without).map(|(with, without)| without + 2.5 * (with - without)).collect();
    let expected = -log_probability(&guided, IDS[6]);
    assert!((found - expected).abs() < 1e-4, "{found} and {expected}");
    assert!((found - likelihood(&scorer(&model, 128, 0.0), &answer(&[6])).nll).abs() > 1e-3);
}

#[test]
fn many_draws_come_to_the_mean_over_all_that_can_be_hidden() {
    let model = of(&config(None, true));
    let places = [4, 6, 7];
    // Of each number of hidden tokens the mean over all sets, and of those the mean: `Σ CE · 3 / x / 3`.
    let mut exact = 0.0;
    for set in 1..8usize {
        let hidden: Vec<usize> = (0..3).filter(|i| set >> i & 1 == 1).map(|i| places[i]).collect();
        let logits = rows(&model, &with_masks(&hidden));
        let loss: f64 = hidden.iter().map(|&place| -log_probability(&logits[place - 1], IDS[place])).sum();
        let sets = [3.0, 3.0, 1.0][hidden.len() - 1];
        exact += loss / hidden.len() as f64 / sets;
    }
    let found = likelihood(&scorer(&model, 2048, 0.0), &answer(&places));
    let error = found.standard_error.unwrap();
    assert!(found.is_bound && found.draws == 2048 && error > 0.0 && error < 0.05 * exact, "{found:?}");
    assert!((found.nll - exact).abs() < 4.0 * error, "{found:?} and {exact}");
}

#[test]
fn blocks_of_one_with_shifted_logits_are_scored_as_the_causal_model() {
    let blocks = config(Some(1), true);
    let parent = of(&ModelConfig { diffusion: None, ..blocks.clone() });
    let found = pollster::block_on(scorer(&of(&blocks), 128, 0.0).score(&IDS, Some(20), 0)).unwrap();
    let expected = pollster::block_on(Decoder::new(&parent, 9).score(&IDS, Some(20), false)).unwrap();
    assert!((found.nll.unwrap() - expected.nll.unwrap()).abs() < 1e-4, "{found:?} and {expected:?}");
    assert!((found.bits_per_byte.unwrap() - expected.bits_per_byte.unwrap()).abs() < 1e-4);
    assert_eq!((found.nll_is_bound, found.mc, found.tokens_scored), (false, 1, 8));
    assert_eq!(found.nll_standard_error, Some(0.0));
}

#[test]
fn a_block_as_long_as_the_text_is_plain_masking() {
    let weights = answer(&[3, 4, 5, 6, 7, 8]);
    let plain = likelihood(&scorer(&of(&config(None, true)), 40, 0.0), &weights);
    assert_eq!(likelihood(&scorer(&of(&config(Some(9), true)), 40, 0.0), &weights), plain);
    let blocks = likelihood(&scorer(&of(&config(Some(3), true)), 40, 0.0), &weights);
    assert_ne!(blocks.nll, plain.nll, "a block sees what stands before it as it is");
}

#[test]
fn uniform_logits_give_the_logarithm_of_the_vocabulary_a_token() {
    for block_length in [None, Some(4)] {
        let flat =
            ModelConfig { initializer_range: 0.0, embedding_range: 0.0, ..config(block_length, false) };
        let found = likelihood(&scorer(&of(&flat), 32, 0.0), &[1.0; 9]);
        assert!((found.nll - 9.0 * 32f64.ln()).abs() < 1e-4, "{found:?}: hidden or not, L / x · x · ln V");
        assert!(found.standard_error.unwrap() < 1e-4);
    }
}

#[test]
fn a_weight_is_how_often_a_token_counts() {
    let model = of(&config(None, true));
    let scorer = scorer(&model, 16, 0.0);
    let twice: Vec<f32> = answer(&[5, 6]).iter().map(|weight| 2.0 * weight).collect();
    let (once, twice) = (likelihood(&scorer, &answer(&[5, 6])), likelihood(&scorer, &twice));
    assert!((twice.nll - 2.0 * once.nll).abs() < 1e-5);
    assert_eq!(once.standard_error, None, "one batch does not tell");
    assert_eq!(likelihood(&scorer, &[0.0; 9]).nll, 0.0, "no answer");
}

#[test]
fn the_seed_and_the_number_of_a_text_say_what_is_hidden() {
    let model = of(&config(None, true));
    let nll = |seed, number| {
        let config = LikelihoodConfig { mc: Some(16), mc_seed: Some(seed), cfg_scale: None };
        let scorer = MaskedScorer::new(&model, config).unwrap();
        pollster::block_on(scorer.score(&IDS, None, number)).unwrap().nll.unwrap()
    };
    assert_eq!(nll(1, 0), nll(1, 0));
    assert_ne!(nll(1, 0), nll(2, 0));
    assert_ne!(nll(1, 0), nll(1, 5));
}

#[test]
fn the_error_of_the_mean_by_hand() {
    // Two batches of 16: the mean 2, and √2 / √2 apart.
    assert_eq!(mean_and_error(&[(1.0, 16.0), (3.0, 16.0)]), (2.0, Some(1.0)));
    assert_eq!(mean_and_error(&[(5.0, 7.0)]), (5.0, None));
    // A batch of half the draws counts half.
    assert_eq!(mean_and_error(&[(1.0, 2.0), (4.0, 1.0)]).0, 2.0);
}

#[test]
fn what_cannot_be_estimated_is_refused() {
    let told = |scorer: &MaskedScorer, ids: &[u32], weights: &[f32]| {
        pollster::block_on(scorer.likelihood(ids, weights, 0)).unwrap_err().to_string()
    };
    let model = of(&config(None, true));
    let shifted = scorer(&model, 4, 0.0);
    assert!(told(&shifted, &[1, 2], &[1.0, 1.0]).contains("the first, which nothing predicts"));
    assert!(told(&shifted, &[1, 2], &[0.0]).contains("1 weights for 2 ids"));
    assert!(told(&shifted, &[1, 32], &[0.0, 1.0]).contains("token 32"));
    assert!(told(&shifted, &[1; 33], &[0.0; 33]).contains("33 tokens"));
    assert!(pollster::block_on(shifted.score(&[], None, 0)).is_err());
    let causal = of(&ModelConfig { diffusion: None, ..config(None, true) });
    let refused = MaskedScorer::new(&causal, LikelihoodConfig::default()).err().unwrap().to_string();
    assert!(refused.contains("predicts masked tokens"), "{refused}");
    let none = LikelihoodConfig { mc: Some(0), ..LikelihoodConfig::default() };
    assert!(matches!(MaskedScorer::new(&model, none), Err(Error::Config(_))));
}

#[test]
fn a_mask_in_a_text_is_no_word_of_it() {
    let model = of(&config(None, false));
    let scorer = scorer(&model, 16, 0.0);
    let told = pollster::block_on(scorer.score(&[4, 9, MASK, 7], None, 0)).unwrap_err().to_string();
    assert!(told.contains("token 3 of the text is the model's mask (id 31)"), "{told}");
    // In what is only read, too: it would be seen as a hidden word.
    pollster::block_on(scorer.likelihood(&[MASK, 9, 7], &[0.0, 0.0, 1.0], 0)).unwrap_err();
}
