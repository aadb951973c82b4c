// A model of the size that people train at home, in the page.

import { readFileSync } from "node:fs";

import { losses, test } from "../harness.mjs";
import { middling, result, sameTokens, tiny } from "../native.mjs";
import { memory, watchMemory } from "../watch.mjs";

const PARAMETERS = 25_829_888;
const PROMPT = [1, 500, 1000, 2000, 3000, 6399];

test("26m: a model of 26 million parameters loads, answers and trains", { seconds: 600 }, async (t) => {
  watchMemory(t);
  await t.open("cpu");
  const { page, assert } = t;
  const file = await middling(t.tmp);
  // A file of this size is too long for the argument of a call.
  const url = t.server.put("26m.safetensors", readFileSync(file));
  const begun = performance.now();
  const info = await page.evaluate((url) => kindling.load(url, { keep: false }), url);
  const seconds = (performance.now() - begun) / 1000;
  assert.equal(info.parameters, PARAMETERS);

  // A model that has learned nothing may say one thing again and again.
  await sameTokens(t, file, PROMPT, 16, { least: 1 });
  const here = await page.evaluate((tokens) => kindling.score({ tokens }), PROMPT);
  const there = await result("score", "--model", file, "--tokens", PROMPT.join(","));
  assert.ok(Math.abs(here.nll - there.nll) / there.nll < 1e-4, `nll ${here.nll} here, ${there.nll} natively`);
  const request = { tokens: PROMPT, temperature: 0, max_tokens: 32, ignore_eos: true };
  const { decode_tokens_per_second: chat } = await page.evaluate((request) => kindling.generate(request), request);

  const data = await t.giveFile((await tiny(t.tmp)).lessons);
  const [lora, full] = [await speed(t, data, "lora", 5), await speed(t, data, "sft", 2)];
  const [opened, used] = [seconds.toFixed(1), ((await memory(t)) / 1e6).toFixed(0)];
  const speeds = `chat ${chat.toFixed(1)} tokens/s, LoRA ${lora} tokens/s, full ${full} tokens/s`;
  t.note(`26M: loads in ${opened} s, ${speeds}, the engine's memory ${used} MB`);
});

/** Trains so many steps; their middle speed, in tokens a second. */
async function speed(t, data, stage, steps) {
  const config = { "batch-size": 2, "max-seq-len": 128, steps };
  const { events } = await t.train({ stage, data, config });
  const told = losses(events);
  t.assert.equal(told.size, steps);
  for (const [step, loss] of told) t.assert.ok(Number.isFinite(loss), `${stage}, step ${step}: the loss is ${loss}`);
  const speeds = events.filter(({ event }) => event === "step").map((event) => event.tokens_per_second);
  return speeds.sort((a, b) => a - b)[speeds.length >> 1].toFixed(0);
}
