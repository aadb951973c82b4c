// GRPO on the generator's sums, against as much more fine-tuning of the same model, over three seeds.

import { existsSync } from "node:fs";
import { join } from "node:path";

import { each, kindling, place, spread, table, trained } from "./program.mjs";

const SEEDS = [1, 2, 3];
const ASKED = { "limit": 800, "val-split": 0.2, "max-seq-len": 128, "eval-answers": 160 };
/** A step of GRPO draws 128 answers with its 8 prompts of 16; more fine-tuning takes as many passes over as many rows. */
const FORMS = {
  "GRPO": ["grpo", { "steps": 100, "batch-size": 8, "max-new-tokens": 64, "learning-rate": 1e-4, "reward": "answer:1,tags:0.25" }],
  "more of the same": ["reason", { "steps": 670, "batch-size": 32, "learning-rate": 3e-4 }],
};

/** The generator's sums, and a tokenizer of them. */
async function sums() {
  const [world, tokenizer] = [place("world"), place("world-tok")];
  if (!existsSync(world)) await kindling(`sample-data ${world}`, {});
  const rows = join(world, "reason.jsonl");
  if (!existsSync(tokenizer)) await kindling("tokenizer train", { data: rows, "vocab-size": 400, out: tokenizer });
  return { rows, tokenizer };
}

export async function rewards() {
  const { rows, tokenizer } = await sums();
  const own = (seed) => ({ data: rows, seed, ...ASKED });
  const first = { "preset": "nano", tokenizer, "epochs": 25, "batch-size": 32, "learning-rate": 3e-3, "eval-every": 100 };
  const base = (seed) => trained(`sums-${seed}`, "reason", { ...own(seed), ...first });
  const right = ({ evals }) => 100 * evals.at(-1).answer_accuracy;
  const seconds = ({ steps }) => steps.at(-1).elapsed_s;
  const line = (name, runs) => {
    const all = runs.map((run) => right(run).toFixed(1)).join(" ");
    return [name, `${spread(runs.map(right), 1)} %`, all, runs.map((run) => seconds(run).toFixed(0)).join(" ")];
  };
  const more = each(Object.entries(FORMS), async ([name, [verb, flags]]) => {
    const runs = await each(SEEDS, async (seed) =>
      trained(`sums-${verb}-more-${seed}`, verb, { ...own(seed), model: (await base(seed)).out, ...flags }));
    return line(name, runs);
  });
  const lines = [line("the reasoning model", await each(SEEDS, base)), ...(await more)];
  table(["arithmetic", "right answers", "seeds 1 2 3", "seconds"], lines);
}
