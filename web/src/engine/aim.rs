//! What a run minimises, and the model beside the one that trains where its stage has one: what preferences are compared
//! with, or a teacher.

use std::sync::Arc;

use kindling::loss::{
    DiffusionSettings, Distill, DistillConfig, Dpo, DpoConfig, Grpo, GrpoConfig, Objective, Reason,
    ReasonConfig, ReasonSettings, Reference, ReferenceKind,
};
use kindling::model::Transformer;
use kindling::text::Tags;
use kindling::told::{Told, told};
use kindling::train::{Job, Progress, ReferenceLogProbs, ReferenceTies, Run, Stage, TaughtBy, TeacherTokens};
use serde_json::{Map, Value};

use super::data::{merged, train_config};
use super::protocol::Training;
use super::state::OpenModel;
use super::teacher::no_teacher;

/// What a run minimises.
pub struct Aim {
    /// It.
    pub objective: Arc<dyn Objective>,
    /// Its settings, which its saves keep.
    dpo: Option<DpoConfig>,
    taught: Option<TaughtBy>,
    /// The fingerprint of the weights that it is compared with, where they train.
    reference: Option<String>,
    /// A teacher that is asked once, and what its weights are.
    asked: Option<(Transformer, String)>,
    /// What the data are written in, likewise.
    encoding: Option<String>,
}

impl Aim {
    /// That of a run which began with this model; one that goes on has the settings of its save.
    ///
    /// # Errors
    /// Settings that cannot be used or belong to another stage; a distillation without its teacher.
    pub fn of(
        training: &Training,
        begun: &OpenModel,
        teacher: Option<&OpenModel>,
        saved: Option<&Progress>,
    ) -> Result<Self, Told> {
        refuse_foreign(training)?;
        refuse_idle_answers(training)?;
        refuse_idle_hiding(training)?;
        let aim = Self::of_stage(training, begun, teacher, saved)?;
        Ok(Self { encoding: training.encoding.clone(), ..aim })
    }

    fn of_stage(
        training: &Training,
        begun: &OpenModel,
        teacher: Option<&OpenModel>,
        saved: Option<&Progress>,
    ) -> Result<Self, Told> {
        match training.stage {
            Stage::Dpo => Self::of_preferences(training, begun, saved),
            Stage::Distill => Self::of_teaching(training, teacher, saved),
            Stage::Reason => {
                let settings = match saved.and_then(|progress| progress.reason.clone()) {
                    Some(settings) => settings,
                    None => reasoning(training.reason.clone().unwrap_or_default())?,
                };
                Ok(Self::plain(Arc::new(Reason::new(settings))))
            }
            Stage::Grpo => Self::of_rewards(training, begun, saved),
            Stage::Pretrain | Stage::Sft => {
                let config = train_config(training.stage, training.adapts(), training.config.clone())?;
                let objective = training.stage.objective_for(&config.diffusion, begun.base.config());
                Ok(Self::plain(objective.map_err(Told::from)?))
            }
        }
    }

    fn plain(objective: Arc<dyn Objective>) -> Self {
        Self { objective, dpo: None, taught: None, reference: None, asked: None, encoding: None }
    }

    fn of_rewards(training: &Training, begun: &OpenModel, saved: Option<&Progress>) -> Result<Self, Told> {
        let config = match saved.and_then(|progress| progress.grpo.clone()) {
            Some(config) => config,
            None => merged(GrpoConfig::default(), training.grpo.clone().unwrap_or_default())?,
        };
        let kind = config.reference_of(training.adapts());
        let reference = match kind {
            Some(_) => begun_with(training, begun, saved)?,
            None => None,
        };
        let objective = Arc::new(Grpo::new(config, kind.map(|kind| reference_of(kind, begun))));
        Ok(Self { reference, ..Self::plain(objective) })
    }

    fn of_preferences(
        training: &Training,
        begun: &OpenModel,
        saved: Option<&Progress>,
    ) -> Result<Self, Told> {
        let config = match saved.and_then(|progress| progress.dpo.clone()) {
            Some(config) => config,
            None => merged(DpoConfig::default(), training.dpo.clone().unwrap_or_default())?,
        };
        let reference = begun_with(training, begun, saved)?;
        let compared = reference_of(config.reference_of(training.adapts()), begun);
        let objective = Arc::new(Dpo::new(config.clone(), compared));
        Ok(Self { dpo: Some(config), reference, ..Self::plain(objective) })
    }

    fn of_teaching(
        training: &Training,
        teacher: Option<&OpenModel>,
        saved: Option<&Progress>,
    ) -> Result<Self, Told> {
        let teacher = teacher.ok_or_else(no_teacher)?;
        let changed = training.distill.clone().unwrap_or_default();
        let config = match saved.and_then(|progress| progress.taught.clone()) {
            Some(taught) => taught.config,
            None => {
                let config: DistillConfig = merged(DistillConfig::default(), changed.clone())?;
                if config.on_policy >= 1.0 && changed.contains_key("alpha") {
                    return Err(told!(
                        "distill.alpha_idle",
                        "alpha does not act where the student writes all answers itself; leave it out, or take a smaller \
                         --on-policy"
                    ));
                }
                if config.on_policy == 0.0 && changed.contains_key("max-new-tokens") {
                    return Err(told!(
                        "distill.tokens_idle",
                        "max-new-tokens acts with --on-policy; leave it out"
                    ));
                }
                config
            }
        };
        let (weights, fingerprint) = (teacher.weights.bits(), teacher.fingerprint.hex().to_string());
        let asked =
            (config.teacher_top_k > 0).then(|| (teacher.base.clone(), format!("{fingerprint} {weights:?}")));
        let objective = Distill::new(config.clone());
        let objective = match &asked {
            Some((teacher, _)) => objective.with_asked_teacher(teacher.config()),
            None => objective.with_teacher(&teacher.base),
        };
        let taught = TaughtBy { teacher: fingerprint, weights, config };
        Ok(Self { taught: Some(taught), asked, ..Self::plain(Arc::new(objective)) })
    }

