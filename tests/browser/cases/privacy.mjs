// Nothing leaves the machine, and the page needs nothing but its own files.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { tiny } from "../native.mjs";

const LOCAL = /^(blob|data):/;

test("privacy: loading, chatting and training ask no one anything", {}, async (t) => {
  const asked = [];
  t.context.on("request", note);
  function note(request) {
    asked.push({ url: request.url(), method: request.method() });
  }
  try {
    await t.open("cpu");
    t.assert.ok(asked.length > 2, "the page itself is seen to be fetched");
    // It also fetches its own files once more, for visits without a network.
    await t.page.evaluate(async () => void (await navigator.serviceWorker.ready));
    const before = t.server.requests.length;
    const { file, chats } = await tiny(t.tmp);
    await t.load(file);
    const data = await t.giveFile(chats);
    const messages = [{ role: "user", content: "Where is the kettle of Oren?" }];
    await t.page.evaluate((messages) => kindling.chat.completions.create({ messages, max_tokens: 16 }), messages);
    await t.train({ stage: "lora", data, config: { "steps": 3, "batch-size": 2, "max-seq-len": 64 } });
    await t.page.evaluate(() => kindling.models.keep("tiny"));
    t.assert.deepEqual(t.server.requests.slice(before), [], "work asks nothing of the page's own server either");
  } finally {
    t.context.off("request", note);
  }
  const elsewhere = asked.filter(({ url }) => !url.startsWith(t.server.url) && !LOCAL.test(url));
  t.assert.deepEqual(elsewhere, [], "all requests stay in the page's folder");
  t.assert.deepEqual(asked.filter(({ method }) => method !== "GET"), []);
  t.assert.deepEqual(await t.context.cookies(), []);
});

const REFUSES = { device: "cpu", errors: /Content Security Policy/ };
test("privacy: the page declares what it may do", REFUSES, async ({ page, assert }) => {
  const meta = page.locator('meta[http-equiv="Content-Security-Policy" i]');
  const policy = (await meta.count()) ? await meta.getAttribute("content") : "";
  assert.ok(policy, "there is a Content-Security-Policy");
  const split = (rule) => rule.trim().split(/\s+/);
  const rules = new Map(policy.split(";").map(split).map(([name, ...sources]) => [name, sources]));
  assert.ok(rules.has("default-src"), policy);
  const scripts = rules.get("script-src") ?? rules.get("default-src");
  const harmless = /^'(self|none|wasm-unsafe-eval|sha\d+-[^']+)'$/;
  for (const source of scripts) assert.match(source, harmless);
  for (const [name, sources] of rules) assert.ok(!sources.includes("*"), `${name} allows everything`);
  const ran = await page.evaluate(async () => {
    const script = document.createElement("script");
    script.textContent = "window.injected = true";
    document.body.append(script);
    return window.injected === true;
  }).catch((error) => error.message);
  assert.equal(ran, false, "a script that was slipped in does not run");
});

test("privacy: every file that the page asks for is there", { device: "cpu" }, async ({ server, assert }) => {
  const paths = new Set(server.requests.map(({ path }) => path));
  assert.ok([...paths].some((path) => path.endsWith(".wasm")), "a WebAssembly module is among them");
  for (const path of paths) assert.equal((await fetch(server.origin + path)).status, 200, path);
});

const OFFLINE = { device: "cpu", errors: /Failed to load resource/ };
test("privacy: it works offline once it was opened", OFFLINE, async (t) => {
  const { page, context, assert } = t;
  const { file } = await tiny(t.tmp);
  const bytes = readFileSync(file);
  await page.evaluate(async () => void (await navigator.serviceWorker.ready));
  await t.reload();
  await context.setOffline(true);
  try {
    await t.server.close();
    await t.reload();
    await t.give("tiny.safetensors", bytes);
    await page.evaluate(() => kindling.load(testFiles["tiny.safetensors"]));
    assert.equal((await t.greedy([1, 46, 87], 4)).length, 4);
  } finally {
    await context.setOffline(false);
  }
});
