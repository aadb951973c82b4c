//! What a person may say of a model's routed layers: doc comments are the command line's help, names are the published
//! ones.

use serde::{Deserialize, Serialize};

use super::{Balance, Experts, ModelConfig};
use crate::error::{Error, Result};
use crate::told::{Told, told};

/// Experts of a token of a new mixture.
const PER_TOKEN: usize = 2;
/// MiniMind's weight of the balance loss.
const ALPHA: f64 = 0.01;

/// How a gate scores experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Scoring {
    /// Softmax over all experts of a layer
    Softmax,
}

/// Settings of routed layers; what is not said stays as the shape or the model has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct ExpertSettings {
    /// Experts of each routed layer of a new model; makes a mixture of a dense size (n_routed_experts)
    #[cfg_attr(feature = "cli", arg(long, alias = "n-routed-experts"))]
    pub num_experts: Option<usize>,
    /// Experts that each token gets [default of a new mixture: 2]
    #[cfg_attr(feature = "cli", arg(long))]
    pub num_experts_per_tok: Option<usize>,
    /// Experts that every token gets besides [default of a new mixture: 0]
    #[cfg_attr(feature = "cli", arg(long))]
    pub n_shared_experts: Option<usize>,
    /// Width inside each expert [default of a new mixture: that of the feed-forward]
    #[cfg_attr(feature = "cli", arg(long))]
    pub moe_intermediate_size: Option<usize>,
    /// Divide the weights of a token's experts by their sum [default of a new mixture: true where it gets several]
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "true"))]
    pub norm_topk_prob: Option<bool>,
    /// How gates score experts
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub scoring_func: Option<Scoring>,
    /// Weight of the balance loss, 1 where all experts are used alike [default of a new mixture: 0.01]
    #[cfg_attr(feature = "cli", arg(long))]
    pub aux_loss_alpha: Option<f64>,
    /// Take that loss of each sequence, and not of all tokens of a step together [default of a new mixture: true]
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "true"))]
    pub seq_aux: Option<bool>,
    /// Weight of the balance loss of all tokens of a step as MiniMind 3 and Qwen have it
    #[cfg_attr(feature = "cli", arg(long))]
    pub router_aux_loss_coef: Option<f64>,
    /// Weight of the router z-loss, which keeps the gates' logits small
    #[cfg_attr(feature = "cli", arg(long))]
    pub router_z_loss_coef: Option<f64>,
}

impl ExpertSettings {
    /// A new model's shape with what is said of its experts.
    ///
    /// # Errors
    /// Settings of experts that the shape does not have, or that do not hold.
    pub fn shape(&self, mut config: ModelConfig) -> Result<ModelConfig> {
        let said = [self.of_shape(), self.of_balance()].concat();
        if said.is_empty() {
            return Ok(config);
        }
        let experts = match (config.experts.take(), self.num_experts) {
            (Some(experts), _) => experts,
            (None, Some(count)) => new_mixture(&config, count),
            (None, None) => return Err(refused(no_experts(&said))),
        };
        let per_token = self.num_experts_per_tok.unwrap_or(experts.per_token);
        if self.norm_topk_prob == Some(true) && per_token == 1 {
            return Err(refused(told!(
                "experts.normalize_one",
                "--norm-topk-prob does not act with one expert a token: its weight would always be 1, and no text would \
                 teach the gate; leave it out, or set --num-experts-per-tok 2"
            )));
        }
        let normalize = match self.num_experts_per_tok {
            Some(_) => per_token > 1,
            None => experts.normalize,
        };
        config.experts = Some(Experts {
            count: self.num_experts.unwrap_or(experts.count),
            per_token,
            shared: self.n_shared_experts.unwrap_or(experts.shared),
            intermediate_size: self.moe_intermediate_size.unwrap_or(experts.intermediate_size),
            normalize: self.norm_topk_prob.unwrap_or(normalize),
            balance: self.over(experts.balance),
            ..experts
        });
        config.validate()?;
        Ok(config)
    }

    /// What training adds to the loss of a model that is trained already.
    ///
    /// # Errors
    /// Settings that its weights were not made for; settings of experts that it does not have, or that do not hold.
    pub fn balance(&self, config: &ModelConfig) -> Result<Balance> {
        let (fixed, said) = (self.of_shape(), self.of_balance());
        if !fixed.is_empty() {
            return Err(refused(told!(
                "experts.fixed",
                "{flags} would change what the model's weights were trained for; these are settings of a new model, leave \
                 them out",
                flags = fixed.join(", ")
            )));
        }
        match &config.experts {
            Some(experts) => {
                let changed = Experts { balance: self.over(experts.balance), ..experts.clone() };
                match changed.problems() {
                    problems if problems.is_empty() => Ok(changed.balance),
                    problems => Err(Error::Config(problems)),
                }
            }
            None if said.is_empty() => Ok(Balance::default()),
            None => Err(refused(no_experts(&said))),
        }
    }

    fn over(&self, balance: Balance) -> Balance {
        Balance {
            aux_loss_alpha: self.aux_loss_alpha.unwrap_or(balance.aux_loss_alpha),
            seq_aux: self.seq_aux.unwrap_or(balance.seq_aux),
            router_aux_loss_coef: self.router_aux_loss_coef.unwrap_or(balance.router_aux_loss_coef),
            router_z_loss_coef: self.router_z_loss_coef.unwrap_or(balance.router_z_loss_coef),
        }
    }

