// The API for other pages: what a request may hold, other names for it, and what an abort does.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { endless, tiny } from "../native.mjs";

const QUESTION = "Where is the kettle of Oren?";
const CONFIG = { "steps": 400, "batch-size": 4, "max-seq-len": 64, "log-every": 1 };

test("requests: what nothing reads is refused by its name", { device: "cpu" }, async (t) => {
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(lessons);
  const chat = async (more) => {
    const create = (request) => kindling.chat.completions.create(request);
    const messages = [{ role: "user", content: "Where is the kettle of Oren?" }];
    return refused(t, create, { messages, max_tokens: 4, ...more });
  };
  for (const [field, value] of [
    ["n", 2], ["best_of", 2], ["metadata", {}],
    ["response_format", { type: "json_object" }], ["tools", []], ["top_logprob", 2],
  ]) {
    for (const stream of [false, true]) {
      const { message, code, values } = await chat({ [field]: value, stream });
      t.assert.match(message, new RegExp(`does not support '${field}'`));
      t.assert.deepEqual([code, values.field], ["unsupported-field", field]);
    }
  }
  t.assert.match((await chat({ top_logprobs: 2 })).message, /logprobs: true/);
  t.assert.match((await chat({ model: "gpt" })).message, /the open model is 'tiny', and not 'gpt'/);
  t.assert.match((await chat({ adapters: "none" })).message, /"none".*"active" or "base"/);
  const field = (message, name) => t.assert.match(message, new RegExp(`does not support '${name}'`));
  const lists = { generate: { prompt: "a", n: 2 }, score: { text: "a", top: 1 }, plan: { stage: "sft", seed: 1 } };
  for (const [call, request] of Object.entries(lists)) {
    const { message } = await refused(t, ([call, request]) => kindling[call](request), [call, request]);
    field(message, Object.keys(request).at(-1));
  }
  const odd = (name) => kindling.train({ stage: "sft", data: testFiles[name], epochs: 3 });
  field((await refused(t, odd, data)).message, "epochs");
  field((await refused(t, (name) => kindling.load(testFiles[name], { keeps: true }), data)).message, "keeps");
  t.assert.match((await refused(t, () => kindling.export({ model: "hf", run: "r" }))).message, /one of/);
  t.assert.match((await refused(t, () => kindling.score({ text: "a", tokens: [5] }))).message, /text or tokens/);
});

test("requests: messages are texts, alone or in parts", { device: "cpu" }, async (t) => {
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const say = (messages) => kindling.chat.completions.create({ messages, temperature: 0, max_tokens: 24 });
  const whole = await t.page.evaluate(say, [{ role: "user", content: QUESTION }]);
  const parts = [QUESTION.slice(0, 9), QUESTION.slice(9)].map((text) => ({ type: "text", text }));
  const joined = await t.page.evaluate(say, [{ role: "user", content: parts }]);
  t.assert.deepEqual(joined.choices, whole.choices);
  const user = (content) => ({ role: "user", content });
  for (const [messages, words] of [
    [[user([{ type: "text", text: "a" }, { type: "image_url", image_url: { url: "data:," } }])],
      /messages\[0\]\.content\[1\].*"image_url"/],
    [[user(null)], /messages\[0\]\.content is null/],
    [[user("a"), { role: "system", content: "b" }], /messages\[1\] is of the system/],
    [[{ role: "tool", content: "a" }], /messages\[0\]\.role is "tool"/],
    [[{ ...user("a"), name: "Ann" }], /messages\[0\]\.name/],
    ["a", /needs messages/],
  ]) {
    t.assert.match((await refused(t, say, messages)).message, words);
  }
});

test("requests: max_completion_tokens is max_tokens", { device: "cpu" }, async (t) => {
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const tokens = (more) => kindling.generate({ tokens: [1, 46, 87], temperature: 0, ignore_eos: true, ...more });
  for (const limits of [{ max_completion_tokens: 7 }, { max_tokens: 7 }, { max_tokens: 7, max_completion_tokens: 7 }]) {
    t.assert.equal((await t.page.evaluate(tokens, limits)).tokens.length, 7);
  }
  const { message } = await refused(t, tokens, { max_tokens: 7, max_completion_tokens: 8 });
  t.assert.match(message, /max_tokens is 7 and max_completion_tokens 8/);
});

