//! `score`: how likely a model finds a text.

use std::collections::BTreeMap;

use clap::Args;
use kindling::data::{DataOptions, Dataset, RowOrigin, WarningCount};
use kindling::error::Error;
use kindling::kernels::Activations;
use kindling::sample::{LikelihoodConfig, scored_bytes};
use kindling::text::{Message, Row};
use kindling::tokenizer::Tokenizer;
use serde_json::json;

use super::score_masked::{Average, TextScore, TextScorer};
use super::score_pairs::PairArgs;
use super::train::tell;
use super::{ModelArgs, score_pairs};
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::model_files::tokenizer_remedy;
use crate::output::{self, Output};
use crate::sources::{self, TextArgs};

/// Tokens of a row that are scored together at most, however long the context is.
const LONGEST_WINDOW: usize = 2048;

/// Flags of `score`.
#[derive(Args)]
pub struct ScoreArgs {
    /// Which model
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text to score
    #[arg(long, conflicts_with_all = ["tokens", "data"])]
    pub text: Option<String>,
    /// Ids to score, as they are
    #[arg(long, value_delimiter = ',', conflicts_with = "data")]
    pub tokens: Vec<u32>,
    /// Files, directories, globs, hub:owner/name, ms:owner/name or - for the standard input whose rows are scored, as plain text and in
    /// windows of the context, 2048 tokens at most; prints the bits per byte of all (repeatable)
    #[arg(long)]
    pub data: Vec<String>,
    /// Score at most this many rows of --data
    #[arg(long, conflicts_with_all = ["text", "tokens"])]
    pub limit: Option<u64>,
    /// Leave out rows of --data that cannot be used
    #[arg(long, conflicts_with_all = ["text", "tokens"])]
    pub skip_bad_rows: bool,
    /// How texts are found
    #[command(flatten)]
    pub reading: TextArgs,
    /// Begin with the tokenizer's first token; without it, as the tokenizer says
    #[arg(long, conflicts_with_all = ["tokens", "pairs"])]
    pub add_bos: bool,
    /// Add the logits of the last position
    #[arg(long, conflicts_with = "data")]
    pub logits: bool,
    /// How a masked predictor is asked
    #[command(flatten)]
    pub likelihood: LikelihoodConfig,
    /// Whether rows are pairs of answers
    #[command(flatten)]
    pub pairs: PairArgs,
}

/// Runs the verb.
pub fn run(args: &ScoreArgs, everywhere: &Everywhere) -> Result<(), Failure> {
    if args.text.is_none() && args.tokens.is_empty() && args.data.is_empty() {
        return Err(Failure::Usage("there is nothing to score; give --text, --tokens or --data".into()));
    }
    if args.data.is_empty() && args.reading != TextArgs::default() {
        return Err(Failure::Usage(
            "--text-column and --encoding tell how --data is read; leave them out".into(),
        ));
    }
    let output = everywhere.output();
    let (model, tokenizer) = args.model.open(everywhere)?;
    // What writing costs in exactness is measured by scoring as it writes.
    let model = match args.model.activations {
        Some(Activations::EightBits) => model.writing(),
        Some(Activations::Exact) | None => model,
    };
    let scorer = TextScorer::new(&model, args.likelihood, args.logits)?;
    if !args.tokens.is_empty() {
        let bytes = tokenizer.as_ref().map(|tokenizer| scored_bytes(tokenizer, &args.tokens)).transpose()?;
        show(&scorer.score(&args.tokens, bytes, args.logits, 0)?, tokenizer.as_ref(), output);
        return Ok(());
    }
    let tokenizer = tokenizer.ok_or_else(|| {
        Error::Checkpoint(
            format!(
                "{}: there is no tokenizer.json; give ids with --tokens, or {}",
                args.model.model.display(),
                tokenizer_remedy(&args.model.model)
            )
            .into(),
        )
    })?;
    if args.pairs.pairs {
        return score_pairs::run(args, (&model, &tokenizer), everywhere);
    }
    if args.add_bos && tokenizer.bos().is_none() {
        output.warn("the tokenizer has no first token (bos_token), so --add-bos adds nothing");
    }
    if let Some(text) = &args.text {
        let ids = encode(&tokenizer, text, args.add_bos)?;
        let bytes = scored_bytes(&tokenizer, &ids)?;
        show(&scorer.score(&ids, Some(bytes), args.logits, 0)?, Some(&tokenizer), output);
        return Ok(());
    }
    let longest = model.config().context().min(LONGEST_WINDOW);
    score_data(args, &scorer, longest, &tokenizer, output)
}

fn encode(tokenizer: &Tokenizer, text: &str, add_bos: bool) -> Result<Vec<u32>, Failure> {
    let mut ids = tokenizer.encode_whole(text)?;
    if let Some(bos) = tokenizer.bos().filter(|bos| add_bos && ids.first() != Some(bos)) {
        ids.insert(0, bos);
    }
    Ok(ids)
}

