//! The teacher of a distillation: a second model, which reads the student's rows and stays as it is, or is asked once and put
//! away.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use kindling::adapter::Fingerprint;
use kindling::checkpoint::{Checkpoint, TEACHER, read_teacher, write_teacher};
use kindling::device::OpenDevice;
use kindling::error::Error;
use kindling::kernels::Quantization;
use kindling::loss::{Distill, DistillConfig, Objective, RolloutConfig};
use kindling::model::Transformer;
use kindling::tokenizer::Tokenizer;
use kindling::told::Told;
use kindling::train::{Job, Run, TaughtBy, TeacherTokens};

use super::reference::progress;
use super::{asking, load};
use crate::beside_model::BesideModel;
use crate::failure::Failure;
use crate::hub;
use crate::model_files::{at, read_optional};
use crate::output::{self, Output};
use crate::ranks;
use crate::run_dir::RunDir;

/// Flags of distillation.
#[derive(Args)]
pub struct DistillArgs {
    /// The model to learn from, of the same vocabulary, in any form that --model may have
    #[arg(long)]
    pub teacher: Option<PathBuf>,
    /// Hold the teacher's matrices in few bits: less memory, a little less exact [default: as f32]
    #[arg(long, value_enum)]
    pub teacher_weights: Option<Quantization>,
    /// What is minimised
    #[command(flatten)]
    pub config: DistillConfig,
}

impl DistillArgs {
    /// What is minimised, with the student's own answers as these settings have them.
    pub fn config(&self, rollouts: &RolloutConfig) -> DistillConfig {
        DistillConfig { max_new_tokens: rollouts.max_new_tokens, ..self.config.clone() }
    }

    /// What does not hold; `typed` are the flags of the command line itself.
    pub fn problems(&self, rollouts: &RolloutConfig, typed: &[String]) -> Vec<Told> {
        let mut problems = self.config(rollouts).problems();
        if self.teacher.is_none() {
            problems.push(
                "distillation needs a teacher; name a model of the same vocabulary with --teacher DIR".into(),
            );
        }
        if self.config.on_policy >= 1.0 && typed.iter().any(|flag| flag == "alpha") {
            problems.push(
                "--alpha does not act where the student writes all answers itself; leave it out, or take a smaller \
                 --on-policy"
                    .into(),
            );
        }
        if self.config.on_policy == 0.0 && typed.iter().any(|flag| flag == "max-new-tokens") {
            problems.push("--max-new-tokens acts with --on-policy; leave it out".into());
        }
        problems
    }
}

/// What a student learns from.
pub struct Taught {
    objective: Arc<Distill>,
    path: PathBuf,
    remembered: TaughtBy,
    parameters: u64,
    /// Where it is asked once.
    asked: Option<Asked>,
}

/// A teacher that is asked once.
struct Asked {
    teacher: Transformer,
    /// What lies beside a run that is overwritten.
    earlier: Option<TeacherTokens>,
}

impl Taught {
    /// Opens the teacher of a student with this tokenizer, which computes in the student's type; of a run that goes on it
    /// must be the one that it began with.
    ///
    /// # Errors
    /// No teacher, one of another vocabulary, one that is damaged or not the run's.
    pub fn open(
        (args, rollouts): (&DistillArgs, &RolloutConfig),
        (student, last_save): (&Transformer, Option<&Path>),
        tokenizer: &Tokenizer,
        device: &OpenDevice,
    ) -> Result<Self, Failure> {
        let path = args.teacher.as_deref().ok_or_else(|| {
            Failure::Usage("distillation needs a teacher; name it with --teacher DIR".into())
        })?;
        if last_save.is_some() && !path.exists() && !hub::is_address(&path.to_string_lossy()) {
            return Err(Failure::Usage(format!(
                "{}: the run's teacher is not there any more; name its new place with --teacher DIR",
                path.display()
            )));
        }
        let checkpoint = BesideModel::default().open(path)?;
        check_vocabulary(tokenizer, &checkpoint, path)?;
        let teacher = load(&checkpoint, args.teacher_weights, &device.device, path)?;
        let fingerprint = checkpoint.fingerprint(&teacher).map_err(|e| at(path, e))?;
        if let Some(save) = last_save {
            refuse_other(&fingerprint, save, path)?;
        }
        let parameters = teacher.config().parameters();
        let (config, teacher) = (args.config(rollouts), teacher.with_dtype(student.dtype()));
        let objective = Distill::new(config.clone());
        let (objective, asked) = match config.teacher_top_k {
            0 => (objective.with_teacher(&teacher), None),
            _ => (objective.with_asked_teacher(teacher.config()), Some(Asked { teacher, earlier: None })),
        };
        let (objective, path) = (Arc::new(objective), path.to_path_buf());
        let remembered =
            TaughtBy { teacher: fingerprint.hex().to_string(), weights: args.teacher_weights, config };
        Ok(Self { objective, path, remembered, parameters, asked })
    }

