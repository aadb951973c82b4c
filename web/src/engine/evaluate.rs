//! How good the open model is: alone, or before and after what acts beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kindling::data::Source;
use kindling::error::Error;
use kindling::evaluate::{
    AskConfig, Asking, EvalConfig, FORMAT_TOKENS, NamedFile, OpenFiles, RowsOptions, Task, TaskFiles,
    TaskResult, TaskRows,
};
use kindling::example::{DEFAULT_SEED, World};
use kindling::kernels::Activations;
use kindling::model::Transformer;
use kindling::sample::LikelihoodConfig;
use kindling::text::Tags;
use kindling::told::{Told, told};

use super::data::{merged, source};
use super::evaluated::{Listening, evaluation};
use super::messages::evaluate::Examined;
use super::port::Port;
use super::protocol::{Evaluating, File};
use super::state::{Answer, Engine, Talking, Who};

/// Bytes that the keys and values of answers side by side may take.
const CACHE: u64 = 256 << 20;
/// Questions where nobody says how many.
const QUESTIONS: u64 = 50;
/// Rows of the example are drawn from so many questions of each kind.
const EXAMPLE: usize = 12;

/// A model that is to be asked.
struct Examinee {
    who: Examined,
    model: Transformer,
    talking: Talking,
}

impl Engine {
    /// Asks the questions of files, of what acts or of the base, or of both, one after the other.
    ///
    /// # Errors
    /// Settings and rows that cannot be used, a model that cannot do the task, a page that wants no more.
    pub async fn evaluate(&self, asked: &Evaluating, files: Vec<File>, port: &Port) -> Result<Answer, Told> {
        let (task, config) = checked(asked)?;
        let who = Who::of(asked.base, asked.only.as_deref());
        match who {
            Who::Only(named) => self.bring(named).await?,
            _ => self.choices.settle().await,
        }
        let examinees = self.examinees(who, asked.compare, &config.questions)?;
        let listening = Listening::new(self, port, examinees.len());
        let rows = rows(task, asked, &config, files, &listening)?;
        let mut results: Vec<(Examined, TaskResult)> = Vec::new();
        for Examinee { who, model, talking } in &examinees {
            let asking = Asking::new(&config, model, &talking.tokenizer, &listening).map_err(Told::from)?;
            let result = asking.ask(&rows).await.map_err(Told::from)?;
            let cancelled = || told!("call.cancelled", "the call was cancelled");
            results.push((*who, result.ok_or_else(cancelled)?));
            listening.next();
        }
        Answer::new(evaluation(&results, listening.notes()))
    }

    /// The models of now: another choice on the way changes nothing of what is compared.
    fn examinees(
        &self,
        who: Who<'_>,
        compare: Option<bool>,
        config: &EvalConfig,
    ) -> Result<Vec<Examinee>, Told> {
        let adapted = self.acts(who);
        if compare == Some(true) && !adapted {
            return Err(told!(
                "eval.nothing_acts",
                "no adapter acts, so there is no before and after to compare; switch one on, or ask the model alone"
            ));
        }
        let mut asked = Vec::new();
        if adapted && compare.unwrap_or(true) {
            asked.push((Examined::Base, Who::Base));
        }
        asked.push((if adapted { Examined::Adapted } else { Examined::Base }, who));
        let examinee = |(examined, who): (Examined, Who<'_>)| {
            // What is measured is the model, as `kindling eval` measures it.
            let model = self.answering(who)?.with_activations(Activations::Exact);
            let talking = self.talking(who)?;
            if config.apply_chat_template {
                talking.tokenizer.check_chat_template().map_err(Told::from)?;
            }
            Ok::<_, Told>(Examinee { who: examined, model, talking })
        };
        asked.into_iter().map(examinee).collect()
    }
}

/// A few questions with four answers to choose from, about the world that the page's own model knows.
pub fn example_questions() -> Answer {
    let (name, bytes) = World::new(DEFAULT_SEED).choice_file(EXAMPLE);
    Answer { result: serde_json::Value::Null, files: vec![File { name, bytes }] }
}