test("requests: penalties by count and biases act", { device: "cpu" }, async (t) => {
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const tokens = (more) => kindling.generate({ tokens: [1, 46, 87], temperature: 0, max_tokens: 20, ignore_eos: true, ...more });
  const forced = await t.page.evaluate(tokens, { logit_bias: { 5: 100 } });
  t.assert.deepEqual(forced.tokens, Array(20).fill(5));
  const both = await t.page.evaluate(tokens, { logit_bias: { 5: 100, 6: 99 }, frequency_penalty: 2 });
  t.assert.deepEqual([...new Set(both.tokens)].sort(), [5, 6]);
  t.assert.match((await refused(t, tokens, { presence_penalty: 3 })).message, /presence.penalty is 3/);
});

test("requests: an abort rejects with AbortError, and the engine goes on", { device: "cpu" }, async (t) => {
  const { file } = await tiny(t.tmp);
  await t.give("endless.safetensors", endless(readFileSync(file)));
  await t.page.evaluate(() => kindling.load(testFiles["endless.safetensors"]));
  const name = await t.giveFile(file);
  const before = await t.greedy([1, 46, 87], 6);
  for (const [kind, early] of ["whole", "stream", "generate", "score", "load"].flatMap((k) => [[k, true], [k, false]])) {
    const ended = await t.page.evaluate(abortOne, [kind, early, name]);
    t.assert.deepEqual(ended, ["DOMException", "AbortError"], `${kind}, ${early ? "before it began" : "on the way"}`);
    t.assert.deepEqual(await t.greedy([1, 46, 87], 6), before, `after ${kind}`);
  }
  const reason = await t.page.evaluate(() => {
    const signal = AbortSignal.abort(new Error("enough"));
    return kindling.generate({ prompt: "a", signal }).catch((error) => error.message);
  });
  t.assert.equal(reason, "enough", "the signal's own reason");
});

test("requests: a run that is aborted is saved and can go on", { device: "cpu" }, async (t) => {
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(lessons);
  const early = await t.page.evaluate(abortRun, [data, CONFIG, 0]);
  t.assert.deepEqual(early, { train: "AbortError" });
  const late = await t.page.evaluate(abortRun, [data, CONFIG, 5]);
  t.assert.equal(late.done, "AbortError");
  const [saved, ...others] = await t.page.evaluate(() => kindling.runs.list());
  t.assert.deepEqual([saved.id, others], [late.id, []]);
  t.assert.ok(saved.step >= 5 && saved.step < CONFIG.steps, `stopped at step ${saved.step}`);
});

/** In the page: aborts a call before or after it began; what it rejects with, or what it gave. */
async function abortOne([kind, early, file]) {
  const abort = new AbortController();
  const { signal } = abort;
  if (early) abort.abort();
  const messages = [{ role: "user", content: "Where is the kettle of Oren?" }];
  const long = { temperature: 1.5, max_tokens: 6000, signal };
  const calls = {
    whole: () => kindling.chat.completions.create({ messages, ...long }),
    stream: async () => {
      for await (const chunk of await kindling.chat.completions.create({ messages, ...long, stream: true })) {
        if (chunk.choices[0].delta.content !== undefined) abort.abort();
      }
    },
    generate: () => kindling.generate({ tokens: [1, 46], ...long, ignore_eos: true, onText: () => abort.abort() }),
    score: () => kindling.score({ tokens: Array(1000).fill(46), signal }),
    load: () => kindling.load(testFiles[file], { signal }),
  };
  const ended = calls[kind]().then((value) => [JSON.stringify(value)], (error) => [error.constructor.name, error.name]);
  if (kind === "load" || kind === "score") abort.abort();
  if (kind === "whole") setTimeout(() => abort.abort(), 5);
  return ended;
}

/** In the page: aborts a run at a step, or before it begins. */
async function abortRun([data, config, at]) {
  const abort = new AbortController();
  if (at === 0) abort.abort();
  const onEvent = ({ event, step }) => event === "step" && step >= at && abort.abort();
  const request = { stage: "sft", adapter: true, data: testFiles[data], config, onEvent, signal: abort.signal };
  try {
    const run = await kindling.train(request);
    return { id: run.id, done: await run.done.then(() => "ended", (error) => error.name) };
  } catch (error) {
    return { train: error.name };
  }
}

/** Code, values and message of what a function of the page rejects with. */
async function refused(t, run, argument) {
  // As a text, because an error loses what it holds on its way out of the page.
  const outcome = await t.page.evaluate(`(async () => {
    const run = async () => (${run})(${JSON.stringify(argument)});
    return run().then((value) => ({ value }), ({ code, values, message }) => ({ code, values, message }));
  })()`);
  t.assert.ok("message" in outcome, `should have been refused, but gave ${JSON.stringify(outcome.value)}`);
  return outcome;
}
