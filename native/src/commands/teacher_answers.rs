//! `distill --generate`: a teacher answers the prompts of files, for students of any vocabulary to be fine-tuned on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use kindling::kernels::Quantization;
use kindling::model::Transformer;
use kindling::sample::{Flow, Generation, SamplingConfig, generate_together};
use kindling::tokenizer::Tokenizer;
use serde_json::json;

use super::answers_file::{AnswersFile, MadeBy};
use super::prompt_rows::{self, Asked, PromptRows, PromptSource};
use super::row_file::{Existing, PromptHash, made_by, refuse_own_source};
use super::{fingerprint, generate, load, open_device, sampling_of, use_template, with_adapters};
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::date::Date;
use crate::failure::Failure;
use crate::interrupt;
use crate::model_files::tokenizer_remedy;
use crate::output::{self, Output};
use crate::shell_word::path_word;

/// The parser's name for `distill --generate`.
pub const VERB: &str = "teacher-answers";

/// Reads `distill --generate` as a verb of its own: its flags are those of `generate`, and not those of training.
pub fn as_verb(mut args: Vec<OsString>) -> Vec<OsString> {
    const VALUES: [&str; 2] = ["--device", "--dtype"];
    let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let is_verb = |&i: &usize| !words[i].starts_with('-') && !VALUES.contains(&words[i - 1].as_str());
    let verb = (1..words.len()).find(is_verb).filter(|&i| words[i] == "distill");
    let flag = words.iter().position(|word| word == "--generate");
    if let (Some(verb), Some(flag)) = (verb, flag) {
        args[verb] = VERB.into();
        args.remove(flag);
    }
    args
}

/// Flags of `distill --generate`.
#[derive(Args)]
pub struct AnswerArgs {
    /// The model that answers: a directory, a .zip of one, a single .safetensors or .gguf file, a MiniMind .pth, or
    /// hub:owner/name or ms:owner/name
    #[arg(long)]
    pub teacher: PathBuf,
    /// What the teacher's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// A LoRA adapter of the teacher in the layout of PEFT or mlx-lm (repeatable)
    #[arg(long)]
    pub adapter: Vec<PathBuf>,
    /// Hold the teacher's matrices in few bits: less memory, a little less exact [default: as f32]
    #[arg(long, value_enum)]
    pub weights: Option<Quantization>,
    /// Files, directories, globs, hub:owner/name, ms:owner/name or - for the standard input whose rows are prompts (repeatable):
    /// {"messages": […]}, {"question": TEXT}, {"prompt": TEXT} and others; a text is what a user says
    #[arg(long, required = true)]
    pub data: Vec<String>,
    /// The file of answers, rows for `sft`: {"id": N, "messages": […]}
    #[arg(long)]
    pub out: PathBuf,
    /// Go on where the answers in --out end
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Replace the answers in --out
    #[arg(long)]
    pub overwrite: bool,
    /// Keep answers that --max-new-tokens or the context cut; else they are left out and counted
    #[arg(long)]
    pub keep_cut: bool,
    /// Which rows of --data, and how they are read
    #[command(flatten)]
    pub rows: PromptRows,
    /// How tokens are chosen
    #[command(flatten)]
    pub sampling: SamplingConfig,
}

/// The model that answers.
struct Teacher {
    model: Transformer,
    tokenizer: Tokenizer,
    /// The fingerprints of its weights and its adapters'.
    fingerprint: String,
}

/// Runs the verb; `said` are the flags that were given.
///
/// # Errors
/// A teacher, rows or settings that cannot be used; answers of something else in --out; an interruption.
pub fn run(mut args: AnswerArgs, everywhere: &Everywhere, said: &[String]) -> Result<(), Failure> {
    let output = everywhere.output();
    generate::check(&args.sampling)?;
    refuse_own_source(&args.out, &args.data)?;
    let existing = Existing::of(args.resume, args.overwrite);
    let before: Option<MadeBy> = if args.resume { made_by(&args.out)? } else { None };
    let mut teacher = Teacher::open(&args, everywhere)?;
    args.sampling = sampling_of(&args.sampling, &teacher.model, said, output);
    use_template(&mut teacher.tokenizer, args.rows.chat_template.as_deref())?;
    teacher.tokenizer.check_chat_template()?;
    // The day of the first answers is that of all.
    let begun = before.and_then(|before| before.date.parse().ok());
    let date = args.rows.date.or(begun).unwrap_or_else(Date::today);
    date.set(&mut teacher.tokenizer);
    teacher.model.config().check_causal("distill --generate")?;
    let source = PromptSource {
        data: &args.data,
        rows: &args.rows,
        sampling: &args.sampling,
        masks: None,
        as_chat: true,
    };
    let asked = prompt_rows::read(&source, teacher.model.config().context(), &teacher.tokenizer, output)?;
    let asked: Vec<Asked> = asked.into_iter().map(|(_, asked)| asked).collect();
    let made = MadeBy {
        teacher: teacher.fingerprint.clone(),
        numbers: format!("{:?} {:?}", everywhere.dtype, args.weights),
        sampling: args.sampling.clone(),
        date: date.to_string(),
        keep_cut: args.keep_cut,
        prompts: hash(&asked),
    };
    let mut file = AnswersFile::open(&args.out, existing, &made, asked.len())?;
    if file.done > 0 {
        output.say(&format!(
            "going on behind {} of {}",
            file.done,
            output::counted(asked.len() as u64, PROMPTS)
        ));
    }
    let answered = teacher.answer(&asked[file.done..], &args.rows, &mut file, output);
    file.finish()?;
    answered?;
    conclude(&args, &file, asked.len(), output)
}

