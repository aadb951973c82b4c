//! The model beside the one that trains, where a stage has one: what preferences and rewards are compared with, or a teacher.

use std::path::Path;
use std::sync::Arc;

use kindling::adapter::Adapter;
use kindling::device::OpenDevice;
use kindling::loss::Objective;
use kindling::model::Transformer;
use kindling::tokenizer::Tokenizer;
use kindling::train::{Job, Run, Stage};

use super::reference::Compared;
use super::teacher::Taught;
use super::train_args::TrainArgs;
use crate::failure::Failure;
use crate::model_files::at;
use crate::output::Output;
use crate::run_dir::RunDir;

/// What stands beside the model that trains.
pub enum SecondModel {
    /// What preferences and rewards are compared with.
    Reference(Box<Compared>),
    /// What a student learns from.
    Teacher(Box<Taught>),
}

impl SecondModel {
    /// That of a stage; from the model with its adapter, if one trains, and from the last save of a run that goes on.
    ///
    /// # Errors
    /// A model that is not there, does not fit, or is not the run's.
    pub fn open(
        stage: Stage,
        args: &TrainArgs,
        (model, adapter, last_save): (&Transformer, Option<&Adapter>, Option<&Path>),
        tokenizer: &Tokenizer,
        device: &OpenDevice,
    ) -> Result<Option<Self>, Failure> {
        Ok(match stage {
            Stage::Pretrain | Stage::Sft | Stage::Reason => None,
            Stage::Dpo | Stage::Grpo => {
                let compared = Compared::open(stage, args, (model, adapter, last_save), device)?;
                compared.map(|compared| Self::Reference(Box::new(compared)))
            }
            Stage::Distill => {
                // Before its vocabulary is compared with the teacher's, in which a mask is missing.
                let student = args.model.as_deref().unwrap_or(Path::new("--model"));
                model.config().check_causal("distill --model").map_err(|e| at(student, e))?;
                let settings = (&args.distillation, &args.rollouts);
                let taught = Taught::open(settings, (model, last_save), tokenizer, device)?;
                let replaced = args.out.as_deref().filter(|_| args.overwrite);
                Some(Self::Teacher(Box::new(taught.in_place_of(replaced))))
            }
        })
    }

    /// What the run minimises.
    pub fn objective(&self) -> Arc<dyn Objective> {
        match self {
            Self::Reference(compared) => compared.objective(),
            Self::Teacher(taught) => taught.objective(),
        }
    }

    /// Gives the run what belongs to it, and keeps beside it what has to be kept; `job` is what it is made of.
    ///
    /// # Errors
    /// As [`Compared::join`] and [`Taught::join`].
    pub fn join(
        self,
        run: Run,
        job: &Job,
        directory: &RunDir,
        args: &TrainArgs,
        output: Output,
    ) -> Result<Run, Failure> {
        match self {
            Self::Reference(compared) => compared.join(run, job, directory, args, output),
            Self::Teacher(taught) => taught.join(run, job, directory, args.resume, output),
        }
    }
}
