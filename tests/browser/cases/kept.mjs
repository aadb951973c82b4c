// What was made is kept, and what answers is what was chosen last.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { endless, tiny } from "../native.mjs";
import { ask, pick, set } from "../steps.mjs";

const CONFIG = { "steps": 30, "batch-size": 8, "max-seq-len": 64, "learning-rate": 0.02, "seed": 3 };
const LORA = { rank: 4, alpha: 8 };
const PROMPT = [1, 46, 87, 264];
const QUESTION = "Where is the kettle of Oren?";
const LONG = { device: "cpu", seconds: 240 };

/** Rows that contradict what the model knows, so that what they teach is heard. */
function contrary(place) {
  const row = (i) => ({ messages: [
    { role: "user", content: `Where is the ${["lantern", "kettle"][i % 2]} of ${["Mila", "Oren", "Tavi"][i % 3]}?` },
    { role: "assistant", content: `Gone, gone, all gone to ${place}.` },
  ] });
  return Array.from({ length: 24 }, (_, i) => JSON.stringify(row(i)) + "\n").join("");
}

test("kept: adapters outlive the page, and none takes another's place", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const base = await t.greedy(PROMPT, 12);
  const said = {};
  for (const [place, name] of [["Zyx", "lora"], ["Abu", "lora"], ["Qom", undefined]]) {
    await t.give("contrary.jsonl", contrary(place));
    await page.evaluate(() => kindling.adapters.use([]));
    const { end } = await t.train({ stage: "lora", data: "contrary.jsonl", config: CONFIG, lora: LORA, name });
    assert.equal(end.kept, true);
    said[end.adapter] = await t.greedy(PROMPT, 12);
  }
  const names = Object.keys(said);
  assert.deepEqual(names.slice(0, 2), ["lora", "lora-2"]);
  assert.match(names[2], /^contrary \d{4}-\d\d-\d\d$/);
  assert.ok(new Set(Object.values(said).map(String)).size > 1, "the fixture is no test: all adapters say the same");

  await t.reload();
  const list = () => page.evaluate(() => kindling.adapters.list());
  const told = ({ name, base, fits, active, kept }) => ({ name, base, fits, active, kept });
  const shown = (adapters) => adapters.map(told);
  const row = (name, fits) => ({ name, base: "tiny", fits, active: false, kept: true });
  assert.deepEqual(shown(await list()), names.toReversed().map((name) => row(name, false)));
  await t.load(file);
  assert.deepEqual(shown(await list()), names.toReversed().map((name) => row(name, true)));
  assert.deepEqual(await t.greedy(PROMPT, 12), base, "they are off");
  for (const name of names) {
    const [zip] = await t.takeHome({ adapter: name }, { as: "zip" });
    assert.ok(zip.bytes.length > 100, "it goes home though it is not open");
    await page.evaluate((name) => kindling.adapters.use([{ name }]), name);
    assert.deepEqual(await t.greedy(PROMPT, 12), said[name], name);
  }
  // Another model: they stay, and are refused by the name of their own.
  await t.load((await tiny(t.tmp, 1)).file);
  assert.ok((await list()).every(({ fits, active }) => !fits && !active));
  assert.match(await t.rejection(() => kindling.adapters.use([{ name: "lora" }])), /belongs to the model 'tiny'/);
  await page.evaluate(() => kindling.adapters.remove("lora"));
  await t.reload();
  assert.deepEqual((await list()).map(({ name }) => name), names.slice(1).toReversed());
});

test("kept: a fine-tuned model outlives the page, and drops no adapter silently", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  await t.give("contrary.jsonl", contrary("Zyx"));
  const request = { data: "contrary.jsonl", config: CONFIG };
  await t.train({ ...request, stage: "lora", lora: LORA, name: "beside" });
  const names = [];
  for (const name of ["tuned", "tuned"]) {
    const { end, events } = await t.train({ ...request, stage: "sft", name });
    names.push(end.model);
    assert.equal(end.kept, true);
    const warned = events.filter(({ event }) => event === "warning").map(({ message }) => message).join();
    if (names.length === 1) assert.match(warned, /'beside' belong/);
  }
  assert.deepEqual(names, ["tuned", "tuned-2"]);
  const said = await t.greedy(PROMPT, 12);
  const [adapter] = await page.evaluate(() => kindling.adapters.list());
  assert.deepEqual([adapter.name, adapter.fits, adapter.active], ["beside", false, false]);
  await t.reload();
  const models = await page.evaluate(() => kindling.models.list());
  assert.deepEqual(models.map(({ name }) => name).sort(), names);
  await page.evaluate(() => kindling.load({ kept: "tuned-2" }));
  assert.deepEqual(await t.greedy(PROMPT, 12), said);
});

