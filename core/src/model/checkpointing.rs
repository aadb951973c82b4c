//! Which layers compute their activations a second time in the backward pass, so that they are not kept until then
//! (Chen et al., 2016, <https://arxiv.org/abs/1604.06174>).

use serde::{Deserialize, Serialize};

/// The strategies, under their published names (OLMo, LLaDA).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum), value(rename_all = "snake_case"))]
pub enum ActivationCheckpointing {
    /// All activations are kept.
    #[default]
    None,
    /// Every layer keeps its input alone.
    WholeLayer,
    /// So does every second layer, from the first on.
    OneInTwo,
    /// So does every third layer.
    OneInThree,
    /// So does every fourth layer.
    OneInFour,
    /// So do two of three layers: all but every third.
    TwoInThree,
    /// So do three of four layers: all but every fourth.
    ThreeInFour,
    /// Every layer computes attention again from its queries, keys and values: all that grows with the square of the
    /// length. Norms, gates, and attention in blocks of a long row keep no more than their inputs in any case.
    FineGrained,
}

impl ActivationCheckpointing {
    /// Whether a layer, counted from 0, keeps its input alone.
    pub fn recomputes(self, layer: usize) -> bool {
        match self {
            Self::None | Self::FineGrained => false,
            Self::WholeLayer => true,
            Self::OneInTwo => layer.is_multiple_of(2),
            Self::OneInThree => layer.is_multiple_of(3),
            Self::OneInFour => layer.is_multiple_of(4),
            Self::TwoInThree => !layer.is_multiple_of(3),
            Self::ThreeInFour => !layer.is_multiple_of(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_by_hand() {
        for (strategy, layers) in [
            (ActivationCheckpointing::None, ""),
            (ActivationCheckpointing::WholeLayer, "01234567"),
            (ActivationCheckpointing::OneInTwo, "0246"),
            (ActivationCheckpointing::OneInThree, "036"),
            (ActivationCheckpointing::OneInFour, "04"),
            (ActivationCheckpointing::TwoInThree, "12457"),
            (ActivationCheckpointing::ThreeInFour, "123567"),
            (ActivationCheckpointing::FineGrained, ""),
        ] {
            let found: String =
                (0..8).filter(|&layer| strategy.recomputes(layer)).map(|layer| layer.to_string()).collect();
            assert_eq!(found, layers, "{strategy:?}");
        }
    }
}