    /// Lets a run keep what its saves need; `begun` is the model that it began with, and `job` what it is made of.
    ///
    /// # Errors
    /// The reference or the teacher cannot be asked.
    pub async fn join(self, mut run: Run, job: &Job, begun: &OpenModel) -> Result<Run, Told> {
        let adapts = run.adapter.is_some();
        let asked = self.dpo.as_ref().is_some_and(|dpo| dpo.reference_of(adapts) == ReferenceKind::Cached);
        run.progress.dpo = self.dpo;
        run.progress.taught = self.taught;
        run.progress.reference = self.reference;
        run.progress.encoding = self.encoding;
        // The teacher, or what it began with, stays beside the run, so that it can be asked again.
        let told = |e: kindling::error::Error| e.told();
        if let Some((teacher, fingerprint)) = self.asked {
            let ties = job.teacher_ties(&teacher, &fingerprint, run.model.config()).map_err(told)?;
            let Some(ties) = ties else { return Ok(run) };
            let known = job
                .teacher_tokens(&teacher, TeacherTokens::unasked(ties), &mut |_| true)
                .await
                .map_err(told)?;
            return Ok(run.with_teacher_tokens(Arc::new(known)));
        }
        if !asked {
            return Ok(run);
        }
        let ties = ReferenceTies::of(
            job,
            begun.fingerprint.hex(),
            begun.base.dtype(),
            &begun.base.config().rope_scaling,
        );
        let ties = ties.map_err(told)?;
        let known = job
            .reference_log_probs(&begun.base, ReferenceLogProbs::unasked(ties), &mut |_| true)
            .await
            .map_err(told)?;
        Ok(run.with_reference(Arc::new(known)))
    }
}

/// What a run is compared with.
fn reference_of(kind: ReferenceKind, begun: &OpenModel) -> Reference {
    match kind {
        ReferenceKind::Base => Reference::Base,
        ReferenceKind::Cached => Reference::Cached,
        ReferenceKind::Frozen => Reference::frozen(&begun.base),
    }
}

/// The fingerprint of the weights that a run is compared with, where they train.
///
/// # Errors
/// They are not those that it began with.
fn begun_with(
    training: &Training,
    begun: &OpenModel,
    saved: Option<&Progress>,
) -> Result<Option<String>, Told> {
    let own = begun.fingerprint.hex();
    let before = saved.and_then(|progress| progress.reference.as_deref());
    if before.is_some_and(|before| before != own) {
        return Err(told!(
            "run.other_reference",
            "the run is compared with the model that it began with, and '{name}' is another one; open the \
             model that it began with",
            name = begun.name
        ));
    }
    Ok((!training.adapts()).then(|| own.to_string()))
}

/// The settings of answers that think first, their tags under a key of their own.
fn reasoning(mut changed: Map<String, Value>) -> Result<ReasonSettings, Told> {
    let tags = match changed.remove("tags") {
        Some(Value::Object(tags)) => merged(Tags::default(), tags)?,
        Some(other) => {
            let e = format!("tags is {other}, and no object");
            return Err(told!("settings.unread", "a setting cannot be used: {e}", e));
        }
        None => Tags::default(),
    };
    Ok(ReasonSettings { config: merged(ReasonConfig::default(), changed)?, tags })
}

/// Refuses a wish for answers to held-out questions where nothing is held out.
fn refuse_idle_answers(training: &Training) -> Result<(), Told> {
    let given = [&training.reason, &training.grpo].into_iter().flatten();
    let mut counts = given.filter_map(|settings| settings.get("eval-answers")?.as_f64());
    let asks = counts.any(|count| count > 0.0);
    let config = train_config(training.stage, training.adapts(), training.config.clone())?;
    if asks && config.val_split == 0.0 {
        return Err(told!("train.eval_answers", "--eval-answers needs held-out rows; add --val-split 0.05"));
    }
    Ok(())
}

/// Refuses settings of hidden tokens in a stage that hides none.
fn refuse_idle_hiding(training: &Training) -> Result<(), Told> {
    let config = train_config(training.stage, training.adapts(), training.config.clone())?;
    let hides = matches!(training.stage, Stage::Pretrain | Stage::Sft);
    if hides || config.diffusion == DiffusionSettings::default() {
        return Ok(());
    }
    Err(told!(
        "settings.of_hiding",
        "--objective, --loss-weight and --t-range act in the stages pretrain and sft, and {stage} hides no tokens; leave \
         them out",
        stage = training.stage.name()
    ))
}

/// Refuses settings of another stage, which would not act.
fn refuse_foreign(training: &Training) -> Result<(), Told> {
    let of_stages = [
        ("dpo", training.dpo.is_some(), Stage::Dpo),
        ("distill", training.distill.is_some(), Stage::Distill),
        ("reason", training.reason.is_some(), Stage::Reason),
        ("grpo", training.grpo.is_some(), Stage::Grpo),
        ("teacher", training.teacher.is_some(), Stage::Distill),
    ];
    match of_stages.into_iter().find(|(_, given, stage)| *given && *stage != training.stage) {
        Some((field, _, stage)) => Err(told!(
            "settings.of_stage",
            "'{field}' acts in the stage {stage} alone; leave it out",
            field,
            stage = stage.name()
        )),
        None => Ok(()),
    }
}
