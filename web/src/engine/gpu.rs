//! Does this browser give the page a GPU?

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// What the browser answers when it is asked for WebGPU.
pub enum Gpu {
    /// WebGPU works, on the adapter of this name; `None` where the browser keeps the name to itself.
    Adapter(Option<String>),
    /// There is no `navigator.gpu`: the browser is too old, or the page was not opened over https or localhost.
    NoInterface,
    /// There is `navigator.gpu` but no adapter behind it.
    NoAdapter,
}

/// Asks the browser for its GPU. A call that fails counts as no adapter, since the page can do no more with it.
pub async fn find() -> Gpu {
    // Read by name, because web-sys offers the WebGPU types only under a compiler flag.
    let gpu = property(&property(&js_sys::global(), "navigator"), "gpu");
    if gpu.is_undefined() || gpu.is_null() {
        return Gpu::NoInterface;
    }
    match request_adapter(&gpu).await {
        Ok(adapter) if !adapter.is_null() && !adapter.is_undefined() => Gpu::Adapter(name(&adapter)),
        _ => Gpu::NoAdapter,
    }
}

async fn request_adapter(gpu: &JsValue) -> Result<JsValue, JsValue> {
    let request: Function = property(gpu, "requestAdapter").dyn_into()?;
    let promise: Promise = request.call0(gpu)?.dyn_into()?;
    JsFuture::from(promise).await
}

/// The adapter's description, or what the browser tells instead: vendor and architecture.
fn name(adapter: &JsValue) -> Option<String> {
    let info = property(adapter, "info");
    let field = |key| property(&info, key).as_string().filter(|text| !text.is_empty());
    field("description").or_else(|| {
        let parts: Vec<String> = ["vendor", "architecture"].into_iter().filter_map(field).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    })
}

/// A property of a JavaScript value; `undefined` where the value has none.
fn property(value: &JsValue, key: &str) -> JsValue {
    Reflect::get(value, &key.into()).unwrap_or(JsValue::UNDEFINED)
}
