//! Runs that were begun elsewhere.

use kindling::checkpoint::{model_name, read_training};
use kindling::formats::ADAPTER_CONFIG;
use kindling::kernels::Quantization;
use kindling::told::{Told, told};
use kindling::train::{Progress, Stage};
use serde_json::Value;

use super::load::directory;
use super::messages::model::WeightsAs;
use super::models::kept_files;
use super::protocol::{File, Teacher, TeacherFrom, Training, own_name};
use super::runs::keep_saved;
use super::state::{Answer, Engine, OpenModel};
use super::teacher::no_teacher;

impl Engine {
    /// Keeps a run that was saved elsewhere, so that it can go on here: a single-file checkpoint with training
    /// state, or an adapter's directory, whose base must be the open model. Its data are written in `encoding`, or else in
    /// what the run tells.
    pub async fn import_run(
        &self,
        stage: Stage,
        name: Option<String>,
        saved: usize,
        (teacher, encoding): (Option<Teacher>, Option<String>),
        files: Vec<File>,
    ) -> Result<Answer, Told> {
        let mut save = files;
        if saved == 0 || saved > save.len() {
            return Err(told!("run.no_file", "there is no file of the run"));
        }
        let data = save.split_off(saved);
        if data.is_empty() {
            return Err(told!("run.no_data", "a run goes on with the data that it began with; give it, too"));
        }
        let file_name = save[0].name.clone();
        let model = model_name(own_name(&file_name)).to_string();
        let save = directory(save)?;
        let (_, progress) = read_training(|file| Ok(save.get(file).cloned()))
            .map_err(|e| told!("at", "{name}: {why}", name = file_name, why = e.told()))?;
        refuse_other_stage(stage, &progress)?;
        let config = serde_json::to_value(&progress.config).map_err(Told::from)?;
        let config = if let Value::Object(config) = config { config } else { serde_json::Map::new() };
        // The save says what trains: an adapter has no weights of a model.
        let adapter = save.contains_key(ADAPTER_CONFIG).then(serde_json::Map::new);
        let needs_base = adapter.is_some() || progress.reference.is_some();
        let (base, model) = match needs_base {
            true => {
                let open = self.opened()?;
                refuse_other_base(&progress, &open)?;
                (Some(kept_files(&open).await?), (open.name, open.weights))
            }
            false => (None, (model, WeightsAs::F32)),
        };
        let teacher = teacher.map(|teacher| named_by(teacher, &progress)).transpose()?;
        if stage == Stage::Distill && teacher.is_none() {
            return Err(no_teacher());
        }
        let training = Training {
            stage,
            config,
            adapter,
            dpo: None,
            distill: None,
            reason: None,
            grpo: None,
            teacher,
            preset: None,
            experts: None,
            name,
            sample: None,
            questions: Vec::new(),
            encoding: encoding.or_else(|| progress.encoding.clone()),
        };
        Answer::new(keep_saved(training, model, base, &save, data, &progress).await?)
    }
}

/// Refuses a stage whose settings the save does not tell: those of another run, or none, would act.
fn refuse_other_stage(stage: Stage, progress: &Progress) -> Result<(), Told> {
    let own = [
        (progress.dpo.is_some(), Stage::Dpo),
        (progress.taught.is_some(), Stage::Distill),
        (progress.reason.is_some(), Stage::Reason),
        (progress.grpo.is_some(), Stage::Grpo),
    ];
    let found = own.into_iter().find(|(is_told, _)| *is_told).map(|(_, found)| found);
    let fits = found.map_or(matches!(stage, Stage::Pretrain | Stage::Sft), |found| found == stage);
    if fits {
        return Ok(());
    }
    Err(told!(
        "run.other_stage",
        "the saved run is one of {found}, and not of {stage}; name the stage that it began with",
        found = found.map_or("pretrain / sft", Stage::name),
        stage = stage.name()
    ))
}

/// Refuses an open model that is not what a run on preferences is compared with.
fn refuse_other_base(progress: &Progress, open: &OpenModel) -> Result<(), Told> {
    match &progress.reference {
        Some(begun) if begun != open.fingerprint.hex() => Err(told!(
            "run.other_reference",
            "the run is compared with the model that it began with, and '{name}' is another one; open the \
             model that it began with",
            name = open.name
        )),
        _ => Ok(()),
    }
}

/// The teacher of a run that was begun elsewhere: a kept model, which must have the weights that the run tells, and is held
/// as it tells.
fn named_by(teacher: Teacher, progress: &Progress) -> Result<Teacher, Told> {
    match teacher.from {
        TeacherFrom::Kept => {
            let taught = progress.taught.as_ref();
            let fingerprint = taught.map(|taught| taught.teacher.clone());
            let weights = match taught.and_then(|taught| taught.weights) {
                None => WeightsAs::F32,
                Some(Quantization::Q8_0) => WeightsAs::Q8_0,
                Some(Quantization::Q4_0) => WeightsAs::Q4_0,
            };
            Ok(Teacher { fingerprint, weights, ..teacher })
        }
        TeacherFrom::Open | TeacherFrom::Files => {
            Err(told!("teacher.kept", "the teacher of a run that comes from elsewhere must be a kept model"))
        }
    }
}
