//! `hub:owner/name` against a server that speaks the hub's protocol.

mod access;
mod answers;
mod data_sets;
mod models;
mod server;
mod site;
mod transfers;
