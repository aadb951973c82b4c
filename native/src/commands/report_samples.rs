//! What models write for a report: the same built-in prompts to each, greedily.

use std::path::PathBuf;

use kindling::chat::{AnswerSettings, ChatSession};
use kindling::demo::DemoKind;
use kindling::sample::{FinishReason, Flow, HOLE_TOKENS, SamplingConfig, UnmaskConfig, Written};

use super::ModelArgs;
use super::demo::{Opened, sees_both_sides};
use super::generate;
use super::report::ReportArgs;
use super::writing::Writing;
use crate::cli::Everywhere;
use crate::date::Date;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{self, Output};
use crate::report::{Answer, Samples};

/// Nothing is shown while a report is written.
const SILENT: Output = Output { json: false, quiet: true, verbose: false };

/// A model that is to write.
pub struct Writer {
    /// Where it lies.
    pub path: PathBuf,
    /// Whether there is no report without it.
    pub needed: bool,
}

/// Lets models write.
///
/// # Errors
/// A needed model that cannot be opened; an interruption.
pub fn sample(writers: &[Writer], args: &ReportArgs, everywhere: &Everywhere) -> Result<Samples, Failure> {
    interrupt::listen();
    let output = everywhere.output();
    let (mut models, mut lacking) = (Vec::new(), Vec::new());
    for writer in writers {
        let model =
            ModelArgs { model: writer.path.clone(), beside: args.beside.clone(), ..ModelArgs::default() };
        match Opened::open(&model, everywhere) {
            Ok(opened) => models.push(opened),
            Err(failure) if writer.needed => return Err(failure),
            // It tells where the model lies.
            Err(Failure::Work(error)) => lacking.push(error.to_string()),
            Err(Failure::Usage(why)) => lacking.push(why),
            Err(other) => return Err(other),
        }
    }
    lacking.iter().for_each(|told| output.warn(&format!("no samples: {told}")));
    let shared = models.iter().map(|opened| opened.kind).reduce(|one, other| one.shared(other));
    let kind = args.demo_kind.or(shared).unwrap_or(DemoKind::Chat);
    let holes = models.iter().all(|opened| sees_both_sides(opened.model.config()));
    let texts = if kind.writes_on() { kind.openings(holes) } else { kind.questions() };
    let longest = args.max_new_tokens as usize;
    let sampling = SamplingConfig {
        temperature: 0.0,
        repetition_penalty: 1.0,
        max_new_tokens: longest,
        ..SamplingConfig::default()
    };
    let mut prompts: Vec<(String, Vec<Answer>)> = if models.is_empty() {
        Vec::new()
    } else {
        texts.iter().map(|text| (text.to_string(), Vec::new())).collect()
    };
    for opened in &mut models {
        output.say(&format!(
            "{} writes to {}",
            opened.name,
            output::counted(texts.len() as u64, ["prompt", "prompts"])
        ));
        let answers = match kind.writes_on() {
            true => write_on(opened, texts, &sampling)?,
            false => {
                Date::today().set(&mut opened.tokenizer);
                answer(opened, texts, &sampling)?
            }
        };
        prompts.iter_mut().zip(answers).for_each(|((_, all), answer)| all.push(answer));
    }
    let models = models.into_iter().map(|opened| opened.name).collect();
    Ok(Samples { kind, models, prompts, longest, lacking })
}

/// Goes on from texts, or fills their holes.
///
/// # Errors
/// An interruption.
pub fn write_on(opened: &Opened, texts: &[&str], sampling: &SamplingConfig) -> Result<Vec<Answer>, Failure> {
    let Opened { model, tokenizer, .. } = opened;
    let writing = Writing::new(model, Some(tokenizer), false, SILENT);
    let write = |text: &&str| -> Result<Answer, Failure> {
        let asked = generate::Asked::of(text.to_string(), model, tokenizer, HOLE_TOKENS)?;
        let made = writing.write(&asked.with(sampling, UnmaskConfig::default(), false))?;
        // A text with holes ends where it ends.
        let cut = made.holes.is_none() && made.generation.finish_reason == FinishReason::Length;
        Ok(Answer::Text(made.generation.text, cut))
    };
    texts.iter().map(|text| told(write(text))).collect()
}

/// Answers questions, each for itself.
///
/// # Errors
/// An interruption; a chat template that cannot be used at all.
pub fn answer(opened: &Opened, texts: &[&str], sampling: &SamplingConfig) -> Result<Vec<Answer>, Failure> {
    let Opened { model, tokenizer, .. } = opened;
    let end_ids = tokenizer.end_ids(&model.config().eos_token_ids);
    let mut writer = kindling::sample::Writer::new(model, model.config().context());
    let mut session = ChatSession::new(None, None)?;
    let mut answers = Vec::new();
    for text in texts {
        session.reset();
        let settings =
            AnswerSettings { tokenizer, end_ids: &end_ids, sampling, unmask: UnmaskConfig::default() };
        let mut on = |_: Written| if interrupt::asked() { Flow::Stop } else { Flow::Continue };
        let answer = pollster::block_on(session.answer(&mut writer, settings, text, &mut on));
        let answer = answer.map_err(Failure::from).map(|answer| {
            let cut = answer.generation.finish_reason == FinishReason::Length;
            Answer::Text(answer.generation.text.trim().to_string(), cut)
        });
        answers.push(told(answer)?);
    }
    Ok(answers)
}

/// What a model wrote, or why it could not be asked this; an interruption ends it all.
fn told(answer: Result<Answer, Failure>) -> Result<Answer, Failure> {
    if interrupt::asked() {
        return Err(Failure::Interrupted);
    }
    match answer {
        Err(Failure::Work(error)) => Ok(Answer::Refused(error.to_string())),
        Err(Failure::Usage(why)) => Ok(Answer::Refused(why)),
        other => other,
    }
}
