// Long work needs no more memory than short work.

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { losses, sameLosses, test } from "../harness.mjs";
import { tiny, train, withSettings } from "../native.mjs";
import { SLACK, memory, samples, watchGpu, watchMemory } from "../watch.mjs";

const SHAPE = { "batch-size": 2, "max-seq-len": 32, "learning-rate": 0.003 };
/** On a GPU: the step by which all is warm, the middle between it and the last, and the last. */
const [WARM, MIDDLE, LAST] = [10, 30, 50];
/** Far fewer than one a step. */
const FEW = 16;
/**
 * Shapes and scalars of a kernel stand in a buffer of their own. cubecl keeps the last 512 of them, so these grow at
 * first and then no more; on top come those that wait to be handed over.
 */
const MOST_UNIFORMS = 600;

test("memory: 1,000 steps need no more than 50", { seconds: 240 }, async (t) => {
  const { hints } = await openWatched(t);
  const data = await t.giveFile(hints);
  const work = async (steps) => {
    const config = { ...SHAPE, "log-every": 10, steps };
    const { events } = await t.train({ stage: "lora", data, config, name: "again" });
    await t.page.evaluate(() => kindling.adapters.remove("again"));
    return events.filter(({ event }) => event === "step").map((event) => event.tokens_per_second);
  };
  await work(50);
  const early = await memory(t);
  const speeds = await work(1000);
  const late = await memory(t);
  t.assert.ok(speeds.length >= 100, `${speeds.length} reports of 1000 steps`);
  const mean = (values) => (values.reduce((a, b) => a + b) / values.length).toFixed(0);
  t.note(`the first 50 of 1,000 steps at ${mean(speeds.slice(0, 5))} tokens/s, the last at ${mean(speeds.slice(-5))}`);
  t.assert.ok(late - early <= SLACK, `${early} bytes after 50 steps, ${late} after 1,050`);
});

test("memory: 50 steps of sft on webgpu hold no more than 10", { seconds: 1800 }, async (t) => {
  const { assert } = t;
  watchGpu(t);
  await t.open("webgpu");
  // An emulated GPU takes about as long for every dispatch, and half the layers make about half of them.
  const { dir, file, hints } = await tiny(t.tmp, 1);
  const config = { ...SHAPE, "steps": LAST, "log-every": 1, "seed": 7 };
  const native = await train("sft", join(t.tmp, "run"), { model: dir, data: hints, config });
  await t.load(file);
  const events = await t.page.evaluate(trainSaving, [await t.giveFile(hints), config]);
  // An emulated GPU sums in another order; what that changes grows with every step.
  const first20 = (losses) => new Map([...losses].slice(0, 20));
  sameLosses(first20(losses(events)), first20(native), 1e-3);
  const at = await samples(t);
  assert.deepEqual([...at.keys()], Array.from({ length: LAST }, (_, i) => i + 1));
  const [early, late] = [at.get(WARM), at.get(LAST)];
  const words = (of) => `${early[of].count} buffers of ${early[of].bytes} bytes at step ${WARM}, ` +
    `${late[of].count} of ${late[of].bytes} at step ${LAST}`;
  // A save in between reads the weights, which takes dispatches of its own, so the middle step counts.
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  const dispatches = (from, to) => median(Array.from({ length: to - from }, (_, i) =>
    at.get(from + i + 1).dispatches - at.get(from + i).dispatches));
  const [first, second] = [dispatches(WARM, MIDDLE), dispatches(MIDDLE, LAST)];
  t.note(`tensors: ${words("tensors")}`);
  t.note(`uniforms: ${words("uniforms")}; ${second} dispatches a step`);
  assert.ok(late.memory - early.memory <= SLACK, `${early.memory} bytes at step ${WARM}, ${late.memory} at ${LAST}`);
  // One buffer a step shows in their number, few large ones in their bytes.
  assert.ok(early.tensors.count > 0 && late.tensors.count - early.tensors.count <= FEW, words("tensors"));
  assert.ok(late.tensors.bytes - early.tensors.bytes <= SLACK, words("tensors"));
  assert.ok(late.uniforms.count <= MOST_UNIFORMS, words("uniforms"));
  assert.ok(first > 0);
  assert.equal(second, first, "dispatches a step");
});

test("memory: many answers and many loads need no more than few", { seconds: 240 }, async (t) => {
  await openWatched(t);
  const work = (rounds) => t.page.evaluate(async (rounds) => {
    const [source] = Object.values(testFiles);
    for (let i = 0; i < rounds; i += 1) {
      await kindling.load(source);
      await kindling.generate({ tokens: [1, 46, 87], max_tokens: 64, ignore_eos: true });
    }
  }, rounds);
  await work(5);
  const early = await memory(t);
  await work(40);
  const late = await memory(t);
  t.assert.ok(late - early <= SLACK, `${early} bytes after 5 rounds, ${late} after 45`);
});

/** Of the tiny model 256 bytes a position: 128 MB for all of them. */
const CONTEXT = 1 << 19;

test("memory: a long context takes memory as it fills, not at once", { seconds: 240 }, async (t) => {
  const { assert } = t;
  const { file } = await openWatched(t);
  const longer = (config) => ({ ...config, max_position_embeddings: CONTEXT });
  await t.give("long.safetensors", withSettings(readFileSync(file), "config.json", longer));
  const info = await t.page.evaluate(() => kindling.load(testFiles["long.safetensors"]));
  assert.equal(info.context, CONTEXT);
  const say = () => t.page.evaluate(async () => {
    const messages = [{ role: "user", content: "Where is the kettle of Oren?" }];
    const { usage } = await kindling.chat.completions.create({ messages, temperature: 0, max_tokens: 8 });
    return usage.total_tokens;
  });
  const before = await memory(t);
  const tokens = await say();
  assert.ok(tokens < 256, `${tokens} tokens`);
  const after = await memory(t);
  t.note(`${((after - before) / 1e6).toFixed(1)} MB for ${tokens} tokens of ${CONTEXT}`);
  assert.ok(after - before <= 4 * SLACK, `${before} bytes before the first answer, ${after} after it`);
});

/** Opens the page on the processor and loads the tiny model. */
async function openWatched(t) {
  watchMemory(t);
  await t.open("cpu");
  const fixture = await tiny(t.tmp);
  await t.load(fixture.file);
  return fixture;
}

/** In the page: trains to the end, with an early save: later ones find the buffers that this one needed. */
async function trainSaving([data, config]) {
  const events = [];
  const onEvent = (event) => {
    events.push(event);
    window.reached = `${event.event} ${event.step}`;
    if (event.event === "step" && event.step === 5) run.save();
  };
  const run = await kindling.train({ stage: "sft", data: testFiles[data], config, onEvent });
  await run.done;
  return events;
}
