// The page is light: small on its way, quick to stand, with a bar meanwhile; and web/finish, which makes it so.

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { brotliDecompressSync, gunzipSync } from "node:zlib";

import { setting } from "../chromium.mjs";
import { test } from "../harness.mjs";
import { unreachedOf, withoutUnreached } from "../../../web/finish/unreached.mjs";

const DIST = resolve(setting("DIST"));
const FINISH = new URL("../../../web/finish/finish.mjs", import.meta.url).pathname;
/** Ten megabits a second, and what it carries in seven of the ten seconds in which all is to be ready. */
const [LINE, ON_THE_WIRE] = [10e6 / 8, 8.75e6];
/** A module with one function, named "idle": what is built carries names like it. */
const MODULE = Buffer.from([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 7, 7, 1, 3, 0x72, 0x75, 0x6e, 0, 0],
  ...[10, 4, 1, 2, 0, 0x0b, 0, 0x0e, 4, 0x6e, 0x61, 0x6d, 0x65, 1, 7, 1, 0, 4, 0x69, 0x64, 0x6c, 0x65],
]);

test("light: at 10 Mbit/s a bar runs from the first byte, and what is sent leaves time to start", {}, async (t) => {
  const { page, server, assert } = t;
  if (!existsSync(join(DIST, "engine_bg.wasm.br"))) t.skip("this page was built without binaryen");
  server.pace(LINE);
  await page.addInitScript(watchBar);
  const start = performance.now();
  const after = () => (performance.now() - start) / 1000;
  await page.goto(`${server.url}index.html?device=cpu`, { waitUntil: "commit" });
  await page.getByText("kindling-nano, the model that is loading").waitFor();
  const readable = after();
  await t.ready();
  const ready = after();
  const asked = server.requests.filter(({ bytes }) => bytes !== undefined);
  const wire = asked.reduce((sum, { bytes }) => sum + bytes, 0);
  const seen = await page.evaluate(() => window.seen);
  const said = `readable after ${readable.toFixed(1)} s, ready after ${ready.toFixed(1)} s`;
  t.note(`${said}, ${(wire / 1e6).toFixed(2)} MB on the wire, ${seen.length} states of the bar`);
  assert.equal((await page.evaluate(() => kindling.model())).name, "kindling-nano");
  for (const name of ["engine_bg.wasm", "app_bg.wasm", "engine.js"]) {
    const forms = asked.filter(({ path }) => path.endsWith(`/${name}`)).map(({ form }) => form);
    assert.deepEqual([...new Set(forms)], ["br"], `${name} comes as Brotli`);
  }
  assert.ok(wire <= ON_THE_WIRE, `${wire} bytes on the wire`);
  assert.ok(seen.length >= 20 && seen[0] < 0.1 && seen.at(-1) === 1, `the bar showed ${seen}`);
  assert.deepEqual(seen, [...seen].sort((a, b) => a - b), "the bar never goes back");
  // What comes evenly is shown evenly: by what is sent, not by what it grows to.
  const half = seen.filter((value) => value > 0.3 && value < 0.7).length / seen.length;
  assert.ok(half > 0.2, `${half} of its states are in the middle`);
  await page.locator("#opening").waitFor({ state: "detached" });
});

/** Keeps every state of the bar, as `seen`. */
function watchBar() {
  window.seen = [];
  const look = () => {
    const bar = document.querySelector("#opening progress[value]");
    if (bar && bar.value !== window.seen.at(-1)) window.seen.push(bar.value);
    requestAnimationFrame(look);
  };
  look();
}

test("light: a Chinese reader is greeted in Chinese before anything stands", {}, async ({ page, server, assert }) => {
  await page.addInitScript(() => localStorage.setItem("kindling-language", "zh-CN"));
  server.prepend(/\/app\.js$/, "await new Promise(() => {});\n");
  await page.goto(`${server.url}index.html?device=cpu&model=none`, { waitUntil: "commit" });
  await page.getByText("正在载入的模型：kindling-nano").waitFor();
  assert.equal(await page.getByText("kindling-nano, the model that is loading").isVisible(), false);
});

const BROKEN = { errors: /broken on purpose/ };
test("light: a page that cannot be loaded says so", BROKEN, async ({ page, server, assert }) => {
  server.prepend(/\/app\.js$/, 'throw new Error("broken on purpose");\n');
  await page.goto(`${server.url}index.html?device=cpu&model=none`, { waitUntil: "commit" });
  const failed = page.locator("#failed");
  await failed.waitFor();
  assert.match(await failed.innerText(), /could not be loaded; reload it\.\s+broken on purpose/);
  assert.equal(await page.locator("#opening").count(), 0);
});

