// The page trains as the native program does: the same seed and data give the same losses.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { losses, sameLosses, test } from "../harness.mjs";
import { lines, log, result, tiny, train } from "../native.mjs";

const CONFIG = { "steps": 20, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.003, "log-every": 1, "seed": 7 };
/** For a GPU that is emulated. */
const SMALL = { ...CONFIG, "batch-size": 2, "max-seq-len": 32 };
const LORA = { rank: 4, alpha: 8 };
const LORA_FLAGS = ["--lora-rank", 4, "--lora-alpha", 8];
const SHARE = 1e-3;
/** The model that the page opens with. */
const OWN = fileURLToPath(new URL("../../../web/model/kindling-nano.safetensors", import.meta.url));

test("training: lora's losses equal native's, cpu", { device: "cpu" }, (t) => compare(t, "lora", CONFIG));

test("training: sft's losses equal native's, cpu", { device: "cpu" }, async (t) => {
  const native = await compare(t, "sft", CONFIG);
  // The open model is the trained one, and goes home as one file that the native program opens.
  const tokens = [1, 46, 87, 264, 270, 280, 260];
  const there = await result("score", "--model", native, "--tokens", tokens.join(","));
  const here = await t.page.evaluate((tokens) => kindling.score({ tokens }), tokens);
  t.assert.ok(Math.abs(here.nll - there.nll) / there.nll < 5e-3, `nll ${here.nll} here, ${there.nll} natively`);
  const [file] = await t.takeHome({ model: "single-file" });
  t.assert.match(file.name, /\.safetensors$/);
  const path = join(t.tmp, "from-the-page.safetensors");
  writeFileSync(path, file.bytes);
  const home = await result("score", "--model", path, "--tokens", tokens.join(","));
  t.assert.ok(Math.abs(here.nll - home.nll) < 1e-3, `nll ${here.nll} here, ${home.nll} of the exported file`);
});

test("training: pretrain's losses equal native's, cpu", { device: "cpu" }, (t) => compare(t, "pretrain", CONFIG));

test("training: the losses of an adapter on texts equal native's, cpu", { device: "cpu" }, (t) =>
  compare(t, "pretrain", { ...CONFIG, "learning-rate": 0.01 }, { adapter: LORA }));

for (const stage of ["lora", "sft"]) {
  test(`training: ${stage}'s losses on the page's own model equal native's, cpu`, { device: "cpu" }, (t) =>
    compare(t, stage, { ...CONFIG, "learning-rate": 0.0005 }, { own: OWN }));
}

// Those of sft on webgpu: memory.mjs, whose run is long enough.
test("training: lora's losses equal native's, webgpu", { device: "webgpu", seconds: 600 }, (t) =>
  compare(t, "lora", SMALL));

test("training: the defaults are what holds where nothing else is asked for", { device: "cpu" }, async (t) => {
  const { assert } = t;
  const { file, stories, lessons } = await tiny(t.tmp);
  await t.load(file);
  const [texts, chats] = [await t.giveFile(stories), await t.giveFile(lessons)];
  const plans = new Map();
  for (const [stage, adapter, name] of [
    ["pretrain", false, texts], ["pretrain", true, texts], ["sft", false, chats], ["sft", true, chats], ["lora", false, chats],
  ]) {
    const [silent, said] = await t.page.evaluate(async ([stage, adapter, name]) => {
      const request = { stage, adapter, data: testFiles[name] };
      const { config, lora } = await kindling.defaults(stage, { adapter });
      const settings = adapter || stage === "lora" ? lora : undefined;
      return [await kindling.plan(request), await kindling.plan({ ...request, config, adapter: settings })];
    }, [stage, adapter, name]);
    // The time is measured anew for each.
    for (const plan of [silent, said]) delete plan.seconds;
    const what = `${stage} ${adapter}`;
    assert.deepEqual(said, silent, what);
    assert.equal(said.trained < said.parameters, adapter || stage === "lora", what);
    plans.set(what, said);
  }
  assert.deepEqual(plans.get("lora false"), plans.get("sft true"), "lora is sft with an adapter");
  assert.notEqual(plans.get("sft false").steps, plans.get("sft true").steps, "an adapter has defaults of its own");
  assert.match(await t.rejection(() => kindling.defaults("polish")), /polish/);
  const idle = (name) => kindling.plan({ stage: "sft", data: testFiles[name], lora: { rank: 4 } });
  assert.match(await t.rejection(idle, chats), /give them as adapter/);
});

