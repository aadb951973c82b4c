//! One model and the rows of one task: what it finds likely, and what it answers.

use kindling::data::RowOrigin;
use kindling::error::Error;
use kindling::evaluate::{
    ContinuationScorer, GSM8K_STOPS, GSM8K_TOKENS, Item, Judged, PairOfAnswers, Sequence, Subject, Task,
    TaskResult, TextResult, gsm8k_judged, gsm8k_prompts, pair_requests, sequences, text_windows,
};
use kindling::model::Transformer;
use kindling::sample::{
    Flow, Generation, GenerationRequest, SamplingConfig, SideBySide, UnmaskConfig, generate_together,
};
use kindling::text::{Conversation, Preference, parse_reasoning, same_answer};
use kindling::tokenizer::Tokenizer;
use kindling::train::TaggedQuestion;

use super::eval::EvalArgs;
use super::eval_rows::{Rows, TaskRows};
use super::meter::Meter;
use super::prompts::cache_bytes;
use super::score_masked::refuse;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::{Output, grouped};

/// Tokens that texts are read in windows of, however long the context is.
const LONGEST_WINDOW: usize = 2048;
/// Answers side by side where nobody says how many.
const SIDE_BY_SIDE: u32 = 16;

/// A model that is asked.
pub struct Asking<'a> {
    args: &'a EvalArgs,
    model: &'a Transformer,
    tokenizer: &'a Tokenizer,
    scorer: ContinuationScorer,
    output: Output,
}

/// What was asked, with its place: subject, number in it, file and line.
type Place<'a> = (&'a str, usize, &'a RowOrigin);

impl<'a> Asking<'a> {
    /// Of a model.
    ///
    /// # Errors
    /// Settings of a masked predictor for one that is none.
    pub fn new(
        args: &'a EvalArgs,
        model: &'a Transformer,
        tokenizer: &'a Tokenizer,
        output: Output,
    ) -> Result<Self, Failure> {
        if model.config().diffusion.is_none() {
            refuse(args.likelihood)?;
        }
        let scorer = ContinuationScorer::new(model, args.likelihood)?;
        let scorer = match args.batch_size {
            Some(rows) => scorer.with_rows(rows as usize),
            None => scorer,
        };
        Ok(Self { args, model, tokenizer, scorer, output })
    }

    fn longest(&self) -> usize {
        self.model.config().context()
    }

    /// How likely each sequence is, group by group.
    fn log_likelihoods(&self, groups: &[Vec<Sequence>]) -> Result<Vec<Vec<f64>>, Failure> {
        let mut meter = Meter::new(groups.len() as u64, self.output);
        let mut on = |judged: Judged| {
            meter.advance(judged.groups as u64, judged.tokens as u64);
            if interrupt::asked() { Flow::Stop } else { Flow::Continue }
        };
        let found = pollster::block_on(self.scorer.score(groups, &mut on));
        meter.finish();
        found?.ok_or(Failure::Interrupted)
    }

    /// What the model writes behind each prompt, greedily; prompts that leave no room get none.
    fn answers(
        &self,
        task: Task,
        prompts: &[&[u32]],
        config: &SamplingConfig,
    ) -> Result<Vec<Option<Generation>>, Failure> {
        self.model.config().check_causal(&format!("writing the answers of {task}"))?;
        let ends = self.tokenizer.end_ids(&self.model.config().eos_token_ids);
        let fits: Vec<usize> = (0..prompts.len()).filter(|&at| prompts[at].len() < self.longest()).collect();
        let request = |&at: &usize| GenerationRequest {
            prompt: prompts[at],
            reuse: 0,
            end_ids: &ends,
            tokenizer: Some(self.tokenizer),
            config,
            unmask: UnmaskConfig::default(),
        };
        let requests: Vec<GenerationRequest> = fits.iter().map(request).collect();
        let mut meter = Meter::new(requests.len() as u64, self.output);
        let mut answers: Vec<Option<Generation>> = vec![None; prompts.len()];
        let mut on_done = |number: usize, generation: Generation| {
            meter.advance(1, generation.tokens.len() as u64);
            answers[fits[number]] = Some(generation);
            Ok(())
        };
        let mut on_step = || if interrupt::asked() { Flow::Stop } else { Flow::Continue };
        let rows = self.args.batch_size.unwrap_or(SIDE_BY_SIDE) as usize;
        let limit = SideBySide { rows, cache_bytes: cache_bytes(self.model) };
        let done = generate_together(self.model, &requests, limit, &mut on_step, &mut on_done);
        let done = pollster::block_on(done);
        meter.finish();
        done?;
        if interrupt::asked() { Err(Failure::Interrupted) } else { Ok(answers) }
    }

