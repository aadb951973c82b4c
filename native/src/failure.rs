//! How a command ends when it does not succeed: one message, one exit code.

use std::io::Write;
use std::process::ExitCode;

use kindling::error::Error;

use crate::ranks;

/// Why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// The command line asks for something that does not exist or does not fit (exit 2).
    Usage(String),
    /// The work failed (exit 1).
    Work(Error),
    /// A person interrupted it; what could be saved is saved (exit 130).
    Interrupted,
    /// clap's own message, help and version included.
    Clap(clap::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(_) => Self::Usage(error.to_string()),
            error => Self::Work(error),
        }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Clap(error)
    }
}

impl Failure {
    /// Says why on stderr and gives the exit code.
    pub fn report(self) -> ExitCode {
        let mut stderr = std::io::stderr();
        let who = ranks::name().map_or(String::new(), |name| format!("{name}: "));
        match self {
            Self::Usage(message) => {
                let _ = writeln!(stderr, "{who}error: {message}");
                ExitCode::from(2)
            }
            Self::Work(error) => {
                let _ = writeln!(stderr, "{who}error: {error}");
                ExitCode::from(1)
            }
            Self::Interrupted => ExitCode::from(130),
            Self::Clap(error) => {
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
        }
    }
}

/// Wraps what the file system says with the path it says it about.
pub fn io_error(path: &std::path::Path, source: std::io::Error) -> Error {
    Error::Io { path: path.display().to_string(), source }
}
