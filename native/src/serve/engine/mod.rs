//! One thread owns the models: it reads what is asked through a channel, and goes round those that have something to write.

mod aside;
mod forms;
mod job;
mod lane;
mod opened;
mod opening;
mod rounds;
mod scoring;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use kindling::error::Error;
use tokio::sync::oneshot;

pub use aside::Aside;
pub use job::{Back, Job};
pub use opened::Opened;
pub use opening::{Fetched, Settings};

use self::opening::Opening;
use self::rounds::Rounds;
use super::metrics::Metrics;
use super::names::{Named, Names};
use super::refusal::Refusal;
use super::wanted::Wanted;

/// What may be asked at the same time; far more than there are connections.
const COMMANDS: usize = 4096;
/// Bytes of the stack of a thread that opens and computes, as many as the first thread of a program has.
const STACK: usize = 8 << 20;

/// What the engine is asked.
pub enum Command {
    /// To open a model or an adapter, and say how its requests are read.
    Open(Wanted, Back<Arc<Opened>>),
    /// To write; the reply says whether it is taken on.
    Answer(Box<Job>, Back<()>),
    /// To read texts without writing.
    Read(Box<Aside>),
    /// To take on an adapter.
    Attach(Named, Back<()>),
    /// To let an adapter go.
    Detach(String, Back<()>),
    /// To forget a model or an adapter whose files are about to change.
    Release(String, Back<()>),
    /// Which models are loaded, and how long each stays unless it is asked again; none is until the end.
    Loaded(Back<Vec<(String, Option<Duration>)>>),
    /// That a model goes as soon as nobody needs it; one that is not loaded is not.
    Unload(String, Back<()>),
    /// Files that came.
    Fetched {
        /// Whose.
        name: String,
        /// What came.
        fetched: Result<Fetched, Refusal>,
    },
    /// To end.
    End,
}

/// The engine as handlers see it.
#[derive(Clone)]
pub struct Engine {
    commands: SyncSender<Command>,
    lives: Arc<AtomicBool>,
}

/// Tells of the thread's end, however it ends.
struct Life(Arc<AtomicBool>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// A system that gives no thread.
    pub fn start(
        settings: Settings,
        names: Names,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, JoinHandle<()>), Error> {
        let (commands, asked) = sync_channel(COMMANDS);
        let (back, lives) = (commands.clone(), Arc::new(AtomicBool::new(true)));
        let life = Life(Arc::clone(&lives));
        let thread = Builder::new().name("engine".into()).stack_size(STACK).spawn(move || {
            let _life = life;
            let opening = Opening::new(settings, names.clone(), back);
            Rounds::new(asked, opening, names, metrics).run();
        });
        let thread = thread.map_err(|source| Error::Io { path: "the engine's thread".into(), source })?;
        Ok((Self { commands, lives }, thread))
    }

    /// Asks, and waits for the reply.
    ///
    /// # Errors
    /// What the engine refuses; one that has no room for more, or has ended.
    pub async fn ask<T>(&self, command: impl FnOnce(Back<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        match self.commands.try_send(command(reply)) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(ended())),
            Err(TrySendError::Full(_)) => Err(Refusal::busy(COMMANDS)),
            Err(TrySendError::Disconnected(_)) => Err(ended()),
        }
    }

    /// Whether the thread is there.
    pub fn lives(&self) -> bool {
        self.lives.load(Ordering::SeqCst)
    }

    /// Ends the thread behind what it does now.
    pub fn end(&self) {
        let _ = self.commands.send(Command::End);
    }
}

fn ended() -> Refusal {
    Refusal::failed("the engine has ended; the program's output says why; start the server again")
}
