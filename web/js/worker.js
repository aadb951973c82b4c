// JavaScript because it loads our module. The engine's worker: keeps the messages that come before the module stands.
import init from "./engine.js";

const early = [];
self.onmessage = (event) => early.push(event);

try {
  await init({ module_or_path: new URL("./engine_bg.wasm", import.meta.url) });
  // The module has taken `onmessage` over.
  for (const event of early) self.onmessage(event);
} catch (error) {
  self.postMessage({ crash: String(error) });
}
