//! What a request means by its model, and what its endpoint must know of it.

use std::sync::Arc;
use std::time::Instant;

use kindling::api::{Adapters, Constrainer, Served};
use tokio::time::timeout_at;

use super::Server;
use super::engine::{Command, Opened};
use super::refusal::Refusal;
use super::wanted::Wanted;

impl Server {
    /// When the time of a request that came now is over.
    pub fn ends_by(&self) -> Instant {
        Instant::now() + self.limits.request_time()
    }

    /// What a request calls a model, or the default.
    ///
    /// # Errors
    /// No such model.
    pub fn named(&self, model: Option<&str>) -> Result<Wanted, Refusal> {
        self.names.wanted(model.unwrap_or_default(), &Adapters::Active)
    }

    /// Opens what is asked for, and says how requests to it are read.
    ///
    /// # Errors
    /// What cannot be opened.
    pub async fn open(&self, wanted: &Wanted, ends_by: Instant) -> Result<Arc<Opened>, Refusal> {
        let opened = self.engine.ask(|back| Command::Open(wanted.clone(), back));
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
            context: opened.context,
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