test("light: the engine tells other pages how far it is", { device: "cpu" }, async ({ page, assert }) => {
  const parts = await page.evaluate(async () => {
    const { connect } = await import("./kindling.js");
    const parts = [];
    const engine = connect({ device: "cpu", onProgress: (part) => parts.push(part) });
    await engine.device();
    engine.close();
    return parts;
  });
  const { loaded, total } = parts.at(-1);
  assert.ok(parts.length > 1 && loaded === total, JSON.stringify(parts.at(-1)));
  assert.equal(total, readFileSync(join(DIST, "engine_bg.wasm")).length);
});

test("light: what is too heavy is refused by name, and what is not comes in three forms", {}, async (t) => {
  const { assert } = t;
  const { BINARYEN } = process.env;
  if (!BINARYEN) t.skip("BINARYEN names no binaryen");
  const fits = { "page_bg.wasm": { size: 1000, brotli: 1000 }, "*": { size: 10_000, brotli: 2000 } };
  const text = "All that is said here is said again. ".repeat(200);
  const [folder, log] = await finish(t, "fits", { "page_bg.wasm": MODULE, "page.html": text }, fits, { BINARYEN });
  const path = (name) => join(folder, name);
  const module = readFileSync(path("page_bg.wasm"));
  assert.ok(WebAssembly.validate(module) && !module.includes("idle") && MODULE.includes("idle"), "its names are gone");
  assert.equal(brotliDecompressSync(readFileSync(path("page.html.br"))).toString(), text);
  assert.equal(gunzipSync(readFileSync(path("page.html.gz"))).toString(), text);
  const sizes = JSON.parse(readFileSync(path("sizes.json")));
  const packed = readFileSync(path("page.html.br")).length;
  assert.deepEqual(sizes["page.html"], { size: text.length, packed });
  assert.equal(sizes["page_bg.wasm"].size, module.length);
  assert.match(log, /page_bg\.wasm: 0\.00 MB of 0\.00 MB/);

  const heavy = { "page.html": { size: text.length, brotli: packed - 1 }, "page.css": { size: 1, brotli: 1 } };
  const refused = await finish(t, "heavy", { "page.html": text }, heavy, { BINARYEN }).then(() => "", (e) => e.stderr);
  assert.match(refused, /page\.html: 0\.00 MB as Brotli, 0\.0 kB over the budget of 0\.00 MB/);
  assert.match(refused, /page\.css: the budget names it, and the page has no such file/);
  assert.match(refused, /raise web\/finish\/budget\.json/);

  const [plain] = await finish(t, "plain", { "page_bg.wasm": MODULE }, heavy, { BINARYEN: "" });
  assert.deepEqual(readdirSync(plain).sort(), ["page_bg.wasm", "sizes.json"]);
  assert.deepEqual(readFileSync(join(plain, "page_bg.wasm")), MODULE);
});

test("light: what cannot be reached is taken out by name, and stops who calls it", {}, async ({ assert }) => {
  const call = (bytes) => new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports.run();
  assert.equal(call(MODULE), undefined);
  const entry = { what: "idle code", why: "a test", functions: "^idle$" };
  const { bytes, gone } = withoutUnreached(MODULE, [{ ...entry, functions: "^id" }]);
  assert.deepEqual(gone, [3]);
  assert.throws(() => call(bytes), /unreachable/);
  assert.throws(() => withoutUnreached(MODULE, [entry, { ...entry, functions: "^busy" }]), /no function is named \^busy:/);
  assert.throws(() => withoutUnreached(MODULE, [{ ...entry, least: 3 }]), /no function is named \^idle\$:/);
  assert.deepEqual(withoutUnreached(MODULE, [{ ...entry, least: 2 }]).gone, [3]);
  assert.deepEqual(withoutUnreached(MODULE, []).bytes, MODULE);
  const nameless = MODULE.subarray(0, MODULE.indexOf("name") - 3);
  assert.throws(() => withoutUnreached(nameless, [entry]), /no names of functions/);
  for (const { what, why, functions } of await unreachedOf("engine_bg.wasm")) {
    assert.ok(what && why && new RegExp(functions), functions);
  }
  assert.deepEqual(await unreachedOf("app_bg.wasm"), []);
});

/** Finishes a folder of these files under a budget: the folder, and what was said. */
async function finish(t, name, files, budget, settings) {
  const [folder, limits] = [join(t.tmp, name), join(t.tmp, `${name}.json`)];
  mkdirSync(folder);
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(folder, file), bytes);
  writeFileSync(limits, JSON.stringify(budget));
  const env = { ...process.env, FINISHED: "", ...settings };
  const { stdout } = await promisify(execFile)(process.execPath, [FINISH, folder, limits], { env });
  return [folder, stdout];
}
