//! Models and adapters are opened when they are first asked for: their files elsewhere, so that answers go on meanwhile,
//! their weights between two steps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

use burn::tensor::Device;
use kindling::checkpoint::Checkpoint;
use kindling::kernels::Quantization;
use kindling::model::Transformer;
use kindling::sample::{BatchLimits, SamplingConfig};

use super::Command;
use super::forms::Forms;
use super::lane::{Lane, Opened};
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::commands::prompts::cache_bytes;
use crate::commands::{load, sampling_of, with_adapters};
use crate::date::Date;
use crate::failure::Failure;
use crate::hub::{self, Want};
use crate::serve::limits::{Limits, PREFILL_TOKENS};
use crate::serve::models::entry_of_model;
use crate::serve::names::{Named, Names};
use crate::serve::refusal::Refusal;

/// How models are opened.
pub struct Settings {
    /// Device, type and how much is said.
    pub everywhere: Everywhere,
    /// What stands beside the one model, where there is one.
    pub beside: BesideModel,
    /// In how many bits their matrices are held.
    pub weights: Option<Quantization>,
    /// How they are sampled where neither a request nor their own settings say.
    pub sampling: SamplingConfig,
    /// The flags that were given, which count before a model's own settings.
    pub said: Vec<String>,
    /// The device that is open.
    pub device: Device,
    /// How much is taken on.
    pub limits: Limits,
}

/// A model under its adapters.
struct Base {
    checkpoint: Checkpoint,
    model: Transformer,
}

/// What of a name is on this machine.
pub enum Fetched {
    /// A model's files, its weights not yet read.
    Model(Box<Checkpoint>),
    /// An adapter's files.
    Adapter,
}

/// Opens what is asked for.
pub struct Opening {
    settings: Settings,
    names: Names,
    /// Where what was fetched comes back.
    commands: SyncSender<Command>,
    bases: HashMap<String, Base>,
    fetching: HashSet<String>,
    fetched: HashMap<String, Result<Fetched, Refusal>>,
}

/// How far a name is.
enum Step {
    Open,
    Waits,
    Failed(Refusal),
}

impl Opening {
    /// Nothing is open yet.
    pub fn new(settings: Settings, names: Names, commands: SyncSender<Command>) -> Self {
        let (bases, fetching, fetched) = (HashMap::new(), HashSet::new(), HashMap::new());
        Self { settings, names, commands, bases, fetching, fetched }
    }

    /// What came of fetching.
    pub fn take(&mut self, name: String, fetched: Result<Fetched, Refusal>) {
        self.fetching.remove(&name);
        self.fetched.insert(name, fetched);
    }

    /// Brings a name as far as it goes now; none while its files are on the way.
    pub fn advance(&mut self, name: &str, lanes: &mut BTreeMap<String, Lane>) -> Option<Result<(), Refusal>> {
        match self.step(name, lanes) {
            Step::Open => Some(Ok(())),
            Step::Waits => None,
            Step::Failed(refusal) => Some(Err(refusal)),
        }
    }

    /// Forgets a name, whose lane goes.
    pub fn forget(&mut self, name: &str) {
        self.fetched.remove(name);
    }

    fn step(&mut self, name: &str, lanes: &mut BTreeMap<String, Lane>) -> Step {
        if lanes.contains_key(name) {
            return Step::Open;
        }
        let Some(listed) = self.names.find(Some(name)) else {
            return Step::Failed(Refusal::no_model(name, &self.names.texts()));
        };
        let named = listed.named;
        if let Some(base) = &named.base {
            match self.step(base, lanes) {
                Step::Open => {}
                other => return other,
            }
        }
        match self.fetched.remove(name) {
            None => {
                if let Err(refusal) = self.fetch(&named) {
                    return Step::Failed(refusal);
                }
                Step::Waits
            }
            Some(Err(refusal)) => Step::Failed(refusal),
            Some(Ok(fetched)) => match self.open(&named, fetched) {
                Ok(mut lane) => {
                    let (opened, bits) = (lane.opened(), self.quantization());
                    lanes.insert(named.name.clone(), lane);
                    self.names.loaded(&named.name, |entry| {
                        entry_of_model(entry, &opened.config, opened.tokenizer.as_deref(), bits)
                    });
                    Step::Open
                }
                Err(failure) => Step::Failed(Refusal::of_opening(failure, named.base.is_some())),
            },
        }
    }

