//! What a run of preferences or of rewards is compared with: the frozen model that it began with, the one under the adapter, or
//! log-probabilities that were computed once and lie beside the run.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, Device};
use kindling::adapter::{Adapter, Fingerprint};
use kindling::checkpoint::{PROGRESS, REFERENCE, read_reference, write_reference};
use kindling::device::OpenDevice;
use kindling::error::Error;
use kindling::loss::{Dpo, Grpo, Objective, Reference, ReferenceKind};
use kindling::model::Transformer;
use kindling::train::{Job, Progress, ReferenceLogProbs, ReferenceTies, Run, Stage};

use super::train_args::TrainArgs;
use super::{asking, load};
use crate::disk::map;
use crate::failure::Failure;
use crate::hub;
use crate::model_files::{at, read_optional};
use crate::output::{self, Output};
use crate::ranks;
use crate::run_dir::RunDir;

/// What a run is compared with.
pub struct Compared {
    stage: Stage,
    kind: ReferenceKind,
    objective: Arc<dyn Objective>,
    /// The fingerprint of the weights that the run began with.
    begun_with: String,
    /// Whether an adapter trains, under which they stay.
    adapts: bool,
    device: Device,
    dtype: DType,
    /// What lies beside a run that is overwritten.
    earlier: Option<ReferenceLogProbs>,
}

impl Compared {
    /// From the model with its adapter, if one trains, and from the last save of a run that goes on; `None` where rewards
    /// are compared with nothing.
    ///
    /// # Errors
    /// A model that is not what the run began with, or not there any more.
    pub fn open(
        stage: Stage,
        args: &TrainArgs,
        (model, adapter, last_save): (&Transformer, Option<&Adapter>, Option<&Path>),
        device: &OpenDevice,
    ) -> Result<Option<Self>, Failure> {
        let (adapts, dtype) = (adapter.is_some(), model.dtype());
        let kind = match stage {
            Stage::Grpo => args.grpo_config().reference_of(adapts),
            _ => Some(args.dpo.reference_of(adapts)),
        };
        let Some(kind) = kind else { return Ok(None) };
        let begun_with = match (adapter, last_save) {
            (Some(adapter), _) => adapter.config.base.as_ref().map(|base| base.hex().to_string()),
            (None, None) => Some(fingerprint(model)?),
            (None, Some(save)) => progress(save)?.reference,
        };
        let begun_with = begun_with.ok_or_else(|| {
            let told = "the run does not tell which weights it began with; begin it again with --overwrite";
            Failure::from(Error::Checkpoint(told.into()))
        })?;
        let plain = device.device.clone();
        let reference = match (kind, last_save) {
            (ReferenceKind::Base, _) => Reference::Base,
            (ReferenceKind::Cached, _) => Reference::Cached,
            (ReferenceKind::Frozen, None) => Reference::frozen(model),
            (ReferenceKind::Frozen, Some(_)) => {
                Reference::frozen(&reopened(args, &plain, dtype, &begun_with)?)
            }
        };
        let objective: Arc<dyn Objective> = match stage {
            Stage::Grpo => Arc::new(Grpo::new(args.grpo_config(), Some(reference))),
            _ => Arc::new(Dpo::new(args.dpo.clone(), reference)),
        };
        let replaced = args.out.as_deref().filter(|_| args.overwrite && kind == ReferenceKind::Cached);
        let earlier = replaced.and_then(|out| asking::earlier(out, REFERENCE, read_reference));
        Ok(Some(Self { stage, kind, objective, begun_with, adapts, device: plain, dtype, earlier }))
    }

    /// What the run minimises.
    pub fn objective(&self) -> Arc<dyn Objective> {
        Arc::clone(&self.objective)
    }

