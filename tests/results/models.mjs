// The models that the tables begin with, made from the reference data.

import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { data, kindling, once, place, trained } from "./program.mjs";

const ROWS = ["sft/instruction_en_900.jsonl", "sft/alpaca_en_demo.jsonl"].map(data);

/** 4,096 tokens of English stories, instructions and sums. */
export function tokenizer() {
  return once("tok", async () => {
    const out = place("tok");
    const learned = [...["pretrain/tinystories_en.jsonl", "reason/math_cot_think_en.jsonl"].map(data), ...ROWS];
    if (!existsSync(out)) await kindling("tokenizer train", { data: learned, "vocab-size": 4096, out });
    return out;
  });
}

const STORIES = { "data": data("pretrain/tinystories_en.jsonl"), "max-seq-len": 256, "batch-size": 16, "packing": true };

/** A size pretrained on one pass over the stories. */
export async function stories(preset, name = `stories-${preset}`, more = {}) {
  const flags = { ...STORIES, preset, "tokenizer": await tokenizer(), "val-split": 0.01, "learning-rate": 2e-3, ...more };
  return trained(name, "pretrain", flags);
}

/** Short English instructions: every tenth row is held out of all training. */
export function instructions(part) {
  const rows = ROWS.flatMap((file) => readFileSync(file, "utf8").split("\n").filter(Boolean));
  const file = place(`instructions-${part}.jsonl`);
  writeFileSync(file, rows.filter((_, i) => (i % 10 === 9) === (part === "test")).join("\n"));
  return file;
}

/** The micro size that follows short English instructions: stories, then instructions. */
export async function talker() {
  const flags = { "epochs": 3, "batch-size": 16, "learning-rate": 1e-3, "max-seq-len": 256 };
  return trained("talker", "sft", { "model": (await stories("micro")).out, "data": instructions("train"), ...flags });
}