    /// Brings a name's files here, from the hub where they lie there, on a thread of its own.
    fn fetch(&mut self, named: &Named) -> Result<(), Refusal> {
        if !self.fetching.insert(named.name.clone()) {
            return Ok(());
        }
        let (named, beside, commands) = (named.clone(), self.settings.beside.clone(), self.commands.clone());
        let name = named.name.clone();
        let work = move || {
            let fetched = fetched(&named, &beside);
            let _ = commands.send(Command::Fetched { name: named.name, fetched });
        };
        match thread::Builder::new().name("fetch".into()).spawn(work) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.fetching.remove(&name);
                Err(Refusal::failed(format!("no thread can be started: {error}")))
            }
        }
    }

    fn open(&mut self, named: &Named, fetched: Fetched) -> Result<Lane, Failure> {
        let everywhere = &self.settings.everywhere;
        let (model, tokenizer) = match (fetched, &named.base) {
            (Fetched::Model(checkpoint), _) => {
                let model = load(&checkpoint, self.settings.weights, &self.settings.device, &named.place)?;
                let opened = with_adapters(model.clone(), &checkpoint, &[], everywhere)?;
                self.bases.insert(named.name.clone(), Base { checkpoint: *checkpoint, model });
                opened
            }
            (Fetched::Adapter, base) => {
                let base = base.as_ref().and_then(|base| self.bases.get(base));
                let base = base.ok_or_else(|| Failure::Usage("the adapter's model is not loaded".into()))?;
                let places: [PathBuf; 1] = [named.place.clone()];
                with_adapters(base.model.clone(), &base.checkpoint, &places, everywhere)?
            }
        };
        let output = everywhere.output();
        let sampling = sampling_of(&self.settings.sampling, &model, &self.settings.said, output);
        let config = model.config().clone();
        let ends = tokenizer.as_ref().map_or_else(
            || config.eos_token_ids.clone(),
            |tokenizer| tokenizer.end_ids(&config.eos_token_ids),
        );
        let limits = self.limits(&model);
        output.say(&format!("{} is loaded from {}", named.name, named.place.display()));
        let day = Date::today();
        let tokenizer = tokenizer.map(|mut tokenizer| {
            day.set(&mut tokenizer);
            Arc::new(tokenizer)
        });
        let forms = tokenizer.as_ref().map(|tokenizer| Forms::new(Arc::clone(tokenizer), &ends));
        let opened = Opened { name: named.name.clone(), tokenizer, forms, config, ends, sampling, day };
        Ok(Lane::new(opened, model, limits))
    }

    /// In which type weights are held, in Ollama's words.
    fn quantization(&self) -> &'static str {
        match self.settings.weights {
            None => "F32",
            Some(Quantization::Q8_0) => "Q8_0",
            Some(Quantization::Q4_0) => "Q4_0",
        }
    }

    /// What a model takes on: the memory for keys and values is shared by all that have a name.
    fn limits(&self, model: &Transformer) -> BatchLimits {
        const LEAST: u64 = 64 << 20;
        let sharing = self.names.texts().len().max(1) as u64;
        BatchLimits {
            rows: self.settings.limits.max_streams,
            cache_bytes: (cache_bytes(model) / sharing).max(LEAST),
            prefill_tokens: PREFILL_TOKENS,
            // The engine counts what waits for all models together.
            queue: usize::MAX,
        }
    }
}

fn fetched(named: &Named, beside: &BesideModel) -> Result<Fetched, Refusal> {
    if named.base.is_some() {
        let local = hub::local(&named.place, Want::Adapter);
        return local.map(|_| Fetched::Adapter).map_err(|error| Refusal::of_opening(error.into(), true));
    }
    let opened = beside.open(&named.place);
    let opened = opened.map_err(|error| Refusal::of_opening(error.into(), false))?;
    Ok(Fetched::Model(Box::new(opened)))
}