fn show(score: &TextScore, tokenizer: Option<&Tokenizer>, output: Output) {
    if score.nll().is_none() {
        output.warn(&Odd::NotFinite.sentence(LONGEST_WINDOW));
    }
    if score.tokens_scored() == 0 {
        output.warn("nothing is scored: nothing predicts the only token; give a longer text");
    }
    score.show(tokenizer, output);
}

/// Each row in windows of the model's context; a window's first token has no prediction.
fn score_data(
    args: &ScoreArgs,
    scorer: &TextScorer,
    longest: usize,
    tokenizer: &Tokenizer,
    output: Output,
) -> Result<(), Failure> {
    let options = DataOptions {
        limit: args.limit,
        skip_bad_rows: args.skip_bad_rows,
        text_column: args.reading.text_column.clone(),
        ..DataOptions::default()
    };
    let data = Dataset::open(sources::open(&args.data, args.reading.encoding)?, options)?;
    tell(data.report(), output);
    let (mut nll, mut tokens, mut bytes) = (0.0, 0, 0);
    let (mut odd, mut windows, mut average) = (OddRows::default(), 0, None);
    for row in data.iter() {
        let (row, origin) = row?;
        odd.count(Odd::of_row(&row), &origin);
        let text = row.texts().collect::<Vec<_>>().join("\n");
        let ids = encode(tokenizer, &text, args.add_bos).map_err(|failure| named(failure, &origin))?;
        odd.count(Odd::of_length(ids.len(), longest), &origin);
        let mut is_finite = true;
        for window in ids.chunks(longest).filter(|window| window.len() > 1) {
            let score =
                scorer.score(window, None, false, windows).map_err(|failure| named(failure, &origin))?;
            is_finite &= score.nll().is_some();
            nll += score.nll().unwrap_or(f64::NAN);
            tokens += score.tokens_scored();
            bytes += scored_bytes(tokenizer, window)?;
            average = Average::with(average, &score);
            windows += 1;
        }
        odd.count((!is_finite).then_some(Odd::NotFinite), &origin);
    }
    odd.tell(longest, output);
    let bits = nll / std::f64::consts::LN_2 / bytes.max(1) as f64;
    let mut result = json!({"rows": data.len(), "nll": nll, "tokens_scored": tokens, "bits_per_byte": bits});
    let mut words = String::new();
    if let Some(average) = average {
        average.add_to(&mut result);
        words = format!(", nll {}", average.in_words());
    }
    output.json(&result);
    let (rows, tokens) =
        (output::counted(data.len(), ["row", "rows"]), output::counted(tokens as u64, ["token", "tokens"]));
    output.line(&format!("{rows}, {tokens}, {bits:.4} bits per byte{words}"));
    Ok(())
}

/// What went wrong, with the row that it went wrong at.
fn named(failure: Failure, origin: &RowOrigin) -> Failure {
    match failure {
        Failure::Work(error) => Error::Data(format!("{origin}: {error}").into()).into(),
        other => other,
    }
}

/// How a row is scored otherwise than a person may think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Odd {
    /// A conversation: its texts alone, without a template.
    PlainText,
    /// With tools or calls of them, which are no part of the text.
    WithoutTools,
    /// In several windows.
    Windows,
    /// Not at all: a first token has no prediction.
    TooShort,
    /// A part of it has a probability of 0, or one that is not a number.
    NotFinite,
}

impl Odd {
    fn of_row(row: &Row) -> Option<Self> {
        let Row::Conversation(conversation) = row else { return None };
        let tools = conversation.tools.is_some() || conversation.messages.iter().any(Message::calls_tools);
        Some(if tools { Self::WithoutTools } else { Self::PlainText })
    }

    fn of_length(tokens: usize, longest: usize) -> Option<Self> {
        match tokens {
            0 | 1 => Some(Self::TooShort),
            tokens if tokens > longest => Some(Self::Windows),
            _ => None,
        }
    }

    fn sentence(self, longest: usize) -> String {
        match self {
            Self::PlainText => {
                "a conversation is scored as plain text, its messages without a template".into()
            }
            Self::WithoutTools => {
                "a conversation is scored as plain text, its messages without tools and their calls".into()
            }
            Self::Windows => {
                format!("longer than {longest} tokens: scored in windows, each as if nothing stood before it")
            }
            Self::TooShort => "fewer than two tokens, of which none has a prediction".into(),
            Self::NotFinite => {
                "a log-probability is not finite: the model rules a token out, or its weights are damaged"
                    .into()
            }
        }
    }
}

/// The odd rows by kind: how many, and the first.
#[derive(Default)]
struct OddRows(BTreeMap<Odd, WarningCount>);

impl OddRows {
    fn count(&mut self, odd: Option<Odd>, origin: &RowOrigin) {
        let none = || WarningCount { rows: 0, first: origin.to_string() };
        if let Some(odd) = odd {
            self.0.entry(odd).or_insert_with(none).rows += 1;
        }
    }

    fn tell(&self, longest: usize, output: Output) {
        for (odd, count) in &self.0 {
            let rows = output::counted(count.rows, ["row", "rows"]);
            output.warn(&format!("{rows}: {} (the first: {})", odd.sentence(longest), count.first));
        }
    }
}
