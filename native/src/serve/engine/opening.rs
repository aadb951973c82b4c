//! Models and adapters are opened when they are first asked for: their files elsewhere, so that answers go on meanwhile,
//! their weights between two steps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;

use burn::tensor::Device;
use kindling::api::KeepAlive;
use kindling::checkpoint::Checkpoint;
use kindling::kernels::{Activations, Quantization};
use kindling::model::{KvCache, Transformer};
use kindling::sample::{BatchLimits, SamplingConfig};
use kindling::tokenizer::Tokenizer;

use super::forms::Forms;
use super::lane::{CRASHED, Lane};
use super::opened::Opened;
use super::{Command, STACK};
use crate::beside_model::BesideModel;
use crate::cli::Everywhere;
use crate::commands::prompts::cache_bytes;
use crate::commands::{load, sampling_of, with_adapters, with_weighted_adapters};
use crate::date::Date;
use crate::failure::Failure;
use crate::hub::{self, Want};
use crate::serve::limits::{Limits, PREFILL_TOKENS};
use crate::serve::models::entry_of_model;
use crate::serve::names::{Named, Names};
use crate::serve::refusal::Refusal;
use crate::serve::wanted::Wanted;

/// Mixtures of adapters that requests made and that are kept, each with a cache of its own.
const MIXTURES: usize = 8;

/// Models that are open, by what the engine calls them.
pub type Lanes = BTreeMap<String, Lane>;

/// How models are opened.
pub struct Settings {
    /// Device, type and how much is said.
    pub everywhere: Everywhere,
    /// What stands beside the one model, where there is one.
    pub beside: BesideModel,
    /// In how many bits their matrices are held.
    pub weights: Option<Quantization>,
    /// What those are multiplied by where answers are written.
    pub activations: Activations,
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

    /// Brings what is wanted as far as it goes now; none while its files are on the way.
    pub fn advance(&mut self, wanted: &Wanted, lanes: &mut Lanes) -> Option<Result<(), Refusal>> {
        match self.step(wanted, lanes) {
            Step::Open => Some(Ok(())),
            Step::Waits => None,
            Step::Failed(refusal) => Some(Err(refusal)),
        }
    }

    /// Lets the weights of a model go whose lane is gone.
    pub fn close(&mut self, name: &str) {
        self.bases.remove(name);
        self.settings.everywhere.output().say(&format!("{name} is put away: nobody asked for it"));
    }

    /// How long a model stays where a request does not say.
    pub fn keep_alive(&self) -> KeepAlive {
        self.settings.limits.keep_alive()
    }

    /// How many answers may wait, those of all models together.
    pub fn queue(&self) -> usize {
        self.settings.limits.queue
    }

    /// Forgets a name, whose lane goes.
    pub fn forget(&mut self, name: &str) {
        self.fetched.remove(name);
    }

    /// Forgets a name and the weights of its model.
    pub fn release(&mut self, name: &str) {
        self.forget(name);
        self.bases.remove(name);
    }

    fn step(&mut self, wanted: &Wanted, lanes: &mut Lanes) -> Step {
        if lanes.contains_key(&wanted.key) {
            return Step::Open;
        }
        if wanted.adapters.is_empty() {
            return self.step_of_model(&wanted.base, lanes);
        }
        match self.step(&Wanted::plain(&wanted.base), lanes) {
            Step::Open => {}
            other => return other,
        }
        let mut adapters = Vec::new();
        for (name, strength) in &wanted.adapters {
            let Some(named) = self.names.find(Some(name)).map(|listed| listed.named) else {
                return Step::Failed(Refusal::no_model(name, &self.names.texts()));
            };
            match self.fetched.remove(name) {
                None => return self.fetch(&named),
                Some(Err(refusal)) => return Step::Failed(refusal),
                // It is here until it is unloaded.
                here => self.fetched.extend(here.map(|here| (name.clone(), here))),
            }
            adapters.push((named.place, *strength));
        }
        if let Err(refusal) = self.make_room(&wanted.key, lanes) {
            return Step::Failed(refusal);
        }
        let opened = self.open_with(&wanted.base, &adapters);
        match opened.map(|(model, tokenizer)| self.lane(&wanted.key, model, tokenizer)) {
            Ok(mut lane) => {
                lane.base.clone_from(&wanted.base);
                lane.adapters = wanted.adapters.iter().map(|(name, _)| name.clone()).collect();
                self.insert(&wanted.key, lane, lanes)
            }
            Err(failure) => Step::Failed(Refusal::of_opening(failure, true)),
        }
    }

    fn step_of_model(&mut self, name: &str, lanes: &mut Lanes) -> Step {
        let Some(named) = self.names.find(Some(name)).map(|listed| listed.named) else {
            return Step::Failed(Refusal::no_model(name, &self.names.texts()));
        };
        let checkpoint = match self.fetched.remove(name) {
            Some(Ok(Fetched::Model(checkpoint))) => checkpoint,
            Some(Err(refusal)) => return self.unopened(name, refusal),
            None | Some(Ok(Fetched::Adapter)) => return self.fetch(&named),
        };
        let opened = self.open_model(&named, *checkpoint);
        match opened.map(|(model, tokenizer)| self.lane(name, model, tokenizer)) {
            Ok(lane) => self.insert(name, lane, lanes),
            Err(failure) => self.unopened(name, Refusal::of_opening(failure, false)),
        }
    }

