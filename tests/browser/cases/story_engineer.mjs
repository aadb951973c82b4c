// An engineer's story: a page of one's own uses kindling.js, and every way in which a call can go wrong is told by a code.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { endless, tiny } from "../native.mjs";

/** By what is wrong: the code, and of its values those that a page would read. */
const WRONG = {
  "a field that nothing reads": ["unsupported-field", { field: "metadata" }],
  "two answers at once": ["unsupported-field", { field: "n" }],
  "a field of another call": ["unsupported-field", { call: "score", field: "top_k" }],
  "a picture": ["unsupported-field", { field: "messages[0].content[0]" }],
  "a message without a text": ["bad-message", { field: "messages[0].content" }],
  "a name beside the message": ["unsupported-field", { field: "messages[0].name" }],
  "a role of a tool": ["bad-message", { field: "messages[0].role" }],
  "no list of messages": ["bad-message", { field: "messages" }],
  "no message of the user": ["chat.no_user"],
  "another model": ["bad-request", { field: "model" }],
  "alternatives without probabilities": ["bad-request", { field: "top_logprobs" }],
  "two limits": ["bad-request", { field: "max_completion_tokens" }],
  "no object": ["bad-request", { call: "generate" }],
  "a text and tokens": ["bad-request", { call: "generate", field: "prompt" }],
  "nothing to go on from": ["generate.nothing"],
  "nothing to score": ["score.nothing"],
  "a task that is none": ["eval.task", { task: "arc" }],
  "a comparison with nothing": ["eval.nothing_acts"],
  "an answer's length where none is written": ["settings.unfit"],
  "a temperature below zero": ["settings.unfit"],
  "a token that is none": ["sampling.id", { id: 300 }],
  "an address without a file": ["download.failed"],
  "a text as a model": ["model.not_one", { name: "notes.txt" }],
  "half a model": ["at", { name: "half.safetensors" }],
  "no file": ["model.no_file"],
  "a model that is not kept": ["model.not_kept", { name: "none" }],
  "a model without a name": ["model.unnamed"],
  "no data": ["data.none"],
  "data that are a picture": ["file.not_read", { name: "cat.png" }],
  "a row without an answer": ["data.bad_rows", { total: 1 }],
  "an encoding that is none": ["file.encoding", { label: "gbkk" }],
  "a setting that is none": ["settings.unread"],
  "a setting that does not hold": ["settings.unfit"],
  "a stage that is none": ["call.unknown"],
  "an adapter's settings without an adapter": ["bad-request", { field: "lora" }],
  "an adapter that is not there": ["adapter.none", { name: "none" }],
  "a model as an adapter": ["at"],
  "answers of an adapter that is not there": ["adapter.none", { name: "none" }],
  "answers of who knows whom": ["bad-request", { field: "adapters" }],
  "an adapter to take home that is not there": ["adapter.none", { name: "none" }],
  "a form that is none": ["export.form"],
  "nothing to take home": ["bad-request", { call: "export" }],
  "a run that is not there": ["run.none", { id: "run-0" }],
  "a run's file without its data": ["run.no_data"],
  "two runs at once": ["run.busy"],
  "a run to remove that trains": ["run.trains"],
};
const PAGE = new URL("../engineer.html", import.meta.url);
const LOUD = { seconds: 300, errors: /Failed to load resource|on purpose/ };

test("story: an engineer's page uses kindling.js, and every error has a code", LOUD, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  const bytes = readFileSync(file);
  t.server.put("engineer.html", readFileSync(PAGE));
  t.server.put("tiny.safetensors", bytes);
  t.server.put("stalled.safetensors", endless(bytes), "stall");
  await page.goto(`${t.server.url}engineer.html`);
  await page.waitForFunction(() => window.engineer !== undefined);
  const { code } = await page.evaluate(() => engineer.while("no model", (engine) => engine.score({ text: "a" })));
  assert.equal(code, "model.closed");

  assert.equal((await page.evaluate(() => engineer.open())).name, "tiny");
  const { text, usage } = await page.evaluate(() => engineer.talk());
  assert.ok(text.length > 3 && usage.completion_tokens > 0, `${text} ${JSON.stringify(usage)}`);
  await t.picture("1 it answers");

  const first = await answer(t);
  const same = async (after) => assert.deepEqual(await answer(t), first, `after ${after} the engine answers`);
  assert.deepEqual(await page.evaluate(() => engineer.wrong), Object.keys(WRONG), "every wrong call is expected");
  for (const [name, [code, values]] of Object.entries(WRONG)) {
    refused(t, name, await page.evaluate((name) => engineer.try(name), name), code, values);
    await same(name);
  }
  for (const name of await page.evaluate(() => engineer.ended)) {
    for (const when of ["early", "late"]) {
      const told = await page.evaluate(([when, name]) => engineer[when](name), [when, name]);
      assert.deepEqual([told.kind, told.name], ["DOMException", "AbortError"], `${name}, ${when}: ${told.message}`);
    }
    await same(name);
  }
  assert.deepEqual(await page.evaluate(() => engineer.engine.runs.list()), [], "nothing is left behind");
  await t.picture("2 every error");
  await crash(t, first);
});

/** The worker dies on the way of an answer; a new one goes on. */
async function crash(t, first) {
  const { page, assert } = t;
  await page.evaluate(() => {
    engineer.engine.onCrash = (message, error) => (window.heard = [message, error.message]);
    const endless = (engine) => engine.generate({ tokens: [1, 46], max_tokens: 6000, ignore_eos: true });
    window.pending = engineer.while("an answer whose engine crashes", endless);
  });
  const [worker] = page.workers();
  const fall = () => void setTimeout(() => { throw new Error("on purpose"); });
  await worker.evaluate(fall);
  refused(t, "the crash", await page.evaluate(() => window.pending), "engine.crashed");
  assert.match((await page.evaluate(() => window.heard)).join(" "), /on purpose/);
  const later = (name) => page.evaluate((name) => engineer.while(name, (engine) => engine.model()), name);
  refused(t, "after it", await later("a question to an engine that crashed"), "engine.stopped");
  await page.evaluate(() => engineer.engine.restart());
  assert.equal((await later("a new engine")).kind, "no error");
  await page.evaluate(() => engineer.open());
  assert.deepEqual(await answer(t), first, "the new engine answers as the old one did");
  await page.evaluate(() => {
    window.pending = engineer.while("a question as the engine is closed", (engine) => engine.runs.list());
    engineer.engine.close();
  });
  refused(t, "the end", await page.evaluate(() => window.pending), "engine.closed");
  await t.picture("3 after a crash");
}

/** Greedy tokens. */
function answer(t) {
  const request = { tokens: [1, 46, 87, 264], temperature: 0, max_tokens: 8, ignore_eos: true };
  return t.page.evaluate(async (request) => (await engineer.engine.generate(request)).tokens, request);
}

/** Asserts that a call was refused with this code, these values among its own, and a sentence for people. */
function refused(t, name, told, code, values = {}) {
  const { assert } = t;
  assert.deepEqual([told.kind, told.code], ["KindlingError", code], `${name}: ${told.message}`);
  for (const [key, value] of Object.entries(values)) assert.equal(told.values[key], value, `${name}: ${key}`);
  assert.ok(told.message.length > 10, `${name}: ${told.message}`);
  assert.doesNotMatch(told.message, /undefined|\[object|panicked/, name);
}
