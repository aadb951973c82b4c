//! One file into the cache, from whichever place: resumed where it broke off, whole or not there at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::Response;

use super::cache::Folder;
use super::output;
use super::protocol::{Head, Protocol, Trouble, content_length, content_range};
use crate::disk;
use crate::failure::io_error;

/// How often a hub that gives nothing more is asked again.
const RETRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);

/// By what the bytes of a file are known to be those that were announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Their SHA-256.
    Sum,
    /// Their number alone.
    Length,
    /// Nothing: the place announced neither.
    None,
}

impl Proof {
    /// What is told of a file before it is fetched.
    fn of(head: &Head) -> Self {
        match (&head.sha256, head.size) {
            (Some(_), _) => Self::Sum,
            (None, Some(_)) => Self::Length,
            (None, None) => Self::None,
        }
    }
}

/// Fetches a file, unless its contents are in the cache under another commit's name; gives what proves that they are whole.
///
/// # Errors
/// A hub that refuses, falls silent or gives other bytes than it announced; a cache that cannot be written.
pub fn fetch(client: &dyn Protocol, folder: &Folder, commit: &str, name: &str) -> Result<Proof, Trouble> {
    let head = patiently(|| client.head(commit, name))?;
    let blob = folder.blob(&head.content);
    let parent = blob.parent().unwrap_or(&blob);
    fs::create_dir_all(parent).map_err(|e| io_error(parent, e))?;
    let _lock = lock(&blob, name);
    if !blob.is_file() || head.size.is_some_and(|size| size != length(&blob)) {
        let part = with_ending(&blob, "part");
        let bar = bar(name, head.size);
        let received = Transfer { client, commit, name, head: &head, part: &part, bar: &bar }.run();
        bar.finish_and_clear();
        received?;
        fs::rename(&part, &blob).map_err(|e| io_error(&blob, e))?;
    }
    folder.point(commit, name, &head.content)?;
    Ok(Proof::of(&head))
}

/// Asks again, after a pause that grows, while the hub is away.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, Trouble>) -> Result<T, Trouble> {
    let mut tries = 0;
    loop {
        match ask() {
            Err(Trouble::Away(_)) if tries < RETRIES => wait(&mut tries),
            answer => return answer,
        }
    }
}

fn wait(tries: &mut u32) {
    std::thread::sleep(PAUSE * 4_u32.pow(*tries));
    *tries += 1;
}

/// A file on its way; `part` holds what came so far, also in an earlier run.
struct Transfer<'a> {
    client: &'a dyn Protocol,
    commit: &'a str,
    name: &'a str,
    head: &'a Head,
    part: &'a Path,
    bar: &'a ProgressBar,
}

impl Transfer<'_> {
    /// Goes on until the file is whole. Bytes that are not those announced are fetched once more, from the first on.
    fn run(&self) -> Result<(), Trouble> {
        let (mut tries, mut furthest, mut spoiled) = (0, length(self.part), false);
        loop {
            match self.attempt() {
                Ok(None) => return Ok(()),
                Ok(Some(why)) => {
                    disk::remove(self.part)?;
                    if spoiled {
                        return Err(self.refused(&format!("{why}; nothing of it was kept")));
                    }
                    spoiled = true;
                }
                Err(Trouble::Away(why)) => {
                    let have = length(self.part);
                    if have > furthest {
                        (tries, furthest) = (0, have);
                    } else if tries == RETRIES {
                        return Err(Trouble::Away(format!(
                            "{why} at byte {have} of {}; the same command goes on there",
                            self.name
                        )));
                    }
                    wait(&mut tries);
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Fetches what is missing; says what is wrong with the whole, if anything is.
    fn attempt(&self) -> Result<Option<String>, Trouble> {
        let file = File::options().create(true).write(true).truncate(false).open(self.part);
        let mut file = file.map_err(|e| io_error(self.part, e))?;
        let mut have = length(self.part);
        let mut expected = self.head.size;
        if expected.is_some_and(|size| size < have) {
            have = 0;
        }
        self.cut(&mut file, have)?;
        if expected != Some(have) {
            let announced = self.receive(&mut file, have)?;
            expected = expected.or(announced);
        }
        file.sync_all().map_err(|e| io_error(self.part, e))?;
        let have = length(self.part);
        if let Some(expected) = expected.filter(|expected| *expected != have) {
            return Ok(Some(format!("{have} bytes came of {expected} that were announced")));
        }
        match &self.head.sha256 {
            Some(sha256) if self.sum()? != *sha256 => {
                Ok(Some(format!("its {have} bytes are not those whose SHA-256 was announced")))
            }
            _ => Ok(None),
        }
    }

    /// Asks for the bytes that are missing and appends them; gives the length that the answer announces.
    fn receive(&self, file: &mut File, mut have: u64) -> Result<Option<u64>, Trouble> {
        let response = self.client.bytes(self.commit, self.name, have)?;
        let range = content_range(&response);
        let announced = match response.status().as_u16() {
            206 if range.is_some_and(|(first, _)| first == Some(have)) => range.map(|(_, total)| total),
            200 => {
                // Also where a range was asked for: this hub gives only the whole.
                have = 0;
                self.cut(file, have)?;
                content_length(&response)
            }
            _ if have > 0 => {
                self.cut(file, 0)?;
                return Err(Trouble::Away("the hub does not go on".into()));
            }
            status => return Err(self.refused(&format!("the hub answers {status}"))),
        };
        self.bar.set_position(have);
        self.append(response, file)?;
        Ok(announced)
    }

    fn append(&self, response: Response<Body>, file: &mut File) -> Result<(), Trouble> {
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Trouble::Away(e.to_string())),
            };
            file.write_all(&buffer[..count]).map_err(|e| io_error(self.part, e))?;
            self.bar.inc(count as u64);
        }
    }

    /// Cuts the part to a length and goes to its end.
    fn cut(&self, file: &mut File, length: u64) -> Result<(), Trouble> {
        let cut = file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length)));
        cut.map_err(|e| io_error(self.part, e))?;
        Ok(())
    }

    fn sum(&self) -> Result<String, Trouble> {
        let mut sum = Sha256::new();
        let copied = File::open(self.part).and_then(|mut file| io::copy(&mut file, &mut sum));
        copied.map_err(|e| io_error(self.part, e))?;
        Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn refused(&self, why: &str) -> Trouble {
        Trouble::Refused(format!("{}: {why}", self.name))
    }
}

/// Lets one process at a time write the contents; where the disk knows no locks, there are none.
fn lock(blob: &Path, name: &str) -> Option<File> {
    let file = File::create(with_ending(blob, "lock")).ok()?;
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        output().say(&format!("another program is fetching {name}; waiting for it"));
        let _ = file.lock();
    }
    Some(file)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

/// The length of a file; 0 where there is none.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

fn bar(name: &str, size: Option<u64>) -> ProgressBar {
    let output = output();
    if output.quiet || output.json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size.unwrap_or(0)).with_message(name.to_string());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} · {bytes_per_sec} · {msg}")
    {
        bar.set_style(style);
    }
    bar
}
