//! Models kept in the browser.
//!
//! `models/<name>/` holds two places in turn; older versions of the page name the whole one in a file of its own.

use kindling::formats::gguf::to_gguf;
use kindling::formats::{Files, directory_files};
use kindling::told::{Told, told};

use super::load::{FINGERPRINT, GGUF};
use super::messages::model::{KeptModel, WeightsAs};
use super::names::free;
use super::places::{self, Places};
use super::port::Port;
use super::saves::marks;
use super::state::{Answer, Engine, OpenModel};
use super::store;

/// The folder of the kept models.
pub const MODELS: &str = "models";
/// In each of them, where an older version of the page wrote it: which place is whole.
const WHOLE: &str = "whole";

impl Engine {
    /// Keeps the open model under a name.
    pub async fn keep(&self, name: &str) -> Result<Answer, Told> {
        check_name(name)?;
        let files = kept_files(&self.opened()?).await?;
        write_model(&place(name), &files).await?;
        Answer::new(())
    }

    /// Opens a kept model.
    pub async fn load_kept(&self, name: String, weights: WeightsAs, port: &Port) -> Result<Answer, Told> {
        let files = kept_model(&name).await?;
        self.unless_cancelled(port.run).await?;
        self.install(name, weights, files).await
    }

    /// Names and sizes of the kept models, and what is damaged of those that cannot be opened.
    pub async fn kept(&self) -> Result<Answer, Told> {
        let mut kept = Vec::new();
        for (name, _) in store::list(MODELS).await? {
            let folder = format!("{MODELS}/{name}");
            let mut places = places::look(&folder).await?;
            let model = match whole_of(&folder, &places).await? {
                Some(files) => {
                    let bytes = store::size(&files).await? as f64;
                    let teaches = self.teaches(&files).await?;
                    KeptModel { name: name_of(&name), bytes, teaches, damaged: None }
                }
                None => {
                    let marker = format!("{folder}/{WHOLE}");
                    if store::read(&marker).await?.is_some() {
                        let path = marker;
                        places.damaged.push(told!("file.no_place", "{path} names no whole place", path));
                    }
                    // What was cut short while it was first written is no model.
                    if places.damaged.is_empty() {
                        continue;
                    }
                    let (bytes, damaged) =
                        (store::size(&folder).await? as f64, places::all_of(&places.damaged));
                    let damaged = Some((&damaged).into());
                    KeptModel { name: name_of(&name), bytes, teaches: false, damaged }
                }
            };
            kept.push(model);
        }
        Answer::new(kept)
    }

    /// Removes a kept model.
    pub async fn forget(&self, name: &str) -> Result<Answer, Told> {
        check_name(name)?;
        store::remove(&place(name)).await?;
        // Another model of this name begins to count anew.
        self.teacher.replace(None);
        Answer::new(())
    }
}

/// The number of a kept model's save, by which it is told whether it is still the same; 0 where an older version of the
/// page kept it, or where there is none.
///
/// # Errors
/// The browser refuses.
pub async fn kept_number(name: &str) -> Result<u64, Told> {
    Ok(places::look(&place(name)).await?.whole.first().map_or(0, |newest| newest.save.number))
}

/// The files of a kept model.
///
/// # Errors
/// It is not there, or damaged.
pub async fn kept_model(name: &str) -> Result<Files, Told> {
    check_name(name)?;
    let folder = place(name);
    let mut places = places::look(&folder).await?;
    match (places.whole.is_empty(), whole_of(&folder, &places).await?) {
        (false, _) => Ok(places::read_newest(&folder, &mut places).await?.1),
        (true, Some(files)) => store::read_all(&files).await,
        (true, None) if places.damaged.is_empty() => {
            Err(told!("model.not_kept", "no model is kept under the name '{name}'", name))
        }
        (true, None) => Err(told!(
            "model.kept_damaged",
            "the kept model is damaged: {damaged}",
            damaged = places::all_of(&places.damaged)
        )),
    }
}

/// The kept model whose files are these very ones: the one of this name or, without a name, any.
///
/// # Errors
/// The browser refuses.
pub async fn kept_as(files: &Files, name: Option<&str>) -> Result<Option<String>, Told> {
    let own = marks(files);
    for (folder, _) in store::list(MODELS).await? {
        let kept = name_of(&folder);
        let places = places::look(&format!("{MODELS}/{folder}")).await?;
        let is_listed = places.whole.first().is_some_and(|newest| newest.save.files == own);
        // What its list says may no longer be what lies there.
        if is_listed
            && name.is_none_or(|name| name == kept)
            && kept_model(&kept).await.is_ok_and(|there| there == *files)
        {
            return Ok(Some(kept));
        }
    }
    Ok(None)
}

