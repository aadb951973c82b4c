//! The teacher of a distillation: a kept model, the open one, or one from files; of a run that goes on the one that it
//! began with.

use kindling::formats::Files;
use kindling::told::{Told, told};

use super::load::model_files;
use super::messages::model::WeightsAs;
use super::models::{kept_files, kept_model, kept_number};
use super::protocol::{File, Teacher, TeacherFrom};
use super::state::{Engine, OpenModel};

/// A teacher that is open.
pub struct OpenTeacher {
    /// It.
    pub model: OpenModel,
    /// Its files where the run has to keep them, so that it finds them again.
    pub files: Option<Files>,
}

impl OpenTeacher {
    /// What a run keeps of it, so that it finds it again.
    pub fn remembered(&self, named: Teacher) -> Teacher {
        let OpenModel { name, weights, fingerprint, .. } = &self.model;
        let fingerprint = Some(fingerprint.hex().to_string());
        Teacher { name: name.clone(), weights: *weights, fingerprint, ..named }
    }
}

/// What to say of a distillation without a teacher.
pub fn no_teacher() -> Told {
    told!("teacher.none", "distillation needs a teacher; choose a model with the same tokens")
}

impl Engine {
    /// Opens the teacher that a request names; its files are taken from the end of those beside the message.
    ///
    /// # Errors
    /// A model that is not there, is damaged, or has other tokens than the student.
    pub async fn teacher(
        &self,
        teacher: Option<&Teacher>,
        beside: &mut Vec<File>,
        student: &OpenModel,
    ) -> Result<Option<OpenTeacher>, Told> {
        let Some(teacher) = teacher else {
            self.teacher.replace(None);
            return Ok(None);
        };
        if !matches!(teacher.from, TeacherFrom::Kept) {
            self.teacher.replace(None);
        }
        let opened = match teacher.from {
            TeacherFrom::Kept => OpenTeacher { model: self.kept_teacher(teacher).await?, files: None },
            TeacherFrom::Open => self.open_teacher(teacher.weights).await?,
            TeacherFrom::Files => {
                let data = beside.len().saturating_sub(teacher.files);
                let files = model_files(beside.split_off(data))?;
                let model =
                    OpenModel::open(teacher.name.clone(), teacher.weights, files.clone(), &self.device()?)?;
                OpenTeacher { model, files: Some(files) }
            }
        };
        check(&opened.model, student)?;
        Ok(Some(opened))
    }

    /// The open model as a teacher; one in few bits stays so.
    async fn open_teacher(&self, weights: WeightsAs) -> Result<OpenTeacher, Told> {
        let open = self.opened()?;
        let files = kept_files(&open).await?;
        let model = match weights {
            WeightsAs::F32 => open,
            weights if weights == open.weights => open,
            weights => OpenModel::open(open.name, weights, files.clone(), &self.device()?)?,
        };
        Ok(OpenTeacher { model, files: Some(files) })
    }

    /// A kept model as a teacher; the one that was planned with last is not read again.
    async fn kept_teacher(&self, teacher: &Teacher) -> Result<OpenModel, Told> {
        let key = (teacher.name.clone(), teacher.weights, kept_number(&teacher.name).await?);
        if let Some((_, model)) = self.teacher.borrow().as_ref().filter(|(known, _)| *known == key) {
            return Ok(model.clone());
        }
        // Two teachers at once would need the memory of both.
        self.teacher.replace(None);
        let files = kept_model(&teacher.name).await.map_err(|why| {
            told!("teacher.gone", "the teacher '{name}' cannot be opened: {why}", name = teacher.name, why)
        })?;
        let model = OpenModel::open(teacher.name.clone(), teacher.weights, files, &self.device()?)?;
        self.teacher.replace(Some((key, model.clone())));
        Ok(model)
    }

    /// Opens the teacher of a run that goes on; `files` are those that the run keeps of it.
    ///
    /// # Errors
    /// It is gone, or has other weights by now.
    pub async fn teacher_again(
        &self,
        teacher: &Teacher,
        files: Files,
        student: &OpenModel,
    ) -> Result<OpenModel, Told> {
        let model = match teacher.from {
            TeacherFrom::Kept => self.kept_teacher(teacher).await?,
            TeacherFrom::Open | TeacherFrom::Files => {
                OpenModel::open(teacher.name.clone(), teacher.weights, files, &self.device()?)?
            }
        };
        check(&model, student)?;
        match &teacher.fingerprint {
            Some(begun) if begun != model.fingerprint.hex() => Err(told!(
                "teacher.other",
                "the model '{name}' is not the teacher that the run began with: its weights are {found}, and those were \
                 {begun}; keep the run's teacher under this name, or begin a new run",
                name = teacher.name,
                found = model.fingerprint.short(),
                begun = begun.get(..12).unwrap_or(begun)
            )),
            _ => Ok(model),
        }
    }
}

/// Refuses a teacher whose tokens are others.
fn check(teacher: &OpenModel, student: &OpenModel) -> Result<(), Told> {
    teacher.base.config().check_causal("distill")?;
    student.tokenizer.check_same_tokens(&teacher.tokenizer, &teacher.name).map_err(Told::from)?;
    teacher.base.config().check_vocabulary(&student.tokenizer).map_err(Told::from)
}
