// JavaScript because it loads our module. The engine's worker: keeps the messages that come before the module stands.
import { fetchTold } from "./progress.js";

const early = [];
self.onmessage = (event) => early.push(event);

try {
  // Asked for at once, so that it does not wait for the script that it needs.
  const module = fetchTold("engine_bg.wasm", (progress) => self.postMessage({ progress }));
  module.catch(() => {});
  const { default: init } = await import("./engine.js");
  await init({ module_or_path: module });
  // The module has taken `onmessage` over.
  for (const event of early) self.onmessage(event);
} catch (error) {
  self.postMessage({ crash: String(error) });
}
