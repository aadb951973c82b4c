//! `score`: how likely a model finds a text.

use clap::Args;
use kindling::data::{DataOptions, Dataset};
use kindling::error::Error;
use kindling::model::Transformer;
use kindling::sample::{Decoder, Score, scored_bytes};
use kindling::tokenizer::Tokenizer;
use serde_json::json;

use super::ModelArgs;
use super::train::tell;
use crate::cli::Everywhere;
use crate::failure::Failure;
use crate::model_files::tokenizer_remedy;
use crate::output::Output;
use crate::sources::{self, TextArgs};

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
    /// Files, directories, globs or hub:owner/name whose rows are scored; prints the bits per byte of all (repeatable)
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
    #[arg(long, conflicts_with = "tokens")]
    pub add_bos: bool,
    /// Add the logits of the last position
    #[arg(long, conflicts_with = "data")]
    pub logits: bool,
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
    if !args.tokens.is_empty() {
        let bytes = tokenizer.as_ref().map(|tokenizer| scored_bytes(tokenizer, &args.tokens)).transpose()?;
        show(&score(&model, &args.tokens, bytes, args.logits)?, tokenizer.as_ref(), output);
        return Ok(());
    }
    let tokenizer = tokenizer.ok_or_else(|| {
        Error::Checkpoint(format!(
            "{}: there is no tokenizer.json; give ids with --tokens, or {}",
            args.model.model.display(),
            tokenizer_remedy(&args.model.model)
        ))
    })?;
    if args.add_bos && tokenizer.bos().is_none() {
        output.warn("the tokenizer has no first token (bos_token), so --add-bos adds nothing");
    }
    if let Some(text) = &args.text {
        let ids = encode(&tokenizer, text, args.add_bos)?;
        let bytes = scored_bytes(&tokenizer, &ids)?;
        show(&score(&model, &ids, Some(bytes), args.logits)?, Some(&tokenizer), output);
        return Ok(());
    }
    score_data(args, &model, &tokenizer, output)
}

fn encode(tokenizer: &Tokenizer, text: &str, add_bos: bool) -> Result<Vec<u32>, Failure> {
    let mut ids = tokenizer.encode_whole(text)?;
    if let Some(bos) = tokenizer.bos().filter(|bos| add_bos && ids.first() != Some(bos)) {
        ids.insert(0, bos);
    }
    Ok(ids)
}

fn score(model: &Transformer, ids: &[u32], bytes: Option<usize>, logits: bool) -> Result<Score, Failure> {
    Ok(pollster::block_on(Decoder::new(model, ids.len()).score(ids, bytes, logits))?)
}

fn show(score: &Score, tokenizer: Option<&Tokenizer>, output: Output) {
    output.json(score);
    for (&id, logprob) in score.tokens.iter().zip(&score.logprobs) {
        let text = tokenizer.map_or(String::new(), |tokenizer| format!("{:?}", tokenizer.token_text(id)));
        let logprob = logprob.map_or("-".to_string(), |logprob| format!("{logprob:.4}"));
        output.line(&format!("{id:>7} {logprob:>10}  {text}"));
    }
    let nll = score.nll.unwrap_or(f64::NAN);
    let bits = score.bits_per_byte.map_or(String::new(), |bits| format!(", {bits:.4} bits per byte"));
    output.line(&format!("nll {nll:.4} over {} tokens{bits}", score.tokens_scored));
}

/// Each row in windows of the model's context; a window's first token has no prediction.
fn score_data(
    args: &ScoreArgs,
    model: &Transformer,
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
    for row in data.iter() {
        let (row, _) = row?;
        let text = row.texts().collect::<Vec<_>>().join("\n");
        let ids = encode(tokenizer, &text, args.add_bos)?;
        for window in ids.chunks(model.config().context().min(2048)).filter(|window| window.len() > 1) {
            let score = score(model, window, None, false)?;
            nll += score.nll.unwrap_or(f64::NAN);
            tokens += score.tokens_scored;
            bytes += scored_bytes(tokenizer, window)?;
        }
    }
    let bits = nll / std::f64::consts::LN_2 / bytes.max(1) as f64;
    output.json(&json!({"rows": data.len(), "nll": nll, "tokens_scored": tokens, "bits_per_byte": bits}));
    output.line(&format!("{} rows, {tokens} tokens, {bits:.4} bits per byte", data.len()));
    Ok(())
}
