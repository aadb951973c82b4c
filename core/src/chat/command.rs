//! What a person types into a chat: speech, or a command that begins with a slash.

use std::str::FromStr;

/// The commands of a chat, for a front end's `/help`.
pub const CHAT_HELP: &str = "\
/reset        forget the conversation; the system message stays
/system TEXT  use another system message from now on (without TEXT: none)
/steps N      passes in which a model of masked tokens writes an answer (without N: one a token)
/threshold P  let a pass fill every token that is at least so sure, 0 to 1 (without P: off)
/help         show this help
/quit         leave (also /exit)
//TEXT        say a text that begins with a slash";

/// One line that a person types into a chat.
#[derive(Clone, Debug, PartialEq)]
pub enum ChatCommand {
    /// Something to say to the model.
    Say(String),
    /// Forget the conversation.
    Reset,
    /// Use another system message, or none.
    System(Option<String>),
    /// Passes in which a masked predictor writes an answer: [`UnmaskConfig::steps`](crate::sample::UnmaskConfig::steps).
    Steps(Option<usize>),
    /// How sure a token must be to be filled: [`UnmaskConfig::threshold`](crate::sample::UnmaskConfig::threshold).
    Threshold(Option<f64>),
    /// Show [`CHAT_HELP`].
    Help,
    /// Leave.
    Quit,
    /// An empty line: nothing to do.
    Nothing,
    /// A slash and a word that is no command.
    Unknown(String),
}

impl ChatCommand {
    /// What `line` asks for.
    pub fn parse(line: &str) -> Self {
        let line = line.trim();
        if line.is_empty() {
            return Self::Nothing;
        }
        let Some(command) = line.strip_prefix('/') else {
            return Self::Say(line.to_string());
        };
        if command.starts_with('/') {
            return Self::Say(command.to_string());
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        let rest = rest.trim();
        let unknown = || Self::Unknown(line.to_string());
        match name {
            "steps" => number(rest).map_or_else(unknown, Self::Steps),
            "threshold" => number(rest).map_or_else(unknown, Self::Threshold),
            "system" => Self::System((!rest.is_empty()).then(|| rest.to_string())),
            "reset" if rest.is_empty() => Self::Reset,
            "help" if rest.is_empty() => Self::Help,
            "quit" | "exit" if rest.is_empty() => Self::Quit,
            _ => unknown(),
        }
    }
}

/// The number behind a command; `Some(None)` where there is none, `None` where something else stands.
fn number<T: FromStr>(text: &str) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_speech() {
        use ChatCommand::*;
        let say = |text: &str| Say(text.to_string());
        for (line, expected) in [
            ("hello /reset", say("hello /reset")),
            ("  hi  ", say("hi")),
            ("//usr/bin", say("/usr/bin")),
            ("   ", Nothing),
            ("/reset", Reset),
            ("/help ", Help),
            ("/quit", Quit),
            ("/exit", Quit),
            ("/system  Be brief. ", System(Some("Be brief.".to_string()))),
            ("/system", System(None)),
            ("/steps 16", Steps(Some(16))),
            ("/steps", Steps(None)),
            ("/steps many", Unknown("/steps many".to_string())),
            ("/threshold 0.9", Threshold(Some(0.9))),
            ("/threshold ", Threshold(None)),
            ("/systems x", Unknown("/systems x".to_string())),
            ("/reset all", Unknown("/reset all".to_string())),
            ("/", Unknown("/".to_string())),
        ] {
            assert_eq!(ChatCommand::parse(line), expected, "{line:?}");
        }
    }
}
