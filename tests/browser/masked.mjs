// A masked predictor that the native program made, and what the page must answer with it.

import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { lines, result, tiny } from "./native.mjs";

export const PROMPT = [1, 46, 87, 264];
const NEW = 12;
/** Sampling and unmasking of an answer. */
export const WAYS = [
  [{ temperature: 0 }, {}],
  [{ temperature: 0 }, { steps: 5 }],
  [{ temperature: 0 }, { steps: 6, block_length: 4 }],
  [{ temperature: 0 }, { threshold: 0.6 }],
  [{ temperature: 0 }, { steps: 6, cfg_scale: 0.5 }],
  [{ temperature: 0.8, seed: 5 }, { steps: 6 }],
  [{ temperature: 0, seed: 9 }, { steps: 6, remasking: "random" }],
];

/** By the settings of the conversion. */
const made = new Map();

/** The tiny model, converted natively and taught to fill masks: its directory and file, and those of the tiny one. */
export function masked(t, ...flags) {
  const key = flags.join(" ");
  if (!made.has(key)) made.set(key, make(t.tmp, flags));
  return made.get(key);
}

async function make(tmp, flags) {
  const own = await tiny(tmp);
  const folder = mkdtempSync(join(tmp, "masked-"));
  const at = (name) => join(folder, name);
  await lines("convert", "--to", "diffusion", "--model", own.dir, "--out", at("converted"), ...flags);
  const steps = ["--steps", 120, "--batch-size", 8, "--max-seq-len", 64, "--learning-rate", 0.005];
  await lines("sft", "--data", own.chats, "--model", at("converted"), "--out", at("model"), ...steps);
  const file = at("masked.safetensors");
  await lines("export", "--to", "single-file", "--model", at("model"), "--out", file);
  return { ...own, parent: own.file, causal: own.dir, converted: at("converted"), dir: at("model"), file };
}

/** Settings by their names in requests as flags. */
function flags(settings) {
  return Object.entries(settings).flatMap(([name, value]) => [`--${name.replaceAll("_", "-")}`, value]);
}

/** Asserts that the page goes on from a prompt as native does, in each of these ways. */
export async function sameAnswers(t, dir, ways = WAYS) {
  for (const [sampling, unmask] of ways) {
    const request = { tokens: PROMPT, ...sampling, max_tokens: NEW, ignore_eos: true, unmask };
    const { answer, steps } = await t.page.evaluate(async (request) => {
      const steps = [];
      const answer = await kindling.generate({ ...request, onUnmask: (step) => steps.push(step) });
      return { answer, steps };
    }, request);
    const more = [...flags(sampling), "--max-new-tokens", NEW, "--ignore-eos", "--show-steps", ...flags(unmask)];
    const there = await result("generate", "--model", dir, "--tokens", PROMPT.join(","), ...more);
    const what = JSON.stringify([sampling, unmask]);
    t.assert.deepEqual(answer.tokens, there.tokens, what);
    t.assert.equal(answer.tokens.length, NEW, what);
    t.assert.deepEqual(steps.map(filling), there.steps.map(filling), `${what}: step by step`);
    checkSteps(t, steps, answer.tokens, what);
    t.assert.ok(steps.at(-1).step <= (unmask.steps ?? NEW), `${what}: ${steps.at(-1).step} steps`);
  }
}

/** Which tokens a step filled, and where. */
function filling({ step, filled }) {
  return [step, ...filled.map(({ place, id }) => [place, id]).sort(([a], [b]) => a - b)];
}

/** Asserts that steps fill each place once, with what stands there in the end. */
function checkSteps(t, steps, tokens, what) {
  const filled = steps.flatMap(({ filled }) => filled);
  const ids = [...filled].sort((a, b) => a.place - b.place).map(({ place, id }) => [place, id]);
  t.assert.deepEqual(ids, tokens.map((id, place) => [place, id]), what);
  t.assert.ok(filled.every(({ confidence }) => confidence >= 0 && confidence <= 1), what);
  const numbers = [...new Set(steps.map(({ step }) => step))];
  t.assert.deepEqual(numbers, numbers.map((_, i) => i + 1), `${what}: steps are told in their order`);
  t.assert.ok(steps.every(({ step, steps, canvas_length }) => step <= steps && canvas_length === tokens.length), what);
}

/** What a converted model says of itself, as its native config.json has it. */
export function kind(dir) {
  const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
  const { mask_token_id, block_length = null, shift_logits } = config;
  return { diffusion: { mask_token_id, block_length, shift_logits }, vocabulary: config.vocab_size };
}
