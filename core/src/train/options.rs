//! Options of every stage that change how it trains: noise, the optimizer, an early end, averaged weights, memory.

use serde::{Deserialize, Serialize};

use crate::model::ActivationCheckpointing;
use crate::told::{Told, told};

/// The most of NEFTune's noise; its authors take 5 to 15 (Jain et al., 2023, <https://arxiv.org/abs/2310.05914>).
const MOST_NOISE: f64 = 1000.0;

/// Settings of a run beside its sizes and rates; runs of before have the defaults, which change nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct TrainOptions {
    /// NEFTune: embeddings get uniform noise of at most this divided by the root of tokens times width; 0 adds none.
    #[cfg_attr(feature = "cli", arg(long))]
    pub neftune: f64,
    /// Share of embeddings, attention weights and what a layer adds to the stream that training drops [default: what the
    /// model's config.json says].
    #[cfg_attr(feature = "cli", arg(long, id = "model-dropout", value_name = "DROPOUT"))]
    pub dropout: Option<f64>,
    /// Muon for the matrices of the layers, AdamW for embeddings, head, norms and routers.
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set))]
    pub muon: bool,
    /// End after so many measurements that were no better than the best, and keep the best weights; 0 never does.
    #[cfg_attr(feature = "cli", arg(long))]
    pub early_stop: u64,
    /// Measure and keep a moving average of the weights with this decay, as 0.999; 0 keeps the weights themselves.
    #[cfg_attr(feature = "cli", arg(long))]
    pub ema: f64,
    /// Which layers compute their activations again in the backward pass: less memory, more time, the same result.
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub activation_checkpointing: ActivationCheckpointing,
}

impl TrainOptions {
    /// Whether each holds, and what to say where it does not; `judged` says whether rows are held out and measured on the
    /// way.
    pub(super) fn checks(&self, judged: bool) -> Vec<(bool, Told)> {
        let Self { neftune, ema, early_stop, .. } = *self;
        let dropout = self.dropout.unwrap_or_default();
        vec![
            (
                (0.0..=MOST_NOISE).contains(&neftune),
                told!(
                    "train.neftune",
                    "--neftune is {neftune}; it must be 0 (off) to {most}",
                    neftune,
                    most = MOST_NOISE
                ),
            ),
            (
                (0.0..1.0).contains(&dropout),
                told!("train.dropout", "--dropout is {dropout}; it must be at least 0 and below 1", dropout),
            ),
            (
                (0.0..1.0).contains(&ema),
                told!("train.ema", "--ema is {ema}; it must be 0 (off) or more and below 1", ema),
            ),
            (
                early_stop == 0 || judged,
                told!(
                    "train.early_stop",
                    "--early-stop needs a held-out loss to judge by; add --val-split 0.05 and --eval-every 100"
                ),
            ),
        ]
    }

    /// Why they do not go with what trains: an adapter's halves are no matrices of a layer.
    pub(super) fn problem(&self, adapts: bool) -> Option<Told> {
        (self.muon && adapts).then(|| {
            told!(
                "train.muon_adapter",
                "--muon acts on whole matrices of the layers, which an adapter leaves as they are (its halves train with \
                 AdamW); leave it out, or train the model itself"
            )
        })
    }

    /// What a person should know before the run begins.
    pub(super) fn remark(&self) -> Option<Told> {
        (self.ema > 0.0).then(|| {
            told!(
                "train.ema_kept",
                "held-out losses and saved weights are those of the moving average (--ema {ema}); the weights themselves \
                 are saved beside the optimizer's state, so that the run can go on",
                ema = self.ema
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Stage, TrainConfig};

    fn with(options: TrainOptions) -> TrainConfig {
        TrainConfig { options, ..TrainConfig::of(Stage::Sft) }
    }

    #[test]
    fn settings_of_runs_of_before_have_none_and_unknown_keys_are_still_refused() {
        let all = with(TrainOptions {
            neftune: 5.0,
            dropout: Some(0.1),
            muon: true,
            early_stop: 3,
            ema: 0.99,
            activation_checkpointing: ActivationCheckpointing::OneInTwo,
        });
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(
            (&json["neftune"], &json["activation-checkpointing"]),
            (&5.0.into(), &"one_in_two".into())
        );
        assert_eq!(serde_json::from_value::<TrainConfig>(json.clone()).unwrap(), all);
        let mut old = json;
        let settings = old.as_object_mut().unwrap();
        for key in ["neftune", "dropout", "muon", "early-stop", "ema", "activation-checkpointing"] {
            assert!(settings.remove(key).is_some(), "{key}");
        }
        let read: TrainConfig = serde_json::from_value(old.clone()).unwrap();
        assert_eq!(read, TrainConfig::of(Stage::Sft));
        old["neftunes"] = 1.0.into();
        let message = serde_json::from_value::<TrainConfig>(old).unwrap_err().to_string();
        assert!(message.contains("neftunes"), "{message}");
    }

    #[test]
    fn all_problems_come_at_once() {
        let bad = TrainOptions {
            neftune: f64::NAN,
            dropout: Some(1.0),
            early_stop: 2,
            ema: 1.0,
            ..TrainOptions::default()
        };
        let message = with(bad).validate().unwrap_err().to_string();
        for part in
            ["--neftune is NaN", "--dropout is 1;", "--ema is 1;", "--early-stop needs a held-out loss"]
        {
            assert!(message.contains(part), "{message}");
        }
        let judged = TrainConfig {
            val_split: 0.1,
            eval_every: 5,
            ..with(TrainOptions { early_stop: 2, ..TrainOptions::default() })
        };
        judged.validate().unwrap();
        let muon = TrainOptions { muon: true, ..TrainOptions::default() };
        assert!(muon.problem(true).unwrap().to_string().starts_with("--muon acts on whole matrices"));
        assert_eq!((muon.problem(false), TrainOptions::default().problem(true)), (None, None));
    }

    #[test]
    fn each_step_has_its_own_noise() {
        let config = with(TrainOptions { neftune: 5.0, dropout: Some(0.1), ..TrainOptions::default() });
        assert_eq!(config.noise(3, None), config.noise(3, None));
        assert_ne!(config.noise(3, None).seed, config.noise(4, None).seed);
        assert_eq!((config.noise(3, None).neftune, config.noise(3, None).dropout), (5.0, Some(0.1)));
    }
}
