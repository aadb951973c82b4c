//! `serve`: the program as a server, and raw HTTP as its client.

mod adapters;
mod client;
#[cfg(target_os = "linux")]
mod floods;
mod forms;
mod hostile;
mod limits;
mod page;
mod routes;
mod site;
mod streams;
mod training;
mod training_again;
mod unloading;
