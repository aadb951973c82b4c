//! What a run would need. The data of a plan stay opened for the run that usually follows.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use kindling::batch::Survey;
use kindling::bench::matmul_flops;
use kindling::data::{DataReport, Dataset};
use kindling::device::is_processor;
use kindling::platform::SURVEYED_BYTES;
use kindling::told::{Told, told};
use kindling::train::{self, Job};
use serde_json::Map;

use super::aim::Aim;
use super::data::dataset;
use super::load::NOW;
use super::messages::run::Plan;
use super::protocol::{File, Training};
use super::state::{Answer, Engine, OpenModel};
use super::training::{config_of, job_on};

/// Settings that change nothing of how the data are read.
const OF_THE_LOOP: [&str; 22] = [
    "epochs",
    "steps",
    "min-steps",
    "stop-at-loss",
    "keep-share",
    "grad-accum",
    "learning-rate",
    "lr-schedule",
    "warmup-ratio",
    "min-lr-ratio",
    "weight-decay",
    "freeze",
    "log-every",
    "eval-every",
    "neftune",
    "dropout",
    "muon",
    "early-stop",
    "ema",
    "activation-checkpointing",
    "loss-weight",
    "t-range",
];

/// Data that were opened and looked at.
pub struct Planned {
    /// Of which files, settings and model.
    key: u64,
    dataset: Arc<Dataset>,
    /// What one pass over them holds.
    pub survey: Survey,
}

impl Engine {
    /// What a run would need.
    pub async fn plan(&self, training: &Training, mut files: Vec<File>) -> Result<Answer, Told> {
        let told = |e: kindling::error::Error| e.told();
        let open = self.opened()?;
        let model = open.planned(training)?;
        let teacher = self.teacher(training.teacher.as_ref(), &mut files, &model).await?;
        let aim = Aim::of(training, &model, teacher.as_ref().map(|teacher| &teacher.model), None)?;
        let (job, planned) = self.surveyed(training, files, (&model, &open), &aim)?;
        job.validate(&model.base).map_err(told)?;
        let (steps, survey) = (job.total_steps(&planned.survey), &planned.survey);
        let plan = job.plan(&model.base, survey, steps);
        let mut info = self.info(&plan, job.dataset.len(), job.dataset.report()).await?;
        let (_, fitted) = config_of(training, &model, &aim)?;
        info.note(fitted.into_iter().chain(job.warnings()).collect());
        info.note(job.remarks(survey));
        info.note(beyond(&plan, info.seconds, is_processor(&self.device()?)));
        self.planned.replace(Some(planned));
        Answer::new(info)
    }

    /// A job on files, and what one pass over them holds; those of the last plan are not read once more. The model that
    /// trains is the open one, or has its tokenizer.
    ///
    /// # Errors
    /// Data or settings that cannot be used.
    pub fn surveyed(
        &self,
        training: &Training,
        files: Vec<File>,
        (model, open): (&OpenModel, &OpenModel),
        aim: &Aim,
    ) -> Result<(Job, Planned), Told> {
        let key = key(training, &files, open)?;
        if let Some(planned) = self.planned.take().filter(|planned| planned.key == key) {
            return Ok((job_on(training, Arc::clone(&planned.dataset), (model, aim), None)?, planned));
        }
        let (config, _) = config_of(training, model, aim)?;
        let encoding = training.encoding.as_deref();
        let dataset = Arc::new(dataset(training.stage, &config, &model.tokenizer, encoding, files)?);
        let job = job_on(training, Arc::clone(&dataset), (model, aim), None)?;
        job.validate(&model.base).map_err(Told::from)?;
        let survey = job.survey(SURVEYED_BYTES).map_err(Told::from)?;
        Ok((job, Planned { key, dataset, survey }))
    }

    /// A plan for the page, with the time that it takes here.
    ///
    /// # Errors
    /// No device is open.
    pub async fn info(&self, plan: &train::Plan, rows: u64, report: &DataReport) -> Result<Plan, Told> {
        // A training step reaches about a third of a bare product's speed.
        let speed = matmul_flops(&self.device()?).await / 3.0;
        Ok(Plan::of(plan, Some(plan.flops / speed), rows, report))
    }
}

/// What is beyond a tab: more memory than WebAssembly has, where the processor computes, or days of time.
fn beyond(plan: &train::Plan, seconds: Option<f64>, on_processor: bool) -> Vec<Told> {
    const MEMORY: u64 = 1 << 32;
    const DAY: f64 = 86_400.0;
    let gigabytes = (plan.bytes() as f64 / 1e9).round();
    let days = (seconds.unwrap_or_default() / DAY).round();
    let told = [
        (
            on_processor && plan.bytes() > MEMORY,
            told!(
                "plan.memory",
                "the run needs about {gigabytes} GB of memory, and a tab has at most 4; take a smaller --batch-size or \
                 shorter rows (--max-seq-len)",
                gigabytes
            ),
        ),
        (
            days >= 1.0,
            told!(
                "plan.time",
                "the run would take about {days} days here; take fewer --steps, or a smaller --batch-size",
                days
            ),
        ),
    ];
    told.into_iter().filter(|(is, _)| *is).map(|(_, told)| told).collect()
}

/// Stands for the files and for all that decides how they are read, beside the model that is open.
fn key(training: &Training, files: &[File], model: &OpenModel) -> Result<u64, Told> {
    let mut read = training.clone();
    (read.name, read.sample) = (None, None);
    // Whether an adapter trains decides defaults; its own settings read nothing.
    read.adapter.iter_mut().for_each(Map::clear);
    read.config.retain(|setting, _| !OF_THE_LOOP.contains(&setting.as_str()));
    let mut hash = DefaultHasher::new();
    serde_json::to_string(&read).map_err(Told::from)?.hash(&mut hash);
    model.fingerprint.hex().hash(&mut hash);
    model.tokenizer.chat_template().hash(&mut hash);
    model.tokenizer.template_variable(NOW).map(ToString::to_string).hash(&mut hash);
    for file in files {
        file.name.hash(&mut hash);
        file.bytes.hash(&mut hash);
    }
    Ok(hash.finish())
}
