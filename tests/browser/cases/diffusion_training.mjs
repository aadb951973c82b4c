// Masked predictors learn in the page as they do natively: the same seed and data give the same losses.

import { join } from "node:path";

import { losses, sameLosses, test } from "../harness.mjs";
import { masked } from "../masked.mjs";
import { lines, log, train } from "../native.mjs";

const CONFIG = { "steps": 20, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.0005, "log-every": 1, "seed": 7 };
const LORA = { rank: 4, alpha: 8 };
const LORA_FLAGS = ["--lora", "--lora-rank", 4, "--lora-alpha", 8];
const SHARE = 1e-5;
const LONG = { device: "cpu", seconds: 300 };

for (const [what, stage, config, request, more] of [
  ["an adapter", "sft", { "objective": "diffusion" }, { adapter: LORA }, LORA_FLAGS],
  ["attention only", "sft", { "loss-weight": "inverse-t", "t-range": "0.2,0.9" }, { freeze: ["mlp"] }, ["--freeze", "mlp"]],
  ["all weights on texts", "pretrain", { "objective": "diffusion" }, {}, []],
]) {
  test(`diffusion training: the losses of ${stage} by ${what} equal native's`, LONG, async (t) => {
    const { assert } = t;
    const { converted, lessons, stories } = await masked(t);
    const file = join(t.tmp, "converted.safetensors");
    await lines("export", "--to", "single-file", "--model", converted, "--out", file);
    const data = stage === "pretrain" ? stories : lessons;
    const all = { ...CONFIG, ...config, "val-split": 0.1, "eval-every": 10 };
    const out = join(t.tmp, "run");
    const there = await train(stage, out, { model: converted, data, config: all, more });
    await t.load(file);
    const { freeze, ...settings } = request;
    const here = { ...all, ...(freeze && { freeze }) };
    const { events, end } = await t.train({ stage, data: await t.giveFile(data), config: here, ...settings });
    assert.deepEqual([end.step, end.stopped], [20, false]);
    sameLosses(losses(events), there, SHARE);
    for (const kind of ["step", "eval"]) {
      const told = events.filter(({ event }) => event === kind).map(({ metrics }) => metrics.masked_accuracy);
      const logged = log(out).filter(({ event }) => (event ?? "step") === kind).map((line) => line.masked_accuracy);
      assert.ok(told.length > 0 && told.every((share) => share >= 0 && share <= 1), `${kind}: ${told}`);
      assert.equal(told.length, logged.length, kind);
      told.forEach((share, i) => assert.ok(Math.abs(share - logged[i]) < 1e-3, `${kind} ${i}: ${share}, ${logged[i]}`));
    }
    if (!end.lesson) return;
    assert.ok(end.lesson.answers.every(({ before, after }) => typeof before === "string" && typeof after === "string"));
  });
}

test("diffusion training: an adapter of a masked predictor has defaults of its own, as natively", LONG, async (t) => {
  const { page, assert } = t;
  const { file, parent, lessons } = await masked(t);
  const data = await t.giveFile(lessons);
  const known = async (adapter) => {
    const { config } = await page.evaluate((adapter) => kindling.defaults("sft", { adapter }), adapter);
    return ["learning-rate", "min-steps", "stop-at-loss"].map((key) => config[key]);
  };
  await t.load(parent);
  const [causal, whole] = [await known(true), await known(false)];
  await t.load(file);
  assert.deepEqual(await known(true), [0.005, 1200, 0]);
  assert.notDeepEqual(causal, [0.005, 1200, 0]);
  assert.deepEqual(await known(false), whole, "all weights learn with the same ones");
  const plan = (config, adapter = LORA) => page.evaluate(async ([name, request]) => {
    const { steps, notes } = await kindling.plan({ stage: "sft", ...request, data: testFiles[name] });
    const told = notes.find(({ code }) => code === "train.masked_adapter");
    return [steps, told?.values.settings];
  }, [data, { config, ...(adapter && { adapter }) }]);
  assert.deepEqual(await plan({ "epochs": 1 }), [1200, "--learning-rate 0.005 --min-steps 1200 --stop-at-loss 0"]);
  assert.deepEqual(await plan({ "steps": 20 }), [20, "--learning-rate 0.005"]);
  const own = { "learning-rate": 0.001, "min-steps": 7, "stop-at-loss": 0.1, "epochs": 0.01 };
  assert.deepEqual(await plan(own), [7, undefined], "what is said stays");
  assert.equal((await plan({ "steps": 20 }, null))[1], undefined);
});

for (const [what, settings] of [["an adapter", { adapter: LORA }], ["all weights", {}]]) {
  test(`diffusion training: a run by ${what} goes on after a reload, bit for bit`, LONG, async (t) => {
    const { page, assert } = t;
    const { file, lessons } = await masked(t);
    await t.load(file);
    const data = await t.giveFile(lessons);
    const config = { ...CONFIG, "steps": 30, "t-range": "0.1,0.5", "loss-weight": "inverse-t" };
    const request = { stage: "sft", data, config, name: "whole", ...settings };
    const whole = losses((await t.train(request)).events);
    await page.evaluate(() => kindling.adapters.use([]));
    await t.load(file);
    const stopped = await page.evaluate(async (request) => {
      const seen = [];
      const onEvent = (event) => {
        seen.push(event);
        if (event.event === "step" && event.step === 10) run.stop();
      };
      const run = await kindling.train({ ...request, data: testFiles[request.data], onEvent, name: "again" });
      return { id: run.id, end: await run.done, seen };
    }, request);
    assert.ok(stopped.end.stopped && stopped.end.step < 30);
    await t.reload();
    await t.load(file);
    const gone = await page.evaluate(async (id) => {
      const seen = [];
      const run = await kindling.runs.resume(id, (event) => seen.push(event));
      return { end: await run.done, seen };
    }, stopped.id);
    assert.deepEqual([gone.end.step, gone.end.stopped], [30, false]);
    sameLosses(new Map([...losses(stopped.seen), ...losses(gone.seen)]), whole, 0);
    // What it gave is a masked predictor, too.
    const info = await page.evaluate(() => kindling.model());
    assert.equal(info.diffusion.shift_logits, true);
  });
}
