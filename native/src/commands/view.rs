//! What makes tokens of rows, as `data preview` shows and `data prepare` writes them: as training with the same flags would.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kindling::batch::Content;
use kindling::data::Dataset;
use kindling::error::Error;
use kindling::loss::{ReasonConfig, ReasonSettings};
use kindling::model::{ModelConfig, RopeSettings};
use kindling::text::{RowKind, Tags};
use kindling::tokenizer::{TagWeight, Tokenizer};
use kindling::train::{Stage, TrainConfig};

use super::positions::stretched;
use super::train_args::idle;
use super::use_template;
use crate::date::{Date, tell_unprinted};
use crate::failure::Failure;
use crate::model_files::open_tokenizer_and_config;
use crate::output::Output;
use crate::sources::TurnsArgs;

/// Flags that say what tokens rows become.
#[derive(Args)]
pub struct ViewArgs {
    /// The checkpoint that will train, its tokenizer.json, hub:owner/name or ms:owner/name
    #[arg(long)]
    pub model: PathBuf,
    /// The stage that will train
    #[arg(long, value_enum, default_value = "sft")]
    pub stage: Stage,
    /// A Jinja chat template that replaces the tokenizer's own
    #[arg(long)]
    pub chat_template: Option<PathBuf>,
    /// Longest row in tokens
    #[arg(long, help = length_help())]
    pub max_seq_len: Option<usize>,
    /// How training would stretch the model's positions
    #[command(flatten)]
    pub rope: RopeSettings,
    /// Longest prompt of a pair in tokens, as `dpo` takes it; 0 sets no limit
    #[arg(long, default_value_t = 0)]
    pub max_prompt_len: usize,
    /// How many times as much a token of a tag counts, as `reason` takes it [default: 10]
    #[arg(long)]
    pub tag_weight: Option<f64>,
    /// The tags that `reason` teaches
    #[command(flatten)]
    pub tags: Tags,
    /// The day that chat templates with today's date print, as 2025-07-31 [default: today]
    #[arg(long)]
    pub date: Option<Date>,
}

impl ViewArgs {
    /// Refuses flags that would not act on rows whose conversations become what `turns` says.
    ///
    /// # Errors
    /// Names the flag and where it acts.
    pub fn refuse_idle(&self, turns: TurnsArgs) -> Result<(), Failure> {
        if self.max_prompt_len > 0 && self.stage != Stage::Dpo {
            return Err(Failure::Usage("--max-prompt-len acts on pairs of answers; add --stage dpo".into()));
        }
        if self.stage != Stage::Reason && (self.tag_weight.is_some() || self.tags != Tags::default()) {
            return Err(Failure::Usage(
                "--tag-weight, --think-tags and --answer-tags act on answers that think first; add --stage reason"
                    .into(),
            ));
        }
        self.refuse_unrendered(self.stage.row_kind(), turns)
    }

    /// What the rows are to the stage; where only they tell that they are texts, refuses what would not act on these.
    ///
    /// # Errors
    /// Rows that the stage does not read; else names the flag.
    pub fn content_of(&self, dataset: &Dataset, turns: TurnsArgs) -> Result<Content, Failure> {
        if dataset.tokens().is_none() {
            self.stage.check_rows(dataset)?;
        }
        let content = self.stage.content_of(dataset);
        self.refuse_unrendered(Some(content.row_kind()), turns)?;
        Ok(content)
    }

    /// Refuses flags of a template where rows of this kind are not rendered; of `None` some may be.
    fn refuse_unrendered(&self, rows: Option<RowKind>, turns: TurnsArgs) -> Result<(), Failure> {
        let given = [("--date", self.date.is_some()), ("--chat-template", self.chat_template.is_some())];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) if !turns.renders(rows) => Err(Failure::Usage(idle(flag))),
            _ => Ok(()),
        }
    }

    /// The tags that `reason` teaches, with their weight, where that is the stage.
    ///
    /// # Errors
    /// A weight or tags that do not hold.
    pub fn taught_tags(&self) -> Result<Option<TagWeight>, Failure> {
        let mut config = ReasonConfig::default();
        config.tag_weight = self.tag_weight.unwrap_or(config.tag_weight);
        let reason = ReasonSettings { config, tags: self.tags.clone() };
        match reason.problems() {
            problems if problems.is_empty() => Ok((self.stage == Stage::Reason).then(|| reason.tag_weight())),
            problems => Err(Error::Config(problems).into()),
        }
    }

    /// The tokenizer with its template and date, the settings that training would have, and the model's shape, where there
    /// is a model.
    ///
    /// # Errors
    /// What cannot be opened; a length that does not hold.
    pub fn opened(&self, output: Output) -> Result<(Tokenizer, TrainConfig, Option<ModelConfig>), Failure> {
        let (mut tokenizer, model) = open_tokenizer_and_config(&self.model)?;
        // As a checkpoint has it that is opened whole: rows of hidden tokens are filled with an end.
        let model = model.map(|model| model.with_ends_of(&tokenizer));
        use_template(&mut tokenizer, self.chat_template.as_deref())?;
        self.date.unwrap_or_else(Date::today).set(&mut tokenizer);
        if self.date.is_some() {
            tell_unprinted(&tokenizer);
        }
        let mut config = TrainConfig::of(self.stage);
        let context = self.context(model.clone(), self.max_seq_len.unwrap_or(config.max_seq_len), output)?;
        match (self.max_seq_len, context) {
            (Some(given), _) => config.max_seq_len = given,
            (None, Some(context)) => {
                config.fit_default_length(context).iter().for_each(|note| output.say(note));
            }
            (None, None) => {}
        }
        let too_long = context.and_then(|context| config.length_problem(context));
        match config.problems().into_iter().chain(too_long).collect::<Vec<_>>() {
            problems if problems.is_empty() => Ok((tokenizer, config, model)),
            problems => Err(Error::Config(problems).into()),
        }
    }

    /// The positions that training on rows of this length would have, where there is a model.
    fn context(
        &self,
        model: Option<ModelConfig>,
        longest: usize,
        output: Output,
    ) -> Result<Option<usize>, Failure> {
        match model {
            Some(model) => Ok(Some(stretched(&self.rope, model, Some(longest), output)?.context())),
            None if self.rope.is_empty() => Ok(None),
            None => Err(Failure::Usage(
                "--rope-scaling stretches a model, and there is none beside the tokenizer; leave it out"
                    .into(),
            )),
        }
    }
}

/// The help of `--max-seq-len`, with the stages' own defaults.
fn length_help() -> String {
    let of = |stage: &Stage| format!("{} ({})", TrainConfig::of(*stage).max_seq_len, stage.name());
    let all: Vec<String> = Stage::value_variants().iter().map(of).collect();
    format!(
        "Longest row in tokens [default: as the stage trains: {}, or what the model holds]",
        all.join(", ")
    )
}
