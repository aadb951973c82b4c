//! Adapters at hand: which act, and how strongly.

use std::sync::Arc;

use kindling::adapter::Adapter;
use kindling::checkpoint::open_tokenizer;
use kindling::tokenizer::Tokenizer;
use kindling::told::{Told, told};

use super::kept_adapters::{self, About, Kept};
use super::load::directory;
use super::messages::model::AdapterInfo;
use super::names::free;
use super::protocol::{Active, File};
use super::state::{Answer, Engine, HeldAdapter, OpenModel};

impl Engine {
    /// Names, sizes and strengths of those at hand and those kept, the newest first.
    pub async fn list_adapters(&self) -> Result<Answer, Told> {
        // One that comes to hand meanwhile may not be among those that are listed.
        let held: Vec<String> = self.adapters.borrow().iter().filter_map(|held| held.kept.clone()).collect();
        let kept = kept_adapters::all().await?;
        self.forget_removed(&held, &kept);
        let open = self.model.borrow().as_ref().map(|model| model.fingerprint.clone());
        let fits = |about: &About| open.as_ref().is_some_and(|open| about.belongs_to(open));
        let mut list = Vec::new();
        for held in self.adapters.borrow().iter() {
            let mut info = info(&held.about, fits(&held.about), held.kept.is_some());
            (info.active, info.strength) = (held.strength.is_some(), held.strength.unwrap_or(1.0));
            list.push(info);
        }
        for Kept { folder, about } in kept {
            match about {
                _ if self.is_held(&folder) => (),
                Ok(about) => list.push(info(&about, fits(&about), true)),
                Err(damaged) => list.push(broken(folder, &damaged)),
            }
        }
        list.sort_by(|a, b| b.made.total_cmp(&a.made));
        Answer::new(list)
    }

    /// Lets go of those of these adapters at hand that another tab removed; one that acts stays at hand alone, under a
    /// number where its name went to another one.
    fn forget_removed(&self, held: &[String], kept: &[Kept]) {
        let is_gone =
            |folder: &String| held.contains(folder) && !kept.iter().any(|kept| kept.folder == *folder);
        let mut adapters = self.adapters.borrow_mut();
        adapters.retain(|held| held.strength.is_some() || !held.kept.as_ref().is_some_and(is_gone));
        for held in adapters.iter_mut() {
            held.kept = held.kept.take().filter(|folder| !is_gone(folder));
        }
        let mut taken: Vec<String> =
            kept.iter().filter_map(|kept| Some(kept.about.as_ref().ok()?.name.clone())).collect();
        for held in adapters.iter_mut().filter(|held| held.kept.is_none()) {
            held.about.name = free(&held.about.name, |name| taken.iter().any(|taken| taken == name));
            taken.push(held.about.name.clone());
        }
    }

    fn is_held(&self, folder: &str) -> bool {
        self.adapters.borrow().iter().any(|held| held.kept.as_deref() == Some(folder))
    }

    /// Switches those named on and all others off.
    pub async fn use_adapters(&self, active: &[Active]) -> Result<Answer, Told> {
        let _place = self.choices.enter().await;
        self.bring(active).await?;
        let strength = |name: &str| active.iter().find(|wanted| wanted.name == name).map(|w| w.strength);
        for held in self.adapters.borrow_mut().iter_mut() {
            held.strength = strength(&held.about.name);
        }
        self.changed();
        self.list_adapters().await
    }

    /// Brings adapters of the open model to hand, without a change of what acts.
    ///
    /// # Errors
    /// One that is not there, is another model's, or has no strength.
    pub async fn bring(&self, named: &[Active]) -> Result<(), Told> {
        if let Some(wanted) = named.iter().find(|wanted| !wanted.strength.is_finite()) {
            return Err(told!(
                "adapter.strength",
                "the strength of '{name}' is no number",
                name = wanted.name
            ));
        }
        for wanted in named {
            self.fetch(&wanted.name).await?;
        }
        Ok(())
    }