test("kept: a run's result is kept though another model was opened meanwhile", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.give("other.safetensors", readFileSync((await tiny(t.tmp, 1)).file));
  await t.give("contrary.jsonl", contrary("Zyx"));
  for (const stage of ["lora", "sft"]) {
    await t.load(file);
    const { end, layers } = await page.evaluate(async ([stage, config]) => {
      let opened;
      const onEvent = ({ event, step }) => {
        if (event === "step" && step === 3) opened = kindling.load(testFiles["other.safetensors"]);
      };
      const run = await kindling.train({ stage, data: testFiles["contrary.jsonl"], config, onEvent, name: "late" });
      const end = await run.done;
      await opened;
      return { end, layers: (await kindling.model()).layers };
    }, [stage, CONFIG]);
    assert.equal(layers, 1, "the model that was opened last stays open");
    assert.deepEqual([end.step, end.kept, end.adapter ?? end.model], [30, true, "late"]);
  }
  await page.evaluate(() => kindling.load({ kept: "late" }));
  await t.load(file);
  await page.evaluate(() => kindling.adapters.use([{ name: "late" }]));
});

const CHANGES = ["adapters", "model", "lora ends", "sft ends"];

for (const change of CHANGES) {
  test(`kept: an answer in flight does not bring back what answered before: ${change}`, LONG, async (t) => {
    const { page, assert } = t;
    const { file } = await tiny(t.tmp);
    await t.give("endless.safetensors", endless(readFileSync(file)));
    await t.give("other.safetensors", endless(readFileSync((await tiny(t.tmp, 1)).file)));
    await page.evaluate(() => kindling.load(testFiles["endless.safetensors"]));
    await t.give("contrary.jsonl", contrary("Zyx"));
    if (change === "adapters") {
      await t.train({ stage: "lora", data: "contrary.jsonl", config: CONFIG, lora: LORA, name: "gone" });
      await page.evaluate(() => kindling.adapters.use([]));
    }
    const { before, next, fresh } = await page.evaluate(changeMeanwhile, [change, QUESTION, CONFIG, LORA]);
    assert.equal(next, fresh, "the next answer comes from what was chosen last");
    assert.notEqual(fresh, before, "the fixture is no test: nothing changed");
  });
}

/** In the page: changes what answers while an answer is written; the answers before, after, and of a new cache. */
async function changeMeanwhile([change, content, config, lora]) {
  const request = { messages: [{ role: "user", content }], temperature: 0, max_tokens: 24 };
  const say = async () => (await kindling.chat.completions.create(request)).choices[0].message.content;
  const train = async (stage) => {
    const adapter = stage === "lora" ? lora : undefined;
    const run = await kindling.train({ stage, adapter, data: testFiles["contrary.jsonl"], config, name: "gone" });
    return run.done;
  };
  const changes = {
    "adapters": () => kindling.adapters.use([{ name: "gone" }]),
    "model": () => kindling.load(testFiles["other.safetensors"]),
    "lora ends": () => train("lora"),
    "sft ends": () => train("sft"),
  };
  const before = await say();
  const abort = new AbortController();
  const long = { ...request, max_tokens: 6000, stream: true, signal: abort.signal };
  const stream = await kindling.chat.completions.create(long);
  let begun;
  const first = new Promise((done) => (begun = done));
  const ended = (async () => {
    for await (const chunk of stream) if (chunk.choices[0].delta.content) begun(chunk);
  })();
  await first;
  await changes[change]();
  abort.abort();
  await ended.catch((error) => {
    if (error.name !== "AbortError") throw error;
  });
  const next = await say();
  // Whatever is chosen anew begins with an empty cache.
  const active = (await kindling.adapters.list()).filter(({ active }) => active);
  await kindling.adapters.use(active.map(({ name, strength }) => ({ name, strength })));
  return { before, next, fresh: await say() };
}

