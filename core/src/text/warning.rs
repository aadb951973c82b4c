//! Rows that are odd but usable: they are counted and named, and training goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::told::{Told, told};

/// A row that is odd but usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowWarning {
    /// A document without a visible character.
    EmptyDocument,
    /// A message without a visible character that calls no tool.
    EmptyTurn,
    /// The last message is the user's: nothing answers it.
    EndsOnUser,
    /// The last message is a tool's: nothing answers it.
    EndsOnTool,
    /// The weight of every answer is 0.
    NoTrainedTurn,
    /// A weight above 0 on a message that is never trained: one that is not the assistant's, or one of a prompt.
    WeightWithoutEffect,
    /// The texts of the messages were joined; their weights are lost.
    JoinedWithoutWeights,
    /// The texts of the messages were joined; tools and their calls are no part of the text.
    JoinedWithoutTools,
    /// The conversation is rendered as a text; the weights of its messages are lost.
    RenderedWithoutWeights,
}

impl RowWarning {
    /// What is odd, as a sentence with its code.
    pub fn told(self) -> Told {
        match self {
            Self::EmptyDocument => told!("odd.empty_document", "the document is empty"),
            Self::EmptyTurn => told!("odd.empty_turn", "a turn is empty"),
            Self::EndsOnUser => told!("odd.ends_on_user", "the conversation ends on the user"),
            Self::EndsOnTool => told!("odd.ends_on_tool", "the conversation ends on a tool's answer"),
            Self::NoTrainedTurn => {
                told!("odd.no_trained_turn", "no turn is trained: the weight of every answer is 0")
            }
            Self::WeightWithoutEffect => told!(
                "odd.weight_without_effect",
                "a weight has no effect: only the assistant's answers are trained"
            ),
            Self::JoinedWithoutWeights => told!(
                "odd.joined_without_weights",
                "the joined text loses the weights of its turns: all of it is trained"
            ),
            Self::JoinedWithoutTools => {
                told!("odd.joined_without_tools", "the joined text leaves out tools and tool calls")
            }
            Self::RenderedWithoutWeights => told!(
                "odd.rendered_without_weights",
                "the rendered text loses the weights of its turns: all of it is trained"
            ),
        }
    }
}

impl fmt::Display for RowWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.told())
    }
}
