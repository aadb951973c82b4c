//! What the engine holds.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use burn::tensor::Device;
use kindling::adapter::{Adapter, Fingerprint};
use kindling::model::Transformer;
use kindling::sample::Decoder;
use kindling::tokenizer::Tokenizer;
use kindling::train::Control;
use serde::Serialize;
use serde_json::Value;

use super::protocol::{File, WeightsAs};

/// Everything that lives as long as the worker.
#[derive(Default)]
pub struct Engine {
    /// The device, once it is open.
    pub device: RefCell<Option<Device>>,
    /// The open model.
    pub model: RefCell<Option<OpenModel>>,
    /// Adapters of the open model.
    pub adapters: RefCell<Vec<HeldAdapter>>,
    /// The cache of the last conversation, and the ids in it.
    pub talk: RefCell<Option<(Decoder, Vec<u32>)>>,
    /// The run that trains.
    pub run: RefCell<Option<ActiveRun>>,
    /// Calls that the page no longer wants.
    pub cancelled: RefCell<HashSet<u32>>,
}

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
    pub warnings: Vec<String>,
}

/// An adapter and whether it acts.
pub struct HeldAdapter {
    /// What the page calls it.
    pub name: String,
    /// Its weights.
    pub adapter: Adapter,
    /// The base's tokenizer, talking as the adapter was taught to; `None` where nothing beside the adapter says how.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// What its scale is multiplied by; `None` while it is off.
    pub strength: Option<f64>,
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
    /// What the loop is told next.
    pub control: Rc<Cell<Control>>,
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
    pub fn new(result: impl Serialize) -> Result<Self, String> {
        let result = serde_json::to_value(result).map_err(|e| e.to_string())?;
        Ok(Self { result, files: Vec::new() })
    }
}

impl Engine {
    /// The open device.
    pub fn device(&self) -> Result<Device, String> {
        self.device.borrow().clone().ok_or_else(|| "the device is not open yet".to_string())
    }

    /// The open model.
    pub fn opened(&self) -> Result<OpenModel, String> {
        self.model.borrow().clone().ok_or_else(|| "no model is open; load one first".to_string())
    }

    /// The open model with the adapters that act, or without any.
    pub fn answering(&self, base: bool) -> Result<Transformer, String> {
        let model = self.opened()?.base;
        let adapters = self.adapters.borrow();
        let active = adapters.iter().filter(|_| !base);
        let active = active.filter_map(|held| Some((&held.adapter, held.strength?)));
        let attach = |model, (adapter, strength): (&Adapter, f64)| adapter.attach(model, strength);
        active.into_iter().try_fold(model, attach).map_err(|e| e.to_string())
    }

    /// How the open model talks: as the last of the adapters that act, or without any.
    pub fn talking(&self, base: bool) -> Result<Talking, String> {
        let model = self.opened()?;
        let adapters = self.adapters.borrow();
        let active = adapters.iter().filter(|held| !base && held.strength.is_some());
        let tokenizer = active.filter_map(|held| held.tokenizer.clone()).next_back();
        let tokenizer = tokenizer.unwrap_or(model.tokenizer);
        let ends = tokenizer.end_ids(&model.base.config().eos_token_ids);
        Ok(Talking { tokenizer, ends })
    }

    /// Puts another model, or other adapters, in the place of what answered.
    pub fn changed(&self) {
        self.talk.replace(None);
    }
}
