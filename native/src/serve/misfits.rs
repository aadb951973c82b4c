//! Adapters that do not belong to their model, which nobody should learn at the first request: what a model's `config.json`
//! tells is looked at before the server listens, and no weights of a model are read for it.

use std::path::Path;

use kindling::error::Error;
use kindling::formats::is_adapter_alone;
use kindling::model::ModelConfig;
use kindling::told::Told;

use super::names::{Named, Names};
use crate::hub;
use crate::model_files::{at, read_adapter};

/// The adapters that are no adapters, or of models of another shape. What lies on a hub is looked at when it is asked for, and
/// so is the shape of a model that is no directory.
pub fn misfits(names: &Names) -> Vec<Told> {
    let all: Vec<Named> = names.all().into_iter().map(|listed| listed.named).collect();
    let place_of = |base: &String| all.iter().find(|named| named.base.is_none() && named.name == *base);
    let misfit = |adapter: &Named| -> Option<Told> {
        let base = place_of(adapter.base.as_ref()?)?;
        let place = &adapter.place;
        if hub::is_address(&place.to_string_lossy()) || !place.exists() {
            return None;
        }
        let fits = read_adapter(place).and_then(|own| {
            let Some(config) = shape_of(&base.place) else { return Ok(()) };
            // Whether both ends of a model are one table, its weights' names have the last word.
            let other = ModelConfig { tie_word_embeddings: !config.tie_word_embeddings, ..config.clone() };
            let fits = own.check_model(&config).or_else(|why| own.check_model(&other).map_err(|_| why));
            fits.map_err(|why| at(place, why))
        });
        let told = |why: Error| {
            let (name, of, lies) = (&adapter.name, &base.name, base.place.display());
            format!(
                "--adapter {name} cannot act beside --model {of} ({lies}): {why}. Give it the model that it was trained beside, as \
                 --adapter {name}@MODEL=PLACE, or leave it out"
            )
        };
        fits.err().map(|why| told(why).into())
    };
    all.iter().filter_map(misfit).collect()
}

/// The shape of a model in a directory; none where it is told otherwise, or cannot be read, which its own opening tells.
fn shape_of(place: &Path) -> Option<ModelConfig> {
    let json = std::fs::read(place.join("config.json")).ok()?;
    // A run of an adapter stands for its model with what was learned.
    if is_adapter_alone(|name| place.join(name).is_file()) {
        return None;
    }
    ModelConfig::from_hugging_face(&json).ok()
}