    /// Opens a kept adapter of the open model, unless it is at hand.
    async fn fetch(&self, name: &str) -> Result<(), Told> {
        let is_it = |about: &About| about.name == name;
        let model = self.opened()?;
        let belongs = |about: &About| match about.belongs_to(&model.fingerprint) {
            true => Ok(()),
            false => Err(told!(
                "adapter.of_other",
                "the adapter '{name}' belongs to the model '{base}'; open that to use it",
                name,
                base = about
                    .base
                    .as_deref()
                    .map_or_else(|| told!("adapter.unnamed_base", "that it was added to"), Told::from)
            )),
        };
        let held =
            self.adapters.borrow().iter().find(|held| is_it(&held.about)).map(|held| held.about.clone());
        if let Some(about) = held {
            return belongs(&about);
        }
        let kept = kept_adapters::all().await?;
        let found = kept
            .into_iter()
            .find_map(|Kept { folder, about }| about.ok().filter(is_it).map(|about| (folder, about)));
        let (folder, about) =
            found.ok_or_else(|| told!("adapter.none", "there is no adapter '{name}'", name))?;
        belongs(&about)?;
        let (adapter, own) = kept_adapters::open(&folder).await?;
        if self.opened()?.fingerprint != model.fingerprint {
            return Err(told!(
                "adapter.other_opened",
                "another model was opened while the adapter '{name}' was; try again",
                name
            ));
        }
        adapter.attach(model.base.clone(), 1.0).map_err(Told::from)?;
        if !self.is_held(&folder) {
            self.put(&model, about, adapter, own.as_ref(), Some(folder));
        }
        Ok(())
    }

    /// Takes an adapter from the files of a directory of PEFT's or mlx-lm's, or from a .zip of them; it acts at once. One
    /// whose name is taken gets a number.
    pub async fn add_adapter(&self, name: String, files: Vec<File>) -> Result<Answer, Told> {
        let told = |error: kindling::error::Error| told!("at", "{name}: {why}", name, why = error.told());
        let mut files = directory(files)?;
        let adapter = Adapter::open(|wanted| Ok(files.remove(wanted))).map_err(told)?;
        let own = open_tokenizer(&mut |wanted: &str| Ok(files.remove(wanted))).map_err(told)?;
        let _place = self.choices.enter().await;
        let model = self.opened()?;
        let adapter = adapter.compared_with(&model.base).await.map_err(told)?;
        self.hold(&model, &name, adapter, own.as_ref()).await?;
        self.list_adapters().await
    }

    /// Keeps an adapter of a model in this browser and, where that model is still the open one, lets it alone act; `own` is
    /// the tokenizer that it was trained with. Gives its name, and why it could not be kept.
    ///
    /// # Errors
    /// It does not fit the model.
    pub async fn hold(
        &self,
        model: &OpenModel,
        wanted: &str,
        adapter: Adapter,
        own: Option<&Tokenizer>,
    ) -> Result<(String, Option<Told>), Told> {
        let name = self.free_name(wanted).await?;
        self.hold_as(model, name, adapter, own).await
    }

