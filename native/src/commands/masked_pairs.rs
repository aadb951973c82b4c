//! `score --pairs` of a masked predictor: both answers of a pair, and the reference, have the same parts hidden as far as
//! they are as long, so that what differs is what they say.

use std::collections::BTreeMap;

use kindling::batch::{Content, Example, Fit, Found, TooLong};
use kindling::loss::DpoConfig;
use kindling::model::Transformer;
use kindling::sample::MaskedScorer;
use kindling::tokenizer::Tokenizer;
use serde_json::json;

use super::score::ScoreArgs;
use super::score_pairs::{Pairs, reference_model, show, tell_left_out};
use crate::cli::Everywhere;
use crate::failure::Failure;

/// Log-likelihoods of a chosen and a rejected answer.
type Both = [f64; 2];

/// Scores the pairs of the data.
///
/// # Errors
/// As `score --pairs` of a model that predicts the next token.
pub fn run(
    args: &ScoreArgs,
    (model, tokenizer): (&Transformer, &Tokenizer),
    everywhere: &Everywhere,
) -> Result<(), Failure> {
    let (output, longest) = (everywhere.output(), model.config().context());
    let reference = match &args.pairs.reference {
        Some(path) => Some(reference_model(path, model, everywhere)?),
        None => (!args.model.adapter.is_empty()).then(|| model.base()),
    };
    let scorer = MaskedScorer::new(model, args.likelihood)?;
    let reference = reference.map(|model| MaskedScorer::new(&model, args.likelihood)).transpose()?;
    let pairs = Pairs::open(args, longest, tokenizer, output)?;
    // All tokens are read here, and none is only a target.
    let fit = Fit::new(Content::Preferences, longest.saturating_sub(1), TooLong::Cut);
    let (mut cut, mut left_out) = (0, 0);
    let (mut policies, mut references) = (Vec::new(), Vec::new());
    for place in pairs.part {
        let row = pairs.order.at(place);
        let fitted = match pairs.rows.examples(row)? {
            Found::Examples(examples) => fit.all(examples),
            Found::Unusable(_) => None,
        };
        let Some((examples, is_cut)) = fitted else {
            left_out += 1;
            continue;
        };
        cut += u64::from(is_cut);
        policies.push(both(&scorer, &examples, row)?);
        if let Some(reference) = &reference {
            references.push(both(reference, &examples, row)?);
        }
    }
    tell_left_out(cut, left_out, longest, output);
    let metrics = measures(&policies, &references, DpoConfig::default().beta);
    let mut result = show(&metrics, policies.len() as u64, reference.is_some(), output);
    result["mc"] = json!(args.likelihood.draws());
    output.json(&result);
    Ok(())
}

/// How likely the two answers of a row are.
fn both(scorer: &MaskedScorer, examples: &[Example], row: u64) -> Result<Both, Failure> {
    let mut both = [f64::NAN; 2];
    for (value, example) in both.iter_mut().zip(examples) {
        let mut weights = example.weights.clone();
        // As for a model of the next token, nothing predicts the first.
        if let Some(first) = weights.first_mut() {
            *first = 0.0;
        }
        *value = -pollster::block_on(scorer.likelihood(&example.ids, &weights, row))?.nll;
    }
    Ok(both)
}

/// Means over the pairs, under the names that DPO reports; those of rewards only where there is a reference.
fn measures(policies: &[Both], references: &[Both], beta: f64) -> BTreeMap<&'static str, f64> {
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let more = |[chosen, rejected]: &Both| f64::from(u8::from(chosen > rejected));
    let mut metrics = BTreeMap::from([("chosen_likelier", mean(policies.iter().map(more).collect()))]);
    if references.is_empty() {
        return metrics;
    }
    let rewards: Vec<Both> = policies
        .iter()
        .zip(references)
        .map(|(policy, reference)| [0, 1].map(|side| beta * (policy[side] - reference[side])))
        .collect();
    metrics.extend([
        ("reward_margin", mean(rewards.iter().map(|[chosen, rejected]| chosen - rejected).collect())),
        ("reward_accuracy", mean(rewards.iter().map(more).collect())),
        ("reward_chosen", mean(rewards.iter().map(|[chosen, _]| *chosen).collect())),
        ("reward_rejected", mean(rewards.iter().map(|[_, rejected]| *rejected).collect())),
    ]);
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_of_pairs_by_hand() {
        let policies = [[-3.0, -5.0], [-9.0, -4.0]];
        let alone = measures(&policies, &[], 0.1);
        assert_eq!(alone, BTreeMap::from([("chosen_likelier", 0.5)]));
        // Rewards with β = 0.5: (1, −1) and (0.5, 1).
        let found = measures(&policies, &[[-5.0, -3.0], [-10.0, -6.0]], 0.5);
        let expected = [
            ("chosen_likelier", 0.5),
            ("reward_accuracy", 0.5),
            ("reward_chosen", 0.75),
            ("reward_margin", 0.75),
            ("reward_rejected", 0.0),
        ];
        assert_eq!(found, BTreeMap::from(expected));
    }
}