test("training: the held-out loss equals native's, and the question is asked", { device: "cpu" }, async (t) => {
  const { dir, file, lessons } = await tiny(t.tmp);
  const config = { ...CONFIG, "val-split": 0.1, "eval-every": 10 };
  const out = join(t.tmp, "run");
  await train("sft", out, { model: dir, data: lessons, config });
  const there = log(out).filter(({ event }) => event === "eval").map(({ step, loss }) => [step, loss]);
  await t.load(file);
  const data = await t.giveFile(lessons);
  const sample = { prompt: "Where is Mila?", every: 10 };
  const { events, end } = await t.train({ stage: "sft", data, config, sample });
  const { assert } = t;
  const here = events.filter(({ event }) => event === "eval").map(({ step, loss }) => [step, loss]);
  sameLosses(new Map(here), new Map(there), SHARE);
  assert.ok(here.length >= 2);
  assert.ok(Math.abs(end.heldout_loss - here.at(-1)[1]) < 1e-6, "the end tells the last of them");
  const asked = events.filter(({ event }) => event === "sample");
  assert.deepEqual(asked.map(({ step }) => step), [10, 20]);
  assert.ok(asked.every(({ prompt, text }) => prompt === "Where is Mila?" && typeof text === "string"));
});

test("training: the plan and the preview say what native's do", { device: "cpu" }, async (t) => {
  const { dir, file, chats } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(chats);
  const { plan, preview } = await t.page.evaluate(async ([data, config]) => ({
    plan: await kindling.plan({ stage: "sft", data: testFiles[data], config }),
    preview: await kindling.preview({ stage: "sft", data: testFiles[data], rows: 3 }),
  }), [data, CONFIG]);
  const { assert } = t;
  const { parameters } = await t.page.evaluate(() => kindling.model());
  assert.deepEqual([plan.parameters, plan.trained, plan.steps, plan.rows], [parameters, parameters, 20, 120]);
  assert.ok(plan.bytes > 4 * parameters && plan.seconds > 0);
  assert.equal(preview.total, 120);
  assert.equal(preview.rows.length, 3);
  const there = await lines("data", "preview", "--data", chats, "--model", dir, "--stage", "sft", "--limit", 3);
  const seen = ({ line, tokens }) => [line, tokens.map(({ id }) => id), tokens.map(({ target }) => Number(target))];
  assert.deepEqual(preview.rows.map(seen), there.map(({ line, tokens, mask }) => [line, tokens, mask]));
  for (const { tokens, cut } of preview.rows) {
    const said = tokens.filter(({ target }) => target).map(({ text }) => text).join("");
    assert.match(said, /^The \w+ of \w+ is in \w+\./);
    assert.equal(cut, false);
  }
});