    /// The same in the place of the adapter of this name, which is gone once the new one is kept.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub async fn renew_adapter(
        &self,
        model: &OpenModel,
        name: &str,
        adapter: Adapter,
        own: Option<&Tokenizer>,
    ) -> Result<(String, Option<Told>), Told> {
        let is_it = |kept: &Kept| kept.about.as_ref().is_ok_and(|about| about.name == name);
        let old: Vec<Kept> = kept_adapters::all().await?.into_iter().filter(is_it).collect();
        let (name, failed) = self.hold_as(model, name.to_string(), adapter, own).await?;
        if failed.is_none() {
            for Kept { folder, .. } in old {
                self.adapters.borrow_mut().retain(|held| held.kept.as_deref() != Some(folder.as_str()));
                kept_adapters::remove(&folder).await?;
            }
        }
        Ok((name, failed))
    }

    async fn hold_as(
        &self,
        model: &OpenModel,
        name: String,
        adapter: Adapter,
        own: Option<&Tokenizer>,
    ) -> Result<(String, Option<Told>), Told> {
        if let Some(base) = &adapter.config.base {
            let base_name = adapter.config.base_name.as_deref();
            base.check(&model.fingerprint, base_name).map_err(Told::from)?;
        }
        // Shapes that do not fit show here, not at the next answer.
        adapter.attach(model.base.clone(), 1.0).map_err(Told::from)?;
        let about = About {
            name,
            rank: adapter.config.lora.rank,
            parameters: adapter.parameters(),
            base: Some(model.name.clone()),
            fingerprint: model.fingerprint.hex().to_string(),
            reading: model.fingerprint.reading().cloned(),
            made: js_sys::Date::now(),
        };
        let name = about.name.clone();
        let (kept, failed) = match kept_adapters::keep(&about, &adapter, own).await {
            Ok(folder) => (Some(folder), None),
            Err(error) => (None, Some(error)),
        };
        let is_open = self.opened().is_ok_and(|open| open.fingerprint == model.fingerprint);
        if is_open || kept.is_none() {
            if is_open {
                self.adapters.borrow_mut().iter_mut().for_each(|held| held.strength = None);
            }
            self.put(model, about, adapter, own, kept);
        }
        if is_open {
            let mut adapters = self.adapters.borrow_mut();
            adapters.last_mut().into_iter().for_each(|held| held.strength = Some(1.0));
            drop(adapters);
            self.changed();
        }
        Ok((name, failed))
    }

    /// Puts an adapter beside the others, switched off.
    fn put(
        &self,
        model: &OpenModel,
        about: About,
        adapter: Adapter,
        own: Option<&Tokenizer>,
        kept: Option<String>,
    ) {
        let tokenizer = own.filter(|own| own.chat_template().is_some()).map(|own| {
            let mut tokenizer = Tokenizer::clone(&model.tokenizer);
            tokenizer.talk_as(own);
            Arc::new(tokenizer)
        });
        self.adapters.borrow_mut().push(HeldAdapter { about, kept, adapter, tokenizer, strength: None });
    }

    /// A name that no other adapter has.
    async fn free_name(&self, wanted: &str) -> Result<String, Told> {
        let kept = kept_adapters::all().await?;
        let mut taken: Vec<String> =
            kept.into_iter().filter_map(|kept| kept.about.ok()).map(|about| about.name).collect();
        taken.extend(self.adapters.borrow().iter().map(|held| held.about.name.clone()));
        Ok(free(wanted, |name| taken.iter().any(|taken| taken == name)))
    }

    /// Removes an adapter, from this browser too; the base is as it was.
    pub async fn remove_adapter(&self, name: &str) -> Result<Answer, Told> {
        let _place = self.choices.enter().await;
        self.adapters.borrow_mut().retain(|held| held.about.name != name);
        self.changed();
        for Kept { folder, about } in kept_adapters::all().await? {
            // One whose name is damaged goes by its folder's.
            if about.map_or_else(|_| folder == name, |about| about.name == name) {
                kept_adapters::remove(&folder).await?;
            }
        }
        self.list_adapters().await
    }
}

fn info(about: &About, fits: bool, kept: bool) -> AdapterInfo {
    let About { name, rank, parameters, base, made, .. } = about.clone();
    AdapterInfo {
        name,
        rank: rank as u32,
        parameters: parameters as f64,
        active: false,
        strength: 1.0,
        base,
        fits,
        kept,
        made,
        damaged: None,
    }
}

fn broken(folder: String, damaged: &Told) -> AdapterInfo {
    AdapterInfo {
        name: folder,
        rank: 0,
        parameters: 0.0,
        active: false,
        strength: 1.0,
        base: None,
        fits: false,
        kept: true,
        made: 0.0,
        damaged: Some(damaged.into()),
    }
}