    /// Tells whoever runs the server, too, why a model of it cannot be opened.
    fn unopened(&self, name: &str, refusal: Refusal) -> Step {
        let output = self.settings.everywhere.output();
        output.warn(&format!("{name} cannot be opened: {}", refusal.error.message));
        Step::Failed(refusal)
    }

    fn insert(&self, key: &str, mut lane: Lane, lanes: &mut Lanes) -> Step {
        let (opened, bits) = (lane.opened(), self.quantization());
        lanes.insert(key.into(), lane);
        self.names
            .loaded(key, |entry| entry_of_model(entry, &opened.config, opened.tokenizer.as_deref(), bits));
        Step::Open
    }

    /// Lets a mixture of adapters go where there are as many as are kept, so that requests cannot make ever more of them.
    fn make_room(&self, key: &str, lanes: &mut Lanes) -> Result<(), Refusal> {
        let names = self.names.texts();
        let is_named = |key: &str| names.iter().any(|name| name == key);
        if is_named(key) || lanes.keys().filter(|key| !is_named(key)).count() < MIXTURES {
            return Ok(());
        }
        let idle =
            lanes.iter().find(|(key, lane)| !is_named(key) && !lane.works()).map(|(key, _)| key.clone());
        let idle = idle.ok_or_else(|| Refusal::busy(MIXTURES))?;
        lanes.remove(&idle);
        Ok(())
    }

    /// Brings a name's files here, from the hub where they lie there, on a thread of its own.
    fn fetch(&mut self, named: &Named) -> Step {
        if !self.fetching.insert(named.name.clone()) {
            return Step::Waits;
        }
        let (named, beside, commands) = (named.clone(), self.settings.beside.clone(), self.commands.clone());
        let name = named.name.clone();
        let work = move || {
            // Without a word from here the name would be on its way for ever.
            let fetched = catch_unwind(AssertUnwindSafe(|| fetched(&named, &beside)))
                .unwrap_or_else(|_| Err(Refusal::failed(CRASHED)));
            let _ = commands.send(Command::Fetched { name: named.name, fetched });
        };
        match thread::Builder::new().name("fetch".into()).stack_size(STACK).spawn(work) {
            Ok(_) => Step::Waits,
            Err(error) => {
                self.fetching.remove(&name);
                Step::Failed(Refusal::failed(format!("no thread can be started: {error}")))
            }
        }
    }

    fn open_model(
        &mut self,
        named: &Named,
        checkpoint: Checkpoint,
    ) -> Result<(Transformer, Option<Tokenizer>), Failure> {
        let settings = &self.settings;
        let model = load(&checkpoint, settings.weights, &settings.device, &named.place)?;
        let model = model.with_activations(settings.activations);
        let opened = with_adapters(model.clone(), &checkpoint, &[], &settings.everywhere)?;
        settings.everywhere.output().say(&format!("{} is loaded from {}", named.name, named.place.display()));
        self.bases.insert(named.name.clone(), Base { checkpoint, model });
        Ok(opened)
    }

    fn open_with(
        &self,
        base: &str,
        adapters: &[(PathBuf, f64)],
    ) -> Result<(Transformer, Option<Tokenizer>), Failure> {
        let base = self.bases.get(base);
        let base = base.ok_or_else(|| Failure::Usage("the adapter's model is not loaded".into()))?;
        with_weighted_adapters(base.model.clone(), &base.checkpoint, adapters, &self.settings.everywhere)
    }

    /// What a model that is ready to compute is asked through.
    fn lane(&self, key: &str, model: Transformer, tokenizer: Option<Tokenizer>) -> Lane {
        let everywhere = &self.settings.everywhere;
        let output = everywhere.output();
        let sampling = sampling_of(&self.settings.sampling, &model, &self.settings.said, output);
        let config = model.config().clone();
        let ends = tokenizer.as_ref().map_or_else(
            || config.eos_token_ids.clone(),
            |tokenizer| tokenizer.end_ids(&config.eos_token_ids),
        );
        let limits = self.limits(&model);
        let context = context_in(&model, limits.cache_bytes);
        if context < config.context() {
            output.warn(&format!(
                "{key}: the memory for keys and values holds {context} of its {} positions, which bounds prompts and answers; \
                 serve fewer models, or free memory",
                config.context()
            ));
        }
        let day = Date::today();
        let tokenizer = tokenizer.map(|mut tokenizer| {
            day.set(&mut tokenizer);
            Arc::new(tokenizer)
        });
        let forms = tokenizer.as_ref().map(|tokenizer| Forms::new(Arc::clone(tokenizer), &ends));
        let opened = Opened { name: key.into(), tokenizer, forms, config, context, ends, sampling, day };
        Lane::new(opened, model, limits, self.keep_alive())
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

/// Most positions of one text: those of the model, or as many as its keys and values have memory for.
fn context_in(model: &Transformer, bytes: u64) -> usize {
    let config = model.config();
    // A masked predictor's text is read anew in every step.
    if config.diffusion.is_some() {
        return config.context();
    }
    let position = KvCache::bytes_per_position(config, model.dtype()).max(1);
    usize::try_from(bytes / position).map_or(config.context(), |held| held.min(config.context()))
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
