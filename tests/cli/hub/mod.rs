//! `hub:owner/name` and `ms:owner/name` against a server that speaks the protocols of both, and `push` to it.

mod access;
mod answers;
mod data_sets;
mod models;
mod modelscope;
mod pushes;
mod scope;
mod server;
mod site;
mod transfers;
mod writes;
