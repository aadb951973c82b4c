// Tokens a second and peak memory of each stage beside SFT's, of attention by length, and of activation checkpointing:
// on the generated world, each in a process of its own.

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { kindling, place, table, trained } from "./program.mjs";

const STEPS = Number(process.env.STEPS ?? 24);
/** Steps before the clock counts: the first ones find memory and threads. */
const WARM = 4;
const LENGTH = { "batch-size": 8, "max-seq-len": 256 };
const FLAGS = { ...LENGTH, "steps": STEPS, "log-every": 1, "save-minutes": 0, "val-split": 0 };
const PRESET = process.env.PRESET ?? "micro";
const ANSWERS = { "max-new-tokens": 48, "reward": "answer,tags:0.5" };
/** Four experts of which a token gets one, each as wide as the dense feed-forward. */
const EXPERTS = { "num-experts": 4, "num-experts-per-tok": 1, "n-shared-experts": 0, "router-aux-loss-coef": 0.01 };
const POLL_MS = 10;

/** Runs a verb, and gives the most memory that its process held, in bytes. */
async function peakOf(verb, flags) {
  let peak = 0;
  await kindling(verb, flags, (pid) => {
    const poll = setInterval(() => (peak = Math.max(peak, residentPeak(pid))), POLL_MS);
    return () => clearInterval(poll);
  });
  if (peak === 0) throw new Error("no memory was seen: VmHWM stands in /proc of Linux alone");
  return peak;
}

/** The kernel's own high-water mark, so that nothing between two looks is missed but in the last moment. */
function residentPeak(pid) {
  try {
    const line = readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmHWM:\s+(\d+) kB$/m);
    return line ? 1024 * Number(line[1]) : 0;
  } catch {
    return 0;
  }
}

/** A run's speed behind its first steps, and its peak memory. */
async function measured(name, verb, flags) {
  const out = place(`measured-${name}`);
  rmSync(out, { recursive: true, force: true });
  const peak = await peakOf(verb, { ...FLAGS, ...flags, out });
  const lines = readFileSync(join(out, "log.jsonl"), "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const steps = lines.filter(({ step, event }) => step && !event);
  const [first, last] = [steps[Math.min(WARM, steps.length - 1) - 1], steps.at(-1)];
  rmSync(out, { recursive: true, force: true });
  return { peak, speed: (last.tokens - first.tokens) / (last.elapsed_s - first.elapsed_s) };
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

/** The generated rows, their tokenizer, and a model that answers now and then. */
async function beginnings() {
  const world = place("world");
  if (!existsSync(world)) await kindling(`sample-data ${world}`, {});
  const rows = (name) => join(world, `${name}.jsonl`);
  const tokenizer = place("stages-tok");
  const learned = ["pretrain", "sft", "reason"].map(rows);
  if (!existsSync(tokenizer)) await kindling("tokenizer train", { data: learned, "vocab-size": 2048, out: tokenizer });
  const begun = { ...LENGTH, "steps": 60, "save-minutes": 0 };
  const base = await trained("stages-base", "pretrain", { preset: PRESET, tokenizer, data: rows("pretrain"), ...begun });
  const talker = await trained("stages-talker", "sft", { model: base.out, data: rows("sft"), ...begun });
  return { rows, tokenizer, model: talker.out };
}

export async function stages() {
  const { rows, tokenizer, model } = await beginnings();
  const on = (name) => ({ model, data: rows(name) });
  const pairs = on("dpo");
  const taught = { ...on("sft"), teacher: model };
  const fresh = { preset: PRESET, tokenizer, data: rows("pretrain") };
  const all = [
    ["sft", "sft", on("sft")],
    ["sft --lora", "lora", { ...on("sft"), "keep-share": 0 }],
    ["dpo, frozen", "dpo", { ...pairs, reference: "frozen" }],
    ["dpo --lora, base", "dpo", { ...pairs, lora: true, reference: "base", "keep-share": 0 }],
    ["dpo, cached", "dpo", { ...pairs, reference: "cached" }],
    ["distill", "distill", taught],
    ["distill --on-policy", "distill", { ...taught, "on-policy": true, "max-new-tokens": 48 }],
    ["reason", "reason", on("reason")],
    ["grpo", "grpo", { ...on("reason"), ...ANSWERS, "batch-size": 1, "group-size": 8 }],
    ["pretrain, dense", "pretrain", fresh],
    ["pretrain, mixture", "pretrain", { ...fresh, ...EXPERTS }],
  ];
  const lines = [];
  let sft;
  for (const [name, verb, flags] of all) {
    const found = await measured(name.replaceAll(/[^a-z]+/g, "-"), verb, flags);
    sft ??= found;
    const share = (of) => (found[of] / sft[of]).toFixed(2);
    lines.push([name, found.speed.toFixed(0), share("speed"), megabytes(found.peak), share("peak")]);
  }
  console.log(`${PRESET}, ${STEPS} steps of ${LENGTH["batch-size"]} rows of up to ${LENGTH["max-seq-len"]} tokens\n`);
  table(["stage", "tokens/s", "of SFT's", "peak memory", "of SFT's"], lines);
}

export async function attention() {
  const lines = [];
  for (const length of [512, 1024, 2048, 4096]) {
    for (const block of [undefined, 0, 64, 128, 256]) {
      const flags = { "what": "train", "preset": "nano", "batch-size": 1, "max-seq-len": length, "seconds": 2, "attention-block": block };
      const { tokens_per_second: speed, peak_memory_bytes: peak } = (await kindling("bench", flags))[0];
      const name = { undefined: "as trained", 0: "whole" }[block] ?? block;
      lines.push([length, name, speed.toFixed(0), megabytes(peak)]);
    }
  }
  table(["tokens a row", "queries at a time", "tokens/s", "peak memory"], lines);
}

export async function checkpointing() {
  const { rows, model } = await beginnings();
  const strategies = ["none", "one_in_four", "one_in_three", "one_in_two", "two_in_three", "three_in_four", "whole_layer", "fine_grained"];
  const lines = [];
  let none;
  for (const strategy of strategies) {
    const flags = { model, data: rows("pretrain"), "packing": true, "activation-checkpointing": strategy };
    const found = await measured(strategy, "pretrain", flags);
    none ??= found;
    const share = (of) => (found[of] / none[of]).toFixed(2);
    lines.push([strategy, found.speed.toFixed(0), share("speed"), megabytes(found.peak), share("peak")]);
  }
  table(["--activation-checkpointing", "tokens/s", "of none's", "peak memory", "of none's"], lines);
}
