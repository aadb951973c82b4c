//! A file on its way to the hub: its bytes, its length, and its hashes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use kindling::error::Result;
use serde_json::Value;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::failure::io_error;
use crate::interrupt;

/// The hub is shown so many bytes of a file to tell whether it is text.
const SAMPLE: u64 = 512;

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// As it lies on the disk.
    File(PathBuf),
    /// What was made for the hub.
    Made(Vec<u8>),
}

/// A file on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Upload {
    /// Its name in the repository.
    pub path: String,
    /// Where its bytes come from.
    pub content: Content,
    /// How many there are.
    pub size: u64,
}

impl Upload {
    /// What was made for the hub.
    pub fn made(path: &str, bytes: Vec<u8>) -> Self {
        Self { path: path.into(), size: bytes.len() as u64, content: Content::Made(bytes) }
    }

    /// A file of a directory.
    ///
    /// # Errors
    /// A file that is not there.
    pub fn file(directory: &Path, name: &str) -> Result<Self> {
        let path = directory.join(name);
        let size = fs::metadata(&path).map_err(|e| io_error(&path, e))?.len();
        Ok(Self { path: name.into(), content: Content::File(path), size })
    }

    /// Its bytes from one of them on.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(&self, from: u64) -> Result<Box<dyn Read>> {
        match &self.content {
            Content::Made(bytes) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
                Ok(Box::new(Cursor::new(bytes[from..].to_vec())))
            }
            Content::File(path) => {
                let open = || -> io::Result<File> {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(from))?;
                    Ok(file)
                };
                Ok(Box::new(open().map_err(|e| io_error(path, e))?))
            }
        }
    }

    fn read(&self, most: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.open(0)?.take(most).read_to_end(&mut bytes);
        read.map_err(|e| io_error(Path::new(&self.path), e))?;
        Ok(bytes)
    }

    /// Its first bytes.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn sample(&self) -> Result<Vec<u8>> {
        self.read(SAMPLE)
    }

    /// All of it, of a small file.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        self.read(u64::MAX)
    }

    /// Its SHA-256, which names large files on the hub.
    ///
    /// # Errors
    /// A file that cannot be read; a person who ended it.
    pub fn sha256(&self) -> Result<String> {
        self.hash(Sha256::new())
    }

    /// Git's name for it: the SHA-1 of `blob SIZE\0` and its bytes, which names small files on the hub.
    ///
    /// # Errors
    /// As [`Self::sha256`].
    pub fn git_hash(&self) -> Result<String> {
        self.hash(Sha1::new().chain_update(format!("blob {}\0", self.size)))
    }

    fn hash<D: Digest>(&self, mut sum: D) -> Result<String> {
        let (mut bytes, mut buffer) = (self.open(0)?, vec![0; 1 << 20]);
        loop {
            if interrupt::asked() {
                return Err(io_error(Path::new(&self.path), io::Error::other("stopped")));
            }
            match bytes.read(&mut buffer) {
                Ok(0) => return Ok(hex(&sum.finalize())),
                Ok(count) => sum.update(&buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(io_error(Path::new(&self.path), e)),
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The parameters in safetensors files, by their headers; `None` where one cannot be read.
pub fn parameters(uploads: &[Upload]) -> Option<u64> {
    let weights = uploads.iter().filter(|upload| upload.path.ends_with(".safetensors"));
    weights.map(in_header).try_fold(0, |sum: u64, count| sum.checked_add(count?))
}

fn in_header(upload: &Upload) -> Option<u64> {
    let mut bytes = upload.open(0).ok()?;
    let mut length = [0; 8];
    bytes.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    let mut header = Vec::new();
    (length < upload.size).then(|| bytes.take(length).read_to_end(&mut header))?.ok()?;
    let header: BTreeMap<String, Value> = serde_json::from_slice(&header).ok()?;
    let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
    let count = |shape: &Value| {
        shape.as_array()?.iter().try_fold(1, |product: u64, size| product.checked_mul(size.as_u64()?))
    };
    tensors.map(|(_, tensor)| count(&tensor["shape"])).try_fold(0, |sum: u64, count| sum.checked_add(count?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git_and_of_the_hub() {
        // `printf hello | git hash-object --stdin`, `printf hello | sha256sum`
        let upload = Upload::made("a", b"hello".to_vec());
        assert_eq!(upload.git_hash().unwrap(), "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
        let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(upload.sha256().unwrap(), sum);
        let mut rest = String::new();
        upload.open(3).unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), upload.sample().unwrap()), ("lo", b"hello".to_vec()));
    }

    #[test]
    fn parameters_are_counted_in_headers() {
        let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F32","shape":[4],"data_offsets":[24,40]}}"#;
        let length = (header.len() as u64).to_le_bytes();
        let file = Upload::made("model.safetensors", [&length[..], header, &[0; 40]].concat());
        let text = Upload::made("config.json", b"{}".to_vec());
        assert_eq!(parameters(&[file, text]), Some(10));
        assert_eq!(parameters(&[Upload::made("x.safetensors", vec![255; 20])]), None);
    }
}