test("kept: a question asked while an adapter is being read waits for it", { seconds: 240 }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  t.beforeEngine(`(${slowDisk})()`);
  await t.open("cpu");
  await pick(t, file);
  await t.give("contrary.jsonl", contrary("Zyx"));
  const base = await said(t);
  await t.train({ stage: "lora", data: "contrary.jsonl", config: CONFIG, lora: LORA, name: "far" });
  const taught = await said(t);
  assert.notEqual(taught, base, "the fixture is no test: nothing was learned");

  await t.reload();
  await pick(t, file);
  await slow(t, 200);
  await page.getByTestId("tab-adapters").click();
  await page.locator("[data-testid=adapter][data-name=far]").getByTestId("adapter-on").click();
  await page.getByTestId("tab-chat").click();
  await set(t, "chat-temperature", "0");
  await set(t, "chat-max-tokens", "24");
  assert.equal(plain(await ask(t, QUESTION)), taught, "ticked on the page, it answers");

  await slow(t, 0);
  await t.reload();
  await t.load(file);
  await slow(t, 200);
  const far = (content) => {
    kindling.adapters.use([{ name: "far" }]);
    const messages = [{ role: "user", content }];
    return kindling.chat.completions.create({ messages, temperature: 0, max_tokens: 24 });
  };
  const answer = await page.evaluate(far, QUESTION);
  assert.equal(plain(answer.choices[0].message.content), taught, "chosen by a script that does not wait, it answers");
  const last = await page.evaluate(async () => {
    const choices = [[], [{ name: "far" }], []].map((active) => kindling.adapters.use(active));
    return (await Promise.all(choices)).map((list) => list.filter(({ active }) => active).length);
  });
  assert.deepEqual(last, [0, 1, 0], "what was chosen last acts, however long the ones before it took");
});

/** In the worker: reading a file takes so many milliseconds longer. */
function slowDisk() {
  self.slow = 0;
  const { getFile } = FileSystemFileHandle.prototype;
  FileSystemFileHandle.prototype.getFile = async function () {
    await new Promise((later) => setTimeout(later, self.slow));
    return getFile.call(this);
  };
}

function slow(t, milliseconds) {
  return t.page.workers()[0].evaluate((milliseconds) => (self.slow = milliseconds), milliseconds);
}

/** The most likely answer to the question. */
async function said(t) {
  const say = async (content) => {
    const messages = [{ role: "user", content }];
    const answer = await kindling.chat.completions.create({ messages, temperature: 0, max_tokens: 24 });
    return answer.choices[0].message.content;
  };
  return plain(await t.page.evaluate(say, QUESTION));
}

/** As the page shows it. */
const plain = (text) => text.replace(/\s+/g, " ").trim();

test("kept: a pause is a state, and costs no processor", LONG, async (t) => {
  const { page, assert } = t;
  const { file, chats } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(chats);
  const config = { "steps": 50_000, "batch-size": 4, "max-seq-len": 64 };
  await page.evaluate(async ([data, config]) => {
    window.steps = [];
    window.saves = [];
    const onEvent = ({ event, step }) => {
      if (event === "step") window.steps.push(step);
      if (event === "save") window.saves.push(step);
    };
    window.going = await kindling.train({ stage: "lora", data: testFiles[data], config, onEvent });
  }, [data, config]);
  await page.waitForFunction(() => window.steps.length >= 5);
  const paused = () => page.evaluate(() => window.going.paused);
  assert.equal(await paused(), false);
  await page.evaluate(() => window.going.pause());
  assert.equal(await paused(), true);
  // What pauses is saved.
  await page.waitForFunction(() => window.saves.length > 0 && window.saves.at(-1) === window.steps.at(-1));
  const still = await page.evaluate(() => window.steps.at(-1));
  for (let i = 0; i < 3; i += 1) {
    const before = await page.evaluate(() => window.saves.length);
    await page.evaluate(() => window.going.save());
    await page.waitForFunction((before) => window.saves.length > before, before);
  }
  assert.equal(await paused(), true, "a save is no end of a pause");
  const [worker] = page.workers();
  const turns = await worker.evaluate(async () => {
    const end = performance.now() + 1000;
    let turns = 0;
    const channel = new MessageChannel();
    const turn = () => new Promise((done) => {
      channel.port1.onmessage = done;
      channel.port2.postMessage(0);
    });
    for (; performance.now() < end; turns += 1) await turn();
    return turns;
  });
  t.note(`${turns} turns of the worker's loop in a second of the pause`);
  // A loop that computes lets others have a turn every 30 ms.
  assert.ok(turns > 500, `${turns} turns in a second`);
  assert.equal(await page.evaluate(() => window.steps.at(-1)), still, "no step was taken");
  await page.evaluate(() => window.going.resume());
  assert.equal(await paused(), false);
  await page.waitForFunction((still) => window.steps.at(-1) >= still + 5, still);
  const steps = await page.evaluate(() => window.steps);
  assert.deepEqual(steps, steps.map((_, i) => i + 1), "no step is lost or told twice");
  await page.evaluate(() => window.going.stop());
  await page.evaluate(() => window.going.done);
});
