//! Models from a URL: what came before a break is not asked for again, and what opened is kept.

use js_sys::Array;
use kindling::checkpoint::model_name;
use kindling::formats::Files;
use kindling::told::{Told, told};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_bindgen::prelude::{Closure, JsCast, JsValue, wasm_bindgen};

use super::load::model_files;
use super::messages::model::WeightsAs;
use super::messages::run::EngineEvent as Event;
use super::models::{MODELS, free_model_name, name_of, place, whole, write_model};
use super::port::Port;
use super::protocol::{File, own_name};
use super::state::{Answer, Engine};
use super::store;
use super::told::warning;

#[wasm_bindgen(module = "/js/download.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = download)]
    async fn js_download(
        run: u32,
        url: &str,
        folder: &str,
        tell: &Closure<dyn FnMut(f64, f64)>,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch, js_name = changed)]
    async fn js_changed(url: &str, marks: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = abort)]
    fn js_abort(run: u32);
}

/// Downloads that are not whole yet; each has a folder.
const DOWNLOADS: &str = "downloads";
/// Beside a download, and beside a kept model that was one.
const ORIGIN: &str = "origin.json";
/// Milliseconds after which nobody goes on with a download.
const FORGOTTEN: f64 = 7.0 * 24.0 * 3600.0 * 1000.0;

/// Where a file came from.
#[derive(Serialize, Deserialize)]
struct Origin {
    url: String,
    /// By what its server's file is known.
    marks: Value,
}

/// Ends a call's download, if it has one.
pub fn abort(run: u32) {
    js_abort(run);
}

impl Engine {
    /// Opens the model at a URL, from this browser where it was kept and is still the same.
    pub async fn download(
        &self,
        url: &str,
        keep: bool,
        weights: WeightsAs,
        port: &Port,
    ) -> Result<Answer, Told> {
        let kept = if keep { kept_from(url).await } else { Ok(None) };
        // A browser that keeps nothing still opens the model.
        let keep = keep && kept.is_ok();
        let kept = kept.unwrap_or_default();
        if let Some((folder, origin)) = &kept
            && !js_changed(url, &origin.marks.to_string()).await.is_ok_and(|changed| changed.is_truthy())
            && let Ok(opened) = self.load_kept(name_of(folder), weights, port).await
        {
            return Ok(opened);
        }
        let part = if keep { part(url).await? } else { String::new() };
        self.unless_cancelled(port.run).await?;
        let (bytes, marks) = fetch(url, &part, port).await?;
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let file = File { name: decoded(own_name(path)), bytes };
        let model = model_name(&file.name).to_string();
        let opened = async {
            let files = model_files(vec![file])?;
            let copy = if keep { files.clone() } else { Files::new() };
            self.unless_cancelled(port.run).await?;
            Ok((self.install(model.clone(), weights, files).await?, copy))
        };
        let opened: Result<_, Told> = opened.await;
        if keep {
            // A file that cannot be opened is of no use, and one that can be is kept in its own place.
            store::remove(&part).await?;
        }
        let (answer, mut files) = opened?;
        if keep {
            let folder = match kept {
                Some((folder, _)) => format!("{MODELS}/{folder}"),
                None => place(&free_model_name(&model).await?),
            };
            let origin = Origin { url: url.to_string(), marks };
            files.insert(ORIGIN.into(), serde_json::to_vec(&origin).map_err(Told::from)?);
            if let Err(message) = write_model(&folder, &files).await {
                port.tell(&warning(&message));
            }
        }
        Ok(answer)
    }
}

async fn fetch(url: &str, part: &str, port: &Port) -> Result<(Vec<u8>, Value), Told> {
    let teller = port.clone();
    let tell = Closure::<dyn FnMut(f64, f64)>::new(move |loaded, total| {
        teller.tell(&Event::Loaded { loaded, total: (total >= 0.0).then_some(total) });
    });
    let done = js_download(port.run, url, part, &tell).await.map_err(|e| told(url, &e))?;
    let done: Array = done.unchecked_into();
    let bytes = js_sys::Uint8Array::new(&done.get(0)).to_vec();
    let marks = serde_json::from_str(&done.get(1).as_string().unwrap_or_default());
    Ok((bytes, marks.map_err(Told::from)?))
}

/// The folder of the kept model that came from a URL.
async fn kept_from(url: &str) -> Result<Option<(String, Origin)>, Told> {
    for (folder, _) in store::list(MODELS).await? {
        let Some(files) = whole(&format!("{MODELS}/{folder}")).await? else { continue };
        if let Some(origin) = origin(&files, url).await? {
            return Ok(Some((folder, origin)));
        }
    }
    Ok(None)
}

/// What a folder says of its origin, if that is the URL.
async fn origin(folder: &str, url: &str) -> Result<Option<Origin>, Told> {
    let origin = store::read(&format!("{folder}/{ORIGIN}")).await?;
    let origin = origin.and_then(|bytes| serde_json::from_slice::<Origin>(&bytes).ok());
    Ok(origin.filter(|origin| origin.url == url))
}

/// The folder of a download; those that nobody went on with make room.
async fn part(url: &str) -> Result<String, Told> {
    let now = js_sys::Date::now();
    for (begun, _) in store::list(DOWNLOADS).await? {
        let folder = format!("{DOWNLOADS}/{begun}");
        if origin(&folder, url).await?.is_some() {
            return Ok(folder);
        }
        if begun.parse().is_ok_and(|begun: f64| now - begun > FORGOTTEN) {
            store::remove(&folder).await?;
        }
    }
    Ok(format!("{DOWNLOADS}/{now}"))
}

/// Without the `%20` of a URL.
fn decoded(name: &str) -> String {
    js_sys::decode_uri_component(name).map_or_else(|_| name.to_string(), String::from)
}

/// What the download itself says stands; the storage's errors get words.
fn told(url: &str, error: &JsValue) -> Told {
    match error.dyn_ref::<js_sys::Error>().filter(|error| error.name() == "Error") {
        Some(error) => {
            let message = String::from(error.message());
            told!("download.failed", "{message}", message)
        }
        None => store::told(url, error),
    }
}
