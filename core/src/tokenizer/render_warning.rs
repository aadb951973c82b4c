//! What is odd about a rendered conversation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::told::{Told, told};

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
    /// A pair's prompt is longer than was asked for.
    PromptCut,
    /// An answer without thinking and result between their tags, where these are taught.
    WithoutTags,
}

impl RenderWarning {
    /// All of them, in the order in which they stand.
    pub const ALL: [Self; 16] = [
        Self::ToolsLeftOut,
        Self::ToolLeftOut,
        Self::ToolNameLeftOut,
        Self::ToolDescriptionLeftOut,
        Self::ToolParametersLeftOut,
        Self::ParameterDescriptionLeftOut,
        Self::ParameterValuesLeftOut,
        Self::RequiredParametersLeftOut,
        Self::ToolCallLeftOut,
        Self::CallNameLeftOut,
        Self::CallArgumentsLeftOut,
        Self::ReasoningLeftOut,
        Self::TextLeftOut,
        Self::SpecialTokenInText,
        Self::PromptCut,
        Self::WithoutTags,
    ];

    /// What is odd, as a sentence with its code.
    pub fn told(self) -> Told {
        match self {
            Self::ToolsLeftOut => {
                told!("odd.tools_left_out", "the chat template prints no descriptions of tools")
            }
            Self::ToolLeftOut => told!("odd.tool_left_out", "the chat template leaves out a tool"),
            Self::ToolNameLeftOut => {
                told!("odd.tool_name_left_out", "the chat template prints a tool without its name")
            }
            Self::ToolDescriptionLeftOut => told!(
                "odd.tool_description_left_out",
                "the chat template prints a tool without its description"
            ),
            Self::ToolParametersLeftOut => told!(
                "odd.tool_parameters_left_out",
                "the chat template prints a tool without its parameters, or not all of them"
            ),
            Self::ParameterDescriptionLeftOut => told!(
                "odd.parameter_description_left_out",
                "the chat template prints a tool's parameter without its description"
            ),
            Self::ParameterValuesLeftOut => told!(
                "odd.parameter_values_left_out",
                "the chat template prints a tool's parameter without the values it may take (enum), or not all of them"
            ),
            Self::RequiredParametersLeftOut => told!(
                "odd.required_parameters_left_out",
                "the chat template does not print which parameters of a tool must be given (required)"
            ),
            Self::ToolCallLeftOut => {
                told!("odd.tool_call_left_out", "the chat template leaves out the call of a tool")
            }
            Self::CallNameLeftOut => told!(
                "odd.call_name_left_out",
                "the chat template prints the call of a tool without its name"
            ),
            Self::CallArgumentsLeftOut => told!(
                "odd.call_arguments_left_out",
                "the chat template prints the call of a tool without its arguments, or not all of them"
            ),
            Self::ReasoningLeftOut => {
                told!("odd.reasoning_left_out", "the chat template leaves out the reasoning of a message")
            }
            Self::TextLeftOut => told!(
                "odd.text_left_out",
                "the chat template leaves out or changes a part of a message's text"
            ),
            Self::SpecialTokenInText => told!(
                "odd.special_token_in_text",
                "a message's own text holds a special token, which is read as one"
            ),
            Self::PromptCut => {
                told!("odd.prompt_cut", "the prompt is longer than --max-prompt-len and loses its beginning")
            }
            Self::WithoutTags => told!(
                "odd.without_tags",
                "the last answer does not have thinking and answer between their tags, each once and in order; it is \
                 trained as it is"
            ),
        }
    }
}

impl fmt::Display for RenderWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.told())
    }
}
