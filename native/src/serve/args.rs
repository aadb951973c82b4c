//! Flags of `serve`.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::Args;
use kindling::error::Error;
use kindling::kernels::{Activations, Quantization};
use kindling::sample::SamplingConfig;
use kindling::told::Told;

use super::limits::Limits;
use super::misfits::misfits;
use super::names::Names;
use crate::beside_model::BesideModel;
use crate::hub;

/// Where keys stand that shall not be seen among the processes of a machine.
pub const KEY_VARIABLE: &str = "KINDLING_API_KEY";

/// Flags of `serve`.
#[derive(Args)]
pub struct ServeArgs {
    /// A model as NAME=PLACE, or a place alone: a checkpoint in any form that other verbs take (repeatable). It is loaded when
    /// it is first asked for; the first one answers requests whose model is an empty text
    #[arg(long = "model", value_name = "NAME=PLACE", required = true)]
    pub models: Vec<String>,
    /// An adapter as NAME=PLACE, of the first model, or as NAME@MODEL=PLACE (repeatable): its name is one more model
    #[arg(long = "adapter", value_name = "NAME=PLACE")]
    pub adapters: Vec<String>,
    /// What the one model's file does not hold
    #[command(flatten)]
    pub beside: BesideModel,
    /// Hold the models' matrices in few bits: less memory, a little less exact [default: as f32]
    #[arg(long, value_enum)]
    pub weights: Option<Quantization>,
    /// What matrices in few bits are multiplied by on the processor where answers are written [default: 8-bits]
    #[arg(long, value_enum, requires = "weights")]
    pub activations: Option<Activations>,
    /// The address to listen on; 0.0.0.0 is every address of this machine
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// The port; 0 takes a free one, which is told
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// A key of which requests need one, as 'Authorization: Bearer KEY' (repeatable). KINDLING_API_KEY in the environment is
    /// another one, which no list of processes shows
    #[arg(long, value_name = "KEY")]
    pub api_key: Vec<String>,
    /// Let pages of this origin ask, as https://example.org; * lets all (repeatable) [default: none]
    #[arg(long, value_name = "ORIGIN")]
    pub cors: Vec<String>,
    /// Serve the page in this folder, which `trunk build` made, from the same port
    #[arg(long, value_name = "DIR")]
    pub page: Option<PathBuf>,
    /// Let the page train here, one run at a time, each in a directory of its own below DIR [without DIR: runs]
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "runs")]
    pub train: Option<PathBuf>,
    /// How much is taken on
    #[command(flatten)]
    pub limits: Limits,
    /// How tokens are chosen where a request does not say
    #[command(flatten)]
    pub sampling: SamplingConfig,
}

impl ServeArgs {
    /// The names of models and adapters, once all flags hold.
    ///
    /// # Errors
    /// All that does not hold, before anything is opened.
    pub fn check(&self) -> Result<Names, Error> {
        let mut problems: Vec<Told> = self.limits.problems();
        problems.extend(self.sampling.validate());
        if self.beside.is_said() && self.models.len() > 1 {
            problems.push(
                "--preset, --model-config and --tokenizer stand beside one --model, and there are several; start a server \
                 for each, or make directories of them with `kindling import`"
                    .into(),
            );
        }
        for origin in self.cors.iter().filter(|origin| *origin != "*" && !is_origin(origin)) {
            problems.push(
                format!("--cors {origin} is no origin; that is a scheme, a host and a port if need be: https://example.org")
                    .into(),
            );
        }
        if self.keys().iter().any(|key| key.trim().is_empty() || key.trim() != key) {
            problems.push(
                format!("a key of --api-key or {KEY_VARIABLE} is empty, or begins or ends with a space")
                    .into(),
            );
        }
        let names = match Names::new(&self.models, &self.adapters) {
            Ok(names) => {
                problems.extend(absent(&names));
                problems.extend(misfits(&names));
                Some(names)
            }
            Err(more) => {
                problems.extend(more);
                None
            }
        };
        match names {
            Some(names) if problems.is_empty() => Ok(names),
            _ => Err(Error::Config(problems)),
        }
    }

    /// Whether the server may train where it listens.
    ///
    /// # Errors
    /// A file in the directory's place; an address that others reach, without a key.
    pub fn check_training(&self, address: IpAddr) -> Result<(), Error> {
        if let Some(file) = self.train.as_deref().filter(|path| path.is_file()) {
            let problem = format!("--train {} is a file; name a directory, which is made", file.display());
            return Err(Error::Config(vec![problem.into()]));
        }
        if self.train.is_none() || address.is_loopback() || !self.keys().is_empty() {
            return Ok(());
        }
        let problem = format!(
            "--train with --host {} and without a key: everybody who reaches this machine could fill its disk and keep it \
             busy; give a key with --api-key or {KEY_VARIABLE}, or take --host 127.0.0.1",
            self.host
        );
        Err(Error::Config(vec![problem.into()]))
    }

    /// All keys.
    pub fn keys(&self) -> Vec<String> {
        self.api_key.iter().cloned().chain(std::env::var(KEY_VARIABLE).ok()).collect()
    }

    /// The address to listen on.
    ///
    /// # Errors
    /// A name that means no address.
    pub fn address(&self) -> Result<IpAddr, Error> {
        let told = |why: String| {
            let problem = format!(
                "--host {} is no address of this machine: {why}; take 127.0.0.1 or 0.0.0.0",
                self.host
            );
            Error::Config(vec![problem.into()])
        };
        let mut found = (self.host.as_str(), 0).to_socket_addrs().map_err(|error| told(error.to_string()))?;
        found.next().map(|address| address.ip()).ok_or_else(|| told("it means none".into()))
    }
}

/// Places that are not there, which nobody should learn at the first request.
fn absent(names: &Names) -> impl Iterator<Item = Told> {
    let listed = names.all().into_iter().map(|listed| listed.named);
    let absent =
        listed.filter(|named| !hub::is_address(&named.place.to_string_lossy()) && !named.place.exists());
    absent.map(|named| {
        let flag = if named.base.is_some() { "--adapter" } else { "--model" };
        format!("{flag} {}: there is no {}", named.name, named.place.display()).into()
    })
}

fn is_origin(text: &str) -> bool {
    let parts = text.split_once("://");
    parts.is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && !host.contains(['/', '?', '#', ' '])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_and_a_host_and_nothing_behind() {
        assert!(is_origin("https://example.org") && is_origin("http://localhost:3000"));
        assert!(!is_origin("example.org") && !is_origin("https://example.org/") && !is_origin("https://"));
    }
}