test("training: files in other encodings are the same rows", { device: "cpu" }, async (t) => {
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const row = '{"user": "你好", "assistant": "好"}\n';
  const gbk = Buffer.from(row.replaceAll("你", "\xc4\xe3").replaceAll("好", "\xba\xc3"), "latin1");
  await t.give("utf8.jsonl", Buffer.from(row));
  await t.give("gbk.jsonl", gbk);
  await t.give("marked.jsonl", Buffer.from(`\ufeff${row}`, "utf16le"));
  await t.give("bare.jsonl", Buffer.from(row, "utf16le"));
  const look = ([name, encoding]) =>
    kindling.preview({ stage: "sft", data: testFiles[name], encoding }).then(({ rows }) => rows, (error) => error.message);
  const expected = await t.page.evaluate(look, ["utf8.jsonl"]);
  const { assert } = t;
  for (const asked of [["gbk.jsonl", "gbk"], ["marked.jsonl"], ["marked.jsonl", "gbk"], ["bare.jsonl", "utf-16le"]]) {
    assert.deepEqual(await t.page.evaluate(look, asked), expected, asked.join(" as "));
  }
  assert.match(await t.page.evaluate(look, ["gbk.jsonl"]), /gbk\.jsonl:1: .*not UTF-8/);
  assert.match(await t.page.evaluate(look, ["bare.jsonl"]), /looks like utf-16le/);
  assert.match(await t.page.evaluate(look, ["utf8.jsonl", "utf-16le"]), /utf8\.jsonl: it holds bytes/);
  assert.match(await t.page.evaluate(look, ["gbk.jsonl", "utf-8"]), /gbk\.jsonl: it holds bytes that are not utf-8/);
  assert.match(await t.page.evaluate(look, ["gbk.jsonl", "gbkk"]), /'gbkk' is no encoding/);
});

test("training: it can be paused, continued and stopped", { device: "cpu" }, async (t) => {
  const { file, chats } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(chats);
  const seen = await t.page.evaluate(async ([data, config]) => {
    const wait = (ms) => new Promise((done) => setTimeout(done, ms));
    const steps = [];
    const onEvent = ({ event, step }) => event === "step" && steps.push(step);
    const run = await kindling.train({ stage: "lora", data: testFiles[data], config, onEvent });
    while (steps.length < 5) await wait(5);
    run.pause();
    await wait(500); // what was under way is told
    const paused = steps.length;
    await wait(1000);
    const still = steps.length;
    run.resume();
    while (steps.length < still + 5) await wait(5);
    run.stop();
    const end = await run.done;
    return { paused, still, steps, end, saved: await kindling.runs.list() };
  }, [data, { ...CONFIG, "steps": 5000 }]);
  const { assert } = t;
  assert.equal(seen.still, seen.paused, "a paused run stands still");
  assert.deepEqual(seen.steps, seen.steps.map((_, i) => i + 1), "no step is lost or told twice");
  assert.ok(seen.end.stopped && seen.end.step < 5000 && seen.end.total_steps === 5000);
  assert.deepEqual(seen.saved.map(({ id, step }) => [id, step]), [[seen.end.id, seen.end.step]], "it waits to go on");
});

/**
 * Trains natively and in the page; the directory that native wrote. `adapter` are the settings of an adapter that trains
 * in the model's place, `own` is another model than the tiny one.
 */
async function compare(t, stage, config, { own, adapter } = {}) {
  const { dir, file, lessons, stories, hints } = { ...(await tiny(t.tmp)), ...(own && { dir: own, file: own }) };
  const path = config === SMALL ? hints : stage === "pretrain" ? stories : lessons;
  const out = join(t.tmp, "run");
  const flags = stage === "lora" ? LORA_FLAGS : adapter ? ["--lora", ...LORA_FLAGS] : [];
  const native = await train(stage, out, { model: dir, data: path, config, more: flags });
  await t.load(file);
  const request = { stage, data: await t.giveFile(path), config, adapter, lora: stage === "lora" ? LORA : undefined };
  const { id, plan, events, end } = await t.train(request);
  t.assert.deepEqual([end.id, end.step, end.total_steps, end.stopped], [id, config.steps, config.steps, false]);
  t.assert.equal(plan.steps, config.steps);
  t.assert.equal(typeof end.adapter, flags.length > 0 ? "string" : "undefined");
  t.assert.deepEqual(await t.page.evaluate(() => kindling.runs.list()), [], "a finished run does not wait to go on");
  const [least, most] = [Math.min(...native.values()), Math.max(...native.values())];
  t.assert.ok(least > 0.3 && most > 1.1 * least, `the fixture is no test: losses from ${least} to ${most}`);
  sameLosses(losses(events), native, SHARE);
  return out;
}
