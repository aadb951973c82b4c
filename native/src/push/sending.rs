//! From files to a commit.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::large;
use super::requests::{Hub, Mode, base64};
use super::upload::Upload;
use crate::hub::Trouble;
use crate::output::{Output, bytes};

/// The card of a repository.
pub const CARD: &str = "README.md";
const MAIN: &str = "main";

/// What is to be done.
pub struct Order<'a> {
    /// `owner/name`.
    pub repo: &'a str,
    /// The branch.
    pub revision: &'a str,
    /// The commit's message.
    pub message: &'a str,
    /// Whether only its owner may see the repository.
    pub private: bool,
    /// Whether a card that is there stays.
    pub keeps_card: bool,
    /// How much is said.
    pub output: Output,
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The commit; none where nothing was new.
    pub commit: Option<String>,
    /// The names of the files in it.
    pub committed: Vec<String>,
    /// Bytes that went over the network as large files.
    pub sent: u64,
    /// Where the repository is seen.
    pub page: String,
}

/// Sends files and commits them.
///
/// # Errors
/// A hub that refuses or cannot be reached, a file that cannot be read. What was sent by then stays there, and is not sent
/// again.
pub fn send(order: &Order, uploads: &[Upload]) -> Result<Done, Trouble> {
    let hub = Hub::new(order.repo, order.output);
    if hub.create(order.private)? {
        order.output.say(&format!("{} is made", hub.page()));
    }
    check_private(&hub, order)?;
    if order.revision != MAIN {
        hub.branch(order.revision)?;
    }
    let modes = hub.modes(order.revision, uploads)?;
    let mut done = Done { page: hub.page(), ..Done::default() };
    let mut lines = vec![json!({"key": "header", "value": {"summary": order.message, "description": ""}})];
    let mut larges: Vec<(&Upload, String)> = Vec::new();
    for (upload, mode) in uploads.iter().zip(&modes) {
        let Some(name) = changed(order, upload, mode)? else { continue };
        lines.push(match mode.is_large {
            true => json!({"key": "lfsFile", "value": {
                "path": upload.path, "algo": "sha256", "oid": name, "size": upload.size,
            }}),
            false => json!({"key": "file", "value": {
                "path": upload.path, "encoding": "base64", "content": base64(&upload.bytes()?),
            }}),
        });
        done.committed.push(upload.path.clone());
        if mode.is_large {
            larges.push((upload, name));
        }
    }
    if !larges.is_empty() {
        done.sent = send_large(&hub, order, &larges)?;
    }
    if !done.committed.is_empty() {
        done.commit = Some(hub.commit(order.revision, &lines)?);
    }
    Ok(done)
}

/// A repository that was to be private is, before anything of the model is sent.
fn check_private(hub: &Hub, order: &Order) -> Result<(), Trouble> {
    if !order.private {
        return Ok(());
    }
    match hub.info()? {
        Some(info) if info["private"] == true => Ok(()),
        Some(_) => Err(Trouble::Refused(format!(
            "{} is there and public, so nothing was sent; make it private on its page, or leave out --private",
            hub.page()
        ))),
        None => Err(hub.refused(404, &Value::Null)),
    }
}

/// The hash of a file that the hub does not have under this name; `None` where it stays as it is.
fn changed(order: &Order, upload: &Upload, mode: &Mode) -> Result<Option<String>, Trouble> {
    if mode.is_ignored {
        let path = &upload.path;
        order.output.warn(&format!("{path} is not sent: the repository's .gitignore leaves it out"));
        return Ok(None);
    }
    if upload.path == CARD && order.keeps_card && mode.present.is_some() {
        order.output.say("the card that is there stays (--new-card or --card FILE replace it)");
        return Ok(None);
    }
    let hash = if mode.is_large { upload.sha256()? } else { upload.git_hash()? };
    Ok(Some(hash).filter(|hash| mode.present.as_ref() != Some(hash)))
}

/// Sends the large files that the hub's store lacks; gives their bytes.
fn send_large(hub: &Hub, order: &Order, larges: &[(&Upload, String)]) -> Result<u64, Trouble> {
    let objects: Vec<(String, u64)> = larges.iter().map(|(upload, oid)| (oid.clone(), upload.size)).collect();
    let orders = hub.batch(order.revision, &objects)?;
    let mut sent = 0;
    for (number, (upload, oid)) in larges.iter().enumerate() {
        let told = orders.iter().find(|told| told["oid"] == oid.as_str()).ok_or_else(|| {
            Trouble::Refused(format!("{}: the hub does not say how it takes it", upload.path))
        })?;
        let bar = bar(order.output, upload);
        let (name, size) = (&upload.path, bytes(upload.size));
        // The same contents may have two names.
        let again = larges[..number].iter().any(|(_, other)| other == oid);
        let was_sent = !again && large::send(hub, upload, oid, told, &bar)?;
        bar.finish_and_clear();
        match was_sent {
            true => order.output.say(&format!("{name}: {size} sent")),
            false => order.output.say(&format!("{name}: {size} are there")),
        }
        sent += if was_sent { upload.size } else { 0 };
    }
    Ok(sent)
}

fn bar(output: Output, upload: &Upload) -> ProgressBar {
    if output.quiet || output.json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(upload.size).with_message(upload.path.clone());
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} · {bytes_per_sec} · {msg}")
    {
        bar.set_style(style);
    }
    bar
}
