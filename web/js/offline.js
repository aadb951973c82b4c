// JavaScript because it must answer before a module of ours could be loaded. The service worker: keeps the page's own
// files, so that it opens without a network. What the server has is newer and goes first.
const CACHE = "kindling";
const FILES = [
  "./", "./index.html", "./boot.js", "./opening.js", "./progress.js", "./sizes.json", "./app.js", "./app_bg.wasm",
  "./kindling.js", "./requests.js", "./served.js", "./worker.js", "./engine.js", "./engine_bg.wasm", "./kindling-nano.safetensors",
  "./base.css", "./controls.css", "./chat.css", "./panels.css", "./lessons.css", "./diffusion.css",
  "./lessons/identity.json", "./lessons/animal.json", "./lessons/arithmetic.json", "./lessons/style.json", "./lessons/overfitting.json",
];
/** Kept once they were asked for. */
const ASKED = [
  "./trained/reasoning/adapter_config.json", "./trained/reasoning/adapter_model.safetensors",
  "./trained/preference/adapter_config.json", "./trained/preference/adapter_model.safetensors",
];

self.addEventListener("install", (event) => event.waitUntil(keep().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  event.respondWith(answer(request));
});

async function keep() {
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES);
  // The modules' own imports have names that change with every build.
  const modules = await Promise.all(["./app.js", "./engine.js"].map(async (name) => (await cache.match(name)).text()));
  const imports = modules.flatMap((text) => [...text.matchAll(/from ['"](\.\/snippets\/[^'"]+)['"]/g)]);
  await cache.addAll([...new Set(imports.map(([, path]) => path))]);
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const fresh = await fetch(request);
    if (fresh.ok && [...FILES, ...ASKED].some((file) => new URL(file, location).href === request.url)) {
      // A full disk must not take the answer away.
      await cache.put(request, fresh.clone()).catch(() => {});
    }
    return fresh;
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }
}