    /// The same where it takes the place of a run in this directory: what was kept there of the same teacher is used again.
    pub fn in_place_of(mut self, out: Option<&Path>) -> Self {
        if let (Some(asked), Some(out)) = (&mut self.asked, out) {
            asked.earlier = asking::earlier(out, TEACHER, read_teacher);
        }
        self
    }

    /// What the run minimises.
    pub fn objective(&self) -> Arc<dyn Objective> {
        Arc::<Distill>::clone(&self.objective)
    }

    /// Lets the run remember its teacher, and keeps beside it what this said where it is asked once, which a run that goes on
    /// finds there; `job` is what the run is made of.
    ///
    /// # Errors
    /// A file of another time that is damaged, or one that cannot be written; rows that cannot be read.
    pub fn join(
        self,
        mut run: Run,
        job: &Job,
        directory: &RunDir,
        goes_on: bool,
        output: Output,
    ) -> Result<Run, Failure> {
        output.say(&format!(
            "taught by {} ({} parameters)",
            self.path.display(),
            output::grouped(self.parameters)
        ));
        let TaughtBy { teacher: fingerprint, weights, .. } = &self.remembered;
        let fingerprint = format!("{fingerprint} {weights:?}");
        run.progress.taught = Some(self.remembered);
        let Some(Asked { teacher, earlier }) = self.asked else { return Ok(run) };
        let ties = job.teacher_ties(&teacher, &fingerprint, run.model.config())?;
        let Some(ties) = ties else { return Ok(run) };
        let kept = read_optional(&directory.path().join(TEACHER))?.filter(|_| goes_on || ranks::follows());
        let kept = kept.map(|bytes| read_teacher(&bytes)).transpose();
        let known = match (kept.map_err(|e| at(directory.path(), e))?, earlier) {
            (Some(kept), _) if kept.ties.are_those_of(&ties, true) => kept,
            (_, Some(earlier)) if earlier.ties.are_those_of(&ties, false) => {
                output.say("what was kept of the teacher by the run before is used again");
                store(earlier, directory)?
            }
            _ => TeacherTokens::unasked(ties),
        };
        let known = match known.whole {
            true => known,
            false => ask(&teacher, known, job, (directory, goes_on), output)?,
        };
        Ok(run.with_teacher_tokens(Arc::new(known)))
    }
}

/// Asks a teacher about all rows that are not known yet.
fn ask(
    teacher: &Transformer,
    begun: TeacherTokens,
    job: &Job,
    (directory, goes_on): (&RunDir, bool),
    output: Output,
) -> Result<TeacherTokens, Failure> {
    let (rows, top_k) = (job.dataset.len(), begun.ties.top_k);
    output.say(&format!("asking the teacher about {}, once", output::counted(rows, ["row", "rows"])));
    let mut telling = asking::telling(rows, output);
    let known = pollster::block_on(job.teacher_tokens(teacher, begun, &mut telling))?;
    let known = store(known, directory)?;
    if !known.whole {
        let place = (directory.path(), goes_on);
        return Err(asking::stopped("the teacher", known.known.len(), place, output));
    }
    output.say(&format!(
        "kept {} of it, {} a target",
        output::bytes(known.bytes()),
        output::counted(top_k as u64, ["token", "tokens"])
    ));
    Ok(known)
}

fn store(known: TeacherTokens, directory: &RunDir) -> Result<TeacherTokens, Failure> {
    directory.write(TEACHER, &write_teacher(&known)?)?;
    Ok(known)
}

/// Refuses a teacher whose tokens are others.
fn check_vocabulary(tokenizer: &Tokenizer, teacher: &Checkpoint, path: &Path) -> Result<(), Failure> {
    teacher.config.check_causal("distill --teacher").map_err(|e| at(path, e))?;
    match &teacher.tokenizer {
        Some(own) => tokenizer.check_same_tokens(own, &path.display().to_string())?,
        None => output::warn(&format!(
            "{}: there is no tokenizer beside the teacher; that its tokens are the model's is taken on trust",
            path.display()
        )),
    }
    Ok(teacher.config.check_vocabulary(tokenizer).map_err(|e| at(path, e))?)
}

/// Refuses another teacher than that of the run.
fn refuse_other(fingerprint: &Fingerprint, save: &Path, path: &Path) -> Result<(), Failure> {
    let told = match progress(save)?.taught.map(|taught| taught.teacher) {
        Some(begun) if begun == fingerprint.hex() => return Ok(()),
        Some(begun) => format!(
            "these are not the weights of the run's teacher ({} and not {}); name it as it was, or its new place, with \
             --teacher DIR, or begin a new run",
            fingerprint.short(),
            Fingerprint::from_hex(&begun).short()
        ),
        None => {
            "the run does not tell which teacher it began with; begin it again with --overwrite".to_string()
        }
    };
    Err(at(path, Error::Checkpoint(told.into())).into())
}