/// The open model as a checkpoint's files.
pub async fn checkpoint_files(model: &OpenModel) -> Result<Files, Told> {
    let weights = model.base.weights().await.map_err(Told::from)?;
    directory_files(model.base.config(), &weights, Some(&model.tokenizer)).map_err(Told::from)
}

/// The open model as files that open to the very same model. Blocks stay blocks.
pub async fn kept_files(model: &OpenModel) -> Result<Files, Told> {
    let files = checkpoint_files(model).await?;
    let Some(bits) = model.weights.bits() else { return Ok(files) };
    // GGUF knows no masked predictors. Floats that were blocks become the same blocks again.
    let mut files = match model.base.config().diffusion {
        Some(_) => files,
        None => Files::from([(GGUF.to_string(), to_gguf(&files, bits.into()).map_err(Told::from)?)]),
    };
    files.insert(FINGERPRINT.to_string(), model.fingerprint.hex().as_bytes().to_vec());
    Ok(files)
}

/// Keeps a model's files in the place of those before, which stay until the new ones are whole.
///
/// # Errors
/// No room; then nothing changes.
pub async fn write_model(folder: &str, files: &Files) -> Result<(), Told> {
    let places = places::look(folder).await?;
    let old = whole_of(folder, &places).await?;
    let (mut new, number) = places.next();
    if old.as_deref() == Some(places::path(folder, new).as_str()) {
        new = 1 - new;
    }
    let kept = async {
        store::remove(&places::path(folder, new)).await?;
        places::write(folder, new, places::numbered(number), files).await
    };
    if let Err(error) = kept.await {
        // Half a model is of no use, and takes the room that was missing.
        let was_empty = places.whole.is_empty() && places.damaged.is_empty() && places.unlisted.is_empty();
        let half = if was_empty { folder.to_string() } else { places::path(folder, new) };
        store::remove(&half).await?;
        return Err(error);
    }
    store::remove(&format!("{folder}/{WHOLE}")).await?;
    store::remove(&places::path(folder, 1 - new)).await
}

/// The place with the whole files of a kept model.
///
/// # Errors
/// The browser refuses.
pub async fn whole(folder: &str) -> Result<Option<String>, Told> {
    whole_of(folder, &places::look(folder).await?).await
}

/// An older version of the page kept no list; then its marker says which place is whole or, where that was cut short,
/// the place that alone holds files.
async fn whole_of(folder: &str, places: &Places) -> Result<Option<String>, Told> {
    if let Some(newest) = places.whole.first() {
        return Ok(Some(places::path(folder, newest.place)));
    }
    let Some(marker) = store::read(&format!("{folder}/{WHOLE}")).await? else { return Ok(None) };
    let full = |sizes: &std::collections::BTreeMap<String, u64>| sizes.values().all(|size| *size > 0);
    let named = places.unlisted.iter().find(|(place, _)| marker == place.to_string().as_bytes());
    let only = (places.unlisted.len() == 1).then(|| &places.unlisted[0]);
    let old = named.or(only).filter(|(_, sizes)| full(sizes));
    Ok(old.map(|(place, _)| places::path(folder, *place)))
}

/// A name that no kept model has.
///
/// # Errors
/// The browser refuses.
pub async fn free_model_name(wanted: &str) -> Result<String, Told> {
    let taken = store::list(MODELS).await?;
    Ok(free(wanted, |name| taken.iter().any(|(folder, _)| name_of(folder) == name)))
}

/// The folder of a kept model; a name may hold what separates folders.
pub fn place(name: &str) -> String {
    format!("{MODELS}/{}", name.replace('%', "%25").replace('/', "%2F"))
}

/// The model whose folder it is.
pub fn name_of(folder: &str) -> String {
    folder.replace("%2F", "/").replace("%25", "%")
}

/// A name must say something.
fn check_name(name: &str) -> Result<(), Told> {
    if name.trim().is_empty() {
        return Err(told!("model.unnamed", "a kept model needs a name"));
    }
    Ok(())
}
