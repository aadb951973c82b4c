//! Large files: each in one piece, or in the parts that the hub signed addresses for.

use std::collections::BTreeMap;
use std::io::{self, Read};

use indicatif::ProgressBar;
use serde_json::{Map, Value, json};
use ureq::{Body, SendBody, http::Response};

use super::patience::{patiently, stopped};
use super::requests::Hub;
use super::upload::Upload;
use crate::hub::{Trouble, header};
use crate::interrupt;

/// The most parts of one file, as S3 has it.
const MOST_PARTS: u64 = 10_000;

/// Sends a large file as the hub ordered it; whether there was anything to send.
///
/// # Errors
/// A hub that refuses, an order that cannot be followed, a file that cannot be read or was changed.
pub fn send(
    hub: &Hub,
    upload: &Upload,
    oid: &str,
    order: &Value,
    bar: &ProgressBar,
) -> Result<bool, Trouble> {
    let actions = &order["actions"];
    let Some(address) = actions["upload"]["href"].as_str() else {
        return match actions.get("upload") {
            None => Ok(false),
            Some(_) => Err(unclear(upload, "no address")),
        };
    };
    let address = hub.address(address);
    let nothing = Map::new();
    let headers = actions["upload"]["header"].as_object().unwrap_or(&nothing);
    match headers.get("chunk_size").map(number) {
        None => {
            put(hub, upload, &address, (0, upload.size), bar)?;
        }
        Some(Some(size)) if size > 0 => {
            let parts = in_parts(hub, upload, headers, size, bar)?;
            hub.tell(&address, &json!({"oid": oid, "parts": parts}))?;
        }
        Some(_) => return Err(unclear(upload, "a size of its parts that is none")),
    }
    if let Some(verify) = actions["verify"]["href"].as_str() {
        hub.tell(&hub.address(verify), &json!({"oid": oid, "size": upload.size}))?;
    }
    Ok(true)
}

fn unclear(upload: &Upload, what: &str) -> Trouble {
    Trouble::Refused(format!("{}: the hub names {what} for it", upload.path))
}

/// A number, also as a text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Sends a file in parts of `size` bytes, each to the address under its number; gives what completes it.
fn in_parts(
    hub: &Hub,
    upload: &Upload,
    headers: &Map<String, Value>,
    size: u64,
    bar: &ProgressBar,
) -> Result<Vec<Value>, Trouble> {
    let addresses: BTreeMap<u64, &str> =
        headers.iter().filter_map(|(name, address)| Some((name.parse().ok()?, address.as_str()?))).collect();
    let count = upload.size.div_ceil(size);
    if count > MOST_PARTS || !addresses.keys().copied().eq(1..=count) {
        return Err(unclear(upload, &format!("{} addresses for {count} parts", addresses.len())));
    }
    let mut parts = Vec::new();
    for (number, address) in addresses {
        let from = (number - 1) * size;
        let response = put(hub, upload, address, (from, size.min(upload.size - from)), bar)?;
        let etag = header(&response, "etag").filter(|etag| !etag.is_empty());
        let etag = etag.ok_or_else(|| unclear(upload, &format!("no ETag of part {number}")))?;
        parts.push(json!({"partNumber": number, "etag": etag}));
    }
    Ok(parts)
}

/// Sends bytes of a file, from one of them on and so many.
fn put(
    hub: &Hub,
    upload: &Upload,
    address: &str,
    (from, count): (u64, u64),
    bar: &ProgressBar,
) -> Result<Response<Body>, Trouble> {
    let before = bar.position();
    let mut broken = None;
    let response = patiently(hub.output, || {
        bar.set_position(before);
        let opened = upload.open(from);
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                broken = Some(error);
                return Err(ureq::Error::Io(io::Error::other("unreadable")));
            }
        };
        let mut told = Told { file: file.take(count), bar };
        let request = hub.web.put_signed(address).header("content-length", count.to_string());
        request.send(SendBody::from_reader(&mut told))
    });
    if let Some(error) = broken {
        return Err(Trouble::Here(error));
    }
    let response = response.map_err(|trouble| match trouble {
        Trouble::Away(why) => Trouble::Away(format!("{}: {why}", upload.path)),
        other => other,
    })?;
    match response.status().as_u16() {
        200..300 => Ok(response),
        403 => Err(Trouble::Refused(format!(
            "{}: its address is not valid any more (403); the same command again gets another",
            upload.path
        ))),
        413 => {
            Err(Trouble::Refused(format!("{}: the hub's store takes nothing so large (413)", upload.path)))
        }
        status => Err(Trouble::Refused(format!("{}: the hub's store answers {status}", upload.path))),
    }
}

/// Bytes on their way, counted; they end where a person asks for it.
struct Told<'a, R> {
    file: R,
    bar: &'a ProgressBar,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if interrupt::asked() {
            let Trouble::Away(why) = stopped() else { return Ok(0) };
            return Err(io::Error::other(why));
        }
        let count = self.file.read(buffer)?;
        self.bar.inc(count as u64);
        Ok(count)
    }
}
