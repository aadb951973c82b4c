// JavaScript because it loads our modules. Opens the page: the engine, the model that comes with it, and the user
// interface.
import init from "./app.js";
import { connect } from "./kindling.js";

/** The model that comes with the page. */
const MODEL = "./kindling-nano.safetensors";

const asked = new URLSearchParams(location.search);
window.kindling = connect({ device: asked.get("device") ?? "auto" });

async function open() {
  await window.kindling.device();
  // Of another model's address the user interface tells how far it is.
  return asked.get("model") ? null : window.kindling.load(new URL(MODEL, document.baseURI).href, { keep: false });
}

window.kindlingReady = open();
// The user interface shows what went wrong; this only keeps the console from calling it unhandled.
window.kindlingReady.catch(() => {});
// Only now, so that the first visit does not fetch everything twice at once. Without a service worker the page needs
// its server at every visit, no more.
const offline = () => navigator.serviceWorker?.register(new URL("./offline.js", document.baseURI)).catch(() => {});
window.kindlingReady.then(offline, offline);

await init({ module_or_path: new URL("./app_bg.wasm", import.meta.url) });
