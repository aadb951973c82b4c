//! How good a model is: the public sets of questions in lm-evaluation-harness 0.4.13's definitions, held-out texts, pairs of
//! answers, and answers that are written. Rows in, results with their intervals out.

mod answers;
mod ask;
mod asking;
mod choices;
mod config;
mod contamination;
#[cfg(test)]
mod heard;
mod held_out;
mod interval;
mod listen;
mod measures;
mod pairs;
mod prompt;
mod python;
mod question;
mod result;
mod scoring;
mod shots;
mod task;
mod task_files;
mod task_rows;

pub use answers::{GSM8K_STOPS, GSM8K_TOKENS, gsm8k_judged, gsm8k_prompts};
pub use asking::{AskConfig, Asking, FORMAT_TOKENS};
pub use choices::{Judgement, Subject, judged, sequences};
pub use config::EvalConfig;
pub use contamination::{Contamination, Found, RUN};
pub use held_out::{TextResult, text_windows};
pub use interval::{Paired, Share, bootstrap};
pub use listen::EvalListener;
pub use measures::{Difference, Measure, Unit};
pub use pairs::{PairOfAnswers, pair_requests};
pub use prompt::{Chat, Prompting, Request, Sequence};
pub use question::{Question, read_question};
pub use result::{Item, Shares, TaskResult};
pub use scoring::{ContinuationScorer, Judged};
pub use shots::Shots;
pub use task::{Asks, ShotRule, Split, Task};
pub use task_files::{BySubject, NamedFile, TaskFiles};
pub use task_rows::{OpenFiles, Rows, RowsOptions, TaskRows};
