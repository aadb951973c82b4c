//! Adapters kept in the browser: `adapters/<id>/` holds one, with what is told of it, as a place of files.

use kindling::adapter::{Adapter, Fingerprint, Reading};
use kindling::checkpoint::{open_tokenizer, put_tokenizer};
use kindling::formats::Files;
use kindling::tokenizer::Tokenizer;
use kindling::told::{Told, told};
use serde::{Deserialize, Serialize};

use super::places;
use super::store;

/// The folder of the kept adapters.
const ADAPTERS: &str = "adapters";
/// Among an adapter's files: what is told of it.
const ABOUT: &str = "about.json";

/// What is told of an adapter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// What the page calls it; no other has this name.
    pub name: String,
    /// The width of its paths.
    pub rank: usize,
    /// Its number of weights.
    pub parameters: u64,
    /// The name of the model that it belongs to.
    pub base: Option<String>,
    /// Which weights that model has.
    pub fingerprint: String,
    /// How it reads; those kept by earlier versions do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// When it was made or added, in milliseconds since 1970.
    pub made: f64,
}

impl About {
    /// Whether it was trained on this model.
    pub fn belongs_to(&self, model: &Fingerprint) -> bool {
        let base = Fingerprint::from_hex(&self.fingerprint).read_as(self.reading.clone());
        base.check(model, None).is_ok()
    }
}

/// A kept adapter, as its folder shows it.
pub struct Kept {
    /// Its folder.
    pub folder: String,
    /// What is told of it, or what is damaged.
    pub about: Result<About, Told>,
}

/// All kept adapters. One that is damaged is named, and breaks nothing.
///
/// # Errors
/// The browser refuses.
pub async fn all() -> Result<Vec<Kept>, Told> {
    let mut all = Vec::new();
    for (id, _) in store::list(ADAPTERS).await? {
        let folder = format!("{ADAPTERS}/{id}");
        let places = places::look(&folder).await?;
        let about = match places.whole.first() {
            Some(newest) => about_in(&places::path(&folder, newest.place)).await?,
            // It was cut short before it was whole: of a run's adapter the run is still there.
            None if places.damaged.is_empty() => continue,
            None => Err(places::all_of(&places.damaged)),
        };
        all.push(Kept { folder, about });
    }
    Ok(all)
}

async fn about_in(path: &str) -> Result<Result<About, Told>, Told> {
    let about = store::read(&format!("{path}/{ABOUT}")).await?.unwrap_or_default();
    let damaged = |e: serde_json::Error| {
        told!("file.damaged_at", "{path} is damaged: {e}", path = format!("{path}/{ABOUT}"), e)
    };
    Ok(serde_json::from_slice(&about).map_err(damaged))
}

/// Keeps an adapter with the tokenizer that it was trained with; gives its folder.
///
/// # Errors
/// No room; then nothing of it stays.
pub async fn keep(about: &About, adapter: &Adapter, tokenizer: Option<&Tokenizer>) -> Result<String, Told> {
    let told = |e: kindling::error::Error| e.told();
    let mut files = adapter.files().map_err(told)?;
    if let Some(tokenizer) = tokenizer {
        put_tokenizer(&mut files, tokenizer).map_err(told)?;
    }
    files.insert(ABOUT.into(), serde_json::to_vec(about).map_err(Told::from)?);
    // Two tabs may end their runs in the same millisecond.
    let random = (js_sys::Math::random() * 1e6) as u32;
    let folder = format!("{ADAPTERS}/{}-{random:06}", about.made);
    if let Err(error) = places::write(&folder, 0, places::numbered(1), &files).await {
        store::remove(&folder).await?;
        return Err(error);
    }
    Ok(folder)
}

/// The files of a kept adapter: PEFT's, and its tokenizer's.
///
/// # Errors
/// One that is damaged.
pub async fn files(folder: &str) -> Result<Files, Told> {
    let mut places = places::look(folder).await?;
    let (_, mut files) = places::read_newest(folder, &mut places).await?;
    files.remove(ABOUT);
    Ok(files)
}

/// Opens a kept adapter, and the tokenizer that it was trained with.
///
/// # Errors
/// Files that are damaged.
pub async fn open(folder: &str) -> Result<(Adapter, Option<Tokenizer>), Told> {
    let told = |e: kindling::error::Error| told!("at", "{name}: {why}", name = folder, why = e.told());
    let mut files = files(folder).await?;
    let adapter = Adapter::open(|wanted| Ok(files.remove(wanted))).map_err(told)?;
    let own = open_tokenizer(&mut |wanted: &str| Ok(files.remove(wanted))).map_err(told)?;
    Ok((adapter, own))
}

/// Removes a kept adapter.
///
/// # Errors
/// The browser refuses.
pub async fn remove(folder: &str) -> Result<(), Told> {
    store::remove(folder).await
}
