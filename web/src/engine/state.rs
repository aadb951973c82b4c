//! What the engine holds.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use burn::tensor::Device;
use kindling::adapter::{Adapter, Fingerprint};
use kindling::kernels::Activations;
use kindling::model::Transformer;
use kindling::sample::Writer;
use kindling::tokenizer::Tokenizer;
use kindling::told::{Told, told};
use serde::Serialize;
use serde_json::Value;

use super::kept_adapters::About;
use super::messages::model::WeightsAs;
use super::plan::Planned;
use super::protocol::{Active, File};
use super::queue::Queue;
use super::teaches::SameTokens;

/// Everything that lives as long as the worker.
#[derive(Default)]
pub struct Engine {
    /// The device, once it is open.
    pub device: RefCell<Option<Device>>,
    /// The open model.
    pub model: RefCell<Option<OpenModel>>,
    /// Adapters of the open model.
    pub adapters: RefCell<Vec<HeldAdapter>>,
    /// Choices of what answers that are on their way; a question asked meanwhile waits for them.
    pub choices: Queue,
    /// Counts changes of what answers, so that an answer in flight does not put an old cache back.
    epoch: Cell<u64>,
    /// The cache of the last conversation, and the ids in it.
    pub talk: RefCell<Option<(Writer, Vec<u32>)>>,
    /// The run that trains.
    pub run: RefCell<Option<ActiveRun>>,
    /// The data that were planned with last.
    pub planned: RefCell<Option<Planned>>,
    /// The kept model that taught last, by its name, its weights and the number of its save.
    pub teacher: RefCell<Option<(KeptSave, OpenModel)>>,
    /// Which tokenizers of kept models have the open model's tokens.
    pub same_tokens: RefCell<SameTokens>,
    /// Calls that the page no longer wants.
    pub cancelled: RefCell<HashSet<u32>>,
}

/// A save of a kept model: its name, how its weights are held, and the save's number.
pub type KeptSave = (String, WeightsAs, u64);

/// A model without adapters, on the device without autodiff.
#[derive(Clone)]
pub struct OpenModel {
    /// What the page calls it.
    pub name: String,
    /// The weights.
    pub base: Transformer,
    /// Its vocabulary and template.
    pub tokenizer: Arc<Tokenizer>,
    /// Which weights they are.
    pub fingerprint: Fingerprint,
    /// What the matrices are held as.
    pub weights: WeightsAs,
    /// What is odd about the files that it came from.
    pub warnings: Vec<Told>,
}

/// An adapter and whether it acts.
pub struct HeldAdapter {
    /// What is told of it.
    pub about: About,
    /// Where it is kept; `None` where there was no room.
    pub kept: Option<String>,
    /// Its weights.
    pub adapter: Adapter,
    /// The base's tokenizer, talking as the adapter was taught to; `None` where nothing beside the adapter says how.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// What its scale is multiplied by; `None` while it is off.
    pub strength: Option<f64>,
}

/// Which adapters an answer is given with.
#[derive(Clone, Copy)]
pub enum Who<'a> {
    /// Those that act.
    Active,
    /// None.
    Base,
    /// These alone, whatever acts.
    Only(&'a [Active]),
}

impl<'a> Who<'a> {
    /// Those that are named alone, or else the base or what acts.
    pub fn of(base: bool, only: Option<&'a [Active]>) -> Self {
        match only {
            Some(named) => Self::Only(named),
            None if base => Self::Base,
            None => Self::Active,
        }
    }

    /// What an adapter's scale is multiplied by; `None` for one that does not act.
    fn strength(self, held: &HeldAdapter) -> Option<f64> {
        match self {
            Who::Active => held.strength,
            Who::Base => None,
            Who::Only(named) => {
                named.iter().find(|named| named.name == held.about.name).map(|named| named.strength)
            }
        }
    }
}

/// How answers are written and where they end.
pub struct Talking {
    /// The vocabulary, and the template of what acts.
    pub tokenizer: Arc<Tokenizer>,
    /// Any of these tokens ends an answer.
    pub ends: Vec<u32>,
}

/// The run that trains, as the page steers it.
#[derive(Clone)]
pub struct ActiveRun {
    /// Its id.
    pub id: String,
    /// What the page wants of it.
    pub wishes: Rc<Wishes>,
}