    /// The flags that were said of a new model's shape.
    fn of_shape(&self) -> Vec<&'static str> {
        said([
            (self.num_experts.is_some(), "--num-experts"),
            (self.num_experts_per_tok.is_some(), "--num-experts-per-tok"),
            (self.n_shared_experts.is_some(), "--n-shared-experts"),
            (self.moe_intermediate_size.is_some(), "--moe-intermediate-size"),
            (self.norm_topk_prob.is_some(), "--norm-topk-prob"),
            (self.scoring_func.is_some(), "--scoring-func"),
        ])
    }

    /// Those that were said of the training of any.
    fn of_balance(&self) -> Vec<&'static str> {
        said([
            (self.aux_loss_alpha.is_some(), "--aux-loss-alpha"),
            (self.seq_aux.is_some(), "--seq-aux"),
            (self.router_aux_loss_coef.is_some(), "--router-aux-loss-coef"),
            (self.router_z_loss_coef.is_some(), "--router-z-loss-coef"),
        ])
    }
}

fn said<const N: usize>(flags: [(bool, &'static str); N]) -> Vec<&'static str> {
    flags.into_iter().filter(|(said, _)| *said).map(|(_, flag)| flag).collect()
}

fn refused(problem: Told) -> Error {
    Error::Config(vec![problem])
}

fn no_experts(flags: &[&str]) -> Told {
    told!(
        "experts.none",
        "{flags} would not act: the model has no routed experts; a new one gets them with --num-experts 4",
        flags = flags.join(", ")
    )
}

/// All layers of a dense shape routed.
fn new_mixture(config: &ModelConfig, count: usize) -> Experts {
    let per_token = PER_TOKEN.min(count);
    Experts {
        count,
        per_token,
        shared: 0,
        intermediate_size: config.intermediate_size,
        normalize: per_token > 1,
        layers: vec![true; config.num_hidden_layers],
        balance: Balance { aux_loss_alpha: ALPHA, ..Balance::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset;

    fn config(name: &str) -> ModelConfig {
        preset(name).unwrap().config(None)
    }

    #[test]
    fn a_dense_size_becomes_a_mixture_and_a_mixture_another() {
        let said = ExpertSettings { num_experts: Some(4), n_shared_experts: Some(1), ..Default::default() };
        let experts = said.shape(config("nano")).unwrap().experts.unwrap();
        assert_eq!((experts.count, experts.per_token, experts.shared), (4, 2, 1));
        assert_eq!((experts.intermediate_size, experts.normalize), (config("nano").intermediate_size, true));
        assert_eq!(experts.balance, Balance { aux_loss_alpha: 0.01, ..Balance::default() });
        let said = ExpertSettings { num_experts_per_tok: Some(1), ..Default::default() };
        assert!(!said.shape(config("minimind2-moe")).unwrap().experts.unwrap().normalize);
        let said = ExpertSettings { num_experts_per_tok: Some(2), ..Default::default() };
        assert!(said.shape(config("minimind3-moe")).unwrap().experts.unwrap().normalize);
        let nothing = ExpertSettings::default();
        assert_eq!(nothing.shape(config("minimind3-moe")).unwrap(), config("minimind3-moe"));
    }

    #[test]
    fn of_a_trained_mixture_only_the_balance_changes() {
        let said =
            ExpertSettings { router_z_loss_coef: Some(1e-3), seq_aux: Some(false), ..Default::default() };
        let balance = said.balance(&config("minimind2-moe")).unwrap();
        let expected =
            Balance { aux_loss_alpha: 0.1, seq_aux: false, router_z_loss_coef: 1e-3, ..Balance::default() };
        assert_eq!(balance, expected);
        assert_eq!(ExpertSettings::default().balance(&config("nano")).unwrap(), Balance::default());
    }

    #[test]
    fn what_would_not_act_or_does_not_hold_is_refused_by_name() {
        let told = |error: Error| error.to_string();
        let said = ExpertSettings { aux_loss_alpha: Some(0.1), ..Default::default() };
        for error in
            [said.shape(config("nano")).unwrap_err(), said.balance(&config("nano")).unwrap_err()].map(told)
        {
            assert!(error.contains("--aux-loss-alpha would not act"), "{error}");
        }
        let said = ExpertSettings { num_experts: Some(8), norm_topk_prob: Some(true), ..Default::default() };
        let error = told(said.balance(&config("minimind2-moe")).unwrap_err());
        assert!(error.contains("--num-experts, --norm-topk-prob would change"), "{error}");
        let error = told(said.shape(config("minimind3-moe")).unwrap_err());
        assert!(error.contains("one expert a token"), "{error}");
        let said =
            ExpertSettings { num_experts: Some(1), num_experts_per_tok: Some(2), ..Default::default() };
        assert!(told(said.shape(config("nano")).unwrap_err()).contains("num_experts_per_tok (2) is more"));
        let said = ExpertSettings { router_aux_loss_coef: Some(-1.0), ..Default::default() };
        assert!(
            told(said.balance(&config("minimind3-moe")).unwrap_err()).contains("router_aux_loss_coef is -1")
        );
    }
}
