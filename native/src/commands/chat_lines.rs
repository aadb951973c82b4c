//! The lines of a conversation, as a person types them or as they come through a pipe.

use std::io::{BufRead, IsTerminal, StdinLock};

use kindling::error::Error;
use rustyline::error::ReadlineError;

use crate::failure::Failure;
use crate::output;

/// Where they come from.
pub enum Lines {
    /// A terminal, with a history.
    Typed(Box<rustyline::DefaultEditor>),
    /// A pipe or a file, with the number of the last line.
    Piped(StdinLock<'static>, u64),
}

impl Lines {
    /// Those of the standard input.
    ///
    /// # Errors
    /// A terminal that cannot be read.
    pub fn open() -> Result<Self, Failure> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(Self::Piped(stdin.lock(), 0));
        }
        let editor = rustyline::DefaultEditor::new().map_err(unreadable)?;
        Ok(Self::Typed(Box::new(editor)))
    }

    /// Whether a person types them.
    pub fn are_typed(&self) -> bool {
        matches!(self, Self::Typed(_))
    }

    /// The next line without its end; `None` behind the last. A piped one that is not UTF-8 is read as far as it goes,
    /// and named.
    ///
    /// # Errors
    /// Ctrl-C where a line is typed; an input that cannot be read.
    pub fn read(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Typed(editor) => match editor.readline("> ") {
                Ok(line) => {
                    let _ = editor.add_history_entry(&line);
                    Ok(Some(line))
                }
                Err(ReadlineError::Interrupted) => Err(Failure::Interrupted),
                Err(ReadlineError::Eof) => Ok(None),
                Err(error) => Err(unreadable(error).into()),
            },
            Self::Piped(stdin, number) => {
                let mut bytes = Vec::new();
                let read = stdin.read_until(b'\n', &mut bytes);
                if read.map_err(|e| Error::Io { path: "stdin".into(), source: e })? == 0 {
                    return Ok(None);
                }
                *number += 1;
                let text = String::from_utf8(bytes).unwrap_or_else(|error| {
                    output::warn(&format!(
                        "line {number} of the input is not UTF-8; what cannot be read of it is asked as \u{FFFD}"
                    ));
                    String::from_utf8_lossy(error.as_bytes()).into_owned()
                });
                Ok(Some(text.trim_end_matches(['\n', '\r']).to_string()))
            }
        }
    }
}

fn unreadable(error: ReadlineError) -> Error {
    Error::Data(format!("the terminal cannot be read: {error}").into())
}
