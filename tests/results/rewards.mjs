// GRPO on the generator's sums, against as much more teaching of the same rows, over three seeds: few sums are taught with their
// thinking to the page's model, and of many others only the answers are known.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { each, kindling, place, spread, table, trained } from "./program.mjs";

const SEEDS = [1, 2, 3];
const TAUGHT = 450;
const TEST = 300;
const ROWS = { "max-seq-len": 128 };
const BASE = "web/model/kindling-nano.safetensors";
const FIRST = { "model": BASE, "epochs": 16, "batch-size": 16, "learning-rate": 1e-3 };
/** What follows until more of it no longer helps, and what is measured against rewards. */
const MORE = { "steps": 1600, "batch-size": 16, "learning-rate": 3e-4 };
const ASKED = { "batch-size": 8, "max-new-tokens": 64, "learning-rate": 1e-4, "reward": "answer:1,tags:0.25" };
/** GRPO draws 19,200 answers and learns from each once; more teaching takes as many rows, and a third more for the drawing. */
const FORMS = {
  "GRPO": ["grpo", "asked", { "steps": 150, ...ASKED }],
  "more of the same": ["reason", "taught", MORE],
};

/** The generator's sums in three parts that share none: those that are taught, asked, and only measured. */
async function sums() {
  const world = place("world");
  if (!existsSync(world)) await kindling(`sample-data ${world}`, {});
  const rows = join(world, "reason.jsonl");
  const all = readFileSync(rows, "utf8").split("\n").filter(Boolean);
  const isSum = (line) => /\d/.test(JSON.parse(line).conversations[0].content);
  const lines = all.filter(isSum);
  const parts = { test: lines.slice(0, TEST), taught: lines.slice(TEST, TEST + TAUGHT), asked: lines.slice(TEST + TAUGHT) };
  const files = Object.entries(parts).map(([part, lines]) => {
    const file = place(`sums-${part}.jsonl`);
    writeFileSync(file, lines.map((line) => `${line}\n`).join(""));
    return [part, file];
  });
  return Object.fromEntries(files);
}

export async function rewards() {
  const files = await sums();
  const teach = (name, seed, flags) => trained(`sums-${name}-${seed}`, "reason", { data: files.taught, seed, ...ROWS, ...flags });
  const base = async (seed) => teach("base", seed, { model: (await teach("first", seed, FIRST)).out, ...MORE });
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