impl Teacher {
    fn open(args: &AnswerArgs, everywhere: &Everywhere) -> Result<Self, Failure> {
        let (device, path) = (open_device(everywhere)?, args.teacher.as_path());
        let checkpoint = args.beside.open(path)?;
        let model = load(&checkpoint, args.weights, &device.device, path)?;
        let fingerprint = fingerprint(&model, &checkpoint, &args.adapter, path)?;
        let (model, tokenizer) = with_adapters(model, &checkpoint, &args.adapter, everywhere)?;
        let tokenizer = tokenizer.ok_or_else(|| {
            Failure::Usage(format!(
                "{}: there is no tokenizer.json; {}",
                path.display(),
                tokenizer_remedy(path)
            ))
        })?;
        Ok(Self { model, tokenizer, fingerprint })
    }

    /// Answers these prompts, several side by side, into the file and in their order.
    fn answer(
        &self,
        asked: &[Asked],
        rows: &PromptRows,
        file: &mut AnswersFile,
        output: Output,
    ) -> Result<(), Failure> {
        const TOLD: usize = 10;
        interrupt::listen();
        let ends = self.tokenizer.end_ids(&self.model.config().eos_token_ids);
        let requests: Vec<_> = asked.iter().map(|asked| asked.request(&self.tokenizer, &ends)).collect();
        let (mut waiting, mut next) = (BTreeMap::new(), 0);
        let mut on_done = |number: usize, generation: Generation| -> kindling::error::Result<()> {
            // What there is of an answer that was interrupted is none.
            if interrupt::asked() {
                return Ok(());
            }
            waiting.insert(number, generation);
            while let Some(generation) = waiting.remove(&next) {
                let Asked { conversation, variables, .. } = &asked[next];
                file.add(conversation, variables, &generation)?;
                next += 1;
                if next * TOLD / asked.len() > (next - 1) * TOLD / asked.len() && next < asked.len() {
                    output.say(&format!("answered {next} of {}", asked.len()));
                }
            }
            Ok(())
        };
        let mut on_step = || if interrupt::asked() { Flow::Stop } else { Flow::Continue };
        let limit = rows.side_by_side(&self.model);
        let outcome =
            pollster::block_on(generate_together(&self.model, &requests, limit, &mut on_step, &mut on_done));
        if interrupt::asked() {
            output.say(&format!(
                "stopped behind {next} of {}; the same command with --resume goes on",
                output::counted(asked.len() as u64, PROMPTS)
            ));
            return Err(Failure::Interrupted);
        }
        Ok(outcome?)
    }
}

/// What prompts are counted as.
const PROMPTS: [&str; 2] = ["prompt", "prompts"];

/// A hash of what is asked, and how.
fn hash(asked: &[Asked]) -> String {
    let mut hash = PromptHash::default();
    asked.iter().for_each(|Asked { ids, config, .. }| hash.add(ids, config));
    hash.finish()
}

/// Says what came of it.
fn conclude(args: &AnswerArgs, file: &AnswersFile, prompts: usize, output: Output) -> Result<(), Failure> {
    let left_out = prompts as u64 - file.written;
    let cut = [
        "answer did not end within --max-new-tokens and the context, and is left out; allow more, or keep it with --keep-cut",
        "answers did not end within --max-new-tokens and the context, and are left out; allow more, or keep them with \
         --keep-cut",
    ];
    let empty = ["answer is empty and left out", "answers are empty and left out"];
    for (count, words) in [(file.cut, cut), (file.empty, empty)] {
        if count > 0 {
            output::warn(&output::counted(count, words));
        }
    }
    output.json(&json!({
        "event": "done", "out": args.out.to_string_lossy(), "prompts": prompts, "answers": file.written, "left_out": left_out,
        "cut": file.cut, "empty": file.empty,
    }));
    output.line(&args.out.display().to_string());
    output.say(&format!(
        "{} to {}; fine-tune on them: kindling sft --model STUDENT --data {}",
        output::counted(file.written, ["answer", "answers"]),
        output::counted(prompts as u64, PROMPTS),
        path_word(&args.out)
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generate_behind_distill_is_a_verb_of_its_own() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (line, expected) in [
            ("k distill --teacher t --generate --out o", "k teacher-answers --teacher t --out o"),
            ("k --device cpu distill --generate", "k --device cpu teacher-answers"),
            ("k --json distill --generate --help", "k --json teacher-answers --help"),
            ("k distill --teacher t", "k distill --teacher t"),
            ("k sft --out distill --generate", "k sft --out distill --generate"),
        ] {
            assert_eq!(as_verb(words(line)), words(expected), "{line}");
        }
    }
}