    /// Gives the run what it is compared with, and keeps beside it what has to be kept; `job` is what it is made of.
    ///
    /// # Errors
    /// Log-probabilities of other rows or of another model; a file that cannot be read or written.
    pub fn join(
        self,
        mut run: Run,
        job: &Job,
        directory: &RunDir,
        args: &TrainArgs,
        output: Output,
    ) -> Result<Run, Failure> {
        run.progress.dpo = (self.stage == Stage::Dpo).then(|| args.dpo.clone());
        if !self.adapts {
            run.progress.reference = Some(self.begun_with.clone());
        }
        if self.kind != ReferenceKind::Cached {
            return Ok(run);
        }
        let ties = ReferenceTies::of(job, &self.begun_with, self.dtype, &run.model.config().rope_scaling)?;
        let path = directory.path().join(REFERENCE);
        let kept = read_optional(&path)?.filter(|_| args.resume || ranks::follows());
        let known = match (kept, &self.earlier) {
            (Some(bytes), _) => {
                let known = read_reference(&bytes).map_err(|e| at(directory.path(), e))?;
                known.check(&ties).map_err(|e| at(directory.path(), e))?;
                known
            }
            (None, Some(earlier)) if earlier.ties == ties => {
                output.say("the reference's log-probabilities of the run before are used again");
                self.store(earlier.clone(), directory)?
            }
            (None, _) => ReferenceLogProbs::unasked(ties),
        };
        let known = match known.whole {
            true => known,
            false => self.ask(&run, job, known, (args, directory), output)?,
        };
        Ok(run.with_reference(Arc::new(known)))
    }

    fn store(&self, known: ReferenceLogProbs, directory: &RunDir) -> Result<ReferenceLogProbs, Failure> {
        directory.write(REFERENCE, &write_reference(&known)?)?;
        Ok(known)
    }

    /// Asks the reference for every pair that is not known yet: the model of a run that begins, or what it began with.
    fn ask(
        &self,
        run: &Run,
        job: &Job,
        begun: ReferenceLogProbs,
        (args, directory): (&TrainArgs, &RunDir),
        output: Output,
    ) -> Result<ReferenceLogProbs, Failure> {
        let reopened = match args.resume && !self.adapts {
            true => Some(reopened(args, &self.device, self.dtype, &self.begun_with)?),
            false => None,
        };
        let model = reopened.as_ref().unwrap_or(&run.model);
        let rows = job.dataset.len();
        output.say(&format!("asking the reference about {}, once", output::counted(rows, ["pair", "pairs"])));
        let mut telling = asking::telling(rows, output);
        let known = pollster::block_on(job.reference_log_probs(model, begun, &mut telling))?;
        let known = self.store(known, directory)?;
        match known.whole {
            true => Ok(known),
            false => {
                let place = (directory.path(), args.resume);
                Err(asking::stopped("the reference", known.known.len(), place, output))
            }
        }
    }
}

/// The fingerprint of a model's weights.
fn fingerprint(model: &Transformer) -> Result<String, Failure> {
    Ok(Fingerprint::of(&pollster::block_on(model.weights())?).hex().to_string())
}

/// Where a save stands.
pub(super) fn progress(save: &Path) -> Result<Progress, Failure> {
    let lacking = || Error::Checkpoint(format!("there is no {PROGRESS}").into());
    let bytes = map(&save.join(PROGRESS))?.ok_or_else(|| at(save, lacking()))?;
    let progress = serde_json::from_slice(&bytes);
    Ok(progress.map_err(|e| at(save, Error::Checkpoint(format!("{PROGRESS} is damaged: {e}").into())))?)
}

/// The model that a run began with, out of its own place.
fn reopened(
    args: &TrainArgs,
    device: &Device,
    dtype: DType,
    begun_with: &str,
) -> Result<Transformer, Failure> {
    const REMEDY: &str = "name it as it was, or its new place, with --model DIR";
    let path = args.model.as_deref().unwrap_or(Path::new("MODEL"));
    if !path.exists() && !hub::is_address(&path.to_string_lossy()) {
        let path = path.display();
        return Err(Failure::Usage(format!(
            "{path}: the model that the run is compared with is not there any more; {REMEDY}"
        )));
    }
    let mut checkpoint = args.beside.open(path)?;
    // As the run that began with it stretched it.
    (checkpoint.config, _) = args.rope.shape(checkpoint.config, Some(args.train.max_seq_len))?;
    let model = load(&checkpoint, None, device, path)?;
    match fingerprint(&model)? == begun_with {
        true => Ok(model.with_dtype(dtype)),
        false => Err(Error::Checkpoint(
            format!(
                "{}: these are not the weights that the run began with, and is compared with; {REMEDY}",
                path.display()
            )
            .into(),
        )
        .into()),
    }
}
