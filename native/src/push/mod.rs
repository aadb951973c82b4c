//! `push`: a model or an adapter becomes a repository on the hub, by the protocol of `huggingface_hub` 2.4.0
//! (`_commit_api.py`, `lfs.py`, `hf_api.py`).
//!
//! The repository is made where there is none, the hub says which files are large, these are sent as LFS objects, and one
//! commit names them and holds the small ones. What the hub already has, by its hash, is not sent again.

mod card;
mod files;
mod large;
mod patience;
mod requests;
mod sending;
mod upload;

pub use card::{About, card};
pub use files::{Kind, uploads};
pub use sending::{CARD, Order, send};
pub use upload::{Upload, parameters};
