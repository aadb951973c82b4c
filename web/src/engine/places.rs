//! Two places in turn, `0` and `1`, for what must not be lost: the older one stays until the newer one is whole, which
//! the list of its files says. The list is written last.

use std::collections::BTreeMap;

use kindling::formats::Files;
use kindling::told::{Told, told};

use super::saves::{Save, Wrong, damaged, marks, torn};
use super::store;

/// The list, among the files of a place.
pub const LIST: &str = "save.json";

/// A place that is whole as far as its list and the files' sizes say.
#[derive(Clone)]
pub struct Place {
    /// 0 or 1.
    pub place: u8,
    /// Its list.
    pub save: Save,
}

/// What a folder holds.
#[derive(Default)]
pub struct Places {
    /// Places that are whole, the newest first.
    pub whole: Vec<Place>,
    /// What was cut short or damaged, and how, by its path.
    pub damaged: Vec<Told>,
    /// Places with files and without a list: an older version of the page wrote them, or they were cut short.
    pub unlisted: Vec<(u8, BTreeMap<String, u64>)>,
}

impl Places {
    /// Where the next save goes, and its number.
    pub fn next(&self) -> (u8, u64) {
        self.whole.first().map_or((0, 1), |newest| (1 - newest.place.min(1), newest.save.number + 1))
    }
}

/// The path of a place.
pub fn path(folder: &str, place: u8) -> String {
    format!("{folder}/{place}")
}

/// What is wrong with a file, by its path.
pub fn is_wrong(path: &str, how: Wrong) -> Told {
    match how {
        Wrong::Missing => told!("file.missing", "{path} is missing", path),
        Wrong::Length { found, bytes } => {
            told!("file.length", "{path} has {found} of {bytes} bytes", path, found, bytes)
        }
        Wrong::Checksum => told!("file.checksum", "{path} is damaged: its checksum is another", path),
    }
}

/// All of these sentences as one.
pub fn all_of(damaged: &[Told]) -> Told {
    let all = damaged.iter().cloned();
    all.reduce(|first, then| told!("both", "{first}; {then}", first, then)).unwrap_or_default()
}

/// Looks at both places of a folder. A torn list or file is named, and breaks nothing.
///
/// # Errors
/// The browser refuses.
pub async fn look(folder: &str) -> Result<Places, Told> {
    let mut found = Places::default();
    for place in 0..2 {
        let path = path(folder, place);
        let sizes = store::sizes(&path).await?;
        if sizes.is_empty() {
            continue;
        }
        let Some(list) = store::read(&format!("{path}/{LIST}")).await? else {
            found.unlisted.push((place, sizes));
            continue;
        };
        match serde_json::from_slice::<Save>(&list) {
            Err(e) => {
                let list =
                    told!("file.damaged_at", "{path} is damaged: {e}", path = format!("{path}/{LIST}"), e);
                found.damaged.push(list);
            }
            Ok(save) => match torn(&save.files, &sizes) {
                Some((name, how)) => found.damaged.push(is_wrong(&format!("{path}/{name}"), how)),
                None => found.whole.push(Place { place, save }),
            },
        }
    }
    found.whole.sort_by_key(|place| std::cmp::Reverse(place.save.number));
    Ok(found)
}

/// The files of a place, each compared with its mark.
///
/// # Errors
/// A file that is damaged, by its path.
async fn read(folder: &str, Place { place, save }: &Place) -> Result<Files, Told> {
    let (path, mut files) = (path(folder, *place), Files::new());
    if save.files.is_empty() {
        // An older version of the page kept no list; what tears there is a file without a byte.
        let files = store::read_all(&path).await?;
        return match files.iter().find(|(_, bytes)| bytes.is_empty()) {
            Some((name, _)) => {
                Err(told!("file.no_bytes", "{path} has 0 bytes", path = format!("{path}/{name}")))
            }
            None => Ok(files),
        };
    }
    for name in save.files.keys() {
        let bytes = store::read(&format!("{path}/{name}")).await?.unwrap_or_default();
        if let Some(how) = damaged(&save.files, name, &bytes) {
            return Err(is_wrong(&format!("{path}/{name}"), how));
        }
        files.insert(name.clone(), bytes);
    }
    Ok(files)
}

/// The files of the newest place that can be read; what could not be is moved to `damaged`.
///
/// # Errors
/// None can be read: all that is damaged.
pub async fn read_newest(folder: &str, places: &mut Places) -> Result<(Place, Files), Told> {
    for place in places.whole.clone() {
        match read(folder, &place).await {
            Ok(files) => return Ok((place, files)),
            Err(how) => {
                places.damaged.push(how);
                places.whole.retain(|other| other.place != place.place);
            }
        }
    }
    Err(told!(
        "store.unreadable",
        "nothing in {folder} can be read: {damaged}",
        folder,
        damaged = all_of(&places.damaged)
    ))
}

/// Writes files into a place, and then that they are whole; gives the seconds that the worker stood still.
///
/// # Errors
/// No room; the other place stays.
pub async fn write(folder: &str, place: u8, mut save: Save, files: &Files) -> Result<f64, Told> {
    let path = path(folder, place);
    store::remove(&format!("{path}/{LIST}")).await?;
    save.files = marks(files);
    let seconds = store::write_all(&path, files).await?;
    let list = serde_json::to_vec(&save).map_err(Told::from)?;
    Ok(seconds + store::write(&format!("{path}/{LIST}"), &list).await?)
}

/// A list that [`write`] fills.
pub fn numbered(number: u64) -> Save {
    Save { number, step: 0, total_steps: 0, files: BTreeMap::new() }
}
