//! `serve`: models behind the protocols of OpenAI and Ollama.
//!
//! Connections come in at [`listener`], pass [`gate`], and are answered by the handlers of [`routes`], which ask the one
//! thread of [`engine`] through channels.

mod answers;
mod args;
mod asked;
mod body;
mod embeddings;
mod engine;
mod gate;
mod limits;
mod listener;
mod lora;
mod metrics;
mod misfits;
mod models;
mod names;
mod page;
mod refusal;
mod routes;
mod running;
mod stream;
mod texts;
mod timed_io;
mod training;
mod wanted;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use kindling::error::{Error, Result};
use kindling::random::Random;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};

pub use args::ServeArgs;

use self::asked::reading;
use self::body::Places;
use self::engine::{Engine, Settings};
use self::gate::Admission;
use self::limits::Limits;
use self::metrics::Metrics;
use self::names::Names;
use self::page::Page;
use self::running::Running;
use self::training::{Means, Trainer};
use crate::cli::Everywhere;
use crate::commands::{WRITING, check_activations, open_device};
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;
use crate::ranks;

/// Threads that read requests' texts and files at the same time.
const READERS: usize = 4;
/// Bytes of their stacks, of which only what is used takes memory: schemas are compiled by recursion, many levels deep.
const READER_STACK: usize = 64 << 20;

/// What handlers share.
pub struct Server {
    engine: Engine,
    names: Names,
    admission: Admission,
    metrics: Arc<Metrics>,
    running: Running,
    places: Places,
    page: Page,
    /// What trains, where the server does.
    trainer: Option<Trainer>,
    limits: Limits,
    /// Most new tokens of an answer, where a flag bounds it.
    most_tokens: Option<usize>,
    /// The seed of requests that have none, where a flag gives one.
    seed: Option<u64>,
    /// Whether adapters may be loaded by whoever reaches the server.
    opens_adapters: bool,
    began: Began,
    next: AtomicU64,
}

/// When the server began, as people count time and as it passes.
struct Began {
    since_1970: u64,
    instant: Instant,
    seed: u64,
}

impl Began {
    fn now() -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { since_1970: time.as_secs(), instant: Instant::now(), seed: time.as_nanos() as u64 }
    }
}

impl Server {
    /// Seconds since 1970.
    fn time(&self) -> u64 {
        self.began.since_1970 + self.began.instant.elapsed().as_secs()
    }

    /// Letters and digits that no other answer of this server has, and a seed that goes with them.
    fn fresh(&self) -> (String, u64) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut random = Random::new(self.began.seed, number);
        let id = format!("{:016x}{number:x}", random.next_u64());
        (id, self.seed.unwrap_or_else(|| random.next_u64()))
    }
}

/// Runs the verb; `said` are the flags that were given.
pub fn run(args: &ServeArgs, everywhere: &Everywhere, said: &[String]) -> std::result::Result<(), Failure> {
    let names = args.check()?;
    let page = Page::open(args.page.as_deref(), !args.keys().is_empty(), args.train.is_some())?;
    let address = args.address()?;
    args.check_training(address)?;
    if args.train.is_some() {
        ranks::refuse("training for a page")?;
    }
    let device = open_device(everywhere)?;
    check_activations(args.activations, &device.device)?;
    let output = everywhere.output();
    let runtime = runtime()?;
    let listener = listen(&runtime, SocketAddr::new(address, args.port))?;
    let local = listener.local_addr().map_err(|source| io(args, source))?;
    warn_of(args, address, output);
    interrupt::listen();
    let metrics = Arc::new(Metrics::default());
    let settings = Settings {
        everywhere: everywhere.clone(),
        beside: args.beside.clone(),
        weights: args.weights,
        activations: args.activations.unwrap_or(WRITING),
        sampling: args.sampling.clone(),
        said: said.to_vec(),
        device: device.device,
        limits: args.limits.clone(),
    };
    let (engine, thread) = Engine::start(settings, names.clone(), Arc::clone(&metrics))?;
    let trainer = trainer(args, everywhere, (&engine, &names))?;
    let keys = args.keys();
    let is_said = |flag: &str| said.iter().any(|said| said == flag);
    let running = Running::default();
    let server = Server {
        engine: engine.clone(),
        admission: Admission::new(&keys, &args.cors, address.is_loopback()),
        metrics,
        running: running.clone(),
        places: Places::default(),
        page,
        trainer: trainer.clone(),
        limits: args.limits.clone(),
        most_tokens: is_said("max-new-tokens").then_some(args.sampling.max_new_tokens),
        seed: is_said("seed").then_some(args.sampling.seed),
        opens_adapters: address.is_loopback() || !keys.is_empty(),
        began: Began::now(),
        next: AtomicU64::new(0),
        names,
    };
    tell(&server.names, local, output);
    let router = routes::router(Arc::new(server));
    let served = runtime.block_on(listener::serve(listener, router, &args.limits, &running));
    output.say("the server ends");
    // It saves, as it was asked to with the server.
    if let Some(trainer) = trainer {
        trainer.join();
    }
    engine.end();
    // A thread that is still waited for would only read what nobody asks for any more.
    runtime.shutdown_background();
    let _ = thread.join();
    Ok(served.map_err(|source| io(args, source))?)
}

/// What trains, where `--train` says so.
fn trainer(args: &ServeArgs, everywhere: &Everywhere, served: (&Engine, &Names)) -> Result<Option<Trainer>> {
    let means = Means { weights: args.weights, has_parts: args.beside.is_said() };
    let train = args.train.as_deref();
    train.map(|path| Trainer::open(path, means, everywhere, served)).transpose()
}

fn runtime() -> Result<Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(READERS)
        .thread_stack_size(READER_STACK)
        .build()
        .map_err(|source| Error::Io { path: "the server's threads".into(), source })
}

fn listen(runtime: &Runtime, address: SocketAddr) -> Result<TcpListener> {
    let bound = runtime.block_on(async { listener::bind(address) });
    bound.map_err(|source| match source.kind() {
        std::io::ErrorKind::AddrInUse => Error::Config(vec![
            format!(
                "another program listens on {address} already; end it, or take another --port (0 finds one)"
            )
            .into(),
        ]),
        _ => Error::Io { path: address.to_string(), source },
    })
}

fn io(args: &ServeArgs, source: std::io::Error) -> Error {
    Error::Io { path: format!("{}:{}", args.host, args.port), source }
}

/// Says what a server means that others reach.
fn warn_of(args: &ServeArgs, address: IpAddr, output: Output) {
    if !address.is_loopback() && args.keys().is_empty() {
        output.warn(&format!(
            "--host {} without --api-key: everybody who reaches this machine over a network may use its models, as often as \
             they like, and the traffic is not encrypted; give keys with --api-key or KINDLING_API_KEY, and put a proxy with \
             TLS before it",
            args.host
        ));
    }
    if args.cors.iter().any(|origin| origin == "*") && args.keys().is_empty() {
        output.warn(
            "--cors '*' without --api-key: every page that is open in a browser here may use the models",
        );
    }
}

/// Says where the server is, and what it has.
fn tell(names: &Names, local: SocketAddr, output: Output) {
    // What listens everywhere is asked by a name of this machine.
    let host = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_string(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let url = format!("http://{host}:{}", local.port());
    output.json(&json!({"event": "listening", "url": url, "models": names.texts()}));
    output.line(&format!("listening on {url}"));
    output.say(&format!(
        "models: {}; OpenAI's clients take {url}/v1 as their base URL",
        names.texts().join(", ")
    ));
}
