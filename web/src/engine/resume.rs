//! Going on with a run from its last whole save or, where it was never saved, from its beginning.

use std::sync::Arc;

use kindling::adapter::Adapter;
use kindling::checkpoint::{open_tokenizer, read_training};
use kindling::data::DataReport;
use kindling::formats::Files;
use kindling::told::{Told, told};
use kindling::train::{Run, Stage};

use super::aim::Aim;
use super::kept_job::KeptJob;
use super::lesson::Lesson;
use super::load::NOW;
use super::messages::run::Plan;
use super::places;
use super::port::Port;
use super::protocol::File;
use super::runs::{KeptRun, RUNS, beginning, check_id, hold, take_result};
use super::saver::Saver;
use super::state::{Answer, Engine, OpenModel};
use super::told::warning;
use super::training::{Begun, begun_adapter, job};

impl Engine {
    /// Goes on with a run: for `more` steps with one that is done, whose result is then replaced.
    pub async fn resume(&self, id: &str, more: Option<u64>, port: &Port) -> Result<Answer, Told> {
        check_id(id)?;
        let claim = self.claim(id)?;
        let here = hold(id).await?;
        let KeptRun { job, mut saves, .. } = KeptRun::look(id).await?;
        let Some(job) = job else {
            return Err(match saves.damaged.as_slice() {
                [] => told!("run.none", "there is no saved run {id}", id),
                damaged => told!(
                    "run.cannot_go_on",
                    "the saved run {id} cannot go on: {damaged}",
                    id,
                    damaged = places::all_of(damaged)
                ),
            });
        };
        let begun_only = saves.whole.is_empty() && saves.damaged.is_empty();
        let save = match begun_only {
            true => None,
            false => Some(places::read_newest(&format!("{RUNS}/{id}"), &mut saves).await?.1),
        };
        for damaged in &saves.damaged {
            let message = told!("run.part_damaged", "{damaged}; the run goes on from what is whole", damaged);
            port.tell(&warning(&message));
        }
        let Stand { mut run, report, lesson, model } = self.stand(id, &job, save.as_ref(), more).await?;
        let replaces = match more {
            Some(_) => take_result(id).await?,
            None => None,
        };
        if begun_only {
            run.warnings.push(told!("run.anew", "the run was never saved and begins anew"));
        }
        // What is left of the time is for the page to tell from the run's speed.
        let plan = Plan::of(&run.plan, None, run.progress.rows, &report);
        if !self.opened().is_ok_and(|open| open.fingerprint == model.fingerprint) {
            self.replace_model(model.clone());
        }
        let saver = Saver::after(id, &saves);
        let (id, training) = (id.to_string(), job.training);
        let open = model.clone();
        let begun = Begun { id, training, model, run, plan, saver, lesson, replaces, open };
        let outcome = self.execute(claim, begun, port).await;
        drop(here);
        outcome
    }

    /// The run of a save, or from its beginning.
    async fn stand(
        &self,
        id: &str,
        job: &KeptJob,
        save: Option<&Files>,
        more: Option<u64>,
    ) -> Result<Stand, Told> {
        let training = &job.training;
        let files = match save {
            Some(save) if !training.adapts() => save.clone(),
            _ => beginning(id, "base", job).await?,
        };
        let mut model = OpenModel::open(job.model.clone(), job.weights, files, &self.device()?)?;
        if let Some(date) = &job.date {
            Arc::make_mut(&mut model.tokenizer).set_template_variable(NOW, date.clone());
        }
        let data = beginning(id, "data", job).await?.into_iter();
        // A number stands before each name.
        let data = data.map(|(name, bytes)| File { name: name[5.min(name.len())..].to_string(), bytes });
        let data: Vec<File> = data.collect();
        let begun = self.begun(id, job, &model, save).await?;
        let teacher = match &training.teacher {
            Some(teacher) => {
                let files = beginning(id, "teacher", job).await?;
                Some(self.teacher_again(teacher, files, &model).await?)
            }
            None => None,
        };
        let (run, report, lesson) =
            stand_on(job, data, (&model, &begun, teacher.as_ref()), save, more).await?;
        let lesson = match lesson {
            lesson if !job.before().is_empty() => lesson.answered(job.before()),
            mut lesson if training.adapts() => {
                // A run of before did not ask; its base still answers as it did.
                // Without its answers nothing is told of the questions.
                drop(lesson.ask_before(&model.base, &run.tokenizer).await);
                lesson
            }
            lesson => lesson,
        };
        Ok(Stand { run, report, lesson, model })
    }
}

impl Engine {
    /// The model that a run began with, where it is compared with that; else the one that trains.
    async fn begun(
        &self,
        id: &str,
        job: &KeptJob,
        model: &OpenModel,
        save: Option<&Files>,
    ) -> Result<OpenModel, Told> {
        if job.training.adapts() || !job.training.needs_base() || save.is_none() {
            return Ok(model.clone());
        }
        let files = beginning(id, "base", job).await?;
        // A run on rewards that came from elsewhere, and that is held to nothing, brought none.
        if files.is_empty() && job.training.stage == Stage::Grpo {
            return Ok(model.clone());
        }
        OpenModel::open(job.model.clone(), job.weights, files, &self.device()?)
    }
}

/// A run that is ready to go on.
struct Stand {
    run: Run,
    report: DataReport,
    lesson: Lesson,
    /// The model that it belongs to.
    model: OpenModel,
}

async fn stand_on(
    job: &KeptJob,
    data: Vec<File>,
    (model, begun, teacher): (&OpenModel, &OpenModel, Option<&OpenModel>),
    save: Option<&Files>,
    more: Option<u64>,
) -> Result<(Run, DataReport, Lesson), Told> {
    let told = |e: kindling::error::Error| e.told();
    let read = |file: &str| Ok(save.and_then(|save| save.get(file).cloned()));
    let adapter = match save {
        Some(_) if job.training.adapts() => Some(Adapter::open(read).map_err(told)?),
        _ => None,
    };
    let saved = match save {
        Some(_) => Some(read_training(read).map_err(told)?),
        None => None,
    };
    let aim = Aim::of(&job.training, begun, teacher, saved.as_ref().map(|(_, progress)| progress))?;
    let mut of_run = self::job(&job.training, data, (model, &aim), adapter)?;
    let (report, lesson) = (of_run.dataset.report().clone(), Lesson::of(&of_run, &job.training.questions)?);
    let base = model.base.clone().trainable();
    let Some((optimizer, mut progress)) = saved else {
        let of_run = begun_adapter(of_run, model).await?;
        let run = of_run.clone().start(base).map_err(told)?;
        return Ok((aim.join(run, &of_run, begun).await?, report, lesson));
    };
    if job.training.adapts()
        && let Some(mut own) = open_tokenizer(&mut |file: &str| read(file)).map_err(told)?
    {
        // An adapter's run may have a template of its own.
        if let Some(date) = model.tokenizer.template_variable(NOW).cloned() {
            own.set_template_variable(NOW, date);
        }
        of_run.tokenizer = Arc::new(own);
    }
    if let Some(more) = more {
        progress.go_on_for(more);
    }
    let run = of_run.clone().resume(base, optimizer, progress).map_err(told)?;
    Ok((aim.join(run, &of_run, begun).await?, report, lesson))
}
