// JavaScript because it loads our modules. Opens the page: the engine, the model that comes with it, and the user
// interface.
import { connect } from "./kindling.js";
import { Opening } from "./opening.js";
import { fetchTold } from "./progress.js";

const [APP, ENGINE] = ["app_bg.wasm", "engine_bg.wasm"];
/** The model that comes with the page. */
const MODEL = "kindling-nano.safetensors";

const asked = new URLSearchParams(location.search);
// Of another model's address the user interface tells how far it is.
const withModel = !asked.get("model");
const opening = new Opening(withModel ? [APP, ENGINE, MODEL] : [APP, ENGINE]);

// All at once: the network is what takes long.
window.kindling = connect({ device: asked.get("device") ?? "auto", onProgress: opening.of(ENGINE) });
const app = fetchTold(APP, opening.of(APP));
app.catch(() => {});
const model = withModel ? modelBytes().catch(() => null) : null;

async function modelBytes() {
  const answer = await fetchTold(MODEL, opening.of(MODEL));
  return answer.ok ? answer.arrayBuffer() : null;
}

async function open() {
  await window.kindling.device();
  if (!withModel) return null;
  const bytes = await model;
  // What did not come is asked for once more by the engine, which goes on after breaks and says what is wrong.
  const source = bytes ? { name: MODEL, bytes } : new URL(`./${MODEL}`, document.baseURI).href;
  return window.kindling.load(source, { keep: false });
}

window.kindlingReady = open();
// The user interface shows what went wrong; this only keeps the console from calling it unhandled.
window.kindlingReady.catch(() => {}).then(() => opening.close());
// Only now, so that the first visit does not fetch everything twice at once. Without a service worker the page needs
// its server at every visit, no more.
const offline = () => navigator.serviceWorker?.register(new URL("./offline.js", document.baseURI)).catch(() => {});
window.kindlingReady.then(offline, offline);

// Where the page's server trains (`kindling serve --train` marks its page so), its runs are asked for as those in the tab.
const [place, , trains] = document.querySelector("meta[name=kindling-server]")?.content.split(" ") ?? [];
const server = new URL(place ?? ".", document.baseURI);
if (trains === "train" && server.origin === location.origin) {
  const { ServedTraining } = await import("./served.js");
  window.kindling.served = new ServedTraining(server, window.kindling);
}

try {
  const { default: init } = await import("./app.js");
  await init({ module_or_path: app });
} catch (error) {
  opening.fail(error);
  throw error;
}