    fn tell_cut(&self, task: Task, cut: usize) {
        if cut > 0 {
            self.output.warn(&format!(
                "{task}: {} questions are longer than the model's {} positions and were cut at their beginning",
                grouped(cut as u64),
                grouped(self.longest() as u64)
            ));
        }
    }
}

/// Asks the model everything of a task.
///
/// # Errors
/// A question that cannot be asked, a model that cannot do the task, an interruption.
pub fn ask(asking: &Asking, rows: &TaskRows) -> Result<TaskResult, Failure> {
    let task = rows.task;
    let shots = asking.args.config.shots_of(task);
    if shots > 0 {
        asking.output.say(&format!("{task}: {shots} examples before each question"));
    }
    let mut result = TaskResult { task, shots, items: Vec::new(), texts: None, short: None };
    match &rows.kind {
        Rows::Questions(subjects) if task == Task::Gsm8k => result.items = written(asking, subjects)?,
        Rows::Questions(subjects) => result.items = chosen(asking, task, subjects)?,
        Rows::Texts(texts) => result.texts = Some(held_out(asking, texts)?),
        Rows::Pairs(pairs) => result.items = preferred(asking, pairs)?,
        Rows::Conversations(rows) => result.items = tagged(asking, rows)?,
    }
    Ok(result)
}

/// Choices that are judged: where they stand, which is right, and the characters of each.
type Judgeable<'a> = (Place<'a>, usize, Vec<usize>);

/// Questions with choices, all subjects together, so that no pass waits for the last row of a small one.
fn chosen(asking: &Asking, task: Task, subjects: &[Subject]) -> Result<Vec<Item>, Failure> {
    let (mut groups, mut asked): (Vec<Vec<Sequence>>, Vec<Judgeable>) = (Vec::new(), Vec::new());
    for subject in subjects {
        let config = &asking.args.config;
        groups.extend(sequences(task, subject, config, asking.tokenizer, asking.longest())?);
        let numbered = subject.questions.iter().enumerate();
        asked.extend(numbered.map(|(id, (origin, question))| {
            ((subject.name.as_str(), id, origin), question.gold, question.characters())
        }));
    }
    judged(asking, task, &groups, &asked)
}

fn judged(
    asking: &Asking,
    task: Task,
    groups: &[Vec<Sequence>],
    asked: &[Judgeable],
) -> Result<Vec<Item>, Failure> {
    let found = asking.log_likelihoods(groups)?;
    let mut items = Vec::with_capacity(asked.len());
    for (((place, gold, characters), values), group) in asked.iter().zip(found).zip(groups) {
        let cut = group.iter().map(|sequence| sequence.cut).max().unwrap_or(0);
        items.push(Item::of_choices(*place, (*gold, characters.as_slice()), values, cut));
    }
    asking.tell_cut(task, items.iter().filter(|item| item.cut > 0).count());
    Ok(items)
}

/// Answers of GSM8K.
fn written(asking: &Asking, subjects: &[Subject]) -> Result<Vec<Item>, Failure> {
    let config = SamplingConfig {
        temperature: 0.0,
        repetition_penalty: 1.0,
        max_new_tokens: GSM8K_TOKENS.min((asking.longest() / 2).max(1)),
        stop: GSM8K_STOPS.map(String::from).to_vec(),
        ..SamplingConfig::default()
    };
    let mut items = Vec::new();
    for subject in subjects {
        let own = &asking.args.config;
        let (prompts, cut) = gsm8k_prompts(subject, own, asking.tokenizer, asking.longest())?;
        asking.tell_cut(Task::Gsm8k, cut);
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let answers = asking.answers(Task::Gsm8k, &prompts, &config)?;
        for (id, ((origin, question), answer)) in subject.questions.iter().zip(answers).enumerate() {
            let text = answer.map_or(String::new(), |answer| answer.text);
            let (found, right) = gsm8k_judged(question, &text);
            items.push(Item::of_answer((subject.name.as_str(), id, origin), found, right));
        }
    }
    Ok(items)
}

