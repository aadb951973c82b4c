//! Adapters at hand: which act, and how strongly.

use std::sync::Arc;

use kindling::adapter::Adapter;
use kindling::checkpoint::open_tokenizer;
use kindling::tokenizer::Tokenizer;

use super::load::directory;
use super::protocol::{Active, AdapterInfo, File};
use super::state::{Answer, Engine, HeldAdapter};

impl Engine {
    /// Names, sizes and strengths.
    pub fn list_adapters(&self) -> Result<Answer, String> {
        let info = |held: &HeldAdapter| AdapterInfo {
            name: held.name.clone(),
            rank: held.adapter.config.lora.rank,
            parameters: held.adapter.parameters(),
            active: held.strength.is_some(),
            strength: held.strength.unwrap_or(1.0),
        };
        Answer::new(self.adapters.borrow().iter().map(info).collect::<Vec<_>>())
    }

    /// Switches those named on and all others off.
    pub fn use_adapters(&self, active: &[Active]) -> Result<Answer, String> {
        let mut adapters = self.adapters.borrow_mut();
        for wanted in active {
            if !adapters.iter().any(|held| held.name == wanted.name) {
                return Err(format!("there is no adapter '{}'", wanted.name));
            }
            if !wanted.strength.is_finite() {
                return Err(format!("the strength of '{}' is no number", wanted.name));
            }
        }
        for held in adapters.iter_mut() {
            held.strength =
                active.iter().find(|wanted| wanted.name == held.name).map(|wanted| wanted.strength);
        }
        drop(adapters);
        self.changed();
        self.list_adapters()
    }

    /// Takes an adapter from the files of a directory of PEFT's or mlx-lm's, or from a .zip of them; it acts at once.
    pub async fn add_adapter(&self, name: String, files: Vec<File>) -> Result<Answer, String> {
        let told = |error: kindling::error::Error| format!("{name}: {error}");
        let mut files = directory(files)?;
        let adapter = Adapter::open(|wanted| Ok(files.remove(wanted))).map_err(told)?;
        let own = open_tokenizer(&mut |wanted: &str| Ok(files.remove(wanted))).map_err(told)?;
        let base = self.opened()?.base;
        let adapter = adapter.compared_with(&base).await.map_err(told)?;
        self.hold(name, adapter, own.as_ref())?;
        self.list_adapters()
    }

    /// Puts an adapter beside the open model and lets it alone act; `own` is the tokenizer that it was trained with.
    pub fn hold(&self, name: String, adapter: Adapter, own: Option<&Tokenizer>) -> Result<(), String> {
        let model = self.opened()?;
        if let Some(base) = &adapter.config.base {
            let name = adapter.config.base_name.as_deref();
            base.check(&model.fingerprint, name).map_err(|e| e.to_string())?;
        }
        let tokenizer = own.filter(|own| own.chat_template().is_some()).map(|own| {
            let mut tokenizer = Tokenizer::clone(&model.tokenizer);
            tokenizer.talk_as(own);
            Arc::new(tokenizer)
        });
        // Shapes that do not fit show here, not at the next answer.
        adapter.attach(model.base, 1.0).map_err(|e| e.to_string())?;
        let mut adapters = self.adapters.borrow_mut();
        adapters.retain(|held| held.name != name);
        adapters.iter_mut().for_each(|held| held.strength = None);
        adapters.push(HeldAdapter { name, adapter, tokenizer, strength: Some(1.0) });
        drop(adapters);
        self.changed();
        Ok(())
    }

    /// Removes an adapter; the base is as it was.
    pub fn remove_adapter(&self, name: &str) -> Result<Answer, String> {
        self.adapters.borrow_mut().retain(|held| held.name != name);
        self.changed();
        self.list_adapters()
    }
}