/// The task, and how it is asked, once all of that holds.
fn checked(asked: &Evaluating) -> Result<(Task, AskConfig), Told> {
    let task = Task::ALL.into_iter().find(|task| task.names().contains(&asked.task.as_str()));
    let task = task.ok_or_else(|| {
        told!(
            "eval.task",
            "'{task}' is no task; known are {known}",
            task = asked.task,
            known = Task::ALL.map(Task::name).join(", ")
        )
    })?;
    let config = AskConfig {
        questions: merged(EvalConfig::default(), asked.config.clone())?,
        likelihood: merged(LikelihoodConfig::default(), asked.likelihood.clone())?,
        tags: merged(Tags::default(), asked.tags.clone())?,
        max_new_tokens: asked.max_new_tokens.unwrap_or(FORMAT_TOKENS),
        batch_size: None,
        cache_bytes: CACHE,
    };
    let problems = problems(asked, task, &config);
    if problems.is_empty() { Ok((task, config)) } else { Err(Error::Config(problems).told()) }
}

/// Everything that does not hold.
fn problems(asked: &Evaluating, task: Task, config: &AskConfig) -> Vec<Told> {
    let mut problems = config.questions.validate(&[task]);
    problems.extend(config.likelihood.validate());
    problems.extend(config.tags.problems());
    for (name, number) in [("limit", asked.limit), ("max_new_tokens", asked.max_new_tokens.map(|n| n as u64))]
    {
        if number == Some(0) {
            problems.push(told!("eval.least", "{name} is 0, but it must be at least 1", name));
        }
    }
    for (name, is_given) in
        [("max_new_tokens", asked.max_new_tokens.is_some()), ("tags", !asked.tags.is_empty())]
    {
        if is_given && task != Task::Format {
            problems.push(told!(
                "eval.of_format",
                "{name} acts on the task format alone; leave it out",
                name
            ));
        }
    }
    if asked.shots_files > 0 && config.questions.shots_of(task) == 0 {
        problems.push(told!(
            "eval.idle_shots",
            "there are rows for examples, and no examples stand before the questions; say how many, or leave the rows out"
        ));
    }
    problems
}

/// The rows of the files that hold them; files that hold none are told of.
fn rows(
    task: Task,
    asked: &Evaluating,
    config: &AskConfig,
    files: Vec<File>,
    listening: &Listening<'_>,
) -> Result<TaskRows, Told> {
    let files = open(task, asked, config, files, listening)?;
    let options = RowsOptions { limit: Some(asked.limit.unwrap_or(QUESTIONS)), ..RowsOptions::default() };
    TaskRows::read(&files, &config.questions, &options, listening).map_err(Told::from)
}

fn open(
    task: Task,
    asked: &Evaluating,
    config: &AskConfig,
    files: Vec<File>,
    listening: &Listening<'_>,
) -> Result<OpenFiles, Told> {
    let named = files.iter().enumerate().map(|(number, file)| NamedFile::of_path(number, &file.name));
    let mut named: Vec<NamedFile<usize>> = named.collect();
    let shots = named.split_off(files.len().saturating_sub(asked.shots_files));
    let mut found = TaskFiles::find(&[task], &named, &shots);
    let Some(found) = found.pop().filter(|found| !found.is_empty()) else {
        return Err(told!("data.none", "there is no data; paste some text or drop a file"));
    };
    let mut left: Vec<Option<File>> = files.into_iter().map(Some).collect();
    let mut opened: BTreeMap<usize, Arc<dyn Source>> = BTreeMap::new();
    let found = found.opened(config.questions.shots_of(task) > 0, |numbers| {
        let mut sources = Vec::new();
        for &number in numbers {
            if let Some(file) = left.get_mut(number).and_then(Option::take) {
                opened.insert(number, source(file, asked.encoding.as_deref())?);
            }
            sources.extend(opened.get(&number).cloned());
        }
        Ok::<_, Told>(sources)
    })?;
    let unread: Vec<String> = left.into_iter().flatten().map(|file| file.name).collect();
    listening.unread(task, &unread);
    Ok(found)
}
