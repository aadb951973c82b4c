// GRPO on the generator's sums, against as much more teaching of the same rows, over three seeds: few sums are taught with their
// thinking, and of many others only the answers are known.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { each, kindling, place, spread, table, trained } from "./program.mjs";

const SEEDS = [1, 2, 3];
const TAUGHT = 700;
const TEST = 300;
const ROWS = { "max-seq-len": 128 };
const FIRST = { "preset": "nano", "epochs": 72, "batch-size": 32, "learning-rate": 3e-3 };
/** A step of GRPO draws 128 answers with its 8 prompts of 16; more teaching takes as many passes over as many rows. */
const FORMS = {
  "GRPO": ["grpo", "asked", { "steps": 250, "batch-size": 8, "max-new-tokens": 64, "learning-rate": 1e-4, "reward": "answer:1,tags:0.25" }],
  "more of the same": ["reason", "taught", { "steps": 1600, "batch-size": 32, "learning-rate": 3e-4 }],
};

/** The generator's sums in three parts that share none: those that are taught, asked, and only measured; and a tokenizer. */
async function sums() {
  const [world, tokenizer] = [place("world"), place("world-tok")];
  if (!existsSync(world)) await kindling(`sample-data ${world}`, {});
  const rows = join(world, "reason.jsonl");
  if (!existsSync(tokenizer)) await kindling("tokenizer train", { data: rows, "vocab-size": 400, out: tokenizer });
  const all = readFileSync(rows, "utf8").split("\n").filter(Boolean);
  const isSum = (line) => /\d/.test(JSON.parse(line).conversations[0].content);
  const lines = all.filter(isSum);
  const parts = { test: lines.slice(0, TEST), taught: lines.slice(TEST, TEST + TAUGHT), asked: lines.slice(TEST + TAUGHT) };
  const files = Object.entries(parts).map(([part, lines]) => {
    const file = place(`sums-${part}.jsonl`);
    writeFileSync(file, lines.map((line) => `${line}\n`).join(""));
    return [part, file];
  });
  return { ...Object.fromEntries(files), tokenizer };
}

export async function rewards() {
  const files = await sums();
  const base = (seed) =>
    trained(`sums-${seed}`, "reason", { data: files.taught, tokenizer: files.tokenizer, seed, ...ROWS, ...FIRST });
  const more = each(Object.entries(FORMS), async ([name, [verb, part, flags]]) => {
    const runs = await each(SEEDS, async (seed) =>
      trained(`sums-${verb}-more-${seed}`, verb, { data: files[part], seed, model: (await base(seed)).out, ...ROWS, ...flags }));
    return line(name, runs, files.test);
  });
  const lines = [await line("the reasoning model", await each(SEEDS, base), files.test), ...(await more)];
  table(["sums never seen", "right answers", "seeds 1 2 3", "seconds"], lines);
}

/** What models answer right of the sums that none of them saw, and how long they learned. */
async function line(name, runs, test) {
  const flags = { ...ROWS, "val-split": 0.9, "steps": 1, "learning-rate": 1e-12, "eval-answers": 0.9 * TEST };
  const right = await each(runs, async ({ out }) => {
    const { evals } = await trained(`${out.split("/").at(-1)}-measured`, "reason", { model: out, data: test, ...flags });
    return 100 * evals.at(-1).answer_accuracy;
  });
  const seconds = runs.map(({ steps }) => steps.at(-1).elapsed_s.toFixed(0));
  return [name, `${spread(right, 1)} %`, right.map((share) => share.toFixed(1)).join(" "), seconds.join(" ")];
}
