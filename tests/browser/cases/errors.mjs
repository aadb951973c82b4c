// What cannot work is refused in words that help, and the open model still answers.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { tiny } from "../native.mjs";
import { zip } from "../zip.mjs";

/** Words that mean that a failure was not foreseen. */
const UNFORESEEN = /panicked|unreachable|RuntimeError|undefined|null|\[object|cannot be understood|crashed/;
const LIMIT = "the promise neither resolved nor was rejected";

test("errors: files that are no model", { device: "cpu" }, async (t) => {
  const { file, answers } = await withModel(t);
  const whole = readFileSync(file);
  const broken = Buffer.from(whole);
  broken.write("{{{{", 8);
  const endless = Buffer.from(whole);
  endless.writeBigUInt64LE(1n << 62n, 0);
  const named = (text) => Buffer.from(whole.toString("latin1").replace("model.embed_tokens.weight", text), "latin1");
  const archive = (...names) => zip(names.map((name) => ({ name, bytes: Buffer.from("Dear diary") })));
  const files = [
    ["corrupt.safetensors", broken, /header|damaged|json|safetensors/i],
    ["endless.safetensors", endless, /header|damaged|length|long|large|safetensors/i],
    ["half.safetensors", whole.subarray(0, whole.length >> 1), /cut|short|trunc|ends|bytes|damaged/i],
    ["nothing.safetensors", Buffer.alloc(0), /empty|short|bytes|damaged|cut/i],
    ["renamed.safetensors", named("model.embed_tokens.weighs"), /embed_tokens/],
    ["cat.png", Buffer.from("\x89PNG\r\n\x1a\n but no picture", "latin1"), /\.safetensors|checkpoint|png/i],
    ["notes.txt", Buffer.from("Dear diary"), /\.safetensors|checkpoint|txt/i],
    ["half.zip", archive("notes.txt").subarray(0, 60), /\bzip\b|archive/],
    ["nothing.zip", Buffer.alloc(0), /\bzip\b|archive/],
    ["notes.zip", archive("notes.txt"), /config\.json|no model/],
    ["two.zip", archive("base/config.json", "tuned/config.json"), /several|two/],
  ];
  for (const [name, bytes, words] of files) {
    await t.give(name, bytes);
    await refused(t, words, (name) => kindling.load(testFiles[name]), name);
    await answers();
  }
  await refused(t, /file|model/i, () => kindling.load([]));
  await refused(t, /adapter_config/, () => kindling.adapters.add("notes", [testFiles["notes.zip"]]));
  await answers();
});

test("errors: downloads that fail", { device: "cpu", errors: /Failed to load resource/ }, async (t) => {
  const { file, answers } = await withModel(t);
  const bytes = readFileSync(file);
  await refused(t, /404/, (url) => kindling.load(url), `${t.server.url}no-such-model.safetensors`);
  await answers();
  const cut = t.server.put("cut.safetensors", bytes, "cut");
  await refused(t, /connection|network|fetch|ended|again/i, (url) => kindling.load(url), cut);
  await answers();
  const stall = t.server.put("stall.safetensors", bytes, "stall");
  const aborted = await t.page.evaluate(async (url) => {
    const abort = new AbortController();
    const onProgress = ({ loaded }) => loaded > 0 && abort.abort();
    return kindling.load(url, { signal: abort.signal, onProgress }).then(() => "loaded", (error) => error.name);
  }, stall);
  t.assert.equal(aborted, "AbortError");
  await answers();
  const good = t.server.put("good.safetensors", bytes);
  const { info, parts } = await t.page.evaluate(async (url) => {
    const parts = [];
    return { info: await kindling.load(url, { onProgress: (part) => parts.push(part) }), parts };
  }, good);
  t.assert.equal(info.name, "good");
  t.assert.deepEqual(parts.at(-1), { loaded: bytes.length, total: bytes.length });
  await answers();
});

test("errors: data that cannot be trained on", { device: "cpu" }, async (t) => {
  const { answers } = await withModel(t);
  const good = JSON.stringify({ messages: [{ role: "user", content: "a" }, { role: "assistant", content: "b" }] });
  const data = [
    ["empty.jsonl", "", /empty|no rows|nothing/i],
    ["bad.jsonl", `${good}\n{"messages": [}\n${good}\n`, /\b2\b/],
    ["shape.jsonl", `${good}\n${good}\n{"colour": "red"}\n`, /\b3\b/],
    ["picture.png", "\x89PNG", /png|jsonl/i],
  ];
  for (const [name, text, words] of data) {
    await t.give(name, text);
    for (const stage of ["lora", "sft"]) {
      const message = await refused(t, words, trainOn, [stage, name, { steps: 2 }]);
      t.assert.ok(message.includes(name), `"${message}" names ${name}`);
    }
    await refused(t, words, (name) => kindling.preview({ stage: "sft", data: testFiles[name] }), name);
    await answers();
  }
  t.assert.deepEqual(await t.page.evaluate(() => kindling.runs.list()), [], "no run is left behind");
});

test("errors: settings that make no sense", { device: "cpu" }, async (t) => {
  const { answers } = await withModel(t);
  const row = { messages: [{ role: "user", content: "a" }, { role: "assistant", content: "b" }] };
  await t.give("good.jsonl", JSON.stringify(row) + "\n");
  const settings = [
    [{ "batch-size": 0 }, /batch-size/],
    [{ "learning-rate": -1 }, /learning-rate/],
    [{ "lr-schedule": "zigzag" }, /zigzag|lr-schedule/],
    [{ "colour": "red" }, /colour/],
    [{ "steps": "many" }, /steps|many/],
  ];
  for (const [config, words] of settings) {
    await refused(t, words, trainOn, ["lora", "good.jsonl", config]);
  }
  await refused(t, /polish/, trainOn, ["polish", "good.jsonl", {}]);
  const lora = (lora) => kindling.train({ stage: "lora", data: testFiles["good.jsonl"], lora }).then((run) => run.done);
  await refused(t, /rank/, lora, { rank: 0 });
  await refused(t, /no_such_layer/, lora, { rank: 2, targets: ["no_such_layer"] });
  await refused(t, /temperature/, () => kindling.generate({ prompt: "a", temperature: -1 }));
  await refused(t, /300|vocabulary/, () => kindling.generate({ tokens: [1, 300] }));
  await refused(t, /no-such/, () => kindling.adapters.use([{ name: "no-such" }]));
  await refused(t, /no-such/, () => kindling.export({ adapter: "no-such" }));
  await refused(t, /no-such/, () => kindling.runs.resume("no-such"));
  await answers();
});

/** Loads the tiny model; `answers` asserts that it says what it said at first. */
async function withModel(t) {
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const first = await t.greedy([1, 46, 87, 264], 8);
  const answers = async () => t.assert.deepEqual(await t.greedy([1, 46, 87, 264], 8), first, "the model still answers");
  return { file, answers };
}

/** Asserts that a function of the page is refused in words that match; returns them. */
async function refused(t, words, run, argument) {
  const limit = new Promise((_, late) => setTimeout(() => late(new Error(LIMIT)), 30_000).unref());
  const message = await Promise.race([t.rejection(run, argument), limit]);
  t.assert.match(message, words);
  t.assert.doesNotMatch(message, UNFORESEEN);
  return message;
}

/** In the page: trains to the end. */
async function trainOn([stage, name, config]) {
  return (await kindling.train({ stage, data: testFiles[name], config })).done;
}
