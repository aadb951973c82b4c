//! `data pairs`: the questions and answers of conversations as a CSV table.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use kindling::data::{DataOptions, Dataset, PairColumns, PairCounts, PairTable};
use kindling::error::Error;
use kindling::text::{Row, RowKind};
use serde_json::json;

use super::token_caches::write_file;
use super::train::tell;
use crate::failure::{Failure, io_error};
use crate::interrupt;
use crate::output::{Output, counted, grouped};
use crate::run_dir::Existing;
use crate::sources::{self, RowArgs};

/// Flags of `data pairs`.
#[derive(Args)]
pub struct PairsArgs {
    /// Files, directories, globs, hub:owner/name, ms:owner/name or - for the standard input (repeatable)
    #[arg(long, required = true)]
    pub data: Vec<String>,
    /// The table, whose name ends in .csv
    #[arg(long)]
    pub out: PathBuf,
    /// What its columns are called
    #[arg(long, value_enum, default_value = "en")]
    pub columns: PairColumns,
    /// Add a column with the pairs before, so that a later pair is its whole conversation when it is read again
    #[arg(long)]
    pub history: bool,
    /// Replace a table that is already there
    #[arg(long)]
    pub overwrite: bool,
    /// Which rows
    #[command(flatten)]
    pub rows: RowArgs,
}

/// Runs the verb.
///
/// # Errors
/// Rows that are no conversations; an --out that is taken, or ends otherwise.
pub fn run(args: &PairsArgs, output: Output) -> Result<(), Failure> {
    if args.out.extension().is_none_or(|own| !own.eq_ignore_ascii_case("csv")) {
        return Err(Failure::Usage(format!(
            "--out {}: the name of such a table ends in .csv, by which it is known again",
            args.out.display()
        )));
    }
    if args.out.exists() && !args.out.is_file() {
        return Err(Failure::Usage(format!("--out {} is no file; name one that is new", args.out.display())));
    }
    let options = DataOptions { kind: Some(RowKind::Conversation), ..args.rows.options() };
    let dataset = Dataset::open(sources::open(&args.data, args.rows.reading.encoding)?, options)?;
    tell(dataset.report(), output);
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Refuse };
    let counts = write_file(&args.out, existing, |file| {
        let io = |e| io_error(&args.out, e);
        let mut table = PairTable::new(args.columns, args.history);
        file.write_all(table.header().as_bytes()).map_err(io)?;
        for row in dataset.iter() {
            if interrupt::asked() {
                return Err(Failure::Interrupted);
            }
            // Opened as conversations, the data has no others.
            if let (Row::Conversation(conversation), _) = row? {
                file.write_all(table.records(&conversation).as_bytes()).map_err(io)?;
            }
        }
        match table.counts() {
            PairCounts { pairs: 0, conversations, .. } => Err(Error::Data(
                format!("none of the {conversations} conversations has a question with its answer").into(),
            )
            .into()),
            counts => Ok(counts),
        }
    })?;
    told(counts, args.history).iter().for_each(|told| output.warn(told));
    output.json(&json!({
        "event": "done", "out": args.out.to_string_lossy(), "conversations": counts.conversations, "pairs": counts.pairs,
        "later": counts.later, "systems": counts.systems, "tools": counts.tools, "reasoning": counts.reasoning,
        "weights": counts.weights, "lone": counts.lone,
    }));
    output.line(&args.out.display().to_string());
    let pairs = counted(counts.pairs, ["pair", "pairs"]);
    let conversations = counted(counts.conversations, ["conversation", "conversations"]);
    output.say(&format!("{pairs} of {conversations}"));
    Ok(())
}

/// What the table does not hold, a sentence each.
fn told(counts: PairCounts, history: bool) -> Vec<String> {
    let later = if history { 0 } else { counts.later };
    let all = [
        (later, "pairs without what was said before them, which --history adds"),
        (counts.systems, "conversations with a system message, for which the table has no column"),
        (
            counts.tools,
            "conversations with tools, whose calls, results and descriptions are not in the table",
        ),
        (counts.reasoning, "answers with reasoning, for which the table has no column"),
        (counts.weights, "answers with a weight of their own, for which the table has no column"),
        (counts.lone, "questions or answers that stand alone, and are left out"),
    ];
    let given = all.into_iter().filter(|(count, _)| *count > 0);
    given.map(|(count, what)| format!("{what}: {}", grouped(count))).collect()
}
