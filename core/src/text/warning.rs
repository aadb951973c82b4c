//! Rows that are odd but usable: they are counted and named, and training goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

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

impl fmt::Display for RowWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::EmptyDocument => "the document is empty",
            Self::EmptyTurn => "a turn is empty",
            Self::EndsOnUser => "the conversation ends on the user",
            Self::EndsOnTool => "the conversation ends on a tool's answer",
            Self::NoTrainedTurn => "no turn is trained: the weight of every answer is 0",
            Self::WeightWithoutEffect => "a weight has no effect: only the assistant's answers are trained",
            Self::JoinedWithoutWeights => {
                "the joined text loses the weights of its turns: all of it is trained"
            }
            Self::JoinedWithoutTools => "the joined text leaves out tools and tool calls",
            Self::RenderedWithoutWeights => {
                "the rendered text loses the weights of its turns: all of it is trained"
            }
        })
    }
}
