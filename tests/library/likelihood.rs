//! Likelihoods beside PyTorch: LLaDA's get_log_likelihood.py on a model that is kept (tests/golden/diffusion/likelihood.py).

use std::path::PathBuf;

use burn::tensor::Device;
use kindling::checkpoint::Checkpoint;
use kindling::model::DiffusionConfig;
use kindling::sample::{LikelihoodConfig, MaskedScorer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    mask: u32,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    ids: Vec<u32>,
    prompt: usize,
    shift: bool,
    cfg_scale: f64,
    /// The mean over all that can be hidden.
    exact: f64,
    /// 128 draws of the script.
    estimate: f64,
}

fn golden(name: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name);
    path.exists().then(|| std::fs::read(path).unwrap())
}

#[test]
fn a_likelihood_is_that_of_llada() {
    let text = golden("diffusion/likelihood.json").unwrap();
    let Golden { mask, answers } = serde_json::from_slice(&text).unwrap();
    assert_eq!(answers.len(), 16);
    for Answer { ids, prompt, shift, cfg_scale, exact, estimate } in answers {
        let read = |name: &str| Ok(golden(&format!("training/llama/{name}")));
        let mut checkpoint = Checkpoint::open(read).unwrap();
        checkpoint.config.diffusion =
            Some(DiffusionConfig { mask_token_id: mask, block_length: None, shift_logits: shift });
        let model = checkpoint.model(&Device::flex()).unwrap();
        let config = LikelihoodConfig { mc: Some(1024), mc_seed: None, cfg_scale: Some(cfg_scale) };
        let scorer = MaskedScorer::new(&model, config).unwrap();
        let weights: Vec<f32> = (0..ids.len()).map(|place| f32::from(u8::from(place >= prompt))).collect();
        let found = pollster::block_on(scorer.likelihood(&ids, &weights, 0)).unwrap();
        let error = found.standard_error.unwrap();
        if ids.len() - prompt == 1 {
            assert!(
                (found.nll - exact).abs() < 1e-4 && (estimate - exact).abs() < 1e-4,
                "{found:?}, {exact}"
            );
        } else {
            assert!((found.nll - exact).abs() < 4.0 * error, "{found:?} and {exact}");
            assert!(error < 0.03 * exact, "{found:?}");
        }
    }
}
