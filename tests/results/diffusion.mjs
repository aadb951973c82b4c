// A causal model becomes a masked predictor: what of it trains, by which weights and in which attention, and how well held-out
// stories are rebuilt; and how fast it writes, and how well, beside its parent.

import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { data, each, kindling, once, percent, place, table, trained } from "./program.mjs";
import { writing } from "./diffusion_writing.mjs";

const { PRESET = "micro", STEPS = "600", SMOLLM2 } = process.env;
const steps = Number(STEPS);
/** A story of forty is kept from all training: its beginning is a prompt. */
const EVERY = 40;
/** Tokens of a block, where there are blocks. */
const BLOCK = 32;
const TARGET = 0.4;

const ATTENTIONS = { "plain": {}, "blocks of 32": { "block-length": BLOCK } };
const WEIGHTS = {
  "uniform, t 0.1–0.5": { "loss-weight": "uniform", "t-range": "0.1,0.5" },
  "1/t, t 0–1": { "loss-weight": "inverse-t", "t-range": "0,1" },
};
const TRAINED = {
  "all": { "learning-rate": 1e-3 },
  "without MLP": { "learning-rate": 2e-3, "freeze": "mlp" },
  "LoRA, rank 32": { "learning-rate": 3e-3, "lora": true, "lora-rank": 32 },
};

/** What is rebuilt. */
export async function diffusion() {
  const { rows, parent } = await begun();
  await rebuilt(PRESET, parent, rows, steps, (weights, parts) => [weights, parts]);
  if (SMOLLM2) {
    const few = { ...rows, "batch-size": 8, "limit": 2000 };
    const two = (weights, parts) => [[weights[0]], [parts[2]]];
    await rebuilt("SmolLM2-135M", SMOLLM2, few, Math.ceil(steps / 4), two);
  }
}

/** How fast it writes, and how well. */
export async function unmasking() {
  const { rows, parent, prompts } = await begun();
  // Writing begins with everything hidden, so that the writer learns from nearly nothing hidden up to all.
  const all = { "loss-weight": "uniform", "t-range": "0.05,1", "learning-rate": 1e-3, "steps": 3 * steps };
  const first = await converted(PRESET, parent, "blocks of 32");
  const writer = await trained("diffusion-writer", "pretrain", { ...rows, ...all, "model": first });
  await writing({ parent, writer: writer.out, prompts });
}

/** The parent, what it learned from, and prompts that it has not seen. */
async function begun() {
  const stories = split();
  const rows = { "data": stories.train, "val-split": 0.02, "max-seq-len": 256, "packing": true, "batch-size": 32 };
  const tokenizer = place("tok-6400");
  if (!existsSync(tokenizer)) await kindling("tokenizer train", { "data": stories.train, "vocab-size": 6400, "out": tokenizer, "device": "cpu" });
  const first = { "preset": PRESET, tokenizer, "steps": 3 * steps, "learning-rate": 2e-3 };
  const parent = (await trained("diffusion-parent", "pretrain", { ...rows, ...first })).out;
  return { rows, parent, prompts: stories.prompts };
}

/** The stories that are trained on, and those that are not. */
function split() {
  const lines = readFileSync(data("pretrain/tinystories_en.jsonl"), "utf8").split("\n").filter(Boolean);
  const [train, prompts] = ["train", "prompts"].map((part) => place(`diffusion-${part}.jsonl`));
  const write = (file, rows) => writeFileSync(file, rows.map((row) => `${row}\n`).join(""));
  write(train, lines.filter((_, i) => i % EVERY !== 0));
  write(prompts, lines.filter((_, i) => i % EVERY === 0));
  return { train, prompts };
}

/** The masked predictor that a model becomes before it is trained. */
function converted(name, model, attention) {
  const out = place(`diffusion-${name}-${attention}`.replaceAll(" ", "-"));
  return once(out, async () => {
    if (!existsSync(out)) await kindling("convert", { "to": "diffusion", model, ...ATTENTIONS[attention], out, "device": "cpu" });
    return out;
  });
}

/** The table of what is rebuilt: `choose` gives the weights and the trained parts to try, by name. */
async function rebuilt(name, model, rows, steps, choose) {
  const [weights, parts] = choose(Object.keys(WEIGHTS), Object.keys(TRAINED));
  const key = (...names) => `diffusion-${name}-${names.join("-")}`.replaceAll(/[^\w.-]+/g, "_");
  const cells = Object.keys(ATTENTIONS).flatMap((attention) => [
    { attention, part: "nothing yet", weight: "", flags: { "steps": 1, "learning-rate": 1e-12, "lora": true } },
    ...parts.flatMap((part) => weights.map((weight) => ({ attention, part, weight, flags: { steps, ...TRAINED[part], ...WEIGHTS[weight] } }))),
  ]);
  const runs = await each(cells, async ({ attention, part, weight, flags }) =>
    trained(key(attention, part, weight), "pretrain", { ...rows, ...flags, "model": await converted(name, model, attention) }));
  const ends = runs.map(({ evals }) => evals.at(-1));
  const shown = ["masked_accuracy_t1", "masked_accuracy_t3", "masked_accuracy_t5", "masked_accuracy_t7", "masked_accuracy_t9"];
  const line = ({ attention, part, weight }, end) =>
    [attention, part, weight, percent(end.reconstruction_accuracy), ...shown.map((tenth) => percent(end[tenth])), end.bits_per_byte_bound.toFixed(3)];
  const head = [`${name}, ${steps} steps`, "trained", "loss", "rebuilt, t 0.1–0.5", "t to 0.1", "0.2–0.3", "0.4–0.5", "0.6–0.7", "0.8–0.9", "bits a byte, at most"];
  table(head, cells.map((cell, i) => line(cell, ends[i])));
  console.log(`always the most frequent token: ${percent(ends[0].unigram_accuracy)}\n`);
  const best = Math.max(...cells.map(({ weight }, i) => (weight === "uniform, t 0.1–0.5" ? ends[i].reconstruction_accuracy : 0)));
  console.log(`rebuilt ≥ ${percent(TARGET)} with uniform weight and t in 0.1–0.5: ${best >= TARGET ? "holds" : "does not hold"} (${percent(best)})\n`);
}
