// The browser's private file system: when it is full, and when two tabs share it.

import { readFileSync } from "node:fs";
import { basename } from "node:path";

import { test } from "../harness.mjs";
import { tiny } from "../native.mjs";

const PROMPT = [1, 46, 87, 264];
const CONFIG = { "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.003 };
const FULL = /no more room/;

test("storage: when it is full, only keeping stops", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file, chats } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(chats);
  const first = await t.greedy(PROMPT, 8);
  const answers = async () => assert.deepEqual(await t.greedy(PROMPT, 8), first, "the model answers");
  const kept = async () => (await page.evaluate(() => kindling.models.list())).map(({ name }) => name);
  // The page's own files are kept in the same room.
  await page.evaluate(async () => void (await navigator.serviceWorker.ready));
  const limit = await limiter(t);
  await limit(1000);
  try {
    assert.match(await t.rejection(() => kindling.models.keep("mine")), FULL);
    assert.deepEqual(await kept(), []);
    await answers();

    const { events, end } = await t.train({ stage: "lora", data, config: { ...CONFIG, "steps": 5 } });
    assert.deepEqual([end.step, end.stopped], [5, false]);
    const warnings = events.filter(({ event }) => event === "warning").map(({ message }) => message);
    assert.ok(warnings.some((message) => FULL.test(message)), `warnings: ${warnings}`);
    assert.deepEqual(await page.evaluate(() => kindling.runs.list()), []);

    const url = t.server.put("far.safetensors", readFileSync(file));
    assert.equal((await page.evaluate((url) => kindling.load(url), url)).name, "far");
    assert.deepEqual(await kept(), []);
    await answers();
  } finally {
    await limit();
  }
  await page.evaluate(() => kindling.models.keep("mine"));
  assert.deepEqual(await kept(), ["mine"]);
  await page.evaluate(() => kindling.load({ kept: "mine" }));
  await answers();
});

test("storage: a run belongs to the tab that trains it", { device: "cpu", seconds: 240 }, async (t) => {
  const { page, assert } = t;
  const { file, lessons } = await tiny(t.tmp);
  const other = await t.tab("cpu");
  try {
    for (const tab of [t, other]) await tab.load(file);
    for (const tab of [t, other]) await tab.giveFile(lessons);
    const data = basename(lessons);
    const id = await other.page.evaluate(begin, [data, { ...CONFIG, "steps": 50_000 }]);
    // A run that begins makes room; one that was not saved yet could be taken for a leftover.
    const own = await t.train({ stage: "lora", data, config: { ...CONFIG, "steps": 5 }, name: "own" });
    assert.equal(own.end.step, 5);

    const saved = await other.page.evaluate(save);
    assert.equal(saved.event, "save", saved.message);
    assert.deepEqual(await page.evaluate(() => kindling.runs.list()), [], "it trains, and does not wait");
    for (const call of ["resume", "remove"]) {
      assert.match(await t.rejection(([call, id]) => kindling.runs[call](id), [call, id]), /another tab/);
    }
    const later = await other.page.evaluate(save);
    assert.equal(later.event, "save", later.message);
    assert.ok(later.step > saved.step, "it goes on");

    await other.page.close();
    const waiting = await page.evaluate(waits, id);
    assert.ok(waiting.step >= later.step && waiting.total_steps === 50_000);
    assert.equal(await page.evaluate(firstStep, id), waiting.step + 1, "it goes on after the last save");
  } finally {
    await other.page.close().catch(() => {});
  }
});

/** Gives a function that limits the origin's room to so many bytes, and without a number no more. */
async function limiter(t) {
  const devtools = await t.context.newCDPSession(t.page);
  return (quotaSize) => devtools.send("Storage.overrideQuotaForOrigin", { origin: t.server.origin, quotaSize });
}

/** In the page: begins a run; returns its id. */
async function begin([data, config]) {
  window.heard = [];
  const onEvent = (event) => event.event !== "step" && window.heard.push(event);
  window.run = await kindling.train({ stage: "lora", data: testFiles[data], config, onEvent });
  return window.run.id;
}

/** In the page: saves the run; returns what it says to that. */
async function save() {
  const before = window.heard.length;
  window.run.save();
  while (window.heard.length === before) await new Promise((done) => setTimeout(done, 20));
  return window.heard.at(-1);
}

/** In the page: waits until a run is listed. */
async function waits(id) {
  for (;;) {
    const waiting = (await kindling.runs.list()).find((run) => run.id === id);
    if (waiting) return waiting;
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** In the page: goes on with a run for a step; returns which. */
async function firstStep(id) {
  let first;
  const reached = new Promise((done) => (first = done));
  const run = await kindling.runs.resume(id, ({ event, step }) => event === "step" && first(step));
  const step = await reached;
  run.stop();
  await run.done;
  return step;
}
