//! A server that speaks the hub's protocol, and a second host that it redirects to for large files.
//!
//! What it answers stands in `answers`; switches make it misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::answers::answer;

const POLL: Duration = Duration::from_millis(2);

/// Who may read a repository.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Gate {
    #[default]
    Open,
    /// All may see it, those with the token may fetch its files.
    Gated(&'static str),
    /// It is not there but for those with the token.
    Private(&'static str),
}

/// A repository at its newest commit.
#[derive(Clone, Default)]
pub struct Published {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Names that the listing holds beside those of the files.
    pub listed: Vec<String>,
    pub gate: Gate,
    /// Its new name, where it was renamed.
    pub moved: Option<String>,
    /// Its branches beside `main`, which here have the same files.
    pub branches: BTreeSet<String>,
}

impl Published {
    /// The commit: as git's, it follows from the contents.
    pub fn commit(&self) -> String {
        let parts = self.files.iter().flat_map(|(name, bytes)| [name.as_bytes(), bytes.as_slice()]);
        hash(&parts.collect::<Vec<_>>().concat())[..40].to_string()
    }
}

/// How the server misbehaves.
#[derive(Clone, Default)]
pub struct Faults {
    /// Closes the connection after so many bytes of a longer file; once.
    pub break_after: Option<usize>,
    /// Gives the whole where a part behind the first byte is asked for.
    pub ignores_ranges: bool,
    /// Announces so many bytes more than a file has.
    pub announces_more: usize,
    /// Changes a byte of large files.
    pub spoils: bool,
    /// Answers this for every file.
    pub status: Option<u16>,
    /// The ETag of every file.
    pub etag: Option<String>,
    /// ModelScope's listings have no checksums.
    pub tells_no_sums: bool,
    /// The next requests to addresses that hold a text: this status, and after how many seconds to come again.
    pub refusals: Vec<(&'static str, u16, Option<u64>)>,
    /// Large files are taken in parts of so many bytes.
    pub parts_of: Option<usize>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whether the other host was asked.
    pub elsewhere: bool,
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
    pub cookie: Option<String>,
    pub body: Vec<u8>,
}

#[derive(Default)]
pub struct State {
    /// By `models/owner/name` and `datasets/owner/name`.
    pub published: BTreeMap<String, Published>,
    pub faults: Faults,
    /// Large files that were sent, by their SHA-256, and parts of such.
    pub store: BTreeMap<String, Vec<u8>>,
    pub parts: BTreeMap<(String, usize), Vec<u8>>,
    asked: Vec<Asked>,
    /// Where the two hosts are.
    pub hub: String,
    pub elsewhere: String,
}

/// The server; it ends when it is dropped.
pub struct HubServer {
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl HubServer {
    pub fn start() -> Self {
        let [hub, elsewhere] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let state = State {
            hub: format!("http://127.0.0.1:{}", port(&hub)),
            // Another name of this machine is another host.
            elsewhere: format!("http://localhost:{}", port(&elsewhere)),
            ..State::default()
        };
        let (state, ended) = (Arc::new(Mutex::new(state)), Arc::new(AtomicBool::new(false)));
        let threads = [(hub, false), (elsewhere, true)].map(|(listener, elsewhere)| {
            let (state, ended) = (Arc::clone(&state), Arc::clone(&ended));
            thread::spawn(move || serve(&listener, elsewhere, &state, &ended))
        });
        Self { state, ended, threads: threads.into() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What `HF_ENDPOINT` must be.
    pub fn endpoint(&self) -> String {
        self.state().hub.clone()
    }

    /// Publishes a repository, such as `models/owner/name`, or its next commit.
    pub fn publish(&self, repo: &str, published: Published) {
        self.state().published.insert(repo.to_string(), published);
    }

    /// A repository as it is now.
    pub fn published(&self, repo: &str) -> Option<Published> {
        self.state().published.get(repo).cloned()
    }

    /// Changes what is published.
    pub fn change(&self, repo: &str, change: impl FnOnce(&mut Published)) {
        change(self.state().published.get_mut(repo).expect("a repository"));
    }

    pub fn misbehave(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The requests since this was last called.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().asked)
    }

    /// The files whose bytes were given since this or [`Self::asked`] was last called.
    pub fn fetched(&self) -> Vec<String> {
        let file = |asked: Asked| asked.path.split_once("/resolve/").map(|(_, file)| file.to_string());
        let asked = self.asked().into_iter().filter(|asked| asked.range.as_deref() != Some("bytes=0-0"));
        let mut files: Vec<String> =
            asked.filter_map(file).filter_map(|file| Some(file.split_once('/')?.1.into())).collect();
        files.sort();
        files
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The SHA-256 in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serve(listener: &TcpListener, elsewhere: bool, state: &Arc<Mutex<State>>, ended: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    while !ended.load(Ordering::SeqCst) {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(POLL);
            continue;
        };
        let state = Arc::clone(state);
        thread::spawn(move || {
            let _ = stream.set_nonblocking(false);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let Some(asked) = read(&stream, elsewhere) else { return };
            let answer = {
                let mut state = state.lock().unwrap();
                state.asked.push(asked.clone());
                answer(&mut state, &asked)
            };
            let _ = answer.send(stream);
        });
    }
}

fn read(stream: &TcpStream, elsewhere: bool) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = || -> Option<String> {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_string())
    };
    let first = line()?;
    let (method, path) = (first.split(' ').next()?.to_string(), decoded(first.split(' ').nth(1)?));
    let mut asked =
        Asked { elsewhere, method, path, range: None, authorization: None, cookie: None, body: Vec::new() };
    let mut length = 0;
    while let Some(line) = line().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.range = Some(value.to_string()),
            "authorization" => asked.authorization = Some(value.to_string()),
            "cookie" => asked.cookie = Some(value.to_string()),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    asked.body = vec![0; length];
    // What breaks off was not sent.
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

/// A path without its `%XX`.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let number = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}
