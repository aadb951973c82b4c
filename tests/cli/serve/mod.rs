//! `serve`: the program as a server, and raw HTTP as its client.

mod adapters;
mod client;
mod hostile;
mod limits;
mod page;
mod routes;
mod site;
mod streams;