fn held_out(asking: &Asking, texts: &[(RowOrigin, String)]) -> Result<TextResult, Failure> {
    let longest = asking.longest().min(LONGEST_WINDOW);
    let (mut groups, mut of_text) = (Vec::new(), Vec::new());
    let mut short = 0;
    for (_, text) in texts {
        if interrupt::asked() {
            return Err(Failure::Interrupted);
        }
        let (windows, bytes) = text_windows(asking.tokenizer, text, longest)?;
        short += u64::from(windows.is_empty());
        of_text.push((windows.len(), windows.iter().map(|window| window.judged).sum::<usize>(), bytes));
        groups.extend(windows.into_iter().map(|window| vec![window]));
    }
    if short > 0 {
        let words = "texts are too short: nothing of them is predicted";
        asking.output.warn(&format!("heldout: {} {words}", grouped(short)));
    }
    let mut found = asking.log_likelihoods(&groups)?.into_iter().flatten();
    let mut result = TextResult::new(asking.model.config().diffusion.is_some());
    for (windows, tokens, bytes) in of_text.into_iter().filter(|(windows, ..)| *windows > 0) {
        let nll = -found.by_ref().take(windows).sum::<f64>();
        result.add(nll, tokens, bytes);
    }
    match result.texts() {
        0 => {
            Err(Error::Data("heldout: no text has a token that is predicted; give longer texts".into())
                .into())
        }
        _ => Ok(result),
    }
}

fn preferred(asking: &Asking, pairs: &[(RowOrigin, Preference)]) -> Result<Vec<Item>, Failure> {
    let at = |origin: &RowOrigin, error: Error| Error::Data(format!("{origin}: {error}").into());
    let (mut groups, mut asked): (Vec<Vec<Sequence>>, Vec<Judgeable>) = (Vec::new(), Vec::new());
    for (id, (origin, pair)) in pairs.iter().enumerate() {
        if interrupt::asked() {
            return Err(Failure::Interrupted);
        }
        let pair = pair_requests(asking.tokenizer, pair).map_err(|error| at(origin, error))?;
        let ids = pair.requests.iter().map(|request| request.ids(asking.tokenizer, asking.longest()));
        groups.push(ids.collect::<Result<Vec<_>, _>>().map_err(|error| at(origin, error))?);
        asked.push((("", id, origin), PairOfAnswers::BETTER, pair.characters.to_vec()));
    }
    judged(asking, Task::Pairs, &groups, &asked)
}

/// Answers that should think first: whether they keep the tags, and whether what stands in them is right.
fn tagged(asking: &Asking, rows: &[(RowOrigin, Conversation)]) -> Result<Vec<Item>, Failure> {
    let tags = &asking.args.tags;
    let mut asked = Vec::new();
    for (origin, conversation) in rows {
        let question = TaggedQuestion::of(conversation, asking.tokenizer, tags);
        let question = question.map_err(|error| Error::Data(format!("{origin}: {error}").into()))?;
        asked.extend(question.map(|question| (origin, question)));
    }
    if asked.is_empty() {
        return Err(Error::Data(
            "format: no row has thinking and answer between their tags, so there is nothing to compare answers with; give \
             such rows, or other tags with --think-tags and --answer-tags"
                .into(),
        )
        .into());
    }
    if asked.len() < rows.len() {
        let left = grouped((rows.len() - asked.len()) as u64);
        asking
            .output
            .warn(&format!("format: {left} rows whose own answers do not keep the tags are left out"));
    }
    let config = SamplingConfig {
        temperature: 0.0,
        repetition_penalty: 1.0,
        max_new_tokens: asking.args.max_new_tokens as usize,
        ..SamplingConfig::default()
    };
    let prompts: Vec<&[u32]> = asked.iter().map(|(_, question)| question.prompt.as_slice()).collect();
    let answers = asking.answers(Task::Format, &prompts, &config)?;
    let mut items = Vec::new();
    for (id, ((origin, question), answer)) in asked.iter().zip(answers).enumerate() {
        // The tags may be special tokens.
        let tokens = answer.map_or(Vec::new(), |answer| answer.tokens);
        let text = question.opened.clone() + &asking.tokenizer.decode(&tokens, false)?;
        let parts = parse_reasoning(&text, tags);
        let right = parts.answer.is_some_and(|found| same_answer(found, &question.answer));
        let found = parts.answer.unwrap_or_default().to_string();
        items.push(Item::of_answer(("", id, *origin), found, [parts.keeps_format(), right]));
    }
    Ok(items)
}
