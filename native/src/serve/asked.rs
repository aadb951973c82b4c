//! What a request means by its model, and what its endpoint must know of it.

use std::sync::Arc;
use std::time::Instant;

use kindling::api::{Adapters, Constrainer, Served};
use tokio::time::timeout_at;

use super::Server;
use super::engine::{Command, Opened};
use super::refusal::Refusal;

impl Server {
    /// When the time of a request that came now is over.
    pub fn ends_by(&self) -> Instant {
        Instant::now() + self.limits.request_time()
    }

    /// What a request calls a model, or the default.
    ///
    /// # Errors
    /// No such model.
    pub fn name(&self, model: Option<&str>) -> Result<String, Refusal> {
        let none = || Refusal::no_model(model.unwrap_or_default(), &self.names.texts());
        Ok(self.names.find(model).ok_or_else(none)?.named.name)
    }

    /// The name under which the engine has what a request means.
    ///
    /// # Errors
    /// No such model, or adapters of it that cannot act so.
    pub fn lane(&self, model: &str, adapters: &Adapters) -> Result<String, Refusal> {
        let none = || Refusal::no_model(model, &self.names.texts());
        let listed = self.names.find(Some(model)).ok_or_else(none)?;
        let base = listed.named.base.clone().unwrap_or_else(|| listed.named.name.clone());
        match adapters {
            Adapters::Active => Ok(listed.named.name),
            Adapters::Base => Ok(base),
            Adapters::Only(list) if list.is_empty() => Ok(base),
            Adapters::Only(list) => {
                let [one] = list.as_slice() else {
                    return Err(Refusal::bad(
                        "unsupported_parameter",
                        "one adapter acts at a time; `kindling merge` adds several to one model",
                    )
                    .about("adapters"));
                };
                if one.strength != 1.0 {
                    let message =
                        format!("an adapter acts with strength 1 here, and {} is asked for", one.strength);
                    return Err(Refusal::bad("unsupported_parameter", message).about("adapters"));
                }
                let found =
                    self.names.find(Some(&one.name)).filter(|found| found.named.base.as_ref() == Some(&base));
                let found = found.ok_or_else(|| {
                    Refusal::not_found(
                        "model_not_found",
                        format!("'{base}' has no adapter '{}' here", one.name),
                    )
                    .about("adapters")
                })?;
                Ok(found.named.name)
            }
        }
    }

    /// Opens what is asked for, and says how requests to it are read.
    ///
    /// # Errors
    /// What cannot be opened.
    pub async fn open(&self, name: &str, ends_by: Instant) -> Result<Arc<Opened>, Refusal> {
        let opened = self.engine.ask(|back| Command::Open(name.to_string(), back));
        timeout_at(ends_by.into(), opened).await.unwrap_or_else(|_| Err(Refusal::timed_out()))
    }

    /// What an endpoint must know of a model.
    ///
    /// # Errors
    /// A model without a tokenizer.
    pub fn served<'a>(&'a self, opened: &'a Opened) -> Result<Served<'a>, Refusal> {
        let tokenizer = opened.tokenizer()?;
        Ok(Served {
            tokenizer,
            end_ids: &opened.ends,
            context: opened.config.context(),
            masked: opened.config.diffusion.is_some(),
            sampling: &opened.sampling,
            most_tokens: self.most_tokens,
            most_choices: self.limits.max_streams + self.limits.queue,
            constrainer: opened.forms.as_ref().map(|forms| forms as &dyn Constrainer),
        })
    }
}

/// Does on another thread what takes the processor for a while.
///
/// # Errors
/// Those of the work; one that cannot be done.
pub async fn reading<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Refusal::failed("the request cannot be read; the server's output says why")))
}