/// What the page wants of a run. A pause is a state: a save does not end it.
#[derive(Default)]
pub struct Wishes {
    /// Whether it pauses.
    pub paused: Cell<bool>,
    /// Whether a save is due.
    pub save: Cell<bool>,
    /// Whether it is to end.
    pub stop: Cell<bool>,
}

/// The place of the one run that may train; it is free again when this is dropped.
pub struct Claim<'a> {
    engine: &'a Engine,
    /// What the page wants of the run.
    pub wishes: Rc<Wishes>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.engine.run.replace(None);
    }
}

/// A call's result, and the files beside it.
pub struct Answer {
    /// As JSON.
    pub result: Value,
    /// Beside it.
    pub files: Vec<File>,
}

impl Answer {
    /// A result without files.
    pub fn new(result: impl Serialize) -> Result<Self, Told> {
        let result = serde_json::to_value(result).map_err(Told::from)?;
        Ok(Self { result, files: Vec::new() })
    }
}

impl Engine {
    /// The open device.
    pub fn device(&self) -> Result<Device, Told> {
        self.device.borrow().clone().ok_or_else(|| told!("device.closed", "the device is not open yet"))
    }

    /// Goes on, unless the page no longer wants this call. Its word is heard in a turn of the event loop.
    ///
    /// # Errors
    /// It does not.
    pub async fn unless_cancelled(&self, run: u32) -> Result<(), Told> {
        kindling::platform::turn().await;
        match self.cancelled.borrow().contains(&run) {
            true => Err(told!("call.cancelled", "the call was cancelled")),
            false => Ok(()),
        }
    }

    /// The open model.
    pub fn opened(&self) -> Result<OpenModel, Told> {
        self.model.borrow().clone().ok_or_else(|| told!("model.closed", "no model is open; load one first"))
    }

    /// The open model with the adapters of who answers; on the processor it writes with activations in 8 bits where its
    /// matrices have few.
    pub fn answering(&self, who: Who<'_>) -> Result<Transformer, Told> {
        let model = self.opened()?.base;
        let adapters = self.adapters.borrow();
        let mut active = adapters.iter().filter_map(|held| Some((&held.adapter, who.strength(held)?)));
        let attach = |model, (adapter, strength): (&Adapter, f64)| adapter.attach(model, strength);
        let model = active.try_fold(model, attach).map_err(Told::from)?;
        Ok(model.with_activations(Activations::EightBits))
    }

    /// Whether any adapter is among who answers.
    pub fn acts(&self, who: Who<'_>) -> bool {
        self.adapters.borrow().iter().any(|held| who.strength(held).is_some())
    }

    /// How the open model talks: as the last of the adapters of who answers, or without any.
    pub fn talking(&self, who: Who<'_>) -> Result<Talking, Told> {
        let model = self.opened()?;
        let adapters = self.adapters.borrow();
        let active = adapters.iter().filter(|held| who.strength(held).is_some());
        let tokenizer = active.filter_map(|held| held.tokenizer.clone()).next_back();
        let tokenizer = tokenizer.unwrap_or(model.tokenizer);
        let ends = tokenizer.end_ids(&model.base.config().eos_token_ids);
        Ok(Talking { tokenizer, ends })
    }

    /// Puts another model, or other adapters, in the place of what answered.
    pub fn changed(&self) {
        self.epoch.set(self.epoch.get() + 1);
        self.talk.replace(None);
    }

    /// Counts changes of what answers.
    pub fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// Makes another model the open one. Adapters that are kept are opened again when they are wanted; the others stay
    /// at hand, and none acts.
    pub fn replace_model(&self, model: OpenModel) {
        let mut adapters = self.adapters.borrow_mut();
        adapters.retain(|held| held.kept.is_none());
        adapters.iter_mut().for_each(|held| held.strength = None);
        drop(adapters);
        self.planned.replace(None);
        self.model.replace(Some(model));
        self.changed();
    }

    /// Takes the place of the one run that may train: two would be no quicker, and need twice the memory.
    ///
    /// # Errors
    /// Another run has it.
    pub fn claim(&self, id: &str) -> Result<Claim<'_>, Told> {
        if let Some(run) = self.run.borrow().as_ref() {
            return Err(told!("run.busy", "the run {id} trains already; stop it first", id = run.id));
        }
        let wishes = Rc::<Wishes>::default();
        self.run.replace(Some(ActiveRun { id: id.to_string(), wishes: Rc::clone(&wishes) }));
        Ok(Claim { engine: self, wishes })
    }
}
