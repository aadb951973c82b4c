//! What is odd about a rendered conversation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A conversation that is odd but usable, as shows where it is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenderWarning {
    /// The descriptions of the tools are not printed.
    ToolsLeftOut,
    /// A tool is not printed.
    ToolLeftOut,
    /// A tool is printed without its name.
    ToolNameLeftOut,
    /// A tool is printed without its description.
    ToolDescriptionLeftOut,
    /// A tool is printed without one of its parameters, or all.
    ToolParametersLeftOut,
    /// A tool's parameter is printed without its description.
    ParameterDescriptionLeftOut,
    /// A tool's parameter is printed without one of the values that it may take, or all.
    ParameterValuesLeftOut,
    /// Which parameters of a tool must be given is not printed.
    RequiredParametersLeftOut,
    /// A call of a tool is not printed.
    ToolCallLeftOut,
    /// A call of a tool is printed without its name.
    CallNameLeftOut,
    /// A call of a tool is printed without one of its arguments, or all.
    CallArgumentsLeftOut,
    /// The reasoning of a message is not printed.
    ReasoningLeftOut,
    /// The text of a message is not printed, or in part only, or changed.
    TextLeftOut,
    /// A message's own text holds a special token.
    SpecialTokenInText,
}

impl fmt::Display for RenderWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::ToolsLeftOut => "the chat template prints no descriptions of tools",
            Self::ToolLeftOut => "the chat template leaves out a tool",
            Self::ToolNameLeftOut => "the chat template prints a tool without its name",
            Self::ToolDescriptionLeftOut => "the chat template prints a tool without its description",
            Self::ToolParametersLeftOut => "the chat template prints a tool without its parameters, or not all of them",
            Self::ParameterDescriptionLeftOut => {
                "the chat template prints a tool's parameter without its description"
            }
            Self::ParameterValuesLeftOut => {
                "the chat template prints a tool's parameter without the values it may take (enum), or not all of them"
            }
            Self::RequiredParametersLeftOut => {
                "the chat template does not print which parameters of a tool must be given (required)"
            }
            Self::ToolCallLeftOut => "the chat template leaves out the call of a tool",
            Self::CallNameLeftOut => "the chat template prints the call of a tool without its name",
            Self::CallArgumentsLeftOut => {
                "the chat template prints the call of a tool without its arguments, or not all of them"
            }
            Self::ReasoningLeftOut => "the chat template leaves out the reasoning of a message",
            Self::TextLeftOut => "the chat template leaves out or changes a part of a message's text",
            Self::SpecialTokenInText => "a message's own text holds a special token, which is read as one",
        })
    }
}
